"""NaN in data, losses and gradients: the task is named, and nothing that was trained is lost."""

import re

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from benchmarks.faults import problem
from benchmarks.faults.kill_and_resume import compare
from l2l_rnn.algorithms import LRD2, MAML, R2D2, MemoryLearner, ProtoNet, Reptile, StackedLearner
from l2l_rnn.data import SequenceDataset, TaskBatch
from l2l_rnn.errors import AdaptationError
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.training import MetaLearning, TaskData, fit
from l2l_rnn.training.checkpoints import SafeCheckpointIO, latest_good

STEPS, WHERE = 12, (7, 2)  # the batch and the task with a NaN


class Bad(MetaLearning):
    """Spoils the loss or the gradient of one task of one batch."""

    kind, chosen = "loss", None

    def batch_loss(self, batch):
        losses, scores = super().batch_loss(batch)
        if self.chosen is not None:
            bad = torch.tensor([torch.equal(x, self.chosen) for x in batch.query_x])
            if self.kind == "loss":
                losses = torch.where(bad, torch.nan, losses)
            else:
                extra = [
                    (x - x.detach()).sqrt() if n else 0 * x
                    for n, x in zip(bad, losses, strict=True)
                ]
                losses = losses + torch.stack(extra)
        return losses, scores


def spoiled(kind, **options):
    made = problem.make_module(dropout=0.0)
    module = Bad(made.learner, optimizer=made.optimizer, scheduler="cosine", steps=2, **options)
    module.kind = kind
    module.chosen = problem.make_data().batch(WHERE[0]).query_x[WHERE[1]]
    return module


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_training_goes_on_when_the_cause_is_removed(kind, tmp_path):
    good = spoiled(kind)
    good.chosen = None
    problem.train(tmp_path / "whole", STEPS, module=good, log=False)
    module = spoiled(kind)
    with pytest.raises(AdaptationError) as caught:
        problem.train(tmp_path / "run", STEPS, module=module, log=False)
    said = str(caught.value)
    assert re.findall(r"task (\d+) of training batch (\d+)", said) == [("2", "7")]
    assert f"TaskData.batch({WHERE[0]}) draws it again" in said
    assert ("loss nan" if kind == "loss" else "a gradient with NaN") in said
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    saved = SafeCheckpointIO().load_checkpoint(latest_good(tmp_path / "run"))
    assert saved["global_step"] == 5
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())
    module.chosen = None
    problem.train(tmp_path / "run", STEPS, module=module, log=False)
    found = compare_last(tmp_path / "run", tmp_path / "whole")
    assert not any(found.values())


def compare_last(one, other):
    for folder in (one, other):  # there was no validation
        (folder / "best.ckpt").write_bytes((folder / "last.ckpt").read_bytes())
    return compare(one, other)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_skipped_step_is_skipped_again_after_a_restart(kind, tmp_path):
    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 9:
                raise KeyError("stop")

    with pytest.warns(UserWarning, match=r"skipped.*task 2 of training batch 7"):
        problem.train(
            tmp_path / "whole", STEPS, module=spoiled(kind, skip_nonfinite=True), log=False
        )
    module = spoiled(kind, skip_nonfinite=True)
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(KeyError, match="stop"):
        problem.train(tmp_path / "run", STEPS, module=module, log=False, callbacks=[Stop()])
    module = spoiled(kind, skip_nonfinite=True)
    with pytest.warns(UserWarning, match="skipped"):
        problem.train(tmp_path / "run", STEPS, module=module, log=False)
    assert module.skipped_steps == 1
    assert not any(compare_last(tmp_path / "run", tmp_path / "whole").values())


def encoder():
    return SequenceEncoder(input_size=1, hidden_size=6)


LEARNERS = {
    "MAML": lambda: MAML(SequenceClassifier(3, input_size=1, hidden_size=6), 0.1),
    "Reptile": lambda: Reptile(SequenceClassifier(3, input_size=1, hidden_size=6), 0.1),
    "ProtoNet": lambda: ProtoNet(encoder(), 3),
    "R2D2": lambda: R2D2(encoder(), 3),
    "stacked": lambda: StackedLearner(encoder(), 3, [ProtoNet(nn.Identity(), 3)]),
    "LRD2": lambda: LRD2(encoder(), 3),
    "memory": lambda: MemoryLearner(MemoryModel(encoder(), DeltaFastWeights(6, 3))),
    "hybrid": lambda: MemoryLearner(MemoryModel(encoder(), DeltaFastWeights(6, 3)), lr=0.1),
}


class Series(TaskData):
    """Series, one value of which is infinite."""

    def __init__(self, part):
        draw = torch.Generator().manual_seed(0)
        dataset = SequenceDataset(torch.randn(45, 7, 1, generator=draw), torch.arange(45) % 5)
        super().__init__(dataset, tasks=4, shots=2, queries=2, ways=3, prefetch=0)
        self.part = part

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.training and self._stream.number == 1:
            part = getattr(batch, self.part).clone()
            part[WHERE[1], 1, 3] = float("inf")
            return TaskBatch(**{**vars(batch), self.part: part})
        return batch


# Reptile does not use the queries.
CASES = [(name, part) for name in LEARNERS for part in ("support_x", "query_x")]
CASES.remove(("Reptile", "query_x"))


@pytest.mark.parametrize(("learner", "part"), CASES)
def test_every_learner_names_the_task_and_the_value(learner, part, tmp_path):
    torch.manual_seed(0)
    module = MetaLearning(LEARNERS[learner]())
    options = {"max_steps": 3, "every_n_steps": 1, "limit_val_batches": 0, **problem.QUIET}
    with pytest.raises(AdaptationError) as caught:
        fit(module, Series(part), folder=tmp_path, **options)
    said = str(caught.value)
    assert re.findall(r"task (\d+) of training batch (\d+)", said) == [("2", "1")]
    assert f"{part}[1, 3, 0] is inf" in said
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert SafeCheckpointIO().load_checkpoint(latest_good(tmp_path))["global_step"] == 1
