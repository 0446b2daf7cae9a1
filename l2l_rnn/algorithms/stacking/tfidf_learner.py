"""TF-IDF with logistic regression behind `clone()` and `adapt()`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.algorithms.stacking.kernel_heads import Head, logistic_head, ridge_head
from l2l_rnn.algorithms.stacking.ngrams import NgramTable
from l2l_rnn.algorithms.stacking.tfidf import Background, TfIdf, Weighting
from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError


@configurable
class TfIdfLearner(SupportLearner):
    """Classify token ids by TF-IDF weights of their n-grams and a linear classifier.

    This is the classical baseline of few-shot text classification: scikit-learn's
    `TfidfVectorizer(ngram_range=ngrams)` and `LogisticRegression(C=regularization)`, fitted to the
    support set. The probabilities are the same, up to the tolerance of the solver. It has no
    network and no parameters. Its tokens are the ids that it is called with: characters, word
    pieces or words.

    It differs from the same pipeline on raw texts in what the ids have lost. Tokens outside the
    vocabulary all have the id 1, and count as one token. Texts are cut to the length of the ids.
    Upper and lower case are those of the vocabulary: scikit-learn lowercases by default, so compare
    with `lowercase=False`, or with ids of lowercased texts. scikit-learn's character n-grams run
    over the text as given, and its `analyzer="char_wb"` has no counterpart.

    `write(x, y)` adds labeled documents to the support set. `adapt(loss)` does the same in an
    unchanged learn2learn script. The classifier is solved at the next call, from the scalar
    products of documents, for all tasks at once. Gradients end at its scores.

    Args:
        ways: `C`, the number of classes.
        ngrams: the shortest and the longest n-gram.
        regularization: inverse strength `C` of scikit-learn's L2 penalty. For `head="ridge"`,
            `1 / alpha` of its `RidgeClassifier`.
        head: `"logistic"`, or `"ridge"`, whose scores are not log probabilities.
        sublinear_tf: whether to use `1 + log tf` in place of the term frequency `tf`.
        background_size, background_tokens, background_documents: the sizes of a fitted background,
            which `fit_background` sets; leave them at 0.

    Attributes:
        background: the keys of the n-grams of the background, and in how many of its documents each
            one occurs, `(2, background_size)`.

    A class without support documents, of this task if there are several, is never predicted.
    N-grams of a query that do not occur in the support set are ignored.

    Shapes:
        forward: x `(…, B, S)`, token ids padded with 0 -> `(…, B, C)`, float64. A leading
            axis `N` is the task axis.

    Raises:
        ArgumentError: an argument is out of range.
        UnknownNameError: the head is unknown.

    Example:
        >>> learner = TfIdfLearner(ways=2, ngrams=(1, 2)).clone()
        >>> x = torch.tensor([[2, 3, 0], [2, 4, 4], [5, 6, 0], [6, 6, 5]])
        >>> learner.write(x, torch.tensor([0, 0, 1, 1]))
        >>> learner(torch.tensor([[3, 2], [6, 9]])).argmax(-1)
        tensor([0, 1])

    Source: K. Spärck Jones, 1972, A Statistical Interpretation of Term Specificity and Its
    Application in Retrieval; the weights and the objective are scikit-learn's.
    """

    kept: ClassVar[tuple[str, ...]] = ("ids", "members")
    described: ClassVar[str] = "token ids (…, B, S) and one-hot rows (…, B, C) of a support set"

    background: Tensor
    _ids: Tensor | None
    _members: Tensor | None

    def __init__(
        self,
        ways: int,
        ngrams: Sequence[int] = (1, 3),
        regularization: float = 1.0,
        *,
        head: str = "logistic",
        sublinear_tf: bool = False,
        background_size: int = 0,
        background_tokens: int = 0,
        background_documents: int = 0,
    ) -> None:
        super().__init__(TokenIds(), ways)
        who = "TfIdfLearner"
        if not isinstance(ngrams, (tuple, list)) or len(ngrams) != 2:
            raise ArgumentError(
                f"{who}: ngrams must be the shortest and the longest length, got {ngrams!r}; pass "
                "a pair such as (1, 3)"
            )
        shortest = check_int(who, "ngrams[0]", ngrams[0])
        self.weighting = Weighting(
            (shortest, check_int(who, "ngrams[1]", ngrams[1], least=shortest)), bool(sublinear_tf)
        )
        self.regularization = check_number(who, "regularization", regularization, above=0)
        self.head = check_choice(who, "head", head, ("logistic", "ridge"))
        self.background_size = check_int(who, "background_size", background_size, least=0)
        self.background_tokens = check_int(who, "background_tokens", background_tokens, least=0)
        self.background_documents = check_int(
            who, "background_documents", background_documents, least=0
        )
        with outside_inference_mode():
            none = torch.zeros(2, self.background_size, dtype=torch.int64)
        self.register_buffer("background", none)

    def reset(self) -> None:
        super().reset()
        self._fitted: tuple[Tensor, TfIdf, Head] | None = None  # for the ids that come first

    def fit_background(self, ids: Any, least: int = 2) -> TfIdfLearner:
        """Count the document frequencies of n-grams in documents of other classes.

        They are added to those of each support set, whose own frequencies are a poor estimate if
        there are few documents. Call it before `clone`.

        Args:
            ids: training documents, `(D, S)` token ids, or a dataset that holds them as
                `sequences`.
            least: n-grams in fewer documents than this are not kept.

        Returns:
            The learner itself.

        Raises:
            ArgumentTypeError: `ids` is neither a tensor of token ids nor such a dataset.
        """
        who = "TfIdfLearner.fit_background"
        least = check_int(who, "least", least)
        ids = self.module(getattr(ids, "sequences", ids))
        if ids.dim() != 2:
            raise ShapeError(f"{who}: ids must be (D, S), got {tuple(ids.shape)}; flatten the axes")
        found = Background.of(ids, self.weighting, least)
        both = torch.stack([found.table.keys, found.frequencies])
        self.background_size, self.background_tokens = len(found.table), found.table.size
        self.background_documents = found.documents
        self.background = both.to(self.background.device)
        self._fitted = None
        return self

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x).detach().double()
        if torch.is_grad_enabled():
            last: Any = self._last
            scores.requires_grad_()  # so that adapt can read the labels from the loss
            self._last = last[0], scores
        return scores

    def similarities(self, x: Tensor) -> Tensor:
        """Return the cosine of the TF-IDF weights of documents and of each support document.

        Shapes:
            x `(…, Q, S)` -> `(…, Q, B)`, in the order in which the support set was written.

        Raises:
            ArgumentError: there is no support document.
        """
        if self._ids is None:
            raise ArgumentError(
                "TfIdfLearner.similarities: the learner must have a support set, got none; call "
                "write(x, y) on a clone first"
            )
        ids = self.encoded(x)
        with outside_inference_mode(), torch.no_grad():
            products = self._solved()[0].products_with(ids.reshape(-1, *ids.shape[-2:]))
        return products.reshape(*ids.shape[:-1], products.shape[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_fitted": None}  # solved again from the support set

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        if self._ids is None or self._members is None:
            return {"ids": vectors, "members": members}
        steps = max(self._ids.shape[-1], vectors.shape[-1])
        both = [F.pad(part, (0, steps - part.shape[-1])) for part in (self._ids, vectors)]
        return {"ids": torch.cat(both, -2), "members": torch.cat([self._members, members], -2)}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        with outside_inference_mode(), torch.no_grad():
            tfidf, head = self._solved()
            products = tfidf.products_with(vectors.reshape(-1, *vectors.shape[-2:]))
            scores = head.scores(products).reshape(*vectors.shape[:-1], self.ways)
        members: Any = self._members
        return scores, members.sum(-2) > 0

    def _solved(self) -> tuple[TfIdf, Head]:
        """Return the vectors and the classifier of the support set, computed once."""
        ids: Any = self._ids
        if self._fitted is None or self._fitted[0] is not ids:
            members: Any = self._members
            members = members.reshape(-1, *members.shape[-2:])
            rows = members.sum(-1) > 0
            background = None
            if self.background_documents:
                table = NgramTable(self.background[0], self.background_tokens, 1)
                background = Background(table, self.background[1], self.background_documents)
            with outside_inference_mode(), torch.no_grad():
                documents = ids.reshape(-1, *ids.shape[-2:])
                tfidf = TfIdf(documents, rows, self.weighting, background)
                solve = logistic_head if self.head == "logistic" else ridge_head
                head = solve(tfidf.products(), members.double(), self.regularization)
            self._fitted = ids, tfidf, head
        return self._fitted[1:]

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["ids"].shape[:-1] == saved["members"].shape[:-1] and not any(
            value.is_floating_point() for value in saved.values()
        )

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["members"].shape[-1]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        members = saved["members"]
        return {**saved, "members": F.pad(members, (0, ways - members.shape[-1]))}


class TokenIds(nn.Module):
    """Check token ids, and return them as int64. It takes the place of an encoder.

    Raises:
        ArgumentTypeError: x is not an integer tensor.
        ShapeError: x has fewer than two axes.
    """

    task_axis: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.is_floating_point() or x.dtype == torch.bool:
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise ArgumentTypeError(
                f"TfIdfLearner: x must be token ids, an integer tensor, got {got}; encode texts "
                "with a vocabulary"
            )
        if x.dim() < 2:
            raise ShapeError(
                f"TfIdfLearner: x must be (…, B, S), got shape {tuple(x.shape)}; add the axes"
            )
        return x.long()
