"""Addressing of slots: hand-computed examples, derivatives, and the limits of float32."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn import functional
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.memory.addressing import masked_softmax

DOUBLE = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=DOUBLE)


def weights(*shape):
    return torch.rand(*shape, dtype=DOUBLE).softmax(-1)


# ---------------------------------------------------------------- by content


def test_cosine_similarity():
    memory = tensor([3.0, 4.0], [-6.0, -8.0], [4.0, -3.0], [0.0, 0.0])
    found = functional.cosine_similarity(memory, tensor([0.3, 0.4], [1.0, 0.0]))
    wanted = tensor([1.0, -1.0, 0.0, 0.0], [0.6, -0.6, 0.8, 0.0])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_content_weights_are_the_softmax_of_strength_times_similarity():
    memory = tensor([1.0, 0.0], [0.0, 2.0], [-5.0, 0.0])
    keys = tensor([2.0, 0.0], [0.0, 1.0])
    found = functional.content_weights(memory, keys, tensor(3.0, 0.5))
    wanted = torch.stack([tensor(3.0, 0.0, -3.0), tensor(0.0, 0.5, 0.0)]).softmax(-1)
    torch.testing.assert_close(found, wanted)


def test_a_strength_of_0_and_a_key_of_zeros_read_all_slots_equally():
    memory = torch.randn(5, 3)
    keys, strengths = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([0.0, 50.0])
    found = functional.content_weights(memory, keys, strengths)
    torch.testing.assert_close(found, torch.full((2, 5), 0.2))


@pytest.mark.parametrize("name", ["cosine_similarity", "content_weights"])
def test_keys_of_another_size(name):
    more = [torch.ones(1)] * (name == "content_weights")
    with pytest.raises(ShapeError, match=rf"^{name}: .* the same W, got \(4, 3\) and \(1, 2\)"):
        getattr(functional, name)(torch.ones(4, 3), torch.ones(1, 2), *more)


def test_short_vectors_have_a_small_similarity():
    """With `eps`, a vector of length `eps` has a similarity of 1 / sqrt(2) to its direction."""
    memory, keys = tensor([0.0, 0.1], [0.0, 10.0]), tensor([0.0, 1e3])
    found = functional.cosine_similarity(memory, keys, eps=0.1)
    torch.testing.assert_close(found, tensor([0.5**0.5, 1.0]), rtol=0, atol=1e-4)


def test_a_masked_softmax_is_the_softmax_of_what_is_allowed():
    scores = tensor([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [-1e300, 0.0, 1e300])
    allowed = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    found = masked_softmax(scores, allowed)
    torch.testing.assert_close(found[0, [0, 2]], tensor(1.0, 3.0).softmax(-1))
    assert found[0, 1] == 0
    assert found[1].eq(0).all()
    assert found[2].tolist() == [0, 0, 1]


# ---------------------------------------------------------------- by location


@pytest.mark.parametrize(
    ("shifts", "slot"),
    [
        ([0, 0, 1], 4),
        ([1, 0, 0], 2),
        ([0, 1, 0], 3),
        ([1], 3),
        ([0, 0, 0, 0, 1], 0),
        ([1, 0, 0, 0, 0, 0, 0], 0),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 4),  # farther than around the ring
    ],
)
def test_a_shift_moves_a_one_hot_weight_around_the_ring(shifts, slot):
    before = torch.eye(5)[3]
    after = functional.shift(before, torch.tensor(shifts, dtype=torch.float32))
    assert after.tolist() == torch.eye(5)[slot].tolist()


def test_a_shift_equals_the_sum_in_the_paper():
    before, shifts = torch.rand(2, 6, dtype=DOUBLE), weights(2, 5)
    wanted = torch.zeros(2, 6, dtype=DOUBLE)
    for i in range(6):
        for j in range(-2, 3):
            wanted[:, i] += before[:, (i - j) % 6] * shifts[:, j + 2]
    torch.testing.assert_close(functional.shift(before, shifts), wanted)


def test_an_even_number_of_shifts():
    with pytest.raises(ShapeError, match=r"shift: shifts must have an odd size 2 r \+ 1, .* got 2"):
        functional.shift(torch.ones(3), torch.ones(2))


def test_interpolate():
    before, now = tensor([1.0, 0.0], [1.0, 0.0]), tensor([0.0, 1.0], [0.0, 1.0])
    found = functional.interpolate(before, now, tensor(0.0, 0.75))
    assert found.tolist() == [[1.0, 0.0], [0.25, 0.75]]


def test_sharpening():
    before = tensor(0.6, 0.3, 0.1)
    torch.testing.assert_close(functional.sharpen(before, tensor(1.0).squeeze()), before)
    squares = tensor(0.36, 0.09, 0.01) / 0.46
    torch.testing.assert_close(functional.sharpen(before, tensor(2.0).squeeze()), squares)


@pytest.mark.parametrize("gamma", [1.0, 1.5, 20.0, 1000.0])
@pytest.mark.parametrize(
    "before",
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1e-30, 1 - 1e-30, 1e-38], [1 / 3, 1 / 3, 1 / 3]],
    ids=str,
)
def test_sharpening_is_finite_in_float32(before, gamma):
    """The derivative of pow(0, gamma) w.r.t. gamma is NaN, and 0.01 ** 1000 is 0 for all slots."""
    before = torch.tensor(before, requires_grad=True)
    gamma = torch.tensor(gamma, requires_grad=True)
    after = functional.sharpen(before, gamma)
    assert after.sum().item() == pytest.approx(1)
    assert after.argmax() == before.argmax()
    gradients = torch.autograd.grad(after.square().sum(), [before, gamma], create_graph=True)
    assert all(g.isfinite().all() for g in gradients)
    again = torch.autograd.grad(sum(g.square().sum() for g in gradients), [before, gamma])
    assert again[1].isfinite()


def test_content_weights_of_zeros_have_finite_derivatives_in_float32():
    memory = torch.zeros(4, 3, requires_grad=True)
    keys = torch.zeros(2, 3, requires_grad=True)
    found = functional.content_weights(memory, keys, torch.ones(2))
    gradients = torch.autograd.grad(found.square().sum(), [memory, keys], create_graph=True)
    assert all(g.isfinite().all() for g in gradients)
    again = torch.autograd.grad(sum(g.sum() for g in gradients), [memory, keys])
    assert all(g.isfinite().all() for g in again)


# ---------------------------------------------------------------- free slots, order of writes


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ([1, 1, 0, 1], [0, 0, 1, 0]),
        ([1, 1, 1, 1], [0, 0, 0, 0]),
        ([0.5, 0.2, 0.9, 1], [0.1, 0.8, 0.01, 0]),  # 0.8; 0.2 * 0.5; 0.2 * 0.5 * 0.1
    ],
)
def test_allocation_picks_free_slots(usage, wanted):
    found = functional.allocation(tensor(*map(float, usage)))
    torch.testing.assert_close(found, tensor(*map(float, wanted)))


def test_allocation_of_a_blank_memory_is_one_slot():
    found = functional.allocation(torch.zeros(2, 128))
    torch.testing.assert_close(found.amax(-1), torch.ones(2))
    torch.testing.assert_close(found.sum(-1), torch.ones(2))


def test_allocation_at_the_edges_has_finite_derivatives_in_float32():
    """The usage of several slots is 0, so their product is 0, but it has known derivatives."""
    usage = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0], requires_grad=True)
    found = functional.allocation(usage)
    (gradient,) = torch.autograd.grad(found[1], usage, create_graph=True)
    assert gradient.tolist() == pytest.approx([1, 0, 0, 0, 0])  # (1 - u_1) u_0
    (again,) = torch.autograd.grad(gradient[0], usage)
    assert again.tolist() == pytest.approx([0, -1, 0, 0, 0])


def test_allocation_takes_slots_in_order_if_usages_differ_by_rounding():
    usage = 0.25 + torch.tensor([4e-7, -4e-7, 0.0, 4e-7])
    order = functional.allocation(usage).argsort(descending=True)
    assert order.tolist() == [0, 1, 2, 3]


def test_allocation_equals_the_product_in_the_paper():
    usage = (torch.rand(3, 7, dtype=DOUBLE) * 2**16).round() / 2**16
    wanted = torch.zeros_like(usage)
    for row in range(3):
        product = 1.0
        for slot in usage[row].argsort(stable=True).tolist():
            wanted[row, slot] = (1 - usage[row, slot]) * product
            product *= usage[row, slot].item()
    torch.testing.assert_close(functional.allocation(usage), wanted)


def test_temporal_links_follow_three_writes():
    links, last = torch.zeros(4, 4), torch.zeros(4)
    for slot in (2, 0, 3):
        links, last = functional.temporal_links(links, last, torch.eye(4)[slot])
    wanted = torch.zeros(4, 4)
    wanted[0, 2] = wanted[3, 0] = 1
    assert links.tolist() == wanted.tolist()
    assert last.tolist() == [0, 0, 0, 1]
    assert (links @ torch.eye(4)[2]).tolist() == [1, 0, 0, 0]  # what came after slot 2
    assert (links.mT @ torch.eye(4)[3]).tolist() == [1, 0, 0, 0]  # and before slot 3


def test_temporal_links_equal_the_sum_in_the_paper():
    links, last, writes = torch.rand(4, 4, dtype=DOUBLE), weights(4), weights(4) * 0.7
    links.fill_diagonal_(0)
    found, after = functional.temporal_links(links, last, writes)
    for i in range(4):
        for j in range(4):
            wanted = (1 - writes[i] - writes[j]) * links[i, j] + writes[i] * last[j]
            assert found[i, j].item() == pytest.approx(0 if i == j else wanted.item())
    torch.testing.assert_close(after, (1 - writes.sum()) * last + writes)


# ---------------------------------------------------------------- derivatives, axes

CASES = {
    "cosine_similarity": lambda: (torch.randn(2, 4, 3), torch.randn(2, 2, 3)),
    "content_weights": lambda: (torch.randn(2, 4, 3), torch.randn(2, 2, 3), torch.rand(2, 2) * 5),
    "interpolate": lambda: (weights(2, 3), weights(2, 3), torch.rand(2)),
    "shift": lambda: (weights(2, 4), weights(2, 3)),
    "sharpen": lambda: (weights(2, 3), 1 + torch.rand(2)),
    "allocation": lambda: (torch.rand(2, 5),),
    "temporal_links": lambda: (torch.rand(2, 3, 3), weights(2, 3), weights(2, 3)),
}


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    given = CASES[request.param]()
    given = tuple(t.detach().to(DOUBLE).requires_grad_() for t in given)
    return getattr(functional, request.param), given


def test_first_and_second_derivatives(case):
    function, given = case
    assert gradcheck(function, given)
    assert gradgradcheck(function, given)


def test_leading_axes(case):
    """With another leading axis, each slice is computed independently."""
    function, given = case
    flat = lambda found: found if isinstance(found, tuple) else (found,)  # noqa: E731
    together = flat(function(*(torch.stack([t, t.flip(0)]) for t in given)))
    for n, kind in enumerate((given, [t.flip(0) for t in given])):
        for whole, part in zip(together, flat(function(*kind)), strict=True):
            torch.testing.assert_close(whole[n], part)


def test_nothing_is_written_in_place(case):
    function, given = case
    copies = [t.detach().clone() for t in given]
    function(*given)
    for before, after in zip(copies, given, strict=True):
        assert before.equal(after)


def test_weights_sum_to_1():
    memory, keys = torch.randn(6, 4), torch.randn(3, 4)
    found = functional.content_weights(memory, keys, torch.full((3,), math.e))
    found = functional.sharpen(functional.shift(found, torch.rand(3, 3).softmax(-1)), torch.ones(3))
    torch.testing.assert_close(found.sum(-1), torch.ones(3))


def test_slots_with_equal_usage_are_taken_in_order():
    found = functional.allocation(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert found.argmax().item() == 1
