"""Methods for episodes in Santoro's protocol."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from benchmarks.few_shot.columns import Instance
from benchmarks.few_shot.methods.episodes.episode_method import RunningClassMeans
from benchmarks.few_shot.methods.episodes.episode_network import CELLS, EpisodeNetwork
from benchmarks.few_shot.methods.episodes.episode_reader import EpisodeReader
from benchmarks.few_shot.problems.episode_problem import EpisodeProblem, MapEncoder
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from benchmarks.few_shot.stroke_maps import DIRECTIONS, SIZE
from l2l_rnn.data import SequenceDataset

CPU = torch.device("cpu")
PRETRAINING = Training(
    steps=2, minutes=1, tasks=2, shots=(1,), queries=2, validate_every=2, validation_tasks=4
)
TRAINING = dataclasses.replace(PRETRAINING, steps=3, tasks=4, validate_every=3)
SHARED = {"encoder": {"hidden_size": 16, "embedding_size": 8}, "pretraining": PRETRAINING}
READING = {**SHARED, "network": {"cell": "lstm"}, "parameters": 3000, "training": TRAINING}


@pytest.fixture(scope="module")
def problem():
    spec = dataclasses.replace(SPECS["strokes"], training_options={"samples": 12})
    return EpisodeProblem(spec, seed=3, device=CPU, test_tasks=6)


def test_evaluation_episodes_are_fixed_complete_and_of_unseen_classes(problem):
    items = problem.test
    first, again = (problem.evaluation_episodes("test", items, 6) for _ in range(2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)
    other = copy.copy(problem)
    other.seed = 4
    assert not torch.equal(first.y, other.evaluation_episodes("test", items, 6).y)
    assert first.x.shape == (6, 50, SIZE, SIZE * DIRECTIONS)
    for instance in range(1, 11):
        assert ((first.instance == instance).sum(1) == 5).all()
    assert not {*problem.test.classes} & {*problem.train.classes, *problem.validation.classes}
    assert len(problem.train) == 12 * len(problem.train.classes)
    assert len(problem.test) == 20 * len(problem.test.classes)  # the task set's own


def test_training_episodes_of_fewer_classes_use_all_labels(problem):
    tasks = problem.training_episodes(problem.train, 40, grow=0.5, seed=0)
    episodes = tasks.batch(0, 0.0)
    assert episodes.y.shape == (40, 6)
    assert set(episodes.y.flatten().tolist()) == set(range(5))
    assert all(len(row.unique()) == 2 for row in episodes.y)
    assert not torch.equal(episodes.y, tasks.batch(1, 0.0).y)
    again = problem.training_episodes(problem.train, 40, grow=0.5, seed=0).batch(0, 0.0)
    assert torch.equal(episodes.y, again.y)
    assert torch.equal(episodes.x, again.x)


def test_running_class_means_recognize_a_class_from_its_second_item(problem):
    method = RunningClassMeans(problem, "means", **SHARED)
    vectors = torch.eye(5).repeat_interleave(20, 0).unsqueeze(1)
    labels = torch.arange(5).repeat_interleave(20)
    method.items["test"] = SequenceDataset(vectors, labels)
    assert method.evaluate(Instance(2)).tolist() == [1.0] * 6
    assert method.evaluate(Instance(10)).tolist() == [1.0] * 6
    assert method.evaluate(Instance(1)).mean() <= 0.2  # the first item is correct by chance


def test_scores_are_by_instance(problem):
    class Late(RunningClassMeans):
        def predict(self, episodes):
            right = nn.functional.one_hot(episodes.y, 5)
            return torch.where(episodes.instance.unsqueeze(-1) >= 5, right, 1 - right)

    method = Late(problem, "late", **SHARED)
    method.train()
    found = {column.name: method.evaluate(column).tolist() for column in problem.columns}
    none, all_ = [0.0] * 6, [1.0] * 6
    assert found == {"1st": none, "2nd": none, "5th": all_, "10th": all_}
    assert method.validation_score(4) == pytest.approx(2 / 3)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("before", [True, False])
def test_no_network_sees_a_label_early(cell, before):
    torch.manual_seed(0)
    network = EpisodeNetwork(6, 5, cell=cell, size=12, before=before).eval()
    vectors, previous = torch.randn(2, 9, 6), torch.rand(2, 9, 5)
    scores = network(vectors, previous)
    assert scores.shape == (2, 9, 5)
    changed = previous.clone()
    changed[:, 5] += 1  # the label of item 4
    later = network(vectors, changed)
    torch.testing.assert_close(later[:, :5], scores[:, :5])
    assert not torch.allclose(later[:, 6:], scores[:, 6:])


def test_a_step_reads_the_previous_item_with_its_label():
    network = EpisodeNetwork(6, 5, cell="lstm", size=12).eval()
    read = []
    network.network.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    vectors, previous = torch.randn(2, 9, 6), torch.rand(2, 9, 5)
    network(vectors, previous)
    now, label, before = read[0].split([6, 5, 6], -1)
    torch.testing.assert_close(before[:, 1:], now[:, :-1])
    assert torch.equal(label, previous)
    assert not before[:, 0].any()


def test_a_reader_trains_and_is_reproducible(problem):
    found = []
    for _ in range(2):
        seed_everything(3)
        method = EpisodeReader(problem, "reader", **READING)
        history = method.train()
        assert history.steps == 3
        assert history.best is not None
        assert history.pretraining_seconds > 0
        assert all(p.grad.abs().max() > 0 for p in method.reader.parameters())
        found.append((method.evaluate(Instance(2)), method.evaluate(Instance(10))))
    assert all(map(torch.equal, *found))


def test_methods_share_the_encoder(problem):
    methods = [
        RunningClassMeans(problem, "means", **SHARED),
        EpisodeReader(problem, "r", **READING),
    ]
    for method in methods:
        method.train()
    assert methods[0].items["test"] is methods[1].items["test"]
    assert isinstance(methods[1].metric.encoders[0], MapEncoder)


def test_training_episodes_grow(problem):
    tasks = problem.training_episodes(problem.train, 4, grow=0.5, seed=0)
    assert [tasks.size(progress) for progress in (0, 0.25, 0.5, 1)] == [
        (2, 3),
        (3, 6),
        (5, 10),
        (5, 10),
    ]
    assert tasks.batch(0, 0.25).y.shape == (4, 18)
    assert problem.training_episodes(problem.train, 4, grow=0, seed=0).size(0) == (5, 10)


def test_instances_are_ordinals():
    assert [Instance(n).name for n in (1, 2, 3, 4, 10, 11, 13)] == [
        *("1st", "2nd", "3rd", "4th", "10th", "11th", "13th")
    ]
