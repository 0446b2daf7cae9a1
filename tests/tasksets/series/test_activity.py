"""Exercises in smartwatch recordings: windows, persons, arms, figures of the card, and errors."""

import collections
import random
import sys

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskLoader, draw_tasks
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, DataError, MissingExtraError, UnknownNameError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import Activity, get_tasksets, list_tasksets
from l2l_rnn.tasksets.series import watch_recordings

pytest.importorskip("seglearn")
CARD = list_tasksets()["activity"]


@pytest.fixture(scope="module")
def watch():
    from seglearn.datasets import load_watch

    return load_watch()


@pytest.fixture(scope="module")
def splits():
    return [Activity(split=split) for split in SPLITS]


def test_recordings_of_the_package(watch):
    assert len(watch["X"]) == 140
    assert sum(len(x) // 100 for x in watch["X"]) == 2369
    pairs = collections.Counter(zip(watch["subject"].tolist(), watch["y"].tolist(), strict=True))
    assert len(pairs) == 70
    assert set(pairs.values()) == {2}


def test_the_card_counts_persons_and_items(splits):
    assert tuple(len(d.group_names) for d in splits) == CARD.classes == (6, 2, 2)
    assert tuple(map(len, splits)) == CARD.items
    assert sum(CARD.items) == 2369
    assert {d.inputs.shape[1:] for d in splits} == {(100, 6)}
    assert CARD.lengths == (100, 100)
    assert all(d.inputs.isfinite().all() for d in splits)


def test_splits_share_no_person_and_no_recording(splits):
    persons = [name for d in splits for name in d.group_names]
    assert sorted(persons) == sorted(f"person {i}" for i in range(1, 11))
    recordings = [set(d.recordings.tolist()) for d in splits]
    assert sum(map(len, recordings)) == len(set.union(*recordings)) == 140


def test_every_person_has_enough_windows_of_every_exercise(splits):
    for dataset in splits:
        assert dataset._counts.shape == (len(dataset.group_names), 7)
        assert int(dataset._counts.min()) >= 20


def test_windows_are_cut_from_their_recordings(watch):
    for split in SPLITS:
        dataset = Activity(split=split, standardize=False)
        seen = collections.Counter()
        for i in range(len(dataset)):
            number = int(dataset.recordings[i])
            start = 100 * seen[number]
            seen[number] += 1
            recorded = np.asarray(watch["X"][number][start : start + 100], dtype=np.float32)
            np.testing.assert_array_equal(dataset.inputs[i], recorded)
            assert dataset.classes[dataset.targets[i]] == watch["y_labels"][watch["y"][number]]
            person = f"person {int(watch['subject'][number])}"
            assert dataset.group_names[dataset.groups[i]] == person
        assert all(count == len(watch["X"][n]) // 100 for n, count in seen.items())


def test_channels_are_standardized_by_the_train_split(splits):
    raw = [Activity(split=split, standardize=False).inputs for split in SPLITS]
    mean = raw[0].flatten(0, 1).mean(0)
    std = raw[0].flatten(0, 1).std(0, unbiased=False)
    for dataset, windows in zip(splits, raw, strict=True):
        torch.testing.assert_close(dataset.inputs, (windows - mean) / std, rtol=1e-3, atol=1e-4)
    assert splits[2].inputs.flatten(0, 1).std(0).sub(1).abs().max() > 0.05


def test_a_stride_leaves_gaps():
    close, spaced = (Activity(window=100, stride=s, standardize=False) for s in (None, 250))
    assert len(spaced) < len(close) / 2
    torch.testing.assert_close(spaced.inputs[0], close.inputs[0])
    torch.testing.assert_close(spaced.inputs[1, :50], close.inputs[2, 50:])


def test_recordings_of_one_arm_or_both(watch):
    left, right, both = (Activity(split="test", arms=arm) for arm in ("left", "right", "both"))
    assert len(left) + len(right) == len(both)
    for dataset, arm in ((left, 0), (right, 1)):
        assert {int(watch["side"][i]) for i in dataset.recordings.tolist()} == {arm}


def test_a_task_has_one_person(splits):
    test = splits[2]
    owner = {tuple(x[0].tolist()): int(g) for x, g in zip(test.inputs, test.groups, strict=True)}
    batch = test.draw(20, 5, 5, torch.Generator().manual_seed(0), ways=5)
    owners = []
    for support, query in zip(batch.support_x, batch.query_x, strict=True):
        windows = {tuple(x[0].tolist()) for x in (*support, *query)}
        assert len(windows) == 50  # no window twice
        owners.append({owner[window] for window in windows})
    assert all(len(owned) == 1 for owned in owners)
    assert set.union(*owners) == {0, 1}


def centroid_accuracy(batch, ways):
    def features(x):
        return torch.cat([x.mean(-2), x.std(-2, unbiased=False)], -1)

    centroids = features(batch.support_x).unflatten(1, (ways, -1)).mean(2)
    chosen = torch.cdist(features(batch.query_x), centroids).argmin(-1)
    return (chosen == batch.query_y).float().mean().item()


def test_chance_level_and_baseline_of_the_card(splits):
    assert CARD.chance == 1 / 5
    batch = splits[2].draw(1000, 5, 10, torch.Generator().manual_seed(1), ways=5)
    assert centroid_accuracy(batch, 5) == pytest.approx(CARD.baseline[1], abs=0.02)


def test_the_support_set_of_the_same_person_helps(splits):
    """Centroids of the other test person are less accurate, so a person is a task."""
    own = splits[2].draw(400, 5, 10, torch.Generator().manual_seed(1), ways=7)
    other = splits[2].draw(400, 5, 10, torch.Generator().manual_seed(2), ways=7)
    swapped = type(own)(other.support_x, other.support_y, own.query_x, own.query_y)
    assert centroid_accuracy(own, 7) > centroid_accuracy(swapped, 7) + 0.05


@pytest.mark.parametrize("method", ["draw", "taskset"])
def test_across_arms_support_and_query_share_no_recording(watch, method):
    dataset = Activity(split="test", across_arms=True)
    item_of = {x.numpy().tobytes(): i for i, x in enumerate(dataset.inputs)}
    random.seed(0)
    if method == "draw":
        batch = dataset.draw(40, 3, 5, torch.Generator().manual_seed(0), ways=4)
    else:
        taskset = get_tasksets("activity", test_ways=4, test_samples=9, across_arms=True).test
        batch = draw_tasks(taskset, tasks=40, shots=4)
    first_arms = set()
    for n in range(40):
        support, query = (
            [item_of[x.numpy().tobytes()] for x in part[n]]
            for part in (batch.support_x, batch.query_x)
        )
        arms = [
            {int(watch["side"][dataset.recordings[i]]) for i in part} for part in (support, query)
        ]
        assert arms in ([{0}, {1}], [{1}, {0}])
        first_arms |= arms[0]
        assert len({int(dataset.groups[i]) for i in support + query}) == 1
        exercises = [dataset.targets[i].item() for i in support]
        exercise_of = dict(zip(batch.support_y[n].tolist(), exercises, strict=True))
        assert len(set(exercise_of.values())) == 4
        assert [exercise_of[y] for y in batch.query_y[n].tolist()] == dataset.targets[
            query
        ].tolist()
        assert len(set(support + query)) == len(support) + len(query)
    assert first_arms == {0, 1}


@pytest.mark.parametrize(
    ("options", "accuracy"), [({"arms": "right"}, 0.95), ({}, 0.79), ({"across_arms": True}, 0.59)]
)
def test_accuracy_with_one_arm_both_arms_and_across_arms(options, accuracy):
    dataset = Activity(split="test", **options)
    batch = dataset.draw(600, 5, 5, torch.Generator().manual_seed(1), ways=5)
    assert centroid_accuracy(batch, 5) == pytest.approx(accuracy, abs=0.02)


def test_across_arms_a_taskset_needs_half_of_the_samples_as_shots(watch):
    options = {"train_samples": 15, "across_arms": True}
    fixed = get_tasksets("activity", num_tasks=20, **options).train
    for shots in (5, 8):
        with pytest.raises(
            DataError, match=f"shots must be 7, half of the 15 .* got {shots}; set the"
        ):
            TaskLoader(fixed, tasks=4, shots=shots)
        with pytest.raises(DataError, match=f"draw_tasks: shots must be 7.* got {shots}; set the"):
            draw_tasks(fixed, tasks=4, shots=shots)
    endless = get_tasksets("activity", **options).train
    arms = torch.from_numpy(watch["side"])[fixed.source.recordings]
    item_of = {row.numpy().tobytes(): i for i, row in enumerate(fixed.source.inputs)}
    for loader in (
        TaskLoader(fixed, 4, 7, 5, seed=0),
        TaskLoader(endless, 4, 7, 5, seed=0),
        TaskLoader(endless, 4, 5, 2, seed=0),
    ):
        batch = next(loader)
        for s, q in zip(batch.support_x, batch.query_x, strict=True):
            found = [{int(arms[item_of[row.numpy().tobytes()]]) for row in part} for part in (s, q)]
            assert sorted(map(sorted, found)) == [[0], [1]]


def test_across_arms_with_too_few_windows():
    with pytest.raises(DataError, match="a person must have 60 windows of each arm for 7"):
        Activity(across_arms=True).draw(2, 60, 5)
    with pytest.raises(DataError, match="a person must have 30 windows of each arm for 5"):
        get_tasksets("activity", test_samples=60, across_arms=True)


def test_a_classifier_adapts():
    torch.manual_seed(0)
    random.seed(0)
    x, y = get_tasksets("activity").train.sample()
    (support_x, support_y), (query_x, query_y) = learn2learn.data.partition_task(x, y, shots=5)
    model = SequenceClassifier(5, input_size=6, hidden_size=16, cell="gru", pooling="max")
    learner = MAML(model, lr=1.0, first_order=True).clone()
    losses = []
    for _ in range(10):
        losses.append(torch.nn.functional.cross_entropy(learner(support_x), support_y))
        learner.adapt(losses[-1])
    assert losses[-1] < 0.5 * losses[0]
    accuracy = (learner(query_x).argmax(-1) == query_y).float().mean()
    assert accuracy > 0.35


def test_root_is_not_written(tmp_path):
    get_tasksets("activity", root=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"split": "val"},
            UnknownNameError,
            "unknown split 'val'.* Known: train, validation, test",
        ),
        ({"arms": "Left"}, UnknownNameError, "unknown arms 'Left'.* Known: both, left, right"),
        ({"window": 0}, ArgumentError, "window must be a positive integer, got 0"),
        ({"window": 2.0}, ArgumentError, "window must be a positive integer, got 2.0"),
        ({"stride": 50}, ArgumentError, "stride must be at least window=100.*got 50"),
        ({"arms": "left", "across_arms": True}, ArgumentError, "requires arms='both', got 'left'"),
        ({"window": 3000}, DataError, "window must be at most 2618, .* got 3000"),
    ],
)
def test_invalid_options_raise_a_clear_error(options, error, message):
    with pytest.raises(error, match=message) as caught:
        Activity(**options)
    assert str(caught.value).startswith("Activity: ")


def test_without_seglearn_the_error_says_how_to_install_it(monkeypatch):
    watch_recordings.load_recordings.cache_clear()
    monkeypatch.setitem(sys.modules, "seglearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"task set 'activity'.*pip install seglearn"):
        Activity()
