"""A Lightning Trainer, with one error that names all options that it does not take."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.optional import require
from l2l_rnn.registry import hint
from l2l_rnn.training.learning.problems import Problems

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.fit")

import pytorch_lightning as pl  # noqa: E402  # require explains a failure

# A Trainer that writes nothing, to try an option alone.
_QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

# Whole numbers that Lightning takes whatever they are, with the least that makes sense.
_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "num_sanity_val_steps": -1,
}
_WHO = "make_trainer"


def made_trainer(problems: Problems, options: Mapping[str, Any], **parts: Any) -> pl.Trainer:
    """Return a Trainer.

    Args:
        problems: what is wrong with other settings, so that one error names everything.
        options: options of Lightning's `Trainer` that the user gave.
        parts: further options.

    Raises:
        ArgumentError: there are problems, or options are invalid, alone or together.
    """
    known = list(inspect.signature(pl.Trainer).parameters)
    given = {name: value for name, value in options.items() if name in known}
    for name in options.keys() - given.keys():
        problems.add(
            f"unknown option {name!r}{hint(name, known)} See pytorch_lightning.Trainer, and pass "
            "settings of MetaLearning and TaskData to them"
        )
    for name in given.keys() & _LEAST.keys():
        if given[name] is not None or name in ("accumulate_grad_batches", "max_steps"):
            with problems.collected():
                check_int(_WHO, name, given[name], least=_LEAST[name])
    if given.get("gradient_clip_val") is not None:
        with problems.collected():
            check_number(_WHO, "gradient_clip_val", given["gradient_clip_val"], least=0)
    failure: Exception | None = None
    if not problems.found:
        try:
            return pl.Trainer(**given, **parts)
        except Exception as error:  # Lightning raises many kinds
            failure = error
    named = " ".join(map(str, problems.found))
    for name, value in given.items():
        if name in named:
            continue
        try:
            with _silence():
                pl.Trainer(**{**_QUIET, name: value})
        except Exception as error:
            problems.add(
                f"{name} must be one that Lightning takes, got {value!r} ({_first(error)})"
            )
    if not problems.found and failure is not None:
        problems.add(
            f"options must fit together, got {', '.join(given)} ({_first(failure)}); change or "
            "leave out some"
        )
    problems.report()
    raise AssertionError("unreachable")


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def _silence() -> Iterator[None]:
    """Hide what Lightning says about a Trainer that is only tried."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
