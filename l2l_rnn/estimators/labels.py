"""Class names of users: checked, numbered, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import shown
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.files import parse_json
from l2l_rnn.optional import require

Labels = NDArray[Any]

_KINDS = {"U": "str", "b": "bool", "i": "int", "u": "int", "f": "float"}


def checked_labels(who: str, y: Any, count: int | None = None, name: str = "y") -> Labels:
    """Return class names as an array of str, int, bool or whole float, `(B,)`.

    Integers stay integers, whatever types they are mixed of. Texts are compared by their code
    points, so that different Unicode forms of a text are different classes.

    Args:
        who: begins the error message.
        y: the class names.
        count: the number of inputs that they belong to; None for any.
        name: the name of the argument.

    Raises:
        ArgumentTypeError: they are of another type, or of several, or are not in a list or array.
        DataError: one is missing or infinite; the message names the row.
        ArgumentError: there are none, they are real numbers, or an integer is too large. Or a
            text ends with a NUL character, which numpy's arrays of texts do not keep.
        ShapeError: there are more or fewer than inputs.
    """
    purpose = "l2l_rnn.estimators"
    if y is None:
        raise ArgumentError(
            f"{who}: requires y to be passed, but the target y is None; pass the class of each "
            "input"
        )
    validation = require("sklearn.utils.validation", extra="estimators", purpose=purpose)
    multiclass = require("sklearn.utils.multiclass", extra="estimators", purpose=purpose)
    _check_container(who, name, y)
    y = _without_extension(y)
    _check_present(who, name, y)
    if isinstance(y, (list, tuple)):  # numpy would turn numbers among texts into texts
        kinds = {_kind(value) for value in y}
        _check_kinds(who, name, y, kinds)
        if kinds <= {"i", "u"} and np.array(y).dtype.kind not in kinds:
            y = integers(who, np.array(y, object))
    try:
        labels = validation.column_or_1d(y, warn=True)
    except ValueError as error:
        raise ShapeError(
            f"{who}: {name} must be a list or array of one class name per input, got other "
            f"dimensions ({error}); pass one column"
        ) from error
    if count is not None and len(labels) != count:
        raise ShapeError(
            f"{who}: {name} must have one class name per input, {count} in all, got "
            f"{len(labels)}; X and y have different lengths"
        )
    kinds = {_kind(value) for value in labels} if labels.dtype.kind == "O" else {labels.dtype.kind}
    _check_kinds(who, name, labels.tolist(), kinds)
    if "U" in kinds:
        given = y if isinstance(y, (list, tuple)) else labels.tolist()
        bad = [value for value in given if isinstance(value, str) and value.endswith("\0")]
        if bad:
            raise ArgumentError(
                f"{who}: a class name must not end with a NUL character, got {bad[0]!r:.60}; "
                "remove it"
            )
    if "f" in kinds:  # of others, it would only warn that there are few examples of each class
        multiclass.check_classification_targets(labels)
    return labels


def _check_kinds(who: str, name: str, labels: Sequence[Any], kinds: set[str]) -> None:
    named = {_KINDS.get(kind) for kind in kinds}
    if len(named) > 1 or None in named:
        types = ", ".join(sorted({type(value).__name__ for value in labels}))
        each = [_KINDS.get(_kind(value)) for value in labels]
        row = next((n for n, kind in enumerate(each) if kind is None or kind != each[0]), 0)
        first = f" (row {row} of {name} is {shown(labels[row]):.60})" if each else ""
        raise ArgumentTypeError(
            f"{who}: class names must be all str, all int, all bool or all whole floats, got "
            f"{types}{first}; convert them"
        )


def _check_container(who: str, name: str, y: Any) -> None:
    """Check that class names are in a list or array, which has an order and can be read again."""
    fix = None
    if isinstance(y, Mapping):
        fix = f"pass list({name}.values()), in the order of X"
    elif isinstance(y, Set):
        fix = "pass a list in the order of X, because a set has no order of rows"
    elif isinstance(y, (str, bytes)) or np.isscalar(y) or getattr(y, "shape", None) == ():
        fix = f"pass a list, such as [{shown(y):.40}] for one input"
    elif not hasattr(y, "__len__") and not hasattr(y, "__array__"):
        fix = f"pass list({name})"
    if fix is not None:
        raise ArgumentTypeError(
            f"{who}: {name} must be a list or array of one class name per input, got "
            f"{type(y).__name__}; {fix}"
        )


def _check_present(who: str, name: str, y: Any) -> None:
    """Check that no class name is missing or infinite; scikit-learn's words are in the message."""
    if getattr(getattr(y, "dtype", None), "kind", "O") in ("U", "S", "b", "i", "u"):
        return
    values = y if isinstance(y, (list, tuple)) else np.asarray(y, dtype=object).ravel()
    for row, value in enumerate(values):
        real = isinstance(value, (float, np.floating))
        if (
            value is None
            or type(value).__name__ in ("NAType", "NaTType")
            or (real and np.isnan(value))
        ):
            raise DataError(
                f"{who}: row {row} of {name} must hold a class name, got {shown(value)} (Input "
                f"{name} contains NaN); drop the row from X and {name}, or fill it in"
            )
        if real and np.isinf(value):
            raise DataError(
                f"{who}: row {row} of {name} must hold a class name, got {shown(value)} (Input "
                f"{name} contains infinity or a value too large for dtype('float64').); drop the "
                f"row from X and {name}, or replace it"
            )


def _without_extension(y: Any) -> Any:
    """Return pandas columns of its own types, such as nullable integers, as arrays or lists."""
    columns = y.iloc[:, 0] if getattr(y, "ndim", 1) == 2 and hasattr(y, "iloc") else y
    dtype = getattr(columns, "dtype", None)
    if isinstance(dtype, np.dtype) or not hasattr(columns, "to_numpy"):
        return y
    if getattr(dtype, "kind", "O") not in "biu" or y.shape[1:] not in ((), (1,)):
        return y
    plain = columns.tolist()
    if columns is y or columns.isna().any():
        return plain
    return np.array(plain, columns.dtype.numpy_dtype).reshape(
        -1, 1
    )  # scikit-learn warns of the axis


def integers(who: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return integers of any types as one array of int64, or uint64 if they need it.

    Raises:
        ArgumentError: no type of integers holds all of them.

    Example:
        >>> integers("f", np.array([1, np.uint64(2)], object))
        array([1, 2])
    """
    plain = [int(value) for value in values.ravel()]
    for dtype in (np.int64, np.uint64):
        limits = np.iinfo(dtype)
        if all(limits.min <= value <= limits.max for value in plain):
            return np.array(plain, dtype).reshape(values.shape)
    raise ArgumentError(
        f"{who}: integer class names must fit into int64, or all into uint64, got "
        f"{min(plain)} and {max(plain)}; convert them to str"
    )


def merged(who: str, before: Labels, labels: Labels) -> Labels:
    """Return all different class names: those from before in their order, then new ones, sorted.

    Raises:
        ArgumentTypeError: the new ones are of another type.
        ArgumentError: no type of integers holds all of them.
    """
    new = np.unique(labels)
    if not len(before):
        return new
    one, other = (_KINDS[_kind_of(names)] for names in (before, new)) if len(new) else ("", "")
    if one != other:
        raise ArgumentTypeError(
            f"{who}: class names must be {one} as in earlier calls, got {other}; convert them"
        )
    if _as_floats(before, new):
        both = integers(who, np.concatenate([before.astype(object), new.astype(object)]))
        before, new = both[: len(before)], both[len(before) :]
    return np.concatenate([before, new[~np.isin(new, before)]])


def missing(labels: Labels, names: Labels) -> list[Any]:
    """Return the labels that are not among the names."""
    if not _as_floats(labels, names):
        return labels[~np.isin(labels, names)].tolist()
    held = set(names.tolist())
    return [label for label in labels.tolist() if label not in held]


def _as_floats(one: Labels, other: Labels) -> bool:
    """Return whether numpy would compare integers of two arrays as floats, which are not exact."""
    return {one.dtype.kind, other.dtype.kind} == {"i", "u"} and (
        np.result_type(one, other).kind == "f"
    )


def numbered(labels: Labels, names: Labels) -> NDArray[np.int64]:
    """Return the position of each label in `names`, which has all of them."""
    if _as_floats(labels, names):
        labels = labels.astype(names.dtype)
    order = np.argsort(names)
    return order[np.searchsorted(names, labels, sorter=order)]


def with_label(labels: Labels, rows: NDArray[np.bool_], label: Any) -> Labels:
    """Return labels with another one in some rows.

    Example:
        >>> with_label(np.array(["a", "b"]), np.array([True, False]), "unknown")
        array(['unknown', 'b'], dtype='<U7')
        >>> with_label(np.array([1, 2]), np.array([True, False]), "unknown")
        array(['unknown', 2], dtype=object)
    """
    other = np.asarray(label)
    same = other.ndim == 0 and _KINDS.get(other.dtype.kind) == _KINDS.get(labels.dtype.kind)
    same = same and not _as_floats(labels, other)
    found = labels.astype(np.result_type(labels, other) if same else object)
    found[rows] = label
    return found


def to_json(names: Labels) -> str:
    """Return class names as JSON.

    Example:
        >>> to_json(np.array(["a", "b"]))
        '{"dtype": "str", "names": ["a", "b"]}'
    """
    kind = names.dtype.kind
    dtype = {"O": "object", "U": "str"}.get(kind, names.dtype.str)
    return json.dumps({"dtype": dtype, "names": names.tolist()})


def from_json(who: str, text: str) -> Labels:
    """Return the class names that `to_json` wrote.

    Raises:
        DataError: the text is something else.
    """
    try:
        content = parse_json(text)
        dtype = {"object": object, "str": str}.get(content["dtype"]) or np.dtype(content["dtype"])
        names = np.array(content["names"], dtype=dtype)
        if names.ndim != 1 or len({_kind(name) for name in content["names"]}) > 1:
            raise ValueError("names must be a list of one type")
        if np.dtype(dtype).kind not in {*_KINDS, "O"}:
            raise ValueError(f"the dtype {content['dtype']!r:.20} is not allowed")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise DataError(
            f"{who}: class names must be JSON of to_json(), got {text!r:.40} ({error}); save the "
            "user again"
        ) from error
    return names


def _kind_of(names: Labels) -> str:
    return _kind(names[0]) if names.dtype.kind == "O" else names.dtype.kind


def _kind(value: Any) -> str:
    """Return the kind of a class name, as numpy's letter."""
    if isinstance(value, str):
        return "U"
    if isinstance(value, int) and not isinstance(value, bool):
        return "i"  # of any size
    return np.asarray(value).dtype.kind
