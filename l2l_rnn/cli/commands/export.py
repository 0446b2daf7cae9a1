"""`l2l-rnn export`: the encoder of a saved model for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Output
from l2l_rnn.cli.fitting.contradictions import out_of_range
from l2l_rnn.cli.output import log, show, show_json
from l2l_rnn.cli.usage import UsageError, refuse


@dataclass(frozen=True)
class ExportSettings:
    """Export.

    Args:
        model: folder of a saved model, name of a bundled one, or id on the Hugging Face Hub
        format: what to write, see below
        part: the encoder, from inputs to vectors, or the whole model with its head
        to: file or folder to write; it must not exist
        dtype: type of the numbers in the format pretrained
        batch: sequences in a call, fixed in the format torch_export
        length: steps of a sequence, fixed in torch_export; the model's longest by default
    """

    positional: ClassVar[bool] = True
    model: str
    format: Literal["pretrained", "safetensors", "torchscript", "torch_export", "onnx"] = (
        "pretrained"
    )
    part: Literal["encoder", "model"] = "encoder"
    to: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    batch: int = 1
    length: int | None = None


GROUPS = (ExportSettings, Output)
EXAMPLES = """
  l2l-rnn export posts-model --to posts                             # without checkpoints
  l2l-rnn export posts-model --to posts-half --dtype float16
  l2l-rnn export posts-model --format torchscript --to encoder.pt
  l2l-rnn export languages --format onnx --to encoder.onnx          # needs the package onnx

formats:
  pretrained    folder with weights, configuration and card: from_pretrained reads it
  safetensors   the tensors of the part, with the names of torch's layers
  torchscript   the part as a program for torch.jit.load, in Python or C++; cells rnn, gru, lstm
  torch_export  the part as a program for torch.export.load, with a fixed shape; all cells
  onnx          the part for ONNX runtimes; cells rnn, gru, lstm
Inputs are token ids (B, S), padded with 0, or series (B, S, F), padded with NaN.
"""


def run(settings: ExportSettings, output: Output) -> int:
    """Write the export, check it, and print where it is."""
    if settings.to is None:
        raise UsageError("--to is missing: name the file or folder to write")
    refuse(list(out_of_range(settings)))
    log("importing torch")
    from l2l_rnn.cli.saved_models.exports import write_export

    signals.check()
    result = write_export(
        settings.model,
        settings.to,
        settings.format,
        part=settings.part,
        dtype=settings.dtype,
        shape=(settings.batch, settings.length),
    )
    if output.json:
        show_json(result)
    else:
        shown = "" if result["error"] is None else f"; largest error {result['error']:.1e}"
        show(f"wrote {result['to']} ({result['bytes']:,} bytes){shown}")
    return 0
