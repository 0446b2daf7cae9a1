"""Values of checkpoints as tensors and JSON, and back."""

import contextlib
import json
import math
import random
import struct
from collections import Counter, OrderedDict
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from l2l_rnn import models
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.checkpoints import decoding
from l2l_rnn.training.checkpoints.decoding import decode
from l2l_rnn.training.checkpoints.encoding import encode
from tests.algorithms.conftest import LEARNERS, SIZE, WAYS


def round_trip(value):
    tensors, content = encode("me", value)
    assert all(t.is_contiguous() and t.device.type == "cpu" for t in tensors.values())
    return decode("me", tensors, json.loads(json.dumps(content, allow_nan=False)))


def assert_same(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        raw = [t.detach().resolve_conj().contiguous().reshape(-1) for t in (a, b)]
        assert torch.equal(*(t.view(torch.uint8) for t in raw))
    elif isinstance(a, np.ndarray | np.generic):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, dict):
        assert len(a) == len(b)
        for (key, x), (other, y) in zip(a.items(), b.items(), strict=True):
            assert_same(key, other)
            assert_same(x, y)
        assert_same(getattr(a, "_metadata", None), getattr(b, "_metadata", None))
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, float | complex):
        a, b = complex(a), complex(b)
        assert struct.pack("2d", a.real, a.imag) == struct.pack("2d", b.real, b.imag)
    else:
        assert a == b


NAMES = """
bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex32 complex64 complex128
uint16 uint32 uint64 float8_e4m3fn float8_e5m2
"""
DTYPES = [getattr(torch, name) for name in NAMES.split() if hasattr(torch, name)]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_all_dtypes(dtype, shape):
    bits = torch.randint(0, 2, (math.prod(shape) * dtype.itemsize,), dtype=torch.uint8)
    tensor = bits.view(dtype).reshape(shape)
    assert_same(round_trip({"x": tensor}), {"x": tensor})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).t(),
        torch.arange(10.0)[::3],
        torch.ones(1).expand(4),
        torch.randn(3, dtype=torch.complex64).conj(),
        torch.randn(3, dtype=torch.complex64).conj().imag,
        torch.tensor([math.nan, math.inf, -0.0, 1e-45]),
        torch.get_rng_state(),
        torch.Generator().manual_seed(3).get_state(),
    ],
)
def test_views_and_special_values(tensor):
    found = round_trip([tensor])[0]
    assert torch.equal(
        found.contiguous().view(torch.uint8),
        tensor.resolve_conj().resolve_neg().contiguous().view(torch.uint8),
    )


def test_an_inference_tensor_and_a_parameter_become_tensors():
    with torch.inference_mode():
        x = torch.ones(2)
    for value in (x, nn.Parameter(torch.ones(2))):
        found = round_trip([value])[0]
        assert type(found) is torch.Tensor
        assert not found.requires_grad
        found += 1  # can be changed


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**200), "", "é\0\ud800", "$"),
        *(0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308),
        *(complex(math.nan, -0.0), b"", b"\0\xff", (), (1, (2.0, None)), [], [[]]),
        *({1, 8}, frozenset({(1, 2)}), torch.Size([2, 3]), Counter("abca"), {"$": "tensor"}),
        *({1: 1, "1": 2, None: 3, (4, b"x"): 5, 0.5: 6}, OrderedDict(b=1, a=2), {}),
        *(torch.float32, torch.float8_e5m2, torch.device("cuda:1"), Path("/a/b")),
        *(np.float64(0.1), np.float32("nan"), np.bool_(True), np.str_("ab"), np.int8(-3)),
        *(np.datetime64("2020-02-03"), np.timedelta64(3, "ms"), np.bytes_(b"q")),
        *(np.zeros((0, 3)), np.array(3), np.arange(6, dtype=">i4").reshape(2, 3).T),
        *(np.array(["a", "bcd"]), np.array([b"a", b""]), np.array(["2020"], "M8[s]")),
        *(np.array([True, False]), np.arange(3, dtype=np.complex64)),
        *(random.Random(3).getstate(), np.random.RandomState(3).get_state()),
        np.random.Generator(np.random.PCG64(3)).bit_generator.state,
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:20]!a}",  # the same in every process
)
def test_values_are_exact(value):
    assert_same(round_trip({"value": value}), {"value": value})


def test_tied_tensors_are_stored_once_and_tied_again():
    weight = torch.randn(3, 4)
    complex_weight = torch.randn(2, dtype=torch.complex128)
    value = {"a": weight, "b": [weight.detach(), weight.t()], "c": [complex_weight] * 2}
    tensors, content = encode("me", value)
    assert len(tensors) == 3
    found = decode("me", tensors, content)
    assert_same(found["b"][1], weight.t().contiguous())
    assert found["a"] is found["b"][0]
    assert found["c"][0] is found["c"][1]


def test_parts_of_one_memory_are_apart_and_empty_tensors_too():
    memory = torch.arange(10.0)
    value = [memory[:5], memory[3:8], memory, memory[:0], memory[:0].reshape(0, 3)]
    tensors, content = encode("me", value)
    assert len(tensors) == 5
    assert len({t.untyped_storage().data_ptr() for t in tensors.values() if t.numel()}) == 3
    assert_same(decode("me", tensors, content), value)


def test_names_of_tensors_are_readable_and_distinct():
    one, two, three = (torch.full((1,), float(i)) for i in range(3))
    value = {"a": {"b": one}, "a.b": two, "__metadata__": three, "\ud800": torch.zeros(1)}
    tensors, content = encode("me", value)
    assert list(tensors) == ["a.b", "a.b#2", "__metadata__#2", "?"]
    assert_same(decode("me", tensors, content), value)


def test_a_state_dict_keeps_the_versions_of_its_modules():
    state = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    found = round_trip({"state_dict": state})["state_dict"]
    assert found._metadata == state._metadata
    assert_same(found, state)


@pytest.mark.parametrize("name", LEARNERS)
def test_states_of_adapted_learners(name):
    model = models.SequenceClassifier(WAYS, vocab_size=9, embedding_size=3, hidden_size=SIZE)
    learner = LEARNERS[name](model).clone(tasks=2)
    x, y = torch.randint(1, 9, (2, 4, 5)), torch.arange(4).repeat(2, 1) % WAYS
    adapted(learner, x, y, steps=2)
    state = learner.state_dict()
    assert_same(round_trip(state), state)


OPTIMIZERS = {
    "Adam": {"amsgrad": True},
    "AdamW": {"capturable": False},
    "SGD": {"momentum": 0.9},
    "RMSprop": {"centered": True},
    "Adagrad": {},
    "LBFGS": {},
    "Rprop": {},
    "NAdam": {},
    "ASGD": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_optimizers(name):
    model = nn.Linear(2, 2)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1, **OPTIMIZERS[name])

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).pow(2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert_same(round_trip(optimizer.state_dict()), optimizer.state_dict())


class Color(Enum):
    RED = 1


class OwnTensor(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "value",
    [
        *(nn.Linear(1, 1), print, Color.RED, object(), int, {}.keys(), bytearray(b"a"), range(3)),
        *(
            torch.ones(2).to_sparse(),
            torch.ones(2, device="meta"),
            torch.ones(1).as_subclass(OwnTensor),
        ),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
        *(np.array([None]), np.zeros(1, [("a", "i4")]), np.ma.masked_array([1])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_unknown_value_is_refused_with_its_place(value):
    with pytest.raises(ArgumentTypeError, match=r"^me: callbacks\.mine\.1 must be .*leave it out"):
        encode("me", {"callbacks": {"mine": [1, value]}})


def test_an_object_in_the_hyper_parameters_is_refused_with_the_fix():
    with pytest.raises(ArgumentTypeError, match=r"save_hyperparameters\(ignore=\['model'\]\)"):
        encode("me", {"hyper_parameters": {"model": nn.Linear(1, 1)}})


def test_cycles_are_refused():
    value = []
    value.append(value)
    with pytest.raises(ArgumentTypeError, match="at most 100 levels"):
        encode("me", value)


def test_a_tensor_is_no_key():
    with pytest.raises(ArgumentTypeError, match="a tensor as a key"):
        encode("me", {torch.ones(1): 1})


simple = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.complex_numbers()
)
arrays = hnp.arrays(
    st.sampled_from(["i1", ">i8", "f2", "f8", "c8", "?", "U3", "S2", "M8[D]"]),
    hnp.array_shapes(min_dims=0, min_side=0),
)
values = st.recursive(
    simple | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(values)
def test_any_nested_value_is_exact(value):
    assert_same(round_trip(value), value)


KINDS = [*decoding._COLLECTIONS, *decoding._MAPPINGS, *decoding._SIMPLE]
KINDS += ["scalar", "tensor", "array", "bytes"]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.sampled_from(
        ["", "a", "t", "<f8", "|b1", "|O", "<U1", "<U0", "float32", "complex128", "ff", "tensor"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["$", "name", "items", "dtype", "shape", "hex", "value", "metadata", "a"]
            ),
            inner | st.sampled_from(KINDS),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=400)
@given(json_values)
def test_any_json_gives_a_value_or_a_data_error(content):
    tensors = {"t": torch.arange(16, dtype=torch.uint8), "a": torch.ones(2)}
    with contextlib.suppress(DataError):
        decode("me", tensors, [content, *({"$": "tensor", "name": name} for name in tensors)])


@pytest.mark.parametrize(
    "content",
    [
        {"$": "array", "name": "t", "dtype": "<f8", "shape": [10**12]},
        {"$": "array", "name": "t", "dtype": "<f8", "shape": [-1]},
        {"$": "array", "name": "t", "dtype": "|O", "shape": [2]},
        {"$": "array", "name": "t", "dtype": "|V8", "shape": [2]},
        {"$": "array", "name": "t", "dtype": "<U4", "shape": [1]},  # no characters
        {"$": "array", "name": "t", "dtype": "|b1", "shape": [16]},  # no bools
        {"$": "array", "name": "t", "dtype": "i4,i4", "shape": [2]},
        {"$": "tensor", "name": "t", "dtype": "complex128", "shape": [2]},
        {"$": "tensor", "name": "t", "dtype": "load", "shape": [1]},
        {"$": "tensor", "name": "u"},
        {"$": "scalar", "dtype": "|O", "hex": "0000000000000000"},
        {"$": "scalar", "dtype": "<f8", "hex": "00"},
        {"$": "counter", "items": [[[1], 2]]},
        {"$": "dict", "items": [[1, 2], [1, 3]]},
        {"$": "device", "value": "nowhere"},
        {"$": "module", "name": "os"},
        {"$": ["tuple"]},
    ],
    ids=str,
)
def test_wrong_entries_are_refused(content):
    tensors = {"t": torch.full((16,), 255, dtype=torch.uint8)}
    with pytest.raises(DataError, match="me: the checkpoint must have entries"):
        decode("me", tensors, [content, {"$": "tensor", "name": "t"}])


def test_a_tensor_without_an_entry_and_false_bools_are_refused():
    with pytest.raises(DataError, match="'t' belongs to no entry"):
        decode("me", {"t": torch.ones(1)}, {})
    bools = torch.tensor([2], dtype=torch.uint8).view(torch.bool)
    with pytest.raises(DataError, match="no bools"):
        decode("me", {"t": bools}, {"$": "tensor", "name": "t"})


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused(brackets):
    content = []
    for _ in range(5000):
        content = [content] if brackets == "[]" else {"a": content}
    with pytest.raises(DataError, match="levels"):
        decode("me", {}, content)
