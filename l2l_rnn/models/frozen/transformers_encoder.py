"""States of the encoders of the package transformers."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.errors import DataError, MissingExtraError
from l2l_rnn.files import open_file, read_json
from l2l_rnn.models.frozen.backend import EncoderBackend
from l2l_rnn.optional import require

_OLDEST = (2, 6)  # the oldest torch that transformers 5 takes
_VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")


class TransformersEncoder(EncoderBackend):
    """The encoder in a folder that transformers or sentence-transformers has written.

    Only config.json is read at first. The model is loaded when states are needed. Weights are
    safetensors; nothing is unpickled, and no code of the folder runs.

    Args:
        who: begins error messages.
        folder: the folder, with config.json, tokenizer.json and weights as safetensors.
        name: the name of the encoder.

    Raises:
        DataError: the folder has no encoder.
    """

    def __init__(self, who: str, folder: Path, name: str) -> None:
        self.who, self.folder, self.name = who, folder, name
        self.config = read_json(who, folder / "config.json")
        self.size = self._setting("hidden_size", "d_model", "dim", "n_embd")
        self.vocab_size = self._setting("vocab_size")
        self.layers = self._setting("num_hidden_layers", "num_layers", "n_layers", "n_layer")
        positions = self._setting("max_position_embeddings", "n_positions", default=2**20)
        # Models that pad with 1, such as RoBERTa, number their positions from 2.
        self.longest = positions - 2 if self.config.get("pad_token_id") == 1 else positions
        self._model: Any = None

    def _setting(self, *names: str, default: int | None = None) -> int:
        found = next((self.config[name] for name in names if name in self.config), default)
        if not isinstance(found, int) or found < 1:
            raise DataError(
                f"{self.who}: {self.folder / 'config.json'} must be that of a text encoder, with "
                f"{names[0]}, got {found!r}; pass the folder of one"
            )
        return found

    @functools.cached_property
    def tokenizer(self) -> str | None:  # type: ignore[override]
        path = self.folder / "tokenizer.json"
        if not path.exists():
            return None
        with open_file(self.who, path) as file:
            return file.read().decode("utf-8")

    def digest(self) -> str:
        config = {name: value for name, value in self.config.items() if name not in _VOLATILE}
        found = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        found.update((self.tokenizer or "").encode())
        for path in self._weights():
            status = path.stat()
            found.update(_file_digest(path, status.st_size, status.st_mtime_ns))
        return found.hexdigest()

    def _weights(self) -> list[Path]:
        paths = sorted(self.folder.glob("*.safetensors"))
        if not paths:
            raise DataError(
                f"{self.who}: {self.folder} must have weights as safetensors, got none; save the "
                "model again with model.save_pretrained(folder)"
            )
        return paths

    def check(self) -> None:
        self._transformers()

    def _transformers(self) -> Any:
        version = torch.__version__.split("+")[0]
        if tuple(map(int, version.split(".")[:2])) < _OLDEST:
            raise MissingExtraError(
                f"{self.who}: computing states of {self.name} needs transformers 5, which needs "
                f"torch 2.6 or newer, got torch {version}; compute them in an environment with the "
                "extra 'encoders' of l2l_rnn, and read the cache here"
            )
        return require("transformers", extra="encoders", purpose=f"computing states of {self.name}")

    def states(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        if self._model is None:
            self._model = self._load()
        model = self._model.to(ids.device)
        padding = self.config.get("pad_token_id")
        ids = ids.masked_fill(~mask, padding if isinstance(padding, int) else 0)
        with torch.no_grad():
            found = model(
                input_ids=ids, attention_mask=mask.long(), output_hidden_states=layer != -1
            )
        states: Tensor = found.last_hidden_state if layer == -1 else found.hidden_states[layer]
        return states

    def _load(self) -> Any:
        transformers = self._transformers()
        self._weights()
        logging = transformers.utils.logging
        shows = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model = transformers.AutoModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.who}: {self.folder} must hold an encoder that transformers can load, got "
                f"{str(error).strip().splitlines()[0][:300]}; check the folder"
            ) from error
        finally:
            if shows:
                logging.enable_progress_bar()
        if getattr(model.config, "is_encoder_decoder", False):
            model = model.get_encoder()
        return model.eval().requires_grad_(False)


@functools.lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, time: int) -> bytes:
    """Return the hash of a file, computed once for each size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
