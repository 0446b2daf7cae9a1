"""Learners with learn2learn's `clone()` and `adapt()`, and the step sizes they may learn."""

from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.algorithms.meta_sgd import MetaSGD
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.algorithms.protomaml import ProtoMAML
from l2l_rnn.algorithms.protonet import ProtoNet
from l2l_rnn.algorithms.rates import PerElementRates, PerTensorRates, Rates

__all__ = [
    "MAML",
    "GaussianPrior",
    "MetaSGD",
    "PerElementRates",
    "PerTensorRates",
    "ProtoMAML",
    "ProtoNet",
    "Rates",
]
