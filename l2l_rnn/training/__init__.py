"""Training, evaluation and saving of learners."""

from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.inputs import Inputs, SeriesInputs, TextInputs
from l2l_rnn.training.pretrained import Pretrained
from l2l_rnn.training.saved.locations import list_pretrained
from l2l_rnn.training.user_state import load_user, load_users, save_user, save_users

__all__ = [
    "Inputs",
    "Pretrained",
    "SeriesInputs",
    "TextInputs",
    "adapted",
    "list_pretrained",
    "load_user",
    "load_users",
    "save_user",
    "save_users",
]
