"""ALPaCA: Bayesian linear regression with a learned prior, behind `clone()` and `adapt()`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from l2l_rnn.algorithms.closed_form.heads import precise
from l2l_rnn.algorithms.closed_form.posterior import Posterior, Prior, Support, posterior
from l2l_rnn.algorithms.closed_form.regression_targets import check_targets, read_targets
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.inner_loop.checks import no_outputs_error
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.losses import check_mask


@configurable
class ALPaCA(SupportHolder):
    """Regression by Bayesian linear regression on an encoder's vectors, with a learned prior.

    `y = K^T f(x) + e` with noise `e_d ~ N(0, sigma_d^2)` and the prior
    `k_d ~ N(k0_d, sigma_d^2 P0^-1)` for the weights of output d. Given a support set with vectors
    Phi and targets Y, the prediction is normal with the mean `K^T f(x)` and the variances
    `sigma_d^2 (1 + f(x)^T P^-1 f(x))`, where `P = P0 + Phi^T Phi` and
    `K = P^-1 (P0 K0 + Phi^T Y)`. It is exact: there are no gradient steps. The encoder, K0, P0 and
    sigma are meta-learned.

    `clone()` returns a learner without a support set, which predicts by the prior.
    `write(x, y)` adds sequences with their targets. Several writes give the result of one, so the
    learner adapts online, row by row; what it holds does not grow beyond `E` rows. `adapt(loss)`
    does the same in an unchanged learn2learn script. `forward(x)` returns the mean, and
    `predictive(x)` a `torch.distributions.Normal`, whose negative log-likelihood is the usual loss
    of meta-training. `backward()` reaches all parameters, through the support and the query set.

    With a mean of zero that is not learned (`learner.prior_mean.requires_grad_(False)`), it is
    ridge regression, whose penalty is P0.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`. There is no
            intercept: append a constant feature if the vectors have none.
        outputs: `D`, numbers in a target.
        features: `E`, the size of the vectors; None takes the model's `output_size`.
        regularization: initial value of P0, times the identity.
        noise: initial value of each noise variance `sigma_d^2`.
        per_step: whether the encoder returns a vector for each step, and the targets are those of
            steps. All steps of all sequences are rows of one regression.
        discount: the weight of a row relative to the next one. Below 1, older rows count less, so
            the learner follows tasks that drift, and the order of the rows matters.

    Attributes:
        prior_mean: `K0`, `(E, D)`, learned. It starts at zero.
        prior_factor: `(E, E)`, learned: the Cholesky factor of P0, with the logarithms of its
            diagonal, below which it is read.
        log_noise: the logarithms of `sigma_d^2`, `(D,)`, learned.
        prior_precision: `P0`.
        posterior: the posterior of the weights, with `mean` `(…, E, D)`.

    The systems are solved in float64, whatever the dtype of the encoder.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, D)`, or with `per_step` `(…, B, S, …)` -> `(…, B, S, D)`.
            A leading axis `N` is the task axis: each task has its own support set, and all tasks
            share the encoder and the prior.

    Raises:
        ArgumentError: a number is out of range, or the size of the vectors is not known.

    Example:
        >>> learner = ALPaCA(nn.Linear(2, 8), outputs=1, features=8)
        >>> x, y = torch.randn(4, 10, 2), torch.randn(4, 10, 1)  # of four tasks
        >>> adapted = learner.clone(tasks=4)
        >>> adapted.write(x[:, :5], y[:, :5])
        >>> adapted(x[:, 5:]).shape, adapted.predictive(x[:, 5:]).stddev.shape
        (torch.Size([4, 5, 1]), torch.Size([4, 5, 1]))
        >>> loss = -adapted.predictive(x[:, 5:]).log_prob(y[:, 5:]).mean()
        >>> loss.backward()

    Source: J. Harrison, A. Sharma and M. Pavone, 2018, Meta-Learning Priors for Efficient Online
    Bayesian Regression, sections 3 and 4. There, the noise is known and P0 is `L L^T` with any L;
    `discount` is not in the paper.
    """

    kept = ("vectors", "targets", "gram", "moments")
    described = "vectors (…, B, E) and targets (…, B, D) of a support set, or their sums"

    prior_mean: nn.Parameter
    prior_factor: nn.Parameter
    log_noise: nn.Parameter

    def __init__(
        self,
        model: nn.Module,
        outputs: int,
        *,
        features: int | None = None,
        regularization: float = 1.0,
        noise: float = 0.1,
        per_step: bool = False,
        discount: float = 1.0,
    ) -> None:
        super().__init__(model)
        who = "ALPaCA"
        self.outputs = check_int(who, "outputs", outputs)
        fix = "pass the size of the model's vectors as features="
        size = getattr(model, "output_size", None) if features is None else features
        self.features = check_int(who, "features", size, fix=fix)
        precision = check_number(who, "regularization", regularization, above=0)
        variance = check_number(who, "noise", noise, above=0)
        self.per_step = bool(per_step)
        self.discount = check_number(who, "discount", discount, above=0, most=1)
        self._learn("prior_mean", torch.zeros(self.features, self.outputs))
        self._learn("prior_factor", math.log(precision) / 2 * torch.eye(self.features))
        self._learn("log_noise", torch.full((self.outputs,), math.log(variance)))

    @property
    def prior_precision(self) -> Tensor:
        """The precision P0 of the weights before any example, `(E, E)`."""
        root = self._prior_root()
        return root @ root.mT

    @property
    def posterior(self) -> Posterior:
        """The posterior of the weights; without a support set, the prior.

        Without gradients, it is computed once and kept.
        """
        held = self._adaptation()
        found: Posterior = self._solved_once(
            held.values(),
            lambda: posterior(
                Prior(precise(self.prior_mean), self._prior_root()),
                Support.of(held),
            ),
        )
        return found

    def forward(self, x: Tensor) -> Tensor:
        vectors = self._vectors_of("ALPaCA", x)
        means = self._means(vectors, self.posterior)
        if torch.is_grad_enabled() and not means.requires_grad:
            means.requires_grad_()  # every parameter is frozen; adapt differentiates by the outputs
        self._last = (vectors, means) if torch.is_grad_enabled() else None
        return means

    def predictive(self, x: Tensor) -> Normal:
        """Return the distribution of the targets of sequences, noise included.

        Shapes:
            x `(…, B, …)` -> a distribution of `(…, B, D)`; with `per_step` `(…, B, S, D)`.

        Example:
            >>> learner = ALPaCA(nn.Identity(), 1, features=2, noise=0.01).clone()
            >>> learner.write(torch.eye(2)[:1].expand(99, 2), torch.ones(99, 1))
            >>> stds = learner.predictive(torch.eye(2)).stddev  # the second was never seen
            >>> [round(std, 4) for std in stds.flatten().tolist()]
            [0.1005, 0.1414]
        """
        vectors = self._vectors_of("ALPaCA.predictive", x)
        found = self.posterior
        variance = precise(self.log_noise).exp() * (1 + found.spread(self._rows(vectors)))
        spread = variance.sqrt().to(vectors.dtype).reshape(*vectors.shape[:-1], self.outputs)
        return Normal(self._means(vectors, found), spread, validate_args=False)

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
        who = "ALPaCA.write"
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
        who = "ALPaCA.adapt"
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
        if "gram" not in held and phi.shape[-2] <= self.features:
            self._hold({"vectors": phi, "targets": y})
        else:
            gram, moments = Support.of({**held, "vectors": phi, "targets": y}).totals()
            self._hold({"gram": gram, "moments": moments})

    def _means(self, vectors: Tensor, found: Posterior) -> Tensor:
        rows = self._rows(vectors)
        return (rows @ found.mean.to(rows.dtype)).reshape(*vectors.shape[:-1], self.outputs)

    def _prior_root(self) -> Tensor:
        """Return the Cholesky factor of the prior precision, in float64."""
        raw = precise(self.prior_factor)
        return raw.tril(-1) + raw.diagonal().exp().diag()

    def _vectors_of(self, who: str, x: Tensor) -> Tensor:
        vectors = self.encoded(x)
        axes = 3 if self.per_step else 2
        shape = "(…, B, S, E)" if self.per_step else "(…, B, E)"
        if vectors.dim() not in (axes, axes + 1) or vectors.shape[-1] != self.features:
            raise ShapeError(
                f"{who}: the model must return vectors {shape} with E={self.features}, got "
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
        sizes = {"vectors": self.features, "gram": self.features}
        fits = set(saved) in kinds and all(
            value.shape[-1] == sizes.get(name, self.outputs) for name, value in saved.items()
        )
        self._check_kind(who, saved, fits)
        self._take(saved)
        for name in ("gram", "moments"):  # sums keep their precision
            if name in saved:
                setattr(self, f"_{name}", saved[name].to(getattr(self, f"_{name}").device))
