"""Methods for bodies: a model of the dynamics is trained, adapted, and used to predict or plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.methods.control.learners import (
    ALPaCADynamics,
    Dynamics,
    MAMLDynamics,
    MemoryDynamics,
    QuadraticRegression,
    RecurrentDynamics,
    fine_tuned,
)
from benchmarks.few_shot.methods.control.planning import (
    Adapted,
    Measure,
    TrueModel,
    limits,
    one_step_error,
    returns,
    rollout_errors,
    share,
)
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.body_problem import NAMES, BodyProblem, BodyTasks
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined, run_training
from l2l_rnn.control import Transitions

QUERIES = 50  # transitions of a body in the loss of a training step
FEWEST = 5  # transitions that a body in training adapts to, at least


class BodyMethod(Method):
    """A method that is measured on bodies.

    Args:
        measure: how it is measured.

    Attributes:
        raw: mean return of each column, if the experiment is about control.
    """

    problem: BodyProblem

    def __init__(self, problem: BodyProblem, label: str, *, measure: Measure) -> None:
        super().__init__(problem, label)
        self.measure = measure
        self.raw: dict[str, Any] = {}

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted | None:
        """Return the model of test bodies after their experience.

        The default is None, for random actions.
        """
        return None

    def episode_returns(self, column: Experience) -> Tensor:
        """Compute the return of each test body, `(N,)`."""
        tasks = self.problem.tasks(column.body, "test", self.problem.test_tasks)
        return returns(self.problem, column, self.measure, self.model(column, tasks))

    def evaluate(self, column: Experience) -> Tensor:
        if self.problem.spec.lower_is_better:
            tasks = self.problem.tasks(column.body, "test", self.problem.test_tasks)
            model: Any = self.model(column, _first(tasks, column.transitions))
            return rollout_errors(self.problem, tasks, self.measure, model.step).cpu()
        values = self.episode_returns(column).cpu()
        least, most = limits(self.problem, column, self.measure)
        self.raw[column.name] = {
            "return": values.mean().item(),
            "random actions": least,
            "true model": most,
        }
        return share(values, least, most)

    def details(self) -> dict[str, Any]:
        return {"returns": self.raw} if self.raw else {}


class RandomControl(BodyMethod):
    """Random actions."""


class TrueControl(BodyMethod):
    """Plans with the physics of each body."""

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted:
        return TrueModel(tasks.bodies)


class NoChange(BodyMethod):
    """Predicts that the state stays as it is."""

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted:
        return _Still()


class _Still:
    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        pass


class QuadraticControl(BodyMethod):
    """Ridge regression on quadratic features of a body's own transitions."""

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted:
        train = self.problem.train_bodies[column.body]
        return QuadraticRegression(Dynamics(train, {}).model, tasks.experience)


class TrainedMethod(BodyMethod):
    """Trains a network for each kind of body on many bodies.

    Args:
        measure: how it is measured.
        network: options of `DynamicsModel`.
        training: settings of each training.
        options: options of the learner.
        online: whether the model goes on adapting in the episode.
    """

    learner: ClassVar[type[Dynamics]] = Dynamics

    def __init__(
        self,
        problem: BodyProblem,
        label: str,
        *,
        measure: Measure,
        network: dict[str, Any],
        training: Training,
        options: dict[str, Any] | None = None,
        online: bool = False,
    ) -> None:
        super().__init__(problem, label, measure=measure)
        self.network, self.training, self.online = network, training, online
        self.options = options or {}
        self.networks: dict[str, Dynamics] = {}

    @classmethod
    def key(cls, options: dict[str, Any], name: str) -> str:
        """Return the key of a training."""
        settings = [options["network"], options["training"], options.get("options") or {}]
        return f"{cls.learner.__name__} {settings} {name}"

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {cls.key(options, name): options["training"] for name in NAMES}

    def train(self) -> History:
        own = {"network": self.network, "training": self.training, "options": self.options}
        histories = []
        for name in self.problem.names:
            train = self.problem.train_bodies[name]

            def make(train: BodyTasks = train) -> Dynamics:
                return self.learner(train, self.network, **self.options)

            def fit(network: Dynamics, name: str = name) -> History:
                return self.fit(name, network)

            found, history = self.problem.shared.get(self.key(own, name), make, fit)
            self.networks[name] = found
            histories.append(history)
        return combined(histories)

    def fit(self, name: str, network: Dynamics) -> History:
        """Train the network of one kind of bodies."""
        train = self.problem.train_bodies[name]
        generator = self.problem.generator("training", name)
        steps = train.experience.rewards.shape[-1]
        scale = network.model.target_std

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            chosen = torch.randperm(len(train.wide.rewards), generator=generator)
            tasks = train.some(chosen[: self.training.tasks])
            count = int(torch.randint(FEWEST, steps + 1, (), generator=generator))
            rows = torch.randperm(tasks.wide.rewards.shape[-1], generator=generator)[:QUERIES]
            query = Transitions(*(part[:, rows] for part in tasks.wide))
            loss = network.losses(tasks.experience.first(count), query).mean()
            return loss, loss.detach()

        def validate() -> float:
            network.eval()
            tasks = self.problem.tasks(name, "validation", self.training.validation_tasks)
            with torch.no_grad():
                model = network.adapted(tasks.experience)
                found = one_step_error(model.step, tasks.wide, scale).mean().item()
            network.train()
            return found

        return run_training(
            network,
            self.training,
            loss_of_step,
            validate,
            label=f"{self.label}, {name}",
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted:
        network = self.networks[column.body].eval()
        with torch.no_grad():
            model = network.adapted(tasks.experience)
        return model if self.online else Fixed(model.step)


class Fixed:
    """A model that does not adapt in an episode."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        """Do nothing."""


class UnadaptedMethod(TrainedMethod):
    """A network that does not adapt."""


class ALPaCAMethod(TrainedMethod):
    """A Bayesian linear head in closed form."""

    learner = ALPaCADynamics


class MAMLMethod(TrainedMethod):
    """Gradient steps (GrBAL)."""

    learner = MAMLDynamics


class MemoryControl(TrainedMethod):
    """Writes to a memory."""

    learner = MemoryDynamics


class RecurrentMethod(TrainedMethod):
    """A recurrence over the transitions (ReBAL)."""

    learner = RecurrentDynamics


class FineTunedMethod(UnadaptedMethod):
    """Adam's steps from the network that does not adapt.

    Args:
        steps: number of steps.
        lr: learning rate of Adam.
        **trained: as in `TrainedMethod`.
    """

    def __init__(
        self,
        problem: BodyProblem,
        label: str,
        *,
        steps: int = 100,
        lr: float = 3e-3,
        **trained: Any,
    ) -> None:
        super().__init__(problem, label, **trained)
        self.steps, self.lr = steps, lr

    def model(self, column: Experience, tasks: BodyTasks) -> Adapted:
        network = self.networks[column.body]
        return fine_tuned(network, tasks.experience, self.steps, self.lr)


def _first(tasks: BodyTasks, steps: int | None) -> BodyTasks:
    """Return the bodies with the first transitions of their experience."""
    if steps is None:
        return tasks
    return tasks._replace(experience=tasks.experience.first(steps))
