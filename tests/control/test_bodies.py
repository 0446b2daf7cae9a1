"""The bodies: physics, draws, and what is refused or said."""

import math
import warnings

import numpy as np
import pytest
import torch

from l2l_rnn.control import BODIES, Arm, CartPole, Pendulum
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, BodyWarning, ShapeError

double = torch.float64


def variants(body, count, generator):
    """Draw bodies in float64, reversed and broken motors included."""
    return body.draw(count, generator, reversed_motors=0.4, broken_motors=0.2).to(double)


def test_the_pendulum_is_gymnasiums_step_by_step():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("Pendulum-v1", disable_env_checker=True).unwrapped
    numbers = np.random.default_rng(0)
    furthest = 0.0
    for number in range(5):
        mass = torch.tensor(0.6 + 0.2 * number, dtype=double)
        body = Pendulum(mass=mass, length=1.2, gravity=8.0 + number)
        env.m, env.l, env.g = 0.6 + 0.2 * number, 1.2, 8.0 + number
        env.reset(seed=number)
        states = torch.tensor(env.state, dtype=double)
        for _ in range(200):
            action = numbers.uniform(-1.3, 1.3, 1)  # sometimes more than the motor can
            _, reward, *_ = env.step(2 * action)
            actions = torch.from_numpy(action)
            following = body.step(states, actions)
            found = body.reward(states, actions, following)
            torch.testing.assert_close(following, torch.tensor(env.state, dtype=double))
            assert found.item() == pytest.approx(reward)
            states = following
            furthest = max(furthest, abs(states[0].item()))
    assert furthest > 2 * math.pi  # it swung around


def test_the_cart_pole_is_gymnasiums_step_by_step():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("CartPole-v1", disable_env_checker=True).unwrapped
    numbers = np.random.default_rng(0)
    ends = 0
    for number in range(20):
        mass, half, gravity = 0.1 + 0.02 * number, 0.3 + 0.03 * number, 6.0 + 0.4 * number
        masses = torch.tensor(mass, dtype=double)
        body = CartPole(pole_mass=masses, half_length=half, gravity=gravity, cart_mass=1.5)
        env.masspole, env.length, env.gravity, env.masscart = mass, half, gravity, 1.5
        env.total_mass, env.polemass_length = mass + 1.5, mass * half
        env.reset(seed=number)
        states = torch.tensor(env.state, dtype=double)
        for _ in range(100):
            action = int(numbers.integers(2))
            _, _, over, *_ = env.step(action)
            states = body.step(states, torch.tensor([2.0 * action - 1], dtype=double))
            torch.testing.assert_close(states, torch.from_numpy(env.state))
            assert body.alive(states).item() is not over
            if over:
                ends += 1
                break
    assert ends > 10


def energy(arm, states):
    """Return the kinetic and potential energy of an arm with usual gravity, from positions."""
    masses = arm._named(states)
    q = states[..., :2].clone().requires_grad_()
    both = torch.cat([q, states[..., 2:]], -1)
    fractions = torch.linspace(0, 1, 2001, dtype=double)
    rods = [arm.elbow(both), arm.tip(both)]
    speeds = [
        torch.stack([torch.autograd.grad(p[i], q, retain_graph=True)[0] for i in range(2)])
        @ states[..., 2:]
        for p in rods
    ]
    upper = masses["upper_mass"] * (fractions**2).mean() * speeds[0].square().sum() / 2
    along = speeds[0] + fractions.unsqueeze(-1) * (speeds[1] - speeds[0])
    lower = masses["lower_mass"] * along.square().sum(-1).mean() / 2
    load = masses["load"] * speeds[1].square().sum() / 2
    heights = (
        masses["upper_mass"] * rods[0][1] / 2
        + masses["lower_mass"] * (rods[0][1] + rods[1][1]) / 2
        + masses["load"] * rods[1][1]
    )
    return (upper + lower + load + masses["gravity"] * heights).item()


def test_the_arm_keeps_its_energy_and_friction_takes_it(monkeypatch):
    """The energy is that of rods cut into pieces, from positions alone."""
    monkeypatch.setattr(Arm, "dt", 0.002)
    monkeypatch.setattr(Arm, "max_speed", 1000.0)
    parameters = {"upper_mass": 0.7, "lower_mass": 1.3, "load": 0.8}
    start = torch.tensor([0.3, 1.0, 2.0, -3.0], dtype=double)
    ends = {}
    for friction in (0.0, 0.5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BodyWarning)
            arm = Arm(**parameters, friction=friction).to(double)
        states = start
        for _ in range(300):
            states = arm.step(states, torch.zeros(2, dtype=double))
        assert (states - start).abs().max() > 0.5
        ends[friction] = energy(arm, states) - energy(arm, start)
    assert abs(ends[0.0]) < 0.1
    assert ends[0.5] < -0.5


def test_a_motor_of_the_arm_works_as_much_as_the_energy_rises(monkeypatch):
    monkeypatch.setattr(Arm, "dt", 0.002)
    monkeypatch.setattr(Arm, "max_speed", 1000.0)
    with pytest.warns(BodyWarning, match="friction"):
        arm = Arm(load=0.5, friction=0.0, elbow_motor=-0.8).to(double)
    states = torch.tensor([-1.5, 0.2, 0.0, 0.0], dtype=double)
    before, work = energy(arm, states), 0.0
    actions = torch.tensor([0.4, 0.3], dtype=double)
    torques = actions * torch.tensor([40.0, -0.8 * 20.0])
    for _ in range(100):
        following = arm.step(states, actions)
        work += (torques @ (following - states)[:2]).item()
        states = following
    assert energy(arm, states) - before == pytest.approx(work, rel=0.02)
    assert abs(work) > 1


def test_the_arm_knows_how_deep_it_is_in_the_obstacle():
    arm = Arm()
    x, y, radius = arm.obstacle
    angle = math.atan2(y, x)
    states = torch.tensor([[angle, 0.0, 0, 0], [angle + 2, 0.0, 0, 0], [-math.pi / 2, 0, 0, 0]])
    depths = arm.depth(states)
    assert depths[0] == pytest.approx(radius, abs=1e-6)  # through the center
    assert depths[1:].tolist() == [0, 0]
    reward = arm.reward(states, torch.zeros(3, 2), states)
    distance = (arm.tip(states) - torch.tensor(arm.goal)).norm(dim=-1)
    torch.testing.assert_close(reward, -distance - 10 * depths)


@pytest.mark.parametrize("name", BODIES)
def test_many_bodies_equal_a_loop(name):
    generator = torch.Generator().manual_seed(0)
    bodies = variants(BODIES[name], 6, generator)
    states = bodies.anywhere(3, generator)
    actions = 2 * torch.rand(6, 3, bodies.action_size, generator=generator, dtype=double) - 1
    together = bodies.step(states, actions)
    for n in range(6):
        alone = bodies[n].step(states[n], actions[n])
        torch.testing.assert_close(together[n], alone)
        torch.testing.assert_close(
            bodies[n : n + 1].step(states[n : n + 1, 0], actions[n : n + 1, 0])[0], alone[0]
        )
    assert torch.autograd.gradcheck(
        bodies.step, (states.requires_grad_(), (actions * 0.9).requires_grad_())
    )
    assert (
        bodies.to(torch.float32).step(states.detach().float(), actions.float()).dtype
        == torch.float32
    )


@pytest.mark.parametrize("name", BODIES)
def test_draws_are_reproducible_and_in_their_ranges(name):
    body = BODIES[name]
    one = body.draw(400, torch.Generator().manual_seed(1), broken_motors=0.25)
    other = body.draw(400, torch.Generator().manual_seed(1), broken_motors=0.25)
    assert torch.equal(one.parameters, other.parameters)
    for number, (key, (low, high)) in enumerate(body.ranges.items()):
        values = one.parameters[:, number]
        if key in body.motors:
            turned = (values < 0).sum() / (values != 0).sum()
            assert turned.item() == pytest.approx(0.3, abs=0.08)
            values = values[values != 0].abs()
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high * (1 + 1e-6)
    motors = one.parameters[:, [list(body.ranges).index(motor) for motor in body.motors]]
    broken = (motors == 0).sum(-1)
    assert broken.max() == 1
    assert broken.float().mean().item() == pytest.approx(0.25, abs=0.07)
    start = one.start(torch.Generator().manual_seed(2))
    assert start.shape == (400, one.state_size)
    assert one.alive(start).all()
    body(**body.usual)  # the default is in the ranges: no warning


def test_a_body_outside_its_range_is_allowed_and_said():
    with pytest.warns(
        BodyWarning, match="Pendulum: mass is usually drawn between 0.5 and 1.5, got 4"
    ):
        body = Pendulum(mass=torch.tensor([1.0, 4.0]))
    assert body.step(torch.zeros(2, 2), torch.ones(2, 1)).shape == (2, 2)
    with pytest.warns(BodyWarning, match="motor"):
        Pendulum(motor=-0.1)  # weak and reversed
    Pendulum(motor=0.0)  # broken


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Pendulum(mas=1.0),
            ArgumentError,
            "Pendulum: unknown parameter 'mas'; did you mean 'mass'",
        ),
        (lambda: Pendulum(mass=0.0), ArgumentError, "mass must be above 0, got 0"),
        (lambda: Arm(load=-1.0), ArgumentError, "load must be at least 0, got -1"),
        (lambda: Arm(load=math.nan), ArgumentError, "load must be finite"),
        (lambda: Arm(load=torch.zeros(2), gravity=torch.ones(3)), ShapeError, "broadcast"),
        (lambda: Pendulum.draw(0), ArgumentError, "bodies must be a positive integer"),
        (lambda: Pendulum.draw(2, broken_motors=2), ArgumentError, "broken_motors"),
        (
            lambda: Arm().step(torch.zeros(4), torch.zeros(1)),
            ShapeError,
            r"actions must be \(…, 2\)",
        ),
        (
            lambda: Arm().step(torch.zeros(3), torch.zeros(2)),
            ShapeError,
            r"states must be \(…, 4\)",
        ),
        (
            lambda: Arm.draw(3).step(torch.zeros(4), torch.zeros(2)),
            ShapeError,
            r"leading axes of the bodies, \(3,\)",
        ),
        (lambda: Arm().step(torch.zeros(4), [0, 0]), ArgumentTypeError, "actions must be a tensor"),
    ],
)
def test_errors_name_the_fix(call, error, message):
    with pytest.raises(error, match=message):
        call()
