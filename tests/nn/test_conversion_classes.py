"""`convert` of subclasses of torch's layers, and the report of layers that stay."""

import copy
import pickle
import threading
import warnings

import learn2learn
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import l2l_rnn.nn
from l2l_rnn.errors import ArgumentTypeError, ConversionWarning
from l2l_rnn.nn import convert, to_torch, unconverted


class Named(nn.LSTM):
    """Extra methods, attributes and a constructor of its own."""

    name_of_class = "named"

    def __init__(self, size):
        super().__init__(size, size, batch_first=True)
        self.note = "kept"
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.drop = nn.Dropout(0.0)

    def start(self, batch):
        return tuple(self.scale * self.scale.new_ones(1, batch, self.hidden_size) for _ in range(2))

    def run(self, x):
        return self.drop(self(x, self.start(len(x)))[0])

    @property
    def double_size(self):
        return 2 * self.hidden_size

    def reset_parameters(self):
        super().reset_parameters()
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def extra_repr(self):
        return "mine, " + super().extra_repr()


class MoreNamed(Named):
    def run(self, x):
        return super().run(x) + 1


class NamedLinear(nn.Linear):
    def __init__(self, size):
        super().__init__(size, size)

    def twice(self, x):
        return self(self(x))


class Meta(type(nn.Module)):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.made_by_meta = True
        return made


class WithMeta(nn.GRU, metaclass=Meta):
    pass


@pytest.mark.parametrize("kind", [Named, MoreNamed])
def test_a_subclass_keeps_its_methods(kind):
    torch.manual_seed(0)
    model = nn.ModuleDict({"a": kind(3)})
    twin = convert(model)
    layer = twin["a"]
    assert isinstance(layer, l2l_rnn.nn.LSTM)
    assert isinstance(layer, kind)
    assert unconverted(twin) == {}
    assert (layer.note, layer.double_size, layer.name_of_class) == ("kept", 6, "named")
    assert type(layer).__name__ == kind.__name__
    assert "mine, 3, 3" in repr(layer)
    assert layer.scale is model["a"].scale
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(layer.run(x), model["a"].run(x))
    layer.run(x).sum().backward()
    assert model["a"].scale.grad is not None
    layer.reset_parameters()
    assert torch.equal(model["a"].weight_hh_l0, torch.full((12, 3), 0.1))
    layer(x)
    layer.flatten_parameters()


@pytest.mark.parametrize("kind", [Named, MoreNamed, NamedLinear])
def test_a_converted_subclass_is_copied_pickled_cloned_and_cast(kind):
    torch.manual_seed(0)
    model = kind(3)
    twin = convert(model)
    x = torch.randn(2, 5, 3)

    def run(layer, x):
        return layer.run(x) if hasattr(layer, "run") else layer.twice(x)

    expected = run(model, x)
    for other in (
        copy.deepcopy(twin),
        pickle.loads(pickle.dumps(twin)),
        learn2learn.clone_module(twin),
        convert(twin),
        convert(convert(twin)),
    ):
        assert type(other) is type(twin)
        torch.testing.assert_close(run(other, x), expected)
    cast = copy.deepcopy(twin).double()
    torch.testing.assert_close(run(cast, x.double()), expected.double())
    assert type(cast) is type(twin)
    again = convert(copy.deepcopy(model))
    assert type(again) is type(twin)
    again.load_state_dict(twin.state_dict())


def test_a_subclass_with_a_metaclass_and_a_parametrized_subclass():
    x = torch.randn(5, 2, 3)
    model = WithMeta(3, 4)
    twin = convert(model)
    assert isinstance(twin, l2l_rnn.nn.GRU)
    assert twin.made_by_meta
    torch.testing.assert_close(twin(x), model(x))
    model = MoreNamed(3)
    parametrizations.weight_norm(model, "weight_hh_l0")
    twin = convert(model)
    assert isinstance(twin, l2l_rnn.nn.LSTM)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(twin.run(x), model.run(x))
    torch.testing.assert_close(copy.deepcopy(twin).run(x), model.run(x))


# -- layers that stay -----------------------------------------------------------------------------


class ChangedForward(nn.LSTM):
    def forward(self, x, hx=None):
        y, state = super().forward(x, hx)
        return y + 1, state


class ChangedCall(nn.GRU):
    def __call__(self, *args):
        return super().__call__(*args)


class ChangedCheck(nn.GRU):
    def check_forward_args(self, *args):
        pass


class OwnStep(nn.RNN):
    def step(self, x):
        return x


class OwnSize(nn.RNN):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.output_size = 7


class Replaced(nn.LSTM):
    """As torchnlp's WeightDropLSTM: `forward` is replaced on the instance by a closure."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        forward = self.forward

        def dropped(*args):
            return forward(*args)

        self.forward = dropped


class OwnRecurrence(nn.modules.rnn.RNNBase):
    def __init__(self, *sizes):
        super().__init__("GRU", *sizes)

    def forward(self, x):
        return x, None


class ChangedCell(nn.GRUCell):
    def forward(self, x, hx=None):
        return super().forward(x, hx) + 1


class NamedCell(nn.LSTMCell):
    def start(self, batch):
        return torch.ones(batch, self.hidden_size), torch.ones(batch, self.hidden_size)


def test_a_subclass_of_a_cell():
    model = NamedCell(3, 4)
    twin = convert(model)
    assert isinstance(twin, l2l_rnn.nn.LSTMCell)
    x = torch.randn(2, 3)
    for other in (twin, pickle.loads(pickle.dumps(twin)), copy.deepcopy(twin)):
        torch.testing.assert_close(other(x, other.start(2)), model(x, model.start(2)))
    assert type(to_torch(twin)) is NamedCell


def test_a_cell_that_stays_is_named():
    model = nn.ModuleDict({"cell": ChangedCell(3, 4)})
    with pytest.warns(ConversionWarning, match="'cell': ChangedCell overrides forward"):
        twin = convert(model)
    assert unconverted(twin) == {"cell": "ChangedCell overrides forward"}


STAY = {
    ChangedForward: "ChangedForward overrides forward",
    ChangedCall: "ChangedCall overrides __call__",
    ChangedCheck: "ChangedCheck overrides check_forward_args",
    OwnStep: "OwnStep defines step, which this package's layer uses",
    OwnSize: "OwnSize sets output_size, which this package's layer uses",
    Replaced: "Replaced has its own forward, set on the instance",
    OwnRecurrence: "OwnRecurrence has no counterpart in this package",
}


@pytest.mark.parametrize("kind", STAY, ids=lambda kind: kind.__name__)
def test_a_recurrent_layer_that_stays_is_named(kind):
    torch.manual_seed(0)
    model = nn.ModuleDict({"head": nn.Linear(4, 2), "deep": nn.Sequential(kind(3, 4))})
    with pytest.warns(ConversionWarning) as caught:
        twin = convert(model)
    assert [str(w.message) for w in caught] == [
        f"convert: torch's layer stays at 'deep.0': {STAY[kind]}"
    ]
    assert caught[0].filename == __file__
    assert unconverted(twin) == unconverted(model) == {"deep.0": STAY[kind]}
    assert type(twin["deep"][0]) is kind
    assert twin["deep"][0] is not model["deep"][0]
    assert type(twin["head"]) is l2l_rnn.nn.Linear
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(twin["deep"][0](x)[0], model["deep"][0](x)[0])


def test_unconverted_lists_all_kinds_of_recurrent_layers():
    quantized = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)))
    model = nn.ModuleDict(
        {
            "gru": nn.GRU(3, 4),
            "ours": l2l_rnn.nn.GRU(3, 4),
            "linear": nn.Linear(3, 4),
            "scripted": torch.jit.script(nn.Sequential(nn.LSTM(3, 4))),
            "quantized": quantized,
            "named": Named(3),
        }
    )
    model.hidden = [nn.RNN(3, 4)]
    found = unconverted(model)
    assert found == {
        "gru": "torch.nn.GRU is not converted",
        "scripted.0": "LSTM is compiled by TorchScript; convert the model before that",
        "quantized.0": "LSTM has no counterpart in this package",
        "named": "Named is not converted",
        "hidden[0]": "torch.nn.RNN is not converted",
    }
    assert list(unconverted(nn.LSTM(3, 4))) == [""]
    with pytest.warns(ConversionWarning) as caught:
        twin = convert(model)
    assert len(caught) == 2
    assert set(unconverted(twin)) == {"scripted.0", "quantized.0"}
    assert twin["scripted"] is model["scripted"]
    x = torch.randn(5, 2, 3)
    for name in ("scripted", "quantized"):
        torch.testing.assert_close(twin[name](x)[0], model[name](x)[0])


def test_a_layer_inside_another_object_is_named():
    class Holder:
        def __init__(self):
            self.layer = nn.GRU(3, 4)

    model = nn.Sequential(nn.Linear(3, 3))
    model.holder = Holder()
    with pytest.warns(ConversionWarning, match="inside another object: torch.nn.GRU"):
        convert(model)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_layers_of_torch_that_are_not_recurrent_stay_without_a_warning():
    class Mine(nn.Linear):
        def forward(self, x):
            return super().forward(x).exp()

    model = nn.Sequential(
        Mine(3, 3),
        nn.Conv1d(3, 3, 1),
        nn.LazyLinear(3),
        nn.MultiheadAttention(3, 1),
        nn.Embedding(3, 3, max_norm=1.0),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConversionWarning)
        twin = convert(model)
    assert [type(part) for part in twin] == [type(part) for part in model]
    assert unconverted(twin) == {}
    assert type(twin[3].out_proj) is type(model[3].out_proj)
    x = torch.randn(2, 3)
    torch.testing.assert_close(twin[0](x), model[0](x))
    torch.testing.assert_close(twin[2](x), model[2](x))  # they share the weight made by the first
    attended = torch.randn(4, 2, 3)
    torch.testing.assert_close(twin[3](*[attended] * 3), model[3](*[attended] * 3))


def test_a_transformer_converts():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    twin = convert(model)
    x = torch.randn(2, 5, 8)
    for training in (True, False):
        results = []
        for made in (model, twin):
            torch.manual_seed(1)
            results.append(made.train(training)(x))
        torch.testing.assert_close(*results)
    with torch.no_grad():
        torch.testing.assert_close(twin(x), model(x))


def test_a_model_that_cannot_be_copied():
    model = nn.Sequential(nn.GRU(3, 4))
    model.lock = threading.Lock()
    with pytest.raises(ArgumentTypeError, match=r"convert: .*cannot be copied.*lock.*remove it"):
        convert(model)


@pytest.mark.parametrize("given", [nn.GRU, None, "model"])
def test_convert_takes_modules_only(given):
    with pytest.raises(ArgumentTypeError, match=r"model must be a torch\.nn\.Module"):
        convert(given)
