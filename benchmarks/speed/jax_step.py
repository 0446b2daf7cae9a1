"""The meta-step of a recurrent classifier in JAX: `scan` over steps, `vmap` over tasks, `jit`.

`jax_process` runs it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Parameters = dict[str, Array]


def rnn(a: Array, weight: Array, bias: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Compute a step of `torch.nn.RNN` from `a = W_ih x + b_ih`."""
    return (jnp.tanh(a + state[0] @ weight.T + bias),)


def gru(a: Array, weight: Array, bias: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Compute a step of `torch.nn.GRU`."""
    (h,) = state
    a_r, a_z, a_n = jnp.split(a, 3, -1)
    b_r, b_z, b_n = jnp.split(h @ weight.T + bias, 3, -1)
    z = jax.nn.sigmoid(a_z + b_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + b_r) * b_n)
    return ((1 - z) * n + z * h,)


def lstm(a: Array, weight: Array, bias: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Compute a step of `torch.nn.LSTM`."""
    h, c = state
    i, f, g, o = jnp.split(a + h @ weight.T + bias, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


CELLS = {"RNN": (rnn, 1), "GRU": (gru, 1), "LSTM": (lstm, 2)}  # and the tensors of their state


def logits(cell: str, parameters: Parameters, x: Array) -> Array:
    """Compute class scores of sequences `(B, S, F)` from the last state."""
    step, tensors = CELLS[cell]
    weight = parameters["recurrence.weight_hh_l0"]
    bias = parameters["recurrence.bias_hh_l0"]
    a = x @ parameters["recurrence.weight_ih_l0"].T + parameters["recurrence.bias_ih_l0"]
    start = (jnp.zeros((len(x), weight.shape[1]), x.dtype),) * tensors
    final, _ = jax.lax.scan(
        lambda state, a: (step(a, weight, bias, state), None), start, a.swapaxes(0, 1)
    )
    return final[0] @ parameters["head.weight"].T + parameters["head.bias"]


def cross_entropy(scores: Array, y: Array) -> Array:
    """Compute the mean cross-entropy of class scores `(B, C)` and labels `(B,)`."""
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1).mean()


def meta_gradients(
    cell: str, inner_steps: int, lr: float, first_order: bool
) -> Callable[..., Parameters]:
    """Return the compiled function of the parameters and the batch that gives the meta-gradients.

    Args:
        cell: `"RNN"`, `"GRU"` or `"LSTM"`.
        inner_steps: steps of the inner loop.
        lr: learning rate of the inner loop.
        first_order: whether to use the first-order approximation.
    """

    def loss(parameters: Parameters, x: Array, y: Array) -> Array:
        return cross_entropy(logits(cell, parameters, x), y)

    def one_task(parameters: Parameters, x: Array, y: Array, *query: Array) -> Array:
        for _ in range(inner_steps):
            gradients = jax.grad(loss)(parameters, x, y)
            if first_order:
                gradients = jax.lax.stop_gradient(gradients)
            parameters = jax.tree.map(lambda p, g: p - lr * g, parameters, gradients)
        return loss(parameters, *query)

    def all_tasks(parameters: Parameters, *batch: Array) -> Array:
        return jax.vmap(one_task, in_axes=(None, 0, 0, 0, 0))(parameters, *batch).mean()

    return jax.jit(jax.grad(all_tasks))


def on_device(arrays: Any) -> Any:
    """Return jax arrays from numpy arrays in any containers."""
    return jax.tree.map(jnp.asarray, arrays)
