"""Networks that several methods of an experiment use, each trained once."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from benchmarks.few_shot.training import History
from l2l_rnn.files import replacing

Network = TypeVar("Network", bound=nn.Module)


class SharedTrainings:
    """Trained networks by key.

    Whether a network is trained, loaded or known has no effect on the random numbers that follow,
    so that the result of a method does not depend on the methods before it.

    Args:
        directory: folder that keeps the networks of a run, so that a resumed run does not train
            them again; None keeps them in memory only.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._known: dict[str, tuple[nn.Module, History]] = {}

    def get(
        self, key: str, make: Callable[[], Network], train: Callable[[Network], History]
    ) -> tuple[Network, History]:
        """Return a network and its history; make and train it if the key is new.

        Args:
            key: all settings of the network and its training.
            make: makes the network.
            train: trains it.
        """
        if key not in self._known:
            with unchanged_generators():
                network = make()
                history = self._load(key, network)
                if history is None:
                    history = train(network)
                    self._save(key, network, history)
            self._known[key] = network, history
        return self._known[key]  # type: ignore[return-value]

    def is_saved(self, key: str) -> bool:
        """Return whether the folder has the network."""
        return self.directory is not None and self._path(key).is_file()

    def _path(self, key: str) -> Path:
        assert self.directory is not None  # noqa: S101
        return self.directory / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def _save(self, key: str, network: nn.Module, history: History) -> None:
        if self.directory is None:
            return
        self.directory.mkdir(exist_ok=True)
        tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
        metadata = {"key": key, "history": json.dumps(history.to_json())}
        with replacing(self._path(key), "wb") as file:
            file.write(save(tensors, metadata))

    def _load(self, key: str, network: nn.Module) -> History | None:
        """Load a saved network, or return None if there is none or its file is damaged."""
        if not self.is_saved(key):
            return None
        try:
            with safe_open(self._path(key), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:
            return None
        if metadata.get("key") != key:
            return None
        network.load_state_dict(tensors)
        return History(**json.loads(metadata["history"]))


class FoldTrainings:
    """The trainings of a fold, which are kept with those of the whole problem under other keys.

    Args:
        problem: the whole problem, whose `shared` may change.
        number: the number of the fold.
    """

    def __init__(self, problem: Any, number: int) -> None:
        self.problem, self.number = problem, number

    def get(
        self, key: str, make: Callable[[], Network], train: Callable[[Network], History]
    ) -> tuple[Network, History]:
        """Return a network and its history, as `SharedTrainings.get`."""
        found: tuple[Network, History]
        found = self.problem.shared.get(fold_key(self.number, key), make, train)
        return found


def fold_key(number: int, key: str) -> str:
    """Return the key of a training of a fold."""
    return f"fold {number}: {key}"


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Restore the global generators of Python, numpy and torch after the block."""
    python, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(of_numpy)
