"""Inputs of many users of one model, scored at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.errors import L2LRNNError
from l2l_rnn.estimators.learner_kinds import LearnerKind, Reading
from l2l_rnn.estimators.personal import Personal, device_of, padded_to, trimmed
from l2l_rnn.estimators.users.arguments import naming
from l2l_rnn.estimators.users.database import UserRow
from l2l_rnn.training import load_user, load_users

_MOST_USERS, _MOST_INPUTS = 256, 512  # that are answered at once, which bounds the memory


def read_users(
    who: str,
    kind: LearnerKind,
    names: list[str],
    rows: Mapping[str, UserRow],
    users: Mapping[str, Personal],
    inputs: Mapping[str, Tensor],
) -> dict[str, Reading]:
    """Score the inputs of some users, at once if the learner has a task axis.

    Args:
        who: begins error messages.
        kind: the base learner.
        names: the users.
        rows, users, inputs: the stored state, the description and the inputs of each.

    Raises:
        DataError: the state of a user is damaged; the message names the user.
    """
    if not isinstance(kind.learner, (MAML, MemoryLearner, SupportLearner)):
        found = {}
        for user in names:
            learner = _loaded(who, kind, user, rows)
            found[user] = kind.read(learner, inputs[user], users[user].present)
        return found
    device = device_of(kind.learner)
    try:
        with torch.no_grad():
            learner = load_users(kind.learner, [rows[user].state for user in names])
    except L2LRNNError:
        for user in names:  # one by one, to name the user
            _loaded(who, kind, user, rows)
        raise
    present = torch.nn.utils.rnn.pad_sequence([users[u].present for u in names], True)
    size = max(len(inputs[user]) for user in names)
    steps = max(inputs[user].shape[1] for user in names)
    # A user with fewer inputs has the last one several times.
    padded = [padded_to(inputs[user], steps) for user in names]
    x = torch.stack([torch.cat([p, p[-1:].expand(size - len(p), *p.shape[1:])]) for p in padded])
    reading = kind.read(learner, trimmed(x).to(device), present.to(device))
    scores, unusual = reading.scores.cpu(), reading.unusual.cpu()
    return {
        user: Reading(
            scores[n, : len(inputs[user]), : len(users[user].names)],
            unusual[n, : len(inputs[user])],
        )
        for n, user in enumerate(names)
    }


def _loaded(who: str, kind: LearnerKind, user: str, rows: Mapping[str, UserRow]) -> Any:
    with naming(who, user):
        return load_user(kind.learner, rows[user].state)


def chunks(inputs: Mapping[str, Tensor], groups: Mapping[str, int]) -> Iterator[list[str]]:
    """Split users into parts of one group and similar numbers of inputs, each of a bounded size."""
    order = sorted(inputs, key=lambda user: (groups[user], len(inputs[user])))
    some: list[str] = []
    for user in order:
        full = (len(some) + 1) * len(inputs[user]) > _MOST_INPUTS or len(some) >= _MOST_USERS
        if some and (full or groups[user] != groups[some[0]]):
            yield some
            some = []
        some.append(user)
    if some:
        yield some
