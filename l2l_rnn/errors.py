"""The exceptions of l2l_rnn: one family, so that a caller can catch all of it or one kind.

A message is one sentence that names who complains, what was expected, what came, and what to do.
"""

from __future__ import annotations


class L2LRNNError(Exception):
    """Base class of every error that l2l_rnn raises on purpose."""


class ArgumentError(L2LRNNError, ValueError):
    """An argument has a value that cannot be used."""


class ArgumentTypeError(L2LRNNError, TypeError):
    """An argument has a type that cannot be used."""


class ShapeError(ArgumentError):
    """A tensor has a shape that does not fit."""


class UnknownNameError(ArgumentError, KeyError):
    """A name is not in a registry; the message lists the near misses and the known names."""

    __str__ = Exception.__str__  # KeyError's would show the message in quotes


class DataError(ArgumentError):
    """A dataset cannot serve what is asked of it, such as more ways than it has classes."""


class AdaptationError(ArgumentError):
    """A learner cannot take the adaptation step; it is left as it was."""


class DerivativeError(L2LRNNError, RuntimeError):
    """A derivative of too high an order was asked for."""


class MissingExtraError(L2LRNNError, ImportError):
    """An optional package is needed and not installed; the message gives the pip line."""
