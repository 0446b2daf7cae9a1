"""What the task sets of text share: the arguments they check alike, and texts as padded ids."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from l2l_rnn.data.text.pipelines import Pipeline
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from l2l_rnn.registry import did_you_mean


def encoded(texts: Sequence[str], vocabulary: Pipeline, length: int) -> Tensor:
    """Return the ids of each text, its first `length`, padded with 0 to that.

    Example:
        >>> encoded(["ab", "a"], CharacterVocabulary(["ab"]), 3)
        tensor([[2, 3, 0],
                [2, 0, 0]])
    """
    sequences = torch.full((len(texts), length), CharacterVocabulary.PADDING, dtype=torch.int64)
    rows = sequences.numpy()
    for row, text in zip(rows, texts, strict=True):
        ids = vocabulary(text)[:length]
        row[: len(ids)] = ids
    return sequences


def check_choice(who: str, what: str, value: object, known: Iterable[str]) -> None:
    """Raise an UnknownNameError, with the near misses, unless `value` is one of `known`."""
    known = tuple(known)
    if value not in known:
        raise UnknownNameError(
            f"{who}: unknown {what} {value!r}{_hint(str(value), known)} Known: {', '.join(known)}"
        )


def checked_count(who: str, what: str, value: object, least: int = 1) -> int:
    """Return `value` as an int, or raise an ArgumentError unless it is one of `least` or more."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = least - 1
    if count < least or isinstance(value, bool):
        raise ArgumentError(
            f"{who}: {what} must be an integer of {least} or more, got {value!r}; "
            "leave it at its default"
        )
    return count


def check_vocabulary(who: str, vocabulary: object) -> None:
    """Raise an ArgumentTypeError unless `vocabulary` is a CharacterVocabulary or None."""
    if vocabulary is not None and not isinstance(vocabulary, CharacterVocabulary):
        raise ArgumentTypeError(
            f"{who}: vocabulary must be a CharacterVocabulary or None, got "
            f"{type(vocabulary).__name__}; build one with CharacterVocabulary(texts)"
        )


def check_pipeline(who: str, vocabulary: object) -> None:
    """Raise an ArgumentTypeError unless `vocabulary` is None or maps texts to ids, and has a size.

    Any of the text pipelines does, such as a `WordVocabulary`.
    """
    sized = callable(vocabulary) and hasattr(vocabulary, "__len__")
    if vocabulary is not None and (not sized or isinstance(vocabulary, type)):
        raise ArgumentTypeError(
            f"{who}: vocabulary must be a text pipeline with a size, such as a "
            f"CharacterVocabulary, or None, got {type(vocabulary).__name__}; build one with "
            "CharacterVocabulary(texts)"
        )


def checked_codes(
    who: str,
    held_out: Sequence[str] | None,
    known: Callable[[], Sequence[str]],
    kind: str,
    by_english_name: Callable[[], Mapping[str, str]] = dict,
) -> tuple[str, ...] | None:
    """Return the codes of `held_out`, sorted, or raise unless each of them is known.

    Args:
        who: begins the message.
        held_out: codes of languages, or None.
        known: gives the codes there are.
        kind: what they are, to end the message, such as "CLDR codes".
        by_english_name: gives English name, in lower case -> code, for a hint.

    Raises:
        ArgumentTypeError: `held_out` is no sequence of str.
        ArgumentError: it is empty.
        UnknownNameError: a code is not known.
    """
    if held_out is None:
        return None
    if isinstance(held_out, str):
        raise ArgumentTypeError(
            f"{who}: held_out must be a sequence of codes, got the str {held_out!r}; "
            f"pass ({held_out!r},)"
        )
    if not isinstance(held_out, Iterable):
        raise ArgumentTypeError(
            f"{who}: held_out must be a sequence of codes, got {held_out!r}; pass ('fi',), say"
        )
    codes = tuple(held_out)
    if not all(isinstance(code, str) for code in codes):
        raise ArgumentTypeError(
            f"{who}: held_out must hold codes such as 'fi', got {codes!r}; give each code as a str"
        )
    if not codes:
        raise ArgumentError(
            f"{who}: held_out must name at least one language, got none; "
            "pass None for the usual split"
        )
    there = known()
    for code in codes:
        if code not in there:
            by_name = by_english_name()
            match = difflib.get_close_matches(code.lower(), by_name, n=1, cutoff=0.8)
            hint = did_you_mean([by_name[match[0]]]) if match else _hint(code, there)
            raise UnknownNameError(
                f"{who}: unknown language {code!r} in held_out{hint} "
                f"Known: the {kind} of {len(there)} languages, such as 'fi' and 'sw'"
            )
    return tuple(sorted(set(codes)))


def _hint(word: str, known: Iterable[str]) -> str:
    plain = {name.lower().replace("_", "-"): name for name in known}
    word = word.lower().replace("_", "-")
    starts = [name for name in plain if word and name.startswith(word)]
    near = starts[:3] or difflib.get_close_matches(word, plain, n=3)
    return did_you_mean(plain[name] for name in near)
