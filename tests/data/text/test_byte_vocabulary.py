import pytest

from l2l_rnn.data import ByteVocabulary
from l2l_rnn.errors import ArgumentError


@pytest.mark.parametrize("text", ["The cat sat.", "Été à Łódź", "😀", "\ud800"])
def test_ids_are_bytes_plus_two(text):
    assert ByteVocabulary()(text) == [byte + 2 for byte in text.encode("utf-8", "surrogatepass")]


def test_decode_inverts_encode():
    vocabulary = ByteVocabulary()
    assert vocabulary.decode(vocabulary("Łódź 😀")) == "Łódź 😀"
    assert vocabulary.decode([0xC3 + 2]) == "\ufffd"


def test_decode_rejects_ids_out_of_range():
    with pytest.raises(ArgumentError, match=r"must lie in 0 \.\. 257, got -1"):
        ByteVocabulary().decode([-1])
    with pytest.raises(ArgumentError, match="got 258"):
        ByteVocabulary().decode([258])


def test_byte_vocabularies_are_equal():
    assert ByteVocabulary() == ByteVocabulary()
    assert hash(ByteVocabulary()) == hash(ByteVocabulary())
