"""Learners with learn2learn's `clone()` and `adapt()`, and what they may learn beside weights."""

from l2l_rnn.algorithms.inner_loop.curvature import MetaCurvature
from l2l_rnn.algorithms.inner_loop.rates import PerElementRates, PerTensorRates, Rates
from l2l_rnn.algorithms.inner_loop.regularizers import LearnedPull
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.algorithms.maml_plus_plus import MAMLPlusPlus
from l2l_rnn.algorithms.memory_learner import MemoryLearner
from l2l_rnn.algorithms.meta_sgd import MetaSGD
from l2l_rnn.algorithms.partial import ANIL, BOIL
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.algorithms.protomaml import ProtoMAML
from l2l_rnn.algorithms.protonet import ProtoNet
from l2l_rnn.algorithms.reptile import Reptile

__all__ = [
    "ANIL",
    "BOIL",
    "MAML",
    "GaussianPrior",
    "GradientTransform",
    "LearnedPull",
    "MAMLPlusPlus",
    "MemoryLearner",
    "MetaCurvature",
    "MetaSGD",
    "PerElementRates",
    "PerTensorRates",
    "ProtoMAML",
    "ProtoNet",
    "Rates",
    "Reptile",
]
