"""Scores against scikit-learn and plain formulas, one task at a time."""

import pytest
import torch
from sklearn.metrics import f1_score

from l2l_rnn.errors import ShapeError
from l2l_rnn.training.evaluation import METRICS

TASKS, ROWS, CLASSES = 4, 30, 5


@pytest.fixture
def predictions():
    torch.manual_seed(0)
    logits = 2 * torch.randn(TASKS, ROWS, CLASSES, dtype=torch.float64)
    return logits, torch.randint(0, CLASSES - 1, (TASKS, ROWS))


def plain_calibration_error(logits, labels):
    confidence, predicted = logits.softmax(-1).max(-1)
    error = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = (predicted == labels)[inside].double().mean() - confidence[inside].mean()
            error += inside.double().mean() * gap.abs()
    return error


PLAIN = {
    "accuracy": lambda p, y: (p.argmax(-1) == y).double().mean(),
    "nll": lambda p, y: torch.nn.functional.cross_entropy(p, y),
    "f1": lambda p, y: torch.tensor(f1_score(y, p.argmax(-1), average="macro")).double(),
    "brier": lambda p, y: (p.softmax(-1) - torch.eye(CLASSES)[y]).square().sum() / len(y),
    "ece": plain_calibration_error,
}


@pytest.mark.parametrize("name", PLAIN)
def test_scores_of_classes(name, predictions):
    logits, labels = predictions
    found = METRICS[name].function(logits, labels, None)
    wanted = torch.stack([PLAIN[name](*task) for task in zip(logits, labels, strict=True)])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", PLAIN)
def test_padding_changes_no_score(name, predictions):
    logits, labels = predictions
    mask = torch.rand(TASKS, ROWS) < 0.6
    found = METRICS[name].function(
        logits.masked_fill(~mask.unsqueeze(-1), torch.nan), labels.masked_fill(~mask, -1), mask
    )
    wanted = [
        PLAIN[name](task[rows], y[rows]) for task, y, rows in zip(logits, labels, mask, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(wanted))


@pytest.mark.parametrize("name", ["mse", "mae"])
@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_scores_of_numbers(name, shape):
    outputs, targets = torch.randn(2, TASKS, ROWS, *shape).unbind()
    mask = torch.rand(TASKS, ROWS) < 0.6
    function = {"mse": torch.square, "mae": torch.abs}[name]
    for given in (None, mask):
        found = METRICS[name].function(outputs, targets, given)
        for n in range(TASKS):
            rows = slice(None) if given is None else mask[n]
            errors = function(outputs[n] - targets[n])[rows]
            torch.testing.assert_close(found[n], errors.mean())


def test_every_named_score_is_compared_with_a_plain_one():
    assert set(METRICS) == {*PLAIN, "mse", "mae"}


def test_outputs_of_another_shape():
    with pytest.raises(ShapeError, match="mse: outputs must have the shape of the targets"):
        METRICS["mse"].function(torch.zeros(2, 3, 1), torch.zeros(2, 3), None)
