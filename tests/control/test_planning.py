"""The planner and the rollouts."""

import pytest
import torch

from l2l_rnn.control import (
    Arm,
    CartPole,
    CrossEntropyPlanner,
    Pendulum,
    RandomActions,
    record,
    run_episode,
)
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_planner_finds_the_optimum_of_a_linear_system():
    """x' = x + a; the reward is -(x' - 1)^2: from 0.3, the best first action is 0.7."""

    def step(states, actions):
        return states + actions

    def reward(states, actions, following):
        return -(following[..., 0] - 1).square()

    planner = CrossEntropyPlanner(
        reward, 1, horizon=2, candidates=200, iterations=15, elites=10, generator=seeded(0)
    )
    states = torch.tensor([[0.3], [-5.0], [1.3]])
    actions = planner.plan(states, step)
    torch.testing.assert_close(actions, torch.tensor([[0.7], [1.0], [-0.3]]), atol=0.05, rtol=0)
    assert planner.mean.shape == (3, 2, 1)


def test_plans_of_bodies_do_not_mix():
    """The plan of a body does not depend on the other bodies."""
    bodies = Pendulum.draw(4, seeded(0))
    states = bodies.start(seeded(1))
    noise = torch.randn(2, 4, 8, 5, 1, generator=seeded(2))

    class Fixed(CrossEntropyPlanner):
        def _drawn(self, mean, std, count):
            drawn = noise[self.rounds, self.which, :count]
            self.rounds += 1
            return (mean.unsqueeze(-3) + std.unsqueeze(-3) * drawn).clamp(-1, 1)

    def plan(which):
        planner = Fixed(bodies.reward, 1, horizon=5, candidates=8, iterations=2, elites=3)
        planner.rounds, planner.which = 0, which
        return planner.plan(states[which], bodies[which].step)

    together = plan(slice(None))
    for n in range(4):
        torch.testing.assert_close(together[n], plan(n))


@pytest.mark.parametrize(("body", "horizon", "least"), [(CartPole, 8, 45.0), (Arm, 8, -30.0)])
def test_planning_with_the_true_model_beats_random_actions(body, horizon, least):
    bodies = body.draw(4, seeded(0), reversed_motors=0.5)
    states = bodies.start(seeded(1))
    planner = CrossEntropyPlanner(
        bodies.reward,
        bodies.action_size,
        alive=bodies.alive,
        horizon=horizon,
        generator=seeded(2),
    )
    found = run_episode(bodies, lambda s: planner.plan(s, bodies.step), states=states, steps=48)
    drawn = RandomActions(bodies.action_size, hold=4, generator=seeded(3))
    random = run_episode(bodies, drawn, states=states, steps=48)
    assert (found.rewards.sum(-1) > random.rewards.sum(-1)).all()
    assert found.rewards.sum(-1).mean() > least


def test_a_warm_start_helps_and_reset_forgets_it():
    bodies = Pendulum.draw(20, seeded(0))
    returns = {}
    for warm in (False, True):
        states = bodies.start(seeded(1))
        planner = CrossEntropyPlanner(
            bodies.reward, 1, horizon=15, candidates=10, elites=3, iterations=1, generator=seeded(2)
        )
        total = torch.zeros(20)
        for _ in range(60):
            if not warm:
                planner.reset()
            actions = planner.plan(states, bodies.step)
            following = bodies.step(states, actions)
            total += bodies.reward(states, actions, following)
            states = following
        returns[warm] = total.mean()
    assert returns[True] > returns[False] + 20
    planner.reset()
    assert planner.mean is None


def test_rewards_after_the_end_of_an_episode_do_not_count():
    """A plan that ends the episode at once loses against one that survives with less."""

    def step(states, actions):
        return actions

    def reward(states, actions, following):
        return 1 + following[..., 0]

    def alive(states):
        return states[..., 0] < 0

    options = {"horizon": 6, "candidates": 100, "generator": seeded(0)}
    assert CrossEntropyPlanner(reward, 1, **options).plan(torch.zeros(1), step) > 0.5
    assert CrossEntropyPlanner(reward, 1, alive=alive, **options).plan(torch.zeros(1), step) < 0


def test_a_model_without_finite_predictions_is_an_error():
    planner = CrossEntropyPlanner(Pendulum.reward.__get__(Pendulum()), 1)
    with pytest.raises(AdaptationError, match="must predict a finite reward"):
        planner.plan(torch.zeros(3, 2), lambda states, actions: states * torch.nan)

    def half(states, actions):  # candidates that fail are not chosen
        return torch.where(actions > 0, torch.nan, states + 0.01)

    assert (planner.plan(torch.zeros(3, 2), half) <= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon must be a positive integer"),
        ({"candidates": 1}, "candidates must be an integer of at least 2"),
        (
            {"candidates": 10, "elites": 10},
            "elites must be an integer from 1 to 9, got 10; it is at most",
        ),
        ({"std": 0.0}, "std must be a number above 0"),
        ({"correlation": 1.0}, "correlation must be a number of at least 0 and below 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ArgumentError, match=message):
        CrossEntropyPlanner(Pendulum().reward, 1, **options)


def test_the_number_of_bodies_may_change_only_after_reset():
    body = Pendulum()
    planner = CrossEntropyPlanner(body.reward, 1, horizon=2, candidates=4, elites=2)
    planner.plan(torch.zeros(3, 2), body.step)
    with pytest.raises(ShapeError, match=r"call reset\(\) first"):
        planner.plan(torch.zeros(2, 2), body.step)
    planner.reset()
    assert planner.plan(torch.zeros(2), body.step).shape == (1,)


def test_recordings_restart_and_episodes_end():
    bodies = CartPole.draw(10, seeded(0))
    policy = RandomActions(1, hold=3, generator=seeded(1))
    found = record(bodies, policy, 120, generator=seeded(2))
    assert torch.equal(bodies.step(found.states, found.actions), found.following)
    alive = bodies.alive(found.following)
    assert (~alive).any(1).all()  # every pole fell
    nexts = found.states[:, 1:]
    torch.testing.assert_close(nexts[alive[:, :-1]], found.following[:, :-1][alive[:, :-1]])
    assert (nexts[~alive[:, :-1]].abs() <= 0.05).all()  # and stood up again
    held = found.actions[:, :120].unflatten(1, (40, 3))
    assert torch.equal(held, held[:, :, :1].expand_as(held))
    assert found.first(7).rewards.shape == (10, 7)

    episode = run_episode(
        bodies, RandomActions(1, hold=3, generator=seeded(1)), generator=seeded(2)
    )
    fell = (~bodies.alive(episode.following)).int().cummax(1).values.bool()
    assert fell[:, -1].all()
    assert (episode.rewards[:, 1:][fell[:, :-1]] == 0).all()
    seen = []
    run_episode(bodies, policy, observe=lambda *parts: seen.append(parts), steps=4)
    assert len(seen) == 4
