"""`MetaLearning` trains every learner like a loop written by hand."""

import copy
import functools

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from l2l_rnn.algorithms import MAML, MAMLPlusPlus, MemoryLearner, ProtoNet, Reptile
from l2l_rnn.data import TaskBatch, TaskLoader
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel
from l2l_rnn.tasksets import Sinusoids, tasksets_of
from l2l_rnn.training.meta_learning import MetaLearning
from l2l_rnn.training.task_data import TaskData
from tests.training.cases import LEARNERS, QUIET

SGD = functools.partial(torch.optim.SGD, lr=0.5)


def fit(module, data, **options):
    trainer = pl.Trainer(**{**QUIET, "max_steps": 3, "limit_val_batches": 0, **options})
    trainer.fit(module, data)
    return trainer


def task_data(tasksets, **options):
    return TaskData(tasksets, **{"tasks": 4, "shots": 2, "batches_per_epoch": 3, **options})


def weights_of(module):
    return {name: value.clone() for name, value in module.learner.state_dict().items()}


def assert_equal(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **tolerance)


def loop_by_hand(name, learner, batches):
    """Train with SGD, adapting one task after the other."""
    for number, batch in enumerate(batches):
        total = 0.0
        for n in range(len(batch)):
            support_x, support_y, query_x, query_y = (part[n] for part in batch)
            clone = learner.clone()
            if name in ("ProtoNet", "memory"):
                clone.write(support_x, support_y)
            elif name == "MAML++":
                weights = learner.step_weights(number / len(batches))
                for weight in weights:
                    clone.adapt(cross_entropy(clone(support_x), support_y))
                    total = total + weight * cross_entropy(clone(query_x), query_y)
                continue
            else:
                if name == "ProtoMAML":
                    clone.write(support_x, support_y)
                for _ in range(3 if name == "hybrid" else 1):
                    clone.adapt(cross_entropy(clone(support_x), support_y))
            if name == "Reptile":
                total = total + clone.distance()
            else:
                total = total + cross_entropy(clone(query_x), query_y)
        gradients = torch.autograd.grad(
            total / len(batch), list(learner.parameters()), allow_unused=True
        )
        with torch.no_grad():
            for parameter, gradient in zip(learner.parameters(), gradients, strict=True):
                if gradient is not None:
                    parameter -= 0.5 * gradient


@pytest.mark.parametrize("name", LEARNERS)
def test_training_equals_a_loop_by_hand(name, make_learner, tasksets, monkeypatch):
    learner = make_learner(name).double()
    twin = copy.deepcopy(learner)
    module = MetaLearning(learner, optimizer=SGD, tasks_per_slice=3)
    fit(module, task_data(tasksets), precision="64-true")
    loader = TaskLoader(tasksets.train, tasks=4, shots=2, seed=0)
    monkeypatch.setattr(torch, "full", functools.partial(torch.full, dtype=torch.float64))
    loop_by_hand(name, twin, [next(loader) for _ in range(3)])
    assert_equal(module.learner.state_dict(), twin.state_dict(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inference_mode", [True, False])
@pytest.mark.parametrize("name", LEARNERS)
def test_validation_adapts_and_changes_nothing(name, inference_mode, make_learner, tasksets):
    module = MetaLearning(make_learner(name))
    before = weights_of(module)
    data = task_data(tasksets, validation_tasks=6, test_tasks=5)
    trainer = pl.Trainer(**QUIET, inference_mode=inference_mode)
    found = trainer.validate(module, data, verbose=False)[0]
    assert set(found) == {"val_loss", "val_score"}
    assert trainer.validate(module, data, verbose=False)[0] == found  # the same tasks
    assert set(trainer.test(module, data, verbose=False)[0]) == {"test_loss", "test_score"}
    assert_equal(weights_of(module), before, rtol=0, atol=0)


def test_logged_values_are_means_over_all_tasks(make_learner, tasksets):
    module = MetaLearning(make_learner("ProtoNet"))
    data = task_data(tasksets, validation_tasks=10)
    found = pl.Trainer(**QUIET).validate(module, data, verbose=False)[0]
    losses, scores = [], []
    for batch in data.val_dataloader():
        learner = module.learner.clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        losses.append(cross_entropy(learner(batch.query_x), batch.query_y))
        scores.append(accuracy(learner(batch.query_x), batch.query_y))
    assert len(torch.cat(losses)) == 10
    assert found["val_loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-6)
    assert found["val_score"] == pytest.approx(torch.cat(scores).mean().item(), rel=1e-6)


def test_losses_of_torch_are_computed_for_each_task(make_learner, tasksets):
    results = []
    for loss in (None, nn.CrossEntropyLoss(), cross_entropy):
        module = MetaLearning(make_learner(), loss=loss, optimizer=SGD)
        fit(module, task_data(tasksets))
        results.append(weights_of(module))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2], rtol=0, atol=0)


def test_a_loss_with_several_values_per_task_is_refused(make_learner, tasksets):
    module = MetaLearning(make_learner(), loss=nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(ArgumentError, match="one value per task"):
        fit(module, task_data(tasksets))


def test_regression_uses_the_squared_error():
    tasksets = tasksets_of([Sinusoids()] * 3, train_samples=6, test_samples=6)
    encoder, store = nn.Linear(1, 8), DeltaFastWeights(8, 1)
    encoder.output_size = 8
    for learner in (
        MAML(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), 0.01),
        MemoryLearner(MemoryModel(encoder, store, regression=True)),
    ):
        module = MetaLearning(learner, steps=2)
        trainer = fit(module, task_data(tasksets, shots=3), limit_val_batches=1)
        metrics = trainer.callback_metrics
        assert metrics["val_loss"] == metrics["val_score"] > 0


def test_batch_loss_may_be_replaced(make_learner, tasksets):
    class Shifted(MetaLearning):
        def batch_loss(self, batch):
            losses, scores = super().batch_loss(batch)
            return losses + 1, scores

    one, other = (kind(make_learner(), optimizer=SGD) for kind in (MetaLearning, Shifted))
    plain = fit(one, task_data(tasksets)).callback_metrics["train_loss"]
    shifted = fit(other, task_data(tasksets)).callback_metrics["train_loss"]
    assert shifted - plain == pytest.approx(1, abs=1e-6)
    assert_equal(weights_of(one), weights_of(other))


def test_a_mean_in_place_of_losses_is_refused(make_learner, tasksets):
    class Mean(MetaLearning):
        def batch_loss(self, batch):
            losses, scores = super().batch_loss(batch)
            return losses.mean(), scores

    with pytest.raises(ArgumentError, match=r"shape \(4,\)"):
        fit(Mean(make_learner()), task_data(tasksets))


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_batches_of_a_loader_and_tuples_are_taken(make_learner, tasksets):
    loader = TaskLoader(tasksets.train, tasks=4, shots=2, seed=0, batches=3)
    results = []
    tuples = DataLoader([tuple(batch) for batch in copy.deepcopy(loader)], batch_size=None)
    for source in (loader, tuples, task_data(tasksets)):
        module = MetaLearning(make_learner(), optimizer=SGD)
        fit(module, source, log_every_n_steps=1)
        results.append(weights_of(module))
    assert_equal(results[0], results[1], rtol=0, atol=0)
    assert_equal(results[0], results[2], rtol=0, atol=0)


def test_other_batches_are_refused(make_learner):
    module = MetaLearning(make_learner())
    with pytest.raises(ArgumentTypeError, match="TaskBatch"):
        module.training_step(torch.zeros(3), 0)


def test_the_optimizer_and_scheduler(make_learner, tasksets):
    learner = make_learner()
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.5)
    one = MetaLearning(learner, optimizer=optimizer, scheduler="cosine")
    fit(one, task_data(tasksets), max_steps=4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    step = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    two = MetaLearning(make_learner(), optimizer=SGD, scheduler=step)
    trainer = fit(two, task_data(tasksets), max_steps=4)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5 / 16
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    three = MetaLearning(make_learner(), optimizer=SGD, scheduler=plateau)
    fit(three, task_data(tasksets), max_epochs=1, max_steps=-1, limit_val_batches=1)


def test_a_cosine_needs_the_number_of_steps(make_learner, tasksets):
    module = MetaLearning(make_learner(), scheduler="cosine")
    with pytest.raises(ArgumentError, match="max_steps"):
        fit(module, task_data(tasksets), max_steps=-1, max_epochs=-1)


def test_annealing_follows_the_steps(make_learner, tasksets):
    seen = []

    class Watched(MetaLearning):
        def batch_loss(self, batch):
            seen.append(self.progress)
            return super().batch_loss(batch)

    fit(Watched(make_learner("MAML++")), task_data(tasksets), max_steps=4)
    assert seen == [0, 0.25, 0.5, 0.75]
    seen.clear()
    fit(Watched(make_learner("MAML++"), annealing_steps=2), task_data(tasksets), max_steps=4)
    assert seen == [0, 0.5, 1, 1]
    with pytest.raises(ArgumentError, match="annealing_steps"):
        fit(MetaLearning(make_learner("MAML++")), task_data(tasksets), max_steps=-1, max_epochs=-1)


def test_first_order_overrides_the_learner(make_learner, tasksets):
    results = []
    for name, first_order in {"MAML": True, "first order": None}.items():
        module = MetaLearning(make_learner(name), first_order=first_order, optimizer=SGD)
        fit(module, task_data(tasksets))
        results.append(weights_of(module))
    assert_equal(*results, rtol=0, atol=0)


def test_all_invalid_settings_are_named_at_once():
    learner = ProtoNet(nn.Linear(3, 3), 2)
    with pytest.raises(ArgumentError) as caught:
        MetaLearning(
            learner,
            steps=5,
            loss="mse",
            first_order=True,
            annealing_steps=3,
            tasks_per_slice=0,
            optimizer=torch.optim.Adam(nn.Linear(2, 2).parameters()),
            scheduler="cosin",
        )
    text = str(caught.value)
    assert "7 settings" in text
    for name in ("steps", "loss", "first_order", "annealing_steps", "tasks_per_slice"):
        assert name in text
    assert "optimizer must hold" in text
    assert "'cosin'" in text


@pytest.mark.parametrize(
    ("learner", "options", "match"),
    [
        (MAMLPlusPlus(nn.Linear(2, 2), 0.1, steps=3), {"steps": 2}, "those of the MAMLPlusPlus, 3"),
        (MAML(nn.Linear(2, 2), 0.1), {"annealing_steps": 2}, "only MAMLPlusPlus"),
        (Reptile(nn.Linear(2, 2), 0.1), {"first_order": False}, "first_order must be None"),
        (MAML(nn.Linear(2, 2), 0.1), {"steps": 0}, "steps must be a positive integer"),
        (MAML(nn.Linear(2, 2).requires_grad_(False), 0.1), {}, "parameters to train"),
    ],
)
def test_invalid_settings(learner, options, match):
    with pytest.raises(ArgumentError, match=match):
        MetaLearning(learner, **options)


def test_a_model_is_not_a_learner():
    with pytest.raises(ArgumentTypeError, match=r"algorithms\.MAML"):
        MetaLearning(nn.Linear(2, 2))


def test_half_precision_is_refused(make_learner, tasksets):
    module = MetaLearning(make_learner())
    trainer = pl.Trainer(**QUIET, max_steps=1, precision="16-true")
    with pytest.raises(ArgumentError, match="bf16-mixed"):
        trainer.fit(module, task_data(tasksets))


# Values that are not finite


class Poisoned(TaskData):
    """Tasks of series, where one value of one task of one batch is replaced."""

    def __init__(self, value, *, batch=1, task=2, part="support_x"):
        sources = [Sinusoids()] * 3
        super().__init__(tasksets_of(sources, train_samples=6), tasks=4, shots=3, prefetch=0)
        self.value, self.where, self.part = value, (batch, task), part

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.training and self._stream.number == self.where[0]:
            part = getattr(batch, self.part).clone()
            part[self.where[1], 1] = self.value
            return TaskBatch(**{**vars(batch), self.part: part})
        return batch


def regression():
    torch.manual_seed(0)
    return MAML(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), 0.01)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *((part, float("nan")) for part in ("support_x", "support_y", "query_x", "query_y")),
        ("support_y", float("inf")),
        ("query_y", float("inf")),
    ],
)
def test_the_error_names_the_task(part, value):
    module, after = MetaLearning(regression(), optimizer=SGD), []

    class Watch(pl.Callback):
        def on_train_batch_end(self, *_):
            after.append(weights_of(module))

    with pytest.raises(AdaptationError) as caught:
        fit(module, Poisoned(value, part=part), callbacks=[Watch()])
    text = str(caught.value)
    assert f"{part}[1, 0] is {value}" in text
    assert "task 2 of training batch 1 (seed 0; TaskData.batch(1) draws it again)" in text
    assert text.count("task 2") == 1
    assert "task 1" not in text
    assert len(after) == 1
    assert_equal(weights_of(module), after[0], rtol=0, atol=0)


def test_a_gradient_that_is_not_finite_is_found():
    class Root(MetaLearning):
        def batch_loss(self, batch):
            losses, scores = super().batch_loss(batch)
            which = torch.arange(len(batch)) if len(batch) > 1 else batch.query_x.flatten()[:1]
            bad = which == (1 if len(batch) > 1 else chosen)
            return losses + torch.where(bad, (losses - losses.detach()).sqrt(), 0.0), scores

    data = TaskData(tasksets_of([Sinusoids()] * 3, train_samples=6), tasks=4, shots=3)
    chosen = data.batch(0).query_x[1].flatten()[0]
    with pytest.raises(AdaptationError, match=r"task 1 of training batch 0 .* a gradient with"):
        fit(Root(regression(), optimizer=SGD), data)


def test_steps_that_are_not_finite_are_skipped():
    results = []
    for optimizer in (SGD, functools.partial(torch.optim.Adam, lr=0.1)):
        module, after = MetaLearning(regression(), optimizer=optimizer, skip_nonfinite=True), []

        class Watch(pl.Callback):
            def on_train_batch_end(self, *_, after=after, module=module):
                after.append(weights_of(module))

        with pytest.warns(UserWarning, match=r"skipped.*task 2 of training batch 1"):
            trainer = fit(module, Poisoned(float("nan")), callbacks=[Watch()])
        assert module.skipped_steps == trainer.callback_metrics["skipped_steps"] == 1
        assert trainer.global_step == len(after) == 3
        assert_equal(after[0], after[1], rtol=0, atol=0)
        assert not torch.equal(after[1]["module.0.weight"], after[2]["module.0.weight"])
        assert all(value.isfinite().all() for value in after[2].values())
        results.append(after[2])


def test_running_statistics_survive_a_skipped_step():
    torch.manual_seed(0)
    module = MetaLearning(ProtoNet(nn.BatchNorm1d(1), 1), skip_nonfinite=True)
    x, y = torch.randn(1, 4, 1), torch.zeros(1, 4, dtype=torch.long)
    module.batch_loss = lambda batch: (
        module.learner.module(batch.query_x[0]).mean().reshape(1) / batch.query_x.max(),
        torch.zeros(1),
    )
    before = {name: value.clone() for name, value in module.named_buffers()}
    with pytest.warns(UserWarning, match="skipped"):
        module.training_step(TaskBatch(x, y, x * float("nan"), y), 0)
    assert_equal(dict(module.named_buffers()), before)


def test_other_errors_of_learners_are_not_taken_for_nan(make_learner, tasksets):
    module = MetaLearning(
        make_learner(), loss=lambda outputs, y: cross_entropy(outputs, y).detach()
    )
    with pytest.raises(AdaptationError, match="no graph"):
        fit(module, task_data(tasksets))


def test_validation_names_and_leaves_out_tasks(make_learner, tasksets):
    class Bad(MetaLearning):
        def batch_loss(self, batch):
            losses, scores = super().batch_loss(batch)
            bad = torch.tensor([int(x[0, 0]) == chosen for x in batch.query_x])
            return torch.where(bad, torch.nan, losses), scores

    data = task_data(tasksets, validation_tasks=4)
    (batch,) = data.val_dataloader()
    chosen = int(batch.query_x[1, 0, 0])
    expected = [int(x[0, 0]) != chosen for x in batch.query_x]
    with pytest.raises(AdaptationError, match="task 1 of a val batch: loss nan"):
        pl.Trainer(**QUIET).validate(Bad(make_learner("ProtoNet")), data, verbose=False)
    module = Bad(make_learner("ProtoNet"), skip_nonfinite=True)
    with pytest.warns(UserWarning, match="skipped"):
        found = pl.Trainer(**QUIET).validate(module, data, verbose=False)[0]
    plain = MetaLearning(make_learner("ProtoNet")).eval()
    losses = plain.batch_loss(batch)[0][expected]
    assert 1 <= len(losses) < 4
    assert found["val_loss"] == pytest.approx(losses.mean().item(), rel=1e-6)
