"""Packing a padded batch into blocks of steps, and back."""

import pytest
import torch

from l2l_rnn.functional.recurrence.packing import (
    Packing,
    PaddedPacking,
    RaggedPacking,
    choose_packing,
)

TASKS, BATCH, STEPS = 2, 3, 4
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


def test_final_state_is_that_of_the_last_step_or_the_initial(ragged):
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


def test_reversing_stays_within_each_sequence(ragged):
    x, lengths, packed = ragged
    turned = packed.unpack(packed.reverse(packed.pack(x)))
    for n, row in enumerate(lengths.tolist()):
        for b, length in enumerate(row):
            assert torch.equal(turned[n, b, :length], x[n, b, :length].flip(0))
    assert torch.equal(packed.reverse(packed.reverse(packed.pack(x))), packed.pack(x))


def test_only_valid_steps_are_packed(ragged):
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


def test_choice_of_the_packing():
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
