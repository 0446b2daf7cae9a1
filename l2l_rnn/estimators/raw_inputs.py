"""Raw inputs of users: converted by a model, checked, and kept as they were passed."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.data.series.dataframes import is_frame
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.estimators.personal import series_of
from l2l_rnn.optional import require
from l2l_rnn.training import Pretrained, TextInputs


def read_inputs(who: str, model: Pretrained, X: Any) -> tuple[Tensor, tuple[Any, ...]]:
    """Return inputs as the learner takes them, and each one as it was passed.

    Raises:
        ArgumentTypeError, ArgumentError, ShapeError, DataError: the inputs are not of the kind that
            the model takes, or one is empty or has missing values.
    """
    X = _dense(who, X)
    texts = isinstance(model.inputs, TextInputs)
    if not texts:
        X = _series(who, X)
    with outside_inference_mode():
        x = model.inputs(X)
    return x, tuple(_rows(X, x))


def check_columns(estimator: Any, X: Any, *, reset: bool) -> None:
    """Check that two-dimensional inputs have the columns of those in `fit`.

    Args:
        estimator: the estimator, which keeps the number and the names of the columns.
        X: the inputs.
        reset: whether this is `fit`, which defines the columns.

    Raises:
        ArgumentError: the number or the names of the columns differ.
    """
    validation = require(
        "sklearn.utils.validation", extra="estimators", purpose="l2l_rnn.estimators"
    )
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    if _is_rectangle(X):
        X = np.empty((len(X), len(X[0])))
    if len(getattr(X, "shape", ())) == 2 and (reset or hasattr(estimator, "n_features_in_")):
        try:
            validation.validate_data(estimator, X, skip_check_array=True, reset=reset)
        except ValueError as error:
            raise ArgumentError(str(error)) from error


def _is_rectangle(X: Any) -> bool:
    """Return whether the inputs are lists of numbers of one length, not arrays."""
    return (
        isinstance(X, (list, tuple))
        and all(isinstance(row, (list, tuple)) for row in X)
        and len({len(row) for row in X}) == 1
        and np.ndim(X[0][0] if X[0] else 0) == 0
    )


def _dense(who: str, X: Any) -> Any:
    if not hasattr(X, "__len__") and not hasattr(X, "__array__"):
        raise ArgumentTypeError(
            f"{who}: X must be a list, an array or a data frame of inputs, got "
            f"{type(X).__name__}; pass list(X)"
        )
    if isinstance(X, (set, frozenset)):
        raise ArgumentTypeError(
            f"{who}: X must be a list, an array or a data frame of inputs, got "
            f"{type(X).__name__}, which has no order of rows; pass a list, such as sorted(X)"
        )
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise ArgumentTypeError(
            f"{who}: X must be dense, got a sparse {type(X).__name__}; use X.toarray()"
        )
    foreign = not isinstance(X, (np.ndarray, list, tuple, Tensor, str, bytes))
    if foreign and hasattr(X, "__array__") and not hasattr(X, "iloc"):
        X = np.asarray(X)
    if isinstance(X, np.memmap):
        X = np.asarray(X)
    return X


def _series(who: str, X: Any) -> Any:
    """Return numeric inputs of one row each as a float array, and other formats as they are."""
    if is_frame(X) and X.index.nlevels == 1 and len(X) and all(map(_is_number, X.iloc[0])):
        X = X.to_numpy()  # one series per row
    if hasattr(X, "iloc") and getattr(X, "ndim", 2) == 1:  # a Series of arrays
        X = list(X)
    if not isinstance(X, np.ndarray):
        return X
    if X.dtype.kind == "c":
        raise ArgumentError(f"{who}: Complex data not supported, got {X.dtype}; use X.real")
    if X.dtype.kind == "O" and X.ndim == 1 and len(X) and np.ndim(X[0]) > 0:
        return list(X)
    if X.dtype.kind == "O":
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(
                f"{who}: X must hold numbers, got an array of objects ({error}); convert it"
            ) from error
    if X.ndim < 2:
        raise ShapeError(
            f"{who}: X must be (B, S) or (B, F, S), got shape {X.shape}; Reshape your data with "
            "X.reshape(1, -1) if it is one series"
        )
    if 0 in X.shape:
        raise ArgumentError(
            f"{who}: Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
            f"(shape={X.shape}) while a minimum of 1 is required; pass some"
        )
    return X


def _is_number(cell: Any) -> bool:
    return np.ndim(cell) == 0 and not isinstance(cell, str)


def _rows(X: Any, x: Tensor) -> list[Any]:
    """Return each input as it was passed, or else as an array `(S, F)`."""
    if is_frame(X) and len(X) == len(x):
        return list(X.iloc[:, 0]) if X.shape[1] == 1 else list(X.to_numpy())
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OU":
        X = X[:, 0]
    if isinstance(X, np.ndarray) and X.dtype.kind in "OU":
        X = X.tolist()
    if hasattr(X, "__len__") and len(X) == len(x) and not isinstance(X, str):
        return list(X)
    return series_of(x) if x.is_floating_point() else list(x)
