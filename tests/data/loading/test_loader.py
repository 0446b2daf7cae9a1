"""The task loader: reproducible and resumable streams, shared by ranks."""

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
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.tasksets import DelayedRecall, Sinusoids

PARTS = ("support_x", "support_y", "query_x", "query_y")
INDICES = ("support_indices", "query_indices")


def sequences(**options):
    """5 classes of 8 items. The tokens of an item are its number, its class and padding."""
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
    """A Taskset as in a learn2learn script."""
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
    """Return all tensors of a batch; generated tasks have no indices."""
    found = [getattr(batch, name) for name in (*PARTS, *INDICES)]
    return [part for part in found if part is not None]


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


@pytest.mark.parametrize("queries", [None, 2])
@pytest.mark.parametrize("options", [{}, {"prefetch": 2}, {"rank": 1, "world_size": 2, "seed": 0}])
def test_indices_are_those_of_the_items(kind, taskset, queries, options):
    for batch in take(TaskLoader(taskset, 7, 1, queries, **options), 3):
        if "waves" in kind or kind == "symbols":
            assert batch.support_indices is batch.query_indices is None
            continue
        for x, indices in zip(batch_x(batch), indices_of(batch), strict=True):
            assert indices.dtype == torch.int64
            assert indices.shape == x.shape[:2]
            items = [taskset.dataset[i][0] for i in indices.flatten().tolist()]
            assert torch.equal(torch.stack(items), x.flatten(0, 1))
        both = torch.cat(indices_of(batch), 1)
        assert all(len(row.unique()) == both.shape[1] for row in both)


def batch_x(batch):
    return batch.support_x, batch.query_x


def indices_of(batch):
    return batch.support_indices, batch.query_indices


class FlippedTasks(learn2learn.data.Taskset):
    def get_task(self, task_description):
        x, y = super().get_task(task_description)
        return x.flip(0), y.flip(0)


class FlippedItems(learn2learn.data.Taskset):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x.flip(0), y.flip(0)


class FlippedSamples(learn2learn.data.Taskset):
    def sample(self):
        x, y = super().sample()
        return x.flip(0), y.flip(0)


@pytest.mark.parametrize("kind", [FlippedTasks, FlippedItems, FlippedSamples])
@pytest.mark.parametrize("num_tasks", [-1, 5])
def test_a_taskset_with_its_own_way_of_making_tasks_has_no_indices(kind, num_tasks):
    made = plain(num_tasks=num_tasks)
    own = kind(made.dataset, made.task_transforms, num_tasks)
    expected, batch = (next(TaskLoader(taskset, 4, 1, seed=0)) for taskset in (made, own))
    assert batch.support_indices is batch.query_indices is None
    drawn = torch.cat(batch_x(batch), 1), torch.cat(batch_x(expected), 1)
    # A loader reads fixed tasks by number, as `sample` does, but not through it.
    if kind is FlippedSamples and num_tasks == 5:
        assert torch.equal(*drawn)
    else:
        assert not torch.equal(batch.support_x, expected.support_x)
        assert torch.equal(*(x.flatten(1).sort(-1).values for x in drawn))


def test_fewer_queries_than_samples_left(taskset):
    batch = next(TaskLoader(taskset, 2, 1, 2, seed=0))
    assert batch.query_x.shape[1] == 2 * batch.support_x.shape[1]


@pytest.mark.parametrize("kind", ["classes", "fixed", "learn2learn", "fixed learn2learn"])
def test_support_and_query_share_classes_but_no_items(taskset):
    for batch in take(TaskLoader(taskset, 5, 2, seed=0), 4):
        for sx, sy, qx, qy in zip(*batch, strict=True):
            x, y = torch.cat([sx, qx]), torch.cat([sy, qy])
            assert len(x[:, 0].unique()) == 12
            assert len({(a, b) for a, b in zip(x[:, 1].tolist(), y.tolist(), strict=True)}) == 3


def test_streams_are_reproducible_and_batches_differ(kind, taskset):
    first = take(TaskLoader(taskset, 4, 2, seed=3), 3)
    assert all_same(first, take(TaskLoader(fresh(kind), 4, 2, seed=3), 3))
    assert not same(first[0], take(TaskLoader(fresh(kind), 4, 2, seed=4), 1)[0])
    assert not same(first[0], first[1])


def test_the_default_seed_comes_from_torchs_generator(taskset):
    torch.manual_seed(1)
    first, second = TaskLoader(taskset, 2, 1), TaskLoader(taskset, 2, 1)
    assert first.seed != second.seed
    torch.manual_seed(1)
    assert TaskLoader(taskset, 2, 1).seed == first.seed


def test_global_generators_are_not_changed(taskset):
    loader = TaskLoader(taskset, 3, 1, seed=0)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(())
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    take(loader, 2)
    assert (random.random(), np.random.rand(), torch.rand(())) == expected


def test_global_generators_have_no_effect(kind, taskset):
    first = take(TaskLoader(taskset, 3, 1, seed=0), 3)
    random.seed(8), np.random.seed(8), torch.manual_seed(0)
    again = TaskLoader(TASKSETS[kind](), 3, 1, seed=0)
    for batch in first:
        random.random(), torch.rand(3)
        assert same(next(again), batch)


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("when", [0, 1, 4])
def test_a_state_restores_the_stream_exactly(kind, taskset, when, prefetch):
    loader = TaskLoader(taskset, 4, 2, seed=7, prefetch=prefetch)
    take(loader, when)
    state = loader.state_dict()
    json.dumps({name: v.tolist() if torch.is_tensor(v) else v for name, v in state.items()})
    expected = take(loader, 4)
    loader.load_state_dict(state)
    assert all_same(take(loader, 4), expected)
    other = TaskLoader(fresh(kind), 4, 2, seed=99)
    if "fixed" not in kind:  # fixed tasks do not change once drawn
        take(other, 2)
    other.load_state_dict(state)
    assert other.seed == 7
    assert all_same(take(other, 4), expected)


def test_a_state_dict_is_a_copy(taskset):
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
        sizes = [len(part) for part in shares]
        assert max(sizes) - min(sizes) <= 1
        joined = TaskBatch(*(torch.cat(group) for group in zip(*map(parts, shares), strict=True)))
        assert same(joined, batch)
    for loader in loaders[1:]:
        assert torch.equal(loader.state_dict()["generator"], loaders[0].state_dict()["generator"])


def test_any_number_of_ranks_can_load_the_state_of_one(taskset):
    one = TaskLoader(taskset, 4, 2, seed=1, rank=1, world_size=2)
    take(one, 2)
    whole, half = TaskLoader(taskset, 4, 2), TaskLoader(taskset, 4, 2, seed=5, world_size=2)
    whole.load_state_dict(one.state_dict())
    half.load_state_dict(one.state_dict())
    assert same(next(whole).slice(0, 2), next(half))


def test_prefetching_changes_nothing(taskset):
    expected = take(TaskLoader(taskset, 3, 1, seed=2), 6)
    ahead = TaskLoader(taskset, 3, 1, seed=2, prefetch=2)
    batches, on_demand = [], TaskLoader(taskset, 3, 1, seed=2)
    for _ in range(6):
        batches.append(next(ahead))
        next(on_demand)
        assert torch.equal(ahead.state_dict()["generator"], on_demand.state_dict()["generator"])
    assert all_same(batches, expected)


def test_the_next_loop_continues_with_new_tasks(taskset):
    endless = take(TaskLoader(taskset, 2, 1, seed=0), 6)
    loader = TaskLoader(taskset, 2, 1, batches=3, seed=0, prefetch=1)
    assert len(loader) == 3
    assert all_same(list(loader), endless[:3])
    with pytest.raises(StopIteration):
        next(loader)
    with pytest.raises(StopIteration):
        next(loader)
    assert all_same(list(loader), endless[3:])


def test_an_interrupted_loop_continues_even_after_restoring(taskset):
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


def test_len_requires_a_number_of_batches():
    loader = TaskLoader(plain(), 2, 1)
    with pytest.raises(ArgumentTypeError, match=r"len\(\) requires a number of batches.*; set it"):
        len(loader)
    assert "tasks=2, shots=1" in repr(loader)


def test_learn2learns_infinite_iterator():
    loader = TaskLoader(plain(), 2, 1, batches=2, seed=0)
    endless = take(TaskLoader(plain(), 2, 1, seed=0), 5)
    assert all_same(take(learn2learn.data.utils.InfiniteIterator(loader), 5), endless)


def test_fixed_tasks_do_not_change_once_drawn():
    taskset = plain(num_tasks=2)
    held = [x for x, _ in taskset]
    batch = next(TaskLoader(taskset, 8, 2, seed=0))
    for sx, qx in zip(batch.support_x, batch.query_x, strict=True):
        items = sorted(torch.cat([sx, qx])[:, 0].tolist())
        assert items in [sorted(x[:, 0].tolist()) for x in held]


def test_changed_transforms_are_applied():
    taskset = SourceTaskset(sequences(), 3, 4)
    taskset.task_transforms.append(lambda description: description[::-1])
    loader = TaskLoader(taskset, 2, 1, seed=0)
    assert not loader.at_once
    assert next(loader).support_x.shape == (2, 3, 3)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("num_tasks", [2, -1])
def test_random_transforms_are_seeded_without_changing_global_generators(num_tasks, prefetch):
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


def test_batches_are_on_the_device(taskset):
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
    """Fails from the third draw, until repaired."""

    def __init__(self):
        self.draws, self.broken = 0, True

    def draw(self, *args, **options):
        self.draws += 1
        if self.broken and self.draws >= 3:
            raise OSError("the disk is gone")
        return super().draw(*args, **options)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_an_error_is_raised_in_order_and_no_batch_is_lost(prefetch):
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


def test_the_thread_ends_when_the_loader_is_deleted():
    before = prefetch_threads()
    loader = TaskLoader(TASKSETS["classes"](), 2, 1, prefetch=1)
    next(loader)
    (started,) = prefetch_threads() - before
    del loader
    gc.collect()
    wait_for(lambda: not started.is_alive())


def test_the_thread_ends_when_a_state_is_loaded():
    before = prefetch_threads()
    loader = TaskLoader(TASKSETS["classes"](), 2, 1, prefetch=4)
    state = loader.state_dict()
    first = next(loader)
    (started,) = prefetch_threads() - before
    loader.load_state_dict(state)
    assert not started.is_alive()
    assert same(next(loader), first)


def test_threads_start_only_when_needed():
    before = prefetch_threads()
    loaders = [TaskLoader(make(), 2, 1, prefetch=2) for make in TASKSETS.values()]
    next(TaskLoader(plain(), 2, 1, prefetch=2))  # uses Python's global generator
    assert prefetch_threads() <= before
    assert len(loaders) == len(TASKSETS)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("kind", ["classes", "numbers", "waves"])
def test_a_copy_continues_independently(taskset, prefetch):
    loader = TaskLoader(taskset, 2, 1, seed=0, prefetch=prefetch)
    next(loader)
    copied = copy.deepcopy(loader)
    expected = take(loader, 3)
    assert all_same(take(copied, 3), expected)


LABELED = TASKSETS["classes"]()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"taskset": sequences()}, ArgumentError, "queries must be given with a dataset"),
        ({"taskset": None}, ArgumentTypeError, "learn2learn Taskset, .* got NoneType"),
        *(
            ({name: value}, ArgumentError, f"{name} must be a positive integer, got {value!r}")
            for name in ("tasks", "shots", "queries", "batches", "world_size")
            for value in (0, -1, True, 2.0, "2")
        ),
        ({"tasks": None}, ArgumentError, "tasks must be a positive integer, got None"),
        *(
            ({name: value}, ArgumentError, f"{name} must be {expected}, got {value!r}")
            for name, expected in (
                ("prefetch", "a non-negative integer"),
                ("rank", "an integer from 0 to 0"),
                ("seed", f"an integer from 0 to {2**63 - 1}"),
            )
            for value in (-1, True, 1.5, "2")
        ),
        ({"seed": 2**63}, ArgumentError, f"seed must be an integer from 0 to {2**63 - 1}, got"),
        ({"shots": 4}, DataError, "shots=4 must leave at least 1 of.*4 samples .* got 0; raise"),
        ({"shots": 9}, DataError, "shots=9 must leave at least 1 of.*4 samples .* got 0; raise"),
        ({"queries": 4}, DataError, "shots=1 must leave at least 4 of.*4 samples .* got 3; raise"),
        ({"rank": 1}, ArgumentError, "rank must be an integer from 0 to 0, got 1"),
        (
            {"tasks": 2, "world_size": 3, "seed": 0},
            ArgumentError,
            "tasks must be at least world_size=3, .* got 2",
        ),
        ({"world_size": 2}, ArgumentError, "seed must be the same integer on all 2 ranks"),
        ({"device": "gpu"}, ArgumentError, "device must be known to torch, got 'gpu'"),
        ({"device": 1.5}, ArgumentError, "device must be known to torch, got 1.5"),
        ({"pin_memory": "yes"}, ArgumentError, "pin_memory must be True, False or None, got 'yes'"),
    ],
)
def test_bad_input_is_rejected(options, error, message):
    with pytest.raises(error, match=message) as caught:
        TaskLoader(**{"taskset": LABELED, "tasks": 4, "shots": 1, **options})
    assert str(caught.value).startswith("TaskLoader: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
@pytest.mark.parametrize("options", [{"device": "cuda"}, {"pin_memory": True}])
def test_missing_cuda_is_reported(options):
    with pytest.raises(ArgumentError, match="requires CUDA, which is not available"):
        TaskLoader(LABELED, 4, 1, **options)


@pytest.mark.parametrize("shots", [4, 5])
def test_a_plain_taskset_must_leave_queries(shots):
    with pytest.raises(DataError, match=f"more than shots={shots}.*raise train_samples"):
        next(TaskLoader(plain(), 2, shots))
    with pytest.raises(DataError, match=r"shots=2 and queries=3 require 5 examples.*got 4"):
        next(TaskLoader(plain(), 2, 2, 3))


STATE = TaskLoader(LABELED, 4, 1, seed=0).state_dict()


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (None, ArgumentTypeError, "state must be a dict of .*got NoneType"),
        ({}, ArgumentTypeError, r"state must be a dict of .*got \[\]"),
        ({**STATE, "more": 1}, ArgumentTypeError, "state must be a dict of .*'more'"),
        (
            {**STATE, "tasks": 8},
            ArgumentError,
            "must come from a loader with tasks=4, got tasks=8",
        ),
        ({**STATE, "shots": 2}, ArgumentError, "with shots=1, got shots=2"),
        ({**STATE, "ways": 99}, ArgumentError, "with ways=3, got ways=99; .*same task set"),
        ({**STATE, "items": 1}, ArgumentError, "with items=40, got items=1"),
        ({**STATE, "batch": -1}, ArgumentError, "batch must be a non-negative integer"),
        ({**STATE, "seed": "0"}, ArgumentError, "seed must be a non-negative integer"),
        ({**STATE, "generator": [1]}, ArgumentTypeError, "must be the state of a torch Generator"),
        (
            {**STATE, "generator": torch.zeros(9, dtype=torch.uint8)},
            ArgumentTypeError,
            "must be the state of a torch Generator",
        ),
    ],
)
def test_a_bad_state_is_rejected_and_changes_nothing(state, error, message):
    loader = TaskLoader(LABELED, 4, 1, seed=0)
    next(loader)
    before = loader.state_dict()
    with pytest.raises(error, match=message) as caught:
        loader.load_state_dict(state)
    assert str(caught.value).startswith("TaskLoader: ")
    after = loader.state_dict()
    assert torch.equal(after.pop("generator"), before.pop("generator"))
    assert after == before


def test_the_state_contains_a_torch_generator_state():
    assert torch.equal(STATE["generator"], Generator().manual_seed(0).get_state())
