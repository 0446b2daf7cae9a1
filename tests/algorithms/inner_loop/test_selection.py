"""Which parameters the inner loop adapts: all, named ones, the head or the body."""

import copy

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import BOIL, MAML
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Embedding, Linear

WAYS, TASKS, BATCH = 3, 4, 6


def test_only_named_parameters_adapt(make, batch):
    for name, moved in {
        "ANIL": {"head.weight", "head.bias"},
        "MAML of the recurrence": {
            f"encoder.recurrence.{p}_l0" for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        },
    }.items():
        learner = make(name)
        clone = learner.clone()
        clone.adapt(cross_entropy(clone(batch[0][0]), batch[1][0]))
        now = dict(clone.module.named_parameters())
        changed = {n for n, p in learner.module.named_parameters() if not torch.equal(p, now[n])}
        assert changed == moved


def test_layers_that_do_not_adapt_get_no_task_axis(make):
    clone = make("ANIL").clone(tasks=TASKS)
    assert clone.module.encoder.recurrence.weight_ih_l0.dim() == 2
    assert clone.module.head.weight.dim() == 3


def test_a_part_of_a_torch_model_adapts(run, gradients, batch):
    """Layers without a task axis run under vmap, where every parameter has the axis."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(1), nn.LayerNorm(20), nn.Linear(20, WAYS))
    many, one = (MAML(copy.deepcopy(model).double(), 0.3, adapts="3") for _ in range(2))
    a, b = run(many, batch, at_once=True), run(one, batch, at_once=False)
    torch.testing.assert_close(a, b)
    for n, g in gradients(one).items():
        torch.testing.assert_close(gradients(many)[n], g)


@pytest.mark.parametrize("adapts", ["heads", ["head", "body"], "encoder.recurrence.weight"])
def test_names_must_be_in_the_model(adapts):
    model = SequenceClassifier(WAYS, input_size=2)
    with pytest.raises(
        ArgumentError, match=r"^MAML: the model has no parameter .* and no module .*it has .*head"
    ):
        MAML(model, 0.1, adapts=adapts)


class Tied(nn.Module):
    """An embedding that shares its table with the output layer, and a layer between them."""

    task_axis = True

    def __init__(self, bias):
        super().__init__()
        self.embedding, self.middle = Embedding(WAYS, 4), Linear(4, 4)
        self.head = Linear(4, WAYS, bias=bias)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.middle(self.embedding(tokens)).mean(-2))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("adapts", ["embedding", "head", "middle", ["head", "middle"]])
def test_tied_parameters_adapt_together_by_either_name(adapts, bias, run, gradients):
    torch.manual_seed(0)
    model = Tied(bias).double()
    x = torch.randint(0, WAYS, (TASKS, BATCH, 5))
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    found = []
    for at_once in (True, False):
        learner = MAML(copy.deepcopy(model), 0.3, adapts=adapts)
        assert ("embedding.weight" in learner.adapted) == (adapts != "middle")
        run(learner, (x, y, x.flip(1), y), at_once)
        found.append(gradients(learner))
        clone = learner.clone(tasks=TASKS)
        assert clone.module.head.weight is clone.module.embedding.weight
    for n in found[1]:
        torch.testing.assert_close(found[0][n], found[1][n], rtol=1e-9, atol=1e-12)


def test_boil_needs_a_body():
    with pytest.raises(ArgumentError, match=r"^BOIL: the model has no parameters outside 'head'"):
        BOIL(nn.ModuleDict({"head": nn.Linear(2, 2)}), 0.1)
