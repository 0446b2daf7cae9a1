"""Errors of the sequence-to-sequence models name who, what and the fix."""

import pytest
import torch

from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    L2LRNNError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.models import MemorySeq2Seq, Seq2Seq
from tests.models.seq2seq.pairs import SOURCES, TARGETS, pairs

X, Y = pairs(3)
EMPTY_X, EMPTY_Y = X.clone(), Y.clone()
EMPTY_X[1] = 0
EMPTY_Y[2] = 0


def plain():
    network = Seq2Seq(SOURCES, TARGETS, hidden_size=4, max_length=6)
    return network, network.greedy, network.beam_search, network


def with_memory():
    network = MemorySeq2Seq(SOURCES, TARGETS, hidden_size=4, max_length=6)
    memory = network.remember(X, Y)
    return (
        lambda x, y, mask=None: network(x, y, memory, mask),
        lambda x, *args: network.greedy(x, memory, *args),
        lambda x, *args: network.beam_search(x, memory, *args),
        network.remember,
    )


@pytest.fixture(params=[plain, with_memory])
def calls(request):
    return request.param()


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (EMPTY_X, Y, ArgumentError, r"source of pair 1 is empty.*drop the pair"),
        (X, EMPTY_Y, ArgumentError, r"target of pair 2 is empty.*mask="),
        (X + 4, Y, ArgumentError, r"source ids must be from 0 to 6, got 1\d?"),
        (X, Y * 5, ArgumentError, r"target ids must be from 0 to 8, got \d+.*target_vocab_size"),
        (X, Y - 1, ArgumentError, r"target ids .* got -1"),
        (X.float(), Y, ArgumentTypeError, r"source must be integer token ids.*\.long\(\)"),
        (X, [[1]], ArgumentTypeError, "target must be a tensor"),
        (X[0], Y[0], ShapeError, r"source must be \(…, B, S\)"),
        (X, Y[:2], ShapeError, r"one sequence for each source, \(3,\), got \(2,\)"),
    ],
)
def test_pairs(calls, x, y, error, message):
    if isinstance(x, torch.Tensor) and message.startswith("source ids"):
        message = "source ids must be from 0 to 6, got 10"
    for call in (calls[0], calls[3]):
        with pytest.raises(error, match=message):
            call(x, y)


def test_limits(calls):
    forward, greedy, beam_search, _ = calls
    long = torch.nn.functional.pad(Y, (3, 0), value=3)
    with pytest.raises(ArgumentError, match=r"at most max_length=6 tokens.*got 8.*max_length=8"):
        forward(X, long)
    wide = torch.nn.functional.pad(Y, (0, 5))
    assert forward(X, wide).shape[-2] == 10  # padding does not count
    for call in (greedy, lambda x, most: beam_search(x, 2, most)):
        with pytest.raises(ArgumentError, match=r"max_length must be at most .*6, got 7"):
            call(X, 7)
        with pytest.raises(ArgumentError, match="source of pair 1 is empty"):
            call(EMPTY_X, 3)
        with pytest.raises(ArgumentError, match="max_length must be a positive integer"):
            call(X, 0)
    with pytest.raises(ArgumentError, match="width must be a positive integer"):
        beam_search(X, 0)


def test_masks(calls):
    for call in (calls[0], calls[3]):
        with pytest.raises(ArgumentTypeError, match="mask must be a bool tensor"):
            call(X, Y, torch.ones(3))
        with pytest.raises(ShapeError, match=r"mask must have shape \(3,\)"):
            call(X, Y, torch.ones(2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"hidden_size": 0}, ArgumentError, "hidden_size"),
        ({"cell": "grv"}, UnknownNameError, "gru"),
        ({"end": 9}, ArgumentError, "end must be an integer from 1 to 8"),
        ({"dropout": 1.0}, ArgumentError, "dropout"),
        ({"max_length": 0}, ArgumentError, "max_length"),
        ({"copies": [1, 2]}, ArgumentError, r"copies must be 7 target ids from 0 to 8.*got 2"),
        ({"copies": [9] * 7}, ArgumentError, "copies"),
    ],
)
@pytest.mark.parametrize("kind", [Seq2Seq, MemorySeq2Seq])
def test_options(kind, options, error, message):
    with pytest.raises(error, match=message):
        kind(SOURCES, TARGETS, **options)


def test_own_options():
    with pytest.raises(UnknownNameError, match="unknown attention 'dott'; did you mean 'dot'"):
        Seq2Seq(SOURCES, TARGETS, attention="dott")
    with pytest.raises(ArgumentError, match=r"hidden_size must be even.*got 5"):
        MemorySeq2Seq(SOURCES, TARGETS, hidden_size=5)
    with pytest.raises(ArgumentError, match="heads must divide size=8, got 3"):
        MemorySeq2Seq(SOURCES, TARGETS, hidden_size=8, heads=3)


def test_a_learner_of_many_tasks_names_the_missing_axis():
    from l2l_rnn.algorithms import MAML

    learner = MAML(Seq2Seq(SOURCES, TARGETS, hidden_size=4), 0.1).clone(tasks=2)
    with pytest.raises(L2LRNNError, match="N=2"):
        learner(X, Y)
