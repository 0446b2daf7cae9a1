"""An interrupt at any line of `adapt`, `accumulate` or `write` leaves the learner as it was."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import l2l_rnn
from l2l_rnn.algorithms import MAML
from l2l_rnn.functional import cross_entropy

PACKAGE = str(Path(l2l_rnn.__file__).parent)


class Interrupt:
    """Raises KeyboardInterrupt at the line of this package with the given number.

    Lines are counted in the order in which they run. Attribute `lines` is their number so far.
    """

    def __init__(self, line):
        self.line, self.lines = line, 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error):
        sys.settrace(self.before)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.line:
                raise KeyboardInterrupt
        return self.trace


def contents(learner):
    """Return everything a learner holds: modules, parameters, buffers and all attributes.

    The parts are kept alive, so that their identities stay comparable.
    """
    found = []
    for path, module in learner.named_modules(remove_duplicate=False):
        for name, value in vars(module).items():
            if isinstance(value, dict):
                found += [(path, name, key, part) for key, part in value.items()]
            elif name != "_last_layout":  # a cache of a memory's shapes
                found.append((path, name, None, value))
    return found


def same(one, other):
    """Compare by identity; numbers, such as the count of steps, by value."""
    return len(one) == len(other) and all(
        a[:3] == b[:3] and (a[3] is b[3] or (isinstance(a[3], int) and a[3] == b[3]))
        for a, b in zip(one, other, strict=True)
    )


def interrupted_call(learner, method, x, y, line):
    """Call a method, interrupted at a line; return whether it came to that line."""
    arguments = (x, y) if method == "write" else (cross_entropy(learner(x), y),)
    before = contents(learner)
    try:
        with Interrupt(line) as interrupt:
            getattr(learner, method)(*arguments)
    except KeyboardInterrupt:
        assert interrupt.lines == line
        assert same(contents(learner), before), f"changed by an interrupt at line {line}"
        return True
    assert not same(contents(learner), before)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [None, 2])
@pytest.mark.parametrize("steps_before", [0, 1])
def test_an_interrupt_at_any_line_changes_nothing(name, tasks, steps_before, make, batch):
    x, y, query_x, _ = (part[:2] if tasks else part[0] for part in batch)
    for method in ("adapt", "accumulate", "write"):
        learner, reference = (make(name, cell="mingru").clone(tasks=tasks) for _ in range(2))
        if not hasattr(learner, method):
            continue
        if name == "ProtoMAML" and method == "accumulate":
            steps_before = 2  # the first step sets the head
        for each in (learner, reference):
            for _ in range(steps_before):
                each.adapt(cross_entropy(each(x), y))
        line = 1
        while interrupted_call(learner, method, x, y, line):
            line += 1
        assert line > 10  # lines of the method itself and of what it calls
        # The last call was complete. It took the step that a learner without interrupts takes.
        arguments = (x, y) if method == "write" else (cross_entropy(reference(x), y),)
        getattr(reference, method)(*arguments)
        torch.testing.assert_close(learner(query_x), reference(query_x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # learn2learn's clone_module reads it
def test_an_interrupt_of_a_module_with_several_layers_changes_nothing():
    """Tied parameters and torch's own layers, which keep references to their parameters."""
    model = nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3), TakeOutputs(), nn.Linear(3, 3))
    model[3].weight = model[0].weight
    learner = MAML(model.double(), 0.1).clone()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    line, done = 1, False
    while not done:
        loss, before = learner(x).square().mean(), contents(learner)
        try:
            with Interrupt(line):
                learner.adapt(loss)
            done = True
        except KeyboardInterrupt:
            assert same(contents(learner), before)
        line += 1
    assert learner.module[3].weight is learner.module[0].weight
    with torch.no_grad():
        assert learner(x).square().mean() < loss


class TakeOutputs(nn.Module):
    def forward(self, result):
        return result[0]
