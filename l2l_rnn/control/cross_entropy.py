"""Model-predictive control by the cross-entropy method, for one body or many at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_number, check_tensor
from l2l_rnn.errors import AdaptationError, ShapeError

Step = Callable[[Tensor, Tensor], Tensor]
Reward = Callable[[Tensor, Tensor, Tensor], Tensor]


class CrossEntropyPlanner:
    """Choose actions by planning with a model of the dynamics.

    In each call of `plan`, K candidate sequences of H actions are drawn from a Gaussian and
    simulated, and the Gaussian is fitted to the best ones, several times. The first action of the
    best sequence found is returned. The next call begins with the rest of the plan (a warm start).
    Candidates and bodies are batches: all steps of all candidates of all bodies take H calls of the
    model per iteration.

    As in iCEM, the noise is correlated over time, the best candidates are simulated again in the
    next iteration, and the mean is a candidate itself.

    Args:
        reward: computes the reward `(…)` of states, actions and next states, such as `body.reward`.
        action_size: `A`, the number of actions, which are in [-1, 1].
        alive: returns whether an episode goes on in given states, `(…)` bool, such as `body.alive`;
            rewards after its end count 0. None if episodes do not end.
        horizon: `H`, steps of a plan.
        candidates: `K`, sequences per iteration.
        iterations: how often the Gaussian is fitted.
        elites: number of best candidates to which it is fitted.
        std: initial standard deviation of the actions.
        correlation: correlation of the noise of neighboring steps.
        generator: random number generator on the CPU; None uses torch's global one.

    Attributes:
        mean: the present plan, `(…, H, A)`; None before the first call and after `reset`.

    Raises:
        ArgumentError: a number is out of range.

    Example:
        >>> from l2l_rnn.control import Pendulum
        >>> bodies = Pendulum.draw(5)
        >>> planner = CrossEntropyPlanner(bodies.reward, bodies.action_size, horizon=10)
        >>> states = bodies.start()
        >>> for _ in range(3):
        ...     states = bodies.step(states, planner.plan(states, bodies.step))
        >>> states.shape
        torch.Size([5, 2])

    Source: R. Rubinstein, 1999, The Cross-Entropy Method for Combinatorial and Continuous
    Optimization; C. Pinneri et al., 2020, Sample-efficient Cross-Entropy Method for Real-time
    Planning (iCEM). Here the noise is that of an autoregressive process instead of a power law.
    """

    def __init__(
        self,
        reward: Reward,
        action_size: int,
        *,
        alive: Callable[[Tensor], Tensor] | None = None,
        horizon: int = 15,
        candidates: int = 40,
        iterations: int = 3,
        elites: int = 5,
        std: float = 0.6,
        correlation: float = 0.8,
        generator: Generator | None = None,
    ) -> None:
        who = "CrossEntropyPlanner"
        self.reward, self.alive, self.generator = reward, alive, generator
        self.action_size = check_int(who, "action_size", action_size)
        self.horizon = check_int(who, "horizon", horizon)
        self.candidates = check_int(who, "candidates", candidates, least=2)
        self.iterations = check_int(who, "iterations", iterations)
        fix = "it is at most candidates - 1"
        self.elites = check_int(who, "elites", elites, most=self.candidates - 1, fix=fix)
        self.std = check_number(who, "std", std, above=0)
        self.correlation = check_number(who, "correlation", correlation, least=0, below=1)
        steps = torch.arange(self.horizon)
        matrix = self.correlation ** (steps.unsqueeze(0) - steps.unsqueeze(1)).abs().double()
        self._factor = torch.linalg.cholesky(matrix)
        self.mean: Tensor | None = None

    def reset(self) -> None:
        """Forget the plan, at the beginning of an episode."""
        self.mean = None

    @torch.no_grad()
    def plan(self, states: Tensor, step: Step) -> Tensor:
        """Return the actions for these states, `(…, A)`.

        Args:
            states: the present states, `(…, state_size)`.
            step: computes the next states `(…, K, state_size)` from states of this shape and
                actions `(…, K, A)`, such as `body.step` or `dynamics.stepper(learner)`.

        Raises:
            ShapeError: the leading axes are not those of the plan; call `reset` first.
            AdaptationError: the model predicts no finite reward for any candidate.
        """
        check_tensor("CrossEntropyPlanner.plan", "states", states)
        lead = states.shape[:-1]
        size = (*lead, self.horizon, self.action_size)
        mean = states.new_zeros(size) if self.mean is None else self.mean
        if mean.shape != size:
            raise ShapeError(
                "CrossEntropyPlanner.plan: states must have the leading axes of the plan, "
                f"{tuple(mean.shape[:-2])}, got {tuple(lead)}; call reset() first"
            )
        std = torch.full_like(mean, self.std)
        kept = mean.unsqueeze(-3)  # candidates of the last iteration
        best = mean
        for _ in range(self.iterations):
            drawn = self._drawn(mean, std, self.candidates - kept.shape[-3])
            sequences = torch.cat([kept, drawn], -3)
            returns = self._returns(states, sequences, step)
            chosen = returns.topk(self.elites, -1).indices[..., None, None]
            elite = sequences.take_along_dim(chosen, -3)
            best, mean, std = elite[..., 0, :, :], elite.mean(-3), elite.std(-3, correction=0)
            kept = torch.cat([elite[..., :-1, :, :], mean.unsqueeze(-3)], -3)
        self.mean = torch.cat([best[..., 1:, :], best[..., -1:, :]], -2)
        return best[..., 0, :]

    def _drawn(self, mean: Tensor, std: Tensor, count: int) -> Tensor:
        """Draw candidates `(…, count, H, A)`."""
        shape = (*mean.shape[:-2], count, *mean.shape[-2:])
        noise = torch.randn(shape, generator=self.generator).to(mean)
        noise = self._factor.to(mean) @ noise
        return (mean.unsqueeze(-3) + std.unsqueeze(-3) * noise).clamp(-1, 1)

    def _returns(self, states: Tensor, sequences: Tensor, step: Step) -> Tensor:
        """Compute the return of each candidate, `(…, K)`."""
        shape = (*sequences.shape[:-2], states.shape[-1])
        now = states.unsqueeze(-2).expand(shape)
        total: Tensor | float = 0.0
        going: Tensor | None = None
        for actions in sequences.unbind(-2):
            following = step(now, actions)
            reward = self.reward(now, actions, following)
            total = total + (reward if going is None else reward * going)
            if self.alive is not None:
                alive = self.alive(following)
                going = alive if going is None else going & alive
            now = following
        returns = torch.as_tensor(total).nan_to_num(-torch.inf, posinf=-torch.inf)
        if returns.isneginf().all(-1).any():
            raise AdaptationError(
                "CrossEntropyPlanner.plan: the model must predict a finite reward for a candidate, "
                "got none for some body; check the model, or keep its predictions in a range"
            )
        return returns
