"""Articles, speakers and sessions, with the argument groups of from_hf."""

import random

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.data import ByteVocabulary, TaskLoader
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.tasksets import from_hf, tasksets_of
from tests.tasksets.hub.cases import CLASSES, decoded, write

datasets = pytest.importorskip("datasets")
pandas = pytest.importorskip("pandas")

BYTES = ByteVocabulary()


def spoken(each=3, speakers=5, shared=True):
    """Return rows of 10 classes; each speaker says something in one class, or in all classes."""
    return [
        {
            "text": f"{name} by {speaker}, {i}",
            "label": name,
            "speaker": f"speaker {speaker}" + ("" if shared else f" of {name}"),
        }
        for i in range(each)
        for speaker in range(speakers)
        for name in CLASSES
    ]


KINDS = {
    "rows": lambda table, path: table,
    "frame": lambda table, path: pandas.DataFrame(table).astype({"speaker": "category"}),
    "dataset": lambda table, path: datasets.Dataset.from_list(table),
    "iterable": lambda table, path: datasets.Dataset.from_list(table).to_iterable_dataset(3),
    **{
        kind: lambda table, path, kind=kind: write(path / f"a.{kind}", table)
        for kind in ("csv", "jsonl", "parquet")
    },
}


def speakers_of(source):
    return [source.group_names[i] for i in source.groups.tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dataset(kind, tmp_path):
    table = spoken(shared=False)
    random.Random(0).shuffle(table)
    sources = from_hf(KINDS[kind](table, tmp_path), "text", "label", BYTES, groups="speaker")
    found = [
        (text, name, speaker)
        for source in sources
        for (text, name), speaker in zip(decoded(source), speakers_of(source), strict=True)
    ]
    assert sorted(found) == sorted((r["text"], r["label"], r["speaker"]) for r in table)
    assert [source.crossing for source in sources] == [0, 0, 0]
    assert [len(source.group_names) for source in sources] == [30, 10, 10]
    assert all(list(source.group_names) == sorted(source.group_names) for source in sources)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("shots", [1, 2])
def test_support_and_query_share_no_group(shared, shots):
    sources = from_hf(
        spoken(4, 12, shared), "text", "label", BYTES, groups="speaker", splits=(2, 1, 1)
    )
    tasksets = tasksets_of(sources, 3, 2 * shots, 2, 2 * shots)
    for taskset in tasksets:
        source = taskset.source
        for loader in (
            TaskLoader(taskset, 20, shots, seed=0),
            TaskLoader(taskset, 20, shots, shots, seed=1),
        ):
            batch = next(loader)
            for support, query in zip(batch.support_indices, batch.query_indices, strict=True):
                assert not set(source.groups[support].tolist()) & set(source.groups[query].tolist())
        random.seed(0)
        x, y = taskset.sample()
        (support, _), (query, _) = learn2learn.data.partition_task(x, y, shots)
        spoken_by = [
            {BYTES.decode(row).split(",")[0].split("by ")[1] for row in part}
            for part in (support, query)
        ]
        if shared:
            assert not spoken_by[0] & spoken_by[1]


def test_no_group_is_in_two_splits():
    table = spoken(2, 40)
    sources = from_hf(table, "text", "label", BYTES, groups="speaker")
    names = [set(speakers_of(source)) for source in sources]
    assert names == [set(source.group_names) for source in sources]
    assert set.union(*names) == {row["speaker"] for row in table}
    assert sum(map(len, names)) == 40
    assert [len(own) for own in names] == [24, 8, 8]  # as the rows: 0.6, 0.2, 0.2
    for source, own in zip(sources, names, strict=True):
        said = [r for r in table if r["label"] in source.classes]
        kept = [r for r in said if r["speaker"] in own]
        assert sorted(text for text, _ in decoded(source)) == sorted(r["text"] for r in kept)
        assert source.crossing == len(said) - len(kept) > 0


def test_groups_of_one_split_keep_all_rows():
    """Only the speaker of two splits loses rows."""
    splits = {"train": CLASSES[:6], "validation": CLASSES[6:8], "test": CLASSES[8:]}
    table = spoken(shared=False)
    table += [
        {"text": f"{name} by both", "label": name, "speaker": "both"}
        for name in (CLASSES[0], CLASSES[9])
    ]
    sources = from_hf(table, "text", "label", BYTES, groups="speaker", splits=splits)
    assert sum(map(len, sources)) == len(table) - 1
    assert sum(source.crossing for source in sources) == 1
    assert sources.validation.crossing == 0


def test_the_order_of_the_rows_does_not_matter_but_the_seed_does():
    def split(table, seed=0):
        sources = from_hf(table, "text", "label", BYTES, groups="speaker", seed=seed)
        return [(s.classes, s.group_names, sorted(decoded(s))) for s in sources]

    table = spoken(2, 20)
    expected = split(table)
    for seed in range(3):
        shuffled = list(table)
        random.Random(seed).shuffle(shuffled)
        assert split(shuffled) == expected
    assert split(table, 1)[0][1] != expected[0][1]


def test_own_splits_have_separate_groups_too():
    own = {"train": CLASSES[:5], "validation": CLASSES[5:7], "test": CLASSES[7:]}
    table = spoken(2, 20)
    given = {s: [row for row in table if row["label"] in names] for s, names in own.items()}
    sources = from_hf(given, "text", "label", BYTES, groups="speaker")
    assert [list(source.classes) for source in sources] == list(own.values())
    names = [set(source.group_names) for source in sources]
    assert sum(map(len, names)) == len(set.union(*names)) == 20


def test_the_vocabulary_has_no_words_of_dropped_rows():
    table = spoken(1, 20)
    for i, row in enumerate(table):
        row["text"] += f" word{i}"
    sources = from_hf(table, "text", "label", "words", groups="speaker")
    train = set(sources.train.group_names), set(sources.train.classes)
    for i, row in enumerate(table):
        kept = row["speaker"] in train[0] and row["label"] in train[1]
        assert (f"word{i}" in sources.vocabulary) == kept


@pytest.mark.parametrize(
    "convert",
    [int, np.int16, str, lambda n: n > 2, lambda n: float(n)],
    ids=["int", "int16", "str", "bool", "whole numbers with NaN"],
)
def test_groups_of_other_types(convert):
    table = spoken(shared=False)
    for row in table:
        row["speaker"] = convert(int(row["speaker"].split()[1]) + 5 * CLASSES.index(row["label"]))
    if convert(1) == 1.0 and isinstance(convert(1), float):
        table[0]["speaker"] = float("nan")
    options = {"groups": "speaker", "drop_empty": True, "drop_small": True}
    if isinstance(convert(1), bool):
        with pytest.raises(DataError, match="at least 3 classes"):
            from_hf(table, "text", "label", BYTES, **options)
        return
    sources = from_hf(table, "text", "label", BYTES, **options)
    names = [name for source in sources for name in source.group_names]
    assert sorted(map(int, names)) == list(range(50))


@pytest.mark.parametrize("blank", [None, float("nan"), pandas.NA, "", " "])
def test_a_row_without_a_group(blank):
    table = spoken(shared=False)
    table[3]["speaker"] = table[11]["speaker"] = blank
    for given in (table, pandas.DataFrame(table)):
        with pytest.raises(DataError, match=r"must have a group, got 2 without .*row 3 of"):
            from_hf(given, "text", "label", BYTES, groups="speaker")
        sources = from_hf(given, "text", "label", BYTES, groups="speaker", drop_empty=True)
        assert sum(map(len, sources)) == len(table) - 2


def test_classes_of_one_group():
    table = spoken(3, 3, shared=False)
    for row in table:
        if row["label"] in CLASSES[:2]:
            row["speaker"] = row["label"]
    splits = {"train": CLASSES[:6], "validation": CLASSES[6:8], "test": CLASSES[8:]}
    message = (
        r"at least two groups, so that .*got fewer for 2 classes: "
        r"'class a' \(9 texts of 1 group\), 'class b' \(9 texts of 1 group\); set drop_small=True"
    )
    for options in ({}, {"splits": splits}, {"seed": 3}):
        with pytest.raises(DataError, match=message):
            from_hf(table, "text", "label", BYTES, groups="speaker", **options)
        sources = from_hf(
            table, "text", "label", BYTES, groups="speaker", drop_small=True, **options
        )
        assert sorted(name for source in sources for name in source.classes) == CLASSES[2:]
    sources = from_hf(table, "text", "label", BYTES, groups="speaker", drop_small=True)
    assert [len(source.classes) for source in sources] == [4, 2, 2]  # shares of the remaining
    from_hf(table, "text", "label", BYTES)  # without groups it is no fault


def test_too_few_groups_to_separate_the_splits():
    message = r"after dropping \d+ of groups in another split\): 'class .' \(\d texts? of \d group"
    with pytest.raises(DataError, match=message):
        from_hf(spoken(2, 5), "text", "label", BYTES, groups="speaker")
    with pytest.raises(DataError, match="split must have at least one class with texts of two"):
        from_hf(spoken(2, 5), "text", "label", BYTES, groups="speaker", drop_small=True)


@pytest.mark.parametrize("speakers", [6, 7, 8, 11])
@pytest.mark.parametrize("splits", [None, (8, 1, 1), (1, 8, 1)])
def test_six_groups_are_enough_for_three_splits(speakers, splits):
    table = spoken(2, speakers)
    sources = from_hf(table, "text", "label", BYTES, groups="speaker", splits=splits)
    assert all(len(source.group_names) >= 2 for source in sources)
    for source in sources:
        assert source.draw(3, 2, 2, ways=1).support_x.shape[:2] == (3, 2)


def test_too_few_groups_for_the_shots():
    sources = from_hf(spoken(3, 2, shared=False), "text", "label", BYTES, groups="speaker")
    train = tasksets_of(sources, 3, 6, 2, 6).train
    assert next(TaskLoader(train, 4, 3)).support_x.shape[:2] == (4, 9)
    message = (
        "Texts: every class must have 4 support and 2 query items from different groups, got 2 "
        "groups of 3, 3 items for class 'class .' and for 5 other classes"
    )
    with pytest.raises(DataError, match=message):
        next(TaskLoader(train, 4, 4))


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ("speakers", DataError, "unknown column 'speakers' in .*did you mean 'speaker'"),
        ("label", ArgumentTypeError, "the name of a column other than 'label', got 'label'"),
        (["speaker"], ArgumentTypeError, r"groups must be None or .*got \['speaker'\]"),
        (3, ArgumentTypeError, "groups must be None or the name of a column"),
        ("weight", DataError, "'weight' must contain names or integers, .* got double"),
        ("mixed", DataError, "'mixed' must contain values of one type, got str after int in row 1"),
        ("lists", DataError, "'lists' must contain names or integers, .* got list"),
    ],
)
def test_bad_groups(groups, error, message):
    table = [
        {**row, "weight": 0.5, "mixed": i if i != 1 else "a", "lists": [1]}
        for i, row in enumerate(spoken())
    ]
    with pytest.raises(error, match=message):
        from_hf(table, "text", "label", BYTES, groups=groups)


def test_groups_of_mixed_type_in_two_splits():
    table = spoken(shared=False)
    numbered = [{**row, "speaker": i} for i, row in enumerate(table)]
    with pytest.raises(DataError, match=r"must contain groups of one type, got int .* after str"):
        from_hf({"a": table, "b": numbered}, "text", "label", BYTES, groups="speaker")


def test_groups_survive_the_memory_limit_and_moves(tmp_path):
    options = {"groups": "speaker", "root": tmp_path}
    inside = from_hf(spoken(3, 9), "text", "label", BYTES, **options)
    outside = from_hf(spoken(3, 9), "text", "label", BYTES, **options, memory=1)
    for ours, theirs in zip(inside, outside, strict=True):
        assert torch.equal(ours.groups, theirs.groups)
        assert torch.equal(ours.sequences, theirs.sequences)
        assert ours.to("cpu").group_names == ours.group_names
