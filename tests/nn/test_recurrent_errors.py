"""Error messages of the recurrent layers."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.nn import LSTM, RNN, RecurrentLayer

OURS = (ShapeError, ArgumentError, ArgumentTypeError)


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers"])
@pytest.mark.parametrize("size", [0, -1, 2.0, "2", None, True])
def test_sizes(layer_class, name, size):
    sizes = {"input_size": 3, "hidden_size": 4, "num_layers": 1, name: size}
    with pytest.raises(
        ArgumentError, match=f"{name} must be a positive integer, got {size!r}"
    ) as e:
        layer_class(**sizes)
    assert str(e.value).startswith(layer_class.__name__)


def test_sizes_may_be_numpy_integers(layer_class):
    layer = layer_class(np.int64(3), np.int32(4), num_layers=np.int64(2))
    assert repr(layer) == repr(layer_class(3, 4, num_layers=2))


@pytest.mark.parametrize("dropout", [-0.1, 1.1, float("nan")])
def test_dropout(layer_class, dropout):
    with pytest.raises(
        ArgumentError, match="dropout must be a number of at least 0 and of at most 1"
    ):
        layer_class(3, 4, dropout=dropout)


def test_arguments_of_one_layer():
    with pytest.raises(ArgumentError, match=r"RNN: unknown nonlinearity 'sin'.* Known: tanh, relu"):
        RNN(3, 4, nonlinearity="sin")
    for size in (-1, 4, 5):
        with pytest.raises(ArgumentError, match="LSTM: proj_size must be an integer from 0 to 3"):
            LSTM(3, 4, proj_size=size)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 2, 4), r"x must end in F=3 features, got shape \(5, 2, 4\); set input_size=4"),
        ((5, 4), r"x must end in F=3 features, got shape \(5, 4\); set input_size=4"),
        ((3,), r"x must be \(S, B, F\) or \(S, F\), got shape \(3,\)"),
        ((), r"x must be \(S, B, F\) or \(S, F\), got shape \(\)"),
        ((0, 2, 3), r"at least one step, got shape \(0, 2, 3\); drop empty sequences"),
        ((0, 0, 3), r"at least one step, got shape \(0, 0, 3\); drop empty sequences"),
        ((0, 3), r"at least one step, got shape \(0, 3\); drop empty sequences"),
    ],
)
def test_input(layer_class, shape, message):
    with pytest.raises(ShapeError, match=rf"^{layer_class.__name__}: .*{message}"):
        layer_class(3, 4)(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_input_of_another_dtype(layer_class, dtype):
    with pytest.raises(ArgumentTypeError, match=r"x must be torch.float32 on cpu.*got torch\."):
        layer_class(3, 4)(torch.zeros(5, 2, 3, dtype=dtype))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("kind", ["padded", "packed"])
def test_state_of_another_dtype(recurrent, kind, autocast):
    """As in torch, which raises a RuntimeError; under autocast, half precision is allowed."""
    layer = recurrent.make(dtype=torch.float32)
    x = torch.randn(5, 2, 3)
    x = x if kind == "padded" else pack_padded_sequence(x, torch.tensor([5, 2]))
    state = tuple(recurrent.flat((recurrent.state(layer, 2),)))
    half = (torch.float16, torch.bfloat16)
    for position in range(len(state)):
        for dtype in (torch.float64, torch.int64, torch.bool, torch.complex64, *half):
            changed = [s.to(dtype) if n == position else s for n, s in enumerate(state)]
            hx = tuple(changed) if len(changed) > 1 else changed[0]
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                if autocast and dtype in half:
                    y = recurrent.flat(layer(x, hx))[0]
                    assert y.isfinite().all()
                    continue
                with pytest.raises(
                    ArgumentTypeError, match=r"hx must be torch.float32, like the input, got torch"
                ):
                    layer(x, hx)
    final = layer(x)[1]
    assert recurrent.flat(layer(x, final))[0].dtype == torch.float32


def test_errors_show_the_layout_of_batch_first(layer_class):
    with pytest.raises(ShapeError, match=r"x must be \(B, S, F\) or \(S, F\)"):
        layer_class(3, 4, batch_first=True)(torch.zeros(3))


def test_packed_batch_with_other_features(layer_class):
    packed = pack_padded_sequence(torch.zeros(5, 2, 4), torch.tensor([5, 2]))
    with pytest.raises(ShapeError, match=r"F=3 features"):
        layer_class(3, 4)(packed)


def states(layer, *axes):
    """Return a state with these axes; each of its tensors has its own number of units."""
    state = tuple(torch.zeros(*axes, size) for size in layer.state_sizes)
    return state if len(state) > 1 else state[0]


@pytest.mark.parametrize("axes", [(1, 1), (2, 2), (2,), (), (1, 1, 2)])
def test_state(layer_class, axes):
    layer = layer_class(3, 4)
    with pytest.raises(ShapeError, match=rf"^{layer_class.__name__}: hx must ") as caught:
        layer(torch.zeros(5, 2, 3), states(layer, *axes))
    assert f"(1, 2, {layer.state_sizes[0]})" in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 2, 5), ()])
def test_state_of_another_size(layer_class, shape):
    layer = layer_class(3, 4)
    state = (torch.zeros(shape),) * len(layer.state_sizes)
    with pytest.raises(ShapeError, match=rf"^{layer_class.__name__}: hx must have shape \(1, 2, "):
        layer(torch.zeros(5, 2, 3), state if len(state) > 1 else state[0])


def test_state_of_another_kind(layer_class):
    """Too few or too many tensors: an LSTM's state passed to a GRU, or a GRU's to an LSTM."""
    layer = layer_class(3, 4)
    count, h = len(layer.state_sizes), torch.zeros(1, 2, layer_class(3, 4).state_sizes[0])
    for wrong in [h, (h,), (h,) * (count + 1)] if count > 1 else [(h, h), [h], 0.0]:
        with pytest.raises(OURS, match=rf"^{layer_class.__name__}: hx must "):
            layer(torch.zeros(5, 2, 3), wrong)


def test_cell_state_of_another_shape():
    with pytest.raises(ShapeError, match=r"hx must have shape \(1, 2, 4\), got \(1, 2, 3\)"):
        LSTM(3, 4)(torch.zeros(5, 2, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 3)))


@pytest.mark.parametrize("lengths", [[2, 5], [5, 2]], ids=["unsorted", "sorted"])
def test_state_of_a_packed_batch(layer_class, lengths):
    packed = pack_padded_sequence(
        torch.zeros(5, 2, 3), torch.tensor(lengths), enforce_sorted=lengths == [5, 2]
    )
    layer = layer_class(3, 4)
    for axes in [(1, 1), (1, 3), (1,)]:
        with pytest.raises(ShapeError, match=rf"^{layer_class.__name__}: hx must have shape"):
            layer(packed, states(layer, *axes))


@pytest.mark.parametrize("lengths", [[1], [1, 2, 3], [[1, 2]], 1], ids=str)
def test_lengths(layer_class, lengths):
    with pytest.raises(ShapeError, match=r"lengths must have shape \(2,\), got \("):
        layer_class(3, 4)(torch.zeros(5, 2, 3), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("lengths", [[6, 2], [2, 100], [-1, 3], [0, 0]], ids=str)
@pytest.mark.parametrize("two_ways", [False, True])
def test_lengths_outside_the_steps(layer_class, lengths, two_ways):
    layer = layer_class(3, 4, bidirectional=two_ways)
    with pytest.raises(OURS, match=rf"^{layer_class.__name__}: lengths must .*5"):
        layer(torch.zeros(5, 2, 3), lengths=torch.tensor(lengths))


def test_lengths_of_a_packed_batch(layer_class):
    """A packed batch has its own lengths, and other lengths must not be silently ignored."""
    packed = pack_padded_sequence(torch.zeros(5, 2, 3), torch.tensor([5, 2]))
    with pytest.raises(OURS, match="lengths"):
        layer_class(3, 4)(packed, lengths=torch.tensor([1, 1]))


class Bare(RecurrentLayer):
    gates = 1


class Short(Bare):
    state_sizes = (4, 4)

    def step(self, a, state):
        return (a.tanh(),)


class Single(Bare):
    def step(self, a, state):
        return a.tanh()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Bare, "Bare: a subclass of RecurrentLayer must define step"),
        (Short, "Short: step must return a tuple of 2 tensors, as in state_sizes, got 1"),
        (Single, "Single: step must return a tuple of 1 tensors, as in state_sizes, got Tensor"),
    ],
)
def test_subclasses_without_a_proper_step(layer, message):
    with pytest.raises(ArgumentTypeError, match=message):
        layer(3, 4)(torch.zeros(5, 2, 3))
