"""The exceptions of l2l_rnn, with one base class.

An error message is one sentence: who raises it, what was expected, what was passed, and the fix.
"""

from __future__ import annotations


class L2LRNNError(Exception):
    """Base class of every error that l2l_rnn raises on purpose."""


class ArgumentError(L2LRNNError, ValueError):
    """An argument has an invalid value."""


class ArgumentTypeError(L2LRNNError, TypeError):
    """An argument has an invalid type."""


class ShapeError(ArgumentError):
    """A tensor has the wrong shape."""


class UnknownNameError(ArgumentError, KeyError):
    """A name is unknown; the message lists similar names and all known ones."""

    __str__ = Exception.__str__  # KeyError's would show the message in quotes


class DataError(ArgumentError):
    """A dataset cannot provide what was requested, such as more ways than it has classes."""


class AdaptationError(ArgumentError):
    """A learner cannot take the adaptation step; it stays unchanged."""


class DerivativeError(L2LRNNError, RuntimeError):
    """A derivative of an unsupported order was requested."""


class MissingExtraError(L2LRNNError, ImportError):
    """An optional package is missing; the message gives the pip command."""


class ExportError(L2LRNNError, RuntimeError):
    """A tool of torch cannot take a layer; the message says what to do instead."""


class CheckpointError(L2LRNNError, OSError):
    """A checkpoint cannot be written; the state of training and earlier checkpoints are intact."""


class CheckpointWarning(UserWarning):
    """A checkpoint is skipped or cannot be restored in full; the message says which, and why."""


class ConversionWarning(UserWarning):
    """A recurrent layer stays as it is in a converted model; the message says which, and why."""


class BodyWarning(UserWarning):
    """A simulated body is outside the range of drawn bodies; the message says in what."""
