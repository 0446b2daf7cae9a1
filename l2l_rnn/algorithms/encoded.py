"""Encoders of learners: their clones, and sequences that they encode only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from learn2learn.utils import clone_module
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError, ShapeError

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Encoded:
    """The vectors that an encoder computed for sequences.

    `learner.encode(x)` returns this object. The learner accepts it in place of `x` and then skips
    the encoder. The vectors keep their graph, so gradients are the same as if `x` were encoded at
    every call. After a `backward()` has freed that graph, encode `x` again.

    A learner rejects vectors from another learner, and vectors that were computed before the
    encoder's parameters changed. It does not check buffers or the training mode: the vectors keep
    the dropout masks of the call that computed them.

    Attributes:
        vectors: `f(x)`, `(B, E)`, or `(N, B, E)` with a task axis.

    Example:
        >>> encoder = nn.Linear(3, 2)
        >>> encoded = Encoded.by(encoder, encoder(torch.randn(4, 3)))
        >>> encoded.vectors.shape
        torch.Size([4, 2])
    """

    vectors: Tensor
    _versions: tuple[tuple[Tensor, int], ...] = field(repr=False)

    @classmethod
    def by(cls, encoder: nn.Module, vectors: Tensor) -> Encoded:
        """Record the current parameters of the encoder together with its vectors."""
        return cls(vectors, versions_of(encoder))

    def check_encoder(self, who: str, encoder: nn.Module) -> None:
        """Check that an encoder still has the parameters that computed the vectors.

        Args:
            who: begins the error message.
            encoder: the encoder that would be called now.

        Raises:
            ArgumentError: the encoder has other parameters, its parameters changed, or the vectors
                cannot be differentiated because they were computed in inference mode.
        """
        now = versions_of(encoder)
        same = len(now) == len(self._versions) and all(
            p is q and version == other
            for (p, version), (q, other) in zip(now, self._versions, strict=True)
        )
        if not same:
            raise ArgumentError(
                f"{who}: x was encoded by another learner, or before the encoder's parameters "
                "changed; encode it again with this learner's encode(x)"
            )
        if self.vectors.is_inference() and torch.is_grad_enabled():
            raise ArgumentError(
                f"{who}: x was encoded in torch.inference_mode() and has no gradients; encode it "
                "again outside, or call the learner in torch.no_grad()"
            )


def versions_of(encoder: nn.Module) -> tuple[tuple[Tensor, int], ...]:
    """Pair each parameter with its version, autograd's count of in-place changes."""
    return tuple((p, 0 if p.is_inference() else p._version) for p in encoder.parameters())


def vectors_of(
    who: str,
    encoder: nn.Module,
    x: Tensor | Encoded,
    batch: tuple[int, ...],
    *,
    like: Tensor,
    encode: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the vectors of encoded sequences, or encode sequences now.

    Args:
        who: begins the error message.
        encoder: a module with an `output_size`. It is not called on an empty batch.
        x: sequences `(*batch, B, …)`, or an `Encoded`.
        batch: `(N,)`, or `()` without a task axis.
        like: a tensor with the dtype and device of the vectors.
        encode: calls the encoder.

    Shapes:
        -> `(*batch, B, E)`.

    Raises:
        ArgumentError: as in `Encoded.check_encoder`.
        ShapeError: x does not have the leading axes `batch`.
    """
    none = (*batch, 0)
    if isinstance(x, Encoded):
        x.check_encoder(who, encoder)
        vectors = x.vectors
    elif isinstance(x, Tensor) and x.shape[: len(none)] == none:
        size: Any = encoder.output_size
        vectors = like.new_zeros(*none, size)
    else:
        vectors = encode(x)
    if vectors.shape[:-2] != batch:
        axes = f"(N, B, …) with N={batch[0]} tasks first" if batch else "(B, …)"
        shape = tuple(x.vectors.shape if isinstance(x, Encoded) else x.shape)
        raise ShapeError(f"{who}: x must be {axes}, got shape {shape}; see clone(tasks=…)")
    return vectors


def clone_encoder(encoder: Module) -> Module:
    """Clone an encoder with learn2learn's `clone_module`, without copying frozen embeddings.

    The weights of a frozen `nn.Embedding`, often the vectors of tens of thousands of words, share
    their memory with the original. A learner that adapts without changing them in place can use
    this clone for every task.

    Args:
        encoder: any module. An embedding is frozen if its `weight.requires_grad` is False.

    Example:
        >>> encoder = nn.Sequential(nn.Embedding(1000, 50), nn.Linear(50, 8)).eval()
        >>> encoder[0].requires_grad_(False)
        Embedding(1000, 50)
        >>> clone = clone_encoder(encoder)
        >>> clone[0].weight.data_ptr() == encoder[0].weight.data_ptr()
        True
        >>> clone[1].weight.data_ptr() == encoder[1].weight.data_ptr()
        False
    """
    embeddings = (one for one in encoder.modules() if isinstance(one, nn.Embedding))
    frozen = (e.weight for e in embeddings if not e.weight.requires_grad)
    # `clone_module` takes the tensors of its memo, by `data_ptr` method, in place of new clones. A
    # detached tensor can be moved to another device or dtype without moving the original.
    memo = {w.data_ptr: w.detach() for w in frozen if not w.is_inference()}
    clone: Module = clone_module(encoder, memo=memo)
    return clone
