"""ALPaCA: Bayesian linear regression with a learned prior, behind `clone()` and `adapt()`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from l2l_rnn.algorithms.regression.posterior import Posterior, Prior, Support, posterior
from l2l_rnn.algorithms.regression.regression_learner import RegressionLearner
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.affine import precise


@configurable
class ALPaCA(RegressionLearner):
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

    prior_factor: nn.Parameter

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
        size = getattr(model, "output_size", None) if features is None else features
        fix = "pass the size of the model's vectors as features="
        size = check_int("ALPaCA", "features", size, fix=fix)
        precision = check_number("ALPaCA", "regularization", regularization, above=0)
        options = {"noise": noise, "discount": discount}
        super().__init__(model, outputs, (size,), per_step=per_step, **options)
        self.features = size
        self._learn("prior_factor", math.log(precision) / 2 * torch.eye(size))

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
                Prior(precise(self.prior_mean), self._prior_root()), Support.of(held)
            ),
        )
        return found

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

    def _means(self, vectors: Tensor, found: Posterior) -> Tensor:
        rows = self._rows(vectors)
        return (rows @ found.mean.to(rows.dtype)).reshape(*vectors.shape[:-1], self.outputs)

    def _prior_root(self) -> Tensor:
        """Return the Cholesky factor of the prior precision, in float64."""
        raw = precise(self.prior_factor)
        return raw.tril(-1) + raw.diagonal().exp().diag()
