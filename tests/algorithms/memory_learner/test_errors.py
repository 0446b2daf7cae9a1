"""MemoryLearner rejects invalid input, and the learner is then unchanged."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import MemoryModel, SequenceEncoder

WAYS, TASKS, BATCH = 3, 4, 9


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.full((TASKS, BATCH), WAYS), ArgumentError, r"must be from 0 to 2, got 3 to 3"),
        (torch.full((TASKS, BATCH), -1), ArgumentError, r"got -1 to -1"),
        (torch.zeros(TASKS, 2).long(), ShapeError, r"y must have shape \(4, 9\).*got \(4, 2\)"),
        (torch.zeros(TASKS, BATCH), ArgumentTypeError, r"labels must be integers, got"),
    ],
)
def test_bad_labels_change_nothing(learner, labels, error, message, helpers):
    before = learner.state
    with pytest.raises(error, match=message) as caught:
        learner.write(helpers.data(TASKS)[0], labels)
    assert str(caught.value).startswith("MemoryLearner.write: ")
    helpers.assert_unchanged(learner, before)


def test_inputs_must_be_tensors(learner, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    with pytest.raises(
        ArgumentTypeError, match=r"^MemoryLearner\.write: y must be a tensor, got l"
    ):
        learner.write(x, y.tolist())
    for call in (learner, lambda x: learner.write(x, y)):
        with pytest.raises(ArgumentTypeError, match=r"^SequenceEncoder: x must be a tensor, got l"):
            call(x.tolist())
    helpers.assert_unchanged(learner, before)


def test_a_loss_of_labels_out_of_range(learner, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    with pytest.raises(ArgumentError, match=r"labels must be from 0 to 2 for C=3 classes"):
        learner.adapt(cross_entropy(learner(x), y + 1))
    helpers.assert_unchanged(learner, before)


def test_regression_targets_must_have_the_shape_of_the_outputs(helpers):
    learner = helpers.make(values=2, regression=True).clone()
    with pytest.raises(
        ShapeError, match=r"y must have the shape of the outputs, \(9, 2\), got \(9, 1\)"
    ):
        learner.write(helpers.data()[0], torch.zeros(BATCH, 1))


def test_adapt_needs_outputs_first(learner, helpers):
    before = learner.state
    with pytest.raises(AdaptationError, match=r"no outputs to learn from.*is unchanged"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))
    x, y = helpers.data(TASKS)
    loss = cross_entropy(learner(x), y)
    learner(x)  # the loss is not of these outputs
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(loss)
    learner.adapt(cross_entropy(learner(x), y))
    after = learner.state
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(loss)
    learner(x)
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(next(learner.parameters()).sum())
    helpers.assert_unchanged(learner, after)
    assert not helpers.same(before, after)


@pytest.mark.parametrize("reduced", [False, True])
def test_nan_in_the_loss_names_the_task(learner, reduced, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    losses = cross_entropy(learner(x), y) * torch.tensor([1.0, float("nan"), 1.0, float("inf")])
    with pytest.raises(AdaptationError, match=r"loss of task 1, 3 is NaN or infinite.*unchanged"):
        learner.adapt(losses.sum() if reduced else losses)
    helpers.assert_unchanged(learner, before)


def test_nan_in_the_loss_of_one_task(helpers):
    learner = helpers.make().clone()
    before = learner.state
    x, y = helpers.data()
    with pytest.raises(AdaptationError, match="the loss is NaN or infinite"):
        learner.adapt(F.cross_entropy(learner(x), y) * float("nan"))
    assert helpers.same(learner.state, before)


def test_a_non_finite_state_is_not_written(learner, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    scores = learner(x)
    losses = cross_entropy(scores, y)
    steep = (scores - scores.detach())[1].square().sum().sqrt()  # 0, with a derivative of 0 / 0
    with pytest.raises(AdaptationError, match="the memory of task 1 would become NaN or infinite"):
        learner.adapt(torch.stack([losses[0], losses[1] + steep, *losses[2:]]))
    helpers.assert_unchanged(learner, before)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (torch.Tensor.detach, AdaptationError, "the loss has no graph"),
        (lambda loss: 1.0, ArgumentTypeError, "loss must be a tensor, got float"),
        (lambda loss: loss[:2], ShapeError, r"a scalar or \(4,\), got shape \(2,\)"),
    ],
)
def test_a_bad_loss_changes_nothing(learner, spoil, error, message, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    with pytest.raises(error, match=message):
        learner.adapt(spoil(cross_entropy(learner(x), y)))
    helpers.assert_unchanged(learner, before)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_enabled(learner, off, helpers):
    before = learner.state
    x, y = helpers.data(TASKS)
    with pytest.raises(AdaptationError), off():
        learner.adapt(cross_entropy(learner(x), y))
    scores = cross_entropy(learner(x), y)
    with pytest.raises(AdaptationError, match="gradients are disabled"), off():
        learner.adapt(scores)
    helpers.assert_unchanged(learner, before)


def test_inputs_must_have_the_learners_tasks(learner, helpers):
    before = learner.state
    for x in (helpers.data()[0], helpers.data(2)[0]):
        with pytest.raises(ShapeError, match=r"x must be \(N, B, …\) with N=4 tasks first"):
            learner(x)
    with pytest.raises(ShapeError, match=r"x must be \(B, …\), got shape \(4, 9, 4, 2\)"):
        helpers.make().clone()(helpers.data(TASKS)[0])
    helpers.assert_unchanged(learner, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "none"}, "unknown reduction 'none'.* Known: mean, sum"),
        ({"lr": float("nan")}, "lr must be a finite number, got nan"),
        ({"lr": "fast"}, "lr must be a finite number"),
        ({"adapts": "encoder"}, "lr must be a number if adapts is given, got None; set lr"),
        ({"lr": 0.1, "adapts": "encoder.nothing"}, "has no parameter 'encoder.nothing'"),
    ],
)
def test_bad_options(options, message, helpers):
    with pytest.raises(ArgumentError, match=message):
        helpers.make(**options)


@pytest.mark.parametrize("tasks", [0, -1, 2.0, True, "2"])
def test_bad_task_counts(tasks, helpers):
    with pytest.raises(ArgumentError, match="tasks must be a positive integer"):
        helpers.make().clone(tasks=tasks)
    with pytest.raises(ArgumentError, match="already holds 2 tasks"):
        helpers.make().clone(tasks=2).clone(tasks=2)


def test_bad_models(helpers):
    with pytest.raises(ArgumentTypeError, match=r"must be a models\.MemoryModel, got Linear"):
        MemoryLearner(nn.Linear(2, 2))
    with pytest.raises(ArgumentTypeError, match="encoder must be a module with an output_size"):
        MemoryModel(nn.Linear(2, 2), helpers.make_store("delta", 3))
    encoder = SequenceEncoder(input_size=2, hidden_size=4)
    with pytest.raises(ArgumentTypeError, match=r"store must be a memory\.Store, got Linear"):
        MemoryModel(encoder, nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match="scale must be a number above 0, got 0"):
        MemoryModel(encoder, helpers.make_store("delta", 3), scale=0)
    model = MemoryModel(encoder, helpers.make_store("delta", 3))
    model.key = nn.Linear(4, 4)
    learner = MemoryLearner(model, lr=0.1)
    with pytest.raises(ArgumentTypeError, match="own layers must have a task axis"):
        learner.clone(tasks=2)
