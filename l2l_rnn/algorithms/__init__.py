"""Learners with learn2learn's `clone()` and `adapt()`, and learned parts of their inner loop."""

from l2l_rnn.algorithms.closed_form.alpaca import ALPaCA
from l2l_rnn.algorithms.closed_form.lrd2 import LRD2
from l2l_rnn.algorithms.closed_form.r2d2 import R2D2
from l2l_rnn.algorithms.closed_form.signatures import DistributionalSignatures
from l2l_rnn.algorithms.closed_form.word_attention import WordAttention
from l2l_rnn.algorithms.closed_form.word_statistics import word_counts
from l2l_rnn.algorithms.encoded import Encoded
from l2l_rnn.algorithms.inner_loop.curvature import MetaCurvature
from l2l_rnn.algorithms.inner_loop.learning_rates import LearnedLR, PerElementLR, PerTensorLR
from l2l_rnn.algorithms.inner_loop.regularizers import ProximalRegularizer
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.algorithms.maml_plus_plus import MAMLPlusPlus
from l2l_rnn.algorithms.memory_learner import MemoryLearner
from l2l_rnn.algorithms.meta_sgd import MetaSGD
from l2l_rnn.algorithms.pair_memory_learner import PairMemoryLearner
from l2l_rnn.algorithms.partial import ANIL, BOIL
from l2l_rnn.algorithms.priors import EnsemblePrior, GaussianPrior
from l2l_rnn.algorithms.protomaml import ProtoMAML
from l2l_rnn.algorithms.protonet import ProtoNet
from l2l_rnn.algorithms.reptile import Reptile
from l2l_rnn.algorithms.stacking import PriorCoordinates, StackedLearner, TfIdfLearner
from l2l_rnn.algorithms.task_selection import select_task

__all__ = [
    "ANIL",
    "BOIL",
    "LRD2",
    "MAML",
    "R2D2",
    "ALPaCA",
    "DistributionalSignatures",
    "Encoded",
    "EnsemblePrior",
    "GaussianPrior",
    "GradientTransform",
    "LearnedLR",
    "MAMLPlusPlus",
    "MemoryLearner",
    "MetaCurvature",
    "MetaSGD",
    "PairMemoryLearner",
    "PerElementLR",
    "PerTensorLR",
    "PriorCoordinates",
    "ProtoMAML",
    "ProtoNet",
    "ProximalRegularizer",
    "Reptile",
    "StackedLearner",
    "TfIdfLearner",
    "WordAttention",
    "select_task",
    "word_counts",
]
