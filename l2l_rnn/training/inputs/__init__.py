"""Conversion of raw inputs, such as str and arrays, to the tensors that a learner takes."""

from l2l_rnn.training.inputs.base import Inputs
from l2l_rnn.training.inputs.pairs import PairInputs
from l2l_rnn.training.inputs.series import SeriesInputs
from l2l_rnn.training.inputs.texts import TextInputs

__all__ = ["Inputs", "PairInputs", "SeriesInputs", "TextInputs"]
