"""Equality of our MAML with learn2learn's own loop over tasks, for any model and loss."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import learn2learn
import torch
from torch import nn
from torch.utils._pytree import tree_map

from l2l_rnn.algorithms import MAML
from l2l_rnn.nn import convert

TASKS, BATCH, STEPS, SIZE, HIDDEN, WAYS, VOCAB = 3, 5, 6, 4, 5, 3, 9
LR, INNER_STEPS, TOLERANCE = 0.2, 2, 1e-10


@dataclasses.dataclass
class Case:
    """A user's model with its data and loss.

    Attributes:
        make: returns the model, with layers of torch.
        draw: returns the data of all tasks for a seed: tensors `(N, …)` in any containers.
        loss: computes the loss of a learner on data: a scalar for one task, `(N,)` for all.
        options: arguments of `MAML`, ours and learn2learn's.
    """

    make: Callable[[], nn.Module]
    draw: Callable[[int], Any]
    loss: Callable[[Any, Any], torch.Tensor]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make().double()


def part(data: Any, index: Any) -> Any:
    """Return `x[index]` of every tensor."""
    return tree_map(lambda x: x[index] if isinstance(x, torch.Tensor) else x, data)


def one_at_a_time(maml: Any, case: Case) -> torch.Tensor:
    """Run learn2learn's loop and return the losses, `(INNER_STEPS + 1, N)`."""
    support, query = case.draw(1), case.draw(2)
    rows = [meta_step(maml.clone(), case, part(support, n), part(query, n)) for n in range(TASKS)]
    return torch.stack(rows, 1)


def all_at_once(maml: MAML, case: Case) -> torch.Tensor:
    """Run the same with `clone(tasks=N)`."""
    return meta_step(maml.clone(tasks=TASKS), case, case.draw(1), case.draw(2))


def one_with_an_axis(maml: MAML, case: Case) -> torch.Tensor:
    """Run the same with `clone(tasks=1)` for each task."""
    support, query = case.draw(1), case.draw(2)
    rows = []
    for n in range(TASKS):
        task = slice(n, n + 1)
        rows.append(meta_step(maml.clone(tasks=1), case, part(support, task), part(query, task)))
    return torch.cat(rows, 1)


RUNS = {"one": one_at_a_time, "many": all_at_once, "tasks=1": one_with_an_axis}


def meta_step(learner: Any, case: Case, support: Any, query: Any) -> torch.Tensor:
    """Adapt, backpropagate the query loss, and return the losses, one for each step."""
    losses = []
    for _ in range(INNER_STEPS):
        loss = case.loss(learner, support)
        losses.append(loss.detach())
        learner.adapt(loss)
    loss = case.loss(learner, query)
    losses.append(loss.detach())
    loss.sum().backward()
    return torch.stack(losses)


def learn2learns(case: Case) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    """Return the losses and meta-gradients of learn2learn with torch's layers."""
    model = case.model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its clones of torch's recurrent layers warn
        losses = one_at_a_time(learn2learn.algorithms.MAML(model, LR, **case.options), case)
    return losses, gradients(model)


def gradients(model: nn.Module) -> dict[str, torch.Tensor | None]:
    return {name: p.grad for name, p in model.named_parameters()}


def check(case: Case, run: str) -> None:
    """Compare the values and meta-gradients of the converted model with learn2learn's."""
    expected_losses, expected = learn2learns(case)
    assert expected_losses.isfinite().all()
    assert any(g is not None and g.abs().max() > 1e-6 for g in expected.values())
    model = convert(case.model())
    losses = RUNS[run](MAML(model, LR, **case.options), case)
    torch.testing.assert_close(losses, expected_losses, rtol=TOLERANCE, atol=1e-13)
    found = gradients(model)
    assert list(found) == list(expected)
    for name, gradient in found.items():
        wanted = expected[name]
        if wanted is None:
            assert gradient is None, name
            continue
        assert gradient is not None, name
        error, size = (gradient - wanted).abs().max().item(), wanted.abs().max().item()
        assert error <= TOLERANCE * size + 1e-14, f"{name}: error {error:.1e} of {size:.1e}"
