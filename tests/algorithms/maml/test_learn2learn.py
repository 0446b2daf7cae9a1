"""MAML against learn2learn's MAML."""

import copy
import pickle

import learn2learn
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML

WAYS = 3
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


@pytest.mark.parametrize("run", ["loop", "at_once"])
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "float64"])
def test_meta_gradients_equal_learn2learns(dtype, tolerance, steps, first_order, run, helpers):
    ours, theirs = helpers.ours_and_theirs(dtype)
    batch = helpers.tasks(dtype)
    got = getattr(helpers, run)(MAML(ours, lr=0.3, first_order=first_order), batch, steps)
    with helpers.learn2learn_may_warn():
        reference = learn2learn.algorithms.MAML(theirs, lr=0.3, first_order=first_order)
        wanted = helpers.loop(reference, batch, steps)
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=0)
    helpers.close(helpers.gradients(ours), helpers.gradients(theirs), tolerance)


@pytest.mark.parametrize("run", ["loop", "at_once"])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (nn.RNN, {}),
        (nn.RNN, {"nonlinearity": "relu"}),
        (nn.GRU, {"num_layers": 2}),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
        (nn.GRU, {"bias": False, "bidirectional": True}),
    ],
)
def test_meta_gradients_equal_learn2learns_for_every_layer(layer, options, run, helpers):
    ours, theirs = helpers.ours_and_theirs(layer=layer, **options)
    getattr(helpers, run)(MAML(ours, lr=0.3), helpers.tasks(), 2)
    with helpers.learn2learn_may_warn():
        helpers.loop(learn2learn.algorithms.MAML(theirs, lr=0.3), helpers.tasks(), 2)
    helpers.close(helpers.gradients(ours), helpers.gradients(theirs), 1e-10)


def test_learn2learns_maml_runs_our_model(helpers):
    ours, _ = helpers.ours_and_theirs()
    twin = copy.deepcopy(ours)
    helpers.loop(learn2learn.algorithms.MAML(ours, lr=0.3), helpers.tasks(), 2)  # raises no warning
    helpers.loop(MAML(twin, lr=0.3), helpers.tasks(), 2)
    helpers.close(helpers.gradients(ours), helpers.gradients(twin), 1e-12)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("unused", [False, True])
def test_allow_nograd_and_allow_unused_equal_learn2learns(frozen, unused, helpers):
    (ours, theirs), batch = helpers.ours_and_theirs(), helpers.tasks()
    for model in (ours, theirs):
        if frozen:
            model.lstm.bias_ih_l0.requires_grad_(False)
        if unused:
            model.spare = nn.Parameter(torch.ones(2, dtype=torch.float64))
    options = {"lr": 0.3, "allow_nograd": frozen, "allow_unused": unused}
    helpers.loop(MAML(ours, **options), batch, 2)
    with helpers.learn2learn_may_warn():
        helpers.loop(learn2learn.algorithms.MAML(theirs, **options), batch, 2)
    names = [n for n, p in theirs.named_parameters() if p.grad is not None]
    assert names == [n for n, p in ours.named_parameters() if p.grad is not None]
    assert "spare" not in names
    assert ("lstm.bias_ih_l0" in names) is not frozen
    helpers.close(
        {n: helpers.gradients(ours)[n] for n in names},
        {n: helpers.gradients(theirs)[n] for n in names},
        1e-10,
    )


def test_it_is_a_learn2learn_maml():
    assert isinstance(MAML(nn.Linear(2, 2), lr=0.1), learn2learn.algorithms.MAML)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(copied, helpers):
    (ours, theirs), batch = helpers.ours_and_theirs(), helpers.tasks()
    maml = MAML(ours, lr=0.3, first_order=True)
    other = copied(maml)
    assert type(other) is MAML
    assert (other.lr, other.first_order) == (0.3, True)
    helpers.at_once(maml, batch, 2)
    helpers.at_once(other, batch, 2)
    helpers.close(helpers.gradients(other), helpers.gradients(maml), 0)
    reference = learn2learn.algorithms.MAML(theirs, lr=0.3)
    assert list(reference.state_dict()) == list(maml.state_dict())
    reference.load_state_dict(maml.state_dict())
    maml.load_state_dict(reference.state_dict())


def test_a_learner_has_the_attributes_of_its_model(helpers):
    ours, _ = helpers.ours_and_theirs()
    assert MAML(ours, lr=0.1).clone().head.out_features == WAYS
