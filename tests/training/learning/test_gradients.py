"""Slices of a batch give the gradients of the whole, also after memory runs out."""

import functools
import weakref

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError
from l2l_rnn.training.learning.gradients import Slices, is_out_of_memory, loss_with_gradients
from l2l_rnn.training.meta_learning import MetaLearning
from l2l_rnn.training.task_data import TaskData
from tests.training.cases import LEARNERS, QUIET

SGD = functools.partial(torch.optim.SGD, lr=0.5)


def out_of_memory(text="CUDA out of memory. Tried to allocate 2.00 GiB"):
    return torch.cuda.OutOfMemoryError(text)


class Hungry(MetaLearning):
    """Raises an error above a number of tasks, after it has allocated a graph."""

    most, error, calls = 3, staticmethod(out_of_memory), ()

    def batch_loss(self, batch):
        self.calls = (*self.calls, len(batch))
        losses, scores = super().batch_loss(batch)
        if len(batch) > self.most:
            raise self.error()
        return losses, scores


def silenced():
    return pytest.warns(UserWarning, match="did not fit")


def fit(module, tasksets, **options):
    data = TaskData(tasksets, tasks=8, shots=2, batches_per_epoch=3, validation_tasks=8)
    trainer = pl.Trainer(**{**QUIET, "max_steps": 3, "limit_val_batches": 0, **options})
    trainer.fit(module, data)
    return {name: value.clone() for name, value in module.learner.state_dict().items()}


def assert_equal(one, other):
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-9, atol=1e-12)


SIZES = [(name, 1) for name in LEARNERS] + [("MAML", size) for size in (3, 8, 20)]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_slices_give_the_gradients_of_the_whole_batch(name, size, make_learner, tasksets):
    options = {"max_steps": 1, "precision": "64-true"}
    whole = fit(MetaLearning(make_learner(name).double(), optimizer=SGD), tasksets, **options)
    sliced = MetaLearning(make_learner(name).double(), optimizer=SGD, tasks_per_slice=size)
    assert_equal(fit(sliced, tasksets, **options), whole)


ERRORS = {
    "cuda": out_of_memory,
    "cpu": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_slices_are_halved_when_memory_runs_out(error, make_learner, tasksets):
    module = Hungry(make_learner().double(), optimizer=SGD, tasks_per_slice="auto")
    module.error = error
    with pytest.warns(UserWarning, match="did not fit") as caught:
        found = fit(module, tasksets, precision="64-true")
    assert [str(warning.message) for warning in caught if warning.category is UserWarning] == [
        "MetaLearning: 8 tasks did not fit into memory; computing 4 at a time from now on, with "
        "the same gradients",
        "MetaLearning: 4 tasks did not fit into memory; computing 2 at a time from now on, with "
        "the same gradients",
    ]
    assert module.calls == (8, 4, *[2] * 12)
    plain = MetaLearning(make_learner().double(), optimizer=SGD)
    assert_equal(found, fit(plain, tasksets, precision="64-true"))


def test_validation_is_halved_too(make_learner, tasksets):
    module = Hungry(make_learner(), tasks_per_slice="auto")
    data = TaskData(tasksets, tasks=8, shots=2, validation_tasks=8)
    with pytest.warns(UserWarning, match="did not fit"):
        found = pl.Trainer(**QUIET).validate(module, data, verbose=False)
    plain = MetaLearning(make_learner())
    expected = pl.Trainer(**QUIET).validate(plain, data, verbose=False)
    assert found[0]["val_loss"] == pytest.approx(expected[0]["val_loss"], rel=1e-5)


def test_nothing_is_held_when_a_slice_is_tried_again():
    held = []

    class Big:
        def __init__(self):
            held.append(self)

    sizes = []

    def batch_loss(batch):
        sizes.append([r() is not None for r in held])
        big = Big()
        held[-1] = weakref.ref(big)
        if len(batch) > 1:
            raise out_of_memory()
        return torch.zeros(len(batch)), torch.zeros(len(batch))

    x, y = torch.zeros(4, 2, 1), torch.zeros(4, 2)
    with pytest.warns(UserWarning, match="did not fit"):
        Slices("auto").run(TaskBatch(x, y, x, y), batch_loss)
    assert sizes[1:3] == [[False], [False, False]]


def test_without_auto_the_error_says_what_to_do(make_learner, tasksets):
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        fit(Hungry(make_learner()), tasksets)
    assert "tasks_per_slice" in caught.value.__notes__[0]
    module = Hungry(make_learner(), tasks_per_slice="auto")
    module.most = 0
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught, silenced():
        fit(module, tasksets)
    assert "first_order=True" in caught.value.__notes__[0]


def test_other_errors_are_not_taken_for_it(make_learner, tasksets):
    module = Hungry(make_learner(), tasks_per_slice="auto")
    module.error = lambda: RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        fit(module, tasksets)
    assert not is_out_of_memory(MemoryError("out of memory"))


@pytest.mark.parametrize("size", [0, -1, 1.5, "half", True])
def test_invalid_sizes(size):
    with pytest.raises(ArgumentError, match="tasks_per_slice"):
        Slices(size)


def test_unused_parameters_keep_no_gradient():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    loss = loss_with_gradients(torch.tensor(1.0), [torch.ones(2), None], [used, unused])
    (3 * loss).backward()
    assert used.grad.tolist() == [3, 3]
    assert unused.grad is None
