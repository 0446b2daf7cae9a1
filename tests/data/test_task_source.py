"""Sources of tasks. Drawing one by one and many at once have the same distribution."""

import collections
import itertools
import random

import learn2learn
import pytest
import torch
from learn2learn.data.samplers import TasksetSampler
from torch.utils.data import DataLoader

from l2l_rnn.data import GroupedDataset, SequenceDataset, SourceTaskset, TaskBatch, draw_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.tasksets import DelayedRecall, Sinusoids

ALPHA = 1e-4  # significance level; the seeds are fixed
TASKS = 4000


def sequences():
    """4 classes with 3, 4, 5 and 6 items. The only token of an item is its number."""
    labels = torch.arange(4).repeat_interleave(torch.tensor([3, 4, 5, 6]))
    return SequenceDataset(torch.arange(1, 19).unsqueeze(-1), labels)


def grouped(classes="abc"):
    """3 persons. The second has only two classes with three items or more."""
    counts = torch.tensor([[3, 4, 3], [4, 2, 3], [5, 3, 4]])
    cells = torch.arange(9).repeat_interleave(counts.flatten())
    inputs = torch.arange(1, len(cells) + 1).float().unsqueeze(-1)
    targets = cells % 3 if classes else inputs
    return GroupedDataset(inputs, targets, cells // 3, classes)


SOURCES = {"classes": sequences, "persons": grouped, "numbers": lambda: grouped(None)}


def one_by_one(source):
    random.seed(1)
    taskset = SourceTaskset(source, 2, 3)
    return draw_tasks(taskset, TASKS, 2)


def at_once(source):
    return source.draw(TASKS, 2, 1, torch.Generator().manual_seed(2), ways=2)


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES)
def drawn(request):
    source = request.param()
    return source, one_by_one(source), at_once(source)


def items_of(batch):
    """Return the items at each position of the tasks, `(N, 3 * C)`."""
    return torch.cat([batch.support_x, batch.query_x], 1)[..., 0].long()


def contingency_table(*lists):
    """Count each event in each list."""
    counted = [collections.Counter(events) for events in lists]
    events = sorted(set().union(*counted))
    assert len(events) > 1
    return [[counts[event] for event in events] for counts in counted]


def test_both_ways_of_drawing_have_the_same_distribution(drawn, chance_of):
    _, single, many = drawn
    assert single.support_x.shape == many.support_x.shape
    assert single.query_y.shape == many.query_y.shape
    one, two = items_of(single).tolist(), items_of(many).tolist()
    for i in range(len(one[0])):  # the item at each position
        table = contingency_table(*([row[i] for row in rows] for rows in (one, two)))
        assert chance_of(table) > ALPHA
    for a, b in itertools.combinations(range(len(one[0])), 2):  # and the pairs of items
        pairs = ([(row[a], row[b]) for row in rows] for rows in (one, two))
        assert chance_of(contingency_table(*pairs)) > ALPHA


def test_no_item_occurs_twice_in_a_task(drawn):
    for batch in drawn[1:]:
        assert (items_of(batch).sort(-1).values.diff(dim=-1) > 0).all()


def test_every_ordered_pair_of_classes_is_equally_likely(chance_of):
    source = sequences()
    batch = at_once(source)
    classes = source.labels[items_of(batch)[:, :3] - 1]  # class 0 twice, then class 1
    pairs = collections.Counter(zip(classes[:, 0].tolist(), classes[:, 2].tolist(), strict=True))
    assert set(pairs) == set(itertools.permutations(range(4), 2))
    assert chance_of([list(pairs.values())]) > ALPHA
    assert torch.equal(classes[:, 0], classes[:, 1])


def test_every_item_of_a_class_is_equally_likely(chance_of):
    source = sequences()
    batch = at_once(source)
    for part in (batch.support_x, batch.query_x):
        items = part[..., 0].flatten() - 1
        for label in range(4):
            found = torch.bincount(items[source.labels[items] == label], minlength=18)
            assert chance_of([found[source.labels == label].tolist()]) > ALPHA


def test_labels_are_balanced_and_sorted():
    for build in (sequences, grouped):
        batch = build().draw(5, 2, 1, ways=2)
        assert batch.support_y.tolist() == [[0, 0, 1, 1]] * 5
        assert batch.query_y.tolist() == [[0, 1]] * 5


@pytest.mark.parametrize("build", [*SOURCES.values(), Sinusoids, lambda: DelayedRecall(2)])
def test_draws_are_reproducible(build):
    def draw(seed):
        batch = build().draw(50, 1, 2, torch.Generator().manual_seed(seed))
        return batch.support_x, batch.support_y, batch.query_x, batch.query_y

    assert all(map(torch.equal, draw(1), draw(1)))
    assert not torch.equal(draw(1)[0], draw(2)[0])
    state = torch.random.get_rng_state()
    draw(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(9)
    first = build().draw(50, 1, 2)
    torch.manual_seed(9)
    assert torch.equal(build().draw(50, 1, 2).query_x, first.query_x)


def test_ways_default_to_all_classes():
    batch = sequences().draw(3, 1, 1)
    assert batch.support_y.tolist() == [[0, 1, 2, 3]] * 3


def test_a_class_without_items_is_never_drawn():
    source = SequenceDataset(torch.ones(6, 1).long(), torch.tensor([0, 2, 5] * 2), classes="abcdef")
    assert source.draw(3, 1, 1).support_y.shape == (3, 3)
    with pytest.raises(DataError, match="ways must be at most 3, the number of classes"):
        source.draw(3, 1, 1, ways=4)


def test_transform_and_target_transform():
    source = SequenceDataset(
        torch.arange(1, 13).unsqueeze(-1),
        torch.arange(12) % 3,
        transform=lambda x: -x.float(),
        target_transform=lambda y: y + 100,
    )
    batch = source.draw(4, 2, 1, ways=2)
    assert batch.support_x.dtype == torch.float32
    assert batch.support_x.shape == (4, 4, 1)
    assert (batch.support_x < 0).all()
    assert batch.support_y.tolist() == [[0, 0, 1, 1]] * 4
    x, y = SourceTaskset(source, 2, 3).sample()
    assert (x < 0).all()
    assert sorted(y.tolist()) == [0, 0, 0, 1, 1, 1]
    assert source[0][1] == 100


@pytest.mark.parametrize("count", ["tasks", "shots", "queries", "ways"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2"])
@pytest.mark.parametrize("build", [sequences, grouped, Sinusoids])
def test_bad_counts_are_rejected(build, count, value):
    counts = {"tasks": 1, "shots": 1, "queries": 1, "ways": 1} | {count: value}
    source = build()
    with pytest.raises(ArgumentError, match=f"draw: {count} must be a positive integer") as caught:
        source.draw(**counts)
    assert str(caught.value).startswith(f"{type(source).__name__}.draw: ")


def test_too_many_classes_or_examples_are_rejected():
    with pytest.raises(DataError, match=r"ways must be at most 4, .* got 5"):
        sequences().draw(1, 1, 1, ways=5)
    with pytest.raises(DataError, match="samples must be at most 3, the size of class '0', got 4"):
        sequences().draw(1, 2, 2, ways=2)
    with pytest.raises(
        DataError, match="DelayedRecall: ways must be 5, the number of classes in every task, got 2"
    ):
        DelayedRecall(2).draw(1, 1, 1, ways=2)


def test_a_family_draws_all_examples_from_one_task():
    random.seed(3)
    x, y = SourceTaskset(Sinusoids(), 5, 8).sample()
    assert x.shape == y.shape == (8, 1)
    # y = a sin x cos p - a cos x sin p, so two coefficients must fit all examples.
    basis = torch.cat([x.sin(), x.cos()], -1).double()
    solved = torch.linalg.lstsq(basis, y.double()).solution
    torch.testing.assert_close(basis @ solved, y.double(), atol=1e-5, rtol=0)
    again = SourceTaskset(Sinusoids(), 5, 8)
    random.seed(3)
    assert torch.equal(again.sample()[0], x)
    assert not torch.equal(again.sample()[0], x)


@pytest.mark.parametrize("build", [*SOURCES.values(), Sinusoids], ids=[*SOURCES, "family"])
def test_a_fixed_number_of_tasks(build):
    taskset = SourceTaskset(build(), 2, 3, num_tasks=3)
    tasks = list(taskset)
    assert len(tasks) == len(taskset) == 3
    for number, (x, y) in enumerate(tasks):
        assert torch.equal(taskset[number][0], x)
        assert torch.equal(taskset[number][1], y)


def test_endless():
    taskset = SourceTaskset(sequences(), 2, 3)
    assert taskset.endless
    assert not SourceTaskset(sequences(), 2, 3, num_tasks=9).endless
    taskset.task_transforms.append(lambda description: description)
    assert not taskset.endless
    taskset.task_transforms = lambda description: description
    assert not taskset.endless


@pytest.mark.parametrize("build", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("num_tasks", [-1, 4])
def test_learn2learns_taskset_sampler_and_loader(build, num_tasks):
    """TasksetSampler loads items by index, with their original labels."""
    source = build()
    taskset = SourceTaskset(source, 2, 3, num_tasks=num_tasks)
    loader = DataLoader(source, batch_sampler=TasksetSampler(taskset))
    count = 0
    for x, y in itertools.islice(loader, 6):
        count += 1
        items = x[:, 0].long() - 1
        assert len(items.unique()) == len(items)
        grouped = isinstance(source, GroupedDataset)
        expected = source.targets[items] if grouped else source.labels[items]
        assert torch.equal(y, expected)
    assert count == (6 if num_tasks == -1 else 4)


@pytest.mark.parametrize("build", [*SOURCES.values(), Sinusoids], ids=[*SOURCES, "family"])
def test_learn2learns_infinite_iterator(build):
    tasks = list(SourceTaskset(build(), 2, 3, num_tasks=2))
    taskset = learn2learn.data.utils.InfiniteIterator(DataLoader(tasks, batch_size=None))
    drawn = [next(taskset)[0] for _ in range(5)]
    assert all(torch.equal(x, tasks[n % 2][0]) for n, x in enumerate(drawn))


@pytest.mark.filterwarnings("ignore:TaskDataset is deprecated")
@pytest.mark.parametrize("kind", ["Taskset", "TaskDataset"])
def test_a_plain_taskset_over_a_dataset(kind):
    meta = sequences().meta()
    transforms = learn2learn.data.transforms
    taskset = getattr(learn2learn.data, kind)(
        meta, [transforms.FusedNWaysKShots(meta, n=3, k=3), transforms.LoadData(meta)]
    )
    (sx, sy), (qx, qy) = learn2learn.data.partition_task(*taskset.sample(), shots=2)
    assert torch.equal(sequences().labels[sx[:, 0] - 1], sy)
    assert torch.equal(sequences().labels[qx[:, 0] - 1], qy)
    assert len(sy.unique()) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(3, 2), 2, 2), ArgumentTypeError, "source must be a TaskSource, got Tensor"),
        ((Sinusoids(), 0, 5), ArgumentError, "ways must be a positive integer, got 0"),
        ((Sinusoids(), 1, 2.5), ArgumentError, "samples must be a positive integer, got 2.5"),
    ],
)
def test_bad_arguments_of_a_taskset_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        SourceTaskset(*arguments)


PARTS = ("support_x", "support_y", "query_x", "query_y")


def test_draw_tasks_equals_sampling():
    taskset = SourceTaskset(sequences(), 2, 3)
    random.seed(2)
    batch = draw_tasks(taskset, tasks=3, shots=2)
    random.seed(2)
    expected = TaskBatch.from_tasks([taskset.sample() for _ in range(3)], 2)
    assert all(torch.equal(getattr(batch, part), getattr(expected, part)) for part in PARTS)
    assert torch.equal(batch.support_indices + 1, batch.support_x[..., 0])
    assert torch.equal(batch.query_indices + 1, batch.query_x[..., 0])
    again = draw_tasks(taskset, tasks=3, shots=2)
    assert not torch.equal(again.support_x, expected.support_x)


@pytest.mark.parametrize("count", [0, -1, 1.0, "1", None, True])
def test_draw_tasks_rejects_bad_counts(count):
    taskset = SourceTaskset(sequences(), 2, 3)
    with pytest.raises(ArgumentError, match="draw_tasks: tasks must be a positive integer"):
        draw_tasks(taskset, count, 1)
    with pytest.raises(ArgumentError, match="shots must be a positive integer"):
        draw_tasks(taskset, 2, count)


@pytest.mark.parametrize("shots", [3, 4])
def test_draw_tasks_rejects_shots_that_leave_no_queries(shots):
    message = f"more than shots={shots}, got 6 examples of 2 classes"
    with pytest.raises(DataError, match=message):
        draw_tasks(SourceTaskset(sequences(), 2, 3), 2, shots)


def test_draw_tasks_rejects_other_types():
    with pytest.raises(ArgumentTypeError, match=r"draw_tasks: taskset .* got SequenceDataset"):
        draw_tasks(sequences(), 2, 1)


@pytest.mark.parametrize(
    ("source", "classes", "input_size"),
    [
        (sequences(), ("0", "1", "2", "3"), None),
        (SequenceDataset(torch.zeros(2, 3, 5), torch.tensor([0, 1])), ("0", "1"), 5),
        (grouped(), ("a", "b", "c"), 1),
        (grouped(None), None, 1),
        (Sinusoids(), None, 1),
    ],
)
def test_attributes(source, classes, input_size):
    assert source.classes == classes
    assert source.input_size == input_size
    assert source.vocabulary is None
    assert source.support_is_half is False
    assert source.deterministic is True


def test_a_transform_may_be_random():
    labels = torch.tensor([0, 1])
    assert not SequenceDataset(torch.ones(2, 1).long(), labels, transform=abs).deterministic
    assert SequenceDataset(torch.ones(2, 1).long(), labels, target_transform=abs).deterministic
