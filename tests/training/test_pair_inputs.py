"""`PairInputs`: ids and texts of pairs, saving, and the models that take them."""

import pytest
import torch

from l2l_rnn.algorithms import PairMemoryLearner, ProtoNet
from l2l_rnn.data import CharacterVocabulary, TransformPipeline
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.models import MemorySeq2Seq, SequenceEncoder
from l2l_rnn.training import Inputs, PairInputs, Pretrained, TextInputs

DIGITS = TextInputs(CharacterVocabulary(["0123456789"]), max_length=3)
WORDS = TextInputs(CharacterVocabulary(["\x03", "abcdefghijklmnopqrstuvwxyz "]), max_length=12)
INPUTS = PairInputs(DIGITS, WORDS)


def network(**options):
    torch.manual_seed(0)
    return MemorySeq2Seq(12, 30, **{"hidden_size": 8, "max_length": 12, **options})


def test_targets_end_and_come_back_as_texts():
    texts = ["twenty one", "a", "seventy six"]
    ids = INPUTS.targets(texts)
    assert ids.shape == (3, 12)
    assert (ids == INPUTS.end_id).sum(-1).tolist() == [1, 1, 1]
    assert INPUTS.texts(ids) == texts
    assert INPUTS.texts(torch.cat([ids, ids], 1)) == texts  # what follows the end is dropped
    assert INPUTS(["7", "76"]).shape == (2, 2)


def test_json_gives_equal_inputs():
    twin = Inputs.from_json(INPUTS.to_json())
    assert twin == INPUTS
    assert twin != PairInputs(DIGITS, TextInputs(WORDS.pipeline, 11))
    broken = {**INPUTS.to_json(), "end": "?"}
    with pytest.raises(ArgumentError, match="end='\\?'"):
        Inputs.from_json(broken)


@pytest.mark.parametrize(
    ("texts", "error", "match"),
    [
        (["one", "seventy seven"], DataError, "row 1 of the targets must have at most 11 tokens"),
        (["o\x03ne"], DataError, "row 0 of the targets must not contain"),
        (["one", " "], DataError, "row 1 must hold a text"),
        ("one", ArgumentTypeError, "pass \\[text\\]"),
    ],
)
def test_unfit_targets(texts, error, match):
    with pytest.raises(error, match=match):
        INPUTS.targets(texts)


@pytest.mark.parametrize(
    ("source", "target", "end", "error", "match"),
    [
        (DIGITS.pipeline, WORDS, "\x03", ArgumentTypeError, "source must be a TextInputs"),
        (DIGITS, DIGITS, "\x03", ArgumentError, "one id of its own"),
        (DIGITS, WORDS, "ab", ArgumentError, "one id of its own"),
        (DIGITS, TextInputs(TransformPipeline(len), 5), "a", ArgumentError, "decode"),
    ],
)
def test_unfit_parts(source, target, end, error, match):
    with pytest.raises(error, match=match):
        PairInputs(source, target, end)


def test_a_saved_learner_translates_as_before(tmp_path):
    model = Pretrained(PairMemoryLearner(network().eval()), INPUTS)
    model.save_pretrained(tmp_path / "numbers")
    loaded = Pretrained.from_pretrained(tmp_path / "numbers")
    found = []
    for one in (model, loaded):
        learner = one.adapted(["1", "2"], ["unu", "du"])
        assert len(learner.pairs.source) == 2
        found.append(one.inputs.texts(learner.greedy(one.inputs(["12", "1"]))))
    assert found[0] == found[1]
    assert one.learner.pairs is None
    card = (tmp_path / "numbers" / "README.md").read_text()
    assert "FewShotTranslator" in card
    assert "fewer than 12 tokens" in card


@pytest.mark.parametrize(
    ("learner", "inputs"),
    [
        (PairMemoryLearner(network()), DIGITS),
        (PairMemoryLearner(network(max_length=11)), INPUTS),
        (PairMemoryLearner(MemorySeq2Seq(12, 31, hidden_size=8)), INPUTS),
        (PairMemoryLearner(network(end=3)), INPUTS),
        (ProtoNet(SequenceEncoder(vocab_size=12, hidden_size=8), ways=2), INPUTS),
    ],
    ids=["texts", "longer", "sizes", "end", "classes"],
)
def test_inputs_must_fit_the_model(learner, inputs):
    with pytest.raises(ArgumentError, match="inputs that it was trained with"):
        Pretrained(learner, inputs)
