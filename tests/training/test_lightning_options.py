"""What Lightning offers works with `MetaLearning`: it is used, not rewritten."""

import functools

import learn2learn as l2l
import pytest
import pytorch_lightning as pl
import torch
from learn2learn.algorithms.lightning import LightningANIL, LightningMAML
from learn2learn.utils.lightning import EpisodicBatcher
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from l2l_rnn.models import SequenceClassifier
from l2l_rnn.training.meta_learning import MetaLearning
from l2l_rnn.training.task_data import TaskData
from tests.training.cases import QUIET, WAYS

SGD = functools.partial(torch.optim.SGD, lr=0.5)


def task_data(tasksets, **options):
    return TaskData(
        tasksets,
        **{"tasks": 4, "shots": 2, "batches_per_epoch": 2, "validation_tasks": 4, **options},
    )


def fit(module, data, **options):
    trainer = pl.Trainer(**{**QUIET, "max_steps": 2, **options})
    trainer.fit(module, data)
    return trainer


def weights_of(module):
    return torch.cat([p.detach().flatten() for p in module.learner.parameters()])


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_accumulated_batches_equal_a_large_batch(make_learner, tasksets):
    data = task_data(tasksets, tasks=8)
    halves = [vars(half) for half in data.batch(0).chunks(4)]
    loader = DataLoader([tuple(half.values())[:4] for half in halves], batch_size=None)
    large = MetaLearning(make_learner().double(), optimizer=SGD)
    fit(large, data, max_steps=1, precision="64-true")
    small = MetaLearning(make_learner().double(), optimizer=SGD)
    options = {"accumulate_grad_batches": 2, "precision": "64-true", "max_steps": 1}
    trainer = fit(small, loader, limit_val_batches=0, log_every_n_steps=1, **options)
    assert trainer.global_step == 1
    torch.testing.assert_close(weights_of(small), weights_of(large), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped(algorithm, make_learner, tasksets):
    module = MetaLearning(
        make_learner(), optimizer=functools.partial(torch.optim.SGD, lr=1.0), tasks_per_slice=2
    )
    before = weights_of(module).clone()
    options = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm, "max_steps": 1}
    fit(module, task_data(tasksets), **options)
    moved = weights_of(module) - before
    size = moved.norm() if algorithm == "norm" else moved.abs().max()
    assert size.item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("name", ["MAML", "MAML++", "ProtoMAML", "memory", "hybrid", "learn2learn"])
def test_brain_floats_train(name, make_learner, tasksets):
    results = []
    for precision in ("32-true", "bf16-mixed"):
        module = MetaLearning(make_learner(name))
        trainer = fit(module, task_data(tasksets), precision=precision)
        results.append(trainer.callback_metrics)
        assert weights_of(module).dtype == torch.float32
    assert results[1]["train_loss"].isfinite()
    assert results[1]["val_loss"] == pytest.approx(results[0]["val_loss"].item(), rel=0.05)


def test_double_precision_trains(make_learner, tasksets):
    module = MetaLearning(make_learner())
    fit(module, task_data(tasksets), precision="64-true")
    assert weights_of(module).dtype == torch.float64


def test_loggers_and_checkpoints(make_learner, tasksets, tmp_path):
    loggers = [CSVLogger(tmp_path, name="csv"), TensorBoardLogger(tmp_path, name="board")]
    checkpoint = ModelCheckpoint(tmp_path / "saved", monitor="val_loss", filename="best")
    fit(
        MetaLearning(make_learner()),
        task_data(tasksets),
        logger=loggers,
        callbacks=[checkpoint],
        enable_checkpointing=True,
        log_every_n_steps=1,
        enable_progress_bar=True,
    )
    head = (tmp_path / "csv/version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "train_score", "val_loss", "val_score"} <= set(head)
    assert list((tmp_path / "board/version_0").glob("events*"))
    assert checkpoint.best_model_path
    assert checkpoint.best_model_score.isfinite()


def test_early_stopping_stops(make_learner, tasksets):
    still = functools.partial(torch.optim.SGD, lr=0.0)
    stop = EarlyStopping("val_loss", patience=2)
    trainer = fit(
        MetaLearning(make_learner(), optimizer=still),
        task_data(tasksets),
        callbacks=[stop],
        max_steps=-1,
        max_epochs=20,
    )
    assert trainer.current_epoch == 3


def test_a_time_limit_stops(make_learner, tasksets):
    trainer = fit(
        MetaLearning(make_learner()), task_data(tasksets), max_steps=-1, max_time="00:00:00:01"
    )
    assert 0 < trainer.global_step < 10_000


@pytest.mark.filterwarnings("ignore:You called `self.log")
@pytest.mark.parametrize("kind", [LightningMAML, LightningANIL])
def test_modules_of_learn2learn_train_on_our_tasks(kind, tasksets):
    model = SequenceClassifier(WAYS, vocab_size=tasksets.vocab_size, hidden_size=8)
    options = {"train_ways": WAYS, "test_ways": WAYS}
    for side in ("train", "test"):
        options |= {f"{side}_shots": 2, f"{side}_queries": 2}
    if kind is LightningMAML:
        module = kind(model, adaptation_lr=0.1, **options)
    else:
        module = kind(model.encoder, model.head, adaptation_lr=0.1, **options)
    before = [p.detach().clone() for p in module.parameters()]
    data = EpisodicBatcher(*tasksets, epoch_length=2)
    trainer = fit(module, data, inference_mode=False, max_steps=4, max_epochs=2)
    assert trainer.global_step == 4
    assert trainer.callback_metrics["valid_loss"].isfinite()
    assert any(not torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))
    assert isinstance(tasksets.train, l2l.data.Taskset)
