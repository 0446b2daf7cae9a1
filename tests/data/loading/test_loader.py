"""The loader: one stream of tasks, whoever draws it and wherever one enters it."""

import copy
import gc
import itertools
import json
import random
import threading
import time

import learn2learn
import numpy as np
import pytest
import torch
from torch import Generator

from l2l_rnn.data import GroupedDataset, SequenceDataset, SourceTaskset, TaskBatch, TaskLoader
from l2l_rnn.data.loading.prefetch import Prefetcher
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.tasksets import DelayedRecall, Sinusoids

PARTS = ("support_x", "support_y", "query_x", "query_y")


def sequences(**options):
    """5 classes of 8 items; an item's number is its first token, its class the second."""
    labels = torch.arange(40) % 5
    numbered = torch.stack([torch.arange(1, 41), labels + 1, torch.zeros(40).long()], -1)
    return SequenceDataset(numbered, labels, **options)


def persons():
    return GroupedDataset(
        torch.randn(36, 4, 2), torch.arange(36) % 3, torch.arange(36) // 12, "abc"
    )


def series():
    return GroupedDataset(torch.randn(36, 4), torch.randn(36, 2), torch.arange(36) // 12)


def plain(**options):
    """A Taskset as a learn2learn script makes it."""
    meta = sequences().meta()
    transforms = learn2learn.data.transforms
    return learn2learn.data.Taskset(
        meta,
        [
            transforms.NWays(meta, n=3),
            transforms.KShots(meta, k=4),
            transforms.LoadData(meta),
            transforms.RemapLabels(meta),
        ],
        **options,
    )


TASKSETS = {
    "classes": lambda: SourceTaskset(sequences(), 3, 4),
    "persons": lambda: SourceTaskset(persons(), 3, 4),
    "numbers": lambda: SourceTaskset(series(), 1, 4),
    "waves": lambda: SourceTaskset(Sinusoids(), 1, 4),
    "symbols": lambda: SourceTaskset(DelayedRecall(3, symbols=3), 3, 4),
    "fixed": lambda: SourceTaskset(sequences(), 3, 4, num_tasks=5),
    "fixed waves": lambda: SourceTaskset(Sinusoids(), 1, 4, num_tasks=5),
    "learn2learn": plain,
    "fixed learn2learn": lambda: plain(num_tasks=5),
}
AT_ONCE = ("classes", "persons", "numbers", "waves", "symbols")


@pytest.fixture(params=TASKSETS)
def kind(request):
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def taskset(kind):
    return TASKSETS[kind]()


def fresh(kind):
    torch.manual_seed(0)
    return TASKSETS[kind]()


def parts(batch):
    return [getattr(batch, name) for name in PARTS]


def same(a, b):
    return all(map(torch.equal, parts(a), parts(b)))


def take(loader, count):
    return list(itertools.islice(loader, count))


def all_same(first, second):
    return len(first) == len(second) and all(map(same, first, second))


def test_shapes_and_balance(kind, taskset):
    loader = TaskLoader(taskset, tasks=6, shots=1, seed=0)
    assert loader.at_once == (kind in AT_ONCE)
    for batch in take(loader, 3):
        assert isinstance(batch, TaskBatch)
        ways = 3 if batch.support_y.ndim == 2 else 1
        assert batch.support_x.shape[:2] == batch.support_y.shape[:2] == (6, ways)
        assert batch.query_x.shape[:2] == batch.query_y.shape[:2] == (6, 3 * ways)
        if ways == 3:
            assert batch.support_y.sort(-1).values.tolist() == [[0, 1, 2]] * 6
            assert (
                torch.sort(batch.query_y, -1).values.unflatten(1, (3, 3))[..., 1] == torch.arange(3)
            ).all()


def test_fewer_queries_than_there_are(taskset):
    batch = next(TaskLoader(taskset, 2, 1, 2, seed=0))
    assert batch.query_x.shape[1] == 2 * batch.support_x.shape[1]


@pytest.mark.parametrize("kind", ["classes", "fixed", "learn2learn", "fixed learn2learn"])
def test_support_and_query_are_of_the_same_classes_and_share_no_item(taskset):
    for batch in take(TaskLoader(taskset, 5, 2, seed=0), 4):
        for sx, sy, qx, qy in zip(*parts(batch), strict=True):
            x, y = torch.cat([sx, qx]), torch.cat([sy, qy])
            assert len(x[:, 0].unique()) == 12
            assert len({(a, b) for a, b in zip(x[:, 1].tolist(), y.tolist(), strict=True)}) == 3


def test_a_seed_fixes_the_stream_and_the_tasks_differ(kind, taskset):
    first = take(TaskLoader(taskset, 4, 2, seed=3), 3)
    assert all_same(first, take(TaskLoader(fresh(kind), 4, 2, seed=3), 3))
    assert not same(first[0], take(TaskLoader(fresh(kind), 4, 2, seed=4), 1)[0])
    assert not same(first[0], first[1])


def test_without_a_seed_torchs_generator_gives_one(taskset):
    torch.manual_seed(1)
    first, second = TaskLoader(taskset, 2, 1), TaskLoader(taskset, 2, 1)
    assert first.seed != second.seed
    torch.manual_seed(1)
    assert TaskLoader(taskset, 2, 1).seed == first.seed


def test_the_callers_generators_are_left_alone(taskset):
    loader = TaskLoader(taskset, 3, 1, seed=0)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(())
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    take(loader, 2)
    assert (random.random(), np.random.rand(), torch.rand(())) == expected


def test_the_callers_generators_do_not_count(kind, taskset):
    first = take(TaskLoader(taskset, 3, 1, seed=0), 3)
    random.seed(8), np.random.seed(8), torch.manual_seed(0)
    again = TaskLoader(TASKSETS[kind](), 3, 1, seed=0)
    for batch in first:
        random.random(), torch.rand(3)
        assert same(next(again), batch)


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("when", [0, 1, 4])
def test_a_position_restores_the_stream_bit_for_bit(kind, taskset, when, prefetch):
    loader = TaskLoader(taskset, 4, 2, seed=7, prefetch=prefetch)
    take(loader, when)
    state = loader.state_dict()
    json.dumps({name: v.tolist() if torch.is_tensor(v) else v for name, v in state.items()})
    expected = take(loader, 4)
    loader.load_state_dict(state)
    assert all_same(take(loader, 4), expected)
    other = TaskLoader(fresh(kind), 4, 2, seed=99)
    if "fixed" not in kind:  # whose tasks would be drawn, and stay
        take(other, 2)
    other.load_state_dict(state)
    assert other.seed == 7
    assert all_same(take(other, 4), expected)


def test_a_state_is_a_copy(taskset):
    loader = TaskLoader(taskset, 2, 1, seed=0)
    state = loader.state_dict()
    before = state["generator"].clone()
    first = next(loader)
    assert torch.equal(state["generator"], before)
    loader.load_state_dict(state)
    state["generator"].zero_()
    assert same(next(loader), first)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_share_one_stream(kind, taskset, world_size):
    expected = take(TaskLoader(taskset, 7, 2, seed=1), 3)
    loaders = [
        TaskLoader(fresh(kind), 7, 2, seed=1, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    for batch in expected:
        shares = [next(loader) for loader in loaders]
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        joined = TaskBatch(*(torch.cat(group) for group in zip(*map(parts, shares), strict=True)))
        assert same(joined, batch)
    for loader in loaders[1:]:
        assert torch.equal(loader.state_dict()["generator"], loaders[0].state_dict()["generator"])


def test_other_ranks_go_on_from_one_ranks_state(taskset):
    one = TaskLoader(taskset, 4, 2, seed=1, rank=1, world_size=2)
    take(one, 2)
    whole, half = TaskLoader(taskset, 4, 2), TaskLoader(taskset, 4, 2, seed=5, world_size=2)
    whole.load_state_dict(one.state_dict())
    half.load_state_dict(one.state_dict())
    assert same(next(whole).share(0, 2), next(half))


def test_prefetching_changes_nothing(taskset):
    expected = take(TaskLoader(taskset, 3, 1, seed=2), 6)
    ahead = TaskLoader(taskset, 3, 1, seed=2, prefetch=2)
    slow, position = [], TaskLoader(taskset, 3, 1, seed=2)
    for _ in range(6):
        slow.append(next(ahead))
        next(position)
        assert torch.equal(ahead.state_dict()["generator"], position.state_dict()["generator"])
    assert all_same(slow, expected)


def test_batches_end_a_loop_and_the_next_goes_on(taskset):
    endless = take(TaskLoader(taskset, 2, 1, seed=0), 6)
    loader = TaskLoader(taskset, 2, 1, batches=3, seed=0, prefetch=1)
    assert len(loader) == 3
    assert all_same(list(loader), endless[:3])
    with pytest.raises(StopIteration):
        next(loader)
    with pytest.raises(StopIteration):
        next(loader)
    assert all_same(list(loader), endless[3:])


def test_a_loop_left_early_goes_on_and_so_does_a_restored_one(taskset):
    endless = take(TaskLoader(taskset, 2, 1, seed=0), 6)
    loader = TaskLoader(taskset, 2, 1, batches=3, seed=0)
    for _batch in loader:
        break
    state = loader.state_dict()
    assert all_same(list(loader), endless[1:3])
    restored = TaskLoader(taskset, 2, 1, batches=3)
    restored.load_state_dict(state)
    assert all_same(list(restored), endless[1:3])
    assert all_same(list(restored), endless[3:6])
    shorter = TaskLoader(taskset, 2, 1, batches=2)
    shorter.load_state_dict(loader.state_dict())
    assert all_same(list(shorter), endless[3:5])


def test_without_an_end_there_is_no_len():
    loader = TaskLoader(plain(), 2, 1)
    with pytest.raises(ArgumentTypeError, match=r"no len\(\); set batches="):
        len(loader)
    assert "tasks=2, shots=1" in repr(loader)


def test_learn2learns_infinite_iterator():
    loader = TaskLoader(plain(), 2, 1, batches=2, seed=0)
    endless = take(TaskLoader(plain(), 2, 1, seed=0), 5)
    assert all_same(take(learn2learn.data.utils.InfiniteIterator(loader), 5), endless)


def test_tasks_that_are_drawn_already_stay():
    taskset = plain(num_tasks=2)
    held = [x for x, _ in taskset]
    batch = next(TaskLoader(taskset, 8, 2, seed=0))
    for sx, qx in zip(batch.support_x, batch.query_x, strict=True):
        items = sorted(torch.cat([sx, qx])[:, 0].tolist())
        assert items in [sorted(x[:, 0].tolist()) for x in held]


def test_transforms_of_ones_own_are_kept():
    taskset = SourceTaskset(sequences(), 3, 4)
    taskset.task_transforms.append(lambda description: description[::-1])
    loader = TaskLoader(taskset, 2, 1, seed=0)
    assert not loader.at_once
    assert next(loader).support_x.shape == (2, 3, 3)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("num_tasks", [2, -1])
def test_noise_of_a_transform_is_seeded_and_leaves_the_callers_generators(num_tasks, prefetch):
    def noisy(x):
        return x + torch.rand(3) + random.random() + np.random.rand()

    def draw():
        taskset = SourceTaskset(sequences(transform=noisy), 3, 4, num_tasks=num_tasks)
        return TaskLoader(taskset, 4, 1, seed=0, prefetch=prefetch)

    loader = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = next(loader)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    state = loader.state_dict()
    second = next(loader)
    assert same(next(draw()), first)
    other = draw()
    other.load_state_dict(state)
    assert same(next(other), second)
    assert not torch.equal(first.support_x % 1, second.support_x % 1)


def test_both_ways_of_drawing_have_one_distribution(chance_of):
    """Of the same tasks of three classes, one by one and at once: items and pairs of classes."""
    fast = TaskLoader(TASKSETS["classes"](), 3000, 1, seed=0)
    slow = TaskLoader(plain(), 3000, 1, seed=0)
    counts = []
    for loader in (fast, slow):
        batch = next(loader)
        items = batch.support_x[..., 0].flatten() - 1
        order = batch.support_y.argsort(-1)
        classes = batch.support_x[..., 1].gather(1, order) - 1
        counts.append((torch.bincount(items, minlength=40), classes @ torch.tensor([25, 5, 1])))
    assert chance_of([counts[0][0].tolist(), counts[1][0].tolist()]) > 1e-4
    tables = [torch.bincount(c[1], minlength=125) for c in counts]
    possible = (tables[0] + tables[1]).nonzero().flatten()
    assert len(possible) == 60
    assert chance_of([table[possible].tolist() for table in tables]) > 1e-4


SIZES = torch.tensor([[6, 6, 3], [2, 9, 4], [7, 6, 8], [3, 3, 3], [6, 2, 12]])


def uneven(classified):
    """5 persons, of whom 3 have 6 examples of two classes; an input is an example's number."""
    cells = torch.arange(15).repeat_interleave(SIZES.flatten())
    numbered = torch.arange(len(cells)).float().unsqueeze(-1)
    if classified:
        return GroupedDataset(numbered, cells % 3, cells // 3, "abc")
    return GroupedDataset(numbered, numbered, cells // 3)


@pytest.mark.parametrize("queries", [None, 1, 2])
@pytest.mark.parametrize(("classified", "samples"), [(True, 6), (False, 14)])
def test_both_ways_of_drawing_from_groups_have_one_distribution(
    classified, samples, queries, chance_of
):
    source = uneven(classified)
    meta, transforms = source.recipe(2, samples)
    slow = TaskLoader(learn2learn.data.Taskset(meta, transforms), 1500, 3, queries, seed=0)
    fast = TaskLoader(SourceTaskset(source, 2, samples), 1500, 3, queries, seed=0)
    assert fast.at_once
    assert not slow.at_once
    batches = [next(fast), next(slow)]
    for x, y in (("support_x", "support_y"), ("query_x", "query_y")):
        first, second = (getattr(batch, y) for batch in batches)
        assert first.shape == second.shape
        if classified:
            assert torch.equal(first, second)
        shape = getattr(batches[0], x).shape
        assert getattr(batches[1], x).shape == shape
        for place in (0, shape[1] - 1):
            items = [getattr(batch, x)[:, place, 0].long() for batch in batches]
            tables = torch.stack([torch.bincount(i, minlength=len(source)) for i in items])
            assert chance_of(tables[:, tables.sum(0) > 0].tolist()) > 1e-4
    items = torch.cat([batches[0].support_x, batches[0].query_x], 1)[..., 0].long()
    assert all(len(row.unique()) == len(row) for row in items)
    enough = samples <= SIZES if classified else SIZES.sum(1, keepdim=True) >= samples
    able = (enough.sum(1) >= (2 if classified else 1)).nonzero().flatten()
    assert len(able) < 5
    assert torch.equal(source.groups[items].unique(), able)


def test_a_device_takes_the_batches(taskset):
    for batch in take(TaskLoader(taskset, 2, 1, device="meta", prefetch=1), 2):
        assert all(part.is_meta for part in parts(batch))
    batch = next(TaskLoader(taskset, 2, 1, device=torch.device("cpu"), pin_memory=False))
    assert all(part.device.type == "cpu" for part in parts(batch))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("prefetch", [0, 2])
def test_cuda(taskset, prefetch):
    expected = take(TaskLoader(taskset, 3, 1, seed=0), 3)
    moved = take(TaskLoader(taskset, 3, 1, seed=0, device="cuda", prefetch=prefetch), 3)
    assert all(part.is_cuda for batch in moved for part in parts(batch))
    assert all_same([batch.to("cpu") for batch in moved], expected)
    pinned = next(TaskLoader(taskset, 3, 1, seed=0, pin_memory=True))
    assert all(part.is_pinned() for part in parts(pinned))


def prefetch_threads():
    return {t for t in threading.enumerate() if t.name == "l2l_rnn prefetch"}


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Failing(Sinusoids):
    """Fails at the third draw, once."""

    def __init__(self):
        self.draws, self.broken = 0, True

    def draw(self, *args, **options):
        self.draws += 1
        if self.broken and self.draws >= 3:
            raise OSError("the disk is gone")
        return super().draw(*args, **options)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_an_error_reaches_the_consumer_in_its_place_and_nothing_is_lost(prefetch):
    source = Failing()
    loader = TaskLoader(SourceTaskset(source, 1, 4), 2, 1, seed=0, prefetch=prefetch)
    drawn = [next(loader), next(loader)]
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(loader)
    source.broken = False
    drawn.append(next(loader))
    expected = take(TaskLoader(SourceTaskset(Sinusoids(), 1, 4), 2, 1, seed=0), 3)
    assert all_same(drawn, expected)


def test_the_thread_ends_when_the_loader_is_dropped():
    before = prefetch_threads()
    loader = TaskLoader(TASKSETS["classes"](), 2, 1, prefetch=1)
    next(loader)
    (started,) = prefetch_threads() - before
    del loader
    gc.collect()
    wait_for(lambda: not started.is_alive())


def test_the_thread_ends_when_the_position_is_set():
    before = prefetch_threads()
    loader = TaskLoader(TASKSETS["classes"](), 2, 1, prefetch=4)
    state = loader.state_dict()
    first = next(loader)
    (started,) = prefetch_threads() - before
    loader.load_state_dict(state)
    assert not started.is_alive()
    assert same(next(loader), first)


def test_no_thread_starts_before_it_is_needed():
    before = prefetch_threads()
    loaders = [TaskLoader(make(), 2, 1, prefetch=2) for make in TASKSETS.values()]
    next(TaskLoader(plain(), 2, 1, prefetch=2))  # draws by Python's own generator
    assert prefetch_threads() <= before
    assert len(loaders) == len(TASKSETS)


def test_a_prefetcher_gives_all_in_order_and_ends():
    numbers = Prefetcher(iter(range(100)), ahead=3)
    assert list(numbers) == list(range(100))
    assert list(numbers) == []
    numbers = Prefetcher(itertools.count(), ahead=1)
    assert take(numbers, 3) == [0, 1, 2]
    numbers.close()
    numbers.close()
    assert list(numbers) == []


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("kind", ["classes", "numbers", "waves"])
def test_a_copy_goes_on_by_itself(taskset, prefetch):
    loader = TaskLoader(taskset, 2, 1, seed=0, prefetch=prefetch)
    next(loader)
    copied = copy.deepcopy(loader)
    expected = take(loader, 3)
    assert all_same(take(copied, 3), expected)


SIZED = TASKSETS["classes"]()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"taskset": sequences()}, ArgumentTypeError, "learn2learn Taskset, got SequenceDataset"),
        ({"taskset": None}, ArgumentTypeError, "learn2learn Taskset, got NoneType"),
        *(
            ({name: value}, ArgumentError, f"{name} must be a positive integer, got {value!r}")
            for name in ("tasks", "shots", "queries", "batches", "world_size")
            for value in (0, -1, True, 2.0, "2")
        ),
        ({"tasks": None}, ArgumentError, "tasks must be a positive integer, got None"),
        *(
            ({name: value}, ArgumentError, f"{name} must be an integer of 0 or more, got {value!r}")
            for name in ("prefetch", "rank", "seed")
            for value in (-1, True, 1.5, "2")
        ),
        ({"seed": 2**63}, ArgumentError, r"seed must be less than 2\*\*63"),
        ({"shots": 4}, DataError, "shots=4 must leave some of.*4 samples for queries, left 0"),
        ({"shots": 9}, DataError, "shots=9 must leave some of.*4 samples for queries, left 0"),
        ({"queries": 4}, DataError, "shots=1 must leave 4 of.*4 samples for queries, left 3"),
        ({"rank": 1}, ArgumentError, "rank must be less than world_size=1, got 1"),
        (
            {"tasks": 2, "world_size": 3, "seed": 0},
            ArgumentError,
            "tasks=2 must be at least world_size=3",
        ),
        ({"world_size": 2}, ArgumentError, "world_size=2 needs a seed, the same on every rank"),
        ({"device": "gpu"}, ArgumentError, "device must be one that torch knows, got 'gpu'"),
        ({"device": 1.5}, ArgumentError, "device must be one that torch knows, got 1.5"),
        ({"pin_memory": "yes"}, ArgumentError, "pin_memory must be True, False or None, got 'yes'"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message) as caught:
        TaskLoader(**{"taskset": SIZED, "tasks": 4, "shots": 1, **options})
    assert str(caught.value).startswith("TaskLoader: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
@pytest.mark.parametrize("options", [{"device": "cuda"}, {"pin_memory": True}])
def test_cuda_that_is_not_there(options):
    with pytest.raises(ArgumentError, match="needs CUDA, which torch does not see"):
        TaskLoader(SIZED, 4, 1, **options)


def test_counts_of_numpy_are_counts():
    loader = TaskLoader(SIZED, np.int64(4), np.int64(1), np.int64(2), seed=np.int64(0))
    assert next(loader).query_x.shape[:2] == (4, 6)


@pytest.mark.parametrize("shots", [4, 5])
def test_shots_that_leave_no_query_of_a_plain_taskset(shots):
    with pytest.raises(DataError, match=f"more than shots={shots}.*raise train_samples"):
        next(TaskLoader(plain(), 2, shots))
    with pytest.raises(DataError, match=r"shots=2 and queries=3 need 5 examples.*got 4"):
        next(TaskLoader(plain(), 2, 2, 3))


STATE = TaskLoader(SIZED, 4, 1, seed=0).state_dict()


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (None, ArgumentTypeError, "state must be a dict of .*got NoneType"),
        ({}, ArgumentTypeError, r"state must be a dict of .*got \[\]"),
        ({**STATE, "more": 1}, ArgumentTypeError, "state must be a dict of .*'more'"),
        ({**STATE, "tasks": 8}, ArgumentError, "state is of a loader with tasks=8, got tasks=4"),
        ({**STATE, "shots": 2}, ArgumentError, "with shots=2, got shots=1"),
        ({**STATE, "ways": 99}, ArgumentError, "with ways=99, got ways=.*same task set"),
        ({**STATE, "items": 1}, ArgumentError, "with items=1, got items="),
        ({**STATE, "given": -1}, ArgumentError, "given must be an integer of 0 or more"),
        ({**STATE, "seed": "0"}, ArgumentError, "seed must be an integer of 0 or more"),
        ({**STATE, "generator": [1]}, ArgumentTypeError, "must be the bytes of a torch Generator"),
        (
            {**STATE, "generator": torch.zeros(9, dtype=torch.uint8)},
            ArgumentTypeError,
            "must be the bytes of a torch Generator",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state, error, message):
    loader = TaskLoader(SIZED, 4, 1, seed=0)
    next(loader)
    before = loader.state_dict()
    with pytest.raises(error, match=message) as caught:
        loader.load_state_dict(state)
    assert str(caught.value).startswith("TaskLoader: ")
    after = loader.state_dict()
    assert torch.equal(after.pop("generator"), before.pop("generator"))
    assert after == before


def test_a_state_of_torchs_own_generator_is_what_is_kept():
    assert torch.equal(STATE["generator"], Generator().manual_seed(0).get_state())
