"""Few-shot text classification with distributional signatures behind `clone()` and `adapt()`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.heads import LinearHead, ridge_head
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.closed_form.word_attention import WordAttention
from l2l_rnn.algorithms.closed_form.word_statistics import check_words, known_words, word_counts
from l2l_rnn.algorithms.labels import mask_absent, one_hot
from l2l_rnn.algorithms.saving import usable
from l2l_rnn.axes import mark_task_axis, readable_values
from l2l_rnn.checks import check_choice, check_int, check_number, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import token_lengths

IMPORTANCES = ("margin", "entropy")


@configurable
class DistributionalSignatures(SupportLearner):
    """Attend to words by their statistics, and classify the weighted means by ridge regression.

    A word w has two statistics. `s(w) = epsilon / (epsilon + P(w))` is small for words that are
    frequent in the source texts, those of the training classes. `t(w)` is large for words that tell
    the classes of the support set apart: a ridge classifier of the plain means of word vectors is
    applied to each word. A `WordAttention` turns both into the weights `a` of the words of a text,
    and `f(x) = sum_s a_s v(x_s)`, scaled to length 1, with the word vectors `v`. The scores are
    `alpha (f(x) W^T + b)`, with `W` and `b` from a ridge regression of the one-hot labels on `f` of
    the support texts, as in `R2D2`.

    `clone()` returns a learner without a support set, which gives every class the score 0.
    `write(x, y)` adds labeled texts; `adapt(loss)` does the same in an unchanged learn2learn
    script, as in `ProtoNet`. Neither changes a parameter. `backward()` reaches the attention, the
    logarithms of `lambda` and `alpha`, and word vectors that are not frozen, through the support
    and the query set. A class without support texts is never predicted.

    Args:
        model: `v`, maps token ids padded with 0 to vectors, such as an `nn.Embedding` of pretrained
            word vectors. It may also look at the context of a word.
        ways: `C`, the number of classes.
        vocab_size: `V`, number of token ids, including padding.
        hidden_size: hidden units of each direction of the attention's LSTM.
        dropout: dropout of the attention, in training.
        epsilon: `epsilon`.
        importance: `"margin"`: `t` is the largest absolute score of the word, as in the authors'
            code; `"entropy"`: `t = 1 / H(P(y | w))`, as in the paper.
        penalty: `lambda` of the ridge classifier for `t`; fixed.
        regularization: initial `lambda` of the ridge classifier of texts.
        scale: initial `alpha`.
        unit: whether to scale `f(x)` to length 1, which helps with one example per class.
        unknown: id of words outside the vocabulary, which get no weight; None if there is none.

    Attributes:
        frequencies: `P`, `(V,)`, or `(N, V)` in a clone with its own; zero before `fit`.
        log_regularization, log_scale: learned, scalars.
        attention: the `WordAttention`.

    Shapes:
        forward: x `(…, B, S)` -> `(…, B, C)`. A leading axis `N` is the task axis: each task has
            its own support set, and all tasks share the parameters.

    Raises:
        ArgumentError: a number is out of range.
        UnknownNameError: `importance` is unknown.

    Example:
        >>> from l2l_rnn.nn import Embedding
        >>> vectors = torch.eye(6)  # of padding, unknown words and four words
        >>> learner = DistributionalSignatures(Embedding.from_pretrained(vectors), 2, vocab_size=6)
        >>> texts = torch.tensor([[2, 3, 2], [4, 4, 5]])
        >>> clone = learner.fit(texts).clone()
        >>> clone.write(texts, torch.tensor([0, 1]))
        >>> clone(torch.tensor([[5, 4, 0], [2, 0, 0]])).argmax(-1)
        tensor([1, 0])

    Source: Y. Bao, M. Wu, S. Chang and R. Barzilay, 2020, Few-shot Text Classification with
    Distributional Signatures, section 4, and github.com/YujiaBao/Distributional-Signatures. There,
    unknown words have zero vectors but get weight, `f(x)` is not scaled, the ridge regressions have
    no intercept, and no gradient goes through `t`.
    """

    kept = ("support", "members")
    described = "token ids (…, B, S) and one-hot labels (…, B, C) of a support set"

    frequencies: Tensor
    _support: Tensor | None
    _members: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        ways: int,
        vocab_size: int,
        *,
        hidden_size: int = 25,
        dropout: float = 0.1,
        epsilon: float = 1e-5,
        importance: str = "margin",
        penalty: float = 1.0,
        regularization: float = 0.1,
        scale: float = 10.0,
        unit: bool = True,
        unknown: int | None = 1,
    ) -> None:
        super().__init__(model, ways)
        who = "DistributionalSignatures"
        self.vocab_size = check_int(who, "vocab_size", vocab_size)
        self.epsilon = check_number(who, "epsilon", epsilon, above=0)
        self.importance = check_choice(who, "importance", importance, IMPORTANCES)
        self.penalty = check_number(who, "penalty", penalty, above=0)
        self.unit = unit
        self.unknown = unknown
        self.attention = WordAttention(hidden_size, dropout)
        for name, value in (("regularization", regularization), ("scale", scale)):
            start = math.log(check_number(who, name, value, above=0))
            self.register_parameter(f"log_{name}", nn.Parameter(torch.tensor(start)))
        self.register_buffer("frequencies", torch.zeros(self.vocab_size))

    def fit(self, texts: Tensor) -> DistributionalSignatures:
        """Count the words of the source texts.

        Args:
            texts: token ids of the texts of the training classes, padded with 0.

        Shapes:
            texts `(items, S)`. Returns the learner itself.

        Raises:
            ArgumentError: an id is not below `vocab_size`.
            DataError: no text has a known word.
        """
        counts = word_counts(texts, self.vocab_size, unknown=self.unknown)
        self.frequencies.copy_(counts / counts.sum())
        return self

    def clone(
        self, *, tasks: int | None = None, frequencies: Tensor | None = None
    ) -> DistributionalSignatures:
        """Return a learner without a support set; it backpropagates to this learner's parameters.

        Args:
            tasks: `N`, the number of tasks to learn at once.
            frequencies: `P` of this clone; None uses this learner's. In training, leave out the
                texts of the classes of the task, as those of a new task are not in it either.

        Shapes:
            frequencies `(V,)`, or `(N, V)` with its own for each task.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
            ArgumentTypeError: the model has a recurrent layer of torch.
            ShapeError: the frequencies have another shape.
        """
        learner = super().clone(tasks=tasks)
        learner.__dict__["_buffers"] = {**self._buffers}
        if frequencies is None:
            return learner
        who = "DistributionalSignatures.clone"
        check_tensor(who, "frequencies", frequencies)
        if frequencies.shape not in ((self.vocab_size,), (learner.tasks, self.vocab_size)):
            raise ShapeError(
                f"{who}: frequencies must be ({self.vocab_size},), or (N, {self.vocab_size}) with "
                f"tasks=N, got {tuple(frequencies.shape)}; count them with word_counts"
            )
        learner._buffers["frequencies"] = usable(frequencies).to(self.frequencies)
        if frequencies.dim() == 2:
            mark_task_axis(learner, {"frequencies"})
        return learner

    def forward(self, x: Tensor) -> Tensor:
        who = "DistributionalSignatures"
        check_words(who, x, self.vocab_size)
        held = self._adaptation()
        if held:
            self._check_axes(who, x, held)
            words, texts = self._solve()
            scores = self.log_scale.exp() * texts(self._encode(x, words)[0])
            scores = mask_absent(scores, held["members"].any(-2))
        else:
            # Zeros that depend on a parameter, so that a loss computed from them has a graph.
            scores = self.log_scale.new_zeros(*x.shape[:-1], self.ways) + 0 * self.log_scale
        if torch.is_grad_enabled() and not scores.requires_grad:
            scores.requires_grad_()  # every parameter is frozen
        self._last = (x, scores) if torch.is_grad_enabled() else None
        return scores

    def encoded(self, x: Tensor) -> Tensor:
        """Return the vectors of texts, `(…, B, E)`: plain means if there is no support set."""
        check_words("DistributionalSignatures", x, self.vocab_size)
        return self._encode(x, self._solve()[0] if self._adaptation() else None)[0]

    def weights(self, x: Tensor) -> Tensor:
        """Compute the weight of each word of texts, `(…, B, S)`, given the support set.

        Raises:
            ArgumentError: there is no support set.
        """
        check_words("DistributionalSignatures", x, self.vocab_size)
        if not self._adaptation():
            raise ArgumentError(
                "DistributionalSignatures.weights: expected a support set, got none; call write"
            )
        return self._encode(x, self._solve()[0])[1]

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        """Add labeled texts to the support set.

        Args:
            x: token ids of support texts, padded with 0.
            y: their labels, integers from 0 to `C - 1`.
            mask: False where a row is padding, which is left out, whatever its label; None if there
                is no padding.

        Shapes:
            x `(…, B, S)`, y and mask `(…, B)`.

        Raises:
            ArgumentTypeError: x or the labels are not integers, or the mask is not a bool tensor.
            ShapeError: the number of labels or of values of the mask is not that of texts.
            ArgumentError: a label is out of range, or a text has no known word.
        """
        who = "DistributionalSignatures.write"
        check_words(who, x, self.vocab_size)
        self._bind(who, x, one_hot(who, y, x, self.ways, "set ways", mask))

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        ids, members = vectors, members.to(self.log_scale.dtype)  # texts are kept as token ids
        empty = members.any(-1) & ~known_words(ids, self.unknown).any(-1)
        values = readable_values(empty)
        if values is not None and values.any():
            where = tuple(values.nonzero()[0].tolist())
            raise ArgumentError(
                f"{who}: text {where[0] if len(where) == 1 else where} must have a known word, got "
                "only padding and unknown words; drop it, or mask it"
            )
        if self._support is not None and self._members is not None:
            steps = max(self._support.shape[-1], ids.shape[-1])
            both = self._support, ids
            ids = torch.cat([F.pad(one, (0, steps - one.shape[-1])) for one in both], -2)
            members = torch.cat([self._members, members], -2)
        return {"support": ids, "members": members}

    def _solve(self) -> tuple[LinearHead, LinearHead]:
        """Fit the classifiers of plain means and of weighted means to the support set."""
        held = self._adaptation()
        ids, members = held["support"], held["members"]
        rows = members.sum(-1, keepdim=True)
        means, _ = self._encode(ids, None)
        words = ridge_head(means, members, rows, means.new_tensor(self.penalty))
        vectors, _ = self._encode(ids, words)
        return words, ridge_head(vectors, members, rows, self.log_regularization.exp())

    def _encode(self, x: Tensor, words: LinearHead | None) -> tuple[Tensor, Tensor]:
        """Return vectors of texts `(…, B, E)` and weights of words `(…, B, S)`.

        Args:
            x: token ids.
            words: the classifier of words; None gives all words of a text equal weights.
        """
        states = self._states(x)
        known = known_words(x, self.unknown)
        if words is None:
            weights = known / known.sum(-1, keepdim=True).clamp_min(1)
        else:
            statistics = torch.stack([self._general(x, states), self._specific(states, words)], -1)
            lengths = token_lengths(x).clamp_min(1)
            weights = self.attention(statistics * known.unsqueeze(-1), known, lengths)
        weights = weights.to(states.dtype)
        vectors = (weights.unsqueeze(-2) @ states).squeeze(-2)
        if self.unit and words is not None:  # a text without known words keeps its zeros
            vectors = vectors * (vectors.square().sum(-1, keepdim=True) + 1e-12).rsqrt()
        return vectors, weights

    def _general(self, x: Tensor, states: Tensor) -> Tensor:
        """Compute `s` of each word, `(…, B, S)`."""
        source = self.frequencies
        source = source[x] if source.dim() == 1 else source.gather(-1, x.flatten(1)).view_as(x)
        return (self.epsilon / (self.epsilon + source)).to(states.dtype)

    def _specific(self, states: Tensor, words: LinearHead) -> Tensor:
        """Compute `t` of each word, `(…, B, S)`."""
        scores = states @ words.weight.mT.unsqueeze(-3).to(states.dtype)  # (…, B, S, C)
        if self.importance == "margin":
            return scores.abs().amax(-1)
        logs = scores.log_softmax(-1)
        return -1 / (logs.exp() * logs).sum(-1)

    def _states(self, x: Tensor) -> Tensor:
        states = self._task_calls.call_module(self.module, x, self.tasks)
        if states.shape[:-1] != x.shape:
            raise ShapeError(
                "DistributionalSignatures: model must map ids (…, B, S) to vectors (…, B, S, E), "
                f"got {tuple(states.shape)} from {tuple(x.shape)}; return one vector per word"
            )
        return states

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["support"].shape[:-1] == saved["members"].shape[:-1]

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["members"].shape[-1]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        more = (0, ways - saved["members"].shape[-1])
        return {**saved, "members": F.pad(saved["members"], more)}

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        super()._restore(who, saved)
        if self._support is not None:  # ids stay integers
            self._support = saved["support"].to(self._support.device)
