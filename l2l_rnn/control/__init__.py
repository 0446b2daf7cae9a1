"""Simulated bodies, planning with a model of their dynamics, bandits and policy gradients."""

from l2l_rnn.control.arm import Arm
from l2l_rnn.control.bandit_policies import (
    BANDIT_POLICIES,
    UCB1,
    BanditPolicy,
    GittinsIndex,
    Greedy,
    RandomPulls,
    ThompsonSampling,
)
from l2l_rnn.control.bandits import BernoulliBandit
from l2l_rnn.control.body import BODIES, Body
from l2l_rnn.control.cart_pole import CartPole
from l2l_rnn.control.cross_entropy import CrossEntropyPlanner
from l2l_rnn.control.environment import Environment, Outcome, Trial, run_trial
from l2l_rnn.control.gittins import bayes_optimal_reward, finite_horizon_indices, gittins_indices
from l2l_rnn.control.grid_world import GridWorld, SystematicSweep
from l2l_rnn.control.pendulum import Pendulum
from l2l_rnn.control.policy_gradient import advantages, clipped_policy_loss
from l2l_rnn.control.rollouts import RandomActions, Transitions, record, run_episode

__all__ = [
    "BANDIT_POLICIES",
    "BODIES",
    "UCB1",
    "Arm",
    "BanditPolicy",
    "BernoulliBandit",
    "Body",
    "CartPole",
    "CrossEntropyPlanner",
    "Environment",
    "GittinsIndex",
    "Greedy",
    "GridWorld",
    "Outcome",
    "Pendulum",
    "RandomActions",
    "RandomPulls",
    "SystematicSweep",
    "ThompsonSampling",
    "Transitions",
    "Trial",
    "advantages",
    "bayes_optimal_reward",
    "clipped_policy_loss",
    "finite_horizon_indices",
    "gittins_indices",
    "record",
    "run_episode",
    "run_trial",
]
