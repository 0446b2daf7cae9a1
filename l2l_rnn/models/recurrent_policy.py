"""A recurrent policy with a value function, which learns from its own memory (RL^2)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Normal

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.nn import CELLS, Linear


@configurable
class RecurrentPolicy(nn.Module):
    """Read observations one after another, and return distributions of actions and values.

    The observation of a step holds the last action and the last reward, so the state of the
    recurrence can hold what the policy has found out about its task. Training over many tasks makes
    it a learning algorithm: it explores a new task, and then uses what it has found.

    Args:
        input_size: `F`, features of an observation.
        action_size: `A`, number of actions to choose from; with `continuous`, size of an action.
        continuous: whether actions are vectors in [-1, 1] instead of choices.
        hidden_size: `H`, hidden units of the recurrent layer.
        cell: recurrent layer, a name in `nn.CELLS`.
        std: initial standard deviation of continuous actions.

    Shapes:
        inputs `(…, B, S, F)` and the state of the recurrence or None -> a distribution with batch
        shape `(…, B, S)`, or `(…, B, S, A)` for continuous actions; values `(…, B, S)`; the next
        state.

    Raises:
        ArgumentError: a size is not a positive integer.
        UnknownNameError: the cell is unknown.

    Example:
        >>> policy = RecurrentPolicy(6, 3)
        >>> actions, values, state = policy(torch.zeros(8, 1, 6))
        >>> actions.sample().shape, values.shape
        (torch.Size([8, 1]), torch.Size([8, 1]))
        >>> actions, values, state = policy(torch.zeros(8, 1, 6), state)

    Source: Y. Duan et al., 2016, RL^2: Fast Reinforcement Learning via Slow Reinforcement Learning,
    section 2; J. Wang et al., 2016, Learning to Reinforcement Learn, section 2. There, the policy
    and the value function of RL^2 are two networks; here, as in Wang et al., they share one.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        action_size: int,
        *,
        continuous: bool = False,
        hidden_size: int = 64,
        cell: str = "gru",
        std: float = 0.5,
    ) -> None:
        super().__init__()
        who = "RecurrentPolicy"
        self.input_size = check_int(who, "input_size", input_size)
        self.action_size = check_int(who, "action_size", action_size)
        hidden = check_int(who, "hidden_size", hidden_size)
        self.recurrence: Any = CELLS[cell](input_size, hidden, batch_first=True)
        self.actions = Linear(hidden, action_size)
        self.value = Linear(hidden, 1)
        self.log_std = (
            nn.Parameter(torch.full((action_size,), math.log(std))) if continuous else None
        )

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Distribution, Tensor, Any]:
        outputs, state = self.recurrence(inputs, state)
        found, values = self.actions(outputs), self.value(outputs).squeeze(-1)
        if self.log_std is None:
            return Categorical(logits=found, validate_args=False), values, state
        std = self.log_std.exp()
        if std.dim() > 1:  # one vector for each task
            std = std.unsqueeze(-2).unsqueeze(-2)
        return Normal(found.tanh(), std, validate_args=False), values, state
