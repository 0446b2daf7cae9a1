"""A model-free recurrent policy, trained by policy gradients over the lives of bodies (RL^2)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.methods.control.body_method import BodyMethod
from benchmarks.few_shot.methods.control.planning import Measure
from benchmarks.few_shot.problems.body_problem import NAMES, BodyProblem, BodyTasks
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined, run_training
from l2l_rnn.control import Body, advantages, clipped_policy_loss
from l2l_rnn.models import DynamicsModel, RecurrentPolicy

DISCOUNT, TRACE, ENTROPY = 0.97, 0.95, 1e-3
EPOCHS = 4  # updates per batch of lives


class Life(NamedTuple):
    """Lives of bodies: an experience, then an episode.

    Attributes:
        inputs: what the policy reads, `(N, S, F)`.
        actions: `(N, S, A)`.
        log_probs: of the actions, `(N, S)`.
        rewards: `(N, S)`.
        ends: whether the next state is not that of the same episode, `(N, S)`.
    """

    inputs: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    ends: Tensor


class BodyPolicy(nn.Module):
    """A recurrent policy that reads states, the last action and the last reward.

    Args:
        tasks: training bodies, whose transitions give the moments of states and rewards.
        hidden_size: hidden units.
    """

    reward_std: Tensor

    def __init__(self, tasks: BodyTasks, hidden_size: int = 64) -> None:
        super().__init__()
        body = tasks.bodies
        self.model = DynamicsModel(body.state_size, body.action_size, angles=body.angles)
        self.model.fit_moments(*tasks.wide[:3])
        self.model.requires_grad_(False)
        self.register_buffer("reward_std", tasks.wide.rewards.std())
        self.policy = RecurrentPolicy(
            self.model.input_size + 1, body.action_size, continuous=True, hidden_size=hidden_size
        )

    def read(self, states: Tensor, last_actions: Tensor, last_rewards: Tensor) -> Tensor:
        """Return the inputs of the recurrence."""
        x = self.model.inputs(states, last_actions)
        return torch.cat([x, (last_rewards / self.reward_std).unsqueeze(-1)], -1)

    def forward(
        self, inputs: Tensor, hx: Tensor | None = None
    ) -> tuple[Distribution, Tensor, Tensor]:
        """Return the distribution of actions, the values and the state after inputs `(N, S, F)`."""
        return self.policy(inputs, hx)


@torch.no_grad()
def live(
    policy: BodyPolicy,
    body: Body,
    experience: int,
    steps: int,
    generator: torch.Generator,
    *,
    explore: bool,
    states: Tensor | None = None,
) -> Life:
    """Let bodies live: `experience` steps with restarts, then an episode of `steps` steps.

    Args:
        policy: the policy.
        body: the bodies.
        experience, steps: numbers of steps.
        generator: random number generator of starts.
        explore: whether actions are drawn; otherwise, they are the means.
        states: the states at the start of the episode; None draws them.
    """
    now, hx = body.start(generator), None
    going = body.alive(now)
    actions, rewards = now.new_zeros(len(now), body.action_size), now.new_zeros(len(now))
    parts = []
    for step in range(experience + steps):
        if step == experience:
            now = body.start(generator) if states is None else states
            going = body.alive(now)
        inputs = policy.read(now, actions, rewards)
        found, _, hx = policy(inputs.unsqueeze(1), hx)
        drawn = found.sample() if explore else found.mean
        log_probs = found.log_prob(drawn).sum(-1)[:, 0]
        actions = drawn[:, 0]
        following = body.step(now, actions)
        rewards = body.reward(now, actions, following) * going
        alive = body.alive(following)
        if step < experience:
            restart = ~alive
            end = restart | (step == experience - 1)
            now = torch.where(restart.unsqueeze(-1), body.start(generator), following)
        else:
            end = going & ~alive
            going = going & alive
            now = torch.where(going.unsqueeze(-1), following, now)
        parts.append((inputs, actions, log_probs, rewards, end))
        actions = actions.clamp(-1, 1)
    return Life(*(torch.stack(part, 1) for part in zip(*parts, strict=True)))


class PolicyMethod(BodyMethod):
    """RL^2: the policy itself acts in the experience, and remembers it in the episode.

    Trained by proximal policy optimization; each batch of lives has new bodies.

    Args:
        measure: how it is measured.
        training: settings of each training; `tasks` is the number of lives per batch.
        hidden_size: hidden units of the policy.
    """

    def __init__(
        self,
        problem: BodyProblem,
        label: str,
        *,
        measure: Measure,
        training: Training,
        hidden_size: int = 64,
    ) -> None:
        super().__init__(problem, label, measure=measure)
        self.training, self.hidden_size = training, hidden_size
        self.policies: dict[str, BodyPolicy] = {}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {f"{cls.__name__} {options} {name}": options["training"] for name in NAMES}

    def train(self) -> History:
        histories = []
        for name in self.problem.names:
            tasks = self.problem.train_bodies[name]
            policy = BodyPolicy(tasks, self.hidden_size).to(self.problem.device)
            self.policies[name] = policy
            histories.append(self.fit(name, tasks, policy))
        return combined(histories)

    def fit(self, name: str, tasks: BodyTasks, policy: BodyPolicy) -> History:
        """Train the policy of one kind of bodies."""
        generator = self.problem.generator("policy", name)
        batch: dict[str, Any] = {}

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            if step % EPOCHS == 0:
                chosen = torch.randperm(len(tasks.wide.rewards), generator=generator)
                body = tasks.bodies[chosen[: self.training.tasks]]
                life = self.lives(name, policy, body, generator, explore=True)
                with torch.no_grad():
                    _, values, _ = policy(life.inputs)
                gains = advantages(
                    life.rewards * (1 - DISCOUNT) / policy.reward_std,
                    values,
                    life.ends,
                    discount=DISCOUNT,
                    trace=TRACE,
                )
                batch.update(life=life, gains=gains, targets=values + gains)
            life, gains = batch["life"], batch["gains"]
            actions, values, _ = policy(life.inputs)
            log_probs = actions.log_prob(life.actions).sum(-1)
            loss = clipped_policy_loss(log_probs, life.log_probs, gains)
            loss = loss + (values - batch["targets"]).square().mean()
            return loss - ENTROPY * actions.entropy().mean(), life.rewards.sum(-1).mean()

        def validate() -> float:
            found = self.problem.tasks(name, "validation", self.training.validation_tasks)
            seeded = self.problem.generator("policy validation", name)
            life = self.lives(name, policy, found.bodies, seeded, explore=False)
            episode = life.rewards[:, self.problem.steps(name) :]
            return episode.sum(-1).mean().item()

        return run_training(
            policy,
            self.training,
            loss_of_step,
            validate,
            label=f"{self.label}, {name}",
            tasks_per_step=self.training.tasks,
        )

    def lives(
        self,
        name: str,
        policy: BodyPolicy,
        body: Body,
        generator: torch.Generator,
        *,
        explore: bool,
        states: Tensor | None = None,
    ) -> Life:
        """Let bodies live, as in the experiment."""
        steps = body.steps if self.measure.steps is None else self.measure.steps
        experience = (
            min(self.problem.steps(name), steps) if self.measure.steps else self.problem.steps(name)
        )
        return live(policy, body, experience, steps, generator, explore=explore, states=states)

    def episode_returns(self, column: Experience) -> Tensor:
        problem = self.problem
        bodies = problem.tasks(column.body, "test", problem.test_tasks).bodies
        states = bodies.start(problem.generator("episode", column.body))
        generator = problem.generator("policy test", column.body)
        policy = self.policies[column.body]
        life = self.lives(column.body, policy, bodies, generator, explore=False, states=states)
        steps = bodies.steps if self.measure.steps is None else self.measure.steps
        return life.rewards[:, -steps:].sum(-1)
