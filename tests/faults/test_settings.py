"""Random settings: they work, or one error of this package names every one that is wrong."""

import functools
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.faults import problem
from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import L2LRNNError
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import MetaLearning, TaskData, fit, make_trainer

SGD = functools.partial(torch.optim.SGD, lr=0.1)
BAD_COUNTS = [0, -1, 1.5, "3", True, [2], float("nan")]
STEP = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1)
OTHER = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)

# What each setting may be, and what it may not.
META_LEARNING = {
    "steps": ([None, 1, 2], BAD_COUNTS),
    "test_steps": ([None, 1, 3], BAD_COUNTS),
    "loss": ([None, cross_entropy, nn.CrossEntropyLoss()], ["mse", 3]),
    "score": ([None, accuracy], ["accuracy", 0]),
    "optimizer": ([None, SGD, torch.optim.Adam], ["adam", 3, OTHER]),
    "scheduler": ([None, "cosine", STEP], ["cosin", 3, True]),
    "first_order": ([None, True, False], ["yes", 2, 1.0]),
    "annealing_steps": ([None], [3, "all"]),
    "tasks_per_slice": ([None, 1, "auto"], [0, "half", 1.5, True]),
    "skip_nonfinite": ([True, False], ["no", None, 2]),
}
TASK_DATA = {
    "tasks": ([1, 3], BAD_COUNTS),
    "shots": ([1, 2], BAD_COUNTS),
    "queries": ([None, 1], BAD_COUNTS),
    "ways": ([None], [2, "x"]),  # a task set has its own
    "test_shots": ([None, 1], BAD_COUNTS),
    "test_queries": ([None, 1], BAD_COUNTS),
    "batches_per_epoch": ([1, 50], BAD_COUNTS),
    "validation_tasks": ([1, 5], BAD_COUNTS),
    "test_tasks": ([2], BAD_COUNTS),
    "seed": ([0, 7], [-1, 1.5, "x"]),
    "evaluation_seed": ([0, 3], [-1, 1.5, "x"]),
    "prefetch": ([0, 2], [-1, 1.5, "x"]),
}
TRAINER = {
    "mode": (["min", "max"], ["best", None]),
    "every_n_steps": ([None, 1], BAD_COUNTS),
    "every_minutes": ([None, 0.5], [0, -1, "x"]),
    "use_distributed_sampler": ([False], [True]),
    "inference_mode": ([False], [True]),
    "max_steps": ([2], ["x", 1.5, -7]),
    "max_epochs": ([1, None], ["x", -7]),
    "devices": ([1, "auto"], [0, -3, "x"]),
    "accelerator": (["cpu", "auto"], ["abacus"]),
    "precision": (["32-true", "64-true"], ["9-true"]),
    "gradient_clip_val": ([None, 1.0], ["x"]),
    "accumulate_grad_batches": ([1, 2], [0, "x"]),
    "max_time": ([None, "00:00:10:00"], ["soon", 3.5]),
    "strategy": (["auto"], ["fsdp2", "ddpp"]),
    "steps": ([], [3]),  # those of MetaLearning
    "epochs": ([], [3]),
}


def random_settings(table):
    """A strategy of dicts with some of the settings, and the names of those that are wrong."""

    @st.composite
    def draw(draw):
        names = draw(st.lists(st.sampled_from(sorted(table)), unique=True, max_size=6))
        found, wrong = {}, []
        for name in names:
            good, bad = table[name]
            if draw(st.integers(0, 2)) and good:
                found[name] = draw(st.sampled_from(good))
            else:
                found[name] = draw(st.sampled_from(bad))
                wrong.append(name)
        return found, wrong

    return draw()


def check(make, wrong):
    """Call a function, which raises one error that names what is wrong, and only then."""
    if not wrong:
        return make()
    with pytest.raises(L2LRNNError) as caught:
        make()
    for name in wrong:
        assert re.search(rf"\b{name}\b", str(caught.value)), name


QUICK = settings(
    deadline=None, max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def tasksets():
    return get_tasksets("languages", train_ways=3, train_samples=4, test_ways=3, test_samples=4)


@pytest.fixture(scope="module")
def learner(tasksets):
    model = SequenceClassifier(3, vocab_size=tasksets.vocab_size, embedding_size=4, hidden_size=4)
    return MAML(model, 0.1)


@QUICK
@given(random_settings(META_LEARNING))
def test_meta_learning(learner, drawn):
    options, wrong = drawn
    check(lambda: MetaLearning(learner, **options), wrong)


@QUICK
@given(random_settings(TASK_DATA))
def test_task_data(tasksets, drawn):
    options, wrong = drawn
    check(lambda: TaskData(tasksets, **{"shots": 1, "tasks": 2, **options}), wrong)


@QUICK
@given(random_settings(TRAINER))
def test_make_trainer(tmp_path_factory, drawn):
    options, wrong = drawn
    folder = tmp_path_factory.mktemp("run")
    options = {**problem.QUIET, "max_steps": 2, **options}
    check(lambda: make_trainer(folder, **options), wrong)


@settings(QUICK, max_examples=12)
@given(random_settings(META_LEARNING), random_settings(TASK_DATA), random_settings(TRAINER))
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")
def test_good_settings_train(tasksets, tmp_path_factory, of_module, of_data, of_trainer):
    tables = [(META_LEARNING, of_module), (TASK_DATA, of_data), (TRAINER, of_trainer)]
    module, data, trainer = (
        {name: value for name, value in drawn.items() if name not in wrong}
        for _, (drawn, wrong) in tables
    )
    model = SequenceClassifier(3, vocab_size=tasksets.vocab_size, embedding_size=4, hidden_size=4)
    folder = tmp_path_factory.mktemp("run")
    options = {**problem.QUIET, "max_steps": 2, **trainer, "accelerator": "cpu", "devices": 1}
    fit(
        MetaLearning(MAML(model, 0.1), **module),
        TaskData(tasksets, **{"shots": 1, "tasks": 2, "validation_tasks": 2, **data}),
        folder=folder,
        **options,
    )
