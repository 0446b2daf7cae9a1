"""Memory traces hold the values of the memory's states."""

import json

import numpy as np
import pytest
import torch

from l2l_rnn.analysis import MemoryTrace, trace_memory
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.memory import DNC, MANN, NTM, HebbianRNN, MemoryLayer, SlotMemory

STEPS = 6


def ntm():
    torch.manual_seed(0)
    return NTM(3, 2, 5, slots=8, slot_size=4, read_heads=2)


def dnc():
    torch.manual_seed(0)
    return DNC(3, 2, 5, slots=8, slot_size=4, read_heads=2)


def mann():
    torch.manual_seed(0)
    return MANN(3, 2, 5, slots=8, slot_size=4, read_heads=2)


@pytest.mark.parametrize(
    ("make", "writers", "recorded"),
    [(ntm, 1, []), (dnc, 1, ["usage", "allocation"]), (mann, 2, ["usage"])],
)
def test_a_trace_holds_the_states_and_outputs(make, writers, recorded):
    memory, x = make(), torch.randn(STEPS, 3)
    trace = trace_memory(memory, x)
    outputs, state = memory(x.unsqueeze(0))
    np.testing.assert_allclose(trace.outputs, outputs[0].detach().numpy(), rtol=1e-4, atol=1e-6)
    assert trace.kind == type(memory).__name__
    assert trace.read_weights.shape == (STEPS, 2, 8)
    assert trace.write_weights.shape == (STEPS, writers, 8)
    for name in ("read_weights", "write_weights", *recorded):
        last = getattr(state, name).detach().numpy().reshape(-1, 8)
        np.testing.assert_allclose(getattr(trace, name)[-1], last, rtol=1e-4, atol=1e-6)
    for name in ("usage", "allocation"):
        array = getattr(trace, name)
        assert (None if array is None else array.shape) == (
            (STEPS, 1, 8) if name in recorded else None
        )


def test_a_trace_shows_where_a_mann_writes():
    """With closed gates, a head writes only to the slot that was least used before the step."""
    memory = mann()
    with torch.no_grad():
        memory.bias_heads[-memory.read_heads :] = -60
    trace = trace_memory(memory, torch.randn(STEPS, 3))
    assert set(trace.write_weights.round(6).ravel().tolist()) == {0, 1}
    usage = np.concatenate([np.zeros((1, 8)), trace.usage[:-1, 0]])
    least = usage.argsort(-1, kind="stable")[:, :2]
    np.testing.assert_array_equal(trace.write_weights.argmax(-1), least)


def test_a_trace_starts_from_a_state():
    memory, x = ntm(), torch.randn(STEPS, 3)
    whole = trace_memory(memory, x)
    _, state = memory(x[:2].unsqueeze(0))
    rest = trace_memory(memory, x[2:], state)
    np.testing.assert_allclose(rest.outputs, whole.outputs[2:], rtol=1e-4, atol=1e-6)


def test_json_round_trip(tmp_path):
    trace = trace_memory(dnc(), torch.randn(STEPS, 3))
    path = trace.save(tmp_path / "trace.json")
    fields = json.loads(path.read_text())
    again = MemoryTrace(
        **{k: np.array(v, "float32") if isinstance(v, list) else v for k, v in fields.items()}
    )
    np.testing.assert_array_equal(again.usage, trace.usage)
    np.testing.assert_array_equal(again.inputs, trace.inputs)
    assert again.kind == "DNC"
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_values_that_are_not_finite_are_null():
    trace = MemoryTrace("NTM", np.array([[np.nan, 1.0]]), np.array([[np.inf, 2.0]]))
    fields = json.loads(trace.to_json())
    assert fields["inputs"] == [[None, 1.0]]
    assert fields["outputs"] == [[None, 2.0]]
    assert fields["usage"] is None


@pytest.mark.parametrize("make", [ntm, dnc, mann])
def test_draw_writes_a_picture(make, tmp_path):
    path = trace_memory(make(), torch.randn(STEPS, 3)).draw(tmp_path / "trace.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(1, STEPS, 3), (STEPS, 4), (3,), (0, 3)], ids=str)
def test_input_of_a_wrong_shape(shape):
    with pytest.raises(ShapeError, match=r"^trace_memory: x must be one sequence \(S, F=3\)"):
        trace_memory(ntm(), torch.zeros(shape))


@pytest.mark.parametrize(
    "make", [lambda: HebbianRNN(3, 2), lambda: MemoryLayer(3, SlotMemory(2, 2))]
)
def test_a_memory_without_heads_has_inputs_and_outputs_only(make):
    memory, x = make(), torch.randn(STEPS, 3)
    trace = trace_memory(memory, x)
    wanted = memory(x.unsqueeze(0))[0][0].detach().numpy()
    np.testing.assert_allclose(trace.outputs, wanted, rtol=1e-4, atol=1e-6)
    assert trace.read_weights is trace.write_weights is trace.usage is trace.allocation is None


def test_a_store_has_no_steps():
    with pytest.raises(ArgumentTypeError, match=r"^trace_memory: memory must be .*got SlotMemory"):
        trace_memory(SlotMemory(2, 2), torch.zeros(STEPS, 2))
