"""`Seq2Seq` against torch's own layers, on the task axis, and its derivatives."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.algorithms import MAML
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.functional import sequence_cross_entropy, token_lengths
from l2l_rnn.models import Seq2Seq
from tests.models.seq2seq.pairs import SOURCES, TARGETS, of_all_parameters, pairs, widened
from tests.models.seq2seq.reference import TorchSeq2Seq

COPIES = [0, 0, 0, 3, 4, 0, 6]
KINDS = [
    dict(zip(("cell", "attention", "coverage", "copies"), values, strict=True))
    for values in itertools.product(
        ("gru", "lstm"), ("dot", "additive"), (False, True), (None, COPIES)
    )
]
TWO = [KINDS[0], KINDS[-1]]


def model(size=4, seed=0, **options):
    torch.manual_seed(seed)
    return Seq2Seq(
        SOURCES, TARGETS, embedding_size=3, hidden_size=size, max_length=12, **options
    ).double()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_equals_torch_layers(options):
    ours = model(**options)
    theirs = TorchSeq2Seq(SOURCES, TARGETS, 3, 4, **options).double()
    theirs.load_state_dict(ours.state_dict())
    source, target = pairs(5)
    outputs = ours(source, target)
    total = 0.0
    for n, (x, y) in enumerate(zip(source, target, strict=True)):
        x, y = x[: token_lengths(x)], y[: token_lengths(y)]
        expected = theirs(x, y)
        torch.testing.assert_close(outputs[n, : len(y)], expected)
        total = total - expected.gather(-1, y.unsqueeze(-1)).sum()
    loss = sequence_cross_entropy(outputs, target)
    torch.testing.assert_close(loss, total / token_lengths(target).sum())
    loss.backward()
    (total / token_lengths(target).sum()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)


@pytest.mark.parametrize("options", KINDS[::3], ids=str)
def test_probabilities_sum_to_one(options):
    source, target = pairs(5)
    p = model(**options)(source, target).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]))


@pytest.mark.parametrize("options", TWO, ids=str)
def test_padding_changes_nothing(options):
    network = model(**options)
    source, target = pairs(5)
    expected = network(source, target)
    torch.testing.assert_close(network(widened(source), widened(target))[:, :5], expected)
    assert torch.equal(network.greedy(widened(source)), network.greedy(source))


@pytest.mark.parametrize("options", TWO, ids=str)
def test_a_masked_pair_may_be_empty(options):
    network = model(**options)
    source, target = pairs(4)
    mask = torch.tensor([True, True, False, True])
    blank_x, blank_y = (part.masked_fill(~mask.unsqueeze(-1), 0) for part in (source, target))
    loss = sequence_cross_entropy(network(blank_x, blank_y, mask), blank_y, mask)
    loss.backward()
    kept = sequence_cross_entropy(network(source[mask], target[mask]), target[mask])
    torch.testing.assert_close(loss, kept)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_tasks_at_once_equal_a_loop(options):
    network = model(**options)
    source, target = pairs(3, 4)
    learner = MAML(network, lr=0.5)
    assert knows_tasks(network)
    many, losses, gradients = learner.clone(tasks=3), [], []
    for _ in range(2):
        many.adapt(sequence_cross_entropy(many(source, target), target))
    outputs = many(source, target)
    found = many.greedy(source, 6), many.beam_search(source, 3, 6)
    for n in range(3):
        one = learner.clone()
        for _ in range(2):
            one.adapt(sequence_cross_entropy(one(source[n], target[n]), target[n]))
        torch.testing.assert_close(outputs[n], one(source[n], target[n]))
        losses.append(sequence_cross_entropy(one(source[n], target[n]), target[n]))
        gradients.append(torch.autograd.grad(losses[-1], list(network.parameters())))
        steps = one.greedy(source[n], 6).shape[-1]
        assert torch.equal(found[0][n, :, :steps], one.greedy(source[n], 6))
        assert not found[0][n, :, steps:].any()
        torch.testing.assert_close(found[1].scores[n], one.beam_search(source[n], 3, 6).scores)
    sequence_cross_entropy(outputs, target).sum().backward()
    for parameter, each in zip(network.parameters(), zip(*gradients, strict=True), strict=True):
        torch.testing.assert_close(parameter.grad, sum(each))


@pytest.mark.parametrize("options", TWO, ids=str)
def test_leading_axes_without_task_parameters(options):
    network = model(**options)
    source, target = pairs(2, 3, 4)
    outputs = network(source, target)
    assert outputs.shape == (2, 3, 4, 5, TARGETS)
    torch.testing.assert_close(outputs[1, 2], network(source[1, 2], target[1, 2]))
    beams = network.beam_search(source, 3, 6)
    alone = network.beam_search(source[1, 2], 3, 6)
    torch.testing.assert_close(beams.scores[1, 2], alone.scores)


@pytest.mark.parametrize("options", TWO, ids=str)
@pytest.mark.parametrize("tasks", [None, 2])
def test_derivatives(options, tasks):
    network = model(size=2, **options)
    lead = (2,) if tasks is None else (tasks, 1)
    source, target = pairs(*lead, source_steps=2, target_steps=2)
    if tasks is not None:
        expand_parameters(network, tasks)
    function, values = of_all_parameters(
        network, lambda: sequence_cross_entropy(network(source, target), target)
    )
    assert gradcheck(function, values, fast_mode=True)
    assert gradgradcheck(function, values, fast_mode=True)


def test_a_model_under_vmap_equals_a_loop():
    """A user's model that has a Seq2Seq inside of it and does not declare the task axis."""

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, source, target):
            return self.inner(source, target)

        def translate(self, source):
            return self.inner.greedy(source, 6)

    learner = MAML(Own(), lr=0.5)
    source, target = pairs(3, 4)
    many = learner.clone(tasks=3)
    many.adapt(sequence_cross_entropy(many(source, target), target))
    for n in range(3):
        one = learner.clone()
        one.adapt(sequence_cross_entropy(one(source[n], target[n]), target[n]))
        torch.testing.assert_close(many(source, target)[n], one(source[n], target[n]))
        own = one.translate(source[n])
        assert torch.equal(many.translate(source)[n, :, : own.shape[-1]], own)


@pytest.mark.slow
def test_learns_to_copy_and_to_reverse():
    """A model with copying learns to write its source backwards."""
    network = model(size=16, copies=[0, 0, 0, 3, 4, 5, 6]).float()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(150):
        source = pairs(32, seed=step)[0]
        backwards = torch.stack([_reversed(x) for x in source])
        loss = sequence_cross_entropy(network(source, backwards), backwards)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = pairs(50, seed=1000)[0]
    expected = torch.stack([_reversed(x) for x in source])
    tokens = network.greedy(source)
    tokens = torch.nn.functional.pad(tokens, (0, 12 - tokens.shape[-1]))[:, :5]
    assert (tokens == expected).all(-1).float().mean() > 0.8


def _reversed(x):
    length = int(token_lengths(x))
    y = torch.zeros(5, dtype=torch.long)
    y[:length] = x[:length].flip(0)
    y[length] = 2
    return y
