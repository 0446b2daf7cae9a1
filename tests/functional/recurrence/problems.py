"""Small random arguments for every recurrence, and the comparison of results."""

import torch

from l2l_rnn.functional.recurrence.weights import Weights

TASKS, FEATURES, HIDDEN = 2, 3, 4
SIZES = [3, 3, 2, 1, 1]  # sequences that take each step
STEPS, BATCH = 6, 3
# Numbers of gates and of state tensors, for recurrences with a recurrent weight.
PACKED = {"rnn": (1, 1), "relu": (1, 1), "gru": (3, 1), "lstm": (4, 2), "projected lstm": (4, 2)}
# Number of blocks in the projected input, for recurrences without one.
SCANNED = {"min_gru": 2, "min_lstm": 3, "lru": 2}
OPTIONS = {"relu": {"nonlinearity": "relu"}}
FUNCTIONS = {"relu": "rnn", "projected lstm": "lstm"}


def random(*shape, dtype=torch.float64):
    return (torch.randn(shape, dtype=torch.float64) / 2).to(dtype).requires_grad_()


def packed_problem(name, bias=True, dtype=torch.float64):
    """Return the positional arguments without the sizes, the keyword arguments, and the leaves."""
    torch.manual_seed(0)
    gates, states = PACKED[name]
    rows, outputs = gates * HIDDEN, 2 if name == "projected lstm" else HIDDEN
    x = random(TASKS, sum(SIZES), FEATURES, dtype=dtype)
    shapes = [(rows, FEATURES), (rows, outputs), *([(rows,), (rows,)] if bias else [])]
    weights = Weights(*(random(TASKS, *shape, dtype=dtype) for shape in shapes))
    sizes = (outputs, HIDDEN)[:states]
    state = tuple(random(TASKS, BATCH, size, dtype=dtype) for size in sizes)
    options = dict(OPTIONS.get(name, {}))
    leaves = [x, *(w for w in weights if w is not None), *state]
    if outputs != HIDDEN:
        options["weight_hr"] = random(TASKS, outputs, HIDDEN, dtype=dtype)
        leaves.append(options["weight_hr"])
    return (x, weights, state), options, leaves


def scanned_problem(name, dtype=torch.float64):
    torch.manual_seed(0)
    projected = random(TASKS, STEPS, BATCH, SCANNED[name] * HIDDEN, dtype=dtype)
    state = (random(TASKS, BATCH, (2 if name == "lru" else 1) * HIDDEN, dtype=dtype),)
    factors = [random(TASKS, HIDDEN, dtype=dtype) for _ in range(2)] if name == "lru" else []
    return (projected, *factors, state), [projected, *factors, *state]


def both_orders(outputs, leaves):
    """Return the outputs, and first and second derivatives of a function of them."""
    value = sum((output * output.cos()).sum() for output in outputs)
    first = torch.autograd.grad(value, leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.sin().sum() for g in first), leaves)
    return [*outputs, *first, *second]


def close(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        if dtype == torch.float64:
            torch.testing.assert_close(one, other)
        else:  # rounding in proportion to the largest element
            scale = other.abs().max().item() or 1.0
            torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-5)
