"""Filling a cache with texts, and word vectors, with a tiny encoder."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.data import (
    CharacterVocabulary,
    SequenceDataset,
    WordVocabulary,
    encoder_pipeline,
    read_vectors,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.models import (
    EncodedSequence,
    FrozenEncoder,
    FrozenSentenceEncoder,
    SequenceEncoder,
)
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import (
    Pretrained,
    SeriesInputs,
    TextInputs,
    encode_texts,
    word_vectors,
)
from tests.models.frozen.tiny import NAME, SIZE, TEXTS, weights


@pytest.fixture
def encoder(tmp_path):
    return FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)


def inputs_of(encoder):
    return TextInputs(encoder_pipeline(encoder), encoder.max_length)


def test_texts_are_encoded_once(encoder, capsys):
    assert encode_texts(encoder, [*TEXTS, TEXTS[0]], batch_size=2) == 5
    assert "computed 5 rows" in capsys.readouterr().err
    assert encode_texts(encoder, TEXTS, progress=False) == 0
    assert not capsys.readouterr().err
    with weights(None):
        alone = FrozenEncoder(NAME, cache=encoder.cache, max_length=10)
        assert alone(inputs_of(alone)(TEXTS)).shape[0] == 5
        assert encode_texts(alone, TEXTS, progress=False) == 0
        with pytest.raises(DataError, match="1 of 6 rows are not in the cache"):
            encode_texts(alone, [*TEXTS, "the the the"], progress=False)


def test_the_batch_size_changes_nothing(encoder, tmp_path):
    other = FrozenEncoder(NAME, cache=tmp_path / "other", max_length=10)
    encode_texts(encoder, TEXTS, batch_size=1, progress=False)
    encode_texts(other, TEXTS, batch_size=50, progress=False)
    x = inputs_of(encoder)(TEXTS)
    torch.testing.assert_close(encoder(x), other(x), rtol=2e-3, atol=2e-3, equal_nan=True)


def test_datasets_and_their_task_sets(encoder):
    x, labels = inputs_of(encoder)(TEXTS), torch.tensor([0, 1, 0, 2, 2])
    dataset = SequenceDataset(x[:2], labels[:2], ("a", "b"))
    with pytest.raises(DataError, match="must have texts, or token ids"):
        encode_texts(encoder, dataset, progress=False)
    dataset.vocabulary = encoder_pipeline(encoder)
    assert encode_texts(encoder, dataset, progress=False) == 2
    dataset.vocabulary = CharacterVocabulary(TEXTS)
    with pytest.raises(DataError, match="must have texts, or token ids"):
        encode_texts(encoder, dataset, progress=False)
    dataset.texts = TEXTS[2:4]
    assert encode_texts(encoder, (dataset, x), progress=False) == 3


def test_a_task_set_with_the_pipeline_of_an_encoder(encoder):
    pipeline = encoder_pipeline(encoder)
    tasksets = get_tasksets("intents", vocabulary=pipeline, train_ways=2, test_ways=2)
    test = tasksets.test.source
    new = encode_texts(encoder, tasksets.test, progress=False)
    assert new == len({tuple(row) for row in test.sequences.tolist()})
    with weights(None):
        alone = FrozenEncoder(NAME, cache=encoder.cache, max_length=10)
        assert alone(test.sequences).shape == (*test.sequences.shape, SIZE)


def test_bad_arguments(encoder):
    with pytest.raises(ArgumentTypeError, match=r"encoder must be a models\.FrozenEncoder"):
        encode_texts(nn.Linear(2, 2), TEXTS)
    with pytest.raises(ArgumentError, match="batch_size must be a positive integer"):
        encode_texts(encoder, TEXTS, batch_size=0)
    with pytest.raises(ArgumentTypeError, match="texts must be a list of str"):
        encode_texts(encoder, "a text")
    with pytest.raises(DataError, match="at least one text"):
        encode_texts(encoder, [])


def test_word_vectors_are_read_as_word_vectors(encoder, tmp_path):
    vocabulary = WordVocabulary(["the cat sat", "a dog"])
    path = tmp_path / "vectors.txt"
    assert word_vectors(encoder, vocabulary, path, batch_size=2) == 5
    found = read_vectors(path, vocabulary)
    wanted = FrozenSentenceEncoder(encoder, normalize=False)(
        inputs_of(encoder)(list(vocabulary.words))
    )
    torch.testing.assert_close(found[2:], wanted, rtol=1e-4, atol=1e-5)
    before = path.read_bytes()
    for words, error in (([], ArgumentError), (["a", " b"], ArgumentError), ("ab", TypeError)):
        with pytest.raises(error):
            word_vectors(encoder, words, path)
    with weights(None):
        alone = FrozenEncoder(NAME, cache=encoder.cache, max_length=10)
        with pytest.raises(DataError, match="not in the cache"):
            word_vectors(alone, ["the", "home"], path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["recurrent", "mean"])
def test_a_saved_learner_has_no_states(encoder, tmp_path, kind):
    torch.manual_seed(0)
    if kind == "recurrent":
        model = EncodedSequence(encoder, SequenceEncoder(input_size=SIZE, hidden_size=4))
    else:
        model = FrozenSentenceEncoder(encoder)
    pretrained = Pretrained(ProtoNet(model, ways=2), inputs_of(encoder))
    pretrained.save_pretrained(tmp_path / "saved")
    assert str(tmp_path) not in (tmp_path / "saved" / "config.json").read_text()
    loaded = Pretrained.from_pretrained(tmp_path / "saved")
    support, query = TEXTS[:3], TEXTS[3:]
    scores = [one.adapted(support, [0, 1, 0])(one.inputs(query)) for one in (pretrained, loaded)]
    assert torch.equal(*scores)
    assert loaded.learner.module.frozen.cache == encoder.cache
    classifier = FewShotClassifier.from_pretrained(tmp_path / "saved")
    classifier.fit(support, ["x", "y", "x"])
    wanted = [["x", "y"][label] for label in scores[0].argmax(-1)]
    assert classifier.predict(query).tolist() == wanted


def test_inputs_must_be_those_of_the_encoder(encoder):
    model = EncodedSequence(encoder, SequenceEncoder(input_size=SIZE, hidden_size=4))
    with pytest.raises(ArgumentError, match="token ids below vocab_size=19, got series of 6"):
        Pretrained(ProtoNet(model, ways=2), SeriesInputs(SIZE, [0.0] * SIZE, [1.0] * SIZE))
    vocabulary = CharacterVocabulary(["abcdef"])
    with pytest.raises(ArgumentError, match="got token ids below vocab_size=8"):
        Pretrained(ProtoNet(model, ways=2), TextInputs(vocabulary, 10))
