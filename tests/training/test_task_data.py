"""`TaskData` gives a Trainer one stream of tasks, and continues it exactly."""

import copy

import pytest
import pytorch_lightning as pl
import torch

from l2l_rnn.data import SequenceDataset, TaskLoader
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.training.distributed import share
from l2l_rnn.training.learning.streams import EvaluationBatches
from l2l_rnn.training.task_data import TaskData
from tests.training.cases import QUIET


class Recorder(pl.LightningModule):
    """Records the batches that it is trained on."""

    def __init__(self, stop_after=None, on_stop=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.stop_after, self.on_stop = [], stop_after, on_stop

    def training_step(self, batch, batch_idx):
        if len(self.seen) == self.stop_after:
            self.on_stop(self.trainer)
            raise KeyboardInterrupt
        self.seen.append(batch.support_x.clone())
        return self.weight * 1

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def task_data(tasksets, **options):
    return TaskData(
        tasksets,
        **{"tasks": 4, "shots": 2, "batches_per_epoch": 4, "validation_tasks": 4, **options},
    )


def fit(module, data, ckpt_path=None, **options):
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 3, **options})
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


@pytest.fixture
def stream(tasksets):
    loader = TaskLoader(tasksets.train, tasks=4, shots=2, seed=0)
    return [next(loader).support_x for _ in range(12)]


def assert_same(one, other):
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("prefetch", [0, 3])
def test_training_follows_the_stream(prefetch, tasksets, stream):
    module = Recorder()
    data = task_data(tasksets, prefetch=prefetch)
    fit(module, data)
    assert_same(module.seen, stream)
    assert data.position == 12
    assert torch.equal(data.batch(7).support_x, stream[7])


class SaveAt(pl.Callback):
    """Saves a checkpoint at the end of a batch."""

    def __init__(self, batch, path):
        self.batch, self.path = batch, path

    def on_train_batch_end(self, trainer, module, *_):
        if len(module.seen) == self.batch:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("saved", [1, 3, 4, 6, 8, 11])
def test_resumed_training_continues_the_stream(saved, prefetch, tasksets, stream, tmp_path):
    path = tmp_path / "saved.ckpt"
    fit(Recorder(), task_data(tasksets, prefetch=prefetch), callbacks=[SaveAt(saved, path)])
    module, data = Recorder(), task_data(tasksets, prefetch=prefetch)
    fit(module, data, ckpt_path=path)
    assert_same(module.seen, stream[saved:])
    assert data.position == 12


@pytest.mark.parametrize("stopped", [0, 2, 4, 5])
def test_a_batch_that_was_not_finished_is_drawn_again(stopped, tasksets, stream, tmp_path):
    path = tmp_path / "saved.ckpt"
    module = Recorder(stopped, lambda trainer: trainer.save_checkpoint(path))
    data = task_data(tasksets)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        fit(module, data)
    assert data.position == stopped
    module = Recorder()
    fit(module, task_data(tasksets), ckpt_path=path)
    assert_same(module.seen, stream[stopped:])


def test_batches_that_lightning_draws_ahead_do_not_count(tasksets, stream, tmp_path):
    class Endless(TaskData):
        def train_dataloader(self):
            loader = super().train_dataloader()
            kind = type(loader)
            self._stream.__class__ = type("Unsized", (kind,), {"__len__": None})
            return loader

    def endless():
        return Endless(tasksets, tasks=4, shots=2, batches_per_epoch=4, validation_tasks=4)

    path = tmp_path / "saved.ckpt"
    fit(Recorder(), endless(), callbacks=[SaveAt(6, path)])
    module, data = Recorder(), endless()
    fit(module, data, ckpt_path=path)
    assert_same(module.seen[:2], stream[6:8])


def test_a_second_fit_continues(tasksets, stream):
    data, module = task_data(tasksets), Recorder()
    fit(module, data, max_epochs=1)
    fit(module, data, max_epochs=1)
    assert_same(module.seen, stream[:8])


def test_validation_and_test_tasks_are_fixed(tasksets):
    one, other = task_data(tasksets, seed=0), task_data(tasksets, seed=1)
    batches = [[b.support_x for b in d.val_dataloader()] for d in (one, one, other)]
    assert_same(batches[0], batches[1])
    assert_same(batches[0], batches[2])
    other = task_data(tasksets, evaluation_seed=1)
    assert not torch.equal(next(iter(other.val_dataloader())).support_x, batches[0][0])
    assert sum(map(len, one.test_dataloader())) == 600


@pytest.mark.parametrize(("tasks", "most"), [(1, 4), (4, 4), (5, 4), (10, 4), (103, 16)])
def test_evaluation_batches_are_even(tasks, most, tasksets):
    def loader(count):
        return TaskLoader(tasksets.test, count, 1, 1, seed=0)

    found = [len(batch) for batch in EvaluationBatches(loader, "test", tasks, most, (0, 1))]
    assert sum(found) == tasks
    assert max(found) <= most
    assert max(found) - min(found) <= 1


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_one_stream(world_size, tasksets):
    def parts(of):
        data = task_data(tasksets, tasks=7, validation_tasks=9)
        found = []
        for rank in range(world_size):
            each = copy.copy(data)
            each._place = lambda rank=rank: (rank, world_size)
            found.append([batch.support_x for batch in of(each)])
        return [torch.cat(part) for part in zip(*found, strict=True)]

    for of in (TaskData.train_dataloader, TaskData.val_dataloader):
        whole = [b.support_x for b in of(task_data(tasksets, tasks=7, validation_tasks=9))]
        assert_same(parts(of), whole)


def test_too_few_validation_tasks_for_the_processes(tasksets):
    data = task_data(tasksets, validation_tasks=2)
    data._place = lambda: (0, 3)
    with pytest.raises(DataError, match="raise tasks or validation_tasks"):
        data.val_dataloader()


def test_shares():
    assert [share(5, rank, 2) for rank in range(2)] == [(0, 2), (2, 5)]


def test_other_settings_are_refused_with_all_differences(tasksets):
    state = task_data(tasksets).state_dict()
    with pytest.raises(ArgumentError) as caught:
        task_data(tasksets, tasks=5, seed=3).load_state_dict(state)
    assert "tasks=5 instead of 4" in str(caught.value)
    assert "seed=3 instead of 0" in str(caught.value)
    with pytest.raises(ArgumentTypeError):
        task_data(tasksets).load_state_dict({})


def test_all_invalid_settings_are_named(tasksets):
    with pytest.raises(ArgumentError, match=r"3 settings.*batches_per_epoch.*validation.*test"):
        TaskData(tasksets, batches_per_epoch=0, validation_tasks=-1, test_tasks=0)
    with pytest.raises(ArgumentError, match="shots"):
        TaskData(tasksets, shots=0)
    with pytest.raises(DataError, match="leave at least 1"):
        TaskData(tasksets, shots=4)
    with pytest.raises(ArgumentTypeError, match="three"):
        TaskData([tasksets.train] * 4)
    with pytest.raises(ArgumentTypeError, match="get_tasksets"):
        TaskData("languages")


def test_datasets_and_single_task_sets_are_taken(tasksets):
    dataset = SequenceDataset(torch.ones(12, 7).long(), torch.arange(3).repeat_interleave(4))
    data = TaskData(dataset, tasks=2, shots=1, queries=2, ways=2)
    assert next(iter(data.train_dataloader())).query_x.shape == (2, 4, 7)
    assert data.val_dataloader() == []
    with pytest.raises(ArgumentError, match="test"):
        data.test_dataloader()
    data = TaskData((tasksets.train, tasksets.test), tasks=2, shots=1)
    assert len(data.val_dataloader()) == 50
    pairs = [(torch.ones(5).long(), n % 3) for n in range(12)]
    assert len(next(iter(TaskData(pairs, tasks=2, shots=1, queries=1).train_dataloader()))) == 2


def test_shots_of_evaluation_may_differ(tasksets):
    data = task_data(tasksets, shots=1, queries=3, test_shots=3, test_queries=1)
    assert next(iter(data.train_dataloader())).support_x.shape[1] == 3
    assert next(iter(data.val_dataloader())).support_x.shape[1] == 9
