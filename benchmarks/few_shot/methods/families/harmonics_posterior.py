"""Bayes-optimal predictions of sums of two sine waves, by integration over the prior.

`y = a1 sin(w x + b1) + a2 sin(2 w x + b2) + e`, as drawn by `tasksets.Harmonics`. Given the
frequency and the phases, the model is linear in the amplitudes, whose prior is standard normal:
with the regressors `Z = (sin(w x + b1), sin(2 w x + b2))` of the support set and the noise s,

    A = I + Z^T Z / s^2,    r = Z^T y / s^2,    E[a | y] = A^-1 r,
    log p(y | w, b1, b2) = (r^T A^-1 r - log det A) / 2 + constant.

So three variables remain. They are integrated on a grid: midpoints of w, and equally spaced phases,
for which the rule converges exponentially, because the integrand is periodic. The phases are those
at the mean of the support inputs, which are uniform too, and nearly independent of w in the
posterior. Half of each circle is enough, since `a, b` and `-a, b + pi` are the same wave. The
grid's origin is random in each task, which makes the result an unbiased Monte Carlo estimate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class Prediction(NamedTuple):
    """The posterior mean of the queries of a task.

    Attributes:
        mean: the posterior mean of each target, `(B,)`.
        effective: the effective number of grid points, `1 / sum of squared weights`.
    """

    mean: Tensor
    effective: float


def posterior_mean(
    x: Tensor,
    y: Tensor,
    query: Tensor,
    noise: float,
    *,
    frequencies: int,
    phases: int,
    generator: Generator | None = None,
) -> Prediction:
    """Compute the posterior mean of the targets of queries, given the support set of one task.

    Args:
        x, y: inputs and targets of the support set.
        query: inputs of the queries.
        noise: standard deviation of the noise.
        frequencies: grid points of w.
        phases: grid points of each phase.
        generator: draws the grid's origin; None puts w at the midpoints and the phases at 0.

    Shapes:
        all `(B,)`, float64.
    """
    shift = torch.full((3,), 0.5) if generator is None else torch.rand(3, generator=generator)
    w = 5 + 2 * (torch.arange(frequencies) + shift[0].double()) / frequencies
    steps = torch.arange(phases)
    one, two = (math.pi * (steps + s.double()) / phases for s in shift[1:])
    # sin(w x + b) = cos(b) sin(w x) + sin(b) cos(w x)
    phase_pairs = [torch.stack([b.cos(), b.sin()], -1) for b in (one, two)]  # (phases, 2)
    waves, of_query = (_waves(w, part - x.mean()) for part in (x, query))  # (w, B, 4)
    gram = waves.mT @ waves / noise**2
    moments = (waves.mT @ y / noise**2).unsqueeze(-1)
    # A few frequencies at a time fit into the processor's cache.
    blocks = zip(gram.split(4), moments.split(4), strict=True)
    parts = [_integrated(*block, *phase_pairs) for block in blocks]
    evidence, amplitudes, squares = (torch.cat(part) for part in zip(*parts, strict=True))
    weights = evidence.softmax(0)
    mean = (of_query @ amplitudes.unsqueeze(-1)).squeeze(-1)  # (w, B), given w
    return Prediction(weights @ mean, 1 / (weights.square() @ squares).item())


def _integrated(
    gram: Tensor, moments: Tensor, one: Tensor, two: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Integrate over the phases, given frequencies.

    Returns:
        The log evidence of each w; the posterior mean of the amplitudes of its four waves; and the
        sum of squared weights of its grid points.

    Shapes:
        gram `(w, 4, 4)`, moments `(w, 4, 1)`, phases `(phases, 2)` -> `(w,)`, `(w, 4)`, `(w,)`.
    """
    first, second = slice(0, 2), slice(2, 4)
    a11 = (1 + _quadratic(one, gram[:, first, first])).unsqueeze(-1)  # (w, b1, 1)
    a22 = (1 + _quadratic(two, gram[:, second, second])).unsqueeze(-2)  # (w, 1, b2)
    a12 = one @ gram[:, first, second] @ two.T  # (w, b1, b2)
    r1 = one @ moments[:, first]  # (w, b1, 1)
    r2 = (two @ moments[:, second]).mT  # (w, 1, b2)
    # By the Cholesky factor of A, ((l, 0), (a12 / l, t)), which is accurate for all points.
    root = a11.rsqrt()
    below = a12 * root
    rest = (a22 - below.square()).rsqrt()  # 1 / t
    z1 = r1 * root
    z2 = (r2 - below * z1) * rest
    evidence = z2.square() / 2 + rest.log() + (z1.square() / 2 + root.log())
    total = evidence.flatten(1).logsumexp(1)
    weights = (evidence - total[:, None, None]).exp()
    amplitude2 = z2 * rest
    amplitude1 = (z1 - below * amplitude2) * root
    waves = (weights * amplitude1).sum(2) @ one, (weights * amplitude2).sum(1) @ two
    return total, torch.cat(waves, -1), weights.square().sum((1, 2))


def _waves(w: Tensor, x: Tensor) -> Tensor:
    """Return `sin(w x), cos(w x), sin(2 w x), cos(2 w x)`, `(w, B, 4)`."""
    angles = w.unsqueeze(-1) * x
    return torch.stack([angles.sin(), angles.cos(), (2 * angles).sin(), (2 * angles).cos()], -1)


def _quadratic(vectors: Tensor, matrices: Tensor) -> Tensor:
    """Return `v^T M v` for each of vectors `(n, 2)` and matrices `(w, 2, 2)`: `(w, n)`."""
    return ((vectors @ matrices) * vectors).sum(-1)
