"""Simulated bodies with drawn physics, and planning with a model of their dynamics."""

from l2l_rnn.control.arm import Arm
from l2l_rnn.control.body import BODIES, Body
from l2l_rnn.control.cart_pole import CartPole
from l2l_rnn.control.cross_entropy import CrossEntropyPlanner
from l2l_rnn.control.pendulum import Pendulum
from l2l_rnn.control.rollouts import RandomActions, Transitions, record, run_episode

__all__ = [
    "BODIES",
    "Arm",
    "Body",
    "CartPole",
    "CrossEntropyPlanner",
    "Pendulum",
    "RandomActions",
    "Transitions",
    "record",
    "run_episode",
]
