"""Learners of dynamics: each adapts a network to the transitions of a body in its own way."""

from __future__ import annotations

from typing import Any

import torch
from learn2learn.utils import detach_module
from torch import Tensor, nn

from benchmarks.few_shot.problems.body_problem import BodyTasks
from l2l_rnn.algorithms import MAML, ALPaCA, MAMLPlusPlus, MemoryLearner
from l2l_rnn.control import Transitions
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import DynamicsModel, MemoryModel


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of each task, `(N,)`."""
    return (outputs - targets).square().mean((-1, -2))


class Dynamics(nn.Module):
    """A dynamics model and the way it adapts. The base class does not adapt.

    Args:
        tasks: training bodies, whose transitions give the moments.
        model: options of `DynamicsModel`.
        options: options of the subclass.
    """

    cell: str | None = None

    def __init__(self, tasks: BodyTasks, model: dict[str, Any], **options: Any) -> None:
        super().__init__()
        body = tasks.bodies
        network = DynamicsModel(
            body.state_size, body.action_size, angles=body.angles, cell=self.cell, **model
        ).to(body.parameters.device)
        network.fit_moments(*tasks.wide[:3])
        self._held = (network,)  # not a submodule: the learner has its parameters
        self.learner = self.build(**options)

    @property
    def model(self) -> DynamicsModel:
        """The dynamics model."""
        return self._held[0]

    def build(self) -> Any:
        """Make the learner, which has the parameters to train."""
        return self.model

    def pairs(self, transitions: Transitions) -> tuple[Tensor, Tensor]:
        """Return the model's inputs and targets."""
        states, actions, following, _ = transitions
        return self.model.inputs(states, actions), self.model.targets(states, following)

    def losses(self, support: Transitions, query: Transitions) -> Tensor:
        """Compute the loss of each task on its query transitions after adapting, `(N,)`."""
        x, y = self.pairs(query)
        return squared_errors(self.model(x), y)

    def adapted(self, support: Transitions) -> AdaptedDynamics:
        """Adapt to the transitions of N bodies."""
        return AdaptedDynamics(self.model, self.model)


class AdaptedDynamics:
    """A dynamics model with a learner that is adapted to the bodies of N tasks.

    Args:
        model: the dynamics model.
        learner: computes outputs from inputs.
    """

    def __init__(self, model: DynamicsModel, learner: Any) -> None:
        self.model, self.learner = model, learner
        self.step = model.stepper(learner)

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        """Do nothing; subclasses adapt to the transition."""


class ALPaCADynamics(Dynamics):
    """Bayesian linear regression on the network's features, with a meta-learned prior."""

    def build(self) -> Any:
        return ALPaCA(self.model.encoder, outputs=self.model.state_size)

    def losses(self, support: Transitions, query: Transitions) -> Tensor:
        learner = self.learner.clone()
        learner.write(*self.pairs(support))
        x, y = self.pairs(query)
        return -learner.predictive(x).log_prob(y).mean((-1, -2))

    def adapted(self, support: Transitions) -> AdaptedDynamics:
        learner = self.learner.clone()
        learner.write(*self.pairs(support))
        return OnlineALPaCA(self.model, learner)


class OnlineALPaCA(AdaptedDynamics):
    """Updates the posterior with each transition."""

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        parts = (part.unsqueeze(-2) for part in (states, actions, following))
        states, actions, following = parts
        model = self.model
        self.learner.write(model.inputs(states, actions), model.targets(states, following))


class MAMLDynamics(Dynamics):
    """Gradient steps from a meta-learned initialization, as in GrBAL.

    Args:
        steps: number of gradient steps, with a learned learning rate for each and each tensor.
        lr: initial learning rate.
    """

    def build(self, steps: int = 5, lr: float = 0.05) -> Any:
        self.steps = steps
        return MAMLPlusPlus(self.model, lr, steps, max_grad_norm=10.0)

    def losses(self, support: Transitions, query: Transitions) -> Tensor:
        learner = self._adapted(self.learner.clone(tasks=len(support.states)), support)
        x, y = self.pairs(query)
        return squared_errors(learner(x), y)

    def adapted(self, support: Transitions) -> AdaptedDynamics:
        with torch.enable_grad():
            learner = self.learner.clone(tasks=len(support.states), first_order=True)
            learner = self._adapted(learner, support)
        return AdaptedDynamics(self.model, learner)

    def _adapted(self, learner: MAML, support: Transitions) -> MAML:
        x, y = self.pairs(support)
        for _ in range(self.steps):
            learner.adapt(squared_errors(learner(x), y))
        return learner


def fine_tuned(dynamics: Dynamics, support: Transitions, steps: int, lr: float) -> AdaptedDynamics:
    """Adapt a network to each body by Adam's steps on its transitions."""
    learner = MAML(dynamics.model, lr).clone(tasks=len(support.states))
    detach_module(learner.module, keep_requires_grad=True)
    optimizer = torch.optim.Adam(list(learner.module.parameters()), lr)
    x, y = dynamics.pairs(support)
    for _ in range(steps):
        optimizer.zero_grad()
        squared_errors(learner(x), y).sum().backward()
        optimizer.step()
    return AdaptedDynamics(dynamics.model, learner)


class MemoryDynamics(Dynamics):
    """Writes to an associative memory that is read with the network's features.

    Args:
        writes: number of writes of the support set.
        key_size: size of the memory's keys.
    """

    def build(self, writes: int = 3, key_size: int = 64) -> Any:
        self.writes = writes
        store = DeltaFastWeights(key_size, self.model.state_size, features="unit", gate=0.9)
        memory = MemoryModel(self.model.encoder, store, regression=True)
        return MemoryLearner(memory, in_order=True)

    def losses(self, support: Transitions, query: Transitions) -> Tensor:
        learner = self._written(support)
        x, y = self.pairs(query)
        return squared_errors(learner(x), y)

    def adapted(self, support: Transitions) -> AdaptedDynamics:
        return AdaptedDynamics(self.model, self._written(support))

    def _written(self, support: Transitions) -> MemoryLearner:
        learner = self.learner.clone(tasks=len(support.states))
        x, y = self.pairs(support)
        learner.write(x, y, self.writes)
        return learner


class RecurrentDynamics(Dynamics):
    """A recurrence reads the transitions, and its state is an input of the network (ReBAL)."""

    cell = "gru"

    def losses(self, support: Transitions, query: Transitions) -> Tensor:
        context, _ = self.model.read(*self.pairs(support))
        x, y = self.pairs(query)
        return squared_errors(self.model(x, context), y)

    def adapted(self, support: Transitions) -> AdaptedDynamics:
        return ReadingDynamics(self.model, *self.model.read(*self.pairs(support)))


class ReadingDynamics(AdaptedDynamics):
    """Reads each transition of the episode.

    Args:
        model: the dynamics model.
        context: the context of the bodies.
        state: the state of the recurrence.
    """

    def __init__(self, model: DynamicsModel, context: Tensor, state: Tensor) -> None:
        self.model, self.state = model, state
        self.step = model.stepper(None, context)

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        model, parts = self.model, (states, actions, following)
        states, actions, following = (part.unsqueeze(-2) for part in parts)
        x, y = model.inputs(states, actions), model.targets(states, following)
        context, self.state = model.read(x, y, self.state)
        self.step = model.stepper(None, context)


class QuadraticRegression:
    """Ridge regression on the products of all pairs of inputs, from the support set alone.

    Args:
        model: standardizes inputs and targets; its network is not used.
        support: transitions of the bodies.
        regularization: weight of the squared coefficients.
    """

    def __init__(
        self, model: DynamicsModel, support: Transitions, regularization: float = 0.1
    ) -> None:
        states, actions, following, _ = support
        x = self.products(model.inputs(states, actions)).double()
        y = model.targets(states, following).double()
        matrix = x.mT @ x + regularization * torch.eye(x.shape[-1], dtype=x.dtype)
        self.weight = torch.linalg.solve(matrix, x.mT @ y).float()
        self.step = model.stepper(lambda x: self.products(x) @ self.weight)

    @staticmethod
    def products(x: Tensor) -> Tensor:
        """Return 1, the inputs and their products."""
        x = torch.cat([torch.ones_like(x[..., :1]), x], -1)
        rows, columns = torch.triu_indices(x.shape[-1], x.shape[-1])
        return x[..., rows] * x[..., columns]

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        """Do nothing."""
