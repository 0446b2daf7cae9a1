"""Settings in a checkpoint, compared when training is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from l2l_rnn.configuration import differing_values, shown_value
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

ENTRY = "l2l_rnn"  # our entry in a checkpoint of Lightning


def add_settings(checkpoint: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Add the settings of a training run to a checkpoint.

    A LightningModule calls this in `on_save_checkpoint`.

    Args:
        checkpoint: Lightning's dict.
        settings: what JSON represents: nested dicts with string keys, lists, strings, numbers,
            bools and None.

    Raises:
        ArgumentTypeError: JSON does not represent the settings.

    Example:
        >>> checkpoint = {"epoch": 1}
        >>> add_settings(checkpoint, {"learner": {"class": "MAML", "lr": 0.5}})
        >>> saved_settings(checkpoint)
        {'learner': {'class': 'MAML', 'lr': 0.5}}
    """
    plain = _plain("add_settings", settings)
    checkpoint.setdefault(ENTRY, {})["settings"] = plain


def saved_settings(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings in a checkpoint, or None if it has none."""
    entry = checkpoint.get(ENTRY)
    settings = entry.get("settings") if isinstance(entry, dict) else None
    return settings if isinstance(settings, dict) else None


def check_settings(
    saved: Mapping[str, Any], now: Mapping[str, Any], who: str = "check_settings"
) -> None:
    """Check that training is resumed with the settings that it began with.

    A LightningModule calls this in `on_load_checkpoint`, before weights are loaded.

    Args:
        saved: the settings in the checkpoint.
        now: the present settings.
        who: begins the error message.

    Raises:
        ArgumentError: settings differ; the message lists every difference.

    Example:
        >>> check_settings({"lr": 0.5, "ways": 5}, {"lr": 0.1, "ways": 5, "shots": 1})
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: check_settings: training must be resumed with the settings \
of its checkpoint, got lr=0.1 instead of 0.5, shots=1 instead of nothing; pass the saved settings \
or start in another folder
    """
    plain = _plain(who, now)
    found = [
        f"{name}={shown_value(new)} instead of {shown_value(old)}"
        for name, old, new in differing_values(saved, plain)
    ]
    if found:
        raise ArgumentError(
            f"{who}: training must be resumed with the settings of its checkpoint, got "
            f"{', '.join(found)}; pass the saved settings or start in another folder"
        )


def _plain(who: str, settings: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(settings))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentTypeError(
            f"{who}: settings must be values that JSON represents, got {error}; convert them to "
            "strings, numbers, lists and dicts"
        ) from error
