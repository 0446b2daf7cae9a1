"""Whether a learner takes the tensors that its inputs give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import (
    EncodedSequence,
    FrozenEncoder,
    MemorySeq2Seq,
    Seq2Seq,
    SequenceEncoder,
    SeriesEncoder,
)
from l2l_rnn.training.inputs import Inputs, PairInputs, SeriesInputs, TextInputs


def check_inputs(who: str, learner: nn.Module, inputs: Inputs | None) -> None:
    """Check that the encoders of a learner take what its inputs give.

    Raises:
        ArgumentError: they take another kind of input, or another size.
    """
    for module in learner.modules():
        if isinstance(module, (MemorySeq2Seq, Seq2Seq)):
            _check_translator(who, module, inputs)
    for encoder in _encoders(learner):
        ids = _ids(encoder)
        if ids is not None:
            own = f"token ids below vocab_size={ids}"
        else:
            own = _series(_channels(encoder))
        if isinstance(inputs, SeriesInputs):
            given = _series(inputs.input_size)
            fits = given == own or (ids is None and _channels(encoder) is None)
        elif isinstance(inputs, PairInputs):
            given, fits = "pairs of texts", False
        elif isinstance(inputs, TextInputs):
            size = _size(inputs.pipeline)
            given = "token ids" if size is None else f"token ids below vocab_size={size}"
            fits = ids is not None and (size is None or size <= ids)
            if isinstance(encoder, FrozenEncoder):  # other ids would be read as other words
                fits = size in (None, ids)
        else:
            continue
        if not fits:
            raise ArgumentError(
                f"{who}: inputs must give what the learner takes, {own}, got {given}; use a model "
                "for this kind of input, or the inputs that it was trained with"
            )


def _check_translator(who: str, model: Any, inputs: Inputs | None) -> None:
    """Check that a sequence-to-sequence model takes what its inputs give."""
    if inputs is None:
        return
    own: Any = (*model.vocab_sizes, model.end)
    given: Any = type(inputs).__name__
    if isinstance(inputs, PairInputs):
        given = (*(_size(one.pipeline) for one in (inputs.source, inputs.target)), inputs.end_id)
        if given == own and inputs.target.max_length <= model.max_length:
            return
        given = f"{given} with max_length={inputs.target.max_length} of the targets"
    raise ArgumentError(
        f"{who}: a {type(model).__name__} takes PairInputs whose numbers of source and target ids "
        f"and id of the end are {own}, with at most max_length={model.max_length}, got {given}; "
        "use the inputs that it was trained with"
    )


def _encoders(module: nn.Module) -> Iterator[Any]:
    """Yield the encoders that read the inputs, and not those that read another one's states."""
    if isinstance(module, (FrozenEncoder, SequenceEncoder, SeriesEncoder)):
        yield module
    elif isinstance(module, EncodedSequence):
        yield from _encoders(module.frozen)
    else:
        for child in module.children():
            yield from _encoders(child)


def _ids(encoder: Any) -> int | None:
    """Return the number of token ids that an encoder reads; None if it reads series."""
    if isinstance(encoder, FrozenEncoder):
        return encoder.vocab_size
    if isinstance(encoder, SeriesEncoder):
        return None
    return None if encoder.embedding is None else int(encoder.embedding.num_embeddings)


def _channels(encoder: Any) -> int | None:
    """Return the number of channels that an encoder of series reads; None for any number."""
    if isinstance(encoder, SeriesEncoder):
        return encoder.input_size
    return int(encoder.recurrence.input_size)


def _series(channels: int | None) -> str:
    return f"series of {'any number of' if channels is None else channels} channels"


def _size(pipeline: Any) -> int | None:
    try:
        return len(pipeline)
    except TypeError:  # a function, or torchtext's transforms without a vocabulary
        return None
