"""Few-shot translation of short texts with scikit-learn's interface."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.algorithms import PairMemoryLearner
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.estimators.models import opened, ready
from l2l_rnn.estimators.unknown_inputs import UnknownInputWarning
from l2l_rnn.optional import require
from l2l_rnn.training import PairInputs, Pretrained

_base: Any = require("sklearn.base", extra="estimators", purpose="l2l_rnn.estimators")
_exceptions: Any = require("sklearn.exceptions", extra="estimators", purpose="l2l_rnn.estimators")


class _Vote(NamedTuple):
    """A learner of the pairs with exchanged target letters.

    Attributes:
        table: the new id of each target id, `(V,)`.
        learner: the learner, which has the pairs.
    """

    table: Tensor
    learner: Any


class FewShotTranslator(_base.BaseEstimator):
    r"""Translate short texts into a new language from a few pairs, with a meta-trained model.

    `fit` stores the pairs in the memory of a `PairMemoryLearner`, without gradient steps. The
    learner has learned from many languages how to combine the pairs.

    Args:
        model: a bundled name, a folder, or a `training.Pretrained` with a `PairMemoryLearner` and
            `PairInputs`. A name or folder is loaded by `fit`.
        votes: number of translations of each text, the first from the pairs as they are and the
            others from pairs with exchanged target letters. The most frequent one is returned.
        random_state: seed of the exchanged letters.

    Attributes:
        model_: the `Pretrained` in use.
        pairs_: the number of pairs.

    Raises:
        ArgumentError, ArgumentTypeError, DataError: in `fit`, a parameter or a pair is invalid.
        NotFittedError: the translator was not fitted.

    Example:
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> from l2l_rnn.models import MemorySeq2Seq
        >>> from l2l_rnn.training import TextInputs
        >>> digits = TextInputs(CharacterVocabulary(["0123456789"]), max_length=3)
        >>> words = TextInputs(CharacterVocabulary(["\x03", "abcdefghijklmnopqrstuvwxyz "]), 30)
        >>> network = MemorySeq2Seq(12, 30, hidden_size=8, max_length=30)
        >>> model = Pretrained(PairMemoryLearner(network), PairInputs(digits, words))
        >>> translator = FewShotTranslator(model).fit(["1", "2"], ["unu", "du"])
        >>> translator.predict(["21"]).shape  # this network is not trained
        (1,)
    """

    def __init__(self, model: Any = "numbers", *, votes: int = 1, random_state: int = 0) -> None:
        self.model = model
        self.votes = votes
        self.random_state = random_state

    @classmethod
    def from_pretrained(cls, name: Any, **options: Any) -> FewShotTranslator:
        """Return a translator with a model that is loaded now; see `Pretrained.from_pretrained`."""
        return cls(model=Pretrained.from_pretrained(name), **options)

    def fit(self, X: Any, y: Any) -> FewShotTranslator:
        """Store pairs, and forget earlier ones.

        Args:
            X: source texts.
            y: their translations.
        """
        who = "FewShotTranslator.fit"
        votes = check_int(who, "votes", self.votes)
        model = ready(opened(who, self.model))
        if not isinstance(model.learner, PairMemoryLearner):
            raise ArgumentTypeError(
                f"{who}: the model must have a PairMemoryLearner, got "
                f"{type(model.learner).__name__}; use FewShotClassifier for classes"
            )
        x, targets = _pairs(who, model, X, y)
        generator = torch.Generator().manual_seed(self.random_state)
        tables = [_table(model.inputs, generator if vote else None) for vote in range(votes)]
        self._votes = [_Vote(table, model.learner.clone()) for table in tables]
        self.model_, self.pairs_ = model, 0
        return self._write(x, targets)

    def partial_fit(self, X: Any, y: Any) -> FewShotTranslator:
        """Store further pairs.

        Args:
            X: source texts.
            y: their translations.
        """
        if not hasattr(self, "_votes"):
            return self.fit(X, y)
        return self._write(*_pairs("FewShotTranslator.partial_fit", self.model_, X, y))

    def predict(self, X: Any) -> NDArray[np.object_]:
        """Translate texts.

        Args:
            X: source texts.

        Returns:
            The translations, `(B,)`, as str.
        """
        if not hasattr(self, "_votes"):
            raise _exceptions.NotFittedError(
                "FewShotTranslator: fit must be called before predict, got a translator that is "
                "not fitted; call fit(X, y)"
            )
        inputs = self.model_.inputs
        x = inputs(X).to(self.model_.device)
        unknown = np.flatnonzero(inputs.known_fraction(X) == 0)
        if len(unknown):
            warnings.warn(
                f"FewShotTranslator.predict: row {unknown[0]} has no character that the model "
                "knows, so its translation means nothing",
                UnknownInputWarning,
                stacklevel=2,
            )
        found = []
        for table, learner in self._votes:
            with torch.no_grad():
                tokens = learner.greedy(x).cpu()
            found.append(inputs.texts(table.argsort()[tokens]))
        most = [Counter(texts).most_common(1)[0][0] for texts in zip(*found, strict=True)]
        return np.array(most, dtype=object)

    def score(self, X: Any, y: Any) -> float:
        """Return the fraction of texts whose translation equals `y`."""
        return float(np.mean([a == b for a, b in zip(self.predict(X), y, strict=True)]))

    def _write(self, x: Tensor, targets: Tensor) -> FewShotTranslator:
        device = self.model_.device
        for table, learner in self._votes:
            with torch.no_grad():
                learner.write(x.to(device), table[targets].to(device))
        self.pairs_ += len(x)
        return self


def _pairs(who: str, model: Pretrained, X: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return the token ids of pairs.

    Raises:
        ArgumentError: there are more sources than targets, or fewer.
        DataError: a target has characters that the model cannot write.
    """
    x, targets = model.inputs(X), model.inputs.targets(y)
    if len(x) != len(targets):
        raise ArgumentError(
            f"{who}: X and y must have the same length, got {len(x)} and {len(targets)}; pass a "
            "translation for each text"
        )
    unknown = getattr(model.inputs.target.pipeline, "UNKNOWN", 1)
    rows = (targets == unknown).any(-1).nonzero()
    if len(rows):
        raise DataError(
            f"{who}: the model must know all characters of the translations, got others in row "
            f"{int(rows[0])} ({list(y)[int(rows[0])]!r}); use a model of this script"
        )
    return x, targets


def _table(inputs: PairInputs, generator: torch.Generator | None) -> Tensor:
    """Return a new id for each target id: letters are permuted, or kept without a generator."""
    tokens = getattr(inputs.target.pipeline, "token_ids", {})
    table = torch.arange(max(tokens.values(), default=1) + 1)
    if generator is not None:
        letters = torch.tensor([i for token, i in tokens.items() if _is_letter(token)])
        table[letters] = letters[torch.randperm(len(letters), generator=generator)]
    return table


def _is_letter(token: str) -> bool:
    return len(token) == 1 and unicodedata.category(token) in ("Ll", "Lu", "Lt", "Lo")
