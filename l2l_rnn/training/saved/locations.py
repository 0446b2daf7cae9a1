"""Where saved learners are: in folders, in this package, or on the Hugging Face Hub."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Any

import huggingface_hub

import l2l_rnn
from l2l_rnn.errors import DataError, UnknownNameError
from l2l_rnn.registry import hint
from l2l_rnn.training.saved.folders import CONFIG, FILES, as_path

BUNDLED = Path(l2l_rnn.__file__).parent / "weights"
"""The folder of the models that come with the package."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def list_pretrained() -> list[str]:
    """Return the names of the models that come with the package, for `Pretrained.from_pretrained`.

    Example:
        >>> isinstance(list_pretrained(), list)
        True
    """
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def find_model(who: str, name: str | os.PathLike[str], hub: dict[str, Any]) -> Path:
    """Return the folder of a saved learner, downloaded if it is on the Hub.

    Args:
        who: begins the error message.
        name: a folder, the name of a bundled model, or an id on the Hub. A folder with a saved
            learner comes first.
        hub: options of `huggingface_hub.snapshot_download`.

    Raises:
        ArgumentTypeError: the name is neither a str nor a path.
        UnknownNameError: there is no such model.
        DataError: the folder holds no saved learner, or the model cannot be downloaded.
    """
    folder = as_path(who, name)
    text = os.fspath(name)
    if text and (folder / CONFIG).exists():
        return folder
    if text in list_pretrained():
        return BUNDLED / text
    is_path = not isinstance(name, str) or text.startswith((".", "/", "~"))
    if folder.exists() or is_path or not _HUB_ID.fullmatch(text):
        if text and (folder / "classifier.json").exists():
            raise DataError(
                f"{who}: name must be a folder with {CONFIG}, got {folder}, a classifier that "
                f"FewShotClassifier.save wrote; use FewShotClassifier.load, or {folder / 'model'}, "
                "the model in it"
            )
        if text and folder.exists():
            raise DataError(
                f"{who}: name must be a folder with {CONFIG}, got {folder} without; pass the "
                "folder that save_pretrained wrote"
            )
        left = list(folder.parent.glob(f".{glob.escape(folder.name)}.*/{CONFIG}"))
        if text and left:
            raise DataError(
                f"{who}: name must be an existing folder, got {folder}, which an interrupted save "
                f"has moved to {left[0].parent}; rename that one"
            )
        known = ", ".join(list_pretrained()) or "none"
        raise UnknownNameError(
            f"{who}: name must be an existing folder, a bundled model ({known}) or an id "
            f"'owner/name' on the Hugging Face Hub, got {text!r:.100}"
            f"{hint(text, list_pretrained())}"
        )
    try:
        return Path(huggingface_hub.snapshot_download(text, allow_patterns=list(FILES), **hub))
    except Exception as error:  # of huggingface_hub, of its HTTP client, or of the disk
        shown = " ".join(str(error).split())[:300]
        raise DataError(
            f"{who}: the model {text!r} must be on the Hugging Face Hub or in its cache, got "
            f"{type(error).__name__} ({shown}); check the name, the network and your token, or "
            "pass a folder"
        ) from error
