"""Progress: the estimate of the time left, and what is printed in a terminal and elsewhere."""

import dataclasses
import os
import pty
import sys
import termios

import pytest

from benchmarks.few_shot import progress
from benchmarks.few_shot.progress import Progress, TrainingBar
from benchmarks.few_shot.specs import SPECS
from benchmarks.few_shot.time_left import TimeLeft, duration_text, time_limits


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.2, "1 s"), (89.5, "90 s"), (91, "2 min"), (3599, "60 min"), (5400, "1.5 h")],
)
def test_durations_are_rounded_up(seconds, text):
    assert duration_text(seconds) == text


def test_the_estimate_starts_with_limits_and_continues_with_measured_times(clock):
    left = TimeLeft({"a": 0.0, "b": 600.0, "c": 1200.0}, clock)
    assert str(left) == "at most 30 min of training left, plus evaluation"
    assert left.short == "< 30 min left"

    left.start_method()  # a, without a training
    clock.now += 20
    left.end_method("a")
    assert left.methods == 2
    assert str(left) == "at most 30 min of training left, plus 40 s of evaluation"

    left.start_method()  # b
    left.start_training(600)
    clock.now += 3
    left.train_until(0.01)  # too early to tell
    assert left.training() == (1797, False)
    clock.now += 27
    left.train_until(0.1)  # ends after 300 of 600 seconds
    assert left.training() == (270 + 600, True)
    assert str(left) == "about 16 min left"
    assert left.short == "16 min left"
    clock.now += 120
    left.train_until(1.0)  # faster than expected
    left.end_training()
    assert left.training() == (300, True)
    clock.now += 10
    left.end_method("b")
    assert left.other() == 15  # the mean of 20 and 10
    assert left.training() == (300, True)

    left.start_method()  # c, in two trainings
    for _ in range(2):
        left.start_training(600)
        clock.now += 700  # longer than its limit
        left.end_training()
    assert left.training() == (0, True)
    left.end_method("c")
    assert (left.methods, left.other()) == (0, 0)


def test_a_training_never_takes_longer_than_its_limit(clock):
    left = TimeLeft({"a": 60.0}, clock)
    left.start_method()
    left.start_training(60)
    clock.now += 50
    left.train_until(0.1)
    assert left.training() == (10, True)
    clock.now += 20
    assert left.training() == (0, True)


def test_without_trainings_nothing_is_known_before_the_first_evaluation(clock):
    left = TimeLeft({"a": 0.0, "b": 0.0}, clock)
    assert str(left) == "no training left, only evaluation"
    left.start_method()
    clock.now += 5
    left.end_method("a")
    assert str(left) == "about 5 s left"


def test_trainings_that_methods_share_are_counted_once():
    limits = time_limits(SPECS["languages"].entries["full"])
    assert {label: seconds / 60 for label, seconds in limits.items()} == {
        "TF-IDF n-grams, logistic regression": 0,
        "LSTM from scratch": 0,
        "LSTM pre-trained, linear probe": 5,
        "LSTM pre-trained, fine-tuned": 0,
        "3 x LSTM pre-trained, Gaussian prior": 10,
        "LSTM ProtoNet": 5,
        "3 x LSTM ProtoNet, Gaussian prior": 10,
        "LSTM R2D2": 5,
        "3 x LSTM ProtoNet, Gaussian prior, joined with TF-IDF": 0,
        "LSTM memory learner": 3,
        "LSTM ProtoMAML, second order": 3,
        "LSTM MAML, second order": 2,
        "LSTM Meta-SGD": 2,
    }
    readers = time_limits(SPECS["strokes"].entries["full"])
    assert list(readers.values()) == [60 * 11, *[60 * 6] * 7, 0]


def test_the_trainings_of_a_method_are_those_that_it_does(small, tmp_path, monkeypatch):
    """The plan has the limit of each training, and no other."""
    started = []
    proper = TimeLeft.start_training
    monkeypatch.setattr(
        TimeLeft,
        "start_training",
        lambda left, limit: (started.append(limit), proper(left, limit))[1],
    )
    small.run(tmp_path)
    assert started == [60.0] * 5
    assert sum(started) == sum(time_limits(small.entries).values())


def test_lines_at_a_modest_rate_if_stderr_is_not_a_terminal(small, capsys, monkeypatch):
    now = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", now)
    training = dataclasses.replace(small.training, steps=100)
    shown = Progress(TimeLeft({"a": 60.0, "b": 60.0}, now), 3)
    with shown.method("a"), TrainingBar("a", training, tasks_per_step=4) as bar:
        bar.set_postfix({"loss": "0.500"})
        for _ in range(100):
            now.now += 0.7
            bar.update(4)
    assert capsys.readouterr().err.splitlines() == [
        "[2/3] a: at most 2 min of training left, plus evaluation",
        "[2/3] a: 43% trained, loss 0.500; about 90 s of training left, plus evaluation",
        "[2/3] a: 86% trained, loss 0.500; about 60 s of training left, plus evaluation",
    ]


def test_a_bar_in_a_terminal(small, monkeypatch):
    control, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    now = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", now)
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        shown = Progress(TimeLeft({"a": 60.0}, now), 1)
        with (
            shown.method("a"),
            TrainingBar("training", dataclasses.replace(small.training, steps=100), 1) as bar,
        ):
            for _ in range(10):
                now.now += 0.5
                bar.update(1)
            bar.set_postfix({"loss": "0.500"})
        printed = ""
        while "loss=0.500" not in printed:
            printed += os.read(control, 1000).decode()
    os.close(control)
    assert printed.startswith("[1/1] a: at most 60 s of training left, plus evaluation")
    assert "[1/1, 46 s left] training: " in printed
    assert "\r" in printed
    assert "trained" not in printed


def test_a_bar_without_a_run_counts_its_tasks(small, capsys):
    with TrainingBar("alone", small.training, 1) as bar:
        bar.update(1)
    assert bar.done == 1
    assert capsys.readouterr().err == ""
