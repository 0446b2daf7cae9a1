"""The runner of the benchmarks, on networks small enough for a test."""

import dataclasses
import json
import math

import pytest
import torch

from benchmarks import __main__ as command_line
from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.maml import MetaLearnedStart
from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.methods.protonet import MetaLearnedMetric
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.tasksets import list_tasksets

CPU = torch.device("cpu")
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=4
)
METRIC = Entry("metric", "meta-learned", MetaLearnedMetric, {"model": MODEL, "training": TRAINING})


def spec_of(*entries: Entry, tasks: int = 6):
    return dataclasses.replace(
        SPECS["languages"], test_tasks={"quick": tasks}, entries={"quick": entries}
    )


@pytest.fixture(scope="module")
def problem():
    return Problem(spec_of(METRIC), seed=3, device=CPU, test_tasks=6)


def without_times(result):
    """Leave what a second run with the same seed must give again."""
    kept = []
    for method in result["methods"]:
        points = [
            {k: v for k, v in point.items() if k != "seconds"}
            for point in method["training"]["points"]
        ]
        kept.append((method["label"], method["scores"], points))
    return kept


def test_a_run_writes_json_and_picture_and_repeats_with_its_seed(tmp_path, capsys):
    start = {"inner_lr": 0.1, "inner_steps": 2, "test_steps": 2}
    maml = Entry(
        "start", "meta-learned", MetaLearnedStart, {"model": MODEL, "training": TRAINING, **start}
    )
    spec = spec_of(METRIC, maml)
    first = runner.run(spec, "quick", 5, CPU, tmp_path / "a")
    table = report.table(first)
    assert table in capsys.readouterr().out
    assert json.loads((tmp_path / "a/languages-quick.json").read_text()) == first
    assert (tmp_path / "a/languages-quick.png").read_bytes().startswith(b"\x89PNG")
    for method in first["methods"]:
        assert set(method["scores"]) == {"1 shot", "5 shots"}
        assert method["training"]["steps"] == TRAINING.steps
        assert not method["training"]["ended_early"]
    assert {"seed", "device", "versions", "date", "threads", "seconds"} <= set(first)

    again = runner.run(spec, "quick", 5, CPU, tmp_path / "b")
    assert without_times(again) == without_times(first)
    other = runner.run(spec, "quick", 6, CPU, tmp_path / "c")
    assert without_times(other) != without_times(first)


def test_interrupting_keeps_what_was_measured(tmp_path, capsys):
    class Interrupted(Classification):
        def fit(self):
            raise KeyboardInterrupt

        def predict(self, batch):
            raise AssertionError

    spec = spec_of(METRIC, Entry("stopped", "baseline", Interrupted))
    result = runner.run(spec, "quick", 0, CPU, tmp_path)
    assert result["interrupted"]
    assert [method["label"] for method in result["methods"]] == ["metric"]
    assert json.loads((tmp_path / "languages-quick-partial.json").read_text())["interrupted"]
    assert not (tmp_path / "languages-quick.json").exists()
    assert "Interrupted" in capsys.readouterr().out


def test_a_failure_keeps_what_was_measured(tmp_path):
    class Failing(Classification):
        def predict(self, batch):
            raise ArithmeticError("no")

    spec = spec_of(METRIC, Entry("failing", "baseline", Failing))
    with pytest.raises(ArithmeticError):
        runner.run(spec, "quick", 0, CPU, tmp_path)
    result = json.loads((tmp_path / "languages-quick-partial.json").read_text())
    assert [method["label"] for method in result["methods"]] == ["metric"]


def test_time_ends_a_training_that_has_steps_left(problem):
    training = dataclasses.replace(TRAINING, steps=10**6, minutes=0.05)
    seed_everything(0)
    history = MetaLearnedMetric(problem, "metric", model=MODEL, training=training).fit()
    assert history.ended_early
    assert history.paced_by_clock
    assert 0 < history.steps < training.steps
    assert history.points[-1]["step"] == history.steps


def test_training_keeps_the_best_by_validation(problem):
    seed_everything(0)
    method = MetaLearnedMetric(problem, "metric", model=MODEL, training=TRAINING)
    history = method.fit()
    assert history.best == max(point["validation"] for point in history.points)
    assert method.validation_accuracy(TRAINING.validation_tasks) == pytest.approx(history.best)


def test_a_prior_is_fitted_to_the_encoder_that_two_entries_share():
    problem = Problem(spec_of(METRIC), seed=4, device=CPU, test_tasks=6)
    seed_everything(0)
    plain = MetaLearnedMetric(problem, "plain", model=MODEL, training=TRAINING)
    prior = MetaLearnedMetric(problem, "prior", model=MODEL, training=TRAINING, shrinkage=0.5)
    assert plain.fit() == prior.fit()
    assert prior.encoders[0] is plain.encoders[0]
    assert plain.priors == [None]
    assert prior.priors[0].variances.max() > 0
    (batch,) = problem.episodes("test", 5, 6).batches(6, CPU)
    scores = prior.predict(batch)
    assert scores.shape == (*batch.query_y.shape, 5)
    assert not torch.equal(scores, plain.predict(batch))


def test_several_encoders_are_trained_apart_and_their_scores_add_up(problem):
    options = {"model": MODEL, "training": TRAINING, "shrinkage": 0.5}
    one = MetaLearnedMetric(problem, "one", **options)
    two = MetaLearnedMetric(problem, "two", **options, members=2)
    seconds = [one.fit().seconds, two.fit().seconds]
    assert seconds[1] > seconds[0]
    first, second = two.encoders
    assert first is one.encoders[0]
    assert not torch.equal(first.embedding.weight, second.embedding.weight)
    (batch,) = problem.episodes("test", 5, 6).batches(6, CPU)
    alone = MetaLearnedMetric(problem, "alone", **options)
    alone.encoders, alone.priors = [second], two.priors[1:]
    torch.testing.assert_close(two.predict(batch), one.predict(batch) + alone.predict(batch))


def test_a_second_loss_tells_all_training_classes_apart(problem):
    batch, classes = problem.training_batch(TRAINING, 0)
    assert torch.equal(batch.support_x, classes.support_x)
    for own, among_all in zip(batch.query_y, classes.query_y, strict=True):
        pairs = set(zip(own.tolist(), among_all.tolist(), strict=True))
        assert len(pairs) == TRAINING.ways  # one class of all for each class of the task
    assert classes.query_y.max() >= TRAINING.ways
    losses = []
    for weight in (0.0, 1.0):
        method = MetaLearnedMetric(
            problem, "m", model=MODEL, training=TRAINING, class_weight=weight
        )
        losses.append(method.fit().points[-1]["loss"])
    assert losses[1] == pytest.approx(losses[0] + math.log(len(problem.train.classes)), rel=0.1)


def test_a_prior_over_the_pretrained_encoder(problem):
    pretraining = {"training": TRAINING, "batch_size": 20}
    method = PretrainedPrior(problem, "p", model=MODEL, pretraining=pretraining, shrinkage=0.5)
    method.fit()
    (batch,) = problem.episodes("test", 1, 6).batches(6, CPU)
    assert method.predict(batch).shape == (*batch.query_y.shape, 5)


def test_a_sample_of_every_training_class(problem):
    seed_everything(0)
    items = problem.training_sample(7)
    counts = torch.bincount(problem.train.labels[items])
    assert torch.equal(counts, torch.bincount(problem.train.labels).clamp_max(7))
    assert len(items.unique()) == len(items)
    assert not torch.equal(items, problem.training_sample(7))


def test_episodes_are_the_same_for_every_method_and_of_unseen_classes(problem):
    episodes = problem.episodes("test", 2, 6)
    again = problem.episodes("test", 2, 6)
    assert torch.equal(episodes.index.query_x, again.index.query_x)
    assert not torch.equal(
        episodes.index.query_x, problem.episodes("test", 1, 6).index.query_x[:, : 6 * 10]
    )
    (batch,) = episodes.batches(6, CPU)
    assert batch.support_x.shape == (6, 10, 32)
    support, query = episodes.index.support_x[0].flatten(), episodes.index.query_x[0].flatten()
    assert not set(support.tolist()) & set(query.tolist())
    names = episodes.texts(episodes.index.support_x[0])
    encoded = [problem.test.vocabulary.encode(name) for name in names]
    assert [row[row != 0].tolist() for row in batch.support_x[0]] == encoded
    assert not {*problem.test.classes} & {*problem.train.classes, *problem.validation.classes}


def test_fine_tuning_without_a_step_is_the_linear_probe(problem):
    training = dataclasses.replace(TRAINING, steps=2)
    options = {"model": MODEL, "pretraining": {"training": training, "batch_size": 20}}
    probe = LinearProbe(problem, "probe", **options)
    tuned = FineTuned(problem, "tuned", steps=0, lr=0.1, **options)
    assert probe.fit() is tuned.fit()  # pre-trained once
    (batch,) = problem.episodes("test", 2, 6).batches(6, CPU)
    scores = tuned.predict(batch).log_softmax(-1).exp()
    torch.testing.assert_close(scores, probe.predict(batch).float(), rtol=1e-3, atol=1e-4)
    tuned.steps = 3
    assert not torch.allclose(tuned.predict(batch).softmax(-1), scores, atol=1e-3)


def test_interval_is_a_95_percent_confidence_interval():
    score = report.interval(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert score["mean"] == 0.5
    assert score["ci95"] == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)
    assert report.interval(torch.tensor([0.25]))["ci95"] == 0


def test_an_out_that_cannot_be_written_is_told_before_training(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SystemExit) as stop:
        command_line.main(["run", "languages", "--quick", "--out", str(blocked)])
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert "cannot write" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "langauges"], "did you mean 'languages'?"),
        (["run", "languages", "--device", "warp"], "--device warp"),
        (["run", "languages", "--quick", "--full"], "not allowed with"),
        (["run"], "NAME"),
    ],
)
def test_a_bad_command_line_gets_one_clear_error(arguments, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main([*arguments, *(["--out", str(tmp_path)] if arguments[1:] else [])])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_list_names_every_experiment(capsys):
    assert command_line.main(["list"]) == 0
    told = capsys.readouterr().out
    for name, spec in SPECS.items():
        assert name in told
        assert spec.summary in told
    for name, card in list_tasksets().items():
        assert f"task set {name}\n  task: {card.task}" in told


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_spec_has_its_three_forms_and_enough_tasks(spec):
    assert set(spec.entries) == set(spec.test_tasks) == {"quick", "default", "full"}
    assert min(spec.test_tasks["default"], spec.test_tasks["full"]) >= 200
    forms = list(spec.entries.values())
    methods = [{(entry.group, entry.method) for entry in entries} for entries in forms]
    assert methods[0] == methods[1] == methods[2]
    assert all(len({entry.label for entry in entries}) == len(entries) for entries in forms)
