"""Filling of a frozen encoder's cache."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.text.hf_tokenizers import TokenizerPipeline, encoder_pipeline
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.models import FrozenEncoder
from l2l_rnn.training.inputs import TextInputs
from l2l_rnn.training.inputs.raw_texts import raw_texts

_SECONDS = 10.0  # between two lines in a log file


def encode_texts(
    encoder: FrozenEncoder,
    data: Any,
    *,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> int:
    """Compute the states of texts and store them in the encoder's cache.

    Rows that are in the cache are skipped, so an interrupted call continues where it ended. Rows
    are sorted by length.

    Args:
        encoder: the encoder.
        data: texts, as `TextInputs` takes them; token ids `(…, S)`; a dataset or a `Taskset` of
            texts; or a tuple or list of these, such as the three task sets of `get_tasksets`. The
            token ids of a dataset are used if its vocabulary is `data.encoder_pipeline(encoder)`,
            and otherwise its texts.
        batch_size: texts that are computed at once.
        device: where to compute; None for the CPU.
        progress: whether to write the progress to stderr.

    Returns:
        The number of different rows that were computed.

    Raises:
        ArgumentTypeError: `encoder` or `data` is something else.
        DataError: a text is empty; a dataset has neither the encoder's token ids nor texts; states
            cannot be computed in this environment, or not be stored.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from l2l_rnn.models import FROZEN_ENCODERS, ModuleEncoder
        >>> class Scaled(nn.Module):
        ...     def forward(self, ids, mask):
        ...         return ids.unsqueeze(-1) / 10
        >>> @FROZEN_ENCODERS.register("scaled")
        ... def make():
        ...     return ModuleEncoder("scaled", Scaled(), size=1, vocab_size=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encoder = FrozenEncoder("scaled", cache=folder)
        ...     ids = torch.tensor([[5, 6], [7, 0], [5, 6]])
        ...     [encode_texts(encoder, ids, progress=False) for _ in range(2)]
        [2, 0]
    """
    who = "encode_texts"
    if not isinstance(encoder, FrozenEncoder):
        raise ArgumentTypeError(
            f"{who}: encoder must be a models.FrozenEncoder, got {type(encoder).__name__}; "
            "construct one with the name of an encoder"
        )
    batch_size = check_int(who, "batch_size", batch_size)
    ids = _joined([_ids(who, encoder, part) for part in _parts(data)])
    report = _Report(encoder.source) if progress else None
    done = encoder.fill(ids, batch_size=batch_size, device=device, progress=report)
    if report is not None:
        report.end(done, len(ids))
    return done


def _parts(data: Any) -> Iterable[Any]:
    """Return the datasets, tensors or lists of texts in the data."""
    if isinstance(data, (tuple, list)) and data and not isinstance(data[0], str):
        return data
    return [data]


def _ids(who: str, encoder: FrozenEncoder, data: Any) -> Tensor:
    """Return token ids, `(B, S)`."""
    data = getattr(data, "source", data)  # of a task set
    if isinstance(data, Tensor):
        return data.reshape(-1, data.shape[-1]) if data.dim() else data
    pipeline = encoder_pipeline(encoder)
    sequences = getattr(data, "sequences", None)
    if sequences is not None:
        vocabulary = getattr(data, "vocabulary", None)
        if isinstance(vocabulary, TokenizerPipeline) and _same(vocabulary, pipeline):
            return _ids(who, encoder, sequences)
        data = getattr(data, "texts", None)
        if data is None:
            raise DataError(
                f"{who}: a dataset must have texts, or token ids of "
                "data.encoder_pipeline(encoder), got neither; pass it as vocabulary to the task set"
            )
    texts = raw_texts(who, data)
    return TextInputs(pipeline, encoder.max_length, None, empty="unknown")(texts)


def _same(one: TokenizerPipeline, other: TokenizerPipeline) -> bool:
    return (
        one.special_tokens == other.special_tokens
        and one.tokenizer.to_str() == other.tokenizer.to_str()
    )


def _joined(parts: list[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    longest = max(part.shape[-1] for part in parts)
    joined = torch.zeros(sum(map(len, parts)), longest, dtype=torch.int64)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[-1]] = part
        start += len(part)
    return joined


class _Report:
    """Writes the progress to stderr: one line in a terminal, a line every ten seconds elsewhere."""

    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()
        self.last = self.start
        self.in_place = sys.stderr.isatty()

    def __call__(self, done: int, rows: int) -> None:
        now = time.monotonic()
        if not self.in_place and now - self.last < _SECONDS:
            return
        self.last = now
        rate = done / max(now - self.start, 1e-6)
        # Rows are sorted by length, so later ones take longer.
        text = f"{self.name}: {done:,} of {rows:,} rows, {rate:,.1f} rows/s"
        sys.stderr.write(f"\r{text}   " if self.in_place else f"{text}\n")
        sys.stderr.flush()

    def end(self, done: int, rows: int) -> None:
        """Write what was done."""
        seconds = time.monotonic() - self.start
        text = f"{self.name}: computed {done:,} rows in {seconds:,.0f} s, {rows:,} rows in all"
        sys.stderr.write(f"\r{text}\n" if self.in_place else f"{text}\n")
        sys.stderr.flush()
