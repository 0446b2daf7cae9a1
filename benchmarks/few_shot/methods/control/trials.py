"""Methods for trials in unknown tasks: known policies, and a recurrent policy (RL^2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.trial_problem import GridProblem, TrialProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined, run_training
from l2l_rnn.control import (
    BANDIT_POLICIES,
    Environment,
    SystematicSweep,
    Trial,
    advantages,
    clipped_policy_loss,
    run_trial,
)
from l2l_rnn.models import RecurrentPolicy

EPOCHS = 4  # updates per batch of trials
SCALES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of the bonus of UCB1, tried on validation tasks
VALIDATION = 1000  # tasks for this choice


class TrialMethod(Method):
    """A method that is measured by the trials of its policy."""

    problem: TrialProblem

    @abstractmethod
    def trial(self, kind: str, environment: Environment, generator: Generator) -> Trial:
        """Run a trial of each task."""

    def evaluate(self, column: Any) -> Tensor:
        problem, kind = self.problem, self.problem.kind(column)
        tasks = problem.tasks(kind, "test", problem.test_tasks)
        trial = self.trial(kind, tasks, problem.generator(kind, "test trials"))
        return problem.scores(column, tasks, trial).cpu()


class BanditMethod(TrialMethod):
    """A policy of `l2l_rnn.control`.

    Args:
        policy: name of the policy in `BANDIT_POLICIES`.
        options: options of the policy.
    """

    def __init__(self, problem: TrialProblem, label: str, *, policy: str, **options: Any) -> None:
        super().__init__(problem, label)
        self.policy, self.options = BANDIT_POLICIES[policy], options

    def trial(self, kind: str, environment: Environment, generator: Generator) -> Trial:
        policy = self.policy(
            environment.action_size, environment.steps, generator=generator, **self.options
        )
        return run_trial(environment, policy, generator=generator)


class TunedUCB(BanditMethod):
    """UCB1 whose bonus is scaled by the best factor on validation tasks."""

    def __init__(self, problem: TrialProblem, label: str) -> None:
        super().__init__(problem, label, policy="ucb1")
        self.scales: dict[str, float] = {}

    def evaluate(self, column: Any) -> Tensor:
        kind = self.problem.kind(column)
        tasks = self.problem.tasks(kind, "validation", VALIDATION)
        means = {}
        for scale in SCALES:
            self.options = {"scale": scale}
            trial = self.trial(kind, tasks, self.problem.generator(kind, "validation trials"))
            means[scale] = self.problem.scores(column, tasks, trial).mean().item()
        best = max(means, key=lambda scale: means[scale])
        self.options, self.scales[column.name] = {"scale": best}, best
        return super().evaluate(column)

    def details(self) -> dict[str, Any]:
        return {"scales": self.scales}


class RandomWalk(TrialMethod):
    """Random steps in the grid."""

    problem: GridProblem

    def trial(self, kind: str, environment: Environment, generator: Generator) -> Trial:
        def policy(seen: Tensor) -> Tensor:
            drawn = torch.randint(environment.action_size, environment.lead, generator=generator)
            return drawn.to(seen.device)

        return run_trial(environment, policy)


class Sweep(TrialMethod):
    """A walk through all cells until the goal is found, and shortest paths to it afterwards."""

    problem: GridProblem

    def trial(self, kind: str, environment: Any, generator: Generator) -> Trial:
        return run_trial(environment, SystematicSweep(environment))


class Remembering:
    """A recurrent policy that acts in a trial and keeps the state of its recurrence.

    Args:
        policy: the policy.
        generator: draws actions; None takes the most likely ones.

    Attributes:
        log_probs: of the actions, one tensor `(N,)` per step.
    """

    def __init__(self, policy: RecurrentPolicy, generator: Generator | None = None) -> None:
        self.policy, self.generator, self.state = policy, generator, None
        self.log_probs: list[Tensor] = []

    def __call__(self, seen: Tensor) -> Tensor:
        found, _, self.state = self.policy(seen.unsqueeze(1), self.state)
        logits = found.logits[:, 0]
        if self.generator is None:
            return logits.argmax(-1)
        noise = torch.rand(logits.shape, generator=self.generator).to(logits)
        actions = (logits - (-noise.clamp(1e-9, 1 - 1e-6).log()).log()).argmax(-1)  # Gumbel
        self.log_probs.append(logits.gather(-1, actions.unsqueeze(-1))[:, 0])
        return actions


class TrialPolicy(TrialMethod):
    """RL^2: a recurrent policy, trained by proximal policy optimization over trials.

    Args:
        trainings: settings of the training for each kind of tasks; `tasks` is the number of trials
            per batch, each in a new task.
        hidden_size: hidden units of the policy.
        discount, trace: of the advantages.
        entropy: weight of the entropy of the actions at the start; it falls linearly to 0.
    """

    def __init__(
        self,
        problem: TrialProblem,
        label: str,
        *,
        trainings: dict[str, Training],
        hidden_size: int = 64,
        discount: float = 0.99,
        trace: float = 0.9,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(problem, label)
        self.settings, self.hidden_size = trainings, hidden_size
        self.discount, self.trace, self.entropy = discount, trace, entropy
        self.policies: dict[str, RecurrentPolicy] = {}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {f"{cls.__name__} {kind}": made for kind, made in options["trainings"].items()}

    def train(self) -> History:
        return combined([self.fit(kind, self.settings[kind]) for kind in self.problem.kinds])

    def fit(self, kind: str, training: Training) -> History:
        """Train the policy for one kind of tasks."""
        problem, generator = self.problem, self.problem.generator("policy", kind)
        sizes = problem.draw(kind, 1, problem.generator("sizes"))
        policy = RecurrentPolicy(
            sizes.observation_size, sizes.action_size, hidden_size=self.hidden_size
        ).to(problem.device)
        self.policies[kind] = policy
        batch: dict[str, Any] = {"scale": None}

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            if step % EPOCHS == 0:
                batch.update(self.batch(kind, policy, training.tasks, generator, batch["scale"]))
            trial, mask = batch["trial"], batch["trial"].going
            found, values, _ = policy(trial.observations)
            log_probs = found.log_prob(trial.actions)
            loss = clipped_policy_loss(log_probs, batch["log_probs"], batch["gains"], mask=mask)
            errors = (values - batch["targets"])[mask]
            bonus = self.entropy * max(0.0, 1 - progress) * found.entropy()[mask].mean()
            return loss + 0.5 * errors.square().mean() - bonus, batch["score"]

        def validate() -> float:
            tasks = problem.tasks(kind, "validation", training.validation_tasks)
            trial = self.trial(kind, tasks, problem.generator(kind, "validation trials"))
            return tasks.training_rewards(trial.actions, trial.rewards).sum(-1).mean().item()

        return run_training(
            policy,
            training,
            loss_of_step,
            validate,
            label=f"{self.label}, {kind}",
            tasks_per_step=training.tasks,
        )

    @torch.no_grad()
    def batch(
        self,
        kind: str,
        policy: RecurrentPolicy,
        count: int,
        generator: Generator,
        scale: Tensor | None,
    ) -> dict[str, Any]:
        """Return trials in new tasks, with the advantages and the targets of the values.

        `scale` is the mean return of the first batch; with it, all values are of the size of 1.
        """
        tasks = self.problem.draw(kind, count, generator)
        acting = Remembering(policy, generator)
        trial = run_trial(tasks, acting, generator=generator)
        rewards = tasks.training_rewards(trial.actions, trial.rewards)
        score = rewards.sum(-1).mean()
        scale = score.abs() if scale is None else scale
        rewards = rewards / scale
        over = ~trial.going
        over[:, :-1] |= ~trial.going[:, 1:]
        over[:, -1] = True  # values never go beyond the last step of a trial
        _, values, _ = policy(trial.observations)
        gains = advantages(rewards, values, over, discount=self.discount, trace=self.trace)
        return {
            "trial": trial,
            "log_probs": torch.stack(acting.log_probs, 1),
            "gains": gains,
            "targets": values + gains,
            "score": score,
            "scale": scale,
        }

    def trial(self, kind: str, environment: Environment, generator: Generator) -> Trial:
        acting: Callable[[Tensor], Tensor] = Remembering(self.policies[kind])
        return run_trial(environment, acting, generator=generator)
