"""Few-shot classification of texts and time series with scikit-learn's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import shown
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators.classifier_state import ClassifierState
from l2l_rnn.estimators.explanation import SupportExample
from l2l_rnn.estimators.folders import load_folder, save_folder
from l2l_rnn.estimators.labels import Labels, checked_labels
from l2l_rnn.estimators.parameters import check_unknown_label
from l2l_rnn.estimators.personal import Personal, grown
from l2l_rnn.estimators.raw_inputs import check_columns, read_inputs
from l2l_rnn.optional import require
from l2l_rnn.training import Pretrained

_base: Any = require("sklearn.base", extra="estimators", purpose="l2l_rnn.estimators")


class FewShotClassifier(ClassifierState, _base.ClassifierMixin, _base.BaseEstimator):
    """Classify texts or time series from a few examples of each class, with a meta-trained model.

    `fit` adapts the model to the examples the way its learner does: a `ProtoNet` computes class
    means, `R2D2`, `LRD2` and `TfIdfLearner` solve for a linear head, a `StackedLearner` does
    several of these, a `MemoryLearner` writes to its memory, and `MAML` takes gradient steps. The
    classes are those of the examples. A `MemoryLearner` takes as many of them as its memory's
    `value_size`, `MAML` as many as its head has outputs, and the others any number. A learner with
    a `FixedClassifier`, such as the bundled `"activity"`, takes only the classes that it knows.

    **The model.** A classifier never changes its model, so many can share it. If its learner is in
    training mode, `fit` takes a copy, which further training does not change. A learner in
    evaluation mode is not copied: if it is trained further, the classifier raises an error until
    `fit` is called again.

    **Inputs.** A model of texts takes a list, array or Series of str, or a data frame with one
    column. A model of series takes the formats of `data.from_arrays`, such as a list of arrays of
    different lengths. A two-dimensional array, or a list of equally long lists, has one series of
    one channel per row; as in all of scikit-learn, later ones must have as many columns. Pass a
    list of arrays for series of any length.

    **Unknown inputs.** `predict` always returns a class. It warns if an input is like none of them,
    or returns `unknown_label` for it; see `unknown_score`.

    Args:
        model: a bundled name such as `"languages"`, a folder, a `training.Pretrained`, or a learner
            of `l2l_rnn.algorithms`. A name or folder is loaded by `fit`.
        inputs: what turns raw inputs into tensors, such as `training.TextInputs`. Only for a
            learner; other models have their own.
        steps: gradient steps, or writes to a memory; None for the model's number. A `ProtoNet`,
            `R2D2` or `LRD2` has neither, and ignores it.
        unknown_label: the class name that `predict` returns for unknown inputs, which none of the
            examples may have; None warns instead.
        unknown_above: inputs with a larger unknown score are unknown, from 0 to 1; None treats all
            as known.
        keep_examples: whether to keep the examples, which `explain` needs, and `partial_fit` of
            learners with gradient steps.

    Attributes:
        classes_: the class names, sorted, `(C,)`.
        counts_: the number of examples of each class, `(C,)`.
        model_: the `Pretrained` in use.
        learner_: the adapted learner.
        n_features_in_, feature_names_in_: the columns of `X` in `fit`, if it was two-dimensional.

    Raises:
        ArgumentError, ArgumentTypeError, DataError: in `fit`, a parameter or an example is invalid,
            or there are fewer than two classes. In later calls, the learner has changed.
        NotFittedError: the classifier was not fitted.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.training import TextInputs
        >>> inputs = TextInputs(CharacterVocabulary(["abcxyz"]), max_length=20)
        >>> learner = ProtoNet(SequenceEncoder(vocab_size=8, hidden_size=16), ways=5)
        >>> classifier = FewShotClassifier(learner, inputs=inputs)
        >>> classifier.fit(["abc", "cab", "xyz", "zyx"], ["first", "first", "last", "last"])
        FewShotClassifier(...)
        >>> classifier.predict(["abc", "xyz"])
        array(['first', 'last'], dtype='<U5')
    """

    def __init__(
        self,
        model: Any = "languages",
        *,
        inputs: Any = None,
        steps: int | None = None,
        unknown_label: Any = None,
        unknown_above: float | None = 0.99,
        keep_examples: bool = True,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.steps = steps
        self.unknown_label = unknown_label
        self.unknown_above = unknown_above
        self.keep_examples = keep_examples

    @classmethod
    def from_pretrained(cls, name: Any, **options: Any) -> FewShotClassifier:
        """Return a classifier with a model that is loaded now.

        Args:
            name: as in `Pretrained.from_pretrained`: a bundled name such as `"languages"`, a folder
                or an id of the Hugging Face Hub.
            options: the other parameters of the classifier.
        """
        return cls(model=Pretrained.from_pretrained(name), **options)

    def fit(self, X: Any, y: Any) -> FewShotClassifier:
        """Adapt the model to examples, and forget earlier ones.

        Args:
            X: the examples.
            y: their classes: str, int or bool. Texts are compared by their code points; normalize
                them first if they come in several Unicode forms, such as by `unicodedata`.

        Raises:
            ArgumentError: there are fewer than two classes, the model cannot learn as many, or it
                knows other classes.
        """
        who = "FewShotClassifier.fit"
        model, kind = self._opened(who)
        x, raw = read_inputs(who, model, X)
        labels = checked_labels(who, y, len(x))
        if len(np.unique(labels)) < 2:
            raise ArgumentError(
                f"{who}: y must have at least two classes, got 1 class, {shown(labels[0])}; add "
                "examples of another one, or use partial_fit if they come later"
            )
        check_unknown_label(who, self.unknown_label, labels)
        personal = grown(who, kind, Personal(), x, raw, labels, None, self.keep_examples)
        check_columns(self, X, reset=True)
        self._hold(model, kind, personal)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> FewShotClassifier:
        """Add examples of old or new classes.

        A `ProtoNet`, `R2D2` or `LRD2` then equals one that was fitted to all examples at once, up
        to rounding. A `MemoryLearner` writes the new examples after the earlier ones. A learner
        with gradient steps adapts to all examples again. After an error, the classifier is
        unchanged.

        Args:
            X, y: as in `fit`.
            classes: the names of all classes of `y`, and of others that may have no examples yet,
                or None. These are not predicted before they have some.

        Raises:
            ArgumentError: the model cannot learn as many classes, or it needs the earlier examples,
                which were not kept; or `model`, `inputs` or `steps` was changed after `fit`.
            ArgumentTypeError: the class names are of another type than before.
            ShapeError: series have another number of channels than the earlier ones.
        """
        who = "FewShotClassifier.partial_fit"
        started = self.__sklearn_is_fitted__()
        if started:
            self._check_same_model(who)
        model, kind = (self.model_, self._kind) if started else self._opened(who)
        x, raw = read_inputs(who, model, X)
        labels = checked_labels(who, y, len(x))
        named = None if classes is None else checked_labels(who, classes, name="classes")
        check_unknown_label(who, self.unknown_label, labels if named is None else named)
        if started:
            check_columns(self, X, reset=False)
        before = self._personal if started else Personal()
        personal = grown(who, kind, before, x, raw, labels, named, self.keep_examples)
        if not started:
            check_columns(self, X, reset=True)
        self._hold(model, kind, personal)
        return self

    def predict(self, X: Any) -> Labels:
        """Return the most probable class of each input, `(B,)`.

        Warns:
            UnknownInputWarning: an input has an unknown score above `unknown_above`, and
                `unknown_label` is None.
        """
        return self._predict("FewShotClassifier.predict", X, stacklevel=4)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class, in the order of `classes_`, `(B, C)`."""
        return self._probabilities("FewShotClassifier.predict_proba", X)

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the score of each class, `(B, C)`; for two classes that of the second, `(B,)`."""
        scores = self._columns(self._read("FewShotClassifier.decision_function", X).scores.numpy())
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def unknown_score(self, X: Any) -> NDArray[np.float64]:
        """Return a score from 0 to 1 for how different each input is from all classes, `(B,)`.

        The score is the larger of two numbers. One is the fraction of the input that the model does
        not know: 1 for a text without a known character. The other compares the input with the
        classes, by a statistic `s`:

        - a `ProtoNet` with a prior: `s = log p(x | a new class) - log sum_c p(x | class c)`, with
          the prior's density of classes in general, and the predictive densities of the fitted
          ones. It is a relative Mahalanobis distance. A `StackedLearner` takes that of its first
          `ProtoNet` with a prior.
        - another `ProtoNet`: the squared distance from the nearest class mean, divided by the mean
          squared distance between class means.
        - another learner: one minus the largest probability, scaled so that equal probabilities
          give 1. It does not recognize inputs far from all classes.

        If the model is calibrated, by `calibrate_unknown`, the number is the fraction of inputs of
        fitted classes with a smaller `s`, so that 5% of these get a score above 0.95. If not, it is
        `1 / (1 + exp(-s))`, `s / (1 + s)` and `s`, in this order.

        Source: J. Ren et al., 2021, A Simple Fix to Mahalanobis Distance for Improving Near-OOD
        Detection, here with the densities of the prior; D. Hendrycks and K. Gimpel, 2017, A
        Baseline for Detecting Misclassified and Out-of-Distribution Examples, for other learners.
        """
        return self._unknown(X, self._read("FewShotClassifier.unknown_score", X))

    def explain(self, X: Any, count: int = 3) -> list[list[SupportExample]]:
        """Return the examples that explain the prediction for each input.

        The weight of an example depends on the learner:

        - `ProtoNet`: how much the log odds of the predicted class would fall without the example.
          It is exact, and negative for an example that speaks against the answer.
        - `MemoryLearner`: how much of the example the input reads from the memory, as in
          `analysis.ranked_support`.
        - others: the similarity to the input in the space of the encoder, or of TF-IDF weights for
          a `TfIdfLearner`. The weights sum to 1 over all examples.

        Args:
            X: inputs.
            count: the largest number of examples for each input.

        Returns:
            For each input, `SupportExample(number, example, label, weight)`, the largest weight
            first.

        Raises:
            ArgumentError: the examples were not kept.
        """
        return self._explain("FewShotClassifier.explain", X, count)

    def save(self, folder: str | Path) -> None:
        """Save the fitted classifier and its model in a folder, without pickle.

        Raises:
            NotFittedError: the classifier was not fitted.
            OSError: the folder cannot be written to.
        """
        self._check_fitted("FewShotClassifier.save")
        save_folder(folder, self)

    @classmethod
    def load(cls, folder: str | Path, *, model: Any = None) -> FewShotClassifier:
        """Return the classifier that `save` saved.

        Args:
            folder: the folder.
            model: as in `Pretrained.from_pretrained`: an instance of your own model class, if it is
                not `configurable`.

        Raises:
            DataError: the folder does not hold one, or a file is damaged.
        """
        return load_folder(folder, cls(), model)
