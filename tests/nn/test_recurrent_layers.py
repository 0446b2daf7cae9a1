"""The recurrent layers against torch's: results, parameters, layouts, ragged batches."""

import copy
import io
import itertools
import pickle
import warnings

import pytest
import torch
from learn2learn.utils import clone_module, update_module
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from l2l_rnn.models.encoder import CELLS

BATCH, STEPS = 3, 5
RAGGED = [[2, 5, 3], [5, 1, 1], [1, 2, 4]]


def close(ours, theirs, rtol=1e-10, atol=1e-12):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


def same(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_layer_has_a_name_for_models(layer_class):
    assert layer_class in CELLS.values()
    assert CELLS[layer_class.__name__.lower()] is layer_class


# ------------------------------------------------------------------ equality with torch

ARRANGEMENTS = [
    {"num_layers": layers, "bidirectional": two_ways, "batch_first": first, "bias": bias}
    for layers, two_ways, first, bias in itertools.product(
        (1, 2), (False, True), (False, True), (True, False)
    )
]


def arrangement(options):
    names = [k for k, v in options.items() if v is True] + [f"{options['num_layers']}layers"]
    return "-".join(names)


@pytest.fixture(params=ARRANGEMENTS, ids=arrangement)
def options(request):
    return request.param


@pytest.fixture
def pair(recurrent, options):
    """Our layer and torch's, with the same parameters."""
    ours, theirs = recurrent.make(**options), recurrent.make_torch(seed=1, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


# How the sequences come, and whether with a state.
FORMS = [
    ("padded", False),
    ("padded", True),
    ("unbatched", True),
    ("packed", False),
    ("packed-unsorted", True),
]


def arguments(form, layer, generator):
    """Return a function from `x` to what the layer is called with, and an `x`."""
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
def test_equals_torch_in_outputs_states_and_both_derivatives(recurrent, pair, form, with_hx):
    wrap, x = arguments(form, pair[0], torch.Generator().manual_seed(2))
    results, derivatives = [], []
    for layer in pair:
        hx = None
        wanted = [x, *layer.parameters()]
        if with_hx:
            hx = recurrent.state(layer, *([] if form == "unbatched" else [BATCH]))
            leaves = [h.requires_grad_() for h in recurrent.flat(hx)]
            wanted += leaves
        result = layer(wrap(x), hx)
        results.append(result)
        derivatives.append(recurrent.derivatives(recurrent.flat(result), wanted))
    assert type(results[0][0]) is type(results[1][0])
    close(recurrent.flat(results[0]), recurrent.flat(results[1]))
    close(*derivatives)
    if form.startswith("packed"):
        for a, b in zip(results[0][0][1:], results[1][0][1:], strict=True):  # sizes and orders
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)


def test_parameters_are_torchs(recurrent, options):
    ours, theirs = recurrent.make(**options), recurrent.make_torch(**options)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    same(list(ours.parameters()), list(theirs.parameters()))  # the same seed, the same values
    other = recurrent.make(seed=4, **options)
    other.load_state_dict(theirs.state_dict(), strict=True)
    same(list(other.parameters()), list(theirs.parameters()))
    theirs.load_state_dict(recurrent.make(seed=5, **options).state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_reset_parameters_is_torchs(recurrent):
    ours, theirs = recurrent.make(), recurrent.make_torch()
    for layer in (ours, theirs):
        torch.manual_seed(11)
        layer.reset_parameters()
    same(list(ours.parameters()), list(theirs.parameters()))


def test_float32_equals_torch(recurrent):
    options = {"num_layers": 2, "bidirectional": True}
    ours = recurrent.make(dtype=torch.float32, **options)
    theirs = recurrent.make_torch(dtype=torch.float32, **options)
    x = torch.randn(STEPS, BATCH, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's LSTM tells which kernel projects
        wanted = recurrent.flat(theirs(x))
    close(recurrent.flat(ours(x)), wanted, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ ragged batches


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
    for other in results[1:]:
        same(results[0], other)


def test_equal_lengths_are_as_none(recurrent):
    layer = recurrent.make(bidirectional=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    given = recurrent.flat(layer(x, lengths=torch.full((BATCH,), STEPS)))
    same(given, recurrent.flat(layer(x)))


@pytest.mark.parametrize("lengths", [[0, 3, 5], [4, 0, 0], [0, 0, 2]], ids=str)
def test_a_sequence_of_no_steps_keeps_its_state(recurrent, lengths):
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


# ------------------------------------------------------------------ as a module


def test_dropout_acts_between_layers_in_training_alone(recurrent):
    layer = recurrent.make(num_layers=2, dropout=0.4)
    plain = recurrent.make(num_layers=2)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    layer.eval()
    same(recurrent.flat(layer(x)), recurrent.flat(plain(x)))
    layer.train()
    assert not torch.equal(layer(x)[0], plain(x)[0])
    assert not torch.equal(layer(x)[0], layer(x)[0])
    torch.manual_seed(0)
    first = layer(x)[0]
    torch.manual_seed(0)
    assert torch.equal(first, layer(x)[0])
    everything = recurrent.make(num_layers=2, dropout=1.0)
    zeros = recurrent.make(num_layers=2)
    zeros.weight_ih_l1.data.zero_()
    close([everything(x)[0]], [zeros(x)[0]])


def test_dropout_keeps_its_share():
    from l2l_rnn.nn import RNN

    torch.manual_seed(0)
    layer = RNN(1, 1, 2, nonlinearity="relu", bias=False, dropout=0.25)
    for parameter in layer.parameters():
        parameter.data.fill_(
            float(parameter is layer.weight_ih_l0 or parameter is layer.weight_ih_l1)
        )
    y, _ = layer(torch.ones(4, 5000, 1))  # each output is its dropout mask, scaled
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs((y == 0).double().mean().item() - 0.25) < 0.02


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: torch.load(_saved(m), weights_only=False),
    ],
    ids=["deepcopy", "pickle", "save"],
)
def test_copies(recurrent, copied):
    layer = recurrent.make(num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    other = copied(layer)
    assert type(other) is type(layer)
    assert repr(other) == repr(layer)
    same(recurrent.flat(other(x)), recurrent.flat(layer(x)))
    assert not {p.data_ptr() for p in other.parameters()} & {
        p.data_ptr() for p in layer.parameters()
    }


def _saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return file


def test_moving(recurrent):
    layer = recurrent.make(dtype=torch.float32, num_layers=2)
    wide = copy.deepcopy(layer).to(torch.float64)
    assert {p.dtype for p in wide.parameters()} == {torch.float64}
    x = torch.randn(STEPS, BATCH, 3)
    torch.testing.assert_close(wide(x.double())[0].float(), layer(x)[0], rtol=1e-5, atol=1e-6)
    half = copy.deepcopy(layer).bfloat16()
    y = half(x.bfloat16(), lengths=torch.tensor([2, 5, 3]))[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(
        y.float(), layer(x, lengths=torch.tensor([2, 5, 3]))[0], rtol=0.1, atol=0.05
    )
    on_meta = layer.to("meta")
    assert on_meta(x.to("meta"))[0].shape == (STEPS, BATCH, layer.output_size)


def test_moving_to_a_gpu(recurrent):
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    layer = recurrent.make(num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    lengths = torch.tensor([2, 5, 3])
    results = []
    for device in ("cpu", "cuda"):
        layer.to(device)
        given = x.to(device).requires_grad_()
        outputs = recurrent.flat(layer(given, lengths=lengths))
        found = recurrent.derivatives(outputs, [given, *layer.parameters()])
        results.append([t.cpu() for t in [*outputs, *found]])
    close(*results)


def test_several_backward_calls_accumulate_exactly(recurrent, options):
    layer = recurrent.make(**options)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    once = torch.autograd.grad(_loss(layer, x), list(layer.parameters()))
    for count in range(1, 4):
        _loss(layer, x).backward()
        close([p.grad for p in layer.parameters()], [count * g for g in once])
    pointers = [p.grad.data_ptr() for p in layer.parameters()]
    assert len(set(pointers)) == len(pointers)  # no two gradients in one place


def _loss(layer, x):
    return layer(x)[0].square().sum()


def test_two_uses_in_one_graph_add_up(recurrent):
    layer = recurrent.make()
    parts = torch.randn(2, STEPS, BATCH, 3, dtype=torch.float64)
    (_loss(layer, parts[0]) + _loss(layer, parts[1])).backward()
    wanted = [
        a + b
        for a, b in zip(
            *(torch.autograd.grad(_loss(layer, x), list(layer.parameters())) for x in parts),
            strict=True,
        )
    ]
    close([p.grad for p in layer.parameters()], wanted)


def test_learn2learns_clone_and_update(recurrent):
    layer = recurrent.make(num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    before = [p.detach().clone() for p in layer.parameters()]
    clone = clone_module(nn.Sequential(layer))[0]
    same(recurrent.flat(clone(x)), recurrent.flat(layer(x)))
    gradients = torch.autograd.grad(_loss(clone, x), list(clone.parameters()), create_graph=True)
    clone = update_module(clone, [-0.1 * g for g in gradients])
    same(list(layer.parameters()), before)
    expected = recurrent.twin(layer)
    for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
        parameter.data -= 0.1 * gradient.detach()
    close(recurrent.flat(clone(x)), recurrent.flat(expected(x)))
    _loss(clone, x).backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_functional_call(recurrent):
    layer, other = recurrent.make(), recurrent.make(seed=1)
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    got = torch.func.functional_call(layer, dict(other.named_parameters()), (x,))
    same(recurrent.flat(got), recurrent.flat(other(x)))


def test_two_layers_may_share_a_weight(recurrent):
    first, second = recurrent.make(), recurrent.make(seed=1)
    second.weight_hh_l0 = first.weight_hh_l0
    apart = copy.deepcopy(first), copy.deepcopy(second)
    apart[1].weight_hh_l0 = nn.Parameter(first.weight_hh_l0.detach().clone())
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    for _ in range(2):
        for layers in ((first, second), apart):
            sum(_loss(layer, x) for layer in layers).backward()
    total = apart[0].weight_hh_l0.grad + apart[1].weight_hh_l0.grad
    close([first.weight_hh_l0.grad], [total])
    close([first.bias_hh_l0.grad], [apart[0].bias_hh_l0.grad])


@pytest.mark.parametrize(
    "parametrization", [parametrizations.weight_norm, parametrizations.orthogonal]
)
def test_parametrised_weights(recurrent, parametrization):
    ours = recurrent.make()
    parametrization(ours, "weight_ih_l0")
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    plain = recurrent.make_torch()
    plain.load_state_dict({n: getattr(ours, n) for n in plain.state_dict()})
    close(recurrent.flat(ours(x)), recurrent.flat(plain(x)))
    _loss(ours, x).backward()
    assert all(p.grad is not None for p in ours.parameters())
    parametrize.remove_parametrizations(ours, "weight_ih_l0")
    close(recurrent.flat(ours(x)), recurrent.flat(plain(x)))


def test_repr_shows_what_was_given(recurrent):
    assert "num_layers=2" in repr(recurrent.make(num_layers=2))
    assert repr(recurrent.make(bias=False)).startswith(f"{recurrent.layer.__name__}(3, 4")


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}, {"proj_size": 2}]
)
def test_without_gradients_torch_computes_the_same(options, batch_first, monkeypatch):
    called = []
    fused = torch.lstm
    monkeypatch.setattr(torch, "lstm", lambda *given: called.append(1) or fused(*given))
    layer = CELLS["lstm"](3, 5, batch_first=batch_first, **options)
    x = torch.randn(4, 6, 3)
    y, state = layer(x)
    assert not called
    for given in ((x,), (x, tuple(s.detach() + 1 for s in state))):
        y, final = layer(*given)
        with torch.no_grad():
            again, final_again = layer(*given)
        torch.testing.assert_close(again, y.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(final_again, tuple(s.detach() for s in final))
    assert len(called) == (0 if "proj_size" in options else 2)
    called.clear()
    with torch.no_grad():
        layer(x, lengths=torch.full((4 if batch_first else 6,), 2))
        copy.deepcopy(layer).double()(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
    assert not called


def test_torchs_kernel_takes_states_of_another_type_and_full_lengths():
    layer, x = CELLS["lstm"](3, 5, batch_first=True), torch.randn(2, 4, 3)
    state = tuple(torch.randn(1, 2, 5, dtype=torch.float64) for _ in range(2))
    y, _ = layer(x, state)
    with torch.no_grad():
        again, _ = layer(x, state, lengths=torch.tensor([4, 4]))
    torch.testing.assert_close(again, y.detach(), rtol=1e-5, atol=1e-6)


def test_weights_computed_from_others_are_differentiated(monkeypatch):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, weight):
            return weight + self.shift

    layer = CELLS["lstm"](3, 5).requires_grad_(False)
    parametrize.register_parametrization(layer, "weight_hh_l0", Shifted())
    monkeypatch.setattr(torch, "lstm", None)  # not to be called
    layer(torch.randn(4, 2, 3))[0].sum().backward()
    assert layer.parametrizations.weight_hh_l0[0].shift.grad is not None
