"""Drawings of characters from the Hershey vector fonts, and groups of similar characters."""

from __future__ import annotations

import functools
import string
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.splits import Split
from l2l_rnn.optional import require

TURNS = (0, 90, 180, 270)

# Some drawings occur in several fonts of the package. These fonts have no letter in common.
LATIN_FONTS = (
    *("futural", "futuram", "rowmant", "timesr", "timesi", "timesib", "scripts", "scriptc"),
    *("gothgbt", "gothgrt", "gothitt"),
)
GREEK_FONTS = ("greeks", "greekc")

_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"  # codes A .. X of the Greek fonts; the small letters are a .. x
_CYRILLIC = {  # character -> codes in the font of the capital and the small letter, drawn alike
    **{"Б": "Bb", "Д": "Dd", "Ж": "Hh", "И": "Ii", "Л": "Ll", "Ф": "Ff", "Ц": "`%", "Ч": "Jj"},
    **{"Ш": "Qq", "Э": "Cc", "Ы": "$&", "Ю": "Uu", "Я": "^}", "Ъ": "]|", "Ь": "_~"},
}
# First code in the font -> characters of the following codes. A space skips a character that is
# drawn twice or is too simple.
_JAPANESE = {
    "A": "あ うえおかき け さ すせそたち てとなにぬね はひふ ほまみ"
    "むめもや ゆ よら るれろわゐ ゑを",
    "#": "日円年大国 東中本京出時上者    四五六七 九",
}

# Characters that look alike in at least one font, upright or rotated, are in the same split. A
# character that looks like another one in every font, such as Greek capital alpha, is left out.
LOOK_ALIKES: dict[Split, tuple[str, ...]] = {
    "train": (
        *("lIij1tTfFsSJrL7τ", "nuUΠπημИNZz2Ц", "WwMmE3ΣεШωξ", "oO0QDΘθΩ", "Xx", "ζ", "Ξ", "Ж"),
        *("Д", "Ю", "ЪЬЫ", "".join("".join(_JAPANESE.values()).split())),
    ),
    "validation": ("AVvλΔЛ", "Kk", "h4Ч", "B8Бβ", "H", "RЯ", "Ψψ"),
    "test": ("CcGeaαЭ", "bdpqP69gyY5ργΥσδ", "Φφ", "Ф"),
}
SPLIT_OF: dict[str, Split] = {
    character: split
    for split, groups in LOOK_ALIKES.items()
    for group in groups
    for character in group
}

# Characters that look like themselves or another character after a rotation of 90 or 180 degrees.
_ALIKE_AT_90 = "OoXxNZ"
_ALIKE_AT_180 = "HISszl08nubqdp69ΘΞΦФЖИ中日"

CAP_HEIGHT = 21.0  # font units from the baseline to the cap line, in every font
_MIDDLE = -1.5  # y between the two lines; y points down in the fonts


class Drawing(NamedTuple):
    """One character in one font.

    Attributes:
        font: name of the font.
        points: one row `(x, y, lift)` per point. x points right and y points up, in cap heights
            from the center of the character; lift is 1 if the pen is lifted after the point,
            otherwise 0.
    """

    font: str
    points: NDArray[np.float64]


def turns(character: str) -> tuple[int, ...]:
    """Return the angles at which a character is a separate class, in degrees.

    Example:
        >>> turns("o"), turns("S"), turns("L")
        ((0,), (0, 90), (0, 90, 180, 270))
    """
    if character in _ALIKE_AT_90:
        return TURNS[:1]
    return TURNS[:2] if character in _ALIKE_AT_180 else TURNS


def script(character: str) -> str:
    """Return the script of a character, as in its class name."""
    if character in _CYRILLIC:
        return "cyrillic"
    if character in string.ascii_letters + string.digits:
        return "latin"
    return "greek" if character in _GREEK + _GREEK.lower() else "japanese"


@functools.lru_cache(maxsize=1)
def drawings() -> dict[str, tuple[Drawing, ...]]:
    """Return the drawings of every character, without duplicates.

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
            if points.tobytes() not in seen:  # in some fonts, l and I are the same drawing
                seen.add(points.tobytes())
                kept.append(Drawing(font, points))
        found[character] = tuple(kept)
    return found


def _codes(character: str) -> list[tuple[str, str]]:
    """Return the font and code of each drawing of a character."""
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
    center = (points[:, 0].min() + points[:, 0].max()) / 2
    lifts = np.zeros(len(points))
    lifts[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    x, y = points[:, 0] - center, _MIDDLE - points[:, 1]
    return np.stack([x / CAP_HEIGHT, y / CAP_HEIGHT, lifts], -1)
