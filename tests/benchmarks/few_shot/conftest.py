"""A small experiment whose methods share networks."""

import dataclasses
import types

import pytest
import torch

from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.maml import ProtoMAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.transfer import FineTuned, PretrainedPrior
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS

MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=2, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=1, validation_tasks=2
)
PROTOTYPES = {"model": MODEL, "training": TRAINING}
TRANSFER = {"model": MODEL, "pretraining": {"training": TRAINING, "batch_size": 10}}
MEMORY = {**PROTOTYPES, "memory": "delta", "memory_options": {"features": "unit"}}
START = {**PROTOTYPES, "inner_lr": 0.1, "inner_steps": 1, "test_steps": 1, "metric": PROTOTYPES}
ENTRIES = (
    Entry("fine-tuned", "transfer", FineTuned, {"steps": 1, "lr": 1e-2, **TRANSFER}),
    Entry("prior", "transfer", PretrainedPrior, {"shrinkage": 0.6, "members": 2, **TRANSFER}),
    Entry("metric", "meta-learned", ProtoNetMethod, PROTOTYPES),
    Entry("memory, delta", "meta-learned", MemoryMethod, MEMORY),
    Entry("start", "meta-learned", ProtoMAMLMethod, START),
)
TIMES = {"date", "seconds", "seconds_per_task", "training_seconds", "pretraining_seconds"}


def run(out, entries=ENTRIES, seed=0, draw=None, **how):
    """Run the quick form of `languages` with these methods, by default with an empty figure."""
    spec = dataclasses.replace(
        SPECS["languages"],
        test_tasks={"quick": 6},
        entries={"quick": entries},
        picture=draw or (lambda result, path: path.touch()),
    )
    return runner.run(spec, "quick", seed, torch.device("cpu"), out, **how)


def without_times(value):
    """Remove what differs between two runs with the same seed."""
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def small():
    """The experiment, and functions to run it and to compare its results."""
    return types.SimpleNamespace(
        entries=ENTRIES, training=TRAINING, run=run, without_times=without_times
    )


@pytest.fixture(scope="session")
def unbroken(small, tmp_path_factory):
    """The result of an unbroken run, without times."""
    out = tmp_path_factory.mktemp("unbroken")
    result = without_times(small.run(out))
    assert {path.name for path in out.iterdir()} == {
        "languages-quick.json",
        "languages-quick.png",
        ".languages-quick.lock",
    }
    return result
