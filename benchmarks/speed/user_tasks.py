"""Tasks and losses of the five user models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.speed import user_models
from benchmarks.speed.user_models import Sizes


@dataclasses.dataclass(frozen=True)
class UserModel:
    """One of the five models.

    Attributes:
        label: description in the table.
        make: returns the model for some sizes.
        declared: the same with the declared task axis; None if a layer lacks the task axis.
        inputs: names of the data that the model reads: tokens, series, target or tags.
        targets: name of the data that the loss reads; None if the model returns its loss.
    """

    label: str
    make: Callable[[Sizes], nn.Module]
    declared: Callable[[Sizes], nn.Module] | None
    inputs: tuple[str, ...]
    targets: str | None = "labels"


MODELS = {
    "attention": UserModel(
        "embedding, BiLSTM, attention",
        user_models.AttentionClassifier,
        user_models.DeclaredAttentionClassifier,
        ("tokens",),
    ),
    "convolution": UserModel("CNN, GRU", user_models.ConvolutionalGRU, None, ("series",)),
    "seq2seq": UserModel(
        "encoder-decoder: GRU, GRUCell, attention",
        user_models.Seq2Seq,
        user_models.DeclaredSeq2Seq,
        ("tokens", "shifted"),
        "target",
    ),
    "normalized": UserModel(
        "LSTM, LayerNorm, LSTM, LayerNorm",
        user_models.NormalizedLSTM,
        user_models.DeclaredNormalizedLSTM,
        ("series",),
    ),
    "tagger": UserModel(
        "BiLSTM, CRF", user_models.Tagger, user_models.DeclaredTagger, ("tokens", "tags"), None
    ),
}


def draw(sizes: Sizes, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Draw the data of all models: tensors `(N, B, …)` by name.

    Sequences of tokens have lengths from half of `S` to `S` and are padded with 0.
    """
    generator = torch.Generator().manual_seed(seed)
    lead = (sizes.tasks, sizes.batch)

    def ids(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, (*lead, *shape), generator=generator)

    lengths = ids(sizes.steps // 2, sizes.steps + 1, 1)
    tokens = ids(1, sizes.vocab, sizes.steps)
    target = ids(1, sizes.vocab, sizes.target_steps)
    series = torch.randn(*lead, sizes.steps, sizes.features, generator=generator)
    return {
        "tokens": tokens.masked_fill(torch.arange(sizes.steps) >= lengths, 0),
        "series": series.to(dtype),
        "target": target,
        "shifted": torch.cat([torch.zeros_like(target[..., :1]), target[..., :-1]], -1),
        "tags": ids(0, sizes.ways, sizes.steps),
        "labels": ids(0, sizes.ways),
    }


def mean_loss(
    model: UserModel,
    call: Callable[..., Tensor],
    data: dict[str, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Tensor:
    """Compute the loss of one task, or of each task with a loss that keeps the task axis.

    Args:
        model: the entry of `MODELS`.
        call: the model, or a learner that holds it.
        data: the task, or all tasks, as `draw` makes them.
        loss: cross-entropy of logits `(…, B, C)` and labels `(…, B)`.
    """
    result = call(*(data[name] for name in model.inputs))
    if model.targets is None:
        return result
    targets = data[model.targets]
    if model.targets == "target":  # one prediction per step
        result, targets = result.flatten(-3, -2), targets.flatten(-2)
    return loss(result, targets)
