"""The command `l2l-rnn`: train, evaluate, use and export few-shot learners."""

from l2l_rnn.cli.program import main

__all__ = ["main"]
