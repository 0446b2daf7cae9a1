"""Arrays of limited length from datasets of the UCR and UEA archives."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.series.labels import numbered_labels
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import step_lengths
from l2l_rnn.tasksets.series.archives import archived_series

Labeled = tuple[Tensor, list[str]]


def read_steps(
    name: str,
    root: str | os.PathLike[str],
    download: bool,
    length: int,
    shorten: str,
    normalize: bool,
) -> Labeled:
    """Read a dataset as steps `(items, S, F)` and the class of each item.

    Args:
        name, root, download: as in `archived_series`.
        length: maximum S; longer series are shortened to it.
        shorten: `"mean"` averages segments of equal length, `"truncate"` keeps the first steps.
        normalize: whether to scale each channel of each series to mean 0 and standard deviation 1.
    """
    length = check_int("series", "length", length)
    check_choice("series", "shorten", shorten, ("mean", "truncate"))
    series, labels = archived_series(name, root, download)
    steps = padded_steps(f"series: {name}", series)
    if shorten == "truncate":
        steps = steps[:, :length]
    elif steps.shape[1] > length:
        steps = _averaged(steps, length)
    if normalize:
        mean = steps.nanmean(1, keepdim=True)
        std = (steps - mean).square().nanmean(1, keepdim=True).sqrt()
        constant = std <= 1e-6 * mean.abs().clamp(min=1e-30)
        steps = (steps - mean) / std.where(~constant, torch.inf)
    return steps.contiguous(), labels


def join_datasets(
    parts: Sequence[Labeled], channels: int | None = None
) -> tuple[Tensor, list[str]]:
    """Concatenate datasets, padded to the longest series.

    Args:
        parts: the datasets.
        channels: required number of channels; None only requires equal numbers.

    Raises:
        ArgumentError: the datasets differ in their number of channels.
    """
    counts = {part.shape[-1] for part, _ in parts} | ({channels} if channels else set())
    if len(counts) > 1:
        raise ArgumentError(
            f"series: all datasets must have the same number of channels, got {sorted(counts)}; "
            "choose other datasets, or set channels='separate' with protocol='datasets'"
        )
    longest = max(part.shape[1] for part, _ in parts)
    padded = [
        torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1]), value=torch.nan)
        for part, _ in parts
    ]
    return torch.cat(padded), [label for _, labels in parts for label in labels]


def number_classes(labels: list[str]) -> tuple[Tensor, list[str]]:
    """Number classes in natural order: `"PLAID/9"` comes before `"PLAID/10"`."""
    numbers, names = numbered_labels("series", "labels", labels, len(labels))
    order = sorted(range(len(names)), key=lambda i: natural_order(names[i]))
    ranks = torch.tensor(order).argsort()
    return ranks[torch.from_numpy(numbers)], [names[i] for i in order]


def natural_order(name: str) -> tuple[str, bool, int, str]:
    """Return a sort key for a class named `"DATASET/LABEL"`."""
    dataset, _, label = name.partition("/")
    number = label.isdecimal()
    return dataset, not number, int(label) if number else 0, label


def _averaged(steps: Tensor, length: int) -> Tensor:
    """Shorten longer series to `length` steps by adaptive average pooling."""
    short = steps[:, :length].clone()
    lengths = step_lengths(steps)
    for long in lengths[lengths > length].unique().tolist():
        rows = lengths == long
        cut = steps[rows, :long].mT  # (rows, F, long)
        short[rows] = torch.nn.functional.adaptive_avg_pool1d(cut, length).mT
    return short
