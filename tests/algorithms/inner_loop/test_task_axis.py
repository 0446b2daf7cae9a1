"""Calls of a user's own model through `clone(tasks=N)`: equal to a loop over `clone()`."""

import collections
import copy
import dataclasses
import functools
import pickle
import types
import typing
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from l2l_rnn.algorithms import ANIL, MAML, select_task
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.nn import LSTM, LayerNorm, Linear, convert

TASKS, BATCH, STEPS, FEATURES, WAYS = 3, 4, 5, 2, 3


class Named(typing.NamedTuple):
    scores: torch.Tensor
    note: str


@dataclasses.dataclass
class Output:
    scores: torch.Tensor
    hidden: tuple = ()
    loss: float | None = None


class Model(nn.Module):
    """A typical model, which declares nothing."""

    def __init__(self):
        super().__init__()
        self.lstm = LSTM(FEATURES, 4, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Sequential(Linear(4, 4), nn.Tanh(), nn.Linear(4, WAYS))
        self.layers = nn.ModuleList([nn.Linear(WAYS, WAYS), LayerNorm(WAYS)])

    @property
    def weight_norm(self):
        return self.head[2].weight.norm()

    @property
    def ways(self):
        return WAYS

    def encode(self, x, *, scale=1.0):
        return scale * self.norm(self.lstm(x)[0].mean(1))

    def initial(self, batch):
        return torch.zeros(batch, 4, dtype=torch.float64)

    def forward(self, x):
        return self.head(self.encode(x))


def make(model=Model, **options):
    torch.manual_seed(0)
    return MAML(model().double(), lr=0.5, **options)


def inputs(*shape):
    generator = torch.Generator().manual_seed(1)
    shape = shape or (TASKS, BATCH, STEPS, FEATURES)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def adapted(maml, steps=1):
    """Return one learner for all tasks and one learner per task, adapted to the same losses."""
    many, x = maml.clone(tasks=TASKS), inputs()
    singles = [copy.deepcopy(maml).clone() for _ in range(TASKS)]
    for _ in range(steps):
        many.adapt(many(x).square().mean((1, 2)), allow_unused=True)
        for n, single in enumerate(singles):
            single.adapt(single(x[n]).square().mean(), allow_unused=True)
    return many, singles, x


def close(got, expected):
    torch.testing.assert_close(got, torch.stack(list(expected)), rtol=1e-10, atol=1e-12)


def test_methods():
    many, singles, x = adapted(make())
    close(many.encode(x), [one.encode(x[n]) for n, one in enumerate(singles)])
    close(many.encode(x, scale=2.0), [one.encode(x[n], scale=2.0) for n, one in enumerate(singles)])
    close(many.encode(x=x), [one.encode(x=x[n]) for n, one in enumerate(singles)])
    assert many.encode.__name__ == "encode"


def test_the_tensors_of_a_method_have_the_task_axis_even_if_all_tasks_share_them():
    assert make().clone(tasks=TASKS).initial(2).shape == (TASKS, 2, 4)


def test_adapting_to_the_loss_of_a_method():
    many, singles, x = adapted(make())
    many.adapt(many.encode(x).square().mean((1, 2)), allow_unused=True)
    for n, one in enumerate(singles):
        one.adapt(one.encode(x[n]).square().mean(), allow_unused=True)
    close(many(x), [one(x[n]) for n, one in enumerate(singles)])


def test_submodules():
    many, singles, _ = adapted(make())
    z, y = inputs(TASKS, BATCH, 4), inputs(TASKS, BATCH, WAYS)
    close(many.head(z), [one.head(z[n]) for n, one in enumerate(singles)])
    close(many.norm(z), [one.norm(z[n]) for n, one in enumerate(singles)])
    close(many.head[2](z), [one.head[2](z[n]) for n, one in enumerate(singles)])
    close(many.head.forward(z), many.head(z))
    for k, layer in enumerate(many.layers):
        close(layer(y), [one.layers[k](y[n]) for n, one in enumerate(singles)])
    assert len(many.layers) == 2
    assert many.head[2].weight.shape == (TASKS, WAYS, 4)
    assert "Linear" in repr(many.head)


def test_methods_of_torch_modules_are_plain():
    many = make().clone(tasks=TASKS)
    many.norm.eval()
    assert not many.module.norm.training
    many.norm.train()
    assert many.module.norm.training
    assert many.head.state_dict()["2.weight"].shape == (TASKS, WAYS, 4)
    assert [p.shape[0] for p in many.head.parameters()] == [TASKS] * 4


def test_properties():
    many, singles, _ = adapted(make())
    close(many.weight_norm, [one.weight_norm for one in singles])
    assert many.ways == WAYS


def test_unknown_attributes():
    many = make().clone(tasks=TASKS)
    for owner in (many, many.head):
        with pytest.raises(AttributeError, match="unknown"):
            owner.unknown  # noqa: B018


OUTPUTS = {
    "tuple": lambda y: (y, None, 2, "text"),
    "list": lambda y: [y, [y + 1]],
    "named tuple": lambda y: Named(y, "text"),
    "dictionary": lambda y: {"scores": y, "more": {"length": 3}},
    "ordered dictionary": lambda y: collections.OrderedDict(b=y, a=2 * y),
    "dataclass": lambda y: Output(y, (y.sum(),)),
    "shared": lambda y: (y, torch.ones(2)),
    "no tensors": lambda y: (1, None),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs(kind):
    class Wrapped(Model):
        def forward(self, x):
            return OUTPUTS[kind](super().forward(x))

    maml = make(Wrapped)
    many, singles, x = maml.clone(tasks=TASKS), [maml.clone() for _ in range(TASKS)], inputs()
    many.eval()
    for single in singles:
        single.eval()
    got, expected = many(x), [single(x[n]) for n, single in enumerate(singles)]
    assert_same(got, expected)


def assert_same(got, expected):
    assert type(got) is type(expected[0])
    if isinstance(got, torch.Tensor):
        close(got, expected)
    elif dataclasses.is_dataclass(got):
        assert_same(vars(got), [vars(one) for one in expected])
    elif isinstance(got, dict):
        assert list(got) == list(expected[0])
        for key, value in got.items():
            assert_same(value, [one[key] for one in expected])
    elif isinstance(got, (tuple, list)):
        assert len(got) == len(expected[0])
        for k, value in enumerate(got):
            assert_same(value, [one[k] for one in expected])
    else:
        assert all(got == one for one in expected)


class ManyInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = Linear(FEATURES, WAYS)

    def forward(self, batch, scale, extra=None, *, mask=None, name="x"):
        y = self.linear(batch["x"]) * scale
        y = y if mask is None else y * mask.unsqueeze(-1)
        return (y if extra is None else y + extra.scores), name


def test_inputs():
    maml = make(ManyInputs)
    many, single, x = maml.clone(tasks=TASKS), maml.clone(), inputs(TASKS, BATCH, FEATURES)
    extra, mask = inputs(TASKS, 1, WAYS), inputs(TASKS, BATCH) > 0
    for scale in (2.0, torch.tensor(2.0), inputs(TASKS)):
        each = scale if isinstance(scale, torch.Tensor) and scale.dim() else [scale] * TASKS
        got, name = many({"x": x}, scale, extra=Output(extra), mask=mask, name="other")
        expected = [
            single({"x": x[n]}, each[n], Output(extra[n]), mask=mask[n])[0] for n in range(TASKS)
        ]
        close(got, expected)
        assert name == "other"


@pytest.mark.parametrize("method", ["forward", "encode", "submodule"])
def test_an_input_without_the_task_axis_raises(method):
    many = make().clone(tasks=TASKS)
    call = {"forward": many, "encode": many.encode, "submodule": many.norm}[method]
    with pytest.raises(ShapeError, match=r"N=3 tasks first, got shape \(4, 5, 2\)"):
        call(inputs()[0])


class Stateful(Model):
    """Keeps hidden states, a history, a count and a cache between calls."""

    def __init__(self):
        super().__init__()
        self.hidden, self.history, self.count, self.cache = None, [], 0, {"names": ["a"]}
        self.register_buffer("mean", torch.zeros(4))

    def reset(self):
        self.hidden = None

    def forward(self, x):
        outputs, self.hidden = self.lstm(x, self.hidden)
        self.history.append(outputs[:, -1])
        self.count += 1
        self.cache["last"] = outputs.mean()
        self.mean = 0.5 * self.mean + outputs.mean((0, 1)).detach()
        return self.head(outputs[:, -1] + self.mean)


def test_kept_state():
    many, singles, x = adapted(make(Stateful), steps=2)
    close(many(x), [one(x[n]) for n, one in enumerate(singles)])
    for k in range(2):
        close(many.hidden[k], [one.hidden[k] for one in singles])
    close(many.history[1], [one.history[1] for one in singles])
    close(many.cache["last"], [one.cache["last"] for one in singles])
    close(many.mean, [one.mean for one in singles])
    assert many.count == singles[0].count == 3
    assert many.cache["names"] == ["a"]
    assert many.state_dict()["module.mean"].shape == (TASKS, 4)


def test_kept_state_may_be_replaced():
    maml = make(Stateful)
    many, x = maml.clone(tasks=TASKS), inputs()
    first = many(x)
    many.module.hidden = tuple(part.detach() for part in many.hidden)
    second = many(x)
    assert not torch.equal(first, second)
    many.reset()
    assert many.hidden is None
    many.module.mean = torch.zeros_like(many.mean)
    close(many(x), list(first))
    many.module.hidden = tuple(part[0] for part in many.hidden)
    with pytest.raises(ShapeError, match=r"hidden must be \(N, …\) with N=3"):
        many(x)


def test_kept_state_belongs_to_one_learner():
    maml = make(Stateful)
    many, x = maml.clone(tasks=TASKS), inputs()
    many(x)
    assert maml.module.hidden is None
    assert maml.module.history == []
    again = many.clone()
    again(x)
    assert (len(many.history), len(again.history)) == (1, 2)
    assert maml.clone(tasks=TASKS).hidden is None


def test_a_failed_call_changes_nothing():
    class Failing(Stateful):
        fails = True

        def forward(self, x):
            result = super().forward(x)
            if self.fails:
                raise ValueError("failed")
            return result

    many = make(Failing).clone(tasks=TASKS)
    with pytest.raises(ValueError, match="failed"):
        many(inputs())
    assert (many.hidden, many.history, many.count) == (None, [], 0)
    assert all(p.shape[0] == TASKS for p in many.module.parameters())
    many.module.fails = False
    many(inputs())
    assert many.count == 1


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("calls", [1, 2])
def test_running_statistics_are_those_of_a_loop(momentum, calls):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = Linear(FEATURES, FEATURES)
            self.batch = nn.BatchNorm1d(FEATURES, momentum=momentum)
            self.instance = nn.InstanceNorm1d(FEATURES, track_running_stats=True, momentum=0.3)

        def forward(self, x):
            for _ in range(calls):
                x = self.instance(self.batch(self.linear(x).mT)).mT
            return x

    one, x = make(Twice), inputs()
    many = copy.deepcopy(one)
    for _ in range(2):
        got = many.clone(tasks=TASKS)(x)
        close(got, [one.clone()(each) for each in x])
        for (name, expected), value in zip(
            one.module.named_buffers(), many.module.buffers(), strict=True
        ):
            torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12, msg=name)
    one.eval(), many.eval()
    close(many.clone(tasks=TASKS)(x), [one.clone()(each) for each in x])


def test_dropout_differs_between_tasks():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.drop = nn.Linear(2, 50), nn.Dropout(0.5)
            self.lstm = LSTM(50, 50, 2, batch_first=True, dropout=0.5)

        def forward(self, x):
            x = self.drop(self.linear(x))
            return x, self.lstm(x)[0]

    x = inputs()[:1].expand(TASKS, -1, -1, -1)
    for y in make(Noisy).clone(tasks=TASKS)(x):
        assert not torch.equal(y[0], y[1])


class Branching(Model):
    """Reads values, which vmap cannot do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.drop = nn.Dropout(0.5)
        self.last = None

    def forward(self, x):
        y = self.head(self.lstm(x)[0].mean(1))
        self.seen += y.mean().detach()  # in place, on a buffer that all clones share
        self.last = self.drop(y)
        if y.sum().item() > 0:
            y = 2 * y
        return y, y.sum().item(), self.last


class Packing(Model):
    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.head(outputs.sum(1))


def test_what_vmap_cannot_run_runs_task_by_task():
    maml = make(Branching)
    other, x = copy.deepcopy(maml), inputs()
    many = maml.clone(tasks=TASKS)
    torch.manual_seed(5)
    with pytest.warns(UserWarning, match=r"MAML: Branching runs task by task, .* because .*vmap"):
        y, total, dropped = many(x)
    torch.manual_seed(5)
    singles = [other.clone() for _ in range(TASKS)]
    expected = [one(each) for one, each in zip(singles, x, strict=True)]
    close(y, [one[0] for one in expected])
    close(dropped, [one[2] for one in expected])
    torch.testing.assert_close(total.double(), torch.tensor([one[1] for one in expected]).double())
    close(many.last, [one.last for one in singles])
    torch.testing.assert_close(maml.module.seen, other.module.seen)
    many.adapt(y.square().mean((1, 2)), allow_unused=True)
    for one, result in zip(singles, expected, strict=True):
        one.adapt(result[0].square().mean(), allow_unused=True)
    close(many(x)[0], [one(each)[0] for one, each in zip(singles, x, strict=True)])  # no warning
    maml.clone(tasks=TASKS)(x)  # no warning: the clones share what is known


def test_packing_runs_task_by_task():
    maml, x, lengths = make(Packing), inputs(), torch.tensor([[5, 2, 3, 1]] * TASKS)
    with warnings.catch_warnings(record=True) as caught:  # one is torch's own
        warnings.simplefilter("always")
        got = maml.clone(tasks=TASKS)(x, lengths)
    assert "pass the padded batch and lengths=" in str(caught[-1].message)
    close(got, [maml.clone()(each, lengths[0]) for each in x])


def test_the_error_of_one_task_is_raised():
    class Wrong(Model):
        def forward(self, x):
            return self.head(x @ torch.zeros(7, 7, dtype=x.dtype))

    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied \(20x2 and 7x7\)"):
        make(Wrong).clone(tasks=TASKS)(inputs())


def test_results_of_different_shapes_raise():
    class Selecting(Model):
        def forward(self, x):
            return x[x > 0]

    with pytest.raises(ShapeError, match="results of the same shapes"):
        make(Selecting).clone(tasks=TASKS)(inputs())


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_of_torch_raises(layer):
    class Torch(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"rnn": layer(FEATURES, 4, batch_first=True)})

        def forward(self, x):
            return self.encoder["rnn"](x)[0]

    maml, x = make(Torch), inputs()
    with pytest.raises(
        ArgumentTypeError, match=rf"encoder.rnn is torch's {layer.__name__}; .*convert"
    ):
        maml.clone(tasks=TASKS)
    with pytest.raises(ArgumentTypeError, match="the model is torch's"):
        MAML(layer(2, 2), lr=0.1).clone(tasks=TASKS)
    MAML(convert(maml.module), lr=0.1).clone(tasks=TASKS)(x)


def test_frozen_parameters_are_not_copied():
    model = Model().double()
    model.lstm.requires_grad_(False)
    maml = MAML(model, lr=0.5, allow_nograd=True)
    many, x = maml.clone(tasks=TASKS), inputs()
    assert many.module.lstm.weight_ih_l0.shape == model.lstm.weight_ih_l0.shape
    assert many.module.head[0].weight.shape == (TASKS, 4, 4)
    singles = [maml.clone() for _ in range(TASKS)]
    many.adapt(many(x).square().mean((1, 2)), allow_unused=True)
    for n, one in enumerate(singles):
        one.adapt(one(x[n]).square().mean(), allow_unused=True)
    close(many(x), [one(x[n]) for n, one in enumerate(singles)])


def test_shared_parameters_of_anil_are_one_batch():
    model = Model().double()
    anil = ANIL(model, lr=0.5, head="head")
    many, x = anil.clone(tasks=TASKS), inputs()
    assert many.module.lstm.weight_ih_l0.shape == model.lstm.weight_ih_l0.shape
    close(many(x), [anil.clone()(each) for each in x])


def test_learners_with_kept_state_can_be_copied_and_pickled():
    x = inputs()
    with torch.no_grad():
        many = make(Stateful).clone(tasks=TASKS)
        many(x)
    expected = copy.deepcopy(many)(x)
    close(pickle.loads(pickle.dumps(many))(x), list(expected))


def test_a_selected_task_is_the_learner_of_that_task():
    many, singles, x = adapted(make(Stateful), steps=2)
    for n, single in enumerate(singles):
        one = select_task(many, n)
        torch.testing.assert_close(one.hidden, single.hidden)
        torch.testing.assert_close(one.mean, single.mean)
        torch.testing.assert_close(one(x[n]), single(x[n]), rtol=1e-10, atol=1e-12)
        again = one.clone(tasks=TASKS)
        assert again.module.lstm.weight_ih_l0.shape[0] == TASKS


@pytest.mark.parametrize("kept", [False, True], ids=["result", "attribute"])
def test_an_object_that_holds_tensors_raises(kept):
    class Probabilistic(Model):
        def forward(self, x):
            y = super().forward(x)
            scores = torch.distributions.Normal(y, y.exp())
            if kept:
                self.scores = scores
            return y if kept else {"scores": scores}

    many = make(Probabilistic).clone(tasks=TASKS)
    with pytest.raises(ArgumentTypeError, match="got a Normal that holds loc, scale; return these"):
        many(inputs())
    assert "scores" not in vars(many.module)


class Helpers(Model):
    """Functions that are not methods of the instance."""

    def __init__(self):
        super().__init__()
        self.assigned = nn.functional.mse_loss
        self.partial = functools.partial(nn.functional.mse_loss, reduction="sum")

    @staticmethod
    def static(a, b):
        return nn.functional.mse_loss(a, b)

    @classmethod
    def of_class(cls, a, b):
        return nn.functional.mse_loss(a, b)


@pytest.mark.parametrize("name", ["static", "of_class", "assigned", "partial"])
def test_functions_run_for_each_task(name):
    many, single = make(Helpers).clone(tasks=TASKS), make(Helpers).clone()
    a, b = inputs(TASKS, BATCH, WAYS), 2 * inputs(TASKS, BATCH, WAYS)
    expected = [getattr(single, name)(one, other) for one, other in zip(a, b, strict=True)]
    close(getattr(many, name)(a, b), expected)


class Hooked(Model):
    """Collects activations with a method as a hook."""

    def __init__(self, attribute):
        super().__init__()
        self.attribute, self.seen, self.last = attribute, {}, None
        self.lstm.register_forward_hook(self.keep)

    def keep(self, module, given, outputs):
        if self.attribute:
            self.last = outputs[0]
        else:
            self.seen["lstm"] = outputs[0]

    def forward(self, x):
        self.lstm(x)
        return (self.last if self.attribute else self.seen["lstm"]).mean(1)


@pytest.mark.parametrize("attribute", [False, True], ids=["dictionary", "attribute"])
def test_hooks_that_are_methods_store_in_the_clone(attribute):
    maml, x = make(lambda: Hooked(attribute)), inputs()
    maml.module(x[0])
    many = maml.clone(tasks=TASKS)
    for given in (x, 2 * x):
        close(many(given), [maml.clone()(one) for one in given])


def test_attention_in_evaluation_mode():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

        def forward(self, x):
            return self.attention(x)

    maml, x = make(Attention, first_order=True), inputs(TASKS, BATCH, STEPS, 4)
    maml.eval()
    before = torch.backends.mha.get_fastpath_enabled()
    many, singles = maml.clone(tasks=TASKS), [maml.clone() for _ in range(TASKS)]
    many.adapt(many(x).square().mean((1, 2, 3)))
    for single, one in zip(singles, x, strict=True):
        single.adapt(single(one).square().mean())
    close(many(x), [single(one) for single, one in zip(singles, x, strict=True)])
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_assigned_buffers_can_be_saved_and_loaded():
    maml, x = make(Stateful), inputs()
    many = maml.clone(tasks=TASKS)
    many(x)
    restored = maml.clone(tasks=TASKS)
    restored.load_state_dict(many.state_dict())
    torch.testing.assert_close(restored.mean, many.mean)
    restored(x)
    assert restored.mean.shape == (TASKS, 4)


class Texts(Branching):
    def labels(self, x):
        return ["yes" if value > 0 else "no" for value in x.sum((1, 2))]

    def array(self, x):
        return self.lstm(x)[0].detach().numpy()

    def steps(self, x):
        yield self.lstm(x)[0]


def test_results_that_are_no_tensors():
    maml, x = make(Texts), inputs()
    many = maml.clone(tasks=TASKS)
    with pytest.warns(UserWarning, match=rf"task by task.*{Path(__file__).name}:\d+"):
        array = many.array(x)
    assert array.shape == (TASKS, BATCH, STEPS, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ArgumentTypeError, match="text must be the same for all tasks"):
            many.labels(x)
    with pytest.raises(ArgumentTypeError, match="must not be iterators, got a generator"):
        many.steps(x)


class Kept(nn.Module):
    """A weight, and state of several kinds that each call changes."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.5))
        self.v = nn.Parameter(torch.ones(2))
        self.register_buffer("buffer", torch.zeros(2))
        self.h, self.counts, self.history = None, {"calls": 0}, History()
        self.shared = self.parts = None

    @property
    def product(self):
        return self.v @ self.v

    def update(self, x):  # a name that torch's containers have too
        return x - x.mean(0)

    def reset(self, x):
        self.h = torch.zeros_like(x)

    def in_place(self, x):
        self.h += x.detach()
        return self.h * self.w

    def branching(self, x):
        self.h += x.detach()
        return self.h * self.w if x.sum() < 1e9 else x

    def counting(self, x):
        self.counts["calls"] += 1
        return x * self.w * self.counts["calls"]

    def caching(self, x):
        if hasattr(self, "cache"):
            x = x + self.cache
            del self.cache
        else:
            self.cache = x
        return x * self.w

    def subclass(self, x):
        self.history.append(x * self.w)
        return self.history.last()

    def long(self, x):
        for _ in range(1500):
            self.history.append(x * self.w)
        return torch.stack(list(self.history)).sum(0)

    def choosing(self, x):
        return x * self.w if x.sum() > 0 else None


class History(list):
    def last(self):
        return self[-1]


@pytest.mark.parametrize(
    "name", ["update", "in_place", "branching", "counting", "caching", "subclass", "long"]
)
def test_state_of_every_kind_belongs_to_one_task(name):
    maml, x = make(Kept), inputs(TASKS, BATCH, 2)
    many, singles = maml.clone(tasks=TASKS), [copy.deepcopy(maml).clone() for _ in range(TASKS)]
    many.reset(x)
    for n, single in enumerate(singles):
        single.reset(x[n])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some run task by task
        for _ in range(4):
            got = getattr(many, name)(x)
            close(got, [getattr(single, name)(x[n]) for n, single in enumerate(singles)])


def test_modules_that_share_a_dictionary():
    class Part(nn.Module):
        def __init__(self, context):
            super().__init__()
            self.context, self.linear = context, nn.Linear(2, 2)

        def forward(self, x):
            x = self.linear(x) + self.context.get("x", 0)
            self.context["x"] = x
            return x

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            context = {}
            self.one, self.two = Part(context), Part(context)

        def forward(self, x):
            return self.two(self.one(x))

    maml, x = make(Both), inputs(TASKS, BATCH, 2)
    many, singles = maml.clone(tasks=TASKS), [copy.deepcopy(maml).clone() for _ in range(TASKS)]
    for _ in range(3):
        close(many(x), [single(x[n]) for n, single in enumerate(singles)])


def test_a_tensor_for_some_tasks_only_raises():
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]]).double()
    with pytest.raises(ShapeError, match="the results are NoneType and Tensor"):
        make(Kept).clone(tasks=TASKS).choosing(x)


def test_a_property_that_needs_one_task():
    many = make(Kept).clone(tasks=TASKS)
    close(many.product, [torch.tensor(2.0).double()] * TASKS)


def test_setting_attributes_of_a_part():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.parts = Kept(), nn.ModuleDict({"a": nn.Linear(2, 2)})

    many, x = make(Outer).clone(tasks=TASKS), inputs(TASKS, BATCH, 2)
    many.inner.reset(x)
    many.inner.h = None
    assert many.module.inner.h is None
    del many.inner.h
    assert not hasattr(many.module.inner, "h")
    (part,) = many.parts.values()
    ((name, same),) = many.parts.items()
    assert name == "a"
    close(part(x), [make(Outer).clone().parts["a"](one) for one in x])
    assert torch.equal(part(x), same(x))


def test_user_hooks_see_one_task():
    for build in (lambda: nn.Sequential(Linear(2, 2), nn.Tanh()), Model):
        model = build()
        layer = model[0] if isinstance(model, nn.Sequential) else model.head[0]
        layer.register_forward_hook(lambda module, given, y: y - y.mean(0))
        maml = MAML(model.double().eval(), lr=0.5)
        x = inputs(TASKS, BATCH, 2) if isinstance(model, nn.Sequential) else inputs()
        close(maml.clone(tasks=TASKS)(x), [maml.clone()(one) for one in x])


def test_backward_hooks_run():
    maml, x = make(Model), inputs()
    maml.module.head[0].register_full_backward_hook(lambda module, dx, dy: (0 * dx[0],))
    with pytest.warns(UserWarning, match="backward hooks"):
        got = maml.clone(tasks=TASKS)(x)
    got.sum().backward()
    assert not maml.module.lstm.weight_ih_l0.grad.any()
    assert maml.module.head[2].bias.grad.any()


def test_an_input_object_that_holds_the_tasks_raises():
    many = make(ManyInputs).clone(tasks=TASKS)
    given = types.SimpleNamespace(scores=inputs(TASKS, 1, WAYS))
    with pytest.raises(ArgumentTypeError, match="a SimpleNamespace that holds scores of N=3"):
        many({"x": inputs(TASKS, BATCH, FEATURES)}, 1.0, given)
    shared = types.SimpleNamespace(scores=torch.ones(1, WAYS).double())  # not (N, …): shared
    many({"x": inputs(TASKS, BATCH, FEATURES)}, 1.0, shared)
    batch = collections.UserDict(x=inputs(TASKS, BATCH, FEATURES))
    close(many(batch, 1.0)[0], many({"x": batch["x"]}, 1.0)[0].unbind())


def test_statistics_of_a_layer_that_was_not_called():
    class Unused(Model):
        def __init__(self):
            super().__init__()
            self.norm.momentum = None

        def scores(self, x):
            return self.head(self.lstm(x)[0].mean(1))

    maml = make(Unused)
    before = maml.module.norm.running_var.clone()
    maml.clone(tasks=TASKS).scores(inputs())
    assert torch.equal(maml.module.norm.running_var, before)
