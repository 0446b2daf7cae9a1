"""Error messages of encoders and classifiers, at construction and at a call."""

import pytest
import torch
from torch import nn

from l2l_rnn.axes import expand_parameters
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError, UnknownNameError
from l2l_rnn.models import SequenceClassifier, SequenceEncoder
from l2l_rnn.models.encoder import POOLINGS
from l2l_rnn.nn import CELLS
from tests.models.sequences import KINDS, data, make

# ------------------------------------------------------------------ errors at construction


@pytest.mark.parametrize(
    ("argument", "name", "near"),
    [
        ("cell", "lsmt", "lstm"),
        ("cell", "gruu", "gru"),
        ("cell", "LSTM", None),
        ("cell", None, None),
        ("pooling", "atention", "attention"),
        ("pooling", "maen", "mean"),
    ],
)
def test_unknown_names(argument, name, near):
    known = CELLS if argument == "cell" else POOLINGS
    with pytest.raises(UnknownNameError, match=f"unknown {argument} {name!r}") as caught:
        SequenceEncoder(input_size=2, **{argument: name})
    assert near is None or f"did you mean {near!r}" in str(caught.value)
    assert str(caught.value).endswith(f"Known: {', '.join(known)}")


@pytest.mark.parametrize("sizes", [{}, {"vocab_size": 5, "input_size": 3}])
def test_one_kind_of_input(sizes):
    with pytest.raises(ArgumentError, match=r"either vocab_size.* or input_size"):
        SequenceEncoder(**sizes)


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", True])
@pytest.mark.parametrize("name", ["vocab_size", "input_size", "embedding_size", "hidden_size"])
def test_sizes(name, size):
    sizes = {name: size}
    if name in ("embedding_size", "hidden_size"):
        sizes["vocab_size"] = 3
    with pytest.raises(ArgumentError, match=f"{name} must be a positive integer, got {size!r}"):
        SequenceEncoder(**sizes)


@pytest.mark.parametrize("ways", [0, -1, 2.0, "2", None, True])
def test_ways(ways):
    with pytest.raises(ArgumentError, match="SequenceClassifier: ways must be a positive integer"):
        SequenceClassifier(ways, input_size=2)


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5, float("nan")])
def test_dropout_range(dropout):
    with pytest.raises(ArgumentError, match="dropout must be a number of at least 0 and below 1"):
        SequenceEncoder(input_size=2, dropout=dropout)


@pytest.mark.parametrize("dropout", ["0.5", None, nn.Dropout])
def test_dropout_kind(dropout):
    with pytest.raises(ArgumentTypeError, match="dropout must be a number or a module"):
        SequenceEncoder(input_size=2, dropout=dropout)


# ------------------------------------------------------------------ errors at a call


def tokens(value=None):
    x = data("tokens")[0].clone()
    if value is not None:
        x[1, 2] = value
    return x


def steps(change):
    x = data("steps")[0].clone()
    change(x)
    return x


BAD = {
    "id too large": ("tokens", tokens(9), ArgumentError, "ids must be from 0 to 8, got 9"),
    "negative id": ("tokens", tokens(-2), ArgumentError, "ids must be from 0 to 8, got -2"),
    "float tokens": ("tokens", tokens().float(), ArgumentTypeError, "integers, got torch.float32"),
    "bool tokens": ("tokens", tokens() > 0, ArgumentTypeError, "integers, got torch.bool"),
    "no batch axis": ("tokens", tokens()[0], ShapeError, r"\(…, B, S\) .* got shape \(6,\)"),
    "no tokens": ("tokens", tokens()[:, :0], ShapeError, r"got shape \(4, 0\)"),
    "no sequences or tokens": ("tokens", tokens()[:0, :0], ShapeError, r"got shape \(0, 0\)"),
    "all padding": ("tokens", tokens() * torch.tensor([[1], [1], [0], [1]]), ArgumentError,
                    "sequence 2 is all padding"),
    "all padding in a task": ("tokens", torch.stack([tokens(), tokens() * 0]), ArgumentError,
                              r"sequence \(1, 0\) is all padding"),
    "int steps": ("steps", torch.ones(2, 4, 3).long(), ArgumentTypeError, "got torch.int64"),
    "other features": ("steps", torch.ones(2, 4, 2), ShapeError, r"F=3 .*shape \(2, 4, 2\)"),
    "one sequence": ("steps", torch.ones(4, 3), ShapeError, r"\(…, B, S, F\).* got shape \(4, 3\)"),
    "no steps": ("steps", torch.ones(4, 0, 3), ShapeError, r"got shape \(4, 0, 3\)"),
    "NaN sequence": ("steps", steps(lambda x: x[2].fill_(float("nan"))), ArgumentError,
                     "sequence 2 is all padding"),
    "NaN step inside": ("steps", steps(lambda x: x[1, 2].fill_(float("nan"))), ArgumentError,
                        "a step inside a sequence holds a NaN"),
    "NaN value inside": ("steps", steps(lambda x: x[1, 5, 0].fill_(float("nan"))), ArgumentError,
                         "a step inside a sequence holds a NaN"),
}  # fmt: skip


@pytest.mark.parametrize("many", [False, True], ids=["", "tasks"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_raises_and_changes_nothing(case, many):
    kind, x, error, message = BAD[case]
    model = make(kind, bidirectional=True)
    if many:
        if "task" in case:
            pytest.skip("has a task axis")
        expand_parameters(model, 2)
        x = torch.stack([x, x])
        message = message.replace(r"shape \(", r"shape \(2, ").replace(
            "sequence 2", r"sequence \(0, 2\)"
        )
        if case in ("no batch axis", "one sequence"):
            pytest.skip("is a batch then")
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(error, match=message):
        model(x)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    good = data(kind)[:2] if many else data(kind)[0]
    assert model(good).isfinite().all()


def test_infinite_steps_are_allowed():
    x = data("steps")[0]
    x[1, 2, 0] = float("inf")
    assert make("steps")(x)[0].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_number_of_tasks_raises(kind):
    model = make(kind)
    expand_parameters(model, 2)
    with pytest.raises(ShapeError, match="N=2 tasks first"):
        model(data(kind))
    with pytest.raises(ShapeError, match="N=2 tasks first"):
        model(data(kind)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_input_does_not_change(kind):
    x = data(kind)
    before = x.clone()
    make(kind)(x)
    assert torch.equal(x.nan_to_num(7.0), before.nan_to_num(7.0))
