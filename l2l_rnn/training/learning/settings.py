"""Checks of the settings of `MetaLearning`, and the optimizers and schedulers they describe."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from learn2learn.algorithms import MAML as PlainMAML
from torch import Tensor, nn

from l2l_rnn.algorithms import MAMLPlusPlus, MemoryLearner, Reptile
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training.learning.gradients import Slices
from l2l_rnn.training.learning.problems import Problems

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], Any]

LR = 1e-3  # of Adam, the default


def check_settings(learner: nn.Module, settings: Mapping[str, Any]) -> None:
    """Check the arguments of `MetaLearning`, alone and together.

    Raises:
        ArgumentError, ArgumentTypeError: the error names all problems.
    """
    problems = Problems("MetaLearning")
    kind = type(learner).__name__
    if not (isinstance(learner, nn.Module) and hasattr(learner, "clone") and _adapts(learner)):
        raise ArgumentTypeError(
            f"MetaLearning: learner must have clone() and adapt(), got {kind}; wrap the model in "
            "one, such as algorithms.MAML"
        )
    if not any(p.requires_grad for p in learner.parameters()):
        problems.add("learner must have parameters to train, got none with requires_grad=True")
    for name in ("steps", "test_steps"):
        if settings[name] is not None:
            with problems.collected():
                check_int("MetaLearning", name, settings[name])
            if isinstance(learner, SupportHolder):
                problems.add(
                    f"{name} must be None for {kind}, which takes no steps, got {settings[name]!r}"
                )
    if isinstance(learner, MAMLPlusPlus):
        if settings["steps"] not in (None, learner.steps):
            problems.add(
                f"steps must be those of the {kind}, {learner.steps}, whose learning rates belong "
                f"to steps, got {settings['steps']!r}; leave it out"
            )
        if settings["annealing_steps"] is not None:
            with problems.collected():
                check_int("MetaLearning", "annealing_steps", settings["annealing_steps"], least=0)
    elif settings["annealing_steps"] is not None:
        problems.add(f"annealing_steps must be None for {kind}; only MAMLPlusPlus has them")
    second_order = isinstance(learner, PlainMAML) and not isinstance(learner, Reptile)
    if settings["first_order"] is not None and not second_order:
        hint = "; pass it to the learner" if isinstance(learner, MemoryLearner) else ""
        problems.add(f"first_order must be None for {kind}, got {settings['first_order']!r}{hint}")
    for name, choices in {
        "first_order": (True, False, None),
        "skip_nonfinite": (True, False),
    }.items():
        if not any(settings[name] is choice for choice in choices):
            listed = " or ".join(map(str, choices))
            problems.add(f"{name} must be {listed}, got {settings[name]!r}")
    for name in ("loss", "score"):
        if settings[name] is not None and not callable(settings[name]):
            problems.add(
                f"{name} must be a function of outputs and targets, got {settings[name]!r}"
            )
    with problems.collected():
        Slices(settings["tasks_per_slice"])
    _check_optimizer(problems, learner, settings["optimizer"], settings["scheduler"])
    problems.report()


def _adapts(learner: Any) -> bool:
    return callable(getattr(learner, "adapt", None)) or callable(getattr(learner, "write", None))


def _check_optimizer(
    problems: Problems, learner: nn.Module, optimizer: Any, scheduler: Any
) -> None:
    if isinstance(optimizer, torch.optim.Optimizer):
        own = {id(p) for p in learner.parameters()}
        held = [p for group in optimizer.param_groups for p in group["params"]]
        if not all(id(p) in own for p in held):
            problems.add(
                "optimizer must hold parameters of the learner, got others; make it from "
                "learner.parameters(), or pass a function such as "
                "functools.partial(torch.optim.Adam, lr=1e-3)"
            )
    elif optimizer is not None and not callable(optimizer):
        problems.add(
            f"optimizer must be a torch.optim.Optimizer or make one, got {optimizer!r}; pass "
            "functools.partial(torch.optim.Adam, lr=...)"
        )
    if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
        problems.add(
            "scheduler must be a function that makes one from the optimizer, got a "
            f"{type(scheduler).__name__}; pass functools.partial({type(scheduler).__name__}, ...)"
        )
    elif not (scheduler in (None, "cosine") or callable(scheduler)):
        problems.add(f"scheduler must be 'cosine', a function or None, got {scheduler!r}")


def check_trainer(trainer: Any) -> None:
    """Check that the options of a Trainer work with meta-learning.

    Raises:
        ArgumentError: the error names all that do not.
    """
    from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy

    problems = Problems("MetaLearning")
    if not isinstance(trainer.strategy, DDPStrategy | SingleDeviceStrategy):
        problems.add(
            "Trainer(strategy=...) must be 'auto' or 'ddp', because others split the parameters "
            f"or copy the model, got {type(trainer.strategy).__name__}"
        )
    precision = str(trainer.precision)
    if precision.startswith("16"):
        problems.add(
            "Trainer(precision=...) must not be float16, whose range is too small for the inner "
            f"gradients, which no scaler scales, got {precision!r}; use 'bf16-mixed' or '32-true'"
        )
    problems.report()


def made_optimizer(make: Any, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """Return the optimizer that `MetaLearning(optimizer=...)` stands for.

    Raises:
        ArgumentTypeError: the function returned something else.
    """
    make = functools.partial(torch.optim.Adam, lr=LR) if make is None else make
    optimizer = make if isinstance(make, torch.optim.Optimizer) else make(parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ArgumentTypeError(
            "MetaLearning: optimizer must return a torch.optim.Optimizer, got "
            f"{type(optimizer).__name__}; pass functools.partial(torch.optim.Adam, lr=1e-3)"
        )
    return optimizer


def made_scheduler(
    make: str | MakeScheduler, optimizer: torch.optim.Optimizer, steps: float
) -> dict[str, Any]:
    """Return Lightning's description of the scheduler of `MetaLearning(scheduler=...)`.

    Args:
        make: as given.
        optimizer: the optimizer.
        steps: optimizer steps of the whole training; infinite if there is no limit.

    Raises:
        ArgumentError: the cosine needs a number of steps, and there is none.
    """
    if not isinstance(make, str):
        scheduler: Any = make(optimizer)
    elif math.isfinite(steps):
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(steps))
    else:
        raise ArgumentError(
            "MetaLearning: scheduler='cosine' needs the number of steps, got a training without "
            "one; set Trainer(max_steps=...) or max_epochs"
        )
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        return {"scheduler": scheduler, "interval": "epoch", "monitor": "val_loss"}
    return {"scheduler": scheduler, "interval": "step"}


def named(function: Any) -> Any:
    """Describe a function, a class or an optimizer as JSON, with the arguments it was given."""
    if function is None or isinstance(function, str):
        return function
    if isinstance(function, functools.partial):
        return {
            "name": named(function.func),
            **{n: _plain(v) for n, v in function.keywords.items()},
        }
    if isinstance(function, torch.optim.Optimizer):
        return {
            "name": type(function).__name__,
            **{n: _plain(v) for n, v in function.defaults.items()},
        }
    return getattr(function, "__qualname__", type(function).__qualname__)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
