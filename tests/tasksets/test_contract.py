"""Contract of all task sets in `list_tasksets()`. New task sets are tested automatically."""

import configparser
import itertools
import math
import pathlib
import random

import learn2learn
import pytest
import torch
from torch import Generator

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import (
    GroupedDataset,
    SequenceDataset,
    SourceTaskset,
    TaskBatch,
    TaskCard,
    TaskLoader,
    TaskSource,
    UserRatings,
)
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import DataError, MissingExtraError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import (
    BenchmarkTasksets,
    BitSequences,
    TaskFamily,
    get_tasksets,
    list_tasksets,
)

PARTS = ("support_x", "support_y", "query_x", "query_y")


@pytest.fixture(scope="module", params=list_tasksets())
def named(request):
    """The name of a task set, and its three Tasksets with default options."""
    try:
        return request.param, get_tasksets(request.param)
    except MissingExtraError:
        if request.param != "newsgroups":
            raise
        pytest.skip("needs a copy of 20 Newsgroups")


@pytest.fixture
def name(named):
    return named[0]


@pytest.fixture
def tasksets(named):
    return named[1]


@pytest.fixture
def card(name):
    return list_tasksets()[name]


@pytest.fixture(params=SPLITS)
def taskset(request, tasksets):
    return getattr(tasksets, request.param)


@pytest.fixture
def source(taskset):
    return taskset.source


def seeded(seed):
    return Generator().manual_seed(seed)


def parts(batch):
    return [getattr(batch, part) for part in PARTS]


def equal(a, b):
    """Whether two tensors are equal, with NaN equal to NaN."""
    return a.shape == b.shape and torch.equal(torch.nan_to_num(a, 77.0), torch.nan_to_num(b, 77.0))


def classified(source):
    """Whether the targets of a task are classes."""
    return source.classes is not None


def inputs_of(source):
    """All stored inputs, or some drawn ones: `(items, S)`, `(items, S, F)` or `(items, F)`."""
    if isinstance(source, SequenceDataset):
        return source.sequences
    if isinstance(source, GroupedDataset):
        return source.inputs
    return source.draw(100, 2, 2, seeded(0), ways=5).support_x.flatten(0, 1)


def padding_of(inputs):
    """Whether each step is padding, `(items, S)`; an input without steps counts as one step."""
    if not inputs.is_floating_point():
        return inputs == 0
    if inputs.ndim == 2:
        return torch.zeros(len(inputs), 1, dtype=torch.bool)
    return inputs.isnan().all(-1)


def rows_of(tensor):
    """Each item as bytes, without its padding."""
    rows = []
    for row, padded in zip(tensor.numpy(), padding_of(tensor).numpy(), strict=True):
        rows.append((row if row.ndim == 1 and row.dtype.kind == "f" else row[~padded]).tobytes())
    return rows


def test_it_has_a_card(card):
    assert isinstance(card, TaskCard)
    for line in str(card).splitlines():
        assert len(line.split(": ", 1)[1]) > 1
    assert card.task.endswith(".")
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(__file__).parents[2] / "setup.cfg")
    assert card.extra is None or card.extra in setup["options.extras_require"]


def test_it_returns_learn2learn_tasksets(tasksets):
    assert isinstance(tasksets, BenchmarkTasksets)
    for taskset in tasksets:
        assert isinstance(taskset, SourceTaskset)
        assert isinstance(taskset, learn2learn.data.Taskset)
        assert isinstance(taskset.dataset, learn2learn.data.MetaDataset)
        assert isinstance(taskset.source, TaskSource)
        assert taskset.endless


def test_the_numbers_on_the_card(card, tasksets):
    sources = [taskset.source for taskset in tasksets]
    lengths = [(~padding_of(inputs_of(source))).sum(-1) for source in sources]
    shortest, longest = (int(f(torch.cat(lengths))) for f in (torch.min, torch.max))
    if all(isinstance(source, TaskFamily) for source in sources):
        assert card.classes is card.items is None
        assert card.lengths[0] <= shortest <= longest <= card.lengths[1]
    else:
        names = [s.group_names if isinstance(s, GroupedDataset) else s.classes for s in sources]
        assert card.classes == tuple(map(len, names))
        assert card.items == tuple(map(len, sources))
        assert card.lengths == (shortest, longest)
    if card.measure.startswith("accuracy"):
        assert card.chance == 0.2
        assert card.chance < card.baseline[1] <= 1
    assert math.isfinite(card.chance)
    assert math.isfinite(card.baseline[1])


def test_no_class_and_no_group_is_in_two_splits(tasksets):
    names = []
    for source in (taskset.source for taskset in tasksets):
        if isinstance(source, TaskFamily):
            return  # the tests of a family cover its splits
        names.append(source.group_names if isinstance(source, GroupedDataset) else source.classes)
        assert len(set(names[-1])) == len(names[-1])
    for a, b in itertools.combinations(names, 2):
        assert not set(a) & set(b)


def test_no_seed_gives_the_same_task_in_two_splits(tasksets):
    if not isinstance(tasksets.train.source, TaskFamily):
        return  # for stored items, see the test above
    found = []
    for taskset in tasksets:
        # One task at a time, a batch of tasks, and a family's own batches of sequences.
        random.seed(0)
        drawn = [x for x, _ in (taskset.sample() for _ in range(8))]
        drawn += next(TaskLoader(taskset, tasks=8, shots=5, seed=0)).support_x.unbind()
        if isinstance(taskset.source, BitSequences):
            drawn += taskset.source.sequences(4, seeded(0)).inputs.unsqueeze(1).unbind()
        found.append({task.numpy().tobytes() for task in drawn})
        assert len(found[-1]) >= 16
    for a, b in itertools.combinations(found, 2):
        assert not a & b


def test_no_item_is_in_two_splits(tasksets):
    sources = [taskset.source for taskset in tasksets]
    if any(isinstance(source, TaskFamily) for source in sources):
        return  # items are generated endlessly
    if not classified(sources[0]) and not inputs_of(sources[0]).is_floating_point():
        return  # an input has a different target in each language; see the test below
    items = [set(rows_of(inputs_of(source))) for source in sources]
    for a, b in itertools.combinations(items, 2):
        assert not a & b


def test_groups_of_different_splits_share_few_examples(tasksets):
    sources = [taskset.source for taskset in tasksets]
    if classified(sources[0]) or not all(isinstance(s, GroupedDataset) for s in sources):
        return
    # Short words may be equal by chance, and users rate the same items.
    share = 2 if isinstance(sources[0], UserRatings) else 4
    groups = []
    for source in sources:
        targets = (target.numpy().tobytes().rstrip(b"\0") for target in source.targets)
        groups.append([set() for _ in source.group_names])
        rows = zip(source.groups.tolist(), rows_of(source.inputs), targets, strict=True)
        for group, row, target in rows:
            groups[-1][group].add((row, target))
    for one, other in itertools.combinations(groups, 2):
        for a, b in itertools.product(one, other):
            assert len(a & b) <= min(len(a), len(b)) / share


def test_types_and_shapes_of_a_task(taskset):
    x, y = taskset.sample()
    if x.is_floating_point():
        assert x.dtype == torch.float32
        assert x.ndim in (2, 3)
    else:
        assert x.dtype == torch.int64
        assert x.ndim == 2
    assert y.dtype == (torch.float32 if y.is_floating_point() else torch.int64)
    assert not y.requires_grad
    assert x.device.type == y.device.type == "cpu"
    if classified(taskset.source):
        assert len(x) == len(y) == 50
        assert y.ndim == 1
        assert torch.bincount(y).tolist() == [10] * 5
    else:
        assert len(x) == len(y) == 10


def test_padding_is_only_at_the_end(source):
    inputs = inputs_of(source)
    padded = padding_of(inputs)
    assert not padded[:, 0].any()
    assert (padded.long().diff(dim=-1) >= 0).all()
    if inputs.is_floating_point():
        whole = inputs if inputs.ndim == 2 else inputs[~padded]
        assert whole.isfinite().all()
    else:
        assert (inputs >= 0).all()


def test_sizes_for_a_model(tasksets):
    inputs = [inputs_of(taskset.source) for taskset in tasksets]
    if inputs[0].is_floating_point():
        assert tasksets.vocab_size is None
        assert {x.shape[-1] for x in inputs} == {tasksets.input_size}
        return
    assert tasksets.input_size is None
    assert max(int(x.max()) for x in inputs) < tasksets.vocab_size
    assert not (inputs[0] == 1).any()  # every token of train is known


@pytest.mark.parametrize(("ways", "shots", "queries"), [(5, 1, 9), (5, 5, 5), (3, 2, 1)])
def test_a_draw_has_the_shapes_and_the_class_balance_of_a_taskset(source, ways, shots, queries):
    if isinstance(source, TaskFamily) and source.classes is not None:
        ways = source.classes
    batch = source.draw(4, shots, queries, seeded(0), ways=ways)
    random.seed(0)
    taskset = SourceTaskset(source, ways, shots + queries)
    drawn = [taskset.sample() for _ in range(4)]
    stacked = TaskBatch.from_tasks(drawn, shots, by_class=classified(source))
    for own, other in zip(parts(batch), parts(stacked), strict=True):
        assert own.shape == other.shape
        assert own.dtype == other.dtype
    each = ways if classified(source) else 1
    assert batch.support_x.shape[:2] == batch.support_y.shape[:2] == (4, each * shots)
    assert batch.query_x.shape[:2] == batch.query_y.shape[:2] == (4, each * queries)
    if classified(source):
        for y, count in ((batch.support_y, shots), (batch.query_y, queries)):
            expected = torch.arange(ways).repeat_interleave(count)
            assert (y.sort(-1).values == expected).all()


def test_support_and_query_share_no_item(source):
    if isinstance(source, TaskFamily):
        return  # its examples are generated
    loaded = source.draw(20, 2, 3, seeded(1), ways=3)
    stored = {}
    for row in rows_of(inputs_of(source).float()):
        stored[row] = stored.get(row, 0) + 1
    for sx, qx in zip(loaded.support_x.float(), loaded.query_x.float(), strict=True):
        found = rows_of(torch.cat([sx, qx]))
        assert all(found.count(row) <= stored.get(row, 1) for row in found)


def test_batches_carry_the_indices_of_their_items(source, taskset):
    fixed = SourceTaskset(source, taskset.ways, taskset.samples, num_tasks=3)
    for batch in (next(TaskLoader(kind, tasks=3, shots=5)) for kind in (taskset, fixed)):
        if isinstance(source, TaskFamily):
            assert batch.support_indices is batch.query_indices is None
            continue
        for x, indices in (
            (batch.support_x, batch.support_indices),
            (batch.query_x, batch.query_indices),
        ):
            items = torch.stack([source[i][0] for i in indices.flatten().tolist()])
            assert equal(items.unflatten(0, indices.shape), x)


def test_repr(taskset):
    expected = f"SourceTaskset({taskset.source!r}, ways={taskset.ways}, samples={taskset.samples})"
    assert repr(taskset) == expected
    assert type(taskset.source).__name__ in expected
    assert " object at " not in expected
    assert "\n" not in expected


def test_a_seed_determines_the_tasks_of_a_taskset(tasksets):
    def draw(seed):
        random.seed(seed)
        return [part for taskset in tasksets for _ in range(2) for part in taskset.sample()]

    first, second, other = draw(3), draw(3), draw(4)
    assert all(map(equal, first, second))
    assert not all(map(equal, first[::2], other[::2]))


def test_a_generator_determines_the_tasks_of_a_draw(source):
    def draw(seed):
        return parts(source.draw(8, 2, 3, seeded(seed), ways=5))

    assert all(map(equal, draw(3), draw(3)))
    assert not equal(draw(3)[0], draw(4)[0])
    state = torch.random.get_rng_state(), random.getstate()
    draw(3)
    assert torch.equal(torch.random.get_rng_state(), state[0])
    assert random.getstate() == state[1]


def test_a_task_loader(taskset):
    loader = TaskLoader(taskset, tasks=4, shots=5, seed=0, prefetch=1)
    assert loader.at_once
    first, state = next(loader), loader.state_dict()
    second = next(loader)
    again = TaskLoader(taskset, tasks=4, shots=5, seed=0)
    assert all(map(equal, parts(next(again)), parts(first)))
    loader.load_state_dict(state)
    assert all(map(equal, parts(next(loader)), parts(second)))
    assert not equal(first.support_x, second.support_x)
    fixed = SourceTaskset(taskset.source, taskset.ways, taskset.samples, num_tasks=3)
    slow = next(TaskLoader(fixed, tasks=4, shots=5, seed=0))
    assert [part.shape for part in parts(slow)] == [part.shape for part in parts(first)]
    if taskset.source.support_is_half:
        with pytest.raises(
            DataError, match=r"shots must be 5, half of the 10 samples.*got 4; set the"
        ):
            TaskLoader(fixed, tasks=4, shots=4)


def test_it_moves_to_a_device(source):
    moved = source.to("meta")
    assert all(part.is_meta for part in parts(moved.draw(2, 1, 1, seeded(0), ways=5)))
    assert all(part.is_meta for part in SourceTaskset(moved, 5, 2, device="meta").sample())
    assert not any(part.is_meta for part in parts(source.draw(2, 1, 1, seeded(0), ways=5)))


def test_learn2learn_partitions_its_tasks(taskset):
    if not classified(taskset.source):
        return
    x, y = taskset.sample()
    (sx, sy), (qx, qy) = learn2learn.data.partition_task(x, y, shots=4)
    assert sx.shape == (20, *x.shape[1:])
    assert qx.shape == (30, *x.shape[1:])
    assert sy.tolist() == torch.arange(5).repeat_interleave(4).tolist()
    assert qy.tolist() == torch.arange(5).repeat_interleave(6).tolist()


def test_a_learner_adapts_to_its_tasks_of_classes(tasksets):
    batch = next(TaskLoader(tasksets.train, tasks=2, shots=3, queries=2, seed=0))
    x = batch.support_x
    if not classified(tasksets.train.source) or (x.is_floating_point() and x.ndim == 3):
        return
    torch.manual_seed(0)
    options = (
        {"input_size": x.shape[-1]}
        if x.is_floating_point()
        else {"vocab_size": tasksets.vocab_size, "embedding_size": 8}
    )
    model = SequenceClassifier(5, hidden_size=8, **options)
    learner = MAML(model, lr=0.1).clone(tasks=2)
    losses = []
    for _ in range(3):
        loss = cross_entropy(learner(batch.support_x), batch.support_y)
        losses.append(loss.sum().item())
        learner.adapt(loss)
    cross_entropy(learner(batch.query_x), batch.query_y).mean().backward()
    assert losses[-1] < losses[0]
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.any() for g in gradients)
