"""Learners that solve for a linear regression on support vectors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.inner_loop.checks import no_outputs_error
from l2l_rnn.algorithms.regression.posterior import Support
from l2l_rnn.algorithms.regression.targets import check_targets, read_targets
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.losses import check_mask


class RegressionLearner(SupportHolder):
    """A learner that keeps support vectors and targets, and predicts means. Not for direct use.

    Args:
        model: the encoder.
        outputs: `D`, numbers in a target.
        features: the shape of the features, `(E,)`, or `(K, E)` with components.
        noise: initial value of each noise variance.
        per_step: whether a row is a step instead of a sequence.
        discount: the weight of a row relative to the next one.
    """

    kept = ("vectors", "targets", "gram", "moments")
    described = "vectors (…, B, E) and targets (…, B, D) of a support set, or their sums"

    prior_mean: nn.Parameter
    log_noise: nn.Parameter
    keeps_rows: ClassVar[bool] = False  # also if there are more rows than features

    def __init__(
        self,
        model: nn.Module,
        outputs: int,
        features: tuple[int, ...],
        *,
        noise: float,
        per_step: bool,
        discount: float,
    ) -> None:
        super().__init__(model)
        who = type(self).__name__
        self.outputs = check_int(who, "outputs", outputs)
        self._size = math.prod(features)
        variance = check_number(who, "noise", noise, above=0)
        self.per_step = bool(per_step)
        self.discount = check_number(who, "discount", discount, above=0, most=1)
        self._learn("prior_mean", torch.zeros(*features, self.outputs))
        self._learn("log_noise", torch.full((self.outputs,), math.log(variance)))

    @property
    @abstractmethod
    def posterior(self) -> Any:
        """What the support set tells of the weights; without one, their prior."""

    @abstractmethod
    def _means(self, vectors: Tensor, posterior: Any) -> Tensor:
        """Return the predictions for vectors, given the posterior."""

    def forward(self, x: Tensor) -> Tensor:
        vectors = self._vectors_of(type(self).__name__, x)
        means = self._means(vectors, self.posterior)
        if torch.is_grad_enabled() and not means.requires_grad:
            means.requires_grad_()  # every parameter is frozen; adapt differentiates by the outputs
        self._last = (vectors, means) if torch.is_grad_enabled() else None
        return means

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        """Add sequences with their targets to the support set.

        Args:
            x: support sequences.
            y: their targets.
            mask: False where a row is padding, which is left out, whatever its values; None if
                there is no padding. With `per_step`, a row is a step.

        Shapes:
            x `(…, B, …)`, y `(…, B, D)`, mask `(…, B)`; with `per_step` y `(…, B, S, D)`, mask
            `(…, B, S)`.

        Raises:
            ArgumentTypeError: y is not a tensor of real numbers, or the mask not a bool tensor.
            ShapeError: y or the mask does not fit x, or x does not fit the support set.
            AdaptationError: a vector or a target that is not padding is NaN or infinite. The
                learner is then unchanged.
        """
        who = f"{type(self).__name__}.write"
        vectors = self._vectors_of(who, x)
        y = check_targets(who, y, vectors, self.outputs)
        if mask is not None:
            check_mask(who, mask, vectors.shape[:-1])
        self._bind(who, vectors, y, mask)

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        """Add the sequences of the last forward call to the support set.

        Args:
            loss: a squared error of the last outputs, which reveals their targets: a scalar or
                `(N,)`, summed or averaged over rows, as `torch.nn.functional.mse_loss` and
                `functional.mean_squared_error` compute it. Rows that do not enter it are padding.
            mask: as in `write`.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            AdaptationError: the learner was not called since the last write, or the loss does not
                depend on its outputs, is not finite or not a squared error.
        """
        who = f"{type(self).__name__}.adapt"
        if self._last is None:
            raise no_outputs_error(who)
        vectors, means = self._last
        targets, counted = read_targets(who, loss, means)
        if mask is not None:
            check_mask(who, mask, vectors.shape[:-1])
            counted = counted & mask
        self._bind(who, vectors, targets, counted)

    def _bind(self, who: str, vectors: Tensor, targets: Tensor, mask: Tensor | None) -> None:
        """Add vectors `(…, B, E)` or `(…, B, S, E)` with their targets."""
        phi, y = self._rows(vectors), self._rows(targets)
        rows = phi.new_ones(*phi.shape[:-1], 1)
        if mask is not None:
            rows = mask.reshape(rows.shape).to(rows)
            phi, y = phi.masked_fill(rows == 0, 0), y.masked_fill(rows == 0, 0)
        held = self._adaptation()
        if held:
            self._check_axes(who, phi, held)
        self._check_finite(who, "support vectors", phi)
        self._check_finite(who, "targets", y)
        if self.discount < 1:
            later = rows.flip(-2).cumsum(-2).flip(-2) - rows  # rows that come after a row
            weight = (self.discount**later).sqrt()
            phi, y = weight * phi, weight * y
            decay = self.discount ** rows.sum(-2, keepdim=True)
            of_rows = {"vectors": decay.sqrt(), "targets": decay.sqrt()}
            held = {name: value * of_rows.get(name, decay) for name, value in held.items()}
        if "vectors" in held:
            phi = torch.cat([held["vectors"].to(phi.dtype), phi], -2)
            y = torch.cat([held["targets"].to(y.dtype), y], -2)
        few = phi.shape[-2] <= phi.shape[-1]
        if self.keeps_rows or ("gram" not in held and few):
            self._hold({"vectors": phi, "targets": y})
        else:
            gram, moments = Support.of({**held, "vectors": phi, "targets": y}).totals()
            self._hold({"gram": gram, "moments": moments})

    def _vectors_of(self, who: str, x: Tensor) -> Tensor:
        vectors = self.encoded(x)
        axes = 3 if self.per_step else 2
        shape = "(…, B, S, E)" if self.per_step else "(…, B, E)"
        if vectors.dim() not in (axes, axes + 1) or vectors.shape[-1] != self._size:
            raise ShapeError(
                f"{who}: the model must return vectors {shape} with E={self._size}, got "
                f"{tuple(vectors.shape)}; set features= and per_step= for this model"
            )
        held = self._adaptation()
        if held:
            self._check_axes(who, self._rows(vectors), held)
        return vectors

    def _rows(self, values: Tensor) -> Tensor:
        """Return all steps of all sequences as rows: `(…, B, S, n)` -> `(…, B S, n)`."""
        return values.flatten(-3, -2) if self.per_step else values

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        if not saved:
            self.reset()
            return
        kinds = {"vectors", "targets"}, {"gram", "moments"}, set(self.kept)
        sizes = {"vectors": self._size, "gram": self._size}
        fits = set(saved) in kinds and all(
            value.shape[-1] == sizes.get(name, self.outputs) for name, value in saved.items()
        )
        self._check_kind(who, saved, fits)
        self._take(saved)
        for name in ("gram", "moments"):  # sums keep their precision
            if name in saved:
                setattr(self, f"_{name}", saved[name].to(getattr(self, f"_{name}").device))
