"""Presets of `from_hf`: the columns and splits of well-known datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """Columns and splits of a well-known dataset.

    Attributes:
        repository: name of the dataset for `datasets.load_dataset`; None if it is no longer
            available there, so that local files are required.
        configuration: configuration of the dataset, or None. Local files may be in a folder of this
            name.
        text: columns of the text; several columns are joined.
        label: column of the class.
        splits: splits of the dataset to read; None reads all of them.
        left_out: classes to leave out, unless the argument `splits` of `from_hf` names them.
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
    # The class "oos" contains unrelated out-of-scope texts.
    "clinc_oos": Preset("clinc/clinc_oos", "small", ("text",), "intent", left_out=("oos",)),
    "dbpedia_14": Preset("fancyzhx/dbpedia_14", None, ("title", "content"), "label"),
    "few_rel": Preset(
        "thunlp/few_rel", None, ("tokens",), "relation", splits=("train_wiki", "val_wiki")
    ),
}
