"""What a fitted classifier holds, and how scikit-learn copies, pickles and describes it."""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators.explanation import SupportExample, explained
from l2l_rnn.estimators.labels import Labels, with_label
from l2l_rnn.estimators.learner_kinds import LearnerKind, Reading
from l2l_rnn.estimators.models import kind_of, opened, ready
from l2l_rnn.estimators.parameters import check_parameters, check_unknown_label
from l2l_rnn.estimators.personal import Personal, read
from l2l_rnn.estimators.raw_inputs import check_columns, read_inputs
from l2l_rnn.estimators.unknown_inputs import SETTING, UnknownInputWarning, unknown_scores
from l2l_rnn.optional import require
from l2l_rnn.training import Pretrained, TextInputs, load_user, save_user

_exceptions: Any = require("sklearn.exceptions", extra="estimators", purpose="l2l_rnn.estimators")

_OF_MODEL = ("model", "inputs", "steps")  # parameters that only fit reads


class ClassifierState:
    """The fitted part of a `FewShotClassifier`. Not for direct use."""

    model: Any
    inputs: Any
    steps: int | None
    unknown_label: Any
    unknown_above: float | None
    model_: Pretrained
    _kind: LearnerKind
    _personal: Personal
    _used: dict[str, Any]

    @property
    def classes_(self) -> Labels:
        """The class names, sorted, `(C,)`."""
        names = self._fitted("classes_").names
        return names[np.argsort(names)]

    @property
    def counts_(self) -> NDArray[np.int64]:
        """The number of examples of each class, in the order of `classes_`, `(C,)`."""
        personal = self._fitted("counts_")
        return np.array(personal.counts)[np.argsort(personal.names)]

    @property
    def learner_(self) -> Any:
        """The adapted learner. Its outputs are the classes in the order in which they came."""
        return self._fitted("learner_").learner

    def _opened(self, who: str) -> tuple[Pretrained, LearnerKind]:
        """Check the parameters; return their model, in evaluation mode, and its learner."""
        check_parameters(who, self)
        model = ready(opened(who, self.model, self.inputs))
        return model, self._kind_of(who, model)

    def _kind_of(self, who: str, model: Pretrained) -> LearnerKind:
        steps = model.steps if self.steps is None else self.steps
        return kind_of(who, model.learner, steps, model.loss_function)

    def _hold(self, model: Pretrained, kind: LearnerKind, personal: Personal) -> None:
        self.model_, self._kind, self._personal = model, kind, personal
        self._used = {name: getattr(self, name) for name in _OF_MODEL}

    def _check_same_model(self, who: str) -> None:
        """Check the parameters, and that the model is the one that the classifier was fitted with.

        Raises:
            ArgumentError: a parameter is invalid, or another model was set, or it has changed.
        """
        check_parameters(who, self)
        for name, used in self._used.items():
            given = getattr(self, name)
            simple = isinstance(given, (str, int, os.PathLike)) and type(given) is type(used)
            if given is not used and not (simple and given == used):
                raise ArgumentError(
                    f"{who}: {name} must be the one of the earlier calls, got another one; call "
                    "fit again to use it"
                )
        self._kind.check_unchanged(who)

    def _fitted(self, what: str) -> Personal:
        if not self.__sklearn_is_fitted__():
            raise _exceptions.NotFittedError(
                f"FewShotClassifier: fit must be called before {what}, got a classifier that is "
                "not fitted; call fit(X, y)"
            )
        return self._personal

    def _check_fitted(self, who: str) -> None:
        """Check that the classifier can answer.

        Raises:
            NotFittedError: it was not fitted.
            ArgumentError: fewer than two classes have examples, or the learner has changed.
        """
        counts = self._fitted(who.rpartition(".")[2]).counts
        present = sum(count > 0 for count in counts)
        if present < 2:
            raise ArgumentError(
                f"{who}: at least two classes must have examples, got {present}; add examples with "
                "partial_fit"
            )
        self._kind.check_unchanged(who)

    def _read(self, who: str, X: Any) -> Reading:
        self._check_fitted(who)
        check_columns(self, X, reset=False)
        x, _ = read_inputs(who, self.model_, X)
        return read(self._kind, self._personal, x)

    def _predict(self, who: str, X: Any, stacklevel: int) -> Labels:
        return self._answers(who, X, self._read(who, X), stacklevel)

    def _probabilities(self, who: str, X: Any) -> NDArray[Any]:
        scores = self._read(who, X).scores
        return self._columns(scores.double().softmax(-1).to(scores.dtype).numpy())

    def _explain(self, who: str, X: Any, count: int) -> list[list[SupportExample]]:
        count = check_int(who, "count", count)
        self._check_fitted(who)
        check_columns(self, X, reset=False)
        x, _ = read_inputs(who, self.model_, X)
        return explained(who, self._kind, self._personal, x, count)

    def _answers(self, who: str, X: Any, reading: Reading, stacklevel: int) -> Labels:
        """Return the most probable classes, and warn of unknown inputs or mark them."""
        labels = self.classes_[self._columns(reading.scores.numpy()).argmax(-1)]
        if self.unknown_above is None:
            return labels
        limit = check_number(who, "unknown_above", self.unknown_above, least=0, most=1)
        scores = self._unknown(X, reading)
        unknown = (scores > limit) | (scores == 1)
        if not unknown.any():
            return labels
        if self.unknown_label is not None:
            check_unknown_label(who, self.unknown_label, self._personal.names)
            return with_label(labels, unknown, self.unknown_label)
        rows = np.flatnonzero(unknown)
        shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
        warnings.warn(
            f"{who}: {len(rows)} of {len(labels)} inputs are like none of the classes (rows "
            f"{shown}); see unknown_score, and set unknown_label to mark them",
            UnknownInputWarning,
            stacklevel=stacklevel,
        )
        return labels

    def _unknown(self, X: Any, reading: Reading) -> NDArray[np.float64]:
        texts = isinstance(self.model_.inputs, TextInputs)  # numbers are always known
        known = self.model_.inputs.known_fraction(X) if texts else np.ones(len(reading.unusual))
        quantiles = self.model_.settings.get(SETTING)
        return unknown_scores(self._kind, reading.unusual, known, quantiles)

    def _columns(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Return scores with their columns in the order of `classes_`."""
        return scores[:, np.argsort(self._personal.names)]

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the classifier holds examples."""
        return "_personal" in vars(self)

    def __sklearn_clone__(self) -> Any:
        """Return a classifier with the same parameters that is not fitted, and shares the model."""
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        shared = ("model", "inputs")
        return type(self)(
            **{n: v if n in shared else copy.deepcopy(v) for n, v in parameters.items()}
        )

    def __sklearn_tags__(self) -> Any:
        """Return the kinds of input that the model takes."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        inputs = self.inputs if self.inputs is not None else getattr(self.model, "inputs", None)
        texts = isinstance(inputs, TextInputs)
        series = inputs is not None and not texts
        tags.input_tags.one_d_array = tags.input_tags.string = not series
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = not texts
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, with what the learner has adapted in its place."""
        held: Any = super().__getstate__()
        state = dict(held)
        kind, personal = state.pop("_kind", None), state.get("_personal")
        if kind is not None and personal is not None:
            kind.check_unchanged("FewShotClassifier")
            state["_user"] = save_user(personal.learner, kind.learner)
            state["_personal"] = dataclasses.replace(personal, learner=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state, and load the learner into the model."""
        state = dict(state)
        user = state.pop("_user", None)
        super().__setstate__(state)  # type: ignore[misc]
        if user is not None:
            self._kind = self._kind_of("FewShotClassifier", self.model_)
            learner = self._kind.shared(load_user(self._kind.learner, user))
            self._personal = dataclasses.replace(self._personal, learner=learner)
