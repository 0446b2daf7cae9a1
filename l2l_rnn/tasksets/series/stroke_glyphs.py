"""Drawings of characters, read from the Hershey vector fonts, and which of them look alike."""

from __future__ import annotations

import functools
import string
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.optional import require

MODES = ("train", "validation", "test")
TURNS = (0, 90, 180, 270)

# The package ships some drawings under several names; these fonts draw no letter alike.
LATIN_FONTS = (
    *("futural", "futuram", "rowmant", "timesr", "timesi", "timesib", "scripts", "scriptc"),
    *("gothgbt", "gothgrt", "gothitt"),
)
GREEK_FONTS = ("greeks", "greekc")

_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"  # A .. X of the Greek fonts, and a .. x likewise
_CYRILLIC = {  # a capital and its small letter, drawn alike, under these codes of the font
    **{"Б": "Bb", "Д": "Dd", "Ж": "Hh", "И": "Ii", "Л": "Ll", "Ф": "Ff", "Ц": "`%", "Ч": "Jj"},
    **{"Ш": "Qq", "Э": "Cc", "Ы": "$&", "Ю": "Uu", "Я": "^}", "Ъ": "]|", "Ь": "_~"},
}
# From A on and from # on; a space stands for what is drawn twice, or is too simple.
_JAPANESE = {
    "A": "あ うえおかき け さ すせそたち てとなにぬね はひふ ほまみ"
    "むめもや ゆ よら るれろわゐ ゑを",
    "#": "日円年大国 東中本京出時上者    四五六七 九",
}

# Characters that look alike, upright or turned, in one font or in several, stand in one split; a
# character that looks as another one does, in every font, is not among them (Greek capital alpha).
LOOK_ALIKES = {
    "train": (
        *("lIij1tTfFsSJrL7τ", "nuUΠπημИNZz2Ц", "WwMmE3ΣεШωξ", "oO0QDΘθΩ", "Xx", "ζ", "Ξ", "Ж"),
        *("Д", "Ю", "ЪЬЫ", "".join("".join(_JAPANESE.values()).split())),
    ),
    "validation": ("AVvλΔЛ", "Kk", "h4Ч", "B8Бβ", "H", "RЯ", "Ψψ"),
    "test": ("CcGeaαЭ", "bdpqP69gyY5ργΥσδ", "Φφ", "Ф"),
}
SPLIT_OF = {
    character: mode
    for mode, groups in LOOK_ALIKES.items()
    for group in groups
    for character in group
}

# Turned by a quarter, they are themselves or another character; by a half, likewise.
_ALIKE_AT_A_QUARTER = "OoXxNZ"
_ALIKE_AT_A_HALF = "HISszl08nubqdp69ΘΞΦФЖИ中日"

CAP_HEIGHT = 21.0  # units from the base line to the cap line of every font
_MIDDLE = -1.5  # between the two; y runs downward in the fonts


class Drawing(NamedTuple):
    """One character as one font draws it.

    Attributes:
        font: the name of the font.
        points: x to the right and y upward, in heights of a capital, about its centre; and 1 where
            the pen lifts after the point, else 0.
    """

    font: str
    points: NDArray[np.float64]


def turns(character: str) -> tuple[int, ...]:
    """Return the angles at which a character is a class of its own, in degrees."""
    if character in _ALIKE_AT_A_QUARTER:
        return TURNS[:1]
    return TURNS[:2] if character in _ALIKE_AT_A_HALF else TURNS


def script(character: str) -> str:
    """Return the script that a character is named after."""
    if character in _CYRILLIC:
        return "cyrillic"
    if character in string.ascii_letters + string.digits:
        return "latin"
    return "greek" if character in _GREEK + _GREEK.lower() else "japanese"


@functools.lru_cache(maxsize=1)
def drawings() -> dict[str, tuple[Drawing, ...]]:
    """Read every character's drawings, of which no two are alike.

    Raises:
        MissingExtraError: Hershey-Fonts is not installed.
    """
    module = require("HersheyFonts", extra="strokes", purpose="the task set 'strokes'")
    reader = module.HersheyFonts()
    glyphs = {}
    for font in (*LATIN_FONTS, *GREEK_FONTS, "cyrillic", "japanese"):
        reader.load_default_font(font)
        glyphs[font] = reader.all_glyphs
    found: dict[str, tuple[Drawing, ...]] = {}
    seen: set[bytes] = set()
    for character in sorted(SPLIT_OF):
        kept = []
        for font, code in _codes(character):
            points = _points(glyphs[font][code].strokes)
            if points.tobytes() not in seen:  # a plain l is a plain I
                seen.add(points.tobytes())
                kept.append(Drawing(font, points))
        found[character] = tuple(kept)
    return found


def _codes(character: str) -> list[tuple[str, str]]:
    """Which fonts draw a character, and under which code."""
    kind = script(character)
    if kind == "latin":
        return [(font, character) for font in LATIN_FONTS]
    if kind == "greek":
        first, letters = ("A", _GREEK) if character in _GREEK else ("a", _GREEK.lower())
        code = chr(ord(first) + letters.index(character))
        return [(font, code) for font in GREEK_FONTS]
    if kind == "cyrillic":
        return [("cyrillic", code) for code in _CYRILLIC[character]]
    first, row = next(item for item in _JAPANESE.items() if character in item[1])
    return [("japanese", chr(ord(first) + row.index(character)))]


def _points(strokes: list[list[tuple[int, int]]]) -> NDArray[np.float64]:
    points = np.array([point for stroke in strokes for point in stroke], dtype=np.float64)
    centre = (points[:, 0].min() + points[:, 0].max()) / 2
    lifts = np.zeros(len(points))
    lifts[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    x, y = points[:, 0] - centre, _MIDDLE - points[:, 1]
    return np.stack([x / CAP_HEIGHT, y / CAP_HEIGHT, lifts], -1)
