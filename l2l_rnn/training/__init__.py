"""Training, evaluation and saving of learners."""

from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.inputs import Inputs, SeriesInputs, TextInputs
from l2l_rnn.training.user_state import load_user, load_users, save_user, save_users

__all__ = [
    "Inputs",
    "SeriesInputs",
    "TextInputs",
    "adapted",
    "load_user",
    "load_users",
    "save_user",
    "save_users",
]
