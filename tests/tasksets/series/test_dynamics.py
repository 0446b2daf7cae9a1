"""Dynamics: physics, splits, episodes, cache, card and errors."""

import hashlib
import importlib.util
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from l2l_rnn.data import SourceTaskset
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, DataError, MissingExtraError, UnknownNameError
from l2l_rnn.functional.padding import step_lengths
from l2l_rnn.tasksets import Dynamics, get_tasksets, list_tasksets
from l2l_rnn.tasksets.series import transitions

FEW = {"variants": 16, "transitions": 30, "horizon": 7}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def splits():
    return {split: Dynamics(split=split) for split in SPLITS}


def raw(dataset):
    """Return the state, action, next state and physical parameters of each item, by name."""
    last = step_lengths(dataset.inputs) - 1
    steps = dataset.inputs[torch.arange(len(last)), last].double()
    steps = steps * dataset.input_std + dataset.input_mean
    changes = dataset.targets.double() * dataset.target_std + dataset.target_mean
    names = dataset.state_names
    state = dict(zip(names, steps[:, : len(names)].unbind(-1), strict=True))
    following = {name: state[name] + changes[:, i] for i, name in enumerate(names)}
    variant = dict(
        zip(dataset.parameter_names, dataset.variants[dataset.groups].unbind(-1), strict=True)
    )
    return state, steps[:, len(names) :].squeeze(-1), following, variant


def test_figures_and_chance_level_of_the_card(splits):
    card = list_tasksets()["dynamics"]
    assert tuple(len(splits[split].group_names) for split in SPLITS) == card.classes
    assert tuple(len(splits[split]) for split in SPLITS) == card.items
    lengths = torch.cat([step_lengths(splits[split].inputs) for split in SPLITS])
    assert (int(lengths.min()), int(lengths.max())) == card.lengths
    assert abs(float(splits["test"].targets.square().mean()) - card.chance) < 0.001


def test_baseline_of_the_card(splits):
    batch = splits["test"].draw(500, 10, 20, torch.Generator().manual_seed(0))

    def products(x):
        x = torch.cat([x.squeeze(2), torch.ones(*x.shape[:2], 1)], -1).double()
        i, j = torch.triu_indices(x.shape[-1], x.shape[-1])
        return x[..., i] * x[..., j]

    support, query = products(batch.support_x), products(batch.query_x)
    penalty = 0.1 * torch.eye(support.shape[-1], dtype=torch.float64)
    weight = torch.linalg.solve(
        support.mT @ support + penalty, support.mT @ batch.support_y.double()
    )
    error = (query @ weight - batch.query_y).square().mean()
    assert abs(error - list_tasksets()["dynamics"].baseline[1]) < 0.02


def test_all_splits_are_standardized_by_the_train_split(splits):
    for values in (splits["train"].inputs.squeeze(1), splits["train"].targets):
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            values.std(0, unbiased=False), torch.ones(values.shape[1]), atol=1e-4, rtol=0
        )
    assert torch.equal(splits["test"].target_std, splits["train"].target_std)


@pytest.mark.parametrize("broken", [0.0, 0.5])
def test_a_pendulum_obeys_its_equation_of_motion(root, broken):
    """A rod about its end: angular acceleration 3 g sin(angle) / 2 l + 3 torque / m l^2."""
    dataset = Dynamics(root, "train", broken=broken, **FEW)
    state, torque, following, variant = raw(dataset)
    torque = torque.clamp(-variant["max_torque"], variant["max_torque"])
    mass, length = variant["mass"], variant["length"]
    acceleration = 1.5 * variant["gravity"] / length * state["sin"] + 3 * torque / (
        mass * length**2
    )
    velocity = (state["angular velocity"] + 0.05 * acceleration).clamp(-8, 8)
    angle = torch.atan2(state["sin"], state["cos"]) + 0.05 * velocity
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(following["angular velocity"], velocity, **close)
    torch.testing.assert_close(following["cos"], angle.cos(), **close)
    torch.testing.assert_close(following["sin"], angle.sin(), **close)


@pytest.mark.parametrize("broken", [0.0, 0.5])
def test_a_cart_obeys_its_equations_of_motion(root, broken):
    """The two equations of Barto, Sutton and Anderson (1983), solved for both accelerations."""
    dataset = Dynamics(root, "train", environment="cartpole", broken=broken, **FEW)
    state, sign, following, variant = raw(dataset)
    cart, pole, half = variant["cart mass"], variant["pole mass"], variant["half length"]
    sin, cos = state["angle"].sin(), state["angle"].cos()
    one = torch.ones_like(sin)
    matrix = torch.stack(
        [
            torch.stack([cart + pole, pole * half * cos], -1),
            torch.stack([cos, 4 / 3 * half * one], -1),
        ],
        -2,
    )
    turning = pole * half * state["angular velocity"] ** 2 * sin
    forces = torch.stack([sign * variant["force"] + turning, variant["gravity"] * sin], -1)
    moved = torch.linalg.solve(matrix, forces)
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(
        following["velocity"], state["velocity"] + 0.02 * moved[:, 0], **close
    )
    torch.testing.assert_close(
        following["angular velocity"], state["angular velocity"] + 0.02 * moved[:, 1], **close
    )
    torch.testing.assert_close(
        following["position"], state["position"] + 0.02 * state["velocity"], **close
    )
    assert set(sign.round(decimals=5).unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("environment", ["pendulum", "cartpole"])
def test_broken_motors_have_no_force(root, environment):
    dataset = Dynamics(root, "train", environment=environment, broken=0.25, **FEW)
    force = dataset.variants[:, -1]
    assert (force == 0).sum() == 4
    whole = Dynamics(root, "train", environment=environment, **FEW)
    assert (whole.variants[:, -1] > 0).all()


@pytest.mark.parametrize("environment", ["pendulum", "cartpole"])
def test_extrapolation_puts_test_variants_outside_the_train_ranges(root, environment):
    options = {"environment": environment, "extrapolate": True, **FEW}
    variants = {split: Dynamics(root, split, **options).variants for split in SPLITS}
    assert len(torch.cat(list(variants.values())).unique(dim=0)) == 16 + 4 + 4
    drawn = variants["train"].std(0) > 0
    low, high = variants["train"].amin(0)[drawn], variants["train"].amax(0)[drawn]
    outside = (variants["test"][:, drawn] < low) | (variants["test"][:, drawn] > high)
    assert outside.all()
    usual = Dynamics(root, "train", environment=environment, **FEW)
    assert torch.equal(usual.variants, variants["train"])


def test_history_is_the_last_steps_of_the_episode(root):
    one, four = (Dynamics(root, "test", history=h, **FEW) for h in (1, 4))
    assert four.inputs.shape == (4 * 30, 4, 4)
    assert torch.equal(one.targets, four.targets)
    lengths = step_lengths(four.inputs).view(4, 30)
    within = torch.arange(30) % 7  # a reset every 7 steps
    assert torch.equal(lengths, (within + 1).clamp(max=4).expand(4, -1))
    for item in range(len(four)):
        steps = int(lengths.flatten()[item])
        expected = one.inputs[item - steps + 1 : item + 1, 0]
        assert torch.equal(four.inputs[item, :steps], expected)
        assert four.inputs[item, steps:].isnan().all()


def test_a_transition_starts_where_the_last_one_ended(root):
    dataset = Dynamics(root, "test", **FEW)
    state, _, following, _ = raw(dataset)
    continues = (torch.arange(len(dataset)) % 30 % 7 != 6) & (torch.arange(len(dataset)) % 30 != 29)
    for name in dataset.state_names:
        torch.testing.assert_close(
            state[name][1:][continues[:-1]], following[name][:-1][continues[:-1]], atol=1e-5, rtol=0
        )
        assert (state[name][1:] - following[name][:-1])[~continues[:-1]].abs().max() > 0.1


def test_a_task_has_one_variant(splits):
    dataset = splits["test"]
    batch = dataset.draw(20, 5, 5, torch.Generator().manual_seed(0))
    item_of = {tuple(row.flatten().tolist()): i for i, row in enumerate(dataset.inputs)}
    for x in torch.cat([batch.support_x, batch.query_x], 1):
        items = [item_of[tuple(row.flatten().tolist())] for row in x]
        assert len(set(items)) == 10
        assert len(dataset.groups[items].unique()) == 1


def items_of(dataset, x):
    item_of = {row.numpy().tobytes(): i for i, row in enumerate(dataset.inputs)}
    return torch.tensor([item_of[row.numpy().tobytes()] for row in x])


@pytest.mark.parametrize("environment", ["pendulum", "cartpole"])
@pytest.mark.parametrize(("shots", "queries"), [(1, 1), (10, 10), (20, 4), (3, 21)])
def test_support_and_query_come_from_different_episodes(root, environment, shots, queries):
    dataset = Dynamics(root, "test", environment=environment, history=2, **FEW)
    episodes = dataset.episodes.flatten() + 100 * dataset.groups
    batch = dataset.draw(100, shots, queries, torch.Generator().manual_seed(0))
    pairs = list(zip(batch.support_x, batch.query_x, strict=True))
    if shots == queries:
        taskset = SourceTaskset(dataset, 1, shots + queries)
        random.seed(0)
        pairs += [x.split(shots) for x, _ in (taskset.sample() for _ in range(100))]
    for support, query in pairs:
        s, q = (items_of(dataset, x) for x in (support, query))
        assert (len(s.unique()), len(q.unique())) == (shots, queries)
        assert len(dataset.groups[torch.cat([s, q])].unique()) == 1
        assert not set(episodes[s].tolist()) & set(episodes[q].tolist())


def test_tasksets_and_draw_have_the_same_distribution(root, chance_of):
    dataset = Dynamics(root, "test", **FEW)
    taskset = SourceTaskset(dataset, 1, 12)
    random.seed(0)
    slow = torch.stack([taskset.sample()[0] for _ in range(1500)])
    fast = dataset.draw(1500, 6, 6, torch.Generator().manual_seed(0))
    found = []
    for x in (slow, torch.cat([fast.support_x, fast.query_x], 1)):
        support, query = (items_of(dataset, x[:, sample]) for sample in (0, 6))
        pairs = 5 * dataset.episodes.flatten()[support] + dataset.episodes.flatten()[query]
        found.append([(support, 120), (query, 120), (pairs, 25)])
    for (a, count), (b, _) in zip(*found, strict=True):
        tables = torch.stack([torch.bincount(part, minlength=count) for part in (a, b)])
        assert chance_of(tables[:, tables.sum(0) > 0].tolist()) > 1e-4


def test_more_samples_than_can_be_partitioned_are_rejected(root):
    dataset = Dynamics(root, "test", **FEW)
    assert SourceTaskset(dataset, 1, 24).sample()[0].shape == (24, 1, 4)
    message = "samples must be at most 24, .* 30 transitions, got 25; raise transitions"
    with pytest.raises(DataError, match=message):
        dataset.draw(1, 5, 20)
    with pytest.raises(DataError, match=message):
        SourceTaskset(dataset, 1, 25)
    for count in (0, -1, 1.5):
        with pytest.raises(ArgumentError, match=r"Dynamics.draw: shots must be a positive"):
            dataset.draw(1, count, 5)


def test_transitions_are_cached_and_a_damaged_cache_is_rebuilt(tmp_path):
    first = Dynamics(tmp_path, "test", **FEW)
    (file,) = (tmp_path / "l2l_rnn").glob("dynamics-pendulum-*.npz")
    written = file.stat().st_mtime_ns
    Dynamics(tmp_path, "train", history=3, **FEW)
    Dynamics(tmp_path, "train", **{name: np.int64(value) for name, value in FEW.items()})
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(Dynamics(tmp_path, "test", **FEW).inputs, first.inputs)
    Dynamics(tmp_path, "test", **{**FEW, "seed": 1})
    assert len(list((tmp_path / "l2l_rnn").glob("*.npz"))) == 2


def test_a_cache_of_another_version_is_not_read(tmp_path, monkeypatch):
    Dynamics(tmp_path, "test", **FEW)
    monkeypatch.setattr(transitions, "VERSION", transitions.VERSION + 1)
    Dynamics(tmp_path, "test", **FEW)
    assert len(list((tmp_path / "l2l_rnn").glob("*.npz"))) == 2


@pytest.mark.slow
def test_hash_randomization_changes_nothing(tmp_path):
    code = (
        "import hashlib, sys; from l2l_rnn.tasksets import Dynamics;"
        "d = Dynamics(sys.argv[1], 'test', variants=8, transitions=9, environment='cartpole');"
        "print(hashlib.sha256(d.inputs.numpy().tobytes()).hexdigest())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = Dynamics(tmp_path / "here", "test", variants=8, transitions=9, environment="cartpole")
    assert printed.split() == [hashlib.sha256(here.inputs.numpy().tobytes()).hexdigest()]


def test_options_reach_the_dataset(tmp_path):
    tasksets = get_tasksets("dynamics", train_samples=12, root=tmp_path, history=2, **FEW)
    inputs, targets = tasksets.train.sample()
    assert inputs.shape == (12, 2, 4)
    assert targets.shape == (12, 3)
    assert not list(tmp_path.glob("*.TXT"))


@pytest.mark.parametrize("environment", ["halfcheetah", "reacher"])
def test_loads_and_broken_motors_of_mujoco(tmp_path, monkeypatch, environment):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log to the working directory
    if importlib.util.find_spec("mujoco") is None:
        with pytest.raises(MissingExtraError, match=r"task set 'dynamics'.*pip install mujoco"):
            Dynamics(tmp_path, "test", environment=environment, variants=4)
        return
    dataset = Dynamics(tmp_path, "train", environment=environment, variants=4, transitions=25)
    gears = [i for i, name in enumerate(dataset.parameter_names) if name.startswith("gear")]
    assert ((dataset.variants[:, gears] == 0).sum(-1) == torch.tensor([0, 0, 1, 1])).all()
    assert dataset.inputs.isfinite().all()
    assert np.allclose(dataset.targets.std(0, unbiased=False), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"split": "val"},
            UnknownNameError,
            "unknown split 'val'.* Known: train, validation, test",
        ),
        ({"environment": "ant"}, UnknownNameError, "unknown environment 'ant'.* Known: pendulum"),
        *(
            ({name: value}, ArgumentError, f"{name} must be a positive integer, got {value!r}")
            for name in ("transitions", "horizon", "history")
            for value in (0, 2.0, True, "9")
        ),
        *(
            (
                {"variants": value},
                ArgumentError,
                f"variants must be an integer of at least 4, got {value!r}",
            )
            for value in (0, 3, 8.0, True, "9")
        ),
        ({"seed": -1}, ArgumentError, "seed must be a non-negative integer, got -1"),
        *(
            ({"broken": b}, ArgumentError, "of at least 0 and of at most 1")
            for b in (-0.1, 1.5, "half", True)
        ),
        ({"extrapolate": 1}, ArgumentError, "True or False, got 1"),
    ],
)
def test_invalid_options_raise_a_clear_error(tmp_path, options, error, message):
    with pytest.raises(error, match=message) as caught:
        Dynamics(tmp_path, **options)
    assert str(caught.value).startswith("Dynamics: ")
    assert not list(tmp_path.iterdir())


def test_without_gymnasium_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtraError, match=r"task set 'dynamics'.*pip install gymnasium"):
        Dynamics(tmp_path)
