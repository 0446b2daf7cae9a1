"""A context in which a learner is evaluated without changing it or the random generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def evaluating(learner: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Put a learner into evaluation mode, with first-order clones and seeded generators.

    At the end, also after an error, its modules are in their own modes again, and the generators of
    Python, numpy and torch in their own states.

    Args:
        learner: the learner.
        seed: seed of the generators inside.
        device: the device whose generator is restored besides that of the CPU.

    Example:
        >>> model = nn.Dropout()
        >>> with evaluating(model, 0, torch.device("cpu")):
        ...     model.training
        False
        >>> model.training
        True
    """
    modes = [(module, module.training) for module in learner.modules()]
    first_order = learner.__dict__.get("first_order")
    states = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.random.fork_rng(devices=devices))
        try:
            learner.eval()
            if first_order is not None:
                learner.first_order = True  # type: ignore[assignment]
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.random.default_generator.manual_seed(seed)  # those of other devices stay
            if devices:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            if first_order is not None:
                learner.first_order = first_order
            random.setstate(states[0])
            np.random.set_state(states[1])
