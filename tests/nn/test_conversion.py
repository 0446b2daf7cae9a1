"""`convert`: the same model, with this package's layers."""

import pickle

import pytest
import torch
from torch import nn

import l2l_rnn.nn
from l2l_rnn.nn import convert

SWAPPED = {
    "RNN": lambda: nn.RNN(3, 4, nonlinearity="relu"),
    "GRU": lambda: nn.GRU(3, 4, num_layers=2, bias=False),
    "LSTM": lambda: nn.LSTM(3, 4, batch_first=True, bidirectional=True, dropout=0.0),
    "LSTM-projected": lambda: nn.LSTM(3, 4, proj_size=2),
    "Linear": lambda: nn.Linear(3, 4),
    "Linear-no bias": lambda: nn.Linear(3, 4, bias=False),
    "Embedding": lambda: nn.Embedding(10, 4, padding_idx=0),
}


@pytest.fixture(params=SWAPPED)
def layer(request):
    torch.manual_seed(0)
    return SWAPPED[request.param]().double()


def given(layer):
    if isinstance(layer, nn.Embedding):
        return torch.randint(0, 10, (5, 2))
    return torch.randn(5, 2, 3, dtype=torch.float64)


def ours(layer):
    return getattr(l2l_rnn.nn, type(layer).__name__)


def outputs(result):
    return result if isinstance(result, torch.Tensor) else result[0]


def test_a_layer_at_the_root(layer):
    before = dict(vars(layer))
    twin = convert(layer)
    assert type(twin) is ours(layer)
    assert vars(layer) == before
    x = given(layer)
    torch.testing.assert_close(outputs(twin(x)), outputs(layer(x)))
    assert list(twin.state_dict()) == list(layer.state_dict())
    for (name, p), (_, q) in zip(twin.named_parameters(), layer.named_parameters(), strict=True):
        assert p is q, name


def test_a_layer_anywhere(layer):
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"a": nn.ModuleList([layer]), "b": nn.Tanh()})
            self.nothing = None
            self.register_module("empty", None)

        def forward(self, x):
            return outputs(self.parts["a"][0](x))

    model = nn.Sequential(Inner())
    twin = convert(model)
    assert type(twin[0]) is Inner
    assert type(twin[0].parts["a"][0]) is ours(layer)
    assert model[0].parts["a"][0] is layer
    assert twin is not model
    assert twin[0].parts is not model[0].parts
    x = given(layer)
    torch.testing.assert_close(twin(x), model(x))
    # one optimizer serves both
    twin(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    torch.testing.assert_close(twin(x), model(x))


def test_pickling_keeps_the_results(layer):
    twin = pickle.loads(pickle.dumps(convert(layer)))
    x = given(layer)
    torch.testing.assert_close(outputs(twin(x)), outputs(layer(x)))


def test_a_converted_layer_is_complete(layer):
    """No attribute is missing or left over from torch's layer."""
    twin = convert(layer)
    if isinstance(layer, nn.RNNBase):
        variant = {"proj_size": layer.proj_size} if layer.mode == "LSTM" else {}
        if layer.mode.startswith("RNN"):
            variant = {"nonlinearity": layer.nonlinearity}
        made = type(twin)(
            3,
            4,
            layer.num_layers,
            bias=layer.bias,
            batch_first=layer.batch_first,
            bidirectional=layer.bidirectional,
            dtype=torch.float64,
            **variant,
        )
        configuration = {"_arguments", "_values"}  # the constructor was not called
        assert set(vars(made)) - configuration <= set(vars(twin))
        assert repr(made) == repr(twin)
    assert not [name for name in vars(twin) if "flat" in name]


def test_a_module_used_twice_stays_shared():
    gru = nn.GRU(3, 3)
    model = nn.ModuleDict({"a": gru, "b": nn.Sequential(gru), "c": nn.Linear(3, 3)})
    twin = convert(model)
    assert twin["a"] is twin["b"][0]
    assert len(list(twin.parameters())) == len(list(model.parameters()))


def test_tied_parameters_stay_tied():
    model = nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 7, bias=False))
    model[1].weight = model[0].weight
    twin = convert(model)
    assert twin[1].weight is twin[0].weight is model[0].weight


def test_buffers_and_plain_parameters_are_shared():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    model.shift = nn.Parameter(torch.zeros(2))
    twin = convert(model)
    assert twin[0].running_mean is model[0].running_mean
    assert twin.shift is model.shift


def test_our_own_layers_are_not_converted():
    model = nn.Sequential(l2l_rnn.nn.GRU(3, 3))
    twin = convert(model)
    assert type(twin[0]) is l2l_rnn.nn.GRU
    assert twin[0].weight_hh_l0 is model[0].weight_hh_l0


@pytest.mark.parametrize(
    "options", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}], ids=str
)
def test_an_embedding_with_other_options_is_not_converted(options):
    model = nn.Sequential(nn.Embedding(5, 3, **options), nn.Linear(3, 2))
    twin = convert(model)
    assert type(twin[0]) is nn.Embedding
    assert type(twin[1]) is l2l_rnn.nn.Linear


def test_mode_and_hooks_are_kept():
    model = nn.Sequential(nn.Linear(3, 3), nn.GRU(3, 3))
    model[1].eval()
    calls = []
    model[1].register_forward_hook(lambda module, x, y: calls.append(type(module)))
    model[0].weight.requires_grad_(False)
    twin = convert(model)
    assert (twin.training, twin[0].training, twin[1].training) == (True, True, False)
    twin(torch.zeros(2, 3))
    assert calls == [l2l_rnn.nn.GRU]
    assert not twin[0].weight.requires_grad
    twin[1].train()
    assert not model[1].training


def test_attributes_set_by_the_user_are_kept():
    model = nn.GRU(3, 3)
    model.note = "kept"
    assert convert(model).note == "kept"
    assert not hasattr(convert(nn.GRU(3, 3)), "note")


def test_a_pickled_model_converts_the_same_way():
    model = pickle.loads(pickle.dumps(nn.Sequential(nn.LSTM(3, 4))))
    assert type(convert(model)[0]) is l2l_rnn.nn.LSTM
