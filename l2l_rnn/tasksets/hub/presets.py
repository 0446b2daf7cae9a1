"""Where the texts and labels of well-known data sets stand, for `from_hf`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """Where the texts and labels of a well-known data set stand.

    Attributes:
        repository: what `datasets.load_dataset` knows it by; None if it is there no more, so that
            local files alone will do.
        configuration: which of its configurations, or None; of local files, the folder of that
            name where there is one.
        text: the columns of the text, joined.
        label: the column of the class.
        splits: those of its splits that are taken, or None for all of them.
        left_out: classes that are not taken, unless `from_hf` is given `splits` that name them.
    """

    repository: str | None
    configuration: str | None
    text: tuple[str, ...]
    label: str
    splits: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    "20_newsgroups": Preset("SetFit/20_newsgroups", None, ("text",), "label_text"),
    "ag_news": Preset("fancyzhx/ag_news", None, ("text",), "label"),
    "amazon_reviews": Preset(None, "en", ("review_title", "review_body"), "product_category"),
    "banking77": Preset("PolyAI/banking77", None, ("text",), "label"),
    # "oos" is whatever is of no intent: the texts of such a class are not alike.
    "clinc_oos": Preset("clinc/clinc_oos", "small", ("text",), "intent", left_out=("oos",)),
    "dbpedia_14": Preset("fancyzhx/dbpedia_14", None, ("title", "content"), "label"),
    "few_rel": Preset(
        "thunlp/few_rel", None, ("tokens",), "relation", splits=("train_wiki", "val_wiki")
    ),
}
