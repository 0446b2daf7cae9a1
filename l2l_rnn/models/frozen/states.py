"""The states of one frozen encoder, shared by all copies of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import ArgumentError, DataError, MissingExtraError
from l2l_rnn.models.frozen.backend import EncoderBackend
from l2l_rnn.models.frozen.locations import (
    INSTALL,
    default_cache,
    encoder_name,
    find_encoder,
)
from l2l_rnn.models.frozen.state_cache import (
    StateCache,
    check_identity,
    read_identity,
    row_key,
)

Progress = Callable[[int, int], None]  # rows done, rows in all

# Caches that were given in this process, so that copies made from a configuration find them.
_GIVEN: dict[tuple[str, int, int], Path] = {}


class FrozenStates:
    """Looks up states by token ids, and computes and stores those that are missing.

    Copies share it: deepcopy returns the same object, and pickle keeps only the arguments.

    Args:
        who: begins error messages.
        source: name, folder or id of the encoder.
        cache: folder of the cache; None for the one given before in this process for the same
            encoder and settings, or else `default_cache`.
        layer, max_length, store: as in `FrozenEncoder`.
    """

    def __init__(
        self, who: str, source: str, cache: str | None, layer: int, max_length: int, store: bool
    ) -> None:
        self._arguments = (who, source, cache, layer, max_length, store)
        self.who, self.source, self.layer = who, source, layer
        self.max_length, self.store = max_length, store
        name = encoder_name(source)
        key = (source, layer, max_length)
        if cache is not None:
            _GIVEN[key] = Path(cache).expanduser().absolute()
        folder = _GIVEN.get(key) or default_cache(name, layer, max_length)
        found = read_identity(who, folder)
        self.backend = find_encoder(who, source, download=found is None)
        identity: dict[str, Any] = {"name": name, "layer": layer, "max_length": max_length}
        tokenizer = None
        if self.backend is not None:
            self._check_backend(self.backend)
            tokenizer = self.backend.tokenizer
            identity["digest"] = self.backend.digest()
            identity["size"] = self.backend.size
            identity["vocab_size"] = self.backend.vocab_size
            identity["unknown"] = self.backend.unknown
        if found is not None:
            check_identity(who, folder, found, identity)
            identity = {**found, **identity}
        elif self.backend is None:
            raise MissingExtraError(
                f"{who}: the encoder {source!r} is not on this machine, and there is no cache of "
                f"its states in {folder}; {INSTALL.get(source, 'check the path')}, or pass the "
                "folder of a cache"
            )
        self.size: int = identity["size"]
        self.vocab_size: int = identity["vocab_size"]
        self.unknown: int | None = identity["unknown"]
        self.name: str = identity["name"]
        self.cache = StateCache(who, folder, identity, tokenizer)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenStates:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    def _check_backend(self, backend: EncoderBackend) -> None:
        if self.max_length > backend.longest:
            raise ArgumentError(
                f"{self.who}: max_length must be at most {backend.longest}, the positions of "
                f"{backend.name}, got {self.max_length}; lower it"
            )
        if not -backend.layers - 1 <= self.layer <= backend.layers:
            raise ArgumentError(
                f"{self.who}: layer must be from {-backend.layers - 1} to {backend.layers} for "
                f"{backend.name}, got {self.layer}; pass -1 for the last layer"
            )

    @property
    def tokenizer(self) -> str:
        """The content of the tokenizer's file.

        Raises:
            DataError: the encoder has none.
        """
        if self.backend is not None and self.backend.tokenizer is not None:
            return self.backend.tokenizer
        path = self.cache.folder / "tokenizer.json"
        if not path.is_file():
            raise DataError(
                f"{self.who}: {self.name} must have a tokenizer.json, got none; make the token ids "
                "with its own tokenizer"
            )
        return path.read_text("utf-8")

    def rows(self, ids: NDArray[np.int32], lengths: Sequence[int]) -> list[Tensor]:
        """Return the states of rows, each `(length, E)` float16, without padding.

        Args:
            ids: token ids of the tokenizer, `(B, S)`.
            lengths: number of valid ids of each row.

        Raises:
            DataError: rows are not in the cache and cannot be computed here.
        """
        keys = [row_key(row[:n]) for row, n in zip(ids, lengths, strict=True)]
        found = [self.cache.get(key) for key in keys]
        if any(states is None for states in found):
            made = self._made(keys, ids, lengths)
            made[row_key(ids[0, :0])] = torch.empty(0, self.size, dtype=torch.float16)
            found = [made[key] if key in made else self.cache.get(key) for key in keys]
        return [states for states in found if states is not None]

    def _made(
        self, keys: list[bytes], ids: NDArray[np.int32], lengths: Sequence[int]
    ) -> dict[bytes, Tensor]:
        """Compute missing rows; return those that are not in the cache afterwards."""
        made: dict[bytes, Tensor] = {}
        for part in self._computed(keys, ids, lengths, 32, None):
            if self.store:
                self.cache.append(part)
            else:
                made.update(part)
        return made

    def missing(self, ids: NDArray[np.int32], lengths: Sequence[int]) -> int:
        """Return how many different rows are not in the cache."""
        return self._counts(ids, lengths)[0]

    def check(self, ids: NDArray[np.int32], lengths: Sequence[int]) -> None:
        """Check that rows are in the cache or can be computed here.

        Raises:
            DataError: some are not, and cannot be.
        """
        missing, rows = self._counts(ids, lengths)
        if missing:
            self._ready(missing, rows)

    def _counts(self, ids: NDArray[np.int32], lengths: Sequence[int]) -> tuple[int, int]:
        """Return how many different rows are not in the cache, and how many there are."""
        self.cache.refresh()
        keys = {row_key(row[:n]) for row, n in zip(ids, lengths, strict=True) if n}
        return sum(self.cache.get(key) is None for key in keys), len(keys)

    def fill(
        self,
        ids: NDArray[np.int32],
        lengths: Sequence[int],
        batch_size: int,
        device: torch.device | None,
        progress: Progress | None,
    ) -> int:
        """Store the states of all rows that are not in the cache, and return their number."""
        keys = [row_key(row[:n]) for row, n in zip(ids, lengths, strict=True)]
        done = 0
        for part in self._computed(keys, ids, lengths, batch_size, progress, device):
            self.cache.append(part)
            done += len(part)
        return done

    def _computed(
        self,
        keys: list[bytes],
        ids: NDArray[np.int32],
        lengths: Sequence[int],
        batch_size: int,
        progress: Progress | None,
        device: torch.device | None = None,
    ) -> Iterator[dict[bytes, Tensor]]:
        """Yield the states of missing rows by key, a batch at a time, the shortest rows first."""
        self.cache.refresh()
        rows = {key: row for row, key in enumerate(keys) if lengths[row]}
        missing = [row for key, row in rows.items() if self.cache.get(key) is None]
        if not missing:
            return
        backend = self._ready(len(missing), len(rows))
        if int(ids.max()) >= backend.vocab_size:
            raise ArgumentError(
                f"{self.who}: token ids must be below {backend.vocab_size}, those of the tokenizer "
                f"of {self.name}, got {int(ids.max())}; encode the texts with "
                "data.encoder_pipeline(encoder)"
            )
        missing.sort(key=lambda row: lengths[row])
        for start in range(0, len(missing), batch_size):
            chosen = missing[start : start + batch_size]
            longest = max(lengths[row] for row in chosen)
            batch = torch.from_numpy(ids[chosen, :longest].astype(np.int64)).to(device or "cpu")
            sizes = torch.tensor([lengths[row] for row in chosen]).to(batch.device)
            mask = torch.arange(longest, device=batch.device) < sizes.unsqueeze(-1)
            states = backend.states(batch.where(mask, 0), mask, self.layer).half().cpu()
            if not states[mask.cpu()].isfinite().all():
                raise DataError(
                    f"{self.who}: the states of {self.name} must be finite and within the range of "
                    "float16, got others; choose another layer"
                )
            yield {keys[row]: states[i, : lengths[row]].clone() for i, row in enumerate(chosen)}
            if progress is not None:
                progress(start + len(chosen), len(missing))

    def _found_later(self) -> EncoderBackend | None:
        found = find_encoder(self.who, self.source, download=True)
        if found is not None:
            self._check_backend(found)
            own = self.cache.identity
            check_identity(self.who, self.cache.folder, own, {**own, "digest": found.digest()})
        return found

    def _ready(self, missing: int, rows: int) -> EncoderBackend:
        """Return what computes states, or explain what to do without it."""
        try:
            if self.backend is None:  # installed or downloaded since
                self.backend = self._found_later()
            if self.backend is None:
                raise MissingExtraError(
                    f"the encoder {self.source!r} is not on this machine "
                    f"({INSTALL.get(self.source, 'check the path')})"
                )
            self.backend.check()
            return self.backend
        except MissingExtraError as error:
            raise DataError(
                f"{self.who}: {missing} of {rows} rows are not in the cache {self.cache.folder}, "
                f"and they cannot be computed here: {error}; compute them with l2l-rnn encode "
                f"{self.source} --cache {self.cache.folder}, or training.encode_texts, in an "
                "environment with torch 2.6 or newer and the extra 'encoders' of l2l_rnn"
            ) from error
