"""Fixtures for the contract of the recurrent layers: every layer in `nn.CELLS`, new ones included.

`recurrent` runs a test for every layer and variant, and `torch_recurrent` only for those that torch
also has. `layer_class` runs a test for the class of every layer.
"""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from l2l_rnn.nn import CELLS, RecurrentLayer


class StepOnly(RecurrentLayer):
    """A layer that is only a step function, with a state of four tensors.

    The equations are the sLSTM from M. Beck et al., 2024, xLSTM.
    """

    gates = 4

    @property
    def state_sizes(self):
        return (self.hidden_size,) * 4

    def step(self, a, state):
        _, c, n, m = state
        z, i, f, o = a.chunk(4, -1)
        f = nn.functional.logsigmoid(f)
        # At the first step nothing is stored, whatever the initial m says.
        stabilizer = torch.where(n == 0, i, torch.maximum(f + m, i))
        i, f = (i - stabilizer).exp(), (f + m - stabilizer).exp()
        c, n = f * c + i * z.tanh(), f * n + i
        return o.sigmoid() * c / n, c, n, stabilizer


LAYERS = {layer.__name__: layer for layer in (*CELLS.values(), StepOnly)}
# Options that change what a layer computes.
VARIANTS = {
    "RNN": [{"nonlinearity": "relu"}],
    "LSTM": [{"proj_size": 2}],
    "LRU": [{"nonlinearity": None}],
}
KINDS = {name: (layer, {}) for name, layer in LAYERS.items()} | {
    f"{name}-{value}": (LAYERS[name], {argument: value})
    for name, variants in VARIANTS.items()
    for variant in variants
    for argument, value in variant.items()
}
KINDS_OF_TORCH = [name for name, (layer, _) in KINDS.items() if hasattr(nn, layer.__name__)]


def flat(result):
    """Return the tensors in the result of a layer: the outputs, then each tensor of the state."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, PackedSequence):
        return [result.data]
    return [tensor for part in result for tensor in flat(part)]


class Recurrent:
    """Makes layers of one kind, their states and their derivatives."""

    inputs = 3
    hidden = 4

    def __init__(self, kind):
        self.kind = kind
        self.layer, self.variant = KINDS[kind]
        self.torch_layer = getattr(nn, self.layer.__name__, None)

    def make(self, seed=0, dtype=torch.float64, **options):
        torch.manual_seed(seed)
        return self.layer(self.inputs, self.hidden, dtype=dtype, **self.variant, **options)

    def make_torch(self, seed=0, dtype=torch.float64, **options):
        torch.manual_seed(seed)
        return self.torch_layer(self.inputs, self.hidden, dtype=dtype, **self.variant, **options)

    def state(self, layer, *lead, seed=7):
        """Draw an initial state for our layer or torch's; `lead` ends in B if there is a batch."""
        generator = torch.Generator().manual_seed(seed)
        blocks = layer.num_layers * (1 + layer.bidirectional)
        dtype = layer.weight_ih_l0.dtype
        axes = [*lead[:-1], blocks, *lead[-1:]]
        sizes = self.make().state_sizes
        state = [torch.randn(*axes, size, generator=generator).to(dtype) for size in sizes]
        return tuple(state) if len(state) > 1 else state[0]

    def with_tasks(self, layer, tasks, seed=3):
        """Give the layer parameters for each task; return it and one layer per task."""
        generator = torch.Generator().manual_seed(seed)
        singles = [self.twin(layer) for _ in range(tasks)]
        for name, parameter in list(layer._parameters.items()):
            noise = torch.randn(tasks, *parameter.shape, generator=generator).to(parameter)
            stacked = (parameter.detach() + 0.3 * noise).requires_grad_()
            layer._parameters[name] = stacked
            for single, value in zip(singles, stacked.detach(), strict=True):
                getattr(single, name).data.copy_(value)
        return layer, singles

    def twin(self, layer):
        other = type(layer)(
            layer.input_size,
            layer.hidden_size,
            layer.num_layers,
            bias=layer.bias,
            batch_first=layer.batch_first,
            bidirectional=layer.bidirectional,
            dtype=layer.weight_ih_l0.dtype,
            **self.variant,
        )
        other.load_state_dict(layer.state_dict())
        return other

    flat = staticmethod(flat)

    @staticmethod
    def derivatives(outputs, tensors, order=2, seed=5):
        """Return first and second derivatives of a random function of the outputs."""
        generator = torch.Generator().manual_seed(seed)

        def weighted(values):
            return sum(
                (v.sin() * torch.randn(v.shape, generator=generator).to(v)).sum() for v in values
            )

        first = torch.autograd.grad(weighted(outputs), tensors, create_graph=order > 1)
        if order == 1:
            return list(first)
        # The gradient of a ReLU network may be independent of a tensor; its derivative is then 0.
        second = torch.autograd.grad(weighted(first), tensors, allow_unused=True)
        return [*first] + [
            torch.zeros_like(t) if s is None else s for s, t in zip(second, tensors, strict=True)
        ]


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


@pytest.fixture(params=KINDS)
def recurrent(request):
    return Recurrent(request.param)


@pytest.fixture(params=KINDS_OF_TORCH)
def torch_recurrent(request):
    return Recurrent(request.param)


def pytest_generate_tests(metafunc):
    if "layer_class" in metafunc.fixturenames:
        metafunc.parametrize("layer_class", LAYERS.values(), ids=LAYERS)
