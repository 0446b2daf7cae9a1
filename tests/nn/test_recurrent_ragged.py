"""The contract of the recurrent layers on ragged batches: lengths, padding, packed sequences."""

import itertools

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from tests.nn.comparison import close, same

BATCH, STEPS = 3, 5
RAGGED = [[2, 5, 3], [5, 1, 1], [1, 2, 4]]


@pytest.mark.parametrize("lengths", RAGGED, ids=str)
def test_lengths_equal_a_run_for_each_sequence(recurrent, options, lengths):
    layer = recurrent.make(**options)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    hx = recurrent.state(layer, BATCH)
    given = x if layer.batch_first else x.transpose(0, 1)
    y, final = layer(given, hx, lengths=torch.tensor(lengths))
    y = y if layer.batch_first else y.transpose(0, 1)
    for b, length in enumerate(lengths):
        own = [h[:, b] for h in recurrent.flat(hx)]
        alone, alone_final = layer(x[b, :length], tuple(own) if len(own) > 1 else own[0])
        close([y[b, :length]], [alone])
        close([f[:, b] for f in recurrent.flat(final)], recurrent.flat(alone_final))
        assert (y[b, length:] == 0).all()


@pytest.mark.parametrize("lengths", RAGGED, ids=str)
def test_padding_changes_nothing(recurrent, lengths):
    layer = recurrent.make(num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(BATCH, 5, 3, dtype=torch.float64)
    counts = torch.tensor(lengths)
    results = []
    for steps, filling in [(5, 0.0), (5, 1e6), (9, -3.0), (max(lengths), 0.0)]:
        padded = torch.full((BATCH, steps, 3), filling, dtype=torch.float64)
        for b, length in enumerate(lengths):
            padded[b, :length] = x[b, :length]
        padded.requires_grad_()
        y, final = layer(padded, lengths=counts)
        y = y[:, : max(lengths)]
        outputs = [y, *recurrent.flat(final)]
        wanted = [padded, *layer.parameters()]
        first = torch.autograd.grad(sum(o.sin().sum() for o in outputs), wanted, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), wanted)
        for derivative in (first[0], second[0]):
            assert all((derivative[b, n:] == 0).all() for b, n in enumerate(lengths))
        inside = [d[0][:, : max(lengths)] for d in (first, second)]
        results.append([*outputs, *inside, *first[1:], *second[1:]])
    # A dense layer's products have as many rows as there are padded steps, and round accordingly.
    compare = close if layer.dense else same
    for other in results[1:]:
        compare(results[0], other)


def test_full_lengths_equal_no_lengths(recurrent):
    layer = recurrent.make(bidirectional=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    given = recurrent.flat(layer(x, lengths=torch.full((BATCH,), STEPS)))
    same(given, recurrent.flat(layer(x)))


@pytest.mark.parametrize("lengths", [[0, 3, 5], [4, 0, 0], [0, 0, 2]], ids=str)
def test_a_sequence_without_steps_keeps_its_state(recurrent, lengths):
    layer = recurrent.make(num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64, requires_grad=True)
    hx = recurrent.state(layer, BATCH)
    y, final = layer(x, hx, lengths=torch.tensor(lengths))
    gradient = recurrent.derivatives([y, *recurrent.flat(final)], [x], order=1)[0]
    for b, length in enumerate(lengths):
        if length:
            own = [h[:, b] for h in recurrent.flat(hx)]
            alone, _ = layer(x[b, :length], tuple(own) if len(own) > 1 else own[0])
            close([y[b, :length]], [alone])
        else:
            for got, given in zip(recurrent.flat(final), recurrent.flat(hx), strict=True):
                assert torch.equal(got[:, b], given[:, b])
            assert (y[b] == 0).all()
            assert (gradient[b] == 0).all()


def test_lengths_of_one_sequence(recurrent):
    layer = recurrent.make(bidirectional=True)
    x = torch.randn(STEPS, 3, dtype=torch.float64)
    y, final = layer(x, lengths=torch.tensor(3))
    alone, alone_final = layer(x[:3])
    close([y[:3], *recurrent.flat(final)], [alone, *recurrent.flat(alone_final)])
    assert (y[3:] == 0).all()


def test_packed_lists_of_sequences(recurrent):
    layer = recurrent.make()
    sequences = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 4, 1)]
    packed, _ = layer(pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [2, 4, 1]
    for b, sequence in enumerate(sequences):
        close([padded[: len(sequence), b]], [layer(sequence)[0]])


@pytest.mark.parametrize("batch_first", [False, True])
def test_axes_before_the_batch_are_more_batch(recurrent, batch_first):
    layer = recurrent.make(batch_first=batch_first, bidirectional=True)
    axes = (BATCH, STEPS) if batch_first else (STEPS, BATCH)
    x = torch.randn(2, 4, *axes, 3, dtype=torch.float64)
    hx = recurrent.state(layer, 2, 4, BATCH)
    lengths = torch.randint(1, STEPS + 1, (2, 4, BATCH))
    y, final = layer(x, hx, lengths=lengths)
    for i, j in itertools.product(range(2), range(4)):
        own = [h[i, j] for h in recurrent.flat(hx)]
        one = layer(x[i, j], tuple(own) if len(own) > 1 else own[0], lengths=lengths[i, j])
        close([y[i, j], *(f[i, j] for f in recurrent.flat(final))], recurrent.flat(one))
