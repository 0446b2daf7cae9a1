"""Algorithmic tasks: exact measures, settings, and training of every network on every task."""

import argparse
import dataclasses
import json
import math

import pytest
import torch

from benchmarks.algorithmic import loss_monitor, networks, run, tasks, training
from benchmarks.algorithmic.networks import NETWORKS
from benchmarks.algorithmic.settings import Settings, add_options, as_arguments
from benchmarks.algorithmic.tasks import TASKS, Evaluation
from benchmarks.sizes import parameter_count
from l2l_rnn.tasksets import AssociativeRecall, Copy, DynamicNGrams, PrioritySort, RepeatCopy

SMALL = {
    "sequences": 8,
    "batch": 4,
    "evaluation_sequences": 2,
    "hidden_size": 4,
    "slots": 4,
    "slot_size": 4,
}
SMALL |= {"read_heads": 1, "write_heads": 1}
SHORT = {  # number of training sequences; evaluation on trained and longer lengths
    "copy": (Copy(lengths=(1, 3)), Copy().at(3), Copy().at(5)),
    "repeat_copy": (RepeatCopy(lengths=(1, 2), repeats=(1, 2)), *[RepeatCopy().at(2, 2)] * 2),
    "associative_recall": (AssociativeRecall(items=(2, 2)), *[AssociativeRecall().at(2)] * 2),
    "dynamic_ngrams": (DynamicNGrams(3, 9), DynamicNGrams(3, 9), DynamicNGrams(3, 12)),
    "priority_sort": (PrioritySort(8, 3, 2), PrioritySort(8, 3, 2), PrioritySort(8, 4, 3)),
}


def short(name, goal=1e9):
    family, trained, longer = SHORT[name]
    goal = None if name == "dynamic_ngrams" else goal
    evaluations = {"near": Evaluation(trained, True, goal), "far": Evaluation(longer, False)}
    return dataclasses.replace(TASKS[name], family=family, evaluations=evaluations)


class Zeros(torch.nn.Module):
    """Predicts one half for every bit."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return x.new_zeros(*x.shape[:2], self.outputs), None


class Rule(torch.nn.Module):
    """Copies with one wrong bit in the last vector, with logits of 1 or -1."""

    def forward(self, x):
        length = x.shape[1] // 2
        logits = torch.zeros(x.shape[0], x.shape[1], 8)
        logits[:, length + 1 :] = 2 * x[:, :length, :8] - 1
        logits[:, -1, 0] *= -1
        return logits, None


class Silent(Copy):
    """Copy with targets that are all 0."""

    def episodes(self, parameters, generator=None):
        inputs, answers = super().episodes(parameters, generator)
        return inputs, 0 * answers


# ---------------------------------------------------------------- tasks and measures

ASKED = {
    "copy": {"10": 80, "20": 160, "50": 400, "120": 960},
    "repeat_copy": {"5 x 5": 234, "10 x 10": 909, "20 x 10": 1809, "10 x 20": 1809},
    "associative_recall": {"2": 18, "6": 18, "12": 18, "20": 18},
    "dynamic_ngrams": {"200": 195, "400": 395},
    "priority_sort": {"16 of 20": 128, "24 of 30": 192},
}


@pytest.mark.parametrize("name", TASKS)
def test_a_constant_prediction_costs_one_bit_per_target_bit(name):
    task = TASKS[name]
    found = tasks.evaluate(Zeros(task.family.output_size), task, 3, 0)
    assert found["cost"] == pytest.approx(ASKED[name], rel=1e-12)
    assert set(found) == ({"cost"} if name == "dynamic_ngrams" else {"cost", "wrong_bits"})
    for point, wrong in found.get("wrong_bits", {}).items():
        assert 0 < wrong < ASKED[name][point]  # the ones, about half of the bits


def test_measures_of_a_known_output():
    task = dataclasses.replace(TASKS["copy"], evaluations={"5": Evaluation(Copy().at(5), True)})
    found = tasks.evaluate(Rule(), task, 41, 1)  # in several parts
    right, wrong = (math.log2(1 + math.exp(one)) for one in (-1, 1))
    assert found["wrong_bits"] == {"5": 1.0}
    assert found["cost"]["5"] == pytest.approx(39 * right + wrong, rel=1e-6)


def test_nan_is_wrong():
    drawn = Copy().at(2).sequences(3)
    assert tasks.wrong_bits(torch.full((3, 5, 8), math.nan), drawn) == 16
    assert math.isnan(tasks.cost_bits(torch.full((3, 5, 8), math.nan), drawn))


def test_the_optimal_predictor_of_n_grams_counts():
    task, bits = short("dynamic_ngrams"), 0.0
    drawn = task.evaluations["far"].family.sequences(5, torch.Generator().manual_seed(7))
    for sequence, targets in zip(drawn.inputs, drawn.targets, strict=True):
        whole = [int(bit) for bit in (*sequence, targets[-1])]
        seen = {}
        for t in range(2, 12):
            ones, zeros = seen.get(tuple(whole[t - 2 : t]), (0, 0))
            chance = (ones + 0.5) / (ones + zeros + 1)
            bits -= math.log2(chance if whole[t] else 1 - chance)
            now = (ones + whole[t], zeros + 1 - whole[t])
            seen[tuple(whole[t - 2 : t])] = now
    assert tasks.optimum(task, 5, 7)["far"] == pytest.approx(bits / 5, rel=1e-6)
    assert tasks.optimum(short("copy"), 5, 7) == {"near": 0, "far": 0}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_evaluated_on_trained_and_on_longer_lengths(name):
    task = TASKS[name]
    for point in task.evaluations.values():
        assert (point.family.steps <= task.family.steps) == point.trained
    assert {point.trained for point in task.evaluations.values()} == {True, False}
    assert task.longest_trained.steps == task.family.steps
    for level in range(task.first_level, task.last_level):
        family = task.at_level(level)
        assert family.steps < task.family.steps
        assert family.input_size == task.family.input_size
    assert task.at_level(task.last_level) is task.family


# ---------------------------------------------------------------- networks and settings


@pytest.mark.parametrize("memory", NETWORKS)
@pytest.mark.parametrize("name", ["copy", "dynamic_ngrams", "priority_sort"])
def test_networks_have_similar_numbers_of_parameters(name, memory):
    counts = {}
    for kind in ("ntm", memory):
        settings = run.make_settings(name, memory=kind)
        model = networks.build(settings, TASKS[name].family)
        counts[kind] = parameter_count(model)
    assert counts[memory] == pytest.approx(counts["ntm"], rel=0.015)


def test_settings_of_a_task_and_overrides():
    assert run.make_settings("dynamic_ngrams") == Settings(lr=3e-3, beta2=0.999)
    assert run.make_settings("repeat_copy").curriculum
    assert not run.make_settings("repeat_copy", curriculum=False).curriculum
    assert run.make_settings("copy").slots == 256
    assert run.make_settings("copy", slots=9).slots == 9
    assert run.make_settings("priority_sort", memory="dnc").read_heads == 5
    assert run.make_settings("priority_sort", read_heads=2).read_heads == 2


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings("key-value", 80, lr=1 / 3, curriculum=True, minutes=0.1, seed=-4)],
)
def test_settings_survive_the_command_line(settings):
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert Settings(**vars(parser.parse_args(as_arguments(settings)))) == settings
    assert vars(parser.parse_args([])) == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--sequences", "4", "--batch", "8"], "at least batch=8, got 4"),
        (["--batch", "0"], "batch must be above 0"),
        (["--minutes", "0"], "minutes must be above 0"),
        (["--restore-above", "1"], "restore_above must be above 1"),
        (["--skip-below", "-1"], "skip_below must be at least 0"),
        (["--ema-decay", "1"], "ema_decay must be in"),
        (["--slot-size", "1"], "slot_size must be"),
        (["--controller", "gru"], "'gru'"),
        (["--memory", "mann", "--read-heads", "300"], "at most slots=256"),
        (["--memory", "ram"], "invalid choice"),
        (["--every", "0"], "--every must be at least 1"),
    ],
)
def test_bad_settings_are_rejected_before_training(given, text, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(["copy", *given, "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- training


def test_smoothed_loss_convergence_and_climb():
    monitor = loss_monitor.LossMonitor(0.5, batch=20)
    monitor.add(1.0, 20)
    for step in range(2, 61):
        monitor.add(0.0, 20 * step)
    # The mean of the first 1,000 sequences, then an average over as many.
    assert monitor.smoothed == monitor.best == pytest.approx(1 / 50 * 0.98**10)
    assert monitor.converged_at == 1000  # below 0.5 since step 3, but after too few sequences
    assert monitor.climb == 1
    for _ in range(5):
        monitor.add(2.0, 0)
    assert monitor.climb == pytest.approx(monitor.smoothed / monitor.best)
    assert monitor.climb > 1.5
    worst = monitor.climb
    monitor.add(0.0, 0)
    assert monitor.climb == worst
    monitor.restart()
    assert monitor.converged_at is monitor.climb is None
    assert math.isnan(monitor.smoothed)


def test_the_best_weights_are_restored_after_a_climb():
    part = torch.nn.Linear(1, 1)
    monitor = loss_monitor.LossMonitor(0.5, batch=100)
    best = loss_monitor.BestWeights(3.0, 100, part)

    def take(nats, weight, steps=1):
        for _ in range(steps):
            torch.nn.init.constant_(part.weight, weight)
            monitor.add(nats, 0)
            best.update(monitor)
        return part.weight.item()

    assert take(0.6, 0, steps=30) == 0  # not converged yet, so climbs are ignored
    assert take(9.0, 1) == 1
    assert take(0.1, 1, steps=100) == 1
    assert take(0.45, 1, steps=30) == 1  # above three times its best, but below the threshold
    assert best.restored == 0
    assert take(0.1, 2, steps=100) == 2
    assert take(9.0, 3) == 2
    assert (best.restored, best.lr_factor) == (1, 0.5)
    assert take(1.2, 4, steps=9) == 4  # a pause, during which the mean may decrease
    assert take(1.2, 5) == 2
    assert (best.restored, best.lr_factor) == (2, 0.25)
    assert take(9.0, 6) == 2  # it increases instead
    assert best.restored == 3
    monitor.restart()
    assert take(9.0, 7, steps=50) == 7


def test_everything_that_training_changes_is_restored(monkeypatch):
    seen = []
    update = loss_monitor.BestWeights.update

    def harder(best, monitor):
        seen.append(best)
        if monitor.climb is not None:
            monitor.threshold = 0.0  # any loss triggers a restoration
        update(best, monitor)

    monkeypatch.setattr(loss_monitor.BestWeights, "update", harder)
    task = dataclasses.replace(short("copy"), converged_below=10.0)
    _, found = trained(
        task=task, sequences=4000, lr=1.0, final_lr_ratio=1.0, restore_above=1.01, every=10**6
    )
    (best,) = set(seen)
    assert found["restored"] == best.restored > 0
    model, optimizer, averaged = best.parts
    assert {id(p) for p in model.parameters()} == {
        id(p) for group in optimizer.param_groups for p in group["params"]
    }
    assert set(averaged.module.state_dict()) == set(model.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.5**best.restored


def trained(name="copy", every=4, on_point=lambda point: None, task=None, **given):
    result = {}
    settings = Settings(**({"memory": "lstm"} | SMALL | given))
    model = training.train(task or short(name), settings, every, result, on_point)
    return model, result


@pytest.mark.parametrize("memory", NETWORKS)
@pytest.mark.parametrize("name", TASKS)
def test_every_network_trains_on_every_task(name, memory):
    torch.manual_seed(0)
    start = networks.build(Settings(memory, **SMALL), SHORT[name][0]).state_dict()
    model, result = trained(name, memory=memory, lr=0.1)
    assert (result["ended"], result["sequences"]) == ("done", 8)
    assert [point["sequences"] for point in result["points"]] == [4, 8]
    assert all(0.2 < point["loss"] < 2 for point in result["points"])
    assert result["network"] == NETWORKS[memory].description
    assert result["parameters"] == parameter_count(model)
    assert [n for n, p in model.named_parameters() if torch.equal(p, start[n])] == []
    assert list(result["cost"]) == list(result["points"][0]["cost"]) == ["near", "far"]
    assert (
        result["cost"]
        == result["points"][1]["cost"]
        == tasks.evaluate(model, short(name), 2, 2)["cost"]
    )
    assert result["converged_at"] is result["max_climb"] is None
    assert result["converged_below"] == TASKS[name].converged_below
    if name == "dynamic_ngrams":
        assert all(best > 0 for best in result["optimum"].values())
        assert not {"wrong_bits", "reached"} & set(result)
    else:
        assert set(result["wrong_bits"]) == {"near", "far"}
        assert result["reached"] is True
        assert result["goals"] == {"near": 1e9}


@pytest.mark.parametrize("memory", ["ntm", "key-value"])
def test_a_run_writes_its_result_and_draws_a_memory(memory, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(run.TASKS, "associative_recall", short("associative_recall"))
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    given += ["--memory", memory, "--seed", "3", "--every", "4", "--out", str(tmp_path)]
    assert run.main(["recall", *given]) == 0
    stem = tmp_path / f"memory-associative_recall-{memory}-seed3"
    result = json.loads(stem.with_suffix(".json").read_text())
    assert result["task"] == "associative_recall"
    of_the_task = TASKS["associative_recall"].training
    asked = dataclasses.asdict(Settings(memory, seed=3, **(of_the_task | SMALL)))
    assert result["settings"] == asked | {"minutes": None, "relative_clip": None}  # without end
    assert {"hidden_size", "parameters", "date", "device", "threads", "versions"} <= set(result)
    assert stem.with_suffix(".png").exists() == (memory == "ntm")
    text = capsys.readouterr().out
    assert "     4 sequences" in text
    assert f"wrong bits per sequence: near: {result['wrong_bits']['near']:.2f}, far: " in text


def test_gradients_are_clipped_relative_to_recent_norms(monkeypatch):
    limits = []
    clip = training.clip_grad_norm_
    monkeypatch.setattr(
        training,
        "clip_grad_norm_",
        lambda parameters, limit: (limits.append(limit), clip(parameters, limit))[1],
    )
    trained(relative_clip=1e-3, sequences=3 * SMALL["batch"])
    assert limits[0] == Settings().clip  # no norms have been seen yet
    assert 0 < limits[1] < 0.01
    assert limits[2] < limits[1]  # a clipped norm counts with its clipped value


@pytest.mark.parametrize("memory", ["ntm", "dnc"])
def test_controllers_start_with_the_given_forget_bias(memory):
    settings = Settings(memory, hidden_size=4, forget_bias=-3.0)
    bias = networks.build(settings, Copy()).controller.bias.unflatten(0, (4, -1))
    assert bias[1].eq(-3).all()  # rows stack i, f, g, o
    assert bias[[0, 2, 3]].eq(0).all()


def test_a_step_with_a_small_loss_is_skipped(monkeypatch):
    losses, norms = [], []
    add, clip = loss_monitor.LossMonitor.add, training.clip_grad_norm_
    monkeypatch.setattr(
        loss_monitor.LossMonitor,
        "add",
        lambda monitor, nats, seen: (losses.append(nats), add(monitor, nats, seen)),
    )
    monkeypatch.setattr(
        training,
        "clip_grad_norm_",
        lambda parameters, limit: (norms.append(len(losses)), clip(parameters, limit))[1],
    )
    trained(sequences=40 * SMALL["batch"], lr=0.1, skip_below=0.695)
    assert min(losses) < 0.695 < max(losses)
    assert norms == [step for step, nats in enumerate(losses) if nats >= 0.695]


def test_the_learning_rate_falls_along_half_a_cosine():
    found = [training.half_cosine(0.2, done) for done in (0, 0.5, 1)]
    assert found == pytest.approx([1, 0.6, 0.2])


def test_training_is_reproducible():
    runs = [trained(seed=seed)[1]["cost"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_averaged_weights_are_evaluated():
    (plain, first), (averaged, second) = trained(ema_decay=0.0), trained(ema_decay=0.9)
    assert first["points"][0]["loss"] == second["points"][0]["loss"]
    assert not torch.equal(plain.head.weight, averaged.head.weight)
    found = tasks.evaluate(averaged, short("copy"), 2, 2)
    assert found["cost"] == second["cost"] != first["cost"]


def test_a_curriculum_advances_when_the_loss_is_low():
    task = dataclasses.replace(
        short("copy"), last_level=3, at=lambda level: Copy(lengths=(1, level))
    )
    assert trained(task=task, curriculum=True)[1]["points"][-1]["level"] == 1
    assert trained(task=task)[1]["points"][-1]["level"] == 3
    assert trained(task=task, curriculum=True, advance_below=9.0)[1]["points"][-1]["level"] == 3
    # Targets of 0 are learned immediately.
    task = dataclasses.replace(task, family=Silent(lengths=(1, 3)), at=lambda _: Silent())
    _, found = trained(task=task, curriculum=True, sequences=400, lr=0.5, every=10**6)
    assert found["points"][-1]["level"] == 3


def test_a_missed_goal():
    assert trained(task=short("copy", goal=0.1))[1]["reached"] is False


def test_an_interrupted_training_keeps_what_was_measured():
    points = []

    def on_point(point):
        points.append(point)
        if len(points) == 2:
            raise KeyboardInterrupt

    _, result = trained(on_point=on_point, sequences=4000)
    assert (result["ended"], result["sequences"]) == ("interrupted", 8)
    assert result["points"] == points
    assert result["cost"] == points[-1]["cost"]


def test_training_stops_at_its_time_limit():
    _, result = trained(sequences=4000, minutes=1e-9)
    assert (result["ended"], result["sequences"]) == ("out of time", 4)
    assert trained(minutes=1)[1]["ended"] == "done"


def test_gradients_that_are_not_finite_are_named():
    model = torch.nn.Linear(2, 1)
    fine = torch.tensor(1.0)
    model.weight.grad, model.bias.grad = torch.tensor([[1.0, torch.nan]]), torch.zeros(1)
    training.check_finite("ntm", 8, model, fine, fine)
    with pytest.raises(training.Diverged, match=r"ntm: the loss is inf after 8 sequences"):
        training.check_finite("ntm", 8, model, fine / 0, fine)
    with pytest.raises(training.Diverged, match=r"after 8 .* gradients of weight are not"):
        training.check_finite("ntm", 8, model, fine, fine * torch.nan)


@pytest.mark.parametrize("memory", ["ntm", "lstm"])
def test_a_diverged_training_is_reported(memory, tmp_path, capsys):
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    given += ["--sequences=400", "--lr=1e37", "--clip=1e37", "--memory", memory]
    assert run.main(["recall", *given, "--out", str(tmp_path)]) == 1
    stem = f"memory-associative_recall-{memory}-seed0"
    result = json.loads((tmp_path / f"{stem}.json").read_text())
    assert result["ended"] == "diverged"
    assert result["diverged"].startswith(f"{memory}: ")
    assert f"after {result['sequences']} sequences" in result["diverged"]
    assert result["sequences"] < 400
    assert set(result["cost"]) == {"2", "6", "12", "20"}  # None where it is not finite
    assert result["diverged"] in capsys.readouterr().out
    assert not (tmp_path / f"{stem}.png").exists()
