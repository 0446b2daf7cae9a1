"""Recurrent layers beside their torch counterparts, and what to compare of them."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import l2l_rnn.nn
from l2l_rnn.nn.recurrent_layer import RecurrentLayer

LAYERS = {
    name: layer
    for name, layer in vars(l2l_rnn.nn).items()
    if isinstance(layer, type) and issubclass(layer, RecurrentLayer) and hasattr(nn, name)
}
# Arguments of one layer alone that change what it computes.
VARIANTS = {"RNN": [{"nonlinearity": "relu"}], "LSTM": [{"proj_size": 2}]}
KINDS = {name: (layer, {}) for name, layer in LAYERS.items()} | {
    f"{name}-{value}": (LAYERS[name], {argument: value})
    for name, variants in VARIANTS.items()
    for variant in variants
    for argument, value in variant.items()
}


def flat(result):
    """Return the tensors in a layer's result: outputs first, then each tensor of the state."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, PackedSequence):
        return [result.data]
    return [tensor for part in result for tensor in flat(part)]


class Recurrent:
    """What a test of recurrent layers needs, for one kind of them."""

    inputs = 3
    hidden = 4

    def __init__(self, kind):
        self.kind = kind
        self.layer, self.variant = KINDS[kind]
        self.torch_layer = getattr(nn, self.layer.__name__)

    def make(self, seed=0, dtype=torch.float64, **options):
        torch.manual_seed(seed)
        return self.layer(self.inputs, self.hidden, dtype=dtype, **self.variant, **options)

    def make_torch(self, seed=0, dtype=torch.float64, **options):
        torch.manual_seed(seed)
        return self.torch_layer(self.inputs, self.hidden, dtype=dtype, **self.variant, **options)

    def state(self, layer, *lead, seed=7):
        """Draw an initial state for sequences with the axes `lead`; the last one is B, if any."""
        generator = torch.Generator().manual_seed(seed)
        blocks = layer.num_layers * (1 + layer.bidirectional)
        dtype = layer.weight_ih_l0.dtype
        axes = [*lead[:-1], blocks, *lead[-1:]]
        sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size]
        state = [torch.randn(*axes, size, generator=generator).to(dtype) for size in sizes]
        return tuple(state) if isinstance(layer, (nn.LSTM, l2l_rnn.nn.LSTM)) else state[0]

    def with_tasks(self, layer, tasks, seed=3):
        """Return the layer, now with parameters of its own for each task, and a layer a task."""
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
        # A relu network's gradient may not depend on some tensor: zeros then.
        second = torch.autograd.grad(weighted(first), tensors, allow_unused=True)
        return [*first] + [
            torch.zeros_like(t) if s is None else s for s, t in zip(second, tensors, strict=True)
        ]


@pytest.fixture(params=KINDS)
def recurrent(request):
    return Recurrent(request.param)


def pytest_generate_tests(metafunc):
    if "layer_class" in metafunc.fixturenames:
        metafunc.parametrize("layer_class", LAYERS.values(), ids=LAYERS)
