"""Bandits, the grid and their policies, against published values and exact solutions."""

import pytest
import torch

from l2l_rnn.control import (
    BANDIT_POLICIES,
    UCB1,
    BernoulliBandit,
    GittinsIndex,
    Greedy,
    GridWorld,
    SystematicSweep,
    bayes_optimal_reward,
    finite_horizon_indices,
    gittins_indices,
    run_trial,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError

TASKS = 4000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mean_reward(name, arms, pulls, tasks=TASKS, **options):
    """Return the mean expected total reward of a policy and its standard error."""
    generator = seeded()
    bandit = BernoulliBandit.draw(tasks, arms=arms, pulls=pulls, generator=generator)
    policy = BANDIT_POLICIES[name](arms, pulls, generator=generator, **options)
    trial = run_trial(bandit, policy, generator=generator)
    totals = bandit.expected_rewards(trial.actions).sum(-1)
    return totals.mean().item(), totals.std().item() / tasks**0.5


@pytest.mark.parametrize(
    ("discount", "published"),
    [
        # Gittins, 1989, table 1: rows are failures, columns are successes, both with the prior.
        (0.9, {(1, 1): 0.7029, (2, 1): 0.8001, (1, 2): 0.5001, (3, 1): 0.8452}),
        (0.99, {(1, 1): 0.8699}),
    ],
)
def test_gittins_indices_are_the_published_ones(discount, published):
    found = gittins_indices(2, discount=discount)
    for (a, b), index in published.items():
        assert found[a - 1, b - 1].item() == pytest.approx(index, abs=1e-4)
    assert found.isnan().sum() == 3


def test_indices_of_a_known_arm_are_its_probability():
    prior = (3e6, 1e6)
    assert gittins_indices(0, discount=0.9, prior=prior).item() == pytest.approx(0.75, abs=4e-3)
    last = finite_horizon_indices(4, prior=prior)
    assert last[1:, 0, 0].tolist() == pytest.approx([0.75] * 4, abs=5e-3)


def test_finite_horizon_indices_solve_the_retirement_problem():
    """Against the definition: with a known arm at the index, both choices are equally good."""

    def value(a, b, left, known):
        if not left:
            return 0.0
        mean = (1 + a) / (2 + a + b)
        return max(
            known * left,
            mean * (1 + value(a + 1, b, left - 1, known))
            + (1 - mean) * value(a, b + 1, left - 1, known),
        )

    table = finite_horizon_indices(8)
    for left, a, b in ((7, 0, 0), (5, 2, 1), (4, 0, 3), (1, 3, 4)):
        index = table[left, a, b].item()
        assert value(a, b, left, index + 5e-3) == pytest.approx((index + 5e-3) * left)
        assert value(a, b, left, index - 5e-3) > (index - 5e-3) * left + 1e-4
    assert table[8, 1, 0].isnan()


def test_finite_horizon_gittins_is_almost_bayes_optimal():
    best = bayes_optimal_reward(2, 12)
    assert best > 12 * 0.6
    found, error = mean_reward("gittins", 2, 12, tasks=20_000)
    assert found == pytest.approx(best, abs=4 * error)
    assert best <= 12 * 2 / 3  # what who knows the better arm gets
    assert bayes_optimal_reward(1, 12) == pytest.approx(6)


@pytest.mark.parametrize(
    ("name", "options", "pulls", "published"),
    [
        # Duan et al., 2016, table 1, for 5 arms.
        ("random", {}, 10, 5.0),
        ("thompson", {}, 10, 5.7),
        ("greedy", {}, 10, 6.6),
        ("gittins", {}, 10, 6.6),
        ("ucb1", {"scale": 0.2}, 100, 78.0),
    ],
)
def test_policies_get_the_published_rewards(name, options, pulls, published):
    found, error = mean_reward(name, 5, pulls, **options)
    assert found == pytest.approx(published, abs=0.015 * pulls + 3 * error)


def test_the_regret_of_thompson_sampling_grows_slower_than_that_of_random_pulls():
    generator = seeded()
    bandit = BernoulliBandit.draw(500, arms=5, pulls=200, generator=generator)
    regrets = {}
    for name in ("random", "thompson"):
        policy = BANDIT_POLICIES[name](5, 200, generator=generator)
        regrets[name] = bandit.regret(run_trial(bandit, policy, generator=generator).actions)
    first, last = (regrets["thompson"][:, part].mean() for part in (slice(50), slice(-50, None)))
    assert regrets["thompson"].mean() < 0.4 * regrets["random"].mean()
    assert last < 0.4 * first
    assert regrets["random"][:, -50:].mean() == pytest.approx(1 / 3, abs=0.05)


def test_policies_count_their_own_pulls_and_pull_every_arm_once():
    bandit = BernoulliBandit.draw(50, arms=4, pulls=9, generator=seeded())
    policy = UCB1(4, 9, generator=seeded())
    trial = run_trial(bandit, policy, generator=seeded())
    assert (trial.actions[:, :4].sort(-1).values == torch.arange(4)).all()
    pulls = torch.nn.functional.one_hot(trial.actions[:, :-1], 4).float()
    torch.testing.assert_close(policy.successes, (pulls * trial.rewards[:, :-1, None]).sum(1))
    torch.testing.assert_close(policy.failures, (pulls * (1 - trial.rewards[:, :-1, None])).sum(1))
    with pytest.raises(ArgumentError, match=r"UCB1: expected 9 pulls, .* call reset"):
        policy(trial.observations[:, 0])
    policy.reset()
    assert policy(trial.observations[:, 0]).shape == (50,)


def test_ties_are_broken_at_random():
    first = Greedy(4, 10, generator=seeded())(torch.zeros(4000, 7))
    shares = first.bincount(minlength=4) / 4000
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.03)


def test_observations_hold_the_last_action_reward_end_and_position():
    bandit = BernoulliBandit(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), pulls=2)
    trial = run_trial(bandit, lambda seen: torch.tensor([1, 1]))
    assert trial.observations.tolist() == [
        [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0.5]],
        [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0.5]],
    ]
    assert trial.ends.tolist() == [[False, True]] * 2
    assert trial.rewards.tolist() == [[1, 1], [0, 0]]
    assert bandit.training_rewards(trial.actions, trial.rewards).tolist() == [[0, 0], [-1, -1]]


def test_grids_end_episodes_at_the_goal_or_after_the_most_steps():
    grid = GridWorld(torch.tensor([1, 8]), size=3, episodes=2)
    right = torch.tensor([3, 3])
    trial = run_trial(grid, lambda seen: right)
    assert trial.ends.int().cumsum(1)[:, [0, 1, 7, 15]].tolist() == [[1, 2, 2, 2], [0, 0, 1, 2]]
    assert trial.going.sum(1).tolist() == [2, 16]
    torch.testing.assert_close(trial.rewards.sum(1), torch.tensor([-2 / 8, -2.0]))
    cells = trial.observations[1, :, -9:].argmax(-1)
    assert cells.tolist() == [0, 1, 2, 2, 2, 2, 2, 2] * 2  # a wall, and back to the corner


def test_the_sweep_visits_all_cells_and_returns_by_shortest_paths():
    goals = torch.arange(1, 25)
    grid = GridWorld(goals, size=5, episodes=3)
    trial = run_trial(grid, SystematicSweep(grid))
    lengths = [
        (trial.going & (trial.ends.int().cumsum(1) - trial.ends.int() == n)).sum(1)
        for n in range(3)
    ]
    assert lengths[0].sort().values.tolist() == list(range(1, 25))  # one new cell per step
    shortest = goals // 5 + goals % 5
    assert torch.equal(lengths[1], shortest)
    assert torch.equal(lengths[2], shortest)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BernoulliBandit([0.5], 3), ArgumentTypeError, "probabilities must be a tensor"),
        (lambda: BernoulliBandit(torch.tensor([1.5]), 3), ArgumentError, "between 0 and 1"),
        (lambda: BernoulliBandit.draw(3, arms=0, pulls=1), ArgumentError, "arms must be"),
        (
            lambda: run_trial(
                BernoulliBandit.draw(3, arms=2, pulls=1), lambda seen: torch.tensor(1)
            ),
            ShapeError,
            r"actions must be integers of shape \(3,\)",
        ),
        (
            lambda: run_trial(
                BernoulliBandit.draw(2, arms=2, pulls=1), lambda seen: torch.tensor([1, 2])
            ),
            ArgumentError,
            "actions must be from 0 to 1, got 1 to 2",
        ),
        (lambda: GridWorld(torch.tensor([0])), ArgumentError, "goals must be integers from 1"),
        (lambda: GridWorld.draw(2, size=1), ArgumentError, "size must be an integer of at least 2"),
        (lambda: UCB1(2, 5, scale=-1), ArgumentError, "UCB1: scale"),
        (lambda: GittinsIndex(2, 5, discount=1.0), ArgumentError, "discount must be"),
        (lambda: BANDIT_POLICIES["gitins"], ArgumentError, "did you mean 'gittins'"),
    ],
)
def test_errors_name_the_fix(call, error, message):
    with pytest.raises(error, match=message):
        call()
