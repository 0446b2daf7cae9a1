"""A learner of sequence-to-sequence tasks that adapts by storing pairs in a memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.algorithms.encoded import clone_encoder, versions_of
from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import (
    check_finite_loss,
    check_loss,
    check_tasks,
    no_outputs_error,
    unrelated_loss_error,
)
from l2l_rnn.algorithms.saving import (
    SavedLearner,
    check_saved_tasks,
    outside_inference_mode,
    usable,
)
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.models.seq2seq import Beams, MemorySeq2Seq, PairMemory
from l2l_rnn.models.seq2seq.pairs import check_pairs


class Pairs(NamedTuple):
    """The pairs in a learner's memory.

    Attributes:
        source: token ids, `(…, K, S)`.
        target: token ids, `(…, K, T)`.
        mask: False where a pair is padding, `(…, K)`.
    """

    source: Tensor
    target: Tensor
    mask: Tensor


@configurable
class PairMemoryLearner(SavedLearner, BaseLearner):
    """Adapt to a language by storing pairs of sequences, without gradient steps.

    `clone()` returns a learner without pairs, which shares the parameters of the model, the slow
    weights; `backward()` reaches them. `write(x, y)` adds pairs. `adapt(loss)` adds the pairs of
    the last call, so that learn2learn's loop works unchanged: `learner.adapt(loss(learner(x, y),
    y))`. `forward(x, y)`, `greedy(x)` and `beam_search(x)` read the memory and never change it.

    The pairs are a set, in whatever calls they came. The memory is computed from them when it is
    read. Under `torch.no_grad()`, it is kept for the next calls, until pairs are added or a
    parameter changes. With gradients, each call computes it anew.

    Args:
        model: a `models.MemorySeq2Seq`.

    Attributes:
        module: the model.
        pairs: the pairs in the memory, or None.
        tasks: `N`, or None without a task axis.

    Shapes:
        forward: x `(B, S)`, y `(B, T)` -> log-probabilities `(B, T, V)`; after `clone(tasks=N)`,
        all begin with `N`.

    Raises:
        ArgumentTypeError: the model is not a `MemorySeq2Seq`.

    Example:
        >>> from l2l_rnn.functional import sequence_cross_entropy
        >>> learner = PairMemoryLearner(MemorySeq2Seq(12, 30, hidden_size=8)).clone()
        >>> x, y = torch.tensor([[4, 3], [5, 0]]), torch.tensor([[7, 8, 2], [9, 2, 0]])
        >>> learner.write(x, y)
        >>> sequence_cross_entropy(learner(x, y), y).backward()
        >>> learner.greedy(x, max_length=5).shape[0], len(learner.pairs.source)
        (2, 2)

    Source: B. Lake, 2019, Compositional generalization through meta sequence-to-sequence learning.
    """

    def __init__(self, model: MemorySeq2Seq) -> None:
        super().__init__(model)
        if not isinstance(model, MemorySeq2Seq):
            raise ArgumentTypeError(
                "PairMemoryLearner: model must be a models.seq2seq.MemorySeq2Seq, got "
                f"{type(model).__name__}; use MAML for a Seq2Seq"
            )
        self.tasks: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all pairs."""
        self.pairs: Pairs | None = None
        self._kept: tuple[PairMemory, tuple[Any, ...]] | None = None  # memory, parameter versions
        self._last: tuple[Pairs, Tensor] | None = None  # pairs and outputs of the last forward

    def clone(self, *, tasks: int | None = None) -> PairMemoryLearner:
        """Return a learner without pairs; its parameters backpropagate to this learner's.

        Args:
            tasks: `N`, the number of tasks to learn at once, each with its own pairs; None for one
                task, without a task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
        """
        if tasks is not None:
            tasks = check_tasks("PairMemoryLearner.clone", tasks, self.tasks)
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        with outside_inference_mode():
            learner._modules["module"] = clone_encoder(self.module)
        learner.reset()
        learner.tasks = self.tasks if tasks is None else tasks
        return learner

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept": None, "_last": None}

    def forward(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compute the log-probabilities of all tokens at each step of the targets.

        Args:
            x: sources.
            y: their targets, whose tokens are the decoder's inputs.
            mask: False where a pair is padding, which may be empty; None if there is none.
        """
        self._last = None
        self._check_axes("PairMemoryLearner", x)
        log_p: Tensor = self.module(x, y, self._memory(x), mask)
        if torch.is_grad_enabled():
            outputs = log_p.clone()  # the caller may change its own in place
            self._last = (_pairs(x, y, mask), outputs)
            return outputs
        return log_p

    def greedy(self, x: Tensor, max_length: int | None = None) -> Tensor:
        """Translate by the most probable token at each step; see `Seq2Seq.greedy`."""
        self._check_axes("PairMemoryLearner.greedy", x)
        tokens: Tensor = self.module.greedy(x, self._memory(x), max_length)
        return tokens

    def beam_search(
        self,
        x: Tensor,
        width: int = 5,
        max_length: int | None = None,
        length_penalty: float = 0.0,
    ) -> Beams:
        """Find the most probable translations; see `Seq2Seq.beam_search`."""
        self._check_axes("PairMemoryLearner.beam_search", x)
        beams: Beams = self.module.beam_search(
            x, self._memory(x), width, max_length, length_penalty
        )
        return beams

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        """Add pairs to the memory.

        Args:
            x: sources. An empty batch changes nothing.
            y: their targets.
            mask: False where a pair is padding, which is left out and may be empty; None if there
                is no padding.

        Shapes:
            x `(…, B, S)`, y `(…, B, T)`, mask `(…, B)`.

        Raises:
            ArgumentTypeError: x or y are not integers, or the mask is not a bool tensor.
            ShapeError: x does not have the learner's task axis, or y or the mask does not fit x.
            ArgumentError: a token id is out of range, or a side of a pair is empty.
        """
        who = "PairMemoryLearner.write"
        check_pairs(who, x, y, mask, self.module.vocab_sizes)
        self._check_axes(who, x)
        self._add(_pairs(x, y, mask))

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        """Add the pairs of the last call to the memory.

        Args:
            loss: a loss of the last outputs, scalar or `(N,)`. Its value changes nothing, because
                the call got the targets.
            mask: as in `write`; None uses that of the call.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            ShapeError: the loss is neither a scalar nor `(N,)`, or the mask does not fit.
            AdaptationError: the learner was not called since the last write, the loss does not
                depend on its outputs, has no graph or is not finite, or gradients are disabled. The
                learner is then unchanged.
        """
        who = "PairMemoryLearner.adapt"
        if self._last is None:
            raise no_outputs_error(who)
        pairs, outputs = self._last
        if outputs.numel() == 0:  # an empty batch: there is nothing to write
            self._last = None
            return
        check_finite_loss(who, loss, outputs, self.tasks)
        check_loss(who, loss, self.tasks)
        (gradient,) = torch.autograd.grad(loss.sum(), outputs, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise unrelated_loss_error(who)
        if mask is not None:
            check_pairs(who, pairs.source, pairs.target, mask, self.module.vocab_sizes)
            pairs = pairs._replace(mask=mask)
        self._add(pairs)

    def _add(self, new: Pairs) -> None:
        if new.source.shape[-2] == 0:
            return
        pairs = new if self.pairs is None else _joined(self.pairs, new)
        pairs = Pairs(*map(usable, pairs))
        make_changes(attribute_changes(self, pairs=pairs, _kept=None, _last=None))

    def _memory(self, x: Tensor) -> PairMemory:
        """Return the encoded pairs."""
        pairs = self.pairs
        if pairs is None:
            empty = x[..., :0, :]
            return self._remembered(Pairs(empty, empty, torch.ones_like(empty[..., 0]).bool()))
        if torch.is_grad_enabled() or self.module.training:
            return self._remembered(pairs)
        versions = versions_of(self.module)
        if self._kept is None or not _same(self._kept[1], versions):
            self._kept = self._remembered(pairs), versions
        return self._kept[0]

    def _remembered(self, pairs: Pairs) -> PairMemory:
        memory: PairMemory = self.module.remember(*pairs)
        return memory

    def _batch(self) -> tuple[int, ...]:
        return () if self.tasks is None else (self.tasks,)

    def _check_axes(self, who: str, x: Tensor) -> None:
        batch = self._batch()
        if isinstance(x, Tensor) and x.shape[:-2] != batch:
            axes = f"(N, B, S) with N={self.tasks} tasks first" if batch else "(B, S)"
            raise ShapeError(
                f"{who}: x must be {axes}, got shape {tuple(x.shape)}; see clone(tasks=…)"
            )

    def _adaptation(self) -> dict[str, Tensor]:
        return {} if self.pairs is None else self.pairs._asdict()

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        if not saved:
            self.reset()
            return
        if set(saved) != set(Pairs._fields):
            raise ArgumentError(
                f"{who}: expected source, target and mask of pairs, got {', '.join(saved)}; load "
                "the state of a PairMemoryLearner"
            )
        for name, axes in zip(Pairs._fields, (2, 2, 1), strict=True):
            own = (*self._batch(), *saved[name].shape[-axes:])
            check_saved_tasks(who, saved[name].shape, torch.Size(own), self.tasks)
        device = next(self.module.parameters()).device
        self.reset()
        self.pairs = Pairs(
            saved["source"].to(device, torch.int64),
            saved["target"].to(device, torch.int64),
            saved["mask"].to(device, torch.bool),
        )


def _pairs(x: Tensor, y: Tensor, mask: Tensor | None) -> Pairs:
    if mask is None:
        mask = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
    return Pairs(x, y, mask)


def _joined(first: Pairs, second: Pairs) -> Pairs:
    """Concatenate pairs, padded to the same numbers of steps."""
    parts = []
    for one, other in zip(first[:2], second[:2], strict=True):
        steps = max(one.shape[-1], other.shape[-1])
        padded = [F.pad(part, (0, steps - part.shape[-1])) for part in (one, other)]
        parts.append(torch.cat(padded, -2))
    return Pairs(parts[0], parts[1], torch.cat([first.mask, second.mask], -1))


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(
        p is q and version == now for (p, version), (q, now) in zip(one, other, strict=True)
    )
