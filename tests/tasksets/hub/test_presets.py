"""Presets of from_hf, on small local files with the same columns."""

import pytest

from l2l_rnn.data import ByteVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets import PRESETS, from_hf
from tests.tasksets.hub.cases import CLASSES, decoded, rows, write

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
        {
            column: filled(value, of if column == PRESETS[name].label else f"{number} {of}")
            for column, value in SCHEMAS[name].items()
        }
        for of in CLASSES
        for number in range(3)
    ]
    (tmp_path / name).mkdir()
    write(tmp_path / name / "data.jsonl", table)
    for given in (None, datasets.Dataset.from_list(table), tmp_path / name / "data.jsonl"):
        sources = from_hf(given, tokenizer=BYTES, preset=name, root=tmp_path)
        assert sorted(c for s in sources for c in s.classes) == CLASSES
        assert all(text.endswith(label) for text, label in decoded(sources.test))


PARTS = {
    "train_wiki": rows(classes=CLASSES[:4]),
    "val_wiki": rows(classes=CLASSES[4:8]),
    "val_nyt": rows(classes=CLASSES[8:]),
    "pid2name": rows(classes=["no relation"]),
}


def relations(table):
    return [{"tokens": row["text"].split(), "relation": row["label"]} for row in table]


@pytest.mark.parametrize("kind", ["saved", "folder", "shards", "dict", "files"])
@pytest.mark.parametrize("given", [False, True])
def test_only_the_splits_of_a_preset_are_read(kind, given, tmp_path):
    parts = {name: datasets.Dataset.from_list(relations(t)) for name, t in PARTS.items()}
    folder = tmp_path / "few_rel"
    folder.mkdir()
    dataset = datasets.DatasetDict(parts)
    if kind == "saved":
        dataset.save_to_disk(folder)
    elif kind == "shards":
        for name, table in PARTS.items():
            for i in (0, 1):
                path = folder / "data" / f"{name}-0000{i}-of-00002.jsonl"
                path.parent.mkdir(exist_ok=True)
                write(path, relations(table[i::2]))
    elif kind != "dict":
        made = {n: write(folder / f"{n}.jsonl", relations(t)) for n, t in PARTS.items()}
        dataset = made if kind == "files" else dataset
    if kind in ("dict", "files"):
        if not given:
            return
    else:
        dataset = folder if given else None
    sources = from_hf(dataset, preset="few_rel", tokenizer=BYTES, root=tmp_path)
    assert sorted(c for s in sources for c in s.classes) == CLASSES[:8]


def test_a_preset_without_its_splits(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / f"{name}.jsonl", relations(PARTS["train_wiki"]))
    with pytest.raises(
        DataError, match="must have 'train_wiki' or 'val_wiki', got 'test', 'train'; pass"
    ):
        from_hf(tmp_path, preset="few_rel")


def test_a_configuration_is_a_folder(tmp_path):
    for part, classes in (("small", CLASSES[:4]), ("plus", CLASSES[4:])):
        (tmp_path / "clinc_oos" / part).mkdir(parents=True)
        table = [{"text": row["text"], "intent": row["label"]} for row in rows(classes=classes)]
        write(tmp_path / "clinc_oos" / part / "data.parquet", table)
    for dataset in (None, tmp_path / "clinc_oos"):
        sources = from_hf(dataset, preset="clinc_oos", root=tmp_path)
        assert sorted(c for s in sources for c in s.classes) == CLASSES[:4]


def test_out_of_scope_texts_are_left_out_unless_named():
    table = rows(classes=[*CLASSES, "oos"])
    dataset = datasets.Dataset.from_list(
        [{"text": row["text"], "intent": row["label"]} for row in table]
    )
    sources = from_hf(dataset, preset="clinc_oos")
    assert sorted(c for s in sources for c in s.classes) == CLASSES
    splits = {"train": CLASSES[:2], "validation": CLASSES[2:3], "test": ["oos"]}
    assert from_hf(dataset, preset="clinc_oos", splits=splits).test.classes == ("oos",)


def test_a_preset_that_is_no_longer_available(tmp_path):
    with pytest.raises(DataError, match="no longer available for download; put its csv, json or"):
        from_hf(preset="amazon_reviews", root=tmp_path)


def test_a_failure_other_than_the_network(tmp_path, monkeypatch):
    (tmp_path / "PolyAI" / "banking77").mkdir(
        parents=True
    )  # `datasets` mistakes this folder for the data
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"load_dataset.* failed .*: .*doesn't contain") as caught:
        from_hf(preset="banking77", root=tmp_path)
    assert "network" not in str(caught.value)
