import pytest
import torch

from l2l_rnn.data import TaskBatch, santoro_episodes
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError

TASKS, WAYS, SAMPLES, STEPS = 6, 5, 4, 7
ITEMS = WAYS * SAMPLES


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tasks():
    """Items with (class, number) at every step."""
    y = torch.arange(WAYS).repeat_interleave(SAMPLES).expand(TASKS, -1)
    number = torch.arange(ITEMS).expand(TASKS, -1)
    x = torch.stack([y, number], -1).float().unsqueeze(2).expand(-1, -1, STEPS, -1)
    return x, y


def test_shapes_and_dtypes(tasks):
    episodes = santoro_episodes(*tasks, seeded())
    assert len(episodes) == TASKS
    assert episodes.x.shape == (TASKS, ITEMS, STEPS, 2)
    assert episodes.previous.shape == (TASKS, ITEMS, WAYS)
    assert episodes.previous.dtype == torch.float32
    assert episodes.y.shape == episodes.instance.shape == (TASKS, ITEMS)


def test_labels_are_delayed_by_one_step(tasks):
    episodes = santoro_episodes(*tasks, seeded())
    assert not episodes.previous[:, 0].any()
    assert torch.equal(episodes.previous[:, 1:].argmax(-1), episodes.y[:, :-1])
    assert (episodes.previous[:, 1:].sum(-1) == 1).all()


def test_every_item_occurs_once_and_keeps_its_class(tasks):
    episodes = santoro_episodes(*tasks, seeded())
    for x, y in zip(episodes.x, episodes.y, strict=True):
        assert sorted(x[:, 0, 1].tolist()) == list(range(ITEMS))
        pairs = set(zip(x[:, 0, 0].tolist(), y.tolist(), strict=True))
        assert len(pairs) == WAYS  # a bijection of classes and labels
        assert sorted(label for _, label in pairs) == list(range(WAYS))


def test_orders_and_permutations_are_uniform():
    y = torch.arange(3).expand(6000, 3)
    episodes = santoro_episodes(y.float().unsqueeze(-1), y, seeded())
    original = episodes.x[..., 0].long()
    for drawn in (original, episodes.y.gather(1, original.argsort(-1))):
        code = (drawn * torch.tensor([9, 3, 1])).sum(-1)
        counts = code.unique(return_counts=True)[1]
        assert len(counts) == 6
        assert (counts - 1000).abs().max() < 150  # five standard deviations


def test_instance_counts_the_items_of_a_class(tasks):
    episodes = santoro_episodes(*tasks, seeded())
    for y, instance in zip(episodes.y.tolist(), episodes.instance.tolist(), strict=True):
        assert instance == [y[: t + 1].count(label) for t, label in enumerate(y)]


def test_accuracy_by_instance(tasks):
    """A perfect memory predicts a class correctly from its second instance on."""
    episodes = santoro_episodes(*tasks, seeded())
    predicted = torch.where(episodes.instance > 1, episodes.y, -1)
    assert episodes.accuracy_by_instance(predicted).tolist() == [0, 1, 1, 1]
    scores = torch.nn.functional.one_hot(episodes.y, WAYS).float()
    assert episodes.accuracy_by_instance(scores).tolist() == [1, 1, 1, 1]
    with pytest.raises(ShapeError, match=r"must be \(6, 20\) or \(6, 20, 5\), got \(6, 3\)"):
        episodes.accuracy_by_instance(predicted[:, :3])


def test_draws_are_reproducible_and_inputs_unchanged(tasks):
    before = [part.clone() for part in tasks]
    first, second = (santoro_episodes(*tasks, seeded(3)) for _ in range(2))
    other = santoro_episodes(*tasks, seeded(4))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.y, second.y)
    assert not torch.equal(first.y, other.y)
    assert all(map(torch.equal, before, tasks))


def test_a_batch_equals_its_tensors(tasks):
    x, y = tasks
    batch = TaskBatch(x[:, :5], y[:, :5], x[:, 5:], y[:, 5:])
    assert torch.equal(
        santoro_episodes(batch, generator=seeded()).x, santoro_episodes(x, y, seeded()).x
    )
    with pytest.raises(ArgumentError, match="leave y out"):
        santoro_episodes(batch, y)


def test_indices_follow_the_items(tasks):
    x, y = tasks
    assert santoro_episodes(x, y).indices is None
    parts = x[:, :5], y[:, :5], x[:, 5:], y[:, 5:]
    assert santoro_episodes(TaskBatch(*parts)).indices is None
    indices = torch.randperm(y.numel()).view(y.shape)
    episodes = santoro_episodes(TaskBatch(*parts, indices[:, :5], indices[:, 5:]))
    items = torch.empty_like(x.flatten(0, 1))
    items[indices.flatten()] = x.flatten(0, 1)
    assert torch.equal(episodes.x, items[episodes.indices])
    assert len(episodes.indices.unique()) == y.numel()


def test_token_ids_keep_their_padding():
    tokens = torch.tensor([[[3, 4, 0], [5, 0, 0]]])
    episodes = santoro_episodes(tokens, torch.tensor([[0, 1]]), seeded(), classes=4)
    assert sorted(map(tuple, episodes.x[0].tolist())) == [(3, 4, 0), (5, 0, 0)]
    assert episodes.previous.shape == (1, 2, 4)


X, Y = torch.randn(2, 3, 4), torch.tensor([[0, 1, 1], [1, 0, 1]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1], Y), ArgumentTypeError, "tensor or a TaskBatch, got list"),
        ((X, None), ArgumentTypeError, "int64 tensor of classes, got NoneType"),
        ((X, Y.float()), ArgumentTypeError, "int64 tensor of classes, got torch.float32"),
        ((X, Y[:, :2]), ShapeError, r"got \(2, 3, 4\) and \(2, 2\)"),
        ((X[0, 0], Y[0]), ShapeError, r"got \(4,\) and \(3,\)"),
        ((X[:, :0], Y[:, :0]), ShapeError, "at least one each"),
        ((X, -Y), ArgumentError, r"0 \.\. 0, got -1 \.\. 0"),
    ],
)
def test_bad_input_is_rejected(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        santoro_episodes(*arguments)
    assert str(caught.value).startswith("santoro_episodes: ")


@pytest.mark.parametrize("classes", [0, 1, 2.0, True])
def test_bad_classes_are_rejected(classes):
    with pytest.raises(ArgumentError, match=r"classes must be a pos|must lie in 0 \.\. 0"):
        santoro_episodes(X, Y, classes=classes)


def test_batches_with_padding_are_not_episodes():
    x, y = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    mask = torch.tensor([[True, True, False]] * 2)
    with pytest.raises(ArgumentError, match="got one with padding"):
        santoro_episodes(TaskBatch(x, y, x, y, query_mask=mask))
