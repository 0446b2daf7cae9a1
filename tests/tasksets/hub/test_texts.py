"""Few-shot tasks over your own texts, with from_hf."""

import json
import random
import subprocess
import sys
from pathlib import Path

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.data import ByteVocabulary, CharacterVocabulary, WordVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets import from_hf, tasksets_of
from tests.tasksets.hub.cases import CLASSES, decoded, rows, write

datasets = pytest.importorskip("datasets")

BYTES = ByteVocabulary()


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def dataset():
    return datasets.Dataset.from_list(rows())


def everything(sources):
    return sorted(pair for source in sources for pair in decoded(source))


EXPECTED = sorted((row["text"], row["label"]) for row in rows())


def test_every_text_is_in_its_class_once(dataset):
    sources = from_hf(dataset, "text", "label", BYTES)
    assert everything(sources) == EXPECTED
    assert [len(source.classes) for source in sources] == [6, 2, 2]
    assert len({name for source in sources for name in source.classes}) == 10
    assert sources.train.sequences.shape == (24, len("class a says 0"))
    assert sources.train.vocabulary is BYTES


def test_the_vocabulary_is_built_from_the_train_texts(dataset):
    train = [f"class {letter}" for letter in "abcdef"]
    splits = {"train": train, "validation": CLASSES[6:8], "test": CLASSES[8:]}
    sources = from_hf(dataset, "text", "label", splits=splits)
    assert sources.train.vocabulary == CharacterVocabulary(
        row["text"] for row in rows() if row["label"] in train
    )
    assert "j" not in sources.test.vocabulary
    assert sources.test[-1][0].tolist().count(1) == 1  # the j


@pytest.mark.parametrize(
    ("name", "kind"),
    [("words", WordVocabulary), ("characters", CharacterVocabulary), (None, CharacterVocabulary)],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_named_tokenizer_knows_the_train_texts_alone(dataset, name, kind, seed):
    sources = from_hf(dataset, "text", "label", name, seed=seed)
    train = [row["text"] for row in rows() if row["label"] in sources.train.classes]
    assert sources.vocabulary == kind(train)
    assert all(source.vocabulary is sources.vocabulary for source in sources)
    assert not (sources.train.sequences == 1).any()
    for held in sources[1:]:  # every class has a letter of its own
        for letter in (label[-1] for label in held.classes):
            assert letter not in sources.vocabulary or letter in "clas"
    tasksets = tasksets_of(sources, 2, 2, 2, 2)
    assert tasksets.vocab_size == len(sources.vocabulary)


def test_words_of_the_held_out_classes_are_unknown(dataset):
    sources = from_hf(dataset, "text", "label", "words")
    letters = {row["label"][-1] for row in rows()}
    assert letters & set(sources.vocabulary.words) == {n[-1] for n in sources.train.classes}
    for source in sources[1:]:
        assert all(x.tolist().count(1) == 1 for x, _ in source)


def test_bytes_by_name(dataset):
    sources = from_hf(dataset, "text", "label", "bytes")
    assert everything(sources) == EXPECTED
    assert sources.vocabulary == BYTES


def test_repr(dataset):
    sources = from_hf(dataset, "text", "label", "words")
    expected = "Texts(items=24, steps=4, classes=6, vocabulary=WordVocabulary(12 words))"
    assert repr(sources.train) == expected
    train = tasksets_of(sources, 3, 4, 2, 4).train
    assert repr(train) == f"SourceTaskset({expected}, ways=3, samples=4)"
    assert "\n" not in repr(sources)
    assert repr(from_hf(dataset, "text", "label", lambda text: [1]).train).endswith(
        "(items=24, steps=1, classes=6, vocabulary=None)"
    )


SOURCES = {
    "shuffled": lambda ds, path: ds.shuffle(seed=3),
    "selected": lambda ds, path: ds.shuffle(seed=3).select(range(39, -1, -1)),
    "filtered": lambda ds, path: datasets.concatenate_datasets([ds, ds]).filter(
        lambda row, i: i >= 40, with_indices=True
    ),
    "class labels": lambda ds, path: ds.class_encode_column("label").shuffle(seed=1),
    "formatted": lambda ds, path: ds.with_format("numpy"),
    "iterable": lambda ds, path: ds.to_iterable_dataset(num_shards=3).shuffle(seed=1),
    "generated": lambda ds, path: datasets.IterableDataset.from_generator(rows),
    "dict": lambda ds, path: datasets.DatasetDict(ds.train_test_split(0.3, seed=0)),
    "saved": lambda ds, path: ds.save_to_disk(path / "saved") or path / "saved",
    "saved dict": lambda ds, path: (
        datasets.DatasetDict(ds.train_test_split(0.3)).save_to_disk(path / "x") or str(path / "x")
    ),
    **{
        kind: lambda ds, path, kind=kind: write(path / f"data.{kind}", rows())
        for kind in ("csv", "tsv", "json", "jsonl", "parquet", "arrow")
    },
    "files": lambda ds, path: [
        write(path / "a.csv", rows()[:11]),
        str(write(path / "b.csv", rows()[11:])),
    ],
    "folder": lambda ds, path: write(path / "data.jsonl", rows()).parent,
    "dict of files": lambda ds, path: {
        "train": write(path / "a.parquet", rows()[:11]),
        "test": [write(path / "b.parquet", rows()[11:])],
    },
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_dataset_gives_the_same_items(dataset, kind, tmp_path):
    (tmp_path / "given").mkdir()
    given = SOURCES[kind](dataset, tmp_path / "given")
    sources = from_hf(given, "text", "label", BYTES)
    assert everything(sources) == EXPECTED
    assert [s.classes for s in sources] == [
        s.classes for s in from_hf(dataset, "text", "label", BYTES)
    ]
    written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kind == "filtered" or all(path.suffix == ".lock" for path in written)


def test_rows_keep_the_order_of_the_dataset(dataset):
    shuffled = dataset.shuffle(seed=8).select(range(5, 40))
    test = from_hf(shuffled, "text", "label", BYTES, min_items=1).test
    expected = [(r["text"], r["label"]) for r in shuffled if r["label"] in test.classes]
    assert decoded(test) == expected


def test_a_seed_splits_the_classes(dataset):
    def split(seed, given=dataset):
        return [s.classes for s in from_hf(given, "text", "label", BYTES, seed=seed)]

    assert split(0) == split(0, dataset.shuffle(seed=2))
    assert split(1) == split(np.int64(1))
    assert len({tuple(split(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("shares", "classes"),
    [((8, 1, 1), [8, 1, 1]), ((0.01, 1, 1), [1, 5, 4]), ((1, 1e-9, 1), [4, 1, 5])],
)
def test_shares(dataset, shares, classes):
    sources = from_hf(dataset, "text", "label", BYTES, splits=shares)
    assert sum(len(s.classes) for s in sources) == 10
    assert [len(s.classes) for s in sources] == pytest.approx(classes, abs=1)
    assert all(s.classes for s in sources)


def test_classes_in_no_split_are_left_out(dataset):
    splits = {"train": ["class a", "class b"], "validation": ["class d"], "test": ["class c"]}
    sources = from_hf(dataset, "text", "label", BYTES, splits=splits)
    assert [source.classes for source in sources] == [tuple(names) for names in splits.values()]
    assert decoded(sources.test) == [(f"class c says {i}", "class c") for i in range(4)]


def own_splits(names, cuts):
    return datasets.DatasetDict(
        {
            name: datasets.Dataset.from_list(rows(classes=CLASSES[low:high]))
            for name, (low, high) in zip(names, cuts, strict=True)
        }
    )


def test_own_splits_without_a_common_class_are_kept():
    given = own_splits(("train_wiki", "test", "dev"), ((0, 2), (2, 5), (5, 10)))
    sources = from_hf(given, "text", "label", BYTES)
    assert sources.train.classes == tuple(CLASSES[:2])
    assert sources.validation.classes == tuple(CLASSES[5:])
    assert sources.test.classes == tuple(CLASSES[2:5])
    assert [len(s.classes) for s in from_hf(given, "text", "label", BYTES, splits=(2, 1, 1))] != [
        2,
        5,
        3,
    ]


@pytest.mark.parametrize(
    "paths",
    [
        ("train.csv", "test.csv", "validation.csv"),
        ("train_wiki.csv", "test-00000-of-00001.csv", "dev.csv"),
        ("data/train/0.csv", "data/test/0.csv", "data/val/0.csv"),
    ],
)
def test_own_splits_of_a_folder_are_kept(paths, tmp_path):
    for path, (low, high) in zip(paths, ((0, 2), (2, 5), (5, 10)), strict=True):
        (tmp_path / "given" / path).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "given" / path, rows(classes=CLASSES[low:high]))
    sources = from_hf(tmp_path / "given", "text", "label", BYTES)
    assert [s.classes for s in sources] == [
        tuple(CLASSES[:2]),
        tuple(CLASSES[5:]),
        tuple(CLASSES[2:5]),
    ]


def test_a_folder_without_splits(tmp_path):
    for name, (low, high) in {"trainers": (0, 2), "values": (2, 5), "testimony": (5, 10)}.items():
        write(tmp_path / f"{name}.csv", rows(classes=CLASSES[low:high]))
    sources = from_hf(tmp_path, "text", "label", BYTES)
    assert [len(source.classes) for source in sources] == [6, 2, 2]


@pytest.mark.parametrize(
    ("names", "cuts"),
    [
        (("train", "validation", "test"), ((0, 6), (5, 8), (8, 10))),
        (("train", "test"), ((0, 6), (6, 10))),
        (("train", "test", "test_2"), ((0, 6), (6, 8), (8, 10))),
    ],
    ids=["a common class", "two splits", "two of a kind"],
)
def test_other_splits_are_merged_and_divided_by_class(names, cuts):
    sources = from_hf(own_splits(names, cuts), "text", "label", BYTES)
    assert [len(source.classes) for source in sources] == [6, 2, 2]


@pytest.mark.parametrize("kind", ["ints", "bools and more", "categories"])
def test_labels_of_other_types(kind):
    number = {name: i for i, name in enumerate(CLASSES)}
    table = [{**row, "label": number[row["label"]]} for row in rows()]
    dataset = datasets.Dataset.from_list(table)
    if kind == "categories":
        names = datasets.ClassLabel(names=CLASSES)
        dataset = dataset.cast_column("label", names)
    if kind == "bools and more":
        dataset = datasets.Dataset.from_list([{**r, "label": bool(r["label"] % 2)} for r in table])
        with pytest.raises(DataError, match=r"at least 3 classes.*got 2: 'False', 'True'"):
            from_hf(dataset, "text", "label")
        return
    found = everything(from_hf(dataset, "text", "label", BYTES))
    expected = (
        EXPECTED if kind == "categories" else [(t, str(number[name])) for t, name in EXPECTED]
    )
    assert found == sorted(expected)


def test_csv_texts_are_read_unchanged(tmp_path):
    texts = ["NA", "null", "12", '"quoted", said she', "1.50", "nan"]
    table = [
        {"text": f"{t}{' ' if i else ''}{'!' * i}", "label": str(i)}
        for i in range(3)
        for t in texts
    ]
    sources = from_hf(write(tmp_path / "a.csv", table), "text", "label", BYTES)
    assert everything(sources) == sorted((row["text"], row["label"]) for row in table)


def test_a_text_is_kept_once():
    repeated = [{**row, "text": f" {row['text'].upper()}\n"} for row in rows(2)]
    shared = [{"text": "one for both", "label": name} for name in CLASSES[:2]]
    shared += [{"text": "One for  BOTH", "label": "class a"}]
    dataset = datasets.Dataset.from_list([*rows(), *repeated, *shared])
    splits = {"train": CLASSES[:1], "validation": CLASSES[1:4], "test": CLASSES[4:]}
    sources = from_hf(dataset, "text", "label", BYTES, splits=splits)
    assert everything(sources) == EXPECTED
    assert [source.repeats for source in sources] == [2, 6, 12]
    assert [source.ambiguous for source in sources] == [2, 1, 0]


def test_only_ambiguous_texts():
    table = [{"text": "same words", "label": name} for name in CLASSES for _ in range(4)]
    dataset = datasets.Dataset.from_list(table)
    with pytest.raises(
        DataError,
        match=r"10 classes \(after dropping 0 repeats and 40 texts that occur in two classes",
    ):
        from_hf(dataset, "text", "label", BYTES)
    splits = {"train": CLASSES[:2], "validation": CLASSES[2:3], "test": CLASSES[3:4]}
    with pytest.raises(DataError, match="fewer for 4 classes"):
        from_hf(dataset, "text", "label", BYTES, splits=splits)


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (['"x is', "y", "z", 'w"'], ['"x is', "y", "z", 'w"']),
        (['"x is', '"y"', "z", "w"], ['"x is', '"y"', "z", "w"]),
        (['"x ""is"""', '"y"', "z", "w"], ['x "is"', "y", "z", "w"]),
        (['"x\tis"', '"y\n"', "z", "w"], ["x\tis", "y\n", "z", "w"]),
    ],
    ids=["a pair in different rows", "one unpaired", "all paired", "around tabs and line ends"],
)
def test_quotes_in_a_tsv_enclose_fields_only_if_all_are_paired(lines, texts, tmp_path):
    path = tmp_path / "a.tsv"
    rows_of = [f"{line}\tlabel {i}" for i, line in enumerate(lines)]
    path.write_text("\n".join(["text\tlabel", *rows_of]))
    sources = from_hf(path, "text", "label", BYTES, min_items=1)
    assert sorted(text for source in sources for text, _ in decoded(source)) == sorted(texts)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("name", ["br[1]", "br*", "br?", "br[!a]"])
def test_a_path_is_not_a_pattern(name, kind, tmp_path):
    write(tmp_path / f"br1.{kind}", rows(5))
    sources = from_hf(write(tmp_path / f"{name}.{kind}", rows()), "text", "label", BYTES)
    assert everything(sources) == EXPECTED


def test_a_long_field_in_a_csv(tmp_path):
    table = [{"text": f"{i}{'a' * 200_000}", "label": f"class {i}"} for i in range(3)]
    sources = from_hf(write(tmp_path / "a.csv", table), "text", "label", BYTES, min_items=1)
    assert sum(map(len, sources)) == 3


@pytest.mark.parametrize("dates", ["text", "label", "both"])
def test_json_texts_are_read_unchanged(dates, tmp_path):
    table = [
        {
            "text": f"2020-{month:02}-{day:02}" if dates != "label" else f"says {month} {day}",
            "label": f"2020-{month:02}-01T10:00:00Z" if dates != "text" else f"class {month}",
        }
        for month in range(1, 7)
        for day in range(1, 5)
    ]
    sources = from_hf(write(tmp_path / "a.jsonl", table), "text", "label", BYTES)
    assert everything(sources) == sorted((row["text"], row["label"]) for row in table)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("layout", ["list", "columns", "numbered columns"])
def test_json_with_one_value(layout, indent, tmp_path):
    table = rows()
    if layout != "list":
        table = {column: [row[column] for row in table] for column in table[0]}
    if layout == "numbered columns":
        table = {column: dict(enumerate(values)) for column, values in table.items()}
    (tmp_path / "a.json").write_text(json.dumps(table, indent=indent))
    assert everything(from_hf(tmp_path / "a.json", "text", "label", BYTES)) == EXPECTED


def test_columns_and_lists_of_words_are_joined():
    table = [
        {"a": k, "b": None if i else "y", "c": ["p", "q"], "k": k} for k in "uvw" for i in (0, 1)
    ]
    dataset = datasets.Dataset.from_list(table)
    test = from_hf(dataset, ("a", "b", "c"), "k", BYTES).test
    assert decoded(test) == [(f"{k} y p q", k) for k in test.classes] + [
        (f"{k} p q", k) for k in test.classes
    ]


def test_lengths(dataset):
    assert from_hf(dataset, "text", "label", BYTES, max_length=5).test.sequences.shape == (8, 5)
    numbered = dataset.map(lambda row: {"text": f"{row['other']} {row['text']}"})
    cut = from_hf(numbered, "text", "label", BYTES, max_characters=9)
    assert {text for text, _ in decoded(cut.test)} == {
        f"{i} {name}" for i in range(4) for name in cut.test.classes
    }


def test_a_function_as_tokenizer(dataset):
    sources = from_hf(dataset, "text", "label", lambda text: np.array([ord(c) for c in text]))
    assert sources.train.vocabulary is None
    objects = from_hf(dataset, "text", "label", lambda text: np.array([*map(ord, text)], object))
    assert torch.equal(objects.test.sequences, sources.test.sequences)
    assert sources.train.sequences.dtype == torch.int32
    assert bytes(sources.train[0][0].tolist()).decode().startswith("class ")
    assert tasksets_of(sources, 2, 4, 2, 4).vocab_size is None


def test_a_tokenizer_of_the_package_tokenizers(dataset):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "says": 1, "class": 2}, "?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    sources = from_hf(dataset, "text", "label", made)
    assert sources.test.sequences.unique(dim=0).tolist() == [[4, 1, 3, 1]]
    assert len(sources.test.vocabulary) == 5


def test_tasksets_of_the_sources(dataset):
    sources = from_hf(dataset, "text", "label", WordVocabulary(["class says"]))
    tasksets = tasksets_of(sources, 3, 4, 2, 4)
    assert tasksets.vocab_size == 4
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.dtype == torch.int64
    (support, labels), _ = learn2learn.data.partition_task(x, y, shots=1)
    assert support.shape == (3, 4)
    assert labels.tolist() == [0, 1, 2]
    assert sources.train.to("cpu").vocabulary is sources.train.vocabulary


def test_ids_above_the_memory_limit_are_in_a_file(dataset, tmp_path):
    inside = from_hf(dataset, "text", "label", BYTES, root=tmp_path)
    assert not (tmp_path / "l2l_rnn").exists()
    outside = from_hf(dataset, "text", "label", BYTES, root=tmp_path, memory=100)
    assert not list((tmp_path / "l2l_rnn").iterdir())  # the file is unlinked
    for ours, theirs in zip(outside, inside, strict=True):
        assert ours.sequences.dtype == torch.int16
        assert torch.equal(ours.sequences, theirs.sequences)
        drawn = [s.draw(3, 2, 2, torch.Generator().manual_seed(0)) for s in (ours, theirs)]
        assert torch.equal(drawn[0].query_x, drawn[1].query_x)
    with pytest.raises(ZeroDivisionError):
        from_hf(dataset, "text", "label", lambda text: 1 / 0, root=tmp_path, memory=1)
    assert not list((tmp_path / "l2l_rnn").iterdir())


def made_parquet(path, number):
    """Write texts of about 60 letters in 500 classes; 200,000 texts take 14 MB."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    draws = np.random.default_rng(0)
    words = np.array(["".join(map(chr, draws.integers(97, 123, n))) for n in range(2, 10)] * 50)
    texts = [f"{i} {' '.join(row)}" for i, row in enumerate(draws.choice(words, (number, 10)))]
    labels = [f"class {i}" for i in draws.integers(0, 500, number)]
    parquet.write_table(arrow.table({"text": texts, "label": labels, "unread": texts}), path)
    return texts, labels


def test_a_larger_parquet(tmp_path):
    texts, labels = made_parquet(tmp_path / "large.parquet", 8_000)
    sources = from_hf(tmp_path / "large.parquet", "text", "label", max_length=128)
    assert sources.train.sequences.dtype == torch.int16
    assert [len(source.classes) for source in sources] == [300, 100, 100]
    chosen = set(sources.train.classes)
    expected = [(text, label) for text, label in zip(texts, labels, strict=True) if label in chosen]
    assert decoded(sources.train) == expected


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc of Linux")
@pytest.mark.slow
def test_200_000_rows_take_at_most_250_megabytes(tmp_path):
    path = tmp_path / "large.parquet"
    made_parquet(path, 200_000)
    script = (
        "import sys, datasets, torch\n"
        "from l2l_rnn.tasksets import from_hf\n"
        "def kilobytes(what):\n"  # ru_maxrss may include the parent process
        "    return int(open('/proc/self/status').read().partition(what)[2].split()[0])\n"
        "torch.set_num_threads(1)\n"
        "before = kilobytes('VmRSS:')\n"
        "sources = from_hf(sys.argv[1], 'text', 'label')\n"
        "print(sum(map(len, sources)), kilobytes('VmHWM:') - before)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    items, kilobytes = map(int, found)
    assert items == 200_000
    assert kilobytes < 2.5e5  # without the imports
