"""Checkpoints that training resumes from, without pickle; needs pytorch-lightning."""

from l2l_rnn.training.checkpoints.callback import Checkpoints
from l2l_rnn.training.checkpoints.checkpoint_io import SafeCheckpointIO
from l2l_rnn.training.checkpoints.folder import latest_good
from l2l_rnn.training.checkpoints.random_states import (
    RandomStates,
    random_states,
    set_random_states,
)
from l2l_rnn.training.checkpoints.settings import add_settings, check_settings, saved_settings

__all__ = [
    "Checkpoints",
    "RandomStates",
    "SafeCheckpointIO",
    "add_settings",
    "check_settings",
    "latest_good",
    "random_states",
    "saved_settings",
    "set_random_states",
]
