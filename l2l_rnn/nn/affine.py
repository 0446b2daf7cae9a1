"""torch's `Linear`, `Embedding` and `LayerNorm`, with an optional task axis on their parameters."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.axes import readable_values
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.layer_calls import HasTorchCounterpart, layer_call
from l2l_rnn.mapped_axis import takes_mapped_axis


@configurable
class Linear(HasTorchCounterpart, nn.Linear):
    """Affine map `y = x W^T + b`; with parameters `(N, …)`, each task has its own `W` and `b`.

    Args:
        in_features: `F`, features of the input.
        out_features: `H`, features of the output.
        bias: whether to add `b`.

    Shapes:
        `(…, F)` -> `(…, H)`; with parameters `(N, …)`, `(N, …, B, F)` -> `(N, …, B, H)`.

    Raises:
        ShapeError: the input does not end in F features, or lacks the task axis.

    Example:
        >>> Linear(3, 2)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])

    Source: `torch.nn.Linear`, with the same constructor, initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    _forward_jit = nn.Linear.forward

    @layer_call
    @takes_mapped_axis(applies=lambda input: input.dim() > 1)
    def forward(self, input: Tensor) -> Tensor:
        if input.shape[-1:] != self.weight.shape[-1:]:
            raise ShapeError(
                f"Linear: x must end in F={self.weight.shape[-1]} features, got shape "
                f"{tuple(input.shape)}; set in_features={input.shape[-1] if input.dim() else 1}"
            )
        _check_tasks("Linear", self.weight, 2, input, axes_after=2)
        return functional.linear(input, self.weight, self.bias)


@configurable
class Embedding(HasTorchCounterpart, nn.Embedding):
    """Learned vectors, one per token id; with a weight `(N, …)`, each task has its own table.

    Args:
        num_embeddings: number of ids.
        embedding_dim: `E`, features of a vector.
        padding_idx: an id with a zero vector that gets no gradient, or None.

    Shapes:
        `(…)` -> `(…, E)`; with weight `(N, num_embeddings, E)`, `(N, …)` -> `(N, …, E)`.

    Raises:
        ArgumentError: an id is not from 0 to `num_embeddings - 1`.
        ArgumentTypeError: the ids are not integers.

    Example:
        >>> Embedding(10, 4)(torch.tensor([[1, 2, 0]])).shape
        torch.Size([1, 3, 4])

    Source: `torch.nn.Embedding`, with the same initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx, device=device, dtype=dtype)

    @classmethod
    def from_pretrained(  # type: ignore[override] # lacks torch's other options
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """Return a layer with the weight `embeddings`, `(num_embeddings, E)`, frozen by default."""
        size, features = embeddings.shape
        layer = cls(size, features, padding_idx, embeddings.device, embeddings.dtype)
        layer.weight = nn.Parameter(embeddings, requires_grad=not freeze)
        return layer

    _forward_jit = nn.Embedding.forward

    @layer_call
    @takes_mapped_axis()
    def forward(self, input: Tensor) -> Tensor:
        if input.is_floating_point() or input.dtype.is_complex or input.dtype == torch.bool:
            raise ArgumentTypeError(
                f"Embedding: token ids must be integers, got {input.dtype}; convert with .long()"
            )
        _check_tasks("Embedding", self.weight, 2, input, axes_after=0)
        values = readable_values(input)
        if values is not None and values.numel():
            low, high = values.aminmax()
            if low < 0 or high >= self.num_embeddings:
                bad = int(low) if low < 0 else int(high)
                raise ArgumentError(
                    f"Embedding: token ids must be from 0 to {self.num_embeddings - 1}, got {bad}; "
                    "encode with the model's own vocabulary, or set vocab_size"
                )
        rows = functional.embedding(input, self.weight)
        if self.padding_idx is not None:
            padding = (input == self.padding_idx).unsqueeze(-1)
            rows = torch.where(padding, rows.detach(), rows)
        return rows


@configurable
class LayerNorm(HasTorchCounterpart, nn.LayerNorm):
    """Layer normalization `y = (x - mean) / sqrt(var + eps) * w + b`.

    Mean and variance are computed over the last axes. With parameters `(N, …)`, each task has its
    own `w` and `b`.

    Args:
        normalized_shape: `F`, or the sizes of the last axes.
        eps: added to the variance.
        elementwise_affine: whether to use `w` and `b`.
        bias: whether to use `b`.

    Shapes:
        `(…, F)` -> `(…, F)`; with parameters `(N, F)`, `(N, …, F)` -> `(N, …, F)`.

    Raises:
        ShapeError: the input does not end in the normalized sizes, or lacks the task axis.

    Example:
        >>> LayerNorm(2)(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.0000,  1.0000]], grad_fn=...)

    Source: `torch.nn.LayerNorm`, with the same constructor, initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    _forward_jit = nn.LayerNorm.forward

    @layer_call
    @takes_mapped_axis()
    def forward(self, input: Tensor) -> Tensor:
        sizes = tuple(self.normalized_shape)
        if tuple(input.shape[-len(sizes) :]) != sizes:
            raise ShapeError(
                f"LayerNorm: x must end in {sizes}, got shape {tuple(input.shape)}; set "
                "normalized_shape"
            )
        weight = self.weight
        if weight is None or weight.dim() == len(sizes):
            return super().forward(input)
        _check_tasks("LayerNorm", weight, len(sizes), input, axes_after=len(sizes))
        y = F.layer_norm(input, sizes, eps=self.eps)
        between = (1,) * (input.dim() - weight.dim())
        y = y * weight.reshape(len(weight), *between, *sizes)
        if self.bias is None:
            return y
        return y + self.bias.reshape(len(weight), *between, *sizes)


def _check_tasks(who: str, weight: Tensor, usual: int, x: Tensor, axes_after: int) -> None:
    """Check that the input starts with the weight's task axis, if there is one."""
    if weight.dim() > usual and (x.dim() < 1 + axes_after or len(x) != len(weight)):
        raise ShapeError(
            f"{who}: x must be (N, …) with N={len(weight)} tasks first, like the parameters, "
            f"got shape {tuple(x.shape)}"
        )
