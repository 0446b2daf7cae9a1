"""Argument checks shared by the text task sets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from l2l_rnn.registry import did_you_mean


def check_vocabulary(who: str, vocabulary: object, name: str = "vocabulary") -> None:
    """Raise an ArgumentTypeError unless `vocabulary` is a CharacterVocabulary or None."""
    if vocabulary is not None and not isinstance(vocabulary, CharacterVocabulary):
        raise ArgumentTypeError(
            f"{who}: {name} must be a CharacterVocabulary or None, got "
            f"{type(vocabulary).__name__}; build one with CharacterVocabulary(texts)"
        )


def check_pipeline(who: str, vocabulary: object) -> None:
    """Raise an ArgumentTypeError unless `vocabulary` is None or a text pipeline with a length.

    The text pipelines of this package, such as `WordVocabulary`, have a length.
    """
    sized = callable(vocabulary) and hasattr(vocabulary, "__len__")
    if vocabulary is not None and (not sized or isinstance(vocabulary, type)):
        raise ArgumentTypeError(
            f"{who}: vocabulary must be a text pipeline with a length, such as a "
            f"CharacterVocabulary, or None, got {type(vocabulary).__name__}; build one with "
            "CharacterVocabulary(texts)"
        )


def check_language(who: str, language: object, known: Sequence[str]) -> str:
    """Return `language` if it is one of the known codes.

    Raises:
        UnknownNameError: it is not; the message suggests similar codes.
    """
    if not isinstance(language, str) or language not in known:
        raise UnknownNameError(
            f"{who}: unknown language {language!r}{_hint(str(language), known)} "
            f"Known: {', '.join(known)}"
        )
    return language


def check_held_out(
    who: str,
    held_out: Sequence[str] | None,
    known: Callable[[], Sequence[str]],
    kind: str,
    by_english_name: Callable[[], Mapping[str, str]] = dict,
) -> tuple[str, ...] | None:
    """Return the language codes in `held_out`, sorted and without repeats.

    Args:
        who: prefix of the error message.
        held_out: language codes, or None.
        known: returns the known codes.
        kind: description of the codes in the message, such as "CLDR codes".
        by_english_name: returns the code of each language by its English name in lower case, for a
            hint.

    Raises:
        ArgumentTypeError: `held_out` is not a sequence of str.
        ArgumentError: it is empty.
        UnknownNameError: a code is not known.
    """
    if held_out is None:
        return None
    if isinstance(held_out, str):
        raise ArgumentTypeError(
            f"{who}: held_out must be a sequence of language codes, got the str {held_out!r}; "
            f"pass ({held_out!r},)"
        )
    if not isinstance(held_out, Iterable):
        raise ArgumentTypeError(
            f"{who}: held_out must be a sequence of language codes, got {held_out!r}; "
            "pass one such as ('fi',)"
        )
    codes = tuple(held_out)
    if not all(isinstance(code, str) for code in codes):
        raise ArgumentTypeError(
            f"{who}: held_out must contain codes such as 'fi', got {codes!r}; "
            "pass each code as a str"
        )
    if not codes:
        raise ArgumentError(
            f"{who}: held_out must name at least one language, got none; "
            "pass None for the default split"
        )
    existing = known()
    for code in codes:
        if code not in existing:
            names = by_english_name()
            match = difflib.get_close_matches(code.lower(), names, n=1, cutoff=0.8)
            hint = did_you_mean([names[match[0]]]) if match else _hint(code, existing)
            raise UnknownNameError(
                f"{who}: unknown language {code!r} in held_out{hint} "
                f"Known: the {kind} of {len(existing)} languages, such as 'fi' and 'sw'"
            )
    return tuple(sorted(set(codes)))


def _hint(code: str, known: Iterable[str]) -> str:
    """Suggest codes that differ in case or separator only, or start with `code`."""
    plain = {name.lower().replace("_", "-"): name for name in known}
    code = code.lower().replace("_", "-")
    starts = [name for name in plain if code and name.startswith(code)]
    near = starts[:3] or difflib.get_close_matches(code, plain, n=3)
    return did_you_mean(plain[name] for name in near)
