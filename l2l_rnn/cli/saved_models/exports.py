"""Exports of a saved model's encoder, checked after they are written."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from l2l_rnn.errors import (
    ArgumentError,
    ConversionWarning,
    DataError,
    ExportError,
    MissingExtraError,
)
from l2l_rnn.files import replacing
from l2l_rnn.nn import to_torch
from l2l_rnn.training import Pretrained, TextInputs

_LENGTH = 32  # steps of an example, where inputs have no longest length


def write_export(
    name: str,
    to: str,
    form: str,
    *,
    part: str = "encoder",
    dtype: str = "float32",
    shape: tuple[int, int | None] = (1, None),
) -> dict[str, Any]:
    """Export a saved model, read the result back, and compare its outputs.

    Args:
        name: as in `Pretrained.from_pretrained`.
        to: the file or folder to write; it must not exist.
        form: a format of `l2l-rnn export`.
        part: `"encoder"`, or `"model"` with its head.
        dtype: type of the numbers in the format `"pretrained"`.
        shape: sequences and steps of a call, for `"torch_export"`.

    Returns:
        `to`, `format`, `part`, the size in `bytes`, and the largest `error` of an output, None if
        nothing here can run the format.

    Raises:
        ArgumentError: `to` exists, or the model has no such part.
        ExportError: the format cannot represent the model.
        MissingExtraError: a package is missing.
    """
    path = Path(to).expanduser()
    if path.exists():
        raise ArgumentError(f"export: --to must not exist, got {to}; choose another name")
    model = Pretrained.from_pretrained(name)
    result = {"to": to, "format": form, "part": part}
    if form == "pretrained":
        model.save_pretrained(path, dtype=dtype)
        size = sum(file.stat().st_size for file in path.iterdir())
        return {**result, "part": "all", "bytes": size, "error": None}
    if dtype != "float32":
        raise ArgumentError("export: --dtype is only for the format pretrained")
    module = part_of(model, part)
    examples = [_example(model, module, *size) for size in ((3, 7), (2, 11))]
    if form == "torch_export":
        longest = shape[1] or getattr(model.inputs, "max_length", None) or _LENGTH
        examples = [_example(model, module, shape[0], longest)] * 2
    if not path.parent.is_dir():
        raise DataError(f"export: the folder of --to must exist, got {path.parent}; create it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = _WRITERS[form](module, path, examples)
    return {**result, "bytes": path.stat().st_size, "error": error}


def part_of(model: Pretrained, part: str) -> nn.Module:
    """Return the encoder of a saved model, or the model with its head, in evaluation mode.

    Raises:
        ArgumentError: there is no such part.
    """
    module: nn.Module = model.learner.module
    encoder = getattr(module, "encoder", None)
    if part == "model" and not isinstance(getattr(module, "head", None), nn.Module):
        raise ArgumentError(
            f"export: --part model needs a model with a head, got {type(model.learner).__name__}, "
            "whose classes come from the support set; use --part encoder"
        )
    if part == "model" or not isinstance(encoder, nn.Module):
        return module.eval()
    return encoder.eval()


def _example(model: Pretrained, module: nn.Module, batch: int, steps: int) -> Tensor:
    """Return inputs of several lengths."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(model.inputs, TextInputs):
        size = next(m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding))
        x = torch.randint(1, size, (batch, steps), generator=generator)
        padding: float = 0
    else:
        x = torch.randn(batch, steps, model.inputs.input_size or 1, generator=generator)
        padding = float("nan")
    for row in range(1, batch):
        x[row, max(1, steps - 2 * row) :] = padding
    return x


def _safetensors(module: nn.Module, path: Path, examples: list[Tensor]) -> float:
    from safetensors.torch import load, save

    tensors = {
        key: value.detach().contiguous().clone()
        for key, value in _in_torch(module, "safetensors").state_dict().items()
    }
    with replacing(path, "wb") as file:
        file.write(save(tensors))
    read = load(path.read_bytes())
    return max(float((read[key] - value).abs().max()) for key, value in tensors.items())


def _torchscript(module: nn.Module, path: Path, examples: list[Tensor]) -> float:
    traced = torch.jit.trace(_in_torch(module, "torchscript"), (examples[0],), check_trace=False)
    with replacing(path, "wb") as file:
        torch.jit.save(traced, file)
    return _error(torch.jit.load(path), module, examples)


def _torch_export(module: nn.Module, path: Path, examples: list[Tensor]) -> float:
    try:
        program = torch.export.export(module, (examples[0],), strict=False)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _failed("torch_export", error) from error
    with replacing(path, "wb") as file:
        torch.export.save(program, cast(io.BytesIO, file))
    return _error(torch.export.load(path).module(), module, examples)


def _onnx(module: nn.Module, path: Path, examples: list[Tensor]) -> float | None:
    if find_spec("onnx") is None:
        raise MissingExtraError("export: the format onnx needs the package onnx: pip install onnx")
    axes = {"x": {0: "B", 1: "S"}, "y": {0: "B"}}
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    model = _in_torch(module, "onnx")
    try:
        with replacing(path, "wb") as file:
            torch.onnx.export(model, (examples[0],), file, **names)
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        raise _failed("onnx", error) from error
    if find_spec("onnxruntime") is None:
        return None
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(path))
    return _error(
        lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), module, examples
    )


_WRITERS: dict[str, Callable[[nn.Module, Path, list[Tensor]], float | None]] = {
    "safetensors": _safetensors,
    "torchscript": _torchscript,
    "torch_export": _torch_export,
    "onnx": _onnx,
}


def _in_torch(module: nn.Module, form: str) -> nn.Module:
    """Return a module with torch's layers.

    Raises:
        ExportError: a layer has no counterpart in torch.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConversionWarning)
        try:
            return to_torch(module)
        except ConversionWarning as warning:
            raise ExportError(
                f"export: the format {form} needs the cells rnn, gru or lstm, but {warning}; use "
                "--format torch_export or pretrained"
            ) from warning


def _failed(form: str, error: Exception) -> ExportError:
    return ExportError(
        f"export: torch {torch.__version__} cannot write this model as {form} "
        f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); choose another format"
    )


def _error(call: Any, module: nn.Module, examples: list[Tensor]) -> float:
    with torch.no_grad():
        return max(float((call(x) - module(x)).abs().max()) for x in examples)
