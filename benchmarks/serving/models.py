"""The model that a serving benchmark runs."""

from __future__ import annotations

import argparse

from l2l_rnn.errors import L2LRNNError
from l2l_rnn.training import Pretrained


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--model`."""
    parser.add_argument(
        "--model",
        default="languages-prototypes",
        help="name or folder (default: languages-prototypes)",
    )


def check_model(parser: argparse.ArgumentParser, name: str) -> None:
    """Exit with an error message if there is no saved model with this name."""
    try:
        Pretrained.from_pretrained(name)
    except L2LRNNError as error:
        parser.error(f"--model: {error}")
