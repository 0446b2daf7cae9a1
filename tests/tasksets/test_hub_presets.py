"""Presets of from_hf, on small local files of the same schema."""

import pytest

from l2l_rnn.data import ByteVocabulary
from l2l_rnn.tasksets import PRESETS, from_hf
from tests.tasksets.hub_cases import CLASSES, decoded, rows, write

datasets = pytest.importorskip("datasets")

BYTES = ByteVocabulary()


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


SCHEMAS = {
    "20_newsgroups": {"text": "{}", "label": 0, "label_text": "{}"},
    "ag_news": {"text": "{}", "label": "{}"},
    "amazon_reviews": {
        **{"review_id": "1", "stars": 3, "review_title": "It", "review_body": "is {}"},
        "product_category": "{}",
    },
    "banking77": {"text": "{}", "label": "{}"},
    "clinc_oos": {"text": "{}", "intent": "{}"},
    "dbpedia_14": {"label": "{}", "title": "It", "content": "is {}"},
    "few_rel": {"relation": "{}", "tokens": ["It", "is", "{}"], "names": ["a", "b"]},
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_on_a_file_of_their_schema(name, tmp_path):
    def filled(value, of):
        if isinstance(value, list):
            return [filled(part, of) for part in value]
        return value.format(of) if isinstance(value, str) else value

    table = [
        {column: filled(value, of) for column, value in SCHEMAS[name].items()} for of in CLASSES
    ]
    (tmp_path / name).mkdir()
    write(tmp_path / name / "data.jsonl", table)
    for given in (None, datasets.Dataset.from_list(table), tmp_path / name / "data.jsonl"):
        sources = from_hf(given, tokenizer=BYTES, preset=name, root=tmp_path)
        assert sorted(c for s in sources for c in s.classes) == CLASSES
        assert all(text.endswith(label) for text, label in decoded(sources.test))


def test_a_presets_splits_alone_are_read(tmp_path):
    parts = {
        "train_wiki": rows(classes=CLASSES[:4]),
        "val_wiki": rows(classes=CLASSES[4:8]),
        "val_nyt": rows(classes=CLASSES[8:]),
    }
    made = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(
                [{"tokens": row["text"].split(), "relation": row["label"]} for row in table]
            )
            for split, table in parts.items()
        }
    )
    made.save_to_disk(tmp_path / "few_rel")
    sources = from_hf(preset="few_rel", tokenizer=BYTES, root=tmp_path)
    assert sorted(c for s in sources for c in s.classes) == CLASSES[:8]
