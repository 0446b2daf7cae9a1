"""The format of user states: safetensors with a digest."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from torch import Tensor

from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.training.saved.tensors import digest, from_bytes, to_bytes

FORMAT, VERSION = "l2l_rnn user", 1
_STATE, _TENSOR = "state.", "tensor."  # begin the names of adapted state, and of tensors


class UserState(NamedTuple):
    """The adapted state of a learner.

    Attributes:
        kind: the name of the learner's class.
        base: the digest of the base learner.
        unknown: the names of the tensors that the digest leaves out.
        tasks: `N`, or None.
        state: what the learner keeps besides its parameters, by name.
        tensors: adapted parameters and buffers, by name.
    """

    kind: str
    base: str
    unknown: frozenset[str]
    tasks: int | None
    state: dict[str, Tensor]
    tensors: dict[str, Tensor]

    def to_bytes(self) -> bytes:
        """Return the state as safetensors bytes, with a digest of everything."""
        tensors = {f"{_STATE}{name}": t for name, t in self.state.items()}
        tensors |= {f"{_TENSOR}{name}": t for name, t in self.tensors.items()}
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "class": self.kind,
            "base": self.base,
        }
        if self.unknown:
            metadata["unknown"] = json.dumps(sorted(self.unknown))
        if self.tasks is not None:
            metadata["tasks"] = str(self.tasks)
        return to_bytes(tensors, {**metadata, "digest": digest(metadata, tensors)})


def read_user(who: str, data: Any, what: str = "data") -> UserState:
    """Read what `UserState.to_bytes` returned.

    Args:
        who: begins the error message.
        data: the bytes.
        what: names them in the error message.

    Raises:
        ArgumentTypeError: `data` is not bytes.
        DataError: the bytes are damaged, of another kind, or of a newer version.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ArgumentTypeError(
            f"{who}: {what} must be bytes from save_user, got {type(data).__name__}; read a file "
            "with Path.read_bytes()"
        )
    tensors, metadata = from_bytes(who, bytes(data), what)
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{who}: {what} must be the state of a user, got other safetensors; pass the result of "
            "save_user"
        )
    if metadata.get("version") != str(VERSION):
        raise DataError(
            f"{who}: {what} must have the format version {VERSION}, got "
            f"{metadata.get('version')!r:.20}; install the version of l2l_rnn that saved it"
        )
    given = metadata.pop("digest", "")
    known = all(name.startswith((_STATE, _TENSOR)) for name in tensors)
    if given != digest(metadata, tensors) or not known or not {"class", "base"} <= set(metadata):
        raise DataError(f"{who}: {what} must be complete, got damaged bytes; use an earlier copy")
    try:
        tasks = int(metadata["tasks"]) if "tasks" in metadata else None
        unknown = frozenset(map(str, json.loads(metadata.get("unknown", "[]"))))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{who}: {what} must be from save_user, got other metadata") from error
    return UserState(
        metadata["class"],
        metadata["base"],
        unknown,
        tasks,
        {n.removeprefix(_STATE): t for n, t in tensors.items() if n.startswith(_STATE)},
        {n.removeprefix(_TENSOR): t for n, t in tensors.items() if n.startswith(_TENSOR)},
    )
