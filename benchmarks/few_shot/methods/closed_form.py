"""A recurrent encoder that is meta-learned with a linear head in closed form."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmarks.few_shot.methods.episodic import EpisodicMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.training import History
from l2l_rnn.algorithms import LRD2, R2D2

HEADS: dict[str, Any] = {"ridge": R2D2, "logistic": LRD2}


class ClosedFormMethod(EpisodicMethod):
    """Meta-learns features that classify the queries by a linear head of the support set.

    The parameters of the head, such as its regularization, are meta-learned with the encoder.

    Args:
        head: the head, `"ridge"` (R2D2) or `"logistic"` (LRD2).
        head_options: options of the learner, such as its initial `regularization`.
        episodic: options of `EpisodicMethod`.
    """

    kind = "closed form"

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        head: str = "ridge",
        head_options: dict[str, Any] | None = None,
        **episodic: Any,
    ) -> None:
        super().__init__(problem, label, **episodic)
        self.head, self.head_options = head, head_options or {}

    @classmethod
    def key(cls, options: dict[str, Any], number: int) -> str:
        head, head_options = options.get("head", "ridge"), options.get("head_options") or {}
        return f"{super().key(options, number)} {head} {head_options}"

    def train(self) -> History:
        head = {"head": self.head, "head_options": self.head_options}
        self.learner, history = self.member({**self.training_options, **head}, 0, self.label)
        return history

    def make(self, encoder: nn.Module) -> nn.Module:
        learner: nn.Module = HEADS[self.head](encoder, self.problem.spec.ways, **self.head_options)
        return learner

    def learner_of(self, made: nn.Module) -> Any:
        return made

    def episode_learner(self, made: Any, tasks: int) -> tuple[nn.Module, Any]:
        learner = made.clone(tasks=tasks)
        learner.module = nn.Identity()
        return made.module, learner
