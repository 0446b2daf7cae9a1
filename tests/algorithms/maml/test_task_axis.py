"""Many tasks in one MAML learner against learn2learn's loop over tasks."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Embedding, Linear, convert

WAYS, TASKS = 3, 4


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        lambda helpers: helpers.TorchClassifier(nn.RNN),
        lambda helpers: nn.Sequential(
            nn.Flatten(-2), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, WAYS)
        ),
        lambda helpers: nn.Sequential(
            nn.Flatten(-2), nn.Linear(8, 6), nn.LayerNorm(6), Linear(6, WAYS)
        ),
        lambda helpers: nn.Sequential(nn.Flatten(-2), Linear(8, 6), nn.ReLU(), Linear(6, WAYS)),
    ],
    ids=["recurrent", "torch", "mixed", "ours"],
)
def test_tasks_at_once_equal_the_loop_for_any_layers(model, first_order, helpers):
    torch.manual_seed(0)
    one = model(helpers).double()
    if isinstance(one, helpers.TorchClassifier):
        one = convert(one)  # its class does not declare the task axis
    many = copy.deepcopy(one)
    wanted = helpers.loop(MAML(one, lr=0.3, first_order=first_order), helpers.tasks(), 2)
    got = helpers.at_once(MAML(many, lr=0.3, first_order=first_order), helpers.tasks(), 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    helpers.close(helpers.gradients(many), helpers.gradients(one), 1e-10)


@pytest.mark.parametrize("wrapped", [False, True], ids=["direct", "vmap"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_ragged_tokens(cell, wrapped, helpers):
    """A model with the task axis, and the same model inside a torch layer, under vmap."""
    torch.manual_seed(0)
    one = SequenceClassifier(
        WAYS, vocab_size=9, embedding_size=3, hidden_size=4, cell=cell, bidirectional=True
    ).double()
    if wrapped:
        one = nn.Sequential(one, nn.Linear(WAYS, WAYS).double())
    many = copy.deepcopy(one)
    tokens = torch.randint(1, 9, (2, TASKS, 6, 5))
    lengths = torch.randint(1, 6, (2, TASKS, 6))
    tokens = tokens * (torch.arange(5) < lengths.unsqueeze(-1))
    labels = torch.arange(6).remainder(WAYS).expand(TASKS, 6)
    batch = [tokens[0], labels, tokens[1], labels]
    wanted = helpers.loop(MAML(one, lr=0.3), batch, 2)
    got = helpers.at_once(MAML(many, lr=0.3), batch, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    helpers.close(helpers.gradients(many), helpers.gradients(one), 1e-9)


class Normed(Linear):
    """A subclass may compute something that does not work with the task axis."""

    task_axis = False

    def forward(self, x):
        return nn.functional.layer_norm(super().forward(x), self.weight.shape[:1])


class Unit(nn.Module):
    def forward(self, weight):
        return weight / weight.norm()


def parametrized():
    layer = Linear(8, 6)
    nn.utils.parametrize.register_parametrization(layer, "weight", Unit())
    return layer


@pytest.mark.parametrize("layer", [lambda: Normed(8, 6), parametrized], ids=["own", "parametrized"])
def test_a_layer_that_mixes_rows_of_its_weight_keeps_tasks_separate(layer, helpers):
    torch.manual_seed(0)
    one = nn.Sequential(layer(), nn.Tanh(), Linear(6, WAYS)).double()
    many = copy.deepcopy(one)
    x, y, query_x, query_y = helpers.tasks()
    batch = [x.flatten(-2), y, query_x.flatten(-2), query_y]
    wanted = helpers.loop(MAML(one, lr=0.3), batch, 2)
    got = helpers.at_once(MAML(many, lr=0.3), batch, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    helpers.close(helpers.gradients(many), helpers.gradients(one), 1e-9)


def test_a_torch_layer_in_our_model(helpers):
    """`task_axis` in the class of a model does not cover layers that replace its own layers."""
    torch.manual_seed(0)
    one = SequenceClassifier(WAYS, input_size=2, hidden_size=4).double()
    one.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, WAYS)).double()
    many = copy.deepcopy(one)
    wanted = helpers.loop(MAML(one, lr=0.3), helpers.tasks(), 1)
    got = helpers.at_once(MAML(many, lr=0.3), helpers.tasks(), 1)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    helpers.close(helpers.gradients(many), helpers.gradients(one), 1e-9)


def test_a_scalar_loss_is_the_sum_over_tasks(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    maml = MAML(ours, lr=0.3)
    each, total = maml.clone(tasks=TASKS), maml.clone(tasks=TASKS)
    each.adapt(cross_entropy(each(x), y))
    total.adapt(cross_entropy(total(x), y).sum())
    assert helpers.same_parameters(total.module, each.module.state_dict())


def test_a_step_does_not_depend_on_the_number_of_tasks(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    maml = MAML(ours, lr=0.3)
    adapted = {}
    for count in (1, 2, TASKS):
        learner = maml.clone(tasks=count)
        learner.adapt(cross_entropy(learner(x[:count]), y[:count]))
        adapted[count] = [p[0] for p in learner.parameters()]
    for count in (1, 2):
        torch.testing.assert_close(adapted[count], adapted[TASKS], rtol=1e-12, atol=1e-14)


def test_tasks_do_not_mix(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    maml = MAML(ours, lr=0.3)
    changed = x.clone()
    changed[1] = torch.randn_like(x[1])
    adapted = []
    for given in (x, changed):
        learner = maml.clone(tasks=TASKS)
        learner.adapt(cross_entropy(learner(given), y))
        adapted.append(list(learner.parameters()))
    for before, after in zip(*adapted, strict=True):
        assert torch.equal(before[[0, 2, 3]], after[[0, 2, 3]])
        assert not torch.equal(before[1], after[1])


def test_outputs_and_parameters_have_the_task_axis(helpers):
    ours, _ = helpers.ours_and_theirs()
    learner = MAML(ours, lr=0.3).clone(tasks=TASKS)
    assert learner.tasks == TASKS
    assert learner(helpers.tasks()[0]).shape == (TASKS, 6, WAYS)
    for (name, p), (_, parent) in zip(
        learner.module.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert p.shape == (TASKS, *parent.shape), name


def test_keyword_arguments_reach_the_model():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x, scale=1):
            return scale * self.layer(x)

    maml = MAML(Scaled(), lr=0.1)
    x = torch.randn(3, 5, 2)
    for learner in (maml, maml.clone(tasks=3)):
        torch.testing.assert_close(learner(x, scale=2), 2 * learner(x))


class Tied(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.first, self.second = linear(3, 3), linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).tanh())


@pytest.mark.parametrize("linear", [Linear, nn.Linear])
def test_tied_parameters_stay_tied(linear, helpers):
    torch.manual_seed(0)
    one = nn.Sequential(Tied(linear)).double()
    many = copy.deepcopy(one)
    assert many[0].second.weight is many[0].first.weight
    x = torch.randn(2, TASKS, 5, 3, dtype=torch.float64)
    y = torch.arange(5).remainder(3).expand(TASKS, 5)
    wanted = helpers.loop(MAML(one, lr=0.3), [x[0], y, x[1], y], 2)
    maml = MAML(many, lr=0.3)
    got = helpers.at_once(maml, [x[0], y, x[1], y], 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    helpers.close(helpers.gradients(many), helpers.gradients(one), 1e-10)
    learner = maml.clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x[0]), y))
    assert learner.module[0].second.weight is learner.module[0].first.weight


def test_equal_values_do_not_tie_layers():
    model = nn.Sequential(Linear(2, 2), Linear(2, 2))
    model[1].load_state_dict(model[0].state_dict())
    learner = MAML(model, lr=0.1).clone(tasks=2)
    assert learner.module[0].weight is not learner.module[1].weight


def test_buffers_are_read():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.register_buffer("shift", torch.tensor([1.0, -1.0]))

        def forward(self, x):
            return self.layer(x) + self.shift

    maml = MAML(Shifted(), lr=0.1)
    x = torch.randn(3, 5, 2)
    y = torch.zeros(3, 5, dtype=torch.long)
    learner = maml.clone(tasks=3)
    learner.adapt(cross_entropy(learner(x), y))
    for n in range(3):
        one = maml.clone()
        one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(learner(x)[n], one(x[n]))
    assert torch.equal(maml.module.shift, torch.tensor([1.0, -1.0]))
    assert torch.equal(learner.module.shift, maml.module.shift)


@pytest.mark.parametrize("under_vmap", [False, True], ids=["direct", "vmap"])
def test_dropout_differs_between_tasks(under_vmap):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), (nn.Linear if under_vmap else Linear)(50, 2))
    learner = MAML(model, lr=0.1).clone(tasks=2)
    outputs = learner(torch.ones(2, 3, 50))
    assert not torch.equal(outputs[0], outputs[1])
    model.eval()
    outputs = MAML(model, lr=0.1).clone(tasks=2)(torch.ones(2, 3, 50))
    assert torch.equal(outputs[0], outputs[1])


def test_an_id_out_of_range_never_reads_the_row_of_another_task():
    """Under vmap, ids are not checked, so an error or a non-finite result is expected."""
    model = nn.Sequential(Embedding(5, 3), nn.Linear(3, 2))
    learner = MAML(model, lr=0.1).clone(tasks=2)
    with contextlib.suppress(ArgumentError, IndexError):
        scores = learner(torch.tensor([[[1, 5]], [[1, 2]]]))
        assert not scores[0, 0, 1].isfinite().any()
