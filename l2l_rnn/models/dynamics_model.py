"""The dynamics model: it predicts the next state of a body from a state and an action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.nn import CELLS, Linear

_MARGIN = 0.2  # how far predicted states may be beyond those of the data, in ranges


@configurable
class TransitionEncoder(nn.Module):
    """Features of inputs: 1, the inputs themselves and the units of a tanh network.

    A linear head of these features can be a linear model of the inputs, with an intercept.

    Args:
        input_size: `F`, features of an input.
        hidden_size: `H`, units of each layer.
        num_layers: number of layers.

    Attributes:
        output_size: `1 + F + H`.

    Shapes:
        `(…, B, F)` -> `(…, B, 1 + F + H)`.

    Example:
        >>> TransitionEncoder(4, 8)(torch.zeros(3, 4)).shape
        torch.Size([3, 13])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, input_size: int, hidden_size: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        who = "TransitionEncoder"
        size = check_int(who, "input_size", input_size)
        hidden = check_int(who, "hidden_size", hidden_size)
        layers: list[nn.Module] = []
        for number in range(check_int(who, "num_layers", num_layers)):
            layers += [Linear(hidden if number else size, hidden), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.output_size = 1 + size + hidden

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(x[..., :1]), x, self.layers(x)], -1)


@configurable
class DynamicsModel(nn.Module):
    """Predict the change of a body's state: `s' = s + sigma W f(x, c) + mu`.

    `x` is the standardized input: the state, with the sine and cosine of each angle in place of the
    angle, and the action. `f` is a `TransitionEncoder`, and mu and sigma are the mean and standard
    deviation of the changes in the data. `c` is the context, a recurrent summary of the transitions
    of a body so far; there is none without `cell`.

    The model is a network for learners: `MAML(model, lr)` adapts it, `ALPaCA(model.encoder,
    outputs=model.state_size)` and `MemoryModel(model.encoder, …)` put their own heads on its
    features. Their inputs are `model.inputs(states, actions)` and their targets
    `model.targets(states, following)`. `model.stepper(learner)` turns an adapted learner into a
    function that planners call.

    Args:
        state_size: `D`, number of state variables.
        action_size: `A`, number of actions.
        angles: positions of the state variables that are angles, in radians.
        hidden_size: units of each layer of the encoder.
        num_layers: number of these layers.
        cell: recurrent layer of the context, a name in `nn.CELLS` such as `"gru"`; None for none.
        context_size: `C`, hidden units of the recurrent layer.

    Attributes:
        encoder: `f`, a `TransitionEncoder`.
        head: `W`, a `Linear` layer without a bias; one of the features is 1.
        recurrence: the recurrent layer, or None.
        input_size: `F`, features of an input.
        input_mean, input_std, target_mean, target_std, low, high: buffers, set by `fit_moments`.

    Shapes:
        forward: x `(…, B, F)` and, with `cell`, the context `(…, C)` -> `(…, B, D)`.

    Raises:
        ArgumentError: a size is not a positive integer, or an angle is not a state variable.
        UnknownNameError: the cell is unknown.

    Example:
        >>> model = DynamicsModel(2, 1, angles=[0])
        >>> states, actions = torch.randn(50, 2), torch.randn(50, 1)
        >>> model.fit_moments(states, actions, states + 0.1)
        >>> model(model.inputs(states, actions)).shape
        torch.Size([50, 2])
        >>> model.stepper()(states, actions).shape
        torch.Size([50, 2])

    Source: A. Nagabandi et al., 2019, Learning to Adapt in Dynamic, Real-World Environments Through
    Meta-Reinforcement Learning, section 5, where MAML adapts such a network (GrBAL), or a recurrent
    one adapts by its state (ReBAL). Here the state of the recurrence is an input of the network.
    """

    task_axis: ClassVar[bool] = True

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        state_size: int,
        action_size: int,
        *,
        angles: Sequence[int] = (),
        hidden_size: int = 64,
        num_layers: int = 2,
        cell: str | None = None,
        context_size: int = 32,
    ) -> None:
        super().__init__()
        who = "DynamicsModel"
        self.state_size = check_int(who, "state_size", state_size)
        self.action_size = check_int(who, "action_size", action_size)
        fix = "angles are positions of state variables"
        self.angles = [
            check_int(who, "angles", a, least=0, most=state_size - 1, fix=fix) for a in angles
        ]
        if len(set(self.angles)) < len(self.angles):
            raise ArgumentError(f"{who}: angles must differ, got {list(angles)}; drop repeats")
        self.others = [i for i in range(state_size) if i not in self.angles]
        self.input_size = state_size + len(self.angles) + action_size
        self.recurrence: Any = None
        size = self.input_size
        if cell is not None:
            context = check_int(who, "context_size", context_size)
            self.recurrence = CELLS[cell](size + state_size, context, batch_first=True)
            size += context
        self.encoder = TransitionEncoder(size, hidden_size, num_layers)
        self.head = Linear(self.encoder.output_size, state_size, bias=False)
        for name, size in {"input": self.input_size, "target": state_size}.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("low", torch.full((state_size,), -torch.inf))
        self.register_buffer("high", torch.full((state_size,), torch.inf))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if (context is None) != (self.recurrence is None):
            wanted = "no context" if self.recurrence is None else "a context"
            raise ArgumentError(
                f"DynamicsModel: expected {wanted}, got {'none' if context is None else 'one'}; "
                "set cell to use contexts, and compute them by read()"
            )
        if context is not None:
            rows = context.unsqueeze(-2).expand(*x.shape[:-1], context.shape[-1])
            x = torch.cat([x, rows], -1)
        return self.head(self.encoder(x))

    def read(self, x: Tensor, y: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read consecutive transitions of each body and return their context.

        Args:
            x: the inputs of the transitions, from `inputs`.
            y: their targets, from `targets`.
            state: the second result of the last call for these bodies; None for a new body.

        Shapes:
            x `(…, S, F)`, y `(…, S, D)` -> context `(…, C)` and the state of the recurrence.

        Raises:
            ArgumentError: the model has no `cell`.
        """
        if self.recurrence is None:
            raise ArgumentError(
                "DynamicsModel.read: expected a model with a cell, got none; set cell"
            )
        steps = torch.cat([x, y], -1).unsqueeze(-3)  # one sequence per body: (…, 1, S, F + D)
        outputs, state = self.recurrence(steps, state)
        return outputs[..., 0, -1, :], state

    def blank(self, *lead: int) -> Tensor:
        """Return the context of bodies without transitions, zeros `(*lead, C)`."""
        return self.input_mean.new_zeros(*lead, self.recurrence.hidden_size)

    @torch.no_grad()
    def fit_moments(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        """Store the moments of training transitions, which standardize inputs and targets.

        The range of the states is stored too: `stepper` keeps predicted states, except for angles,
        within it and a margin of 20%.

        Args:
            states, actions, following: transitions with any leading axes.
        """
        self._check("fit_moments", states, actions)
        raw = self._features(states, actions).flatten(0, -2)
        changes = (following - states).flatten(0, -2)
        for name, values in {"input": raw, "target": changes}.items():
            std = values.std(0, correction=0)
            getattr(self, f"{name}_mean").copy_(values.mean(0))
            getattr(self, f"{name}_std").copy_(torch.where(std > 0, std, 1.0))
        seen = following.flatten(0, -2)
        low, high = seen.amin(0), seen.amax(0)
        self.low.copy_(low - _MARGIN * (high - low))
        self.high.copy_(high + _MARGIN * (high - low))
        self.low[self.angles], self.high[self.angles] = -torch.inf, torch.inf

    def inputs(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the standardized inputs of states `(…, D)` and actions `(…, A)`, `(…, F)`."""
        self._check("inputs", states, actions)
        return (self._features(states, actions) - self.input_mean) / self.input_std

    def targets(self, states: Tensor, following: Tensor) -> Tensor:
        """Return the standardized changes from states to next states, `(…, D)`."""
        return (following - states - self.target_mean) / self.target_std

    def following(self, states: Tensor, outputs: Tensor) -> Tensor:
        """Return the next states that outputs `(…, D)` predict."""
        return states + outputs * self.target_std + self.target_mean

    def stepper(
        self, learner: Callable[..., Tensor] | None = None, *context: Tensor
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function that computes next states from states and actions.

        Args:
            learner: computes outputs from inputs, such as a learner that adapted this model or a
                head on its encoder; None is the model itself.
            context: the context of each body, for a model with `cell`.

        Returns:
            A function of states `(…, B, D)` and actions `(…, B, A)`, where the axes before B are
            those of the learner's tasks.
        """
        predict = self if learner is None else learner

        def step(states: Tensor, actions: Tensor) -> Tensor:
            outputs = predict(self.inputs(states, actions), *context)
            return self.following(states, outputs).clamp(self.low, self.high)

        return step

    def _features(self, states: Tensor, actions: Tensor) -> Tensor:
        if not self.angles:
            return torch.cat([states, actions], -1)
        angles = states[..., self.angles]
        return torch.cat([angles.sin(), angles.cos(), states[..., self.others], actions], -1)

    def _check(self, method: str, states: Tensor, actions: Tensor) -> None:
        who = f"DynamicsModel.{method}"
        for name, value, size in (
            ("states", states, self.state_size),
            ("actions", actions, self.action_size),
        ):
            check_tensor(who, name, value)
            if value.shape[-1:] != (size,):
                raise ShapeError(
                    f"{who}: {name} must be (…, {size}), got shape {tuple(value.shape)}; set "
                    f"{name[:-1]}_size, or drop the other variables"
                )
