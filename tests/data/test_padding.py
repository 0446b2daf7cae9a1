"""Checks of padded values, through the datasets that use them."""

import pytest
import torch

from l2l_rnn.data import GroupedDataset, SequenceDataset
from l2l_rnn.data.padding import padded_steps, step_counts
from l2l_rnn.errors import ArgumentError, DataError, UnknownNameError

X = torch.arange(24.0).view(4, 3, 2)  # 4 series of 3 steps
NAN, INF = float("nan"), float("inf")


def changed(x, where, value):
    x = x.clone()
    x[where] = value
    return x


@pytest.mark.parametrize("kind", ["SequenceDataset", "GroupedDataset"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            changed(X, (1, 0, 1), NAN),
            DataError,
            "case 1 .* got one at step 0 of channel 1",
        ),
        (changed(X, (1, 0), NAN), DataError, "case 1 .* step 0 of channel 0.*last step 2; fill it"),
        (changed(X, (1, 2, 0), NAN), DataError, "case 1 .* got one at step 2 of channel 0"),
        (changed(X, 2, NAN), DataError, "case 2 must have at least one step, got none; drop it"),
        (X[:, :0], DataError, "case 0 must have at least one step"),
        (X[..., :0], DataError, "case 0 must have at least one step"),
        (changed(X, (3, 1, 0), INF), DataError, "case 3 must be finite.*step 1 of channel 0"),
        (changed(X, (3, 2), -INF), DataError, "case 3 must be finite.*step 2 of channel 0"),
        (changed(X[..., 0].long(), (2, 1), -3), ArgumentError, "token ids must not be .* got -3"),
    ],
)
def test_bad_values_are_rejected(kind, x, error, message):
    labels = torch.tensor([0, 1, 0, 1])
    make = {
        "SequenceDataset": SequenceDataset,
        "GroupedDataset": lambda x, y: GroupedDataset(x, y, y),
    }[kind]
    with pytest.raises(error, match=message) as caught:
        make(x, labels)
    assert str(caught.value).startswith(f"{kind}: ")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_features_without_steps_cannot_be_padded(value):
    labels = torch.tensor([0, 1, 0, 1])
    GroupedDataset(X[..., 0], labels, labels)
    with pytest.raises(DataError, match=f"GroupedDataset: feature 1 of case 2 must .* got {value}"):
        GroupedDataset(changed(X[..., 0], (2, slice(1, 3)), value), labels, labels)


def test_padding_at_the_end_is_kept():
    padded = changed(changed(X, (1, slice(1, 3)), NAN), (3, 2), NAN)
    labels = torch.tensor([0, 1, 0, 1])
    for dataset in (SequenceDataset(padded, labels), GroupedDataset(padded, labels, labels)):
        assert torch.equal(dataset[1][0].isnan(), padded[1].isnan())


def test_steps_are_counted_up_to_the_padding():
    padded = changed(changed(X, (1, slice(1, 3)), NAN), (3, 2), NAN)
    assert step_counts("Here", padded).tolist() == [3, 1, 3, 2]
    assert step_counts("Here", X).tolist() == [3] * 4


def test_series_are_padded_to_the_longest():
    steps = padded_steps("Here", [[[1.0, 2.0]], [[3.0]]])
    assert steps.shape == (2, 2, 1)
    assert steps[..., 0].nan_to_num(9).tolist() == [[1, 2], [3, 9]]
    with pytest.raises(UnknownNameError, match="Here: unknown layout 'last'"):
        padded_steps("Here", [[1.0]], "last")
