"""R2-D2: a ridge-regression head in closed form, behind `clone()` and `adapt()`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.closed_form.head_learner import HeadLearner
from l2l_rnn.algorithms.closed_form.heads import LinearHead, ridge_head
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable


@configurable
class R2D2(HeadLearner):
    """Classify by ridge regression from support vectors to one-hot labels, in closed form.

    `W, b = argmin |X W^T + b - Y|^2 + lambda |W|^2` and `score = alpha (f(x) W^T + b) + beta`,
    where X are the vectors `f(x)` of the support set, and Y its one-hot labels. With fewer support
    sequences B than features E, a system of B equations is solved, and otherwise one of E.

    `clone()` returns a learner without a support set, which gives every class the score 0.
    `write(x, y)` adds labeled sequences; `adapt(loss)` does the same in an unchanged learn2learn
    script, as in `ProtoNet`. Neither changes the encoder. `backward()` reaches the encoder through
    the support and the query set, and the logarithms of `lambda` and `alpha` and `beta`, which are
    learned.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`.
        ways: `C`, the number of classes.
        regularization: initial value of `lambda`.
        scale: initial value of `alpha`.

    Attributes:
        head: `W`, `b` and the mean of the support vectors; None before the first support sequence.
        log_regularization, log_scale, bias: the learned parameters, scalars.

    A class without support sequences is never predicted, as in `ProtoNet`. The system is solved in
    float64, whatever the dtype of the encoder.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis: each task has
            its own support set, and all tasks share the encoder.

    Raises:
        ArgumentError: `ways` is not a positive integer, or `regularization` or `scale` is not
            positive.

    Example:
        >>> import torch
        >>> learner = R2D2(nn.Identity(), ways=2, regularization=0.5, scale=1.0).clone()
        >>> learner.write(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]))
        >>> learner(torch.tensor([[1.5]]))
        tensor([[0., 1.]], grad_fn=<CloneBackward0>)

    Source: L. Bertinetto, J. Henriques, P. Torr and A. Vedaldi, 2019, Meta-learning with
    Differentiable Closed-form Solvers, section 3. There, the intercept is the weight of a constant
    feature; here, it is not penalized: X and Y are centered, as in scikit-learn's `Ridge`.
    """

    log_scale: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self, model: nn.Module, ways: int, regularization: float = 1.0, scale: float = 10.0
    ) -> None:
        super().__init__(model, ways, regularization)
        start = check_number("R2D2", "scale", scale, above=0)
        self._learn("log_scale", torch.tensor(math.log(start)))
        self._learn("bias", torch.tensor(0.0))

    def _solve(self, vectors: Tensor, targets: Tensor, rows: Tensor) -> LinearHead:
        return ridge_head(vectors, targets, rows, self.log_regularization.exp())

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        scores, present = super()._scores(vectors)
        return self.log_scale.exp() * scores + self.bias, present
