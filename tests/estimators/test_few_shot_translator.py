"""`FewShotTranslator`: translations, votes, further pairs, and unfit input."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from l2l_rnn.algorithms import PairMemoryLearner
from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.estimators import FewShotTranslator, UnknownInputWarning
from l2l_rnn.functional import sequence_cross_entropy
from l2l_rnn.models import MemorySeq2Seq
from l2l_rnn.training import PairInputs, Pretrained, TextInputs
from tests.estimators.models import make_model

SOURCES, TARGETS = ["1", "2", "3"], ["ab", "cd", "ef"]


@pytest.fixture(scope="module")
def model():
    """A model that has learned to copy the target of the equal source, with any letters."""
    torch.manual_seed(0)
    digits = TextInputs(CharacterVocabulary(["0123456789"]), max_length=1)
    words = TextInputs(CharacterVocabulary(["\x03", "abcdefghij"]), max_length=4)
    inputs = PairInputs(digits, words)
    network = MemorySeq2Seq(12, 13, hidden_size=16, decoder_layers=1, max_length=4)
    learner = PairMemoryLearner(network)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    y = inputs.targets(["ab", "cd", "ef", "gh"])
    for _ in range(80):
        x = 2 + torch.stack([torch.randperm(10)[:4] for _ in range(8)]).unsqueeze(-1)
        table = torch.stack([3 + torch.randperm(10) for _ in range(8)])
        targets = torch.where(y > 2, table[:, (y - 3).clamp_min(0)], y)
        clones = learner.clone(tasks=8)
        clones.write(x, targets)
        optimizer.zero_grad()
        sequence_cross_entropy(clones(x, targets), targets).mean().backward()
        optimizer.step()
    return Pretrained(learner, inputs)


def test_stored_pairs_are_translated_exactly(model):
    assert model.learner.training
    for votes in (1, 3):
        translator = FewShotTranslator(model, votes=votes).fit(SOURCES, TARGETS)
        assert translator.predict(["3", "1"]).tolist() == ["ef", "ab"]
        assert translator.score(SOURCES, TARGETS) == 1
        translator.partial_fit(np.array(["9"]), pd.Series(["gj"]))
        assert translator.pairs_ == 4
        assert translator.predict(["9", "2"]).tolist() == ["gj", "cd"]
    assert model.learner.training
    assert model.learner.pairs is None


def test_partial_fit_equals_fit_and_copies_agree(model):
    whole = FewShotTranslator(model, votes=2).fit(SOURCES, TARGETS)
    parts = clone(whole).partial_fit(SOURCES[:1], TARGETS[:1])
    parts.partial_fit(SOURCES[1:], TARGETS[1:])
    loaded = pickle.loads(pickle.dumps(whole))
    for other in (parts, loaded):
        assert (other.predict(SOURCES) == whole.predict(SOURCES)).all()
    assert whole.fit(["4"], ["ij"]).pairs_ == 1  # fit forgets


def test_a_folder_is_loaded_by_name(model, tmp_path):
    model.save_pretrained(tmp_path / "copies")
    translator = FewShotTranslator.from_pretrained(tmp_path / "copies").fit(SOURCES, TARGETS)
    assert translator.predict(["2"]).tolist() == ["cd"]


def test_unfit_input(model):
    translator = FewShotTranslator(model)
    with pytest.raises(NotFittedError, match="fit must be called"):
        translator.predict(["1"])
    with pytest.raises(ArgumentError, match="same length, got 2 and 1"):
        translator.fit(["1", "2"], ["ab"])
    with pytest.raises(DataError, match=r"row 1 \('xy'\)"):
        translator.fit(["1", "2"], ["ab", "xy"])
    with pytest.raises(DataError, match="row 0 of the targets must have at most 3"):
        translator.fit(["1"], ["abcd"])
    with pytest.raises(ArgumentError, match="votes"):
        FewShotTranslator(model, votes=0).fit(SOURCES, TARGETS)
    with pytest.raises(ArgumentTypeError, match="use FewShotClassifier"):
        FewShotTranslator(make_model("protonet")).fit(["a"], ["b"])
    translator.fit(SOURCES, TARGETS)
    with pytest.warns(UnknownInputWarning, match="row 1 has no character"):
        translator.predict(["1", "?"])
