"""The contract of the recurrent layers as modules: dropout, copies, clones, torch's own kernel."""

import copy
import io
import pickle

import pytest
import torch
from learn2learn.utils import clone_module, update_module
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from l2l_rnn.nn import CELLS
from tests.nn.comparison import close, same

BATCH, STEPS = 3, 5


def test_dropout_acts_between_layers_in_training_only(recurrent):
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
    for name, parameter in zeros.named_parameters():
        if name.startswith("weight_i") and name.endswith("_l1"):  # reads the layer below
            parameter.data.zero_()
    close([everything(x)[0]], [zeros(x)[0]])


def test_dropout_rate():
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
    assert len(set(pointers)) == len(pointers)  # no two gradients share memory


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


def test_two_layers_may_share_a_weight(torch_recurrent):
    first, second = torch_recurrent.make(), torch_recurrent.make(seed=1)
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
def test_parametrized_weights(torch_recurrent, parametrization):
    ours = torch_recurrent.make()
    parametrization(ours, "weight_ih_l0")
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    plain = torch_recurrent.make_torch()
    plain.load_state_dict({n: getattr(ours, n) for n in plain.state_dict()})
    close(torch_recurrent.flat(ours(x)), torch_recurrent.flat(plain(x)))
    _loss(ours, x).backward()
    assert all(p.grad is not None for p in ours.parameters())
    parametrize.remove_parametrizations(ours, "weight_ih_l0")
    close(torch_recurrent.flat(ours(x)), torch_recurrent.flat(plain(x)))


def test_repr_shows_the_arguments(recurrent):
    assert "num_layers=2" in repr(recurrent.make(num_layers=2))
    assert repr(recurrent.make(bias=False)).startswith(f"{recurrent.layer.__name__}(3, 4")


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}, {"proj_size": 2}]
)
def test_torchs_kernel_computes_the_same_without_gradients(options, batch_first, monkeypatch):
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


def test_torchs_kernel_takes_a_state_and_full_lengths():
    layer, x = CELLS["lstm"](3, 5, batch_first=True), torch.randn(2, 4, 3)
    state = tuple(torch.randn(1, 2, 5) for _ in range(2))
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
