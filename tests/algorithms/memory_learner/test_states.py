"""States that MemoryLearner rejects."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError

WAYS, TASKS = 3, 4


def test_a_state_must_fit_the_model_and_the_number_of_tasks(learner, helpers):
    before = learner.state
    for other, error, message in (
        (
            helpers.make("delta").clone(tasks=TASKS).state,
            ArgumentTypeError,
            "state must be of type ItemState",
        ),
        (helpers.make().clone(tasks=2).state, ShapeError, "keys must have shape"),
        (helpers.make().clone().state, ShapeError, "keys must have shape"),
        (helpers.make(values=5).clone(tasks=TASKS).state, ShapeError, "values must have shape"),
        (
            helpers.make().float().clone(tasks=TASKS).state,
            ArgumentTypeError,
            "must be torch.float64",
        ),
        (
            {"weights": torch.zeros(2)},
            ArgumentError,
            "must have keys, values, written, ages, got weights",
        ),
        (None, ArgumentTypeError, "got NoneType"),
        (tuple(before), ArgumentTypeError, "state must be of type ItemState, got tuple"),
        (
            {name: part.tolist() for name, part in before._asdict().items()},
            ArgumentTypeError,
            "the state's keys must be a tensor, got list",
        ),
    ):
        with pytest.raises(error, match=message):
            learner.state = other
    helpers.assert_unchanged(learner, before)


def test_a_state_must_fit_in_every_memory(store, helpers):
    learner = helpers.make(store).clone(tasks=TASKS)
    learner.write(*helpers.data(TASKS))
    before = learner.state
    other = helpers.make("delta" if store != "delta" else "hebbian").clone(tasks=TASKS).state
    with pytest.raises(
        ArgumentTypeError, match=r"state must be of type \w+, got \w+; take it from blank"
    ):
        learner.state = other
    for tasks in (None, TASKS + 1):
        with pytest.raises(ShapeError, match="must have shape"):
            learner.state = helpers.make(store).clone(tasks=tasks).state
    if store != "memory-network":  # its slots have the size of its embedding, not of the values
        with pytest.raises(ShapeError, match="must have shape"):
            learner.state = helpers.make(store, values=WAYS + 1).clone(tasks=TASKS).state
    assert learner.state is before
