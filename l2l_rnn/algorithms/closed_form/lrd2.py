"""LR-D2: a logistic-regression head by Newton's method, behind `clone()` and `adapt()`."""

from __future__ import annotations

from torch import Tensor, nn

from l2l_rnn.algorithms.closed_form.head_learner import HeadLearner
from l2l_rnn.algorithms.closed_form.heads import LinearHead
from l2l_rnn.algorithms.closed_form.logistic import logistic_head
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable


@configurable
class LRD2(HeadLearner):
    """Classify by multinomial logistic regression on support vectors, solved by Newton's method.

    `W, b = argmin sum_i -log softmax(W f(x_i) + b)[y_i] + lambda / 2 |W|^2` over the support set,
    and `score = W f(x) + b`.

    The solution and its first and second derivatives are exact: Newton's steps go on until the
    gradient is zero to rounding, and the result is differentiated as a function of the vectors and
    of lambda. It equals scikit-learn's `LogisticRegression` with `C = 1 / lambda` for three classes
    or more. For two classes, scikit-learn has one weight vector instead of two, which is the same
    with `C = 2 / lambda`.

    `clone()`, `write(x, y)` and `adapt(loss)` are those of `R2D2`, and so are classes without
    support sequences and the dtype of the computation.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`.
        ways: `C`, the number of classes.
        regularization: initial value of `lambda`, whose logarithm is learned.
        newton_steps: maximum number of Newton steps. About 5 to 15 are taken; with fewer, the
            solution and its derivatives are approximate.

    Attributes:
        head: `W`, `b` and the mean of the support vectors; None before the first support sequence.
        log_regularization: the learned parameter, a scalar.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis: each task has
            its own support set, and all tasks share the encoder.

    Raises:
        ArgumentError: `ways` or `newton_steps` is not a positive integer, or `regularization` is
            not positive.

    Example:
        >>> import torch
        >>> learner = LRD2(nn.Identity(), ways=2).clone()
        >>> learner.write(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
        >>> learner(torch.tensor([[2.0], [3.0]])).argmax(-1)
        tensor([0, 1])

    Source: L. Bertinetto et al., 2019, Meta-learning with Differentiable Closed-form Solvers,
    section 3.3, which takes a fixed number of steps of a two-class regression. The derivatives of
    the solution of a convex problem are the idea of K. Lee, S. Maji, A. Ravichandran and S. Soatto,
    2019, Meta-Learning with Differentiable Convex Optimization.
    """

    def __init__(
        self, model: nn.Module, ways: int, regularization: float = 1.0, newton_steps: int = 100
    ) -> None:
        super().__init__(model, ways, regularization)
        self.newton_steps = check_int("LRD2", "newton_steps", newton_steps)

    def _solve(self, vectors: Tensor, targets: Tensor, rows: Tensor) -> LinearHead:
        decay = self.log_regularization.exp()
        return logistic_head(vectors, targets, rows, decay, self.newton_steps)
