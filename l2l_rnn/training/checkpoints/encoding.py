"""Values of a checkpoint as tensors and JSON.

JSON represents `None`, bools, integers of 64 bits, finite floats, strings, lists and dicts with
string keys as they are. Every other value is an object with the key `"$"`, which names its kind:
`{"$": "tuple", "items": [1, 2]}`, or `{"$": "tensor", "name": "state_dict.weight"}` for a tensor.
"""

from __future__ import annotations

import math
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentTypeError

DEEPEST = 100  # levels of nesting

# safetensors has these in every version; other dtypes are stored as bytes.
NATIVE = {
    torch.bool,
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
}
AS_BYTES = {
    name: dtype
    for name in (
        *("complex32", "complex64", "complex128", "uint16", "uint32", "uint64"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
    if isinstance(dtype := getattr(torch, name, None), torch.dtype)
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (*NATIVE, *AS_BYTES.values())}
_ARRAYS = "biufcSUmM"  # kinds of numpy dtypes without Python objects


def encode(who: str, value: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a value into tensors and JSON.

    Args:
        who: begins the error message.
        value: nested dicts, lists, tuples and sets of tensors, numpy arrays and scalars, bytes,
            strings, numbers, None, paths, dtypes and devices. Tensors that share their memory
            are stored once.

    Returns:
        The tensors by name, contiguous and on the CPU, and what `json.dumps` takes. `decode`
        returns the same value from these.

    Raises:
        ArgumentTypeError: a value of another type; the message has its place.

    Example:
        >>> tensors, content = encode("me", {"step": 3, "state": (torch.ones(2), float("inf"))})
        >>> list(tensors), content["state"]["items"][0]
        (['state.0'], {'$': 'tensor', 'name': 'state.0'})
        >>> encode("me", {"callbacks": [torch.nn.Linear(2, 2)]})
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentTypeError: me: callbacks.0 must be a tensor, an array, a \
number, a string, None, or a dict, list, tuple or set of these, got Linear; leave it out of the \
checkpoint
    """
    encoder = _Encoder(who)
    content = encoder.encode(value, ())
    return encoder.tensors, content


class _Encoder:
    def __init__(self, who: str) -> None:
        self.who = who
        self.tensors: dict[str, Tensor] = {}
        self._kept: list[Tensor] = []  # an address is unique as long as its tensor exists
        self._names: dict[Hashable, str] = {}
        self._storages: set[int] = set()

    def encode(self, value: Any, path: tuple[object, ...]) -> Any:
        if value is None or type(value) in (bool, str):
            return value
        if len(path) > DEEPEST:
            raise ArgumentTypeError(
                f"{self.who}: {_joined(path[:3])}... must be nested at most {DEEPEST} levels "
                "deep, got more; store it in fewer levels"
            )
        encode = _ENCODERS.get(type(value))
        if encode is not None:
            return encode(self, value, path)
        if isinstance(value, np.generic) and value.dtype.kind in _ARRAYS:
            return {"$": "scalar", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
        if isinstance(value, Path):
            return {"$": "path", "value": str(value)}
        raise self.refused(path, type(value).__name__)

    def refused(self, path: tuple[object, ...], got: str) -> ArgumentTypeError:
        fix = "leave it out of the checkpoint"
        if path[:1] == ("hyper_parameters",) and len(path) > 1:
            fix += f", with save_hyperparameters(ignore=[{path[1]!r}])"
        return ArgumentTypeError(
            f"{self.who}: {_joined(path)} must be a tensor, an array, a number, a string, None, or "
            f"a dict, list, tuple or set of these, got {got}; {fix}"
        )

    def integer(self, value: int, path: tuple[object, ...]) -> Any:
        return value if -(2**63) <= value < 2**63 else {"$": "int", "hex": f"{value:x}"}

    def number(self, value: float, path: tuple[object, ...]) -> Any:
        if math.isfinite(value):
            return value
        return {"$": "float", "hex": struct.pack(">d", value).hex()}

    def complex(self, value: complex, path: tuple[object, ...]) -> Any:
        return {"$": "complex", "hex": struct.pack(">dd", value.real, value.imag).hex()}

    def list(self, value: list[Any], path: tuple[object, ...]) -> Any:
        return [self.encode(item, (*path, at)) for at, item in enumerate(value)]

    def items(self, value: Iterable[Any], path: tuple[object, ...]) -> Any:
        return {"$": _KINDS[type(value)], "items": self.list([*value], path)}

    def dict(self, value: dict[Any, Any], path: tuple[object, ...]) -> Any:
        if type(value) is dict and all(type(key) is str for key in value) and "$" not in value:
            return {key: self.encode(item, (*path, key)) for key, item in value.items()}
        pairs = []
        for key, item in value.items():
            if isinstance(key, Tensor):
                raise self.refused((*path, "(a key)"), "a tensor as a key")
            pairs.append([self.encode(key, (*path, "(a key)")), self.encode(item, (*path, key))])
        found: dict[str, Any] = {"$": _KINDS[type(value)], "items": pairs}
        if (extra := getattr(value, "_metadata", None)) is not None:  # versions, of a state dict
            found["metadata"] = self.encode(extra, (*path, "_metadata"))
        return found

    def bytes(self, value: bytes, path: tuple[object, ...]) -> Any:
        data = torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else _EMPTY
        return {"$": "bytes", "name": self.add(data, path)}

    def array(self, value: np.ndarray[Any, Any], path: tuple[object, ...]) -> Any:
        if value.dtype.kind not in _ARRAYS or not value.dtype.itemsize:
            raise self.refused(path, f"an array of {value.dtype}")
        name = self.bytes(value.tobytes(), path)["name"]
        return {"$": "array", "name": name, "dtype": value.dtype.str, "shape": [*value.shape]}

    def tensor(self, value: Tensor, path: tuple[object, ...]) -> Any:
        name = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided or value.is_meta or value.is_nested:
            raise self.refused(path, f"a {value.layout} tensor on {value.device}")
        if name not in DTYPES:
            raise self.refused(path, f"a tensor of {name}")
        value = value.detach()
        self._kept.append(value)
        place = (value.data_ptr(), value.dtype, value.shape, value.stride(), value.device)
        same = (*place, value.is_conj(), value.is_neg()) if value.numel() else object()
        if same not in self._names:
            data = value.cpu().resolve_conj().resolve_neg().contiguous()
            if value.dtype not in NATIVE:
                data = data.reshape(-1).view(torch.uint8)
            self._names[same] = self.add(data, path)
        found: dict[str, Any] = {"$": "tensor", "name": self._names[same]}
        if value.dtype not in NATIVE:
            found |= {"dtype": name, "shape": [*value.shape]}
        return found

    def add(self, data: Tensor, path: tuple[object, ...]) -> str:
        if data.numel() and (start := data.untyped_storage().data_ptr()) in self._storages:
            data = data.clone()  # another part of the memory of an earlier tensor
        elif data.numel():
            self._storages.add(start)
            self._kept.append(data)
        stem = _joined(path).encode("utf-8", "replace").decode()
        name, number = stem, 1
        while name in self.tensors or name == "__metadata__":
            number += 1
            name = f"{stem}#{number}"
        self.tensors[name] = data
        return name


_EMPTY = torch.empty(0, dtype=torch.uint8)
_KINDS: dict[type, str] = {
    tuple: "tuple",
    torch.Size: "size",
    set: "set",
    frozenset: "frozenset",
    dict: "dict",
    OrderedDict: "ordered_dict",
    Counter: "counter",
}
_ENCODERS: dict[type, Callable[[_Encoder, Any, tuple[object, ...]], Any]] = {
    int: _Encoder.integer,
    float: _Encoder.number,
    complex: _Encoder.complex,
    list: _Encoder.list,
    **dict.fromkeys((tuple, torch.Size, set, frozenset), _Encoder.items),
    **dict.fromkeys((dict, OrderedDict, Counter), _Encoder.dict),
    bytes: _Encoder.bytes,
    np.ndarray: _Encoder.array,
    **dict.fromkeys((Tensor, nn.Parameter), _Encoder.tensor),
    torch.dtype: lambda _, value, path: {"$": "dtype", "value": str(value)[6:]},
    torch.device: lambda _, value, path: {"$": "device", "value": str(value)},
}


def _joined(path: tuple[object, ...]) -> str:
    return ".".join(map(str, path)) or "the checkpoint"
