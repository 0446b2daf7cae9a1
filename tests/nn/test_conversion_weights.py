"""`convert` of layers with weights that are computed, tied, frozen, adapted or hidden."""

import copy
import gc
import warnings

import learn2learn
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

import l2l_rnn.nn
from l2l_rnn.nn import convert, unconverted
from tests.nn.comparison import close


class Scaled(nn.Module):
    """A parametrization that has a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, weight):
        return weight * self.log_scale.exp()


def scaled(layer, name):
    parametrize.register_parametrization(layer, name, Scaled())


def scaled_twice(layer, name):
    scaled(layer, name)
    scaled(layer, name)


NORMS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "custom": scaled,
    "custom, twice": scaled_twice,
    "old weight norm": old_weight_norm,
    "old spectral norm": old_spectral_norm,
}
LAYERS = {
    "RNN": lambda: nn.RNN(3, 4),
    "GRU": lambda: nn.GRU(3, 4, num_layers=2),
    "LSTM": lambda: nn.LSTM(3, 4, bidirectional=True),
    "Linear": lambda: nn.Linear(3, 4),
    "Embedding": lambda: nn.Embedding(9, 4),
}


def given(layer):
    if isinstance(layer, nn.Embedding):
        return torch.tensor([[1, 2, 0], [3, 1, 1]])
    return torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def outputs(result):
    return result if isinstance(result, torch.Tensor) else result[0]


def derivatives(model, tensors, *inputs):
    """Return the outputs of a model, and their first and second derivatives w.r.t. tensors."""
    y = outputs(model(*inputs))
    first = torch.autograd.grad(y.sin().square().sum(), tensors, create_graph=True)
    value = sum((g * (i + 1)).sin().sum() for i, g in enumerate(first))
    second = torch.autograd.grad(value, tensors, allow_unused=True)
    pairs = zip(second, tensors, strict=True)
    return [y, *first, *(torch.zeros_like(t) if g is None else g for g, t in pairs)]


def assert_equal(model, twin, *inputs):
    """Two models that share their parameters have the same outputs and derivatives."""
    tensors = list(model.parameters())
    assert all(p is q for p, q in zip(tensors, twin.parameters(), strict=True))
    assert list(model.state_dict()) == list(twin.state_dict())
    close(derivatives(twin, tensors, *inputs), derivatives(model, tensors, *inputs))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.filterwarnings("ignore:torch.nn.utils.weight_norm is deprecated")
def test_computed_weights(norm, kind):
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    NORMS[norm](layer, "weight_hh_l0" if isinstance(layer, nn.RNNBase) else "weight")
    x = given(layer)
    for _ in range(5):
        layer(x)
    model = nn.ModuleList([layer]).eval()  # spectral norm changes its buffers in training
    twin = convert(model)
    assert isinstance(twin[0], getattr(l2l_rnn.nn, kind))
    assert unconverted(twin) == {}
    assert_equal(model[0], twin[0], x)
    # and again from the twin, whose weights were computed meanwhile
    assert_equal(model[0], convert(twin)[0], x)


@pytest.mark.parametrize("norm", ["spectral norm", "old spectral norm"])
def test_spectral_norm_takes_one_step_in_each_call(norm):
    """In training, a call takes one step of the power method, as in torch's Linear."""
    torch.manual_seed(0)
    layer = nn.Linear(30, 40).double()
    NORMS[norm](layer, "weight")
    theirs = copy.deepcopy(nn.Sequential(layer))
    ours = convert(copy.deepcopy(theirs))
    x = torch.randn(2, 30, dtype=torch.float64)
    for _ in range(3):
        close([ours(x)], [theirs(x)])


def test_a_weight_of_a_recurrent_layer_is_computed_once_in_a_call(recurrent):
    calls = []

    class Counted(nn.Module):
        def forward(self, weight):
            calls.append(1)
            return weight * 1

    layer = recurrent.make(batch_first=True)
    parametrize.register_parametrization(layer, "weight_ih_l0", Counted())
    calls.clear()
    layer(torch.randn(2, 5, 3, dtype=torch.float64))
    assert len(calls) == 1


def test_removing_a_parametrization_from_a_converted_model():
    model = nn.Sequential(parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"))
    twin = convert(model)
    x = torch.randn(5, 2, 3)
    before = twin(x)[0]
    parametrize.remove_parametrizations(twin[0], "weight_hh_l0")
    assert type(twin[0]) is l2l_rnn.nn.LSTM
    assert parametrize.is_parametrized(model[0])
    torch.testing.assert_close(twin(x)[0], before)
    torch.testing.assert_close(model(x)[0], before)


# -- weight drop, as AWD-LSTMs have it ------------------------------------------------------------


class RawOutside(nn.Module):
    """fastai's `WeightDropout`: the raw weight is the wrapper's, the computed one an attribute."""

    registers = False

    def __init__(self, module, name="weight_hh_l0", p=0.5):
        super().__init__()
        self.module, self.name, self.p = module, name, p
        weight = getattr(module, name)
        delattr(module, name)
        self.register_parameter(f"{name}_raw", nn.Parameter(weight.data))
        self.set_weight()
        module.flatten_parameters = self.do_nothing

    def set_weight(self):
        raw = getattr(self, f"{self.name}_raw")
        weight = F.dropout(raw, p=self.p) if self.training else raw.clone()
        if self.registers:
            self.module._parameters[self.name] = weight
        else:
            setattr(self.module, self.name, weight)

    def forward(self, *args):
        self.set_weight()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.module(*args)

    def do_nothing(self):
        pass


class RegisteredOutside(RawOutside):
    """fastai 1: the computed weight is put among the parameters."""

    registers = True


class RawInside(nn.Module):
    """Salesforce's `WeightDrop`: both weights are the layer's, and `forward` is called directly."""

    def __init__(self, module, name="weight_hh_l0", p=0.5):
        super().__init__()
        self.module, self.name, self.p = module, name, p
        module.flatten_parameters = self.do_nothing
        weight = getattr(module, name)
        del module._parameters[name]
        module.register_parameter(f"{name}_raw", nn.Parameter(weight.data))

    def forward(self, *args):
        raw = getattr(self.module, f"{self.name}_raw")
        ones = torch.ones(len(raw), 1, dtype=raw.dtype)
        mask = F.dropout(ones, p=self.p, training=self.training)
        setattr(self.module, self.name, mask.expand_as(raw) * raw)
        return self.module.forward(*args)

    def do_nothing(*args, **kwargs):
        return


DROPS = {drop.__name__: drop for drop in (RawOutside, RegisteredOutside, RawInside)}


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drop", DROPS)
def test_weight_drop(drop, training, called):
    torch.manual_seed(0)
    model = DROPS[drop](nn.LSTM(3, 4).double()).train(training)
    x = given(model.module)
    if called:
        model(x)
    twin = convert(model)
    assert type(twin.module) is l2l_rnn.nn.LSTM
    assert twin.module.flatten_parameters.__self__ is twin
    raw = [p for p in model.parameters() if p.is_leaf]
    shared = [p for p in twin.parameters() if p.is_leaf]
    assert all(p is q for p, q in zip(raw, shared, strict=True))
    torch.manual_seed(1)
    expected = derivatives(model, raw, x)
    torch.manual_seed(1)
    close(derivatives(twin, raw, x), expected)
    assert type(model.module) is nn.LSTM


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of learn2learn's clones of torch's LSTM
def test_weight_drop_learns_in_learn2learn():
    torch.manual_seed(0)
    model = RawOutside(nn.LSTM(3, 4).double(), p=0.2)
    x = given(model.module)
    found = []
    for made in (model, convert(model)):
        torch.manual_seed(1)
        learner = learn2learn.algorithms.MAML(made, lr=0.1).clone()
        for _ in range(2):
            learner.adapt(learner(x)[0].square().mean())
        leaves = list(model.parameters())
        found.append(torch.autograd.grad(learner(x)[0].square().mean(), leaves))
    close(*map(list, found))


# -- tensors with a graph, adapted models, tied and hidden weights --------------------------------


class Holder(nn.Module):
    """A model that keeps tensors of earlier calls."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4)
        self.head = nn.Linear(4, 2)
        self.last, self.history, self.named = None, [], {}

    def forward(self, x):
        y, h = self.gru(x)
        self.last, self.named["h"] = y, h
        self.history.append((h, {"y": y}))
        return self.head(y)


def test_a_model_that_holds_tensors_with_a_graph():
    model = Holder().double()
    x = given(model.gru)
    model(x)
    twin = convert(model)
    assert twin.last is model.last
    assert twin.history is not model.history
    assert twin.history[0][1]["y"] is model.last
    assert twin.named["h"] is model.named["h"]
    assert_equal(model, twin, x)
    assert len(model.history) == len(twin.history) == 2  # each model has its own list
    assert type(convert(nn.Sequential(model))[0].gru) is l2l_rnn.nn.GRU


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_an_adapted_model():
    torch.manual_seed(0)
    model = Holder().double()
    x = given(model.gru)
    learner = learn2learn.algorithms.MAML(model, lr=0.1).clone()
    learner.adapt(learner(x).square().mean())
    assert not next(learner.parameters()).is_leaf
    leaves = list(model.parameters())
    expected = torch.autograd.grad(learner(x).square().mean(), leaves, retain_graph=True)
    for twin in (convert(learner), convert(learner.module)):
        got = torch.autograd.grad(twin(x).square().mean(), leaves, retain_graph=True)
        close(list(got), list(expected))
    # an adapted learner goes on with our layers
    twin = convert(learner)
    for each in (learner, twin):
        each.adapt(each(x).square().mean())
    close([twin(x)], [learner(x)])


def test_frozen_weights_other_dtypes_and_modes():
    model = nn.ModuleDict({"a": nn.GRU(3, 4).to(torch.bfloat16), "b": nn.LSTM(3, 4).double()})
    model["a"].weight_ih_l0.requires_grad_(False)
    model["b"].eval()
    model["c"] = nn.RNN(3, 4, device="meta")
    twin = convert(model)
    assert not twin["a"].weight_ih_l0.requires_grad
    assert twin["a"].weight_ih_l0.dtype == torch.bfloat16
    assert (twin["a"].training, twin["b"].training) == (True, False)
    assert twin["b"].weight_ih_l0.dtype == torch.float64
    assert twin["c"].weight_ih_l0.is_meta


def test_recurrent_layers_with_tied_weights():
    torch.manual_seed(0)
    first, second = nn.LSTM(4, 4), nn.LSTM(4, 4)
    second.weight_hh_l0 = first.weight_hh_l0
    model = nn.Sequential(first, nn.Identity()).double()
    model.other = second.double()
    twin = convert(model)
    assert twin[0].weight_hh_l0 is twin.other.weight_hh_l0 is first.weight_hh_l0
    assert len(list(twin.parameters())) == len(list(model.parameters()))


class Listed(nn.Module):
    """A model that calls its layers through a list, a tuple, a dict and a bound method."""

    def __init__(self, registered):
        super().__init__()
        layers = [nn.GRU(3, 3), nn.RNN(3, 3), nn.LSTM(3, 3), nn.Linear(3, 3)]
        if registered:
            self.registered = nn.ModuleList(layers)
        self.listed = [layers[0]]
        self.in_tuple = (layers[1],)
        self.in_dict = {"lstm": layers[2]}
        self.method = layers[3].forward

    def forward(self, x):
        for layer in (*self.listed, *self.in_tuple, self.in_dict["lstm"]):
            x = layer(x)[0]
        return self.method(x)


@pytest.mark.parametrize("registered", [True, False])
def test_layers_that_are_called_through_other_references(registered):
    torch.manual_seed(0)
    model = Listed(registered)
    twin = convert(model)
    ours = twin.listed[0], twin.in_tuple[0], twin.in_dict["lstm"], twin.method.__self__
    assert [type(layer) for layer in ours] == [
        l2l_rnn.nn.GRU,
        l2l_rnn.nn.RNN,
        l2l_rnn.nn.LSTM,
        l2l_rnn.nn.Linear,
    ]
    if registered:
        assert list(twin.registered) == list(ours)
    assert twin.listed[0].weight_hh_l0 is model.listed[0].weight_hh_l0
    assert type(model.method.__self__) is nn.Linear
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(twin(x), model(x))


def test_hooks_see_the_converted_model():
    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 3)
            self.seen = []
            self.gru.register_forward_hook(self.see)
            self.gru.register_forward_pre_hook(self.see_input, with_kwargs=True)

        def see(self, layer, inputs, result):
            self.seen.append(layer)

        def see_input(self, layer, inputs, keywords):
            self.seen.append(inputs[0])

        def forward(self, x):
            return self.gru(x)[0]

    model = Hooked()
    twin = convert(model)
    x = torch.zeros(2, 1, 3)
    twin(x)
    assert model.seen == []
    assert twin.seen[0] is x
    assert twin.seen[1] is twin.gru


def test_a_model_without_anything_to_swap():
    model = nn.Sequential(nn.Conv1d(3, 4, 1), nn.ReLU())
    twin = convert(model)
    assert twin[0].weight is model[0].weight
    assert convert(nn.Identity()) is not None


def test_the_original_is_collected():
    """A converted model holds no reference to the original, other than its tensors."""
    import weakref

    model = nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 2))
    layer = weakref.ref(model[0])
    twin = convert(model)
    del model
    gc.collect()
    assert layer() is None
    assert twin[1].weight is not None
