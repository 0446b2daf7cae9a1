"""A mixture of Bayesian linear regressions, weighted by the evidence of the support set."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from l2l_rnn.algorithms.regression.posterior import (
    Posterior,
    Prior,
    Support,
    evidence,
    posterior,
)
from l2l_rnn.algorithms.regression.regression_learner import RegressionLearner
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.affine import precise


class MixturePosterior(NamedTuple):
    """The posterior of a mixture.

    Attributes:
        components: the posterior of the weights of each component, with an axis K of components.
        log_weights: the log-probability of each component, `(…, K)`.
    """

    components: Posterior
    log_weights: Tensor


@configurable
class ALPaCAMixture(RegressionLearner):
    """Regression by a mixture of K `ALPaCA` components, each with features and a prior of its own.

    The support set gives each component a probability, `p(k | X, Y) ~ w_k p(Y | X, k)`, where the
    evidence `p(Y | X, k)` is that of its Bayesian linear regression, in closed form. The
    prediction is the mixture of the predictions of the components. So the model can depend on the
    task in ways that are not linear, such as by an unknown frequency, and still adapts exactly and
    without gradient steps.

    Its calls are those of `ALPaCA`. The encoder, the priors, the noise and the w_k are
    meta-learned, best by the likelihood of `predictive(x)`. It keeps all rows of the support set.

    Args:
        model: an encoder of sequences, whose vectors are the features of all components, one
            component after the other: `K E` numbers.
        outputs: `D`, numbers in a target.
        components: `K`.
        features: `E`, the features of a component; None divides the model's `output_size` by K.
        regularization: initial value of `sigma^2 / s^2`, the precision of the weights relative to
            the noise. It is diagonal.
        noise, per_step, discount: as in `ALPaCA`.

    Attributes:
        log_scales: the logarithms of s, the standard deviations of the weights before any example,
            `(K, E)`, learned. They are those of an output whose noise is the geometric mean; they
            do not change with the noise, so both are learned faster.
        prior_mean: the means of the weights before any example, divided by s, `(K, E, D)`, learned.
        log_noise: the logarithms of the noise variances, `(D,)`, learned, of all components.
        log_weights: the logarithms of w_k, up to a constant, `(K,)`, learned.
        posterior: the posterior, a `MixturePosterior`.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, D)`, as in `ALPaCA`.

    Raises:
        ArgumentError: a number is out of range, or the size of the vectors is not known.

    Example:
        >>> learner = ALPaCAMixture(nn.Linear(1, 12), outputs=1, components=3, features=4)
        >>> x, y = torch.randn(2, 10, 1), torch.randn(2, 10, 1)  # of two tasks
        >>> adapted = learner.clone(tasks=2)
        >>> adapted.write(x[:, :5], y[:, :5])
        >>> adapted(x[:, 5:]).shape, adapted.posterior.log_weights.shape
        (torch.Size([2, 5, 1]), torch.Size([2, 3]))
        >>> loss = -adapted.predictive(x[:, 5:]).log_prob(y[:, 5:]).mean()

    Source: the components are those of J. Harrison et al., 2018 (see `ALPaCA`); the weights are
    the comparison of models of D. MacKay, 1992, Bayesian Interpolation.
    """

    keeps_rows = True

    log_scales: nn.Parameter
    log_weights: nn.Parameter

    def __init__(
        self,
        model: nn.Module,
        outputs: int,
        components: int,
        *,
        features: int | None = None,
        regularization: float = 1.0,
        noise: float = 0.1,
        per_step: bool = False,
        discount: float = 1.0,
    ) -> None:
        who = "ALPaCAMixture"
        count = check_int(who, "components", components)
        size = features
        if size is None and isinstance(given := getattr(model, "output_size", None), int):
            size = given // count
        fix = "pass the features of a component as features="
        size = check_int(who, "features", size, fix=fix)
        precision = check_number(who, "regularization", regularization, above=0)
        options = {"noise": noise, "discount": discount}
        super().__init__(model, outputs, (count, size), per_step=per_step, **options)
        self.components, self.features = count, size
        self._learn("log_scales", torch.full((count, size), math.log(noise / precision) / 2))
        self._learn("log_weights", torch.zeros(count))

    @property
    def posterior(self) -> MixturePosterior:
        """The posterior of the components; without a support set, their priors.

        Without gradients, it is computed once and kept.
        """
        held = self._adaptation()
        found: MixturePosterior = self._solved_once(held.values(), lambda: self._compute(held))
        return found

    def predictive(self, x: Tensor) -> MixtureSameFamily:
        """Return the distribution of each target of sequences, a mixture of normal ones.

        Shapes:
            x `(…, B, …)` -> a `MixtureSameFamily` of `(…, B, D)`; with `per_step` `(…, B, S, D)`.
        """
        vectors = self._vectors_of("ALPaCAMixture.predictive", x)
        components, log_weights = self.posterior
        rows = self._split(self._rows(vectors))
        means = rows @ components.mean
        variances = precise(self.log_noise).exp() * (1 + components.spread(rows))
        shape = *vectors.shape[:-1], self.outputs, self.components
        mean, std = (
            part.movedim(-3, -1).to(vectors.dtype).reshape(shape)
            for part in (means, variances.sqrt())
        )
        weights = log_weights[..., None, None, :].to(vectors.dtype)
        if self.per_step:
            weights = weights.unsqueeze(-2)
        return MixtureSameFamily(
            Categorical(logits=weights.expand(shape), validate_args=False),
            Normal(mean, std, validate_args=False),
            validate_args=False,
        )

    def _compute(self, held: dict[str, Tensor]) -> MixturePosterior:
        mean = precise(self.prior_mean) * (precise(self.log_noise).mean() / 2).exp()
        prior, weights = Prior(mean, None), precise(self.log_weights)
        if not held:
            return MixturePosterior(posterior(prior, Support()), weights.log_softmax(-1))
        rows = self._split(held["vectors"]), held["targets"].unsqueeze(-3)
        found = posterior(prior, Support(rows))
        weights = weights + evidence(prior, rows, found, precise(self.log_noise).exp())
        return MixturePosterior(found, weights.log_softmax(-1))

    def _means(self, vectors: Tensor, found: MixturePosterior) -> Tensor:
        # The mean of the weights, which is linear in the features of all components.
        weights = found.log_weights.exp()[..., None, None] * found.components.mean
        weights = weights.flatten(-3, -2) * self._factors().unsqueeze(-1)
        rows = self._rows(vectors)
        means = rows @ weights.to(rows.dtype)
        return means.reshape(*vectors.shape[:-1], self.outputs)

    def _factors(self) -> Tensor:
        """Return `s / sigma`, `(K E,)`: the features times them have a prior precision of 1."""
        return (precise(self.log_scales).flatten() - precise(self.log_noise).mean() / 2).exp()

    def _split(self, vectors: Tensor) -> Tensor:
        """Return the features of each component, scaled: `(…, B, K E)` -> `(…, K, B, E)`."""
        scaled = precise(vectors) * self._factors()
        return scaled.unflatten(-1, (self.components, self.features)).movedim(-2, -3)
