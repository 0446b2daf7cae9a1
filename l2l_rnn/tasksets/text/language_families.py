"""Which family every language of babel belongs to, and which split every family goes to.

The grouping is genealogical and of the top level, after Glottolog and ISO 639-5. Where scholars
disagree, the wider grouping is taken (Niger-Congo with Mande and Adamawa, Nilo-Saharan with Songhay
and Nilotic, Afro-Asiatic with Omotic), so that no two languages that may well be related are split.
Isolates stand alone, creoles and pidgins with the family of most of their words, and constructed
languages in a group of their own. Codes are those of CLDR.

Source: H. Hammarström, R. Forkel, M. Haspelmath, S. Bank, Glottolog (glottolog.org); ISO 639-3 and
ISO 639-5, the codes of languages and of language families.
"""

from __future__ import annotations

from collections.abc import Iterable

_CODES_BY_FAMILY = {
    "Indo-European": (
        "af an as ast bal be bg bgc bgn bho bn br bs ca ccp ckb co cs cu cy da de doi dsb dv el "
        "en es fa fo fr frr fur fy ga gd gl gsw gu gv hi hr hsb hy is it kok ks ksh ku kw la lb "
        "lij lld lmo lrc lt ltg lv mai mhn mk mr mzn nb nds ne nl nn no oc or os pa pl prg ps "
        "pt raj rhg rm ro ru sa sc scn sd sdh si sk skr sl sq sr sv szl tg trw uk ur vec wa wae "
        "xnr yi "
        "ht kea mfe pap pcm pis tpi"  # creoles of French, Portuguese, Spanish and English words
    ),
    "Niger-Congo": (
        "agq ak ann asa bas bem bez blo bss cch cgg dav dua dyo ebu ee ewo ff gaa guz ig jgo "
        "jmc kaj kam kcg kde ken ki kkj ksb ksf lag lg ln lu luy mer mgh mgo mua nd nmg nnh nr "
        "nso ny nyn rn rof rw rwk sbp seh sn ss st sw tn ts ve vmw vun wo xh xog yav yo zu "
        "bm kpe nqo vai "  # Mande
        "sg"  # a creole of Ngbandi
    ),
    "Constructed": "eo ia ie io jbo tok vo",
    "Afro-Asiatic": (
        "aa am apc ar byn cop gez ha he kab mt om rif shi sid so ssy syr ti tig tzm wal zgh"
    ),
    "Austronesian": "bew ceb fil haw id jv mg mi ms su to trv",
    "Uralic": "et fi hu mdf myv se sma smj smn sms",
    "Turkic": "az ba cv kaa kk ky sah tk tr tt tyv ug uz",
    "Nilo-Saharan": "kln luo mas nus saq teo dje khq ses twq",
    "Sino-Tibetan": "bo brx dz ii mni my yue zh",
    "Dravidian": "kn kxv ml ta te",
    "Tai-Kadai": "blt lo shn th za",
    "Austroasiatic": "km sat vi",
    "Muskogean": "cho cic mus",
    "Algic": "csw mic",
    "Eskimo-Aleut": "iu kl",
    "Iroquoian": "chr moh",
    "Siouan": "lkt osa",
    "Tupian": "gn yrl",
    "Araucanian": "arn",
    "Athabaskan": "nv",
    "Basque": "eu",
    "Caddoan": "cad",
    "Hmong-Mien": "hnj",
    "Japonic": "ja",
    "Kartvelian": "ka",
    "Khoe-Kwadi": "naq",
    "Koreanic": "ko",
    "Macro-Je": "kgp",
    "Mayan": "quc",
    "Mongolic": "mn",
    "Northeast Caucasian": "ce",
    "Northwest Caucasian": "ab",
    "Pama-Nyungan": "wbp",
    "Quechuan": "qu",
}

FAMILY_OF: dict[str, str] = {
    code: family for family, codes in _CODES_BY_FAMILY.items() for code in codes.split()
}
"""The family of each CLDR language code, such as `FAMILY_OF["fi"] == "Uralic"`."""

SPLIT_OF: dict[str, str] = {
    **dict.fromkeys(_CODES_BY_FAMILY, "test"),
    **dict.fromkeys(("Indo-European", "Niger-Congo", "Constructed"), "train"),
    **dict.fromkeys(
        (
            "Turkic",
            "Mongolic",
            "Nilo-Saharan",
            "Dravidian",
            "Tai-Kadai",
            "Hmong-Mien",
            "Eskimo-Aleut",
            "Northeast Caucasian",
            "Northwest Caucasian",
            "Quechuan",
            "Basque",
        ),
        "validation",
    ),
}
"""The split of each family. Constructed languages learn with those whose words they borrow."""


def family_of(code: str) -> str:
    """Return the family of a language, whose code may go on with a place or a script.

    Example:
        >>> family_of("fi"), family_of("pt-BR"), family_of("sr_Latn")
        ('Uralic', 'Indo-European', 'Indo-European')
    """
    return FAMILY_OF[code.replace("_", "-").partition("-")[0]]


def split_languages(codes: Iterable[str], held_out: Iterable[str] | None = None) -> dict[str, str]:
    """Return the split of each language, so that no family is in two.

    Args:
        codes: of the languages.
        held_out: those that shall be the test ones instead: the usual test languages, and the rest
            of their families, then are in no split. None keeps the usual splits.

    Example:
        >>> split_languages(["de", "tr", "fi", "hu"])
        {'de': 'train', 'tr': 'validation', 'fi': 'test', 'hu': 'test'}
        >>> split_languages(["de", "tr", "fi", "hu"], held_out=["hu", "tr"])
        {'de': 'train', 'hu': 'test', 'tr': 'test'}
    """
    modes = {code: SPLIT_OF[family_of(code)] for code in codes}
    if held_out is None:
        return modes
    held_out = sorted(held_out)
    families = {family_of(code) for code in held_out}
    stay = {
        code: mode
        for code, mode in modes.items()
        if mode != "test" and family_of(code) not in families
    }
    return {**stay, **dict.fromkeys(held_out, "test")}
