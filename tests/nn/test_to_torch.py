"""`to_torch`: the same model, with torch's layers."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import l2l_rnn.nn
from l2l_rnn.algorithms import MAML, ProtoNet, select_task
from l2l_rnn.errors import ArgumentTypeError, ConversionWarning, ShapeError
from l2l_rnn.memory import NTM
from l2l_rnn.models import SequenceClassifier, SequenceEncoder
from l2l_rnn.nn import LSTM, Embedding, LayerNorm, Linear, MinGRU, convert, to_torch, unconverted
from tests.nn.comparison import close

OURS = {
    "RNN": lambda: l2l_rnn.nn.RNN(3, 4, nonlinearity="relu"),
    "GRU": lambda: l2l_rnn.nn.GRU(3, 4, num_layers=2, bias=False, dropout=0.5),
    "LSTM": lambda: LSTM(3, 4, batch_first=True, bidirectional=True),
    "LSTM-dropout, one layer": lambda: LSTM(3, 4, dropout=0.5),
    "LSTM-projected": lambda: LSTM(3, 4, proj_size=2),
    "RNNCell": lambda: l2l_rnn.nn.RNNCell(3, 4, nonlinearity="relu"),
    "GRUCell": lambda: l2l_rnn.nn.GRUCell(3, 4, bias=False),
    "LSTMCell": lambda: l2l_rnn.nn.LSTMCell(3, 4),
    "Linear": lambda: Linear(3, 4),
    "Embedding": lambda: Embedding(10, 4, padding_idx=0),
    "LayerNorm": lambda: LayerNorm(3),
}


@pytest.fixture(params=OURS)
def layer(request):
    torch.manual_seed(0)
    return OURS[request.param]().double()


def given(layer):
    if isinstance(layer, nn.Embedding):
        return torch.randint(0, 10, (5, 2))
    if isinstance(layer, nn.RNNCellBase):
        return torch.randn(5, 3, dtype=torch.float64)
    return torch.randn(5, 2, 3, dtype=torch.float64)


def outputs(result):
    return result if isinstance(result, torch.Tensor) else result[0]


def test_a_layer_at_the_root_and_deep(layer):
    twin = to_torch(nn.ModuleDict({"a": nn.ModuleList([layer])}))["a"][0]
    for made in (twin, to_torch(layer)):
        assert type(made) is getattr(nn, type(layer).__name__)
        assert list(made.state_dict()) == list(layer.state_dict())
        for p, q in zip(made.parameters(), layer.parameters(), strict=True):
            assert p is q
        x = given(layer)
        close([outputs(made.eval()(x))], [outputs(layer.eval()(x))])
        assert repr(made).startswith(type(layer).__name__)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_twin_is_complete(layer):
    """It has every attribute of a layer that torch made, and can be cast, copied and pickled."""
    twin = to_torch(layer).eval()
    x = given(layer)
    expected = outputs(twin(x))
    for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        close([outputs(other(x))], [expected])
    assert outputs(copy.deepcopy(twin).float()(x if x.dtype == torch.long else x.float())).dtype
    if isinstance(twin, nn.RNNBase):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dropout in one layer
            made = type(twin)(3, 4, twin.num_layers, dropout=twin.dropout)
        assert set(vars(made)) <= set(vars(twin))
        assert twin.mode == ("RNN_RELU" if type(twin) is nn.RNN else type(twin).__name__)
        twin.flatten_parameters()


def test_there_and_back(layer):
    again = convert(to_torch(layer))
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    assert all(p is q for p, q in zip(again.parameters(), layer.parameters(), strict=True))
    x = given(layer)
    assert torch.equal(outputs(again.eval()(x)), outputs(layer.eval()(x)))


class Mine(nn.LSTM):
    def twice(self, x):
        return self(self(x)[0])[0]


def test_a_subclass_gets_its_own_class_back():
    model = nn.Sequential(Mine(3, 3))
    twin = to_torch(convert(model))
    assert type(twin[0]) is Mine
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(twin[0].twice(x), model[0].twice(x))


def test_parametrized_tied_and_shared_layers():
    torch.manual_seed(0)
    rnn = parametrizations.weight_norm(l2l_rnn.nn.GRU(3, 3), "weight_hh_l0")
    model = nn.ModuleDict({"a": rnn, "b": nn.Sequential(rnn), "e": Embedding(7, 3)})
    model["out"] = Linear(3, 7, bias=False)
    model["out"].weight = model["e"].weight
    twin = to_torch(model)
    assert isinstance(twin["a"], nn.GRU)
    assert twin["a"] is twin["b"][0]
    assert twin["out"].weight is twin["e"].weight is model["e"].weight
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(twin["a"](x), model["a"](x))


def test_layers_without_a_counterpart_stay_and_are_named():
    model = nn.ModuleDict({"a": MinGRU(3, 4), "b": NTM(3, 4), "c": LSTM(3, 4), "d": nn.ReLU()})
    with pytest.warns(ConversionWarning) as caught:
        twin = to_torch(model)
    assert [str(w.message) for w in caught] == [
        "to_torch: this package's layer stays at 'a': MinGRU has no counterpart in torch",
        "to_torch: this package's layer stays at 'b': NTM has no counterpart in torch",
    ]
    assert caught[0].filename == __file__
    assert type(twin["a"]) is MinGRU
    assert type(twin["c"]) is nn.LSTM
    assert list(unconverted(twin)) == ["c"]


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = LSTM(3, 4, batch_first=True)
        self.head = Linear(4, 2)
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1]) + self.shift


@pytest.mark.parametrize("route", ["own", "classifier"])
def test_learners(route):
    torch.manual_seed(0)
    model = Own() if route == "own" else SequenceClassifier(2, input_size=3, hidden_size=4)
    maml = MAML(model, lr=0.1)
    x = torch.randn(2, 5, 6, 3)
    close([to_torch(maml)(x[0])], [maml(x[0])], rtol=1e-5, atol=1e-6)
    learner = maml.clone(tasks=2)
    learner.adapt(learner(x).square().mean((1, 2)))
    for given in (learner, learner.module):
        with pytest.raises(ShapeError, match=r"N=2 tasks; .*algorithms\.select_task\(learner, n\)"):
            to_torch(given)
    for n in range(2):
        one = select_task(learner, n)
        exported = to_torch(one.module)
        assert all(isinstance(p, nn.Parameter) for p in exported.parameters())
        assert not unconverted(convert(exported))
        close([exported(x[n]), one(x[n])], [learner(x)[n]] * 2, rtol=1e-5, atol=1e-6)
        assert not one.module.head.weight.is_leaf


def test_another_learner():
    torch.manual_seed(0)
    learner = ProtoNet(SequenceEncoder(input_size=3, hidden_size=4), ways=3).clone()
    x, y = torch.randn(6, 5, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    exported = to_torch(learner)
    for each in (learner, exported):
        each.adapt(nn.functional.cross_entropy(each(x), y))
    torch.testing.assert_close(exported(x), learner(x))


@pytest.mark.parametrize("given", [LSTM, None])
def test_to_torch_takes_modules_only(given):
    with pytest.raises(ArgumentTypeError, match=r"to_torch: model must be a torch\.nn\.Module"):
        to_torch(given)
