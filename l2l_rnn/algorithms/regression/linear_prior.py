"""The prior of an ALPaCA learner from the examples of many tasks, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.algorithms.regression.alpaca import ALPaCA
from l2l_rnn.algorithms.regression.targets import check_targets
from l2l_rnn.checks import check_number
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.affine import precise


@torch.no_grad()
def fit_linear_prior(
    learner: ALPaCA,
    x: Tensor,
    y: Tensor,
    *,
    strength: float = 100.0,
    regularization: float = 1.0,
) -> None:
    """Set the prior of a learner from examples of many tasks: a start for meta-training.

    The prior mean becomes the ridge regression on all examples, the noise its mean squared error,
    and the prior precision the mean of `f(x) f(x)^T` times the strength. Without a support set, the
    learner then predicts as that ridge regression does; with one, as if the support set were added
    to `strength` examples of other tasks. The encoder does not change.

    Args:
        learner: the learner, without a support set.
        x: sequences of many tasks.
        y: their targets.
        strength: how many support sequences weigh as much as the prior.
        regularization: the penalty on squared weights.

    Shapes:
        x `(…, B, …)`, y `(…, B, D)`; with `per_step` `(…, B, S, D)`.

    Raises:
        ArgumentTypeError, ShapeError: as in `ALPaCA.write`.
        ArgumentError: a number is not positive, or a vector or a target is NaN or infinite.

    Example:
        >>> from torch import nn
        >>> learner = ALPaCA(nn.Identity(), outputs=1, features=2)
        >>> x = torch.randn(500, 2)
        >>> fit_linear_prior(learner, x, x @ torch.tensor([[3.0], [-1.0]]), regularization=1e-6)
        >>> [round(weight, 3) for weight in learner.prior_mean.flatten().tolist()]
        [3.0, -1.0]
    """
    who = "fit_linear_prior"
    strength = check_number(who, "strength", strength, above=0)
    penalty = check_number(who, "regularization", regularization, above=0)
    vectors = learner.encoded(x)
    y = check_targets(who, y, vectors, learner.outputs)
    phi, targets = precise(vectors.flatten(0, -2)), precise(y.flatten(0, -2))
    if not bool(phi.isfinite().all() and targets.isfinite().all()):
        raise ArgumentError(
            f"{who}: vectors and targets must be finite, got NaN or infinity; drop those rows"
        )
    gram = phi.mT @ phi + penalty * torch.eye(phi.shape[-1], dtype=phi.dtype, device=phi.device)
    weights = torch.linalg.solve(gram, phi.mT @ targets)
    noise = (targets - phi @ weights).square().mean(0).clamp(min=1e-8)
    root = torch.linalg.cholesky(strength / len(phi) * gram)
    learner.prior_mean.copy_(weights)
    learner.log_noise.copy_(noise.log())
    learner.prior_factor.copy_(root.tril(-1) + root.diagonal().log().diag())
