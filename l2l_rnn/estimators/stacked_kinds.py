"""How learners of token counts, and pools of learners, serve the examples of a user."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from l2l_rnn.algorithms import ProtoNet, StackedLearner, TfIdfLearner
from l2l_rnn.algorithms.labels import mask_absent
from l2l_rnn.estimators.learner_kinds import Reading, SupportKind, probable


class TfIdfKind(SupportKind):
    """The documents of a user, which are compared by their TF-IDF weights."""

    def distances(self, learner: TfIdfLearner, x: Tensor, support: Tensor) -> Tensor:
        other = self.learner.clone()
        none = torch.zeros(len(support), dtype=torch.int64, device=support.device)
        other.write(support, none)
        return 1 - other.similarities(x)


class StackedKind(SupportKind):
    """The support set of a user, of which every member makes a classifier.

    The first member with a `GaussianPrior`, if there is one, says how unusual an input is.
    """

    def read(self, learner: StackedLearner, x: Tensor, present: Tensor) -> Reading:
        with torch.no_grad():
            vectors = learner.encoded(x)
            scores = learner.scored(vectors, x)
            place = self._with_prior()
            if place is None:
                return probable(scores, present)
            member: Any = learner.adapted_members()[place]
            own = member.encoded(vectors)  # the member may use a part of them
            own, sums = member.centered(own, member._sums, member._counts)
            nothing = torch.zeros_like(sums[..., :1, :])
            new = member.prior(own, nothing, nothing[..., :1]).squeeze(-1)
            known = mask_absent(member.prior(own, sums, member._counts), present)
        return Reading(mask_absent(scores, present), new - known.logsumexp(-1))

    def unknown(self, unusual: Tensor) -> Tensor:
        return super().unknown(unusual) if self._with_prior() is None else unusual.sigmoid()

    def shared(self, learner: StackedLearner) -> StackedLearner:
        if learner.tasks is None:
            names = ("module", "vector_learners", "input_learners", "pool")
            learner._modules |= {name: self.learner._modules[name] for name in names}
        return learner

    def _with_prior(self) -> int | None:
        """Return the place of the first vector learner with a prior."""
        for place, member in enumerate(self.learner.vector_learners):
            if isinstance(member, ProtoNet) and member.prior is not None:
                return place
        return None
