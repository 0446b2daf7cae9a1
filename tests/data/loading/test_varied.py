"""Loaders of tasks that differ in ways, shots and queries."""

import itertools
import json
from collections import Counter

import learn2learn
import pytest
import torch
from learn2learn.data import MetaDataset

from l2l_rnn.data import GroupedDataset, SequenceDataset, SourceTaskset, TaskLoader
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.tasksets import DelayedRecall, Sinusoids

FIELDS = ("x", "y", "indices", "mask")


def sequences(sizes=(9, 9, 9, 9, 9, 9), **options):
    """Items of two tokens: their number from 1, and their class from 1."""
    labels = torch.cat([torch.full((size,), n) for n, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    return SequenceDataset(
        torch.stack([torch.arange(1, len(labels) + 1), labels + 1], 1), labels, **options
    )


def speakers():
    return sequences((12,) * 6, groups=torch.arange(72) % 9)


def persons():
    """Of 3 persons; the last one has 3 of the 5 classes."""
    labels = torch.cat(
        [torch.arange(5).repeat(8), torch.arange(5).repeat(8), torch.arange(3).repeat(8)]
    )
    people = torch.cat([torch.zeros(40), torch.ones(40), torch.full((24,), 2.0)]).long()
    x = torch.stack([torch.arange(1, 105), labels + 1], 1)
    return GroupedDataset(x, labels, people, "abcde")


def plain(num_tasks=-1):
    meta = sequences().meta()
    transforms = learn2learn.data.transforms
    return learn2learn.data.Taskset(
        meta,
        [
            transforms.NWays(meta, n=3),
            transforms.KShots(meta, k=8),
            transforms.LoadData(meta),
            transforms.RemapLabels(meta),
        ],
        num_tasks=num_tasks,
    )


SHOTS, QUERIES = (1, 4), (2, 4)
CASES = {
    "sequences": (sequences, {"ways": (2, 5)}),
    "speakers": (speakers, {"ways": (2, 4)}),
    "persons": (persons, {"ways": (2, 5)}),
    "transform": (lambda: sequences(transform=lambda x: x + 0), {"ways": (2, 5)}),
    "numbers": (
        lambda: GroupedDataset(torch.randn(40, 3), torch.randn(40, 2), torch.arange(40) // 20),
        {},
    ),
    "waves": (Sinusoids, {}),
    "symbols": (lambda: DelayedRecall(2, symbols=3), {}),
    "task set": (lambda: SourceTaskset(sequences(), 3, 8), {}),
    "fixed": (lambda: SourceTaskset(sequences(), 3, 8, num_tasks=5), {}),
    "learn2learn": (plain, {}),
    "pairs": (lambda: [(x, int(y)) for x, y in sequences()], {"ways": (2, 5)}),
    "meta": (lambda: MetaDataset(sequences()), {"ways": (2, 5)}),
}
CLASSIFIED = (
    "sequences",
    "speakers",
    "persons",
    "transform",
    "task set",
    "fixed",
    "learn2learn",
    "meta",
)


def loader(case, tasks=6, seed=0, **options):
    make, given = CASES[case]
    torch.manual_seed(0)
    return TaskLoader(
        make(), tasks, **{"shots": SHOTS, "queries": QUERIES, "seed": seed, **given, **options}
    )


def parts(batch):
    found = {f.name: getattr(batch, f.name) for f in batch.__dataclass_fields__.values()}
    return {name: part for name, part in found.items() if part is not None}


def same(one, other):
    one, other = parts(one), parts(other)
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def rows(batch, side, n):
    """The examples of a task, without padding."""
    mask = getattr(batch, f"{side}_mask")
    kept = slice(None) if mask is None else mask[n]
    found = [getattr(batch, f"{side}_{name}") for name in ("x", "y", "indices")]
    return [None if part is None else part[n][kept] for part in found]


@pytest.mark.parametrize("case", CASES)
def test_sizes_are_within_their_ranges(case):
    ways, shots, queries = Counter(), Counter(), Counter()
    for batch in itertools.islice(loader(case), 30):
        for n in range(len(batch)):
            if case in CLASSIFIED or case == "pairs":
                found = [
                    rows(batch, side, n)[1].unique(return_counts=True)
                    for side in ("support", "query")
                ]
                assert found[0][0].tolist() == list(range(len(found[0][0])))
                assert torch.equal(found[0][0], found[1][0])
                ways[len(found[0][0])] += 1
                counts = [part[1].tolist() for part in found]
                assert all(len(set(each)) == 1 for each in counts)
                shots[counts[0][0]] += 1
                queries[counts[1][0]] += 1
            elif case != "symbols":
                shots[len(rows(batch, "support", n)[0])] += 1
                queries[len(rows(batch, "query", n)[0])] += 1
            else:
                counts = rows(batch, "support", n)[1].bincount(minlength=3).tolist()
                assert max(counts) <= 4
    if case != "symbols":
        assert set(shots) == {1, 2, 3, 4}
        assert set(queries) == {2, 3, 4}
    if "ways" in CASES[case][1]:
        assert set(ways) == set(range(2, CASES[case][1]["ways"][1] + 1))


@pytest.mark.parametrize("case", [*CLASSIFIED, "pairs"])
def test_rows_are_items_of_classes_that_both_sides_share(case):
    for batch in itertools.islice(loader(case), 5):
        for n in range(len(batch)):
            (x, y, indices), (query_x, query_y, query_indices) = (
                rows(batch, side, n) for side in ("support", "query")
            )
            numbers, classes = torch.cat([x, query_x]).unbind(1)
            assert len(numbers.unique()) == len(numbers)  # no item twice
            pairs = set(zip(torch.cat([y, query_y]).tolist(), classes.tolist(), strict=True))
            assert len(pairs) == len(y.unique()) == len(classes.unique())
            if indices is not None:
                assert (torch.cat([indices, query_indices]) + 1).tolist() == numbers.tolist()


@pytest.mark.parametrize("case", CASES)
def test_padding_repeats_an_example(case):
    batch = next(loader(case))
    for side in ("support", "query"):
        mask = getattr(batch, f"{side}_mask")
        assert mask.any(1).all()
        assert mask.all(1).any()  # no larger than needed
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()  # examples come first
        for n in range(len(batch)):
            for name in FIELDS[:3]:
                part = getattr(batch, f"{side}_{name}")
                if part is not None:
                    filled = part[n][~mask[n]]
                    assert torch.equal(filled, part[n][:1].expand_as(filled))


@pytest.mark.parametrize("case", CASES)
def test_streams_resume_and_are_shared_by_ranks(case):
    whole = list(itertools.islice(loader(case, tasks=5), 5))
    again = loader(case, tasks=5)
    again.load_state_dict(again.state_dict())
    for batch in whole[:2]:
        assert same(next(again), batch)
    state = again.state_dict()
    kept = {name: value for name, value in state.items() if name != "generator"}
    kept = json.loads(json.dumps(kept))
    other = loader(case, tasks=5, seed=7, prefetch=2)
    if case != "fixed":  # whose tasks stay as they were drawn first
        next(other)
    other.load_state_dict({**kept, "generator": state["generator"]})
    for batch in whole[2:]:
        assert same(next(other), batch)
    ranks = [loader(case, tasks=5, rank=r, world_size=2) for r in range(2)]
    for batch in whole:
        shares = [next(rank) for rank in ranks]
        for name, part in parts(batch).items():
            assert torch.equal(torch.cat([getattr(share, name) for share in shares]), part)


def test_a_range_of_one_number_changes_nothing():
    fixed = TaskLoader(sequences(), 4, 2, 3, ways=3, seed=0)
    ranged = TaskLoader(sequences(), 4, (2, 2), [3, 3], ways=(3, 3), seed=0)
    assert same(next(fixed), next(ranged))
    assert fixed.state_dict().keys() == ranged.state_dict().keys()
    assert ranged.shots == 2


def test_sizes_and_classes_are_uniform():
    """Tolerances of 4 standard deviations, with a fixed seed."""
    counts, shots, ways = torch.zeros(6), Counter(), Counter()
    tasks = 2000
    for batch in TaskLoader(sequences(), 200, (1, 4), 2, ways=(2, 4), seed=0, batches=10):
        for n in range(200):
            x, y, _ = rows(batch, "support", n)
            classes = x[:, 1].unique() - 1
            counts[classes] += 1 / len(classes)
            ways[len(classes)] += 1
            shots[int((y == 0).sum())] += 1
    deviation = 4 * (tasks * 0.25) ** 0.5
    assert (counts - tasks / 6).abs().max() < deviation / 2
    assert all(abs(count - tasks / 4) < deviation for count in shots.values())
    assert all(abs(count - tasks / 3) < deviation for count in ways.values())


def test_classes_of_a_person_are_uniform():
    counts = torch.zeros(2, 5)
    for batch in TaskLoader(persons(), 200, (1, 3), 2, ways=(2, 5), seed=0, batches=10):
        for n in range(200):
            x, _, indices = rows(batch, "support", n)
            assert (x[:, 1].diff() >= 0).all()  # renumbered in ascending order
            person = int(indices[0]) // 40
            if person < 2:
                counts[person][x[:, 1].unique() - 1] += 1
    assert (counts / counts.mean() - 1).abs().max() < 0.1


def test_groups_with_fewer_classes_use_those_that_they_have():
    seen = Counter()
    for batch in TaskLoader(persons(), 60, 1, 1, ways=(2, 5), seed=0, batches=5):
        for n in range(60):
            x, _, indices = rows(batch, "support", n)
            seen[int(indices[0]) // 40, len(x)] += 1
    assert {count for person, count in seen if person == 2} == {2, 3}
    assert {count for person, count in seen if person < 2} == {2, 3, 4, 5}
    with pytest.raises(DataError, match="at most 5 ways"):
        TaskLoader(persons(), 2, 1, 1, ways=(6, 7))


SIZES = (1, 2, 3, 5, 9, 30)


def test_small_classes_take_part_with_fewer_examples():
    source = sequences(SIZES)
    seen = {size: set() for size in SIZES}
    for batch in TaskLoader(source, 50, 5, 10, ways=3, imbalanced=True, seed=0, batches=6):
        for n in range(50):
            support, query = rows(batch, "support", n), rows(batch, "query", n)
            for label in range(3):
                mine = [side[0][side[1] == label] for side in (support, query)]
                size = SIZES[int(mine[0][0, 1]) - 1]
                seen[size].add(tuple(map(len, mine)))
                assert not set(mine[0][:, 0].tolist()) & set(mine[1][:, 0].tolist())
    assert seen == {1: set(), 2: {(1, 1)}, 3: {(1, 2)}, 5: {(2, 3)}, 9: {(3, 6)}, 30: {(5, 10)}}


def test_small_classes_of_persons():
    labels = torch.tensor([0] * 9 + [1] * 2 + [2] + [0] * 4 + [1] * 3)
    people = torch.tensor([0] * 12 + [1] * 7)
    x = torch.arange(1, 20).view(-1, 1)
    source = GroupedDataset(x, labels, people, "abc")
    with pytest.raises(DataError, match="must have at least 8 examples"):
        TaskLoader(source, 4, 4, 4, ways=2)
    seen = set()
    for batch in TaskLoader(source, 20, 4, 4, ways=2, imbalanced=True, seed=0, batches=3):
        for n in range(20):
            counts = [rows(batch, side, n)[1].bincount().tolist() for side in ("support", "query")]
            seen.add((int(people[rows(batch, "support", n)[2][0]]), str(counts)))
    assert seen == {(0, "[[4, 1], [4, 1]]"), (1, "[[2, 2], [2, 1]]")}


def test_imbalanced_and_ranges_together():
    source = sequences(SIZES)
    batches = TaskLoader(
        source, 8, (1, 5), (1, 9), ways=(2, 5), imbalanced=True, seed=0, prefetch=1
    )
    found = [rows(next(batches), "support", n)[1] for n in range(8)]
    assert {len(y.unique()) for y in found} <= {2, 3, 4, 5}
    assert len({len(y) for y in found}) > 2
    state = batches.state_dict()
    assert state["imbalanced"] is True
    with pytest.raises(ArgumentTypeError, match="state must be a dict of"):
        TaskLoader(sequences(), 8, (1, 5), (1, 4), ways=(2, 5), seed=0).load_state_dict(state)


BAD = {
    "order": ({"shots": (3, 1)}, ArgumentError, r"shots must be a pair \(least, most\) in asc"),
    "zero": ({"shots": (0, 2)}, ArgumentError, "shots must be a positive integer, got 0"),
    "three": ({"queries": (1, 2, 3)}, ArgumentError, r"queries must be a number or a pair"),
    "floats": ({"ways": (1.5, 2)}, ArgumentError, "ways must be a positive integer, got 1.5"),
    "too many": ({"shots": (1, 8), "queries": 2}, DataError, "samples must be at most 9"),
    "ways": ({"ways": (2, 7)}, DataError, "ways must be at most 6"),
    "flag": ({"imbalanced": 1}, ArgumentError, "imbalanced must be True or False"),
    "family": ({"taskset": DelayedRecall(2)}, ArgumentError, "ways must be a number with Delayed"),
    "task set": (
        {"taskset": SourceTaskset(sequences(), 3, 8), "ways": None, "imbalanced": True},
        ArgumentError,
        "imbalanced must be False with a task set.*taskset.source",
    ),
    "ways of a task set": (
        {"taskset": SourceTaskset(sequences(), 3, 8)},
        ArgumentError,
        "ways is set by the task set",
    ),
    "speakers": ({"taskset": speakers(), "imbalanced": True}, ArgumentError, "without groups"),
    "meta": (
        {"taskset": MetaDataset(sequences()), "imbalanced": True},
        ArgumentError,
        "got MetaDataset; ask for fewer shots",
    ),
    "single items": (
        {"taskset": sequences((1, 1, 4)), "imbalanced": True},
        DataError,
        "at most 1, the number of classes with at least 2 items",
    ),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_sizes(options, error, message):
    given = {"taskset": sequences(), "tasks": 4, "shots": (1, 2), "queries": 2, "ways": (2, 3)}
    with pytest.raises(error, match=message):
        TaskLoader(**{**given, **options})


def test_a_state_of_other_sizes():
    one = loader("sequences")
    with pytest.raises(ArgumentError, match=r"with shots=\[1, 4\], got shots=\[1, 3\]"):
        one.load_state_dict(loader("sequences", shots=(1, 3)).state_dict())
    assert "shots=(1, 4)" in repr(one)
