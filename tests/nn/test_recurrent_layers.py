"""The contract of the recurrent layers: torch's results, layers, directions, states."""

import warnings

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import l2l_rnn.nn
from l2l_rnn.nn import CELLS, RecurrentLayer
from tests.nn.comparison import close, same

BATCH, STEPS = 3, 5


# ------------------------------------------------------------------ equality with torch


@pytest.fixture
def pair(torch_recurrent, options):
    """Return our layer and torch's, with the same parameters."""
    ours, theirs = torch_recurrent.make(**options), torch_recurrent.make_torch(seed=1, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


# The form of the input, and whether a state is passed.
FORMS = [
    ("padded", False),
    ("padded", True),
    ("unbatched", True),
    ("packed", False),
    ("packed-unsorted", True),
]


def arguments(form, layer, generator):
    """Return a function that maps `x` to the argument of the layer, and an `x`."""
    shape = (BATCH, STEPS, 3) if layer.batch_first else (STEPS, BATCH, 3)
    if form == "unbatched":
        shape = (STEPS, 3)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths = [2, 5, 3] if form == "packed-unsorted" else [5, 3, 2]
    if not form.startswith("packed"):
        return (lambda x: x), x
    return (
        lambda x: pack_padded_sequence(
            x, torch.tensor(lengths), layer.batch_first, enforce_sorted=form == "packed"
        )
    ), x


@pytest.mark.parametrize(("form", "with_hx"), FORMS)
def test_outputs_states_and_both_derivatives_equal_torchs(torch_recurrent, pair, form, with_hx):
    wrap, x = arguments(form, pair[0], torch.Generator().manual_seed(2))
    results, derivatives = [], []
    for layer in pair:
        hx = None
        wanted = [x, *layer.parameters()]
        if with_hx:
            hx = torch_recurrent.state(layer, *([] if form == "unbatched" else [BATCH]))
            leaves = [h.requires_grad_() for h in torch_recurrent.flat(hx)]
            wanted += leaves
        result = layer(wrap(x), hx)
        results.append(result)
        derivatives.append(torch_recurrent.derivatives(torch_recurrent.flat(result), wanted))
    assert type(results[0][0]) is type(results[1][0])
    close(torch_recurrent.flat(results[0]), torch_recurrent.flat(results[1]))
    close(*derivatives)
    if form.startswith("packed"):
        for a, b in zip(results[0][0][1:], results[1][0][1:], strict=True):  # sizes and orders
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)


def test_parameters_equal_torchs(torch_recurrent, options):
    ours, theirs = torch_recurrent.make(**options), torch_recurrent.make_torch(**options)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    same(list(ours.parameters()), list(theirs.parameters()))  # the same seed, the same values
    other = torch_recurrent.make(seed=4, **options)
    other.load_state_dict(theirs.state_dict(), strict=True)
    same(list(other.parameters()), list(theirs.parameters()))
    theirs.load_state_dict(torch_recurrent.make(seed=5, **options).state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_reset_parameters_equals_torchs(torch_recurrent):
    ours, theirs = torch_recurrent.make(), torch_recurrent.make_torch()
    for layer in (ours, theirs):
        torch.manual_seed(11)
        layer.reset_parameters()
    same(list(ours.parameters()), list(theirs.parameters()))


def test_float32_equals_torch(torch_recurrent):
    options = {"num_layers": 2, "bidirectional": True}
    ours = torch_recurrent.make(dtype=torch.float32, **options)
    theirs = torch_recurrent.make_torch(dtype=torch.float32, **options)
    x = torch.randn(STEPS, BATCH, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's LSTM warns about its kernel for projections
        wanted = torch_recurrent.flat(theirs(x))
    close(torch_recurrent.flat(ours(x)), wanted, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ layers, directions, state


def single(recurrent, layer, suffix, **options):
    """Return a layer with one direction and the parameters that end in `suffix`."""
    alone = recurrent.make(batch_first=True, **options)
    own = {name: getattr(layer, name.removesuffix("_l0") + suffix) for name in alone.state_dict()}
    alone.load_state_dict(own)
    return alone


def test_the_second_direction_reads_from_the_end(recurrent):
    layer = recurrent.make(bidirectional=True, batch_first=True)
    forth, back = (single(recurrent, layer, suffix) for suffix in ("_l0", "_l0_reverse"))
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    hx = recurrent.state(layer, BATCH)
    y, final = layer(x, hx)
    own = [[h[d : d + 1] for h in recurrent.flat(hx)] for d in range(2)]
    first, second = (tuple(h) if len(h) > 1 else h[0] for h in own)
    one, one_final = forth(x, first)
    two, two_final = back(x.flip(1), second)
    close([y], [torch.cat([one, two.flip(1)], -1)])
    finals = zip(recurrent.flat(one_final), recurrent.flat(two_final), strict=True)
    close(recurrent.flat(final), [torch.cat(pair) for pair in finals])


def test_each_layer_reads_the_outputs_of_the_layer_below(recurrent):
    layer = recurrent.make(num_layers=2, batch_first=True)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    y, final = layer(x)
    below, below_final = single(recurrent, layer, "_l0")(x)
    recurrent.inputs = layer.output_size
    above, above_final = single(recurrent, layer, "_l1")(below)
    close([y], [above])
    finals = zip(recurrent.flat(below_final), recurrent.flat(above_final), strict=True)
    close(recurrent.flat(final), [torch.cat(pair) for pair in finals])


def test_a_carried_state_continues_the_run(recurrent):
    layer = recurrent.make(num_layers=2, batch_first=True)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    whole, final = layer(x)
    first, state = layer(x[:, :2])
    kept = [h.clone() for h in recurrent.flat(state)]
    second, end = layer(x[:, 2:], state)
    same(recurrent.flat(state), kept)
    close([torch.cat([first, second], 1), *recurrent.flat(end)], [whole, *recurrent.flat(final)])


def test_state_dict_round_trip(recurrent):
    options = {"num_layers": 2, "bidirectional": True}
    layer, other = recurrent.make(**options), recurrent.make(seed=1, **options)
    other.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    same(recurrent.flat(other(x)), recurrent.flat(layer(x)))


def test_every_layer_of_the_package_has_a_name():
    layers = {
        layer
        for layer in vars(l2l_rnn.nn).values()
        if isinstance(layer, type) and issubclass(layer, RecurrentLayer)
    }
    assert set(CELLS.values()) == layers - {RecurrentLayer}
