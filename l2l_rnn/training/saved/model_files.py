"""The files of a saved learner: weights as safetensors, and everything else as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from l2l_rnn import __version__
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.files import open_file, read_json, replacing, write_json
from l2l_rnn.training.saved.folders import CONFIG, WEIGHTS
from l2l_rnn.training.saved.tensors import digest, from_bytes, to_bytes

FORMAT, VERSION = "l2l_rnn.Pretrained", 1
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_DESCRIBED = ("learner", "inputs", "classes", "steps", "loss", "settings")


def versions() -> dict[str, str]:
    """Return the installed versions of this package, torch and learn2learn.

    Example:
        >>> list(versions())
        ['l2l_rnn', 'torch', 'learn2learn']
    """
    try:
        learn2learn = version("learn2learn")
    except PackageNotFoundError:  # imported from a folder that was not installed
        learn2learn = "unknown"
    return {"l2l_rnn": __version__, "torch": torch.__version__, "learn2learn": learn2learn}


def write_model(
    who: str,
    folder: Path,
    tensors: Mapping[str, Tensor],
    tied: Mapping[str, str],
    content: Mapping[str, Any],
    dtype: str,
) -> None:
    """Write the weights and the configuration of a learner to a folder.

    Args:
        who: begins the error message.
        folder: an existing folder.
        tensors: the tensors of the learner by name.
        tied: for other names of tied tensors, the name in `tensors`.
        content: what `config.json` says about the learner.
        dtype: the type of the floating-point numbers in the file.

    Raises:
        ArgumentError: JSON cannot represent the content, or a number is too large for the type.
        OSError: the folder cannot be written to.
    """
    stored = {}
    for name, tensor in tensors.items():
        stored[name] = tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor
        if not torch.equal(stored[name].isfinite(), tensor.isfinite()):
            raise ArgumentError(
                f"{who}: {name} must fit into {dtype}, got numbers up to "
                f"{float(tensor.abs().max()):.3g}; save as float32"
            )
    try:
        content = json.loads(json.dumps(dict(content), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"{who}: settings and evaluations must be JSON with finite numbers, got something else "
            f"({error}); convert them"
        ) from error
    metadata = {"format": "pt", "l2l_rnn": FORMAT, "describes": _described(content)}
    if tied:
        metadata["tied"] = json.dumps(dict(tied))
    data = to_bytes(stored, metadata)
    weights = {"file": WEIGHTS, "dtype": dtype, "sha256": hashlib.sha256(data).hexdigest()}
    head = {"format": FORMAT, "format_version": VERSION}
    entries = {**head, **content, "versions": versions(), "weights": weights}
    write_json(folder / CONFIG, entries, indent=2)
    with replacing(folder / WEIGHTS, "wb") as file:
        file.write(data)


def read_config(who: str, folder: Path) -> dict[str, Any]:
    """Read and check the configuration of a saved learner.

    Raises:
        DataError: the file is missing, damaged, of another kind, or of a newer version.
    """
    path = folder / CONFIG
    content = read_json(who, path)
    if content.get("format") != FORMAT:
        raise DataError(
            f"{who}: {path} must describe a learner saved by l2l_rnn, got "
            f"format={content.get('format')!r:.40}; save one with Pretrained.save_pretrained"
        )
    found, number = content.get("versions"), content.get("format_version")
    names = ("l2l_rnn", "torch", "learn2learn")
    if not isinstance(found, dict) or not all(isinstance(found.get(n), str) for n in names):
        raise DataError(
            f"{who}: {path} must name the versions of {', '.join(names)}, got {found!r:.100}; save "
            "the learner again"
        )
    if type(number) is not int or number != VERSION:
        newer = type(number) is int and number > VERSION
        raise DataError(
            f"{who}: {path} must have the format version {VERSION}, got {number!r:.20}; "
            + (
                f"install l2l_rnn {found['l2l_rnn']!s:.20} or newer, which saved it"
                if newer
                else "save the learner again"
            )
        )
    kinds: dict[str, Any] = {
        "learner": dict,
        "inputs": dict | None,
        "classes": list,
        "steps": int | None,
        "loss": str | None,
        "settings": dict,
        "evaluation": list,
        "description": str,
        "license": str | None,
        "tags": list,
        "weights": dict,
    }
    for name, kind in kinds.items():
        if name not in content or not isinstance(content[name], kind):
            raise DataError(
                f"{who}: {path} must have an entry {name!r} of another type, got "
                f"{content.get(name)!r:.60}; save the learner again"
            )
    return content


def read_weights(who: str, folder: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the weights that belong to a configuration, as float32.

    Raises:
        DataError: the file is missing or damaged, or belongs to another configuration.
    """
    path = folder / WEIGHTS
    with open_file(who, path) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != content["weights"].get("sha256"):
        raise DataError(
            f"{who}: {path} must have the checksum in {CONFIG}, got a damaged file or that of "
            "another learner; copy or download the folder again"
        )
    tensors, metadata = from_bytes(who, data, str(path))
    if metadata.get("describes") != _described(content):
        raise DataError(
            f"{who}: {folder / CONFIG} must be the one that was saved with the weights, but one of "
            f"{', '.join(_DESCRIBED)} has changed; copy or download the folder again"
        )
    found = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            if tensor.dtype not in DTYPES.values():
                raise DataError(
                    f"{who}: {name} must be {', '.join(DTYPES)} or integers, got {tensor.dtype}; "
                    "convert the learner with .float() and save it again"
                )
            tensor = tensor.float()
        found[name] = tensor
    try:
        tied = json.loads(metadata.get("tied", "{}"))
        found |= {name: found[kept] for name, kept in tied.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{who}: {path} must name tied tensors, got others; save again") from error
    return found


def _described(content: Mapping[str, Any]) -> str:
    """Return the digest of what the outputs depend on besides the weights."""
    return digest({name: content[name] for name in _DESCRIBED}, {})
