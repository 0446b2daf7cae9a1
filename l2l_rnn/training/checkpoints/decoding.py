"""Values of a checkpoint from the tensors and JSON of `encode`."""

from __future__ import annotations

import re
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.errors import DataError
from l2l_rnn.training.checkpoints.encoding import AS_BYTES, DEEPEST, DTYPES

_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "size": torch.Size,
    "set": set,
    "frozenset": frozenset,
}
_MAPPINGS: dict[str, type[dict[Any, Any]]] = {
    "dict": dict,
    "ordered_dict": OrderedDict,
    "counter": Counter,
}


def decode(who: str, tensors: dict[str, Tensor], content: Any) -> Any:
    """Put a value together again from what `encode` returned.

    Args:
        who: begins the error message.
        tensors: the tensors by name; the result holds these, not copies.
        content: the parsed JSON.

    Raises:
        DataError: `encode` did not return these.

    Example:
        >>> from l2l_rnn.training.checkpoints.encoding import encode
        >>> decode("me", *encode("me", {"step": 3, "state": (torch.ones(2), float("inf"))}))
        {'step': 3, 'state': (tensor([1., 1.]), inf)}
    """
    decoder = _Decoder(tensors)
    try:
        value = decoder.decode(content, 0)
        if unused := tensors.keys() - decoder.used:
            raise ValueError(f"the tensor {min(unused)!r} belongs to no entry")
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
        raise DataError(
            f"{who}: the checkpoint must have entries that match its tensors, got {error}; it is "
            "damaged or was changed by another program"
        ) from error
    return value


class _Decoder:
    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.used: set[str] = set()
        self._viewed: dict[Hashable, Tensor] = {}

    def decode(self, content: Any, depth: int) -> Any:
        if depth > DEEPEST + 1:
            raise ValueError(f"more than {DEEPEST} levels")
        if isinstance(content, list):
            return [self.decode(item, depth + 1) for item in content]
        if not isinstance(content, dict):
            return content
        if "$" not in content:
            return {key: self.decode(item, depth + 1) for key, item in content.items()}
        kind = content["$"]
        if kind in _COLLECTIONS:
            items = [self.decode(item, depth + 1) for item in _typed(content, "items", list)]
            return _COLLECTIONS[kind](items)
        if kind in _MAPPINGS:
            return self._mapping(content, depth)
        if kind in _SIMPLE:
            return _SIMPLE[kind](content)
        if kind == "scalar":
            (value,) = _array(bytes.fromhex(_typed(content, "hex", str)), content)
            return value
        if kind in ("tensor", "array", "bytes"):
            return self._data(kind, content)
        raise ValueError(f"an entry of the unknown kind {kind!r:.40}")

    def _mapping(self, content: dict[str, Any], depth: int) -> dict[Any, Any]:
        found = _MAPPINGS[content["$"]]()
        pairs = _typed(content, "items", list)
        for pair in pairs:
            key, item = pair
            found[self.decode(key, depth + 1)] = self.decode(item, depth + 1)
        if len(found) != len(pairs):
            raise ValueError("a key that is there twice")
        if "metadata" in content and isinstance(found, OrderedDict):
            vars(found)["_metadata"] = self.decode(content["metadata"], depth + 1)
        return found

    def _data(self, kind: str, content: dict[str, Any]) -> Any:
        name = _typed(content, "name", str)
        if name not in self.tensors:
            raise ValueError(f"an entry of the missing tensor {name!r:.40}")
        self.used.add(name)
        data = self.tensors[name]
        if kind == "tensor" and "dtype" not in content:
            if data.dtype == torch.bool and (data.view(torch.uint8) > 1).any():
                raise ValueError(f"bytes in {name!r:.40} that are no bools")
            return data
        if data.dtype != torch.uint8 or data.dim() != 1:
            raise ValueError(f"{name!r:.40} as {data.dtype} instead of bytes")
        if kind == "bytes":
            return data.numpy().tobytes()
        shape = _shape(content)
        if kind == "array":
            array = _array(data.numpy().tobytes(), content)
            return array.reshape(shape).copy()
        dtype = _typed(content, "dtype", str)
        key = (name, dtype, *shape)
        if key not in self._viewed:  # tied tensors stay tied
            self._viewed[key] = data.clone().view(AS_BYTES[dtype]).reshape(shape)
        return self._viewed[key]


def _float(content: dict[str, Any]) -> float:
    (value,) = struct.unpack(">d", bytes.fromhex(_typed(content, "hex", str)))
    return float(value)


_SIMPLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "int": lambda content: int(_typed(content, "hex", str), 16),
    "float": _float,
    "complex": lambda content: complex(
        *struct.unpack(">dd", bytes.fromhex(_typed(content, "hex", str)))
    ),
    "path": lambda content: Path(_typed(content, "value", str)),
    "dtype": lambda content: DTYPES[_typed(content, "value", str)],
    "device": lambda content: torch.device(_typed(content, "value", str)),
}


def _typed(content: dict[str, Any], key: str, kind: type) -> Any:
    if not isinstance(value := content.get(key), kind):
        raise ValueError(f"{key}={value!r:.40} where a {kind.__name__} belongs")
    return value


def _array(data: bytes, content: dict[str, Any]) -> np.ndarray[Any, Any]:
    text = _typed(content, "dtype", str)
    # Only what `dtype.str` gives: numpy also parses long descriptions of structures.
    if not re.fullmatch(r"[<>|=][biufcSUmM]\d{1,9}(\[\d{0,9}[A-Za-zμ]{1,3}\])?", text):
        raise ValueError(f"the dtype {text!r:.40}")
    dtype = np.dtype(text)
    if not dtype.itemsize:
        raise ValueError(f"the dtype {text!r:.40} without bytes")
    array = np.frombuffer(data, dtype)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ValueError("bytes that are no bools")
    if dtype.kind == "U" and (array.view(f"{text[0]}u4") > sys.maxunicode).any():
        raise ValueError("numbers that are no characters")
    return array


def _shape(content: dict[str, Any]) -> list[int]:
    shape = _typed(content, "shape", list)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"the shape {shape!r:.40}")
    return list(shape)
