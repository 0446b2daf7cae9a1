"""Whether a learner takes the tensors that its inputs give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.training.inputs import Inputs, SeriesInputs, TextInputs


def check_inputs(who: str, learner: nn.Module, inputs: Inputs | None) -> None:
    """Check that the encoders of a learner take what its inputs give.

    Raises:
        ArgumentError: they take another kind of input, or another size.
    """
    for encoder in _encoders(learner):
        if encoder.embedding is not None:
            own = f"token ids below vocab_size={encoder.embedding.num_embeddings}"
        else:
            own = f"series of {encoder.recurrence.input_size} channels"
        if isinstance(inputs, SeriesInputs):
            given = f"series of {inputs.input_size} channels"
            fits = given == own
        elif isinstance(inputs, TextInputs):
            size = _size(inputs.pipeline)
            given = "token ids" if size is None else f"token ids below vocab_size={size}"
            fits = encoder.embedding is not None and (
                size is None or size <= encoder.embedding.num_embeddings
            )
        else:
            continue
        if not fits:
            raise ArgumentError(
                f"{who}: inputs must give what the learner takes, {own}, got {given}; use a model "
                "for this kind of input, or the inputs that it was trained with"
            )


def _encoders(learner: nn.Module) -> Iterator[SequenceEncoder]:
    for module in learner.modules():
        if isinstance(module, SequenceEncoder):
            yield module


def _size(pipeline: Any) -> int | None:
    try:
        return len(pipeline)
    except TypeError:  # a function, or torchtext's transforms without a vocabulary
        return None
