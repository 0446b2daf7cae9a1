"""What computes the states of a frozen encoder: the interface, and modules of your own."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.registry import Registry


class EncoderBackend(ABC):
    """Computes the states of token ids with a pretrained encoder. Abstract base class.

    Attributes:
        name: the name of the encoder, for messages.
        size: `E`, features of a state.
        vocab_size: number of token ids of the tokenizer.
        longest: largest number of token ids in a row.
        layers: number of layers; the states of `layer=-1` are those of the last one.
        tokenizer: the content of its tokenizer.json, or None if it has no tokenizer.
    """

    name: str
    size: int
    vocab_size: int
    longest: int
    layers: int
    tokenizer: str | None

    @abstractmethod
    def digest(self) -> str:
        """Return a hash of everything that the states depend on, such as the weights."""

    @abstractmethod
    def check(self) -> None:
        """Check that states can be computed in this environment.

        Raises:
            MissingExtraError: a package is missing or too old.
        """

    @abstractmethod
    def states(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        """Compute the states of a batch, without gradients.

        Args:
            ids: token ids of the tokenizer; what stands at padding is ignored.
            mask: True at the valid steps, which come first in each row.
            layer: index of the layer, negative from the end; 0 is the embedding layer.

        Shapes:
            ids and mask `(B, S)` -> `(B, S, E)`.
        """

    @property
    def unknown(self) -> int | None:
        """The id of the tokenizer's unknown token, or None if it has none."""
        return None if self.tokenizer is None else _unknown_id(json.loads(self.tokenizer))


FROZEN_ENCODERS: Registry[Callable[[], EncoderBackend | None]] = Registry("frozen encoder")
"""Functions that make the backend of a named encoder, or return None if it is not installed."""


class ModuleEncoder(EncoderBackend):
    """The states of a module of your own, such as an encoder that you trained.

    Register a function that makes it in `FROZEN_ENCODERS`, so that a `FrozenEncoder` can name it.

    Args:
        name: the name of the encoder.
        module: called as `module(ids, mask)`; it returns states `(B, S, E)`. It runs in evaluation
            mode.
        size: `E`, features of a state.
        vocab_size: number of token ids.
        longest: largest number of token ids in a row.
        tokenizer: a tokenizer of the package `tokenizers` as JSON, `tokenizer.to_str()`; None if
            ids are made in another way.

    Raises:
        ArgumentTypeError: `module` is not a module.
        ArgumentError: a size is not a positive integer.

    Example:
        >>> class Embedded(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embedding = nn.Embedding(10, 4)
        ...
        ...     def forward(self, ids, mask):
        ...         return self.embedding(ids)
        >>> encoder = ModuleEncoder("embedded", Embedded(), size=4, vocab_size=10)
        >>> ids = torch.tensor([[3, 4]])
        >>> encoder.states(ids, ids > 0, layer=-1).shape
        torch.Size([1, 2, 4])
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        *,
        size: int,
        vocab_size: int,
        longest: int = 512,
        tokenizer: str | None = None,
    ) -> None:
        who = "ModuleEncoder"
        if not isinstance(module, nn.Module):
            raise ArgumentTypeError(
                f"{who}: module must be a torch.nn.Module, got {type(module).__name__}; pass an "
                "instance"
            )
        self.name, self.module, self.tokenizer = name, module, tokenizer
        self.size = check_int(who, "size", size)
        self.vocab_size = check_int(who, "vocab_size", vocab_size)
        self.longest = check_int(who, "longest", longest)
        self.layers = 1

    def digest(self) -> str:
        found = hashlib.sha256((self.tokenizer or "").encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            found.update(memoryview(values.numpy()))
        return found.hexdigest()

    def check(self) -> None:
        """Do nothing: a module runs everywhere."""

    def states(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        if layer != -1:
            raise ArgumentError(
                f"{self.name}: layer must be -1 for a module of your own, got {layer}; return the "
                "states of that layer from the module"
            )
        self.module.eval()
        with torch.no_grad():
            states: Tensor = self.module.to(ids.device)(ids, mask)
        if states.shape != (*ids.shape, self.size):
            raise ShapeError(
                f"{self.name}: the module must return states {(*ids.shape, self.size)}, got shape "
                f"{tuple(states.shape)}; set size, or return one state for each id"
            )
        return states


def _unknown_id(tokenizer: dict[str, Any]) -> int | None:
    """Return the id of the unknown token in the content of a tokenizer.json."""
    model = tokenizer.get("model", {})
    token = model.get("unk_token")
    if token is None:
        found = model.get("unk_id")
    else:
        added = {one["content"]: one["id"] for one in tokenizer.get("added_tokens") or ()}
        vocabulary = model.get("vocab")
        own = vocabulary.get(token) if isinstance(vocabulary, dict) else None
        found = added.get(token, own)
    return found if isinstance(found, int) else None
