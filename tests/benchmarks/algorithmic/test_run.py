"""The benchmark of the tasks of bits: its measures are exact, and every network trains on each."""

import argparse
import dataclasses
import json
import math

import pytest
import torch

from benchmarks.algorithmic import learners, run, tasks, training
from benchmarks.algorithmic.learners import LEARNERS
from benchmarks.algorithmic.settings import Settings, add_options, as_arguments
from benchmarks.algorithmic.tasks import TASKS, Point
from l2l_rnn.tasksets import AssociativeRecall, Copy, DynamicNGrams, PrioritySort, RepeatCopy

SMALL = {"sequences": 8, "batch": 4, "judged": 2, "hidden": 4, "slots": 4, "width": 4}
SMALL |= {"read_heads": 1, "write_heads": 1}
SHORT = {  # the families of the tasks, made short: trained on, judged inside, judged beyond
    "copy": (Copy(lengths=(1, 3)), Copy().at(3), Copy().at(5)),
    "repeat_copy": (RepeatCopy(lengths=(1, 2), repeats=(1, 2)), *[RepeatCopy().at(2, 2)] * 2),
    "associative_recall": (AssociativeRecall(items=(2, 2)), *[AssociativeRecall().at(2)] * 2),
    "dynamic_ngrams": (DynamicNGrams(3, 9), DynamicNGrams(3, 9), DynamicNGrams(3, 12)),
    "priority_sort": (PrioritySort(8, 3, 2), PrioritySort(8, 3, 2), PrioritySort(8, 4, 3)),
}


def short(name, aim=1e9):
    family, inside, beyond = SHORT[name]
    aim = None if name == "dynamic_ngrams" else aim
    points = {"near": Point(inside, True, aim), "far": Point(beyond, False)}
    return dataclasses.replace(TASKS[name], family=family, points=points)


class Zeros(torch.nn.Module):
    """Knows nothing."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return x.new_zeros(*x.shape[:2], self.outputs), None


class Rule(torch.nn.Module):
    """The rule of copying, with one bit of the last vector wrong, and logits of 1 or -1."""

    def forward(self, x):
        length = x.shape[1] // 2
        logits = torch.zeros(x.shape[0], x.shape[1], 8)
        logits[:, length + 1 :] = 2 * x[:, :length, :8] - 1
        logits[:, -1, 0] *= -1
        return logits, None


class Silent(Copy):
    """Asks for zeros only."""

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
def test_who_knows_nothing_pays_a_bit_for_each_that_is_asked(name):
    task = TASKS[name]
    found = tasks.judge(Zeros(task.family.output_size), task, 3, 0)
    assert found["cost"] == pytest.approx(ASKED[name], rel=1e-12)
    assert set(found) == ({"cost"} if name == "dynamic_ngrams" else {"cost", "wrong_bits"})
    for point, wrong in found.get("wrong_bits", {}).items():
        assert 0 < wrong < ASKED[name][point]  # the ones, of which there are about half


def test_the_measures_of_a_known_answer():
    task = dataclasses.replace(TASKS["copy"], points={"5": Point(Copy().at(5), True)})
    found = tasks.judge(Rule(), task, 41, 1)  # in several parts
    right, wrong = (math.log2(1 + math.exp(one)) for one in (-1, 1))
    assert found["wrong_bits"] == {"5": 1.0}
    assert found["cost"]["5"] == pytest.approx(39 * right + wrong, rel=1e-6)


def test_what_is_not_a_number_is_wrong():
    drawn = Copy().at(2).sequences(3)
    assert tasks.wrong_bits(torch.full((3, 5, 8), math.nan), drawn) == 16
    assert math.isnan(tasks.cost_bits(torch.full((3, 5, 8), math.nan), drawn))


def test_the_best_predictor_of_n_grams_is_a_count():
    task, bits = short("dynamic_ngrams"), 0.0
    drawn = task.points["far"].family.sequences(5, torch.Generator().manual_seed(7))
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
def test_a_task_is_judged_inside_and_beyond_what_it_is_trained_on(name):
    task = TASKS[name]
    for point in task.points.values():
        assert (point.family.steps <= task.family.steps) == point.inside
    assert {point.inside for point in task.points.values()} == {True, False}
    assert task.shown.steps == task.family.steps
    for most in range(task.least, task.most):
        lesson = task.lesson(most)
        assert lesson.steps < task.family.steps
        assert lesson.input_size == task.family.input_size
    assert task.lesson(task.most) is task.family


# ---------------------------------------------------------------- networks and settings


@pytest.mark.parametrize("memory", LEARNERS)
@pytest.mark.parametrize("name", ["copy", "dynamic_ngrams", "priority_sort"])
def test_networks_are_of_like_size(name, memory):
    counts = {}
    for kind in ("ntm", memory):
        settings = run.settings_of(name, memory=kind)
        model = learners.build(settings, TASKS[name].family)
        counts[kind] = learners.parameter_count(model)
    assert counts[memory] == pytest.approx(counts["ntm"], rel=0.015)


def test_a_task_has_settings_of_its_own_and_the_command_line_goes_before():
    assert run.settings_of("dynamic_ngrams") == Settings(rate=3e-3, beta2=0.999)
    assert run.settings_of("repeat_copy").curriculum
    assert not run.settings_of("repeat_copy", curriculum=False).curriculum
    assert run.settings_of("copy").slots == 256
    assert run.settings_of("copy", slots=9).slots == 9
    assert run.settings_of("priority_sort", memory="dnc").read_heads == 5
    assert run.settings_of("priority_sort", read_heads=2).read_heads == 2


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings("key-value", 80, rate=1 / 3, curriculum=True, minutes=0.1, seed=-4)],
)
def test_settings_go_through_the_command_line(settings):
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert Settings(**vars(parser.parse_args(as_arguments(settings)))) == settings
    assert vars(parser.parse_args([])) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--sequences", "4", "--batch", "8"], "at least a batch of 8, got 4"),
        (["--batch", "0"], "batch must be above 0"),
        (["--minutes", "0"], "minutes must be above 0"),
        (["--rewind", "1"], "rewind must be above 1"),
        (["--enough", "-1"], "enough must be 0 or more"),
        (["--averaging", "1"], "averaging must lie in"),
        (["--width", "1"], "width must be"),
        (["--controller", "gru"], "'gru'"),
        (["--memory", "mann", "--read-heads", "300"], "at most slots=256"),
        (["--memory", "ram"], "invalid choice"),
        (["--every", "0"], "--every must be 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_told_before_the_training(given, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(["copy", *given, "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- training


def test_the_course_of_a_loss():
    course = training.LossCourse(0.5, batch=20)
    course.add(1.0, 20)
    for step in range(2, 61):
        course.add(0.0, 20 * step)
    # The mean of the first 1,000 sequences, then an average over as many.
    assert course.smoothed == course.best == pytest.approx(1 / 50 * 0.98**10)
    assert course.converged_at == 1000  # below 0.5 since step 3, but too few to tell
    assert course.climb == 1
    for _ in range(5):
        course.add(2.0, 0)
    assert course.climb == pytest.approx(course.smoothed / course.best)
    assert course.climb > 1.5
    worst = course.climb
    course.add(0.0, 0)
    assert course.climb == worst
    course.restart()
    assert course.converged_at is course.climb is None
    assert math.isnan(course.smoothed)


def test_a_training_goes_back_to_what_it_was_before_it_lost_it():
    part = torch.nn.Linear(1, 1)
    course = training.LossCourse(0.5, batch=100)
    rewinds = training.Rewinds(3.0, 100, part)

    def take(nats, weight, steps=1):
        for _ in range(steps):
            torch.nn.init.constant_(part.weight, weight)
            course.add(nats, 0)
            rewinds.look(course)
        return part.weight.item()

    assert take(0.6, 0, steps=30) == 0  # it has not converged, and climbs as it likes
    assert take(9.0, 1) == 1
    assert take(0.1, 1, steps=100) == 1
    assert take(0.45, 1, steps=30) == 1  # above three times its best, but has not lost it
    assert rewinds.count == 0
    assert take(0.1, 2, steps=100) == 2
    assert take(9.0, 3) == 2
    assert (rewinds.count, rewinds.share) == (1, 0.5)
    assert take(1.2, 4, steps=9) == 4  # a pause, in which the mean may come down
    assert take(1.2, 5) == 2
    assert (rewinds.count, rewinds.share) == (2, 0.25)
    assert take(9.0, 6) == 2  # it goes up instead
    assert rewinds.count == 3
    course.restart()
    assert take(9.0, 7, steps=50) == 7


def test_a_rewind_takes_all_back_that_the_training_changes(monkeypatch):
    seen = []
    look = training.Rewinds.look

    def look_harder(rewinds, course):
        seen.append(rewinds)
        if course.climb is not None:
            course.threshold = 0.0  # whatever its loss is, it counts as lost
        look(rewinds, course)

    monkeypatch.setattr(training.Rewinds, "look", look_harder)
    task = dataclasses.replace(short("copy"), converged=10.0)
    _, found = trained(task=task, sequences=4000, rate=1.0, last=1.0, rewind=1.01, every=10**6)
    (rewinds,) = set(seen)
    assert found["rewinds"] == rewinds.count > 0
    model, optimizer, averaged = rewinds.parts
    assert {id(p) for p in model.parameters()} == {
        id(p) for group in optimizer.param_groups for p in group["params"]
    }
    assert set(averaged.module.state_dict()) == set(model.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.5**rewinds.count


def trained(name="copy", every=4, tell=lambda point: None, task=None, **given):
    result = {}
    settings = Settings(**({"memory": "lstm"} | SMALL | given))
    model = training.train(task or short(name), settings, every, result, tell)
    return model, result


@pytest.mark.parametrize("memory", LEARNERS)
@pytest.mark.parametrize("name", TASKS)
def test_every_network_trains_on_every_task(name, memory):
    torch.manual_seed(0)
    start = learners.build(Settings(memory, **SMALL), SHORT[name][0]).state_dict()
    model, result = trained(name, memory=memory, rate=0.1)
    assert (result["ended"], result["sequences"]) == ("done", 8)
    assert [point["sequences"] for point in result["points"]] == [4, 8]
    assert all(0.2 < point["loss"] < 2 for point in result["points"])
    assert result["network"] == LEARNERS[memory].network
    assert result["parameters"] == learners.parameter_count(model)
    assert [n for n, p in model.named_parameters() if torch.equal(p, start[n])] == []
    assert list(result["cost"]) == list(result["points"][0]["cost"]) == ["near", "far"]
    assert (
        result["cost"]
        == result["points"][1]["cost"]
        == tasks.judge(model, short(name), 2, 2)["cost"]
    )
    assert result["converged_at"] is result["greatest_climb"] is None
    assert result["converged_below"] == TASKS[name].converged
    if name == "dynamic_ngrams":
        assert all(best > 0 for best in result["optimum"].values())
        assert not {"wrong_bits", "reached"} & set(result)
    else:
        assert set(result["wrong_bits"]) == {"near", "far"}
        assert result["reached"] is True
        assert result["aims"] == {"near": 1e9}


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
    assert result["settings"] == asked | {"minutes": None, "spike": None}  # without end
    assert {"hidden", "parameters", "date", "device", "threads", "versions"} <= set(result)
    assert stem.with_suffix(".png").exists() == (memory == "ntm")
    told = capsys.readouterr().out
    assert "     4 sequences" in told
    assert f"wrong bits of a sequence: near: {result['wrong_bits']['near']:.2f}, far: " in told


def test_a_spike_of_the_gradient_is_shortened(monkeypatch):
    limits = []
    clip = training.clip_grad_norm_
    monkeypatch.setattr(
        training,
        "clip_grad_norm_",
        lambda parameters, limit: (limits.append(limit), clip(parameters, limit))[1],
    )
    trained(spike=1e-3, sequences=3 * SMALL["batch"])
    assert limits[0] == Settings().clip  # there is nothing yet to go by
    assert 0 < limits[1] < 0.01
    assert limits[2] < limits[1]  # a norm that was cut counts as it was left


@pytest.mark.parametrize("memory", ["ntm", "dnc"])
def test_controllers_start_with_the_forget_bias_asked_for(memory):
    settings = Settings(memory, hidden=4, forget_bias=-3.0)
    bias = learners.build(settings, Copy()).controller.bias.unflatten(0, (4, -1))
    assert bias[1].eq(-3).all()  # rows stack i, f, g, o
    assert bias[[0, 2, 3]].eq(0).all()


def test_a_step_on_what_is_learned_well_enough_is_not_taken(monkeypatch):
    losses, norms = [], []
    add, clip = training.LossCourse.add, training.clip_grad_norm_
    monkeypatch.setattr(
        training.LossCourse,
        "add",
        lambda course, nats, seen: (losses.append(nats), add(course, nats, seen)),
    )
    monkeypatch.setattr(
        training,
        "clip_grad_norm_",
        lambda parameters, limit: (norms.append(len(losses)), clip(parameters, limit))[1],
    )
    trained(sequences=40 * SMALL["batch"], rate=0.1, enough=0.695)
    assert min(losses) < 0.695 < max(losses)
    assert norms == [step for step, nats in enumerate(losses) if nats >= 0.695]


def test_the_rate_falls_along_half_a_cosine():
    found = [training.half_cosine(0.2, done) for done in (0, 0.5, 1)]
    assert found == pytest.approx([1, 0.6, 0.2])


def test_a_training_repeats_with_its_seed():
    runs = [trained(seed=seed)[1]["cost"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_averaged_weights_are_judged():
    (plain, first), (averaged, second) = trained(averaging=0.0), trained(averaging=0.9)
    assert first["points"][0]["loss"] == second["points"][0]["loss"]
    assert not torch.equal(plain.head.weight, averaged.head.weight)
    found = tasks.judge(averaged, short("copy"), 2, 2)
    assert found["cost"] == second["cost"] != first["cost"]


def test_a_curriculum_grows_when_the_loss_is_low():
    task = dataclasses.replace(short("copy"), most=3, upto=lambda most: Copy(lengths=(1, most)))
    assert trained(task=task, curriculum=True)[1]["points"][-1]["most"] == 1
    assert trained(task=task)[1]["points"][-1]["most"] == 3
    assert trained(task=task, curriculum=True, advance=9.0)[1]["points"][-1]["most"] == 3
    # Vectors whose answers are 0 are learned at once.
    task = dataclasses.replace(task, family=Silent(lengths=(1, 3)), upto=lambda _: Silent())
    _, found = trained(task=task, curriculum=True, sequences=400, rate=0.5, every=10**6)
    assert found["points"][-1]["most"] == 3


def test_an_aim_that_is_missed():
    assert trained(task=short("copy", aim=0.1))[1]["reached"] is False


def test_an_interrupted_training_keeps_what_was_measured():
    points = []

    def tell(point):
        points.append(point)
        if len(points) == 2:
            raise KeyboardInterrupt

    _, result = trained(tell=tell, sequences=4000)
    assert (result["ended"], result["sequences"]) == ("interrupted", 8)
    assert result["points"] == points
    assert result["cost"] == points[-1]["cost"]


def test_a_training_ends_after_its_minutes():
    _, result = trained(sequences=4000, minutes=1e-9)
    assert (result["ended"], result["sequences"]) == ("out of time", 4)
    assert trained(minutes=1)[1]["ended"] == "done"


def test_what_is_not_finite_is_named():
    model = torch.nn.Linear(2, 1)
    fine = torch.tensor(1.0)
    model.weight.grad, model.bias.grad = torch.tensor([[1.0, torch.nan]]), torch.zeros(1)
    training.check_finite("ntm", 8, model, fine, fine)
    with pytest.raises(training.Diverged, match=r"ntm: the loss is inf after 8 sequences"):
        training.check_finite("ntm", 8, model, fine / 0, fine)
    with pytest.raises(training.Diverged, match=r"after 8 .* gradients of weight are not"):
        training.check_finite("ntm", 8, model, fine, fine * torch.nan)


@pytest.mark.parametrize("memory", ["ntm", "lstm"])
def test_a_training_that_diverges_says_so(memory, tmp_path, capsys):
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    given += ["--sequences=400", "--rate=1e37", "--clip=1e37", "--memory", memory]
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
