"""The family of every language in babel, and the split of every family.

Families are top-level genealogical groups, after Glottolog and ISO 639-5. Where linguists disagree,
the wider group is used (Niger-Congo with Mande and Adamawa, Nilo-Saharan with Songhay and Nilotic,
Afro-Asiatic with Omotic), so that possibly related languages are in the same split. An isolate is a
separate family. Creoles and pidgins belong to the family of most of their words. Constructed
languages form a separate group. Language codes are CLDR codes.

Source: H. Hammarström, R. Forkel, M. Haspelmath, S. Bank, Glottolog (glottolog.org); ISO 639-3 and
ISO 639-5, codes of languages and language families.
"""

from __future__ import annotations

from collections.abc import Iterable

from l2l_rnn.data.splits import Split

_CODES_BY_FAMILY = {
    "Indo-European": (
        "af an as ast bal be bg bgc bgn bho bn br bs ca ccp ckb co cs cu cy da de doi dsb dv el "
        "en es fa fo fr frr fur fy ga gd gl gsw gu gv hi hr hsb hy is it kok ks ksh ku kw la lb "
        "lij lld lmo lrc lt ltg lv mai mhn mk mr mzn nb nds ne nl nn no oc or os pa pl prg ps "
        "pt raj rhg rm ro ru sa sc scn sd sdh si sk skr sl sq sr sv szl tg trw uk ur vec wa wae "
        "xnr yi "
        "ht kea mfe pap pcm pis tpi"  # creoles with French, Portuguese, Spanish or English words
    ),
    "Niger-Congo": (
        "agq ak ann asa bas bem bez blo bss cch cgg dav dua dyo ebu ee ewo ff gaa guz ig jgo "
        "jmc kaj kam kcg kde ken ki kkj ksb ksf lag lg ln lu luy mer mgh mgo mua nd nmg nnh nr "
        "nso ny nyn rn rof rw rwk sbp seh sn ss st sw tn ts ve vmw vun wo xh xog yav yo zu "
        "bm kpe nqo vai "  # Mande
        "sg"  # a creole based on Ngbandi
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

SPLIT_OF: dict[str, Split] = {
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
"""The split of each family. Constructed languages are in the split of their source languages."""


def family_of(code: str) -> str:
    """Return the family of a language. The code may end in a territory or a script.

    Example:
        >>> family_of("fi"), family_of("pt-BR"), family_of("sr_Latn")
        ('Uralic', 'Indo-European', 'Indo-European')
    """
    return FAMILY_OF[code.replace("_", "-").partition("-")[0]]


def split_languages(
    codes: Iterable[str], held_out: Iterable[str] | None = None
) -> dict[str, Split]:
    """Return the split of each language. No family is in two splits.

    Args:
        codes: codes of the languages.
        held_out: codes of the test languages. The default test languages and the other languages of
            the held-out families are then left out. None uses the default split.

    Example:
        >>> split_languages(["de", "tr", "fi", "hu"])
        {'de': 'train', 'tr': 'validation', 'fi': 'test', 'hu': 'test'}
        >>> split_languages(["de", "tr", "fi", "hu"], held_out=["hu", "tr"])
        {'de': 'train', 'hu': 'test', 'tr': 'test'}
    """
    splits = {code: SPLIT_OF[family_of(code)] for code in codes}
    if held_out is None:
        return splits
    held_out = sorted(held_out)
    families = {family_of(code) for code in held_out}
    kept = {
        code: split
        for code, split in splits.items()
        if split != "test" and family_of(code) not in families
    }
    return {**kept, **dict.fromkeys(held_out, "test")}
