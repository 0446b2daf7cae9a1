"""One meta-step computed by learn2learn's loop, `torch.func.vmap` and `clone(tasks=N)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import l2l_rnn  # imported first to silence gym's notice

# isort: split
import learn2learn
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import l2l_rnn.functional
import l2l_rnn.nn
from benchmarks.speed.stepwise import Stepwise
from l2l_rnn.algorithms import MAML

WAYS, LR = 5, 0.1


@dataclasses.dataclass(frozen=True)
class Work:
    """One meta-step of a recurrent classifier; support and query set have the same size.

    Attributes:
        cell: name of the layer in `l2l_rnn.nn`, and in `torch.nn` if it exists there.
        tasks, batch, steps, features, hidden: `N`, `B`, `S`, `F`, `H`.
        inner_steps: steps of the inner loop.
        first_order: whether to use the first-order approximation.
    """

    cell: str = "LSTM"
    tasks: int = 16
    batch: int = 25
    steps: int = 32
    features: int = 16
    hidden: int = 64
    inner_steps: int = 1
    first_order: bool = False

    @property
    def label(self) -> str:
        sizes = f"{self.tasks}, {self.batch}, {self.steps}, {self.features}, {self.hidden}"
        more = f", {self.inner_steps} inner steps" if self.inner_steps > 1 else ""
        return f"{self.cell} {sizes}{more}"

    @property
    def has_peers(self) -> bool:
        """Whether torch has the layer and the peers do not take minutes."""
        return hasattr(nn, self.cell) and self.steps < 1024


class Classifier(nn.Module):
    """A recurrent layer, `(…, B, S, F)` -> `(…, B, S, H)`, and a linear head on its last step."""

    task_axis = True

    def __init__(self, recurrence: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.recurrence, self.head = recurrence, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrence(x)[0][..., -1, :])


def make_models(work: Work, device: torch.device) -> dict[str, Classifier]:
    """Return the model of each contestant, all with the same parameters."""
    torch.manual_seed(0)
    sizes = (work.features, work.hidden)

    def classifier(layers: Any) -> Classifier:
        recurrence = getattr(layers, work.cell)(*sizes, batch_first=True)
        return Classifier(recurrence, layers.Linear(work.hidden, WAYS)).to(device)

    models = {"l2l_rnn": classifier(l2l_rnn.nn)}
    if work.has_peers:
        models["learn2learn"] = classifier(nn)
        models["vmap"] = Classifier(Stepwise(work.cell, *sizes), nn.Linear(work.hidden, WAYS))
    for model in models.values():
        model.to(device).load_state_dict(models["l2l_rnn"].state_dict())
    return models


def make_batch(work: Work, device: torch.device) -> list[Tensor]:
    """Return random support and query sets: x, y, query_x, query_y."""
    lead = (work.tasks, work.batch)
    x, query_x = torch.randn(2, *lead, work.steps, work.features, device=device)
    y, query_y = torch.randint(0, WAYS, (2, *lead), device=device)
    return [x, y, query_x, query_y]


def contestants(work: Work, device: torch.device) -> dict[str, Callable[[], None]]:
    """Return each contestant's meta-step, which stores its meta-gradients in `.grad`."""
    models, batch = make_models(work, device), make_batch(work, device)

    def learn2learn_loop() -> None:
        maml = learn2learn.algorithms.MAML(models["learn2learn"], LR, first_order=work.first_order)
        # cuDNN's layers have no second derivative, so learn2learn must run without cuDNN.
        with torch.backends.cudnn.flags(enabled=work.first_order):
            for x, y, query_x, query_y in zip(*batch, strict=True):
                learner = maml.clone()
                for _ in range(work.inner_steps):
                    learner.adapt(cross_entropy(learner(x), y))
                (cross_entropy(learner(query_x), query_y) / work.tasks).backward()

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(models["vmap"], parameters, (x,)), y)

    def one_task(parameters: dict[str, Tensor], x: Tensor, y: Tensor, *query: Tensor) -> Tensor:
        for _ in range(work.inner_steps):
            given = parameters
            if work.first_order:
                given = {name: p.detach() for name, p in parameters.items()}
            gradients = grad(loss)(given, x, y)
            parameters = {name: p - LR * gradients[name] for name, p in parameters.items()}
        return loss(parameters, *query)

    def vmap_over_tasks() -> None:
        mapped = vmap(one_task, in_dims=(None, 0, 0, 0, 0))
        mapped(dict(models["vmap"].named_parameters()), *batch).mean().backward()

    def all_tasks_at_once() -> None:
        x, y, query_x, query_y = batch
        learner = MAML(models["l2l_rnn"], LR, first_order=work.first_order).clone(tasks=work.tasks)
        for _ in range(work.inner_steps):
            learner.adapt(l2l_rnn.functional.cross_entropy(learner(x), y))
        l2l_rnn.functional.cross_entropy(learner(query_x), query_y).mean().backward()

    if not work.has_peers:
        return {"l2l_rnn": all_tasks_at_once}
    return {"learn2learn": learn2learn_loop, "vmap": vmap_over_tasks, "l2l_rnn": all_tasks_at_once}
