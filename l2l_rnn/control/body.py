"""Base class of simulated bodies, which are batched and have drawn physical parameters."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_number, check_tensor
from l2l_rnn.errors import ArgumentError, BodyWarning, ShapeError, UnknownNameError
from l2l_rnn.registry import Registry, hint

BODIES: Registry[type[Body]] = Registry("body")
Self = TypeVar("Self", bound="Body")


class Body(ABC):
    """One or many simulated bodies of a kind, each with its own physical parameters.

    A body is a value: `step` computes the next states and stores nothing. All computations are
    torch's, so they are batched, run on any device and are differentiable.

    A parameter may be outside its range in `ranges`, from which `draw` draws. A warning then says
    so, because a model that was trained on drawn bodies may fail to adapt to such a body.

    Args:
        parameters: physical parameters by name, as numbers or tensors with any leading axes that
            broadcast to each other. Parameters that are not given have the values of `usual`.

    Attributes:
        ranges: smallest and largest drawn value of each parameter.
        usual: default value of each parameter.
        positive: names of the parameters that must be above 0.
        motors: names of the parameters that are gains of motors. A gain of 0 is a broken motor, and
            a negative one a reversed motor.
        state_names, action_names: names of the state variables and of the actions.
        angles: positions of the state variables that are angles.
        dt: seconds per step.
        steps: steps of an episode.
        parameters: all parameters in the order of `ranges`, `(…, P)`.

    Raises:
        UnknownNameError: a parameter is unknown.
        ArgumentError: a parameter is not finite, or not the gain of a motor and negative.
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]]
    usual: ClassVar[Mapping[str, float]]
    positive: ClassVar[tuple[str, ...]]
    motors: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]]
    action_names: ClassVar[tuple[str, ...]]
    angles: ClassVar[tuple[int, ...]]
    dt: ClassVar[float]
    steps: ClassVar[int]

    parameters: Tensor

    def __init__(self, **parameters: float | Tensor) -> None:
        who = type(self).__name__
        for name in parameters:
            if name not in self.ranges:
                raise UnknownNameError(
                    f"{who}: unknown parameter {name!r}{hint(name, self.ranges)} "
                    f"Known: {', '.join(self.ranges)}"
                )
        given = {**self.usual, **parameters}
        tensors = [value for value in parameters.values() if isinstance(value, Tensor)]
        dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
        dtype = dtypes[0] if dtypes else torch.get_default_dtype()
        values = [torch.as_tensor(given[name], dtype=dtype) for name in self.ranges]
        try:
            values = list(torch.broadcast_tensors(*values))
        except RuntimeError as error:
            raise ShapeError(
                f"{who}: the parameters must have leading axes that broadcast, got "
                f"{', '.join(str(tuple(v.shape)) for v in values)}; give each one value per body"
            ) from error
        self.parameters = torch.stack(values, -1)
        self._check(who)

    @property
    def state_size(self) -> int:
        """The number of state variables."""
        return len(self.state_names)

    @property
    def action_size(self) -> int:
        """The number of actions."""
        return len(self.action_names)

    def __repr__(self) -> str:
        lead = tuple(self.parameters.shape[:-1])
        if lead:
            return f"{type(self).__name__}(bodies={lead})"
        pairs = zip(self.ranges, self.parameters.tolist(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{n}={v:.4g}' for n, v in pairs)})"

    @classmethod
    def draw(
        cls: type[Self],
        bodies: int,
        generator: Generator | None = None,
        *,
        reversed_motors: float = 0.3,
        broken_motors: float = 0.0,
    ) -> Self:
        """Draw bodies whose parameters are uniform in their ranges.

        Args:
            bodies: number of bodies, `N`.
            generator: random number generator; None uses torch's global one.
            reversed_motors: probability that a motor is reversed.
            broken_motors: probability that one motor of the body is broken. A body with a single
                motor then cannot act at all.

        Returns:
            One object with parameters `(N, P)`.
        """
        who = f"{cls.__name__}.draw"
        bodies = check_int(who, "bodies", bodies)
        turned = check_number(who, "reversed_motors", reversed_motors, least=0, most=1)
        broken = check_number(who, "broken_motors", broken_motors, least=0, most=1)
        low, high = torch.tensor(list(cls.ranges.values())).T
        drawn = low + (high - low) * torch.rand(bodies, len(low), generator=generator)
        names = list(cls.ranges)
        motors = [names.index(name) for name in cls.motors]
        signs = torch.rand(bodies, len(motors), generator=generator) < turned
        drawn[:, motors] *= 1 - 2 * signs.float()
        stops = torch.rand(bodies, 1, generator=generator) < broken
        which = torch.randint(len(motors), (bodies, 1), generator=generator)
        drawn[:, motors] *= 1 - (stops & (which == torch.arange(len(motors)))).float()
        return cls(**dict(zip(names, drawn.unbind(-1), strict=True)))

    def __getitem__(self: Self, index: int | slice | Tensor) -> Self:
        """Return some of the bodies, by an index of the first leading axis."""
        chosen: Self = object.__new__(type(self))
        chosen.__dict__ = {**self.__dict__, "parameters": self.parameters[index]}
        return chosen

    def to(self: Self, target: torch.device | str | torch.dtype) -> Self:
        """Return these bodies on a device, or with a dtype."""
        moved: Self = object.__new__(type(self))
        moved.__dict__ = {**self.__dict__, "parameters": self.parameters.to(target)}
        return moved

    @abstractmethod
    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Compute the next states.

        Args:
            states: states `(…, state_size)`; the leading axes begin with those of the bodies.
            actions: actions `(…, action_size)`, clipped to [-1, 1].
        """

    @abstractmethod
    def reward(self, states: Tensor, actions: Tensor, following: Tensor) -> Tensor:
        """Compute the reward of transitions, `(…)`; it does not depend on the parameters."""

    def alive(self, states: Tensor) -> Tensor:
        """Return whether the episode goes on in these states, `(…)` bool. The default never ends.

        After the end of an episode, all rewards are 0.
        """
        return torch.ones(states.shape[:-1], dtype=torch.bool, device=states.device)

    @abstractmethod
    def start(self, generator: Generator | None = None) -> Tensor:
        """Draw the states in which episodes begin, `(…, state_size)`, one for each body."""

    @abstractmethod
    def anywhere(self, count: int, generator: Generator | None = None) -> Tensor:
        """Draw states from all over the state space, `(…, count, state_size)`, for training."""

    def _named(self, like: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, with axes of size 1 for those that only states have."""
        lead = self.parameters.dim() - 1
        more = like.dim() - 1 - lead
        if more < 0 or like.shape[-1] != self.state_size:
            raise ShapeError(
                f"{type(self).__name__}: states must be (…, {self.state_size}) with the leading "
                f"axes of the bodies, {tuple(self.parameters.shape[:-1])}, got shape "
                f"{tuple(like.shape)}; add the missing axes"
            )
        values = self.parameters[(..., *[None] * more, slice(None))].to(like.dtype)
        return dict(zip(self.ranges, values.unbind(-1), strict=True))

    def _clipped(self, actions: Tensor) -> tuple[Tensor, ...]:
        check_tensor(type(self).__name__, "actions", actions)
        if actions.shape[-1:] != (self.action_size,):
            raise ShapeError(
                f"{type(self).__name__}: actions must be (…, {self.action_size}), got shape "
                f"{tuple(actions.shape)}; pass one value for each of {', '.join(self.action_names)}"
            )
        return actions.clamp(-1, 1).unbind(-1)

    def _uniform(
        self, limits: tuple[float, ...], lead: tuple[int, ...], generator: Generator | None
    ) -> Tensor:
        """Draw states that are uniform between minus and plus the limits."""
        like = self.parameters
        drawn = torch.rand(*lead, self.state_size, generator=generator).to(like)
        return (2 * drawn - 1) * torch.tensor(limits).to(like)

    def _check(self, who: str) -> None:
        for name, values in zip(self.ranges, self.parameters.unbind(-1), strict=True):
            low, high = self.ranges[name]
            if not values.isfinite().all():
                raise ArgumentError(f"{who}: {name} must be finite, got {_shown(values)}; fix it")
            motor = name in self.motors
            above = name in self.positive
            if not motor and (values <= 0 if above else values < 0).any():
                wanted = "above 0" if above else "at least 0"
                raise ArgumentError(
                    f"{who}: {name} must be {wanted}, got {_shown(values.min())}; raise it"
                )
            sizes = values.abs() if motor else values
            beyond = (sizes < low * (1 - 1e-6)) | (sizes > high * (1 + 1e-6))
            if motor:
                beyond &= sizes != 0  # a broken motor
            if beyond.any():
                warnings.warn(
                    f"{who}: {name} is usually drawn between {low:g} and {high:g}, got "
                    f"{_shown(values[beyond])}; a model trained on drawn bodies may fail to adapt "
                    "to this body",
                    BodyWarning,
                    stacklevel=3,
                )


def wrapped(angles: Tensor) -> Tensor:
    """Return angles in [-pi, pi).

    Example:
        >>> wrapped(torch.tensor([0.5, 2 * math.pi + 0.5])).round(decimals=3)
        tensor([0.5000, 0.5000])
    """
    return (angles + math.pi) % (2 * math.pi) - math.pi


def _shown(values: Tensor) -> str:
    return f"{values.flatten()[0].item():g}"
