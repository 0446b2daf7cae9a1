"""The nearest neighbor behind `clone()` and `adapt()`, by Euclidean distance or by time warping."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.distances import squared_distances
from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.warping import dtw

_LEAST = 1e-6  # added to squared distances, in units of their mean


@configurable
class NearestNeighbor(SupportLearner):
    """Classify by the class of the nearest support sequence.

    `score_c = -1/2 log min_i |f(x) - f(x_i)|^2` over the support sequences of class c. The
    logarithm makes the softmax a power of the ratios of distances, whatever their unit, which is
    what a `StackedLearner` needs to weight it.

    `write(x, y)` adds labeled sequences; `adapt(loss)` does the same in an unchanged learn2learn
    script. Neither changes the encoder. With `window`, the distance is that of dynamic time
    warping, which has no gradients.

    Args:
        model: `f`, an encoder of sequences, such as `models.ResampledSeries` or `nn.Identity()`.
        ways: `C`, the number of classes.
        window: None for the Euclidean distance of vectors; or the Sakoe-Chiba band of dynamic time
            warping as a fraction of the series, from 0 to 1, if vectors are series of one channel.

    A class without support sequences is never predicted, as in `ProtoNet`.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis.

    Raises:
        ArgumentError: `ways` is not a positive integer, or `window` is not from 0 to 1.

    Example:
        >>> learner = NearestNeighbor(nn.Identity(), ways=2).clone()
        >>> learner.write(torch.tensor([[0.0], [3.0], [4.0]]), torch.tensor([0, 1, 1]))
        >>> learner(torch.tensor([[1.0], [2.9]])).argmax(-1)
        tensor([0, 1])

    Source: T. Cover and P. Hart, 1967, Nearest Neighbor Pattern Classification; for the warping,
    see `functional.dtw`.
    """

    kept: ClassVar[tuple[str, ...]] = ("vectors", "members")
    described: ClassVar[str] = "vectors (…, B, E) and one-hot rows (…, B, C) of a support set"

    _vectors: Tensor | None
    _members: Tensor | None

    def __init__(self, model: nn.Module, ways: int, window: float | None = None) -> None:
        super().__init__(model, ways)
        if window is not None:
            window = check_number("NearestNeighbor", "window", window, least=0, most=1)
        self.window = window

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        if self._vectors is not None and self._members is not None:
            vectors = torch.cat([self._vectors, vectors], -2)
            members = torch.cat([self._members, members], -2)
        return {"vectors": vectors, "members": members}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        held = self._adaptation()
        members: Any = held["members"] > 0  # (…, B, C)
        distances = self._distances(vectors, held["vectors"])  # (…, Q, B)
        filled = members.any(-1).unsqueeze(-2)  # not padding
        distances = distances.masked_fill(~filled, torch.inf)
        least = torch.where(members.unsqueeze(-3), distances.unsqueeze(-1), torch.inf).amin(-2)
        finite = distances.detach().where(filled, 0).sum(-1) / filled.sum(-1).clamp_min(1)
        present = members.any(-2)
        least = torch.where(present.unsqueeze(-2), least, 1)  # their scores are masked
        scale = finite.clamp_min(torch.finfo(vectors.dtype).tiny).unsqueeze(-1)
        return -(least / scale + _LEAST).log() / 2, present

    def _distances(self, vectors: Tensor, support: Tensor) -> Tensor:
        if self.window is None:
            return squared_distances(vectors, support)
        with outside_inference_mode(), torch.no_grad():
            lead = (*vectors.shape[:-1], support.shape[-2])
            x = vectors.unsqueeze(-2).expand(*lead, -1).flatten(0, -2)
            y = support.unsqueeze(-3).expand(*lead, -1).flatten(0, -2)
            found = dtw(x.unsqueeze(-1), y.unsqueeze(-1), self.window)
        # Zero times the vectors, so that a loss has a graph from which labels can be read.
        return found.reshape(lead) + 0 * vectors.sum(-1, keepdim=True)

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["vectors"].shape[:-1] == saved["members"].shape[:-1]

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["members"].shape[-1]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        members = saved["members"]
        return {**saved, "members": F.pad(members, (0, ways - members.shape[-1]))}
