"""Pure functions: affine maps, losses, padding, packing, and the recurrences step by step."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional.recurrence.packing import (
    Packing,
    PaddedPacking,
    RaggedPacking,
    choose_packing,
)
from l2l_rnn.functional.recurrence.recurrences import Weights
from l2l_rnn.models.encoder import CELLS

TASKS, BATCH, STEPS, HIDDEN = 2, 3, 4, 3


# ------------------------------------------------------------------ affine


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axes", [(5,), (2, 5), (2, 3, 5)])
def test_linear(bias, axes):
    x = torch.randn(TASKS, *axes, 4)
    weight, shift = torch.randn(TASKS, 6, 4), torch.randn(TASKS, 6) if bias else None
    y = functional.linear(x, weight, shift)
    for n in range(TASKS):
        alone = F.linear(x[n], weight[n], None if shift is None else shift[n])
        torch.testing.assert_close(y[n], alone)
        torch.testing.assert_close(
            functional.linear(x[n], weight[n], None if shift is None else shift[n]), alone
        )


@pytest.mark.parametrize("axes", [(), (5,), (2, 5)])
def test_embedding(axes):
    tokens, weight = torch.randint(0, 7, (TASKS, *axes)), torch.randn(TASKS, 7, 4)
    y = functional.embedding(tokens, weight)
    for n in range(TASKS):
        assert torch.equal(y[n], F.embedding(tokens[n], weight[n]))
        assert torch.equal(functional.embedding(tokens[n], weight[n]), y[n])


# ------------------------------------------------------------------ losses


def test_losses_are_means_within_a_task():
    logits, labels = torch.randn(TASKS, 5, 3), torch.randint(0, 3, (TASKS, 5))
    loss = functional.cross_entropy(logits, labels)
    score = functional.accuracy(logits, labels)
    assert loss.shape == score.shape == (TASKS,)
    for n in range(TASKS):
        torch.testing.assert_close(loss[n], F.cross_entropy(logits[n], labels[n]))
        torch.testing.assert_close(functional.cross_entropy(logits[n], labels[n]), loss[n])
        right = (logits[n].argmax(-1) == labels[n]).float().mean()
        torch.testing.assert_close(score[n], right)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 2]])
def test_labels_that_are_no_class(labels):
    logits = torch.zeros(2, 2, 3)
    told = rf"labels must lie in 0 … 2, as there are C=3 classes, got {labels[0]} … {labels[1]}"
    with pytest.raises(ArgumentError, match=rf"^cross_entropy: {told}"):
        functional.cross_entropy(logits, torch.tensor(labels).expand(2, 2))


def test_cross_entropy_of_bits_counts_what_is_asked_for():
    logits, targets = torch.randn(TASKS, 5, 4, 3), torch.rand(TASKS, 5, 4, 3).round()
    targets[torch.rand(targets.shape) < 0.4] = torch.nan
    loss = functional.binary_cross_entropy(logits, targets)
    assert loss.shape == (TASKS,)
    for n in range(TASKS):
        asked = ~targets[n].isnan()
        alone = F.binary_cross_entropy_with_logits(logits[n][asked], targets[n][asked])
        torch.testing.assert_close(loss[n], alone)
        torch.testing.assert_close(functional.binary_cross_entropy(logits[n], targets[n]), alone)


def test_bits_that_are_not_asked_for_have_no_gradient():
    targets = torch.tensor([1.0, torch.nan, 0.0]).reshape(1, 1, 3, 1)
    logits = torch.tensor([0.5, torch.nan, torch.inf]).reshape(1, 1, 3, 1).requires_grad_()
    loss = functional.binary_cross_entropy(logits[..., :2, :], targets[..., :2, :])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    expected = [1 / (1 + torch.tensor(-0.5).exp().item()) - 1, 0, 0]
    assert gradient.flatten().tolist() == pytest.approx(expected)
    nothing = functional.binary_cross_entropy(logits, torch.full_like(targets, torch.nan))
    assert nothing.tolist() == [0]


@pytest.mark.parametrize("shapes", [((2, 3, 1), (2, 3)), ((2, 3), (2, 3)), ((1, 3, 2), (1, 3, 1))])
def test_bits_of_another_shape(shapes):
    with pytest.raises(ShapeError, match=r"^binary_cross_entropy: logits and targets must be sha"):
        functional.binary_cross_entropy(*map(torch.zeros, shapes))


@pytest.mark.parametrize("loss", [functional.cross_entropy, functional.accuracy])
@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 5, 1), ()])
def test_labels_of_another_shape(loss, shape):
    with pytest.raises(ShapeError, match=rf"^{loss.__name__}: labels must be shaped \(2, 5\)"):
        loss(torch.zeros(2, 5, 3), torch.zeros(shape).long())


# ------------------------------------------------------------------ padding


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [
        ([[1, 2, 0]], [2]),
        ([[0, 2, 0], [0, 0, 0], [1, 1, 1]], [2, 0, 3]),
        ([[[5], [0]]], [[1, 0]]),
        ([[-3, 0]], [1]),
    ],
)
def test_token_lengths(tokens, lengths):
    assert functional.token_lengths(torch.tensor(tokens)).tolist() == lengths


def test_step_lengths():
    nan = float("nan")
    x = torch.tensor([[[1, 1], [nan, nan]], [[nan, nan]] * 2, [[nan, nan], [nan, 1]], [[0, 0]] * 2])
    assert functional.step_lengths(x).tolist() == [1, 0, 2, 2]
    assert functional.step_lengths(x[None]).tolist() == [[1, 0, 2, 2]]


def test_no_steps_are_no_length():
    assert functional.token_lengths(torch.zeros(3, 0).long()).tolist() == [0, 0, 0]
    assert functional.step_lengths(torch.zeros(3, 0, 2)).tolist() == [0, 0, 0]


def test_step_mask():
    mask = functional.step_mask(torch.tensor([[0, 2], [3, 1]]), 3)
    assert mask.dtype == torch.bool
    assert mask.int().tolist() == [[[0, 0, 0], [1, 1, 0]], [[1, 1, 1], [1, 0, 0]]]


# ------------------------------------------------------------------ packing

LENGTHS = [
    [[3, 1, 2]],
    [[4, 4, 1]],
    [[0, 3, 0]],
    [[1, 2, 3], [4, 1, 1]],
    [[0, 0, 0], [2, 4, 3]],
    [[2, 2, 2], [2, 2, 2]],
]


@pytest.fixture(params=[RaggedPacking, PaddedPacking])
def kind(request):
    return request.param


@pytest.fixture(params=LENGTHS, ids=str)
def ragged(request, kind):
    """A padded batch, its lengths and its packing."""
    lengths = torch.tensor(request.param)
    x = torch.randn(*lengths.shape, STEPS, 2)
    inside = (torch.arange(STEPS) < lengths.unsqueeze(-1)).unsqueeze(-1)
    return x.where(inside, 0), lengths, kind(lengths, STEPS)


def test_unpacking_undoes_packing(ragged):
    x, _, packed = ragged
    assert torch.equal(packed.unpack(packed.pack(x)), x)
    assert torch.equal(packed.unpack(packed.pack(x + 0.5)) != 0, x != 0)


def test_the_final_state_is_the_last_steps_or_the_initial(ragged):
    x, lengths, packed = ragged
    initial = torch.randn(*lengths.shape, 2)
    final = packed.final(packed.pack(x), initial)
    for n, row in enumerate(lengths.tolist()):
        for b, length in enumerate(row):
            assert torch.equal(final[n, b], x[n, b, length - 1] if length else initial[n, b])
        order = list(range(len(row)))
        if type(packed) is RaggedPacking:
            order.sort(key=lambda b: -row[b])
        assert torch.equal(packed.sort(initial)[n], initial[n, order])


def test_reversing_is_within_each_sequence(ragged):
    x, lengths, packed = ragged
    turned = packed.unpack(packed.reverse(packed.pack(x)))
    for n, row in enumerate(lengths.tolist()):
        for b, length in enumerate(row):
            assert torch.equal(turned[n, b, :length], x[n, b, :length].flip(0))
    assert torch.equal(packed.reverse(packed.reverse(packed.pack(x))), packed.pack(x))


def test_only_steps_inside_are_packed(ragged):
    x, lengths, packed = ragged
    sizes = packed.batch_sizes
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == packed.pack(x).shape[1]
    if type(packed) is PaddedPacking:
        assert sum(sizes) == lengths.shape[1] * STEPS
    elif len(lengths) == 1:
        assert packed.valid is None
    if packed.valid is None:
        assert sum(sizes) == lengths.sum()
    else:
        assert packed.valid.shape == (len(lengths), sum(sizes), 1)
        assert packed.valid.sum() == lengths.sum()


def test_the_packing_is_chosen():
    assert type(choose_packing(BATCH, STEPS, None)) is Packing
    assert type(choose_packing(BATCH, STEPS, torch.full((1, BATCH), STEPS))) is Packing
    assert type(choose_packing(BATCH, STEPS, torch.tensor([[1, 2, 3]]))) is RaggedPacking
    chosen = []

    def look(lengths):
        chosen.append(choose_packing(BATCH, STEPS, lengths[None]))
        return lengths

    torch.func.vmap(look)(torch.tensor([[1, 2, 3]]))
    assert type(chosen[0]) is PaddedPacking


def test_packing_every_step():
    x = torch.randn(TASKS, BATCH, STEPS, 2)
    packed = Packing(BATCH, STEPS)
    assert packed.batch_sizes == [BATCH] * STEPS
    assert torch.equal(packed.pack(x)[:, :BATCH], x[:, :, 0])
    assert torch.equal(packed.unpack(packed.pack(x)), x)
    assert torch.equal(packed.unpack(packed.reverse(packed.pack(x))), x.flip(2))


# ------------------------------------------------------------------ the recurrences

# One step of each, from the equations: (W_ih x + b_ih, W_hh h + b_hh, state) -> state.
EQUATIONS = {
    "rnn": lambda ih, hh, state: (torch.tanh(ih + hh),),
    "gru": lambda ih, hh, state: (_gru(ih, hh, state[0]),),
    "lstm": lambda ih, hh, state: _lstm(ih + hh, state[1]),
}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
STATES = {"rnn": 1, "gru": 1, "lstm": 2}


def _gru(ih, hh, h):
    r, z = torch.sigmoid(ih + hh)[: 2 * HIDDEN].chunk(2)
    n = torch.tanh(ih[2 * HIDDEN :] + r * hh[2 * HIDDEN :])
    return (1 - z) * n + z * h


def _lstm(a, c):
    i, f, g, o = a.split(HIDDEN)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", EQUATIONS)
def test_recurrences_follow_their_equations(name, bias):
    torch.manual_seed(0)
    sizes, features, rows = [3, 2, 2, 1], 2, GATES[name] * HIDDEN
    double = {"dtype": torch.float64}
    x = torch.randn(TASKS, sum(sizes), features, **double)
    weights = Weights(
        torch.randn(TASKS, rows, features, **double),
        torch.randn(TASKS, rows, HIDDEN, **double),
        *(torch.randn(2, TASKS, rows, **double) if bias else []),
    )
    state = tuple(torch.randn(TASKS, BATCH, HIDDEN, **double) for _ in range(STATES[name]))
    outputs = getattr(functional, name)(x, weights, state, sizes)[0]
    assert outputs.shape == (TASKS, sum(sizes), HIDDEN)
    starts = [sum(sizes[:t]) for t in range(len(sizes))]
    for n in range(TASKS):
        ih, hh, b_ih, b_hh = (0 if w is None else w[n] for w in weights)
        for b in range(BATCH):
            current = tuple(s[n, b] for s in state)
            for start, size in zip(starts, sizes, strict=True):
                if b < size:
                    products = ih @ x[n, start + b] + b_ih, hh @ current[0] + b_hh
                    current = EQUATIONS[name](*products, current)
                    torch.testing.assert_close(outputs[n, start + b], current[0])


def test_every_recurrence_has_its_equations():
    assert set(EQUATIONS) == {name for name, layer in CELLS.items() if not layer.dense}
