"""Random splits of series into disjoint sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator

from l2l_rnn.checks import check_number
from l2l_rnn.errors import ArgumentError, DataError


def split_series(
    series: Sequence[Any],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    generator: Generator | None = None,
) -> tuple[list[Any], ...]:
    """Split series at random into disjoint sets, such as train, validation and test.

    Identical series go to the same set.

    Args:
        series: arrays or tensors.
        fractions: relative size of each set, approximately. Every set gets at least one series.
        generator: random number generator; None uses torch's global generator.

    Raises:
        ArgumentError: the fractions are not positive numbers.
        DataError: there are fewer distinct series than fractions.

    Example:
        >>> train, validation, test = split_series([torch.randn(9) for _ in range(10)])
        >>> len(train), len(validation), len(test)
        (6, 2, 2)
    """
    if np.ndim(fractions) != 1 or not len(fractions):
        raise ArgumentError(
            f"split_series: fractions must have one number for each set, got {fractions!r}; pass a "
            "sequence such as (0.6, 0.2, 0.2)"
        )
    weights = np.array([check_number("split_series", "a fraction", f, above=0) for f in fractions])
    equal: dict[tuple[Any, ...], list[int]] = {}
    for i, values in enumerate(series):
        array = np.asarray(values)
        equal.setdefault((array.shape, array.dtype.str, array.tobytes()), []).append(i)
    kinds = list(equal.values())
    if len(kinds) < len(weights):
        raise DataError(
            f"split_series: expected at least {len(weights)} distinct series, got {len(kinds)}; "
            "pass more series or fewer fractions"
        )
    order = torch.randperm(len(kinds), generator=generator).tolist()
    bounds = np.rint(np.cumsum(weights) / weights.sum() * len(kinds)).astype(int)
    for k in range(len(bounds)):  # at least one for this set, and one left for each later set
        low = (bounds[k - 1] if k else 0) + 1
        bounds[k] = min(max(bounds[k], low), len(kinds) - (len(bounds) - 1 - k))
    parts = np.split(np.array(order), bounds[:-1])
    return tuple([series[i] for i in sorted(j for k in part for j in kinds[k])] for part in parts)
