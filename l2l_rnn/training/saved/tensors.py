"""Tensors and text as safetensors bytes, and digests of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from l2l_rnn.errors import DataError
from l2l_rnn.files import parse_json

_MOST_HEADER = 100_000_000  # bytes; the limit of safetensors
_PICKLES = (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))  # PK begins a zip file


class TensorFile(NamedTuple):
    """What safetensors bytes hold.

    Attributes:
        tensors: the tensors by name, on the CPU.
        metadata: texts by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors and texts as safetensors bytes; equal content gives equal bytes.

    Example:
        >>> data = to_bytes({"a": torch.ones(2)}, {"format": "mine"})
        >>> from_bytes("me", data, "a file")
        TensorFile(tensors={'a': tensor([1., 1.])}, metadata={'format': 'mine'})
    """
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    data = safetensors.torch.save(copies)
    # safetensors writes texts in a random order, but equal content should give equal bytes.
    size = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def from_bytes(who: str, data: bytes, what: str) -> TensorFile:
    """Read safetensors bytes.

    Args:
        who: begins the error message.
        data: the bytes.
        what: names the bytes in the error message, such as a path.

    Raises:
        DataError: they are not what `to_bytes` returned.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MOST_HEADER):
        if data.startswith(_PICKLES):
            raise DataError(
                f"{who}: {what} must be safetensors, got a file of torch.save or pickle, which is "
                "not loaded because it can run code; save the learner again"
            )
        raise _damaged(who, what, f"{len(data)} bytes without a complete header")
    try:
        metadata = parse_json(data[8 : 8 + size].decode("utf-8")).get("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("the metadata are not texts")
        tensors = safetensors.torch.load(data)
    except Exception as error:  # whatever safetensors raises at bytes made to mislead it
        shown = " ".join(str(error).split())[:200]
        raise _damaged(who, what, f"an unreadable one ({shown})") from error
    return TensorFile(tensors, metadata)


def digest(content: Any, tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of JSON and of tensors, with their names, shapes, dtypes and exact values.

    Example:
        >>> digest({"a": 1}, {}) == digest({"a": 1}, {"b": torch.ones(2)})
        False
    """
    whole = hashlib.blake2b(digest_size=16)
    whole.update(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        whole.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _damaged(who: str, what: str, got: str) -> DataError:
    return DataError(f"{who}: {what} must be a complete safetensors file, got {got}; save it again")
