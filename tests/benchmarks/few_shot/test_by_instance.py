"""Santoro's protocol as an experiment: episodes, maps of drawings, networks that read episodes."""

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.instances import (
    CELLS,
    ClassMeansSoFar,
    EpisodeNetwork,
    EpisodeReader,
)
from benchmarks.few_shot.problems.instance_problem import InstanceProblem, MapEncoder, ordinal
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from benchmarks.few_shot.stroke_maps import DIRECTIONS, SIZE, stroke_maps
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
    return InstanceProblem(spec, seed=3, device=CPU, test_tasks=6)


def drawing(*points, lifts=()):
    """Steps of a pen through points, from the centre."""
    here = torch.tensor([(0.0, 0.0), *points])
    lifted = torch.zeros(len(points), 1)
    lifted[list(lifts)] = 1
    return torch.cat([here[1:] - here[:-1], lifted], -1)


def maps_of(*drawings, scale=1.0):
    padded = nn.utils.rnn.pad_sequence(drawings, batch_first=True, padding_value=torch.nan)
    return stroke_maps(padded / torch.tensor([scale, scale, 1]), scale).unflatten(
        -1, (DIRECTIONS, SIZE)
    )  # (items, rows upward, directions, columns)


def test_maps_show_where_ink_is_and_which_way_it_runs():
    level = drawing((-0.8, 0.5), (0.8, 0.5))
    upright = drawing((0.5, -0.8), (0.5, 0.8))
    first, second = maps_of(level, upright)
    assert first.sum((1, 2)).argmax() in (8, 9)  # 0.5 of -0.9 .. 0.9 in 12 rows
    assert second.sum((0, 1)).argmax() in (8, 9)
    assert first.sum((0, 2)).argmax() == 0
    assert second.sum((0, 2)).argmax() == 2
    torch.testing.assert_close(first[:, 0], second[:, 2].T)


def test_maps_do_not_depend_on_the_order_of_drawing_nor_on_padding_and_scale():
    forth = drawing((-0.5, 0.3), (0.5, 0.3), (0.2, -0.6), (0.2, 0.6), lifts=(1, 3))
    back = drawing((0.2, 0.6), (0.2, -0.6), (0.5, 0.3), (-0.5, 0.3), lifts=(1, 3))
    longer = drawing((0.1, 0.1), (0.2, 0.2), (0.3, 0.1), (0.4, 0.2), (0.5, 0.1), (0.6, 0.2))
    (alone,) = maps_of(forth)
    for other in (maps_of(back), maps_of(forth, longer), maps_of(forth, scale=0.2)):
        torch.testing.assert_close(other[0], alone, rtol=1e-4, atol=1e-4)


def test_what_is_drawn_with_the_pen_lifted_leaves_no_ink():
    lifted = drawing((-0.8, -0.5), (-0.4, -0.5), (0.4, 0.5), (0.8, 0.5), lifts=(1, 3))
    (maps,) = maps_of(lifted)
    assert maps[5:7, :, 5:7].max() < 0.01 < 0.2 < maps.max()


def test_a_dot_is_a_drawing_too():
    (maps,) = maps_of(drawing((0.3, 0.3), (0.3, 0.3)))
    assert maps.isfinite().all()
    assert maps.sum((1, 2)).argmax() == maps.sum((0, 1)).argmax() == 7


def test_episodes_are_of_unseen_classes_the_same_for_all_and_complete(problem):
    items = problem.test
    first, again = (problem.judged("test", items, 6) for _ in range(2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)
    other = copy.copy(problem)
    other.seed = 4
    assert not torch.equal(first.y, other.judged("test", items, 6).y)
    assert first.x.shape == (6, 50, SIZE, SIZE * DIRECTIONS)
    for instance in range(1, 11):
        assert ((first.instance == instance).sum(1) == 5).all()
    assert not {*problem.test.classes} & {*problem.train.classes, *problem.validation.classes}
    assert len(problem.train) == 12 * len(problem.train.classes)
    assert len(problem.test) == 20 * len(problem.test.classes)  # the task set's own


def test_lessons_of_fewer_classes_use_all_names(problem):
    seed_everything(0)
    episodes = problem.lesson(problem.train, 40, 2, 3)
    assert episodes.y.shape == (40, 6)
    assert set(episodes.y.flatten().tolist()) == set(range(5))
    assert all(len(row.unique()) == 2 for row in episodes.y)
    assert not torch.equal(episodes.y, problem.lesson(problem.train, 40, 2, 3).y)


def test_class_means_know_a_class_once_it_was_shown(problem):
    method = ClassMeansSoFar(problem, "means", **SHARED)
    apart = torch.eye(5).repeat_interleave(20, 0).unsqueeze(1)
    labels = torch.arange(5).repeat_interleave(20)
    method.items["test"] = SequenceDataset(apart, labels)
    assert method.scores("2nd").tolist() == [1.0] * 6
    assert method.scores("10th").tolist() == [1.0] * 6
    assert method.scores("1st").mean() <= 0.2  # the very first item, by luck


def test_scores_are_by_instance(problem):
    class Late(ClassMeansSoFar):
        def answer(self, episodes):
            right = nn.functional.one_hot(episodes.y, 5)
            return torch.where(episodes.instance.unsqueeze(-1) >= 5, right, 1 - right)

    method = Late(problem, "late", **SHARED)
    method.fit()
    found = {column: method.scores(column).tolist() for column in problem.columns}
    none, all_ = [0.0] * 6, [1.0] * 6
    assert found == {"1st": none, "2nd": none, "5th": all_, "10th": all_}
    assert method.validation_accuracy(4) == pytest.approx(2 / 3)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("before", [True, False])
def test_no_network_sees_a_label_before_its_time(cell, before):
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


def test_the_item_before_stands_beside_its_label():
    network = EpisodeNetwork(6, 5, cell="lstm", size=12).eval()
    read = []
    network.network.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    vectors, previous = torch.randn(2, 9, 6), torch.rand(2, 9, 5)
    network(vectors, previous)
    now, label, before = read[0].split([6, 5, 6], -1)
    torch.testing.assert_close(before[:, 1:], now[:, :-1])
    assert torch.equal(label, previous)
    assert not before[:, 0].any()


def test_it_trains_and_repeats_with_its_seed(problem):
    found = []
    for _ in range(2):
        seed_everything(3)
        method = EpisodeReader(problem, "reader", **READING)
        history = method.fit()
        assert history.steps == 3
        assert history.best is not None
        assert history.pretraining_seconds > 0
        assert all(p.grad.abs().max() > 0 for p in method.reader.parameters())
        found.append((method.scores("2nd"), method.scores("10th")))
    assert all(map(torch.equal, *found))


def test_networks_share_the_encoder(problem):
    methods = [ClassMeansSoFar(problem, "means", **SHARED), EpisodeReader(problem, "r", **READING)]
    for method in methods:
        method.fit()
    assert methods[0].items["test"] is methods[1].items["test"]
    assert isinstance(methods[1].metric.encoders[0], MapEncoder)


def test_episodes_grow(problem):
    method = EpisodeReader(problem, "reader", **READING, grow=0.5)
    assert [method.lesson(progress) for progress in (0, 0.25, 0.5, 1)] == [
        (2, 3),
        (3, 6),
        (5, 10),
        (5, 10),
    ]
    assert EpisodeReader(problem, "reader", **READING, grow=0).lesson(0) == (5, 10)


@pytest.mark.parametrize("name", ["strokes", "languages_by_instance"])
def test_networks_have_like_numbers_of_parameters(name):
    for form in ("default", "full"):
        for entry in SPECS[name].entries[form]:
            if entry.method is EpisodeReader:
                made = EpisodeReader(None, "", **{**entry.options, "pretraining": PRETRAINING})
                count = sum(p.numel() for p in made.made(64, 5).parameters())
                assert count == pytest.approx(entry.options["parameters"], rel=0.02)


@pytest.mark.parametrize("name", ["strokes", "languages_by_instance"])
def test_the_quick_form_runs_and_writes_what_it_prints(name, tmp_path, capsys):
    spec = SPECS[name]
    entries = spec.entries["quick"]
    result = runner.run(
        dataclasses.replace(
            spec, entries={"quick": (entries[-3], entries[-1])}, training_options={}
        ),
        "quick",
        0,
        CPU,
        tmp_path,
    )
    assert report.table(result) in capsys.readouterr().out
    assert json.loads((tmp_path / f"{name}-quick.json").read_text()) == result
    assert (tmp_path / f"{name}-quick.png").read_bytes().startswith(b"\x89PNG")
    assert result["columns"] == ["1st", "2nd", "5th", "10th"]
    reader, means = result["methods"]
    assert reader["parameters"] > 0
    assert "parameters" not in means


def test_places_in_an_order_have_their_names():
    assert [ordinal(n) for n in (1, 2, 3, 4, 10, 11, 13)] == [
        *("1st", "2nd", "3rd", "4th", "10th", "11th", "13th")
    ]
