"""Properties of loaders, padding and splits for any sizes that hypothesis finds."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2l_rnn.data import SequenceDataset, TaskBatch, TaskLoader, from_arrays
from l2l_rnn.data.class_splits import grouped_names, split_by_share
from l2l_rnn.data.loading.sizes import as_range, check_count
from l2l_rnn.data.loading.varied import divide, packed
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sampling import Grouping
from l2l_rnn.errors import ArgumentError

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@st.composite
def ranges(draw, most):
    low = draw(st.integers(1, most))
    return low, draw(st.integers(low, most))


@st.composite
def loaders(draw):
    """A dataset of classes of any sizes, and the arguments of a loader that it can serve."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=7))
    imbalanced = draw(st.booleans())
    usable = sum(size > 1 for size in sizes)
    if usable < 1:
        sizes[0], usable = 2, 1
    if not imbalanced:
        sizes = [max(size, 4) for size in sizes]
        usable = len(sizes)
    most = 20 if imbalanced else min(sizes) // 2
    labels = torch.cat([torch.full((size,), n) for n, size in enumerate(sizes)])
    items = torch.stack([torch.arange(1, len(labels) + 1), labels + 1], 1)
    options = {
        "tasks": draw(st.integers(1, 7)),
        "shots": draw(ranges(most)),
        "queries": draw(ranges(most)),
        "ways": draw(ranges(usable)),
        "imbalanced": imbalanced,
        "seed": draw(st.integers(0, 2**63 - 1)),
    }
    return sizes, SequenceDataset(items, labels), options


def rows(batch, side, n):
    mask = getattr(batch, f"{side}_mask")
    kept = slice(None) if mask is None else mask[n]
    return [getattr(batch, f"{side}_{name}")[n][kept] for name in ("x", "y", "indices")]


@few
@given(loaders())
def test_every_task_is_what_was_asked_for(case):
    sizes, source, options = case
    for batch in itertools.islice(TaskLoader(source, **options), 2):
        assert len(batch) == options["tasks"]
        for n in range(len(batch)):
            support, query = rows(batch, "support", n), rows(batch, "query", n)
            x, y, indices = (torch.cat(pair) for pair in zip(support, query, strict=True))
            assert torch.equal(source.sequences[indices], x)
            assert len(indices.unique()) == len(indices)
            ways = len(y.unique())
            assert y.unique().tolist() == list(range(ways))
            assert options["ways"][0] <= ways <= options["ways"][1]
            for label in range(ways):
                own = x[y == label]
                assert len(own[:, 1].unique()) == 1
                size = sizes[int(own[0, 1]) - 1]
                counts = [int((side[1] == label).sum()) for side in (support, query)]
                for count, name in zip(counts, ("shots", "queries"), strict=True):
                    assert 1 <= count <= options[name][1]
                    assert count >= options[name][0] or options["imbalanced"]
                assert sum(counts) <= size


@few
@given(loaders(), st.integers(2, 4), st.integers(0, 3))
def test_position_ranks_and_prefetching_change_nothing(case, world_size, prefetch):
    _, source, options = case
    options["tasks"] = max(options["tasks"], world_size)
    wanted = list(itertools.islice(TaskLoader(source, **options), 3))
    ranks = [
        TaskLoader(source, **options, prefetch=prefetch, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    next(ranks[0])
    for rank in ranks[1:]:
        rank.load_state_dict(ranks[0].state_dict())
    for batch in wanted[1:]:
        shares = [next(rank) for rank in ranks]
        for name in TaskBatch.__dataclass_fields__:
            part = getattr(batch, name)
            held = [getattr(share, name) for share in shares]
            if part is None:
                assert held == [None] * world_size
            else:
                assert torch.equal(torch.cat(held), part)
    for rank in ranks:
        rank._close()


@few
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 20), st.integers(1, 20))
def test_items_are_divided_between_both_sides(sizes, shots, queries):
    found = torch.tensor(sizes).clamp(max=shots + queries)
    support, query = divide(found, torch.tensor(shots), torch.tensor(queries))
    for size, s, q in zip(sizes, support.tolist(), query.tolist(), strict=True):
        assert s <= shots
        assert q <= queries
        assert s + q <= size or size == 0
        if size >= shots + queries:
            assert (s, q) == (shots, queries)
        elif size >= 2:
            assert min(s, q) >= 1
            assert s + q >= size - 1  # rounding leaves out one item at most


@few
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12), st.integers(0, 99))
def test_as_many_items_as_there_are(sizes, each, seed):
    labels = torch.cat([torch.full((size,), n) for n, size in enumerate(sizes)])
    grouping = Grouping(labels[torch.randperm(len(labels))])
    generator = torch.Generator().manual_seed(seed)
    items, found = grouping.draw_up_to(torch.arange(len(sizes)), each, generator)
    assert found.tolist() == [min(size, each) for size in sizes]
    if max(each, *sizes) == min(sizes) or each <= min(sizes):
        generator = torch.Generator().manual_seed(seed)
        drawn = grouping.draw(torch.arange(len(sizes)), each, generator)
        assert torch.equal(items, drawn)
    for n, count in enumerate(found.tolist()):
        own = items[n, :count]
        assert len(own.unique()) == count
        members = grouping.order[grouping.starts[n] : grouping.starts[n] + sizes[n]]
        assert torch.isin(own, members).all()


@few
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_rows_are_packed_in_order(kept):
    kept = torch.tensor(kept)
    kept[:, 5] |= ~kept.any(1)
    order, mask = packed(kept, int(kept.sum(1).max()))
    for n in range(len(kept)):
        assert order[n][mask[n]].tolist() == kept[n].nonzero().flatten().tolist()
        assert set(order[n][~mask[n]].tolist()) <= {int(order[n, 0])}


@few
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_padding_keeps_every_case(lengths, channels):
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=(channels, length)).astype(np.float32) for length in lengths]
    steps = padded_steps("test", cases)
    assert steps.shape == (len(cases), max(lengths), channels)
    for row, case in zip(steps, cases, strict=True):
        assert torch.equal(row[: case.shape[1]], torch.from_numpy(case.T))
        assert row[case.shape[1] :].isnan().all()


@few
@given(
    st.lists(st.sampled_from([1, 2, 3, 4]), min_size=2, max_size=5),
    st.integers(0, 1000),
)
def test_joined_batches_keep_their_tasks(counts, seed):
    generator = torch.Generator().manual_seed(seed)

    def batch(count):
        x = torch.randn(2, count, 3, generator=generator)
        return TaskBatch(x, x.sum(-1), x[:, :1], x[:, :1].sum(-1))

    batches = [batch(count) for count in counts]
    joined = TaskBatch.joined(batches)
    assert len(joined) == 2 * len(counts)
    assert (joined.support_mask is None) == (len(set(counts)) == 1)
    assert joined.query_mask is None
    place = 0
    for own in batches:
        for n in range(2):
            mask = joined.support_mask
            kept = slice(None) if mask is None else mask[place]
            assert torch.equal(joined.support_x[place][kept], own.support_x[n])
            assert torch.equal(joined.query_x[place], own.query_x[n])
            place += 1


@few
@given(
    st.sets(st.integers(0, 999).map(str), min_size=3, max_size=30),
    st.tuples(*[st.floats(0.01, 10)] * 3),
    st.integers(0, 99),
    st.randoms(use_true_random=False),
)
def test_every_class_is_in_one_split(names, shares, seed, random):
    names = list(names)
    found = split_by_share("test", shares, names, seed, "fix")
    assert set(found) == set(names)
    assert set(found.values()) == {0, 1, 2}
    random.shuffle(names)
    assert split_by_share("test", shares, names, seed, "fix") == found
    parts = grouped_names("test", found, "fix")
    assert sorted(itertools.chain(*parts)) == sorted(names)


@few
@given(st.integers(6, 12), st.integers(0, 99), st.integers(2, 5))
def test_no_class_is_in_two_splits_of_arrays(classes, seed, each):
    y = np.arange(classes).repeat(each)
    x = y[:, None, None] + np.zeros((1, 1, 3), np.float32)
    sources = from_arrays(x, y, splits=(2, 1, 1), seed=seed)
    values = [set(part.sequences.flatten().tolist()) for part in sources]
    assert set.union(*values) == set(range(classes))
    assert sum(map(len, values)) == classes


@few
@given(st.one_of(st.integers(-3, 9), st.tuples(st.integers(-3, 9), st.integers(-3, 9))))
def test_settings_are_checked(count):
    low, high = count if isinstance(count, tuple) else (count, count)
    if 1 <= low <= high:
        assert as_range(check_count("test", "shots", count)) == (low, high)
    else:
        with pytest.raises(ArgumentError, match=r"^test: shots must be"):
            check_count("test", "shots", count)
