import gzip

import pytest
import torch

from l2l_rnn.data import ByteVocabulary, CharacterVocabulary, WordVocabulary, read_vectors
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.nn import Embedding

WORDS = WordVocabulary.from_words(["cat", "dog", "new york", "."])  # 2, 3, 4, 5
GLOVE = "cat 1 2.5\nbird 9 9\nnew york -1 3e-1\n. 0 1\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors.txt"


WANTED = torch.tensor([[0, 0], [0, 0], [1, 2.5], [0, 0], [-1, 0.3], [0, 1]])


@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        "4 2\n" + GLOVE,
        GLOVE.replace("\n", " \n"),
        GLOVE.replace("\n", "\r\n"),
        GLOVE.replace("new york ", "new york\t"),
        GLOVE + "\n\n",
        GLOVE + "cat 7 7",
        GLOVE.rstrip("\n"),
    ],
    ids=["GloVe", "header", "trailing space", "CRLF", "tab", "empty lines", "twice", "no end"],
)
def test_rows_of_the_vocabulary(path, content):
    path.write_bytes(content.encode())
    vectors = read_vectors(path, WORDS)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, WANTED)


def test_gzip(tmp_path):
    path = tmp_path / "vectors.vec.gz"
    path.write_bytes(gzip.compress(GLOVE.encode()))
    torch.testing.assert_close(read_vectors(path, WORDS), WANTED)
    path.write_bytes(gzip.compress(GLOVE.encode())[:-9])
    with pytest.raises(DataError, match="must be a complete gzip file"):
        read_vectors(path, WORDS)


def test_missing_rows_are_drawn_from_the_moments_of_the_others(path):
    found = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * 3 + 2
    words = [f"w{i}" for i in range(500)]
    lines = [f"{w} {' '.join(map(str, v.tolist()))}" for w, v in zip(words, found, strict=True)]
    path.write_text("\n".join(lines))
    vocabulary = WordVocabulary.from_words([*words, *(f"absent{i}" for i in range(500))])
    vectors = read_vectors(path, vocabulary, torch.Generator().manual_seed(1))
    assert torch.equal(vectors, read_vectors(path, vocabulary, torch.Generator().manual_seed(1)))
    torch.testing.assert_close(vectors[2:502], found)
    assert vectors[0].eq(0).all()
    assert vectors[1].ne(0).all()
    assert vectors[502:].mean().item() == pytest.approx(found.mean().item(), abs=0.2)
    assert vectors[502:].std().item() == pytest.approx(found.std().item(), rel=0.05)


def test_characters_and_mappings(path):
    path.write_text("é 1 2\na 3 4")
    assert read_vectors(path, CharacterVocabulary(["aé"]))[2:].tolist() == [[3, 4], [1, 2]]
    assert read_vectors(path, {"é": 5}).shape == (6, 2)


def test_vectors_load_into_an_embedding(path):
    path.write_text(GLOVE)
    embedding = Embedding.from_pretrained(read_vectors(path, WORDS), freeze=False, padding_idx=0)
    torch.testing.assert_close(embedding(torch.tensor([2, 0])), WANTED[[2, 0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1 2\ndog 1\n", r"line 2 of .* must have a word and 2 numbers, like .* got 2 parts"),
        (b"cat 1 2\nbird 1 2 3\n", "line 2 .* got 4 parts"),
        (b"cat\n", "line 1 .* a word and 1 numbers"),
        (b"cat 1 2\nbi\xffrd 1 2\n", "line 2 .* byte 0xff at position 10 of the file"),
        (b"cat 1 nan\n", "line 1 .* must end in finite numbers, got b'1 nan'"),
        (b"cat 1 x\n", "line 1 .* finite numbers"),
        (b"cat 1 1e400\n", "line 1 .* finite numbers"),
        (b"", "must contain words of the vocabulary, got none of its 4"),
        (b"Cat 1 2\n", "got none of its 4; match the file's case"),
        (b"cat " + b"1 " * 600_000, "line 1 of .* must be shorter than 1,048,576 bytes"),
    ],
)
def test_bad_files_are_rejected(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_vectors(path, WORDS)


def test_other_vocabularies_are_rejected(path):
    path.write_text(GLOVE)
    with pytest.raises(ArgumentTypeError, match="a mapping from word to id, got 3"):
        read_vectors(path, 3)
    with pytest.raises(ArgumentTypeError, match=r"from word to id, got ByteVocabulary\(\)"):
        read_vectors(path, ByteVocabulary())
