"""Model cards: what a learner does, how to use it, and its results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from l2l_rnn.configuration import unknown_parts

_TAGS = ("l2l_rnn", "few-shot-learning", "meta-learning")
_KINDS = {
    "ProtoNet": "compares an input with the mean of each class in a learned space",
    "StackedLearner": "combines several classifiers by weights that depend on shots and ways",
    "TfIdfLearner": "weighs token n-grams by TF-IDF and fits a logistic regression to them",
    "R2D2": "fits a linear head to them by ridge regression in a learned space",
    "LRD2": "fits a linear head to them by logistic regression in a learned space",
    "ALPaCA": "fits a linear head to them by Bayesian regression with a learned prior",
    "ALPaCAMixture": "fits a mixture of linear heads to them by Bayesian regression",
    "DistributionalSignatures": "weights their words by statistics and fits a linear head to them "
    "by ridge regression",
    "PairMemoryLearner": "stores them and copies from them to translate new inputs",
    "MemoryLearner": "writes the examples to a memory and reads it for new inputs",
    "ProtoMAML": "starts from the mean of each class and takes gradient steps",
}
_REGRESSION = ("ALPaCA", "ALPaCAMixture")
_TASK_TYPES = {  # of the Hugging Face Hub, by the score
    "accuracy": "{kind}-classification",
    "exact match": "translation",
    **dict.fromkeys(["MASE", "sMAPE", "pinball", "coverage"], "time-series-forecasting"),
}
_GRADIENTS = "takes a few gradient steps on the examples"


def model_card(content: Mapping[str, Any], name: str) -> ModelCard:
    """Return the model card of a saved learner, with metadata for the Hugging Face Hub.

    Args:
        content: what `config.json` says about the learner: its configuration, inputs, classes,
            steps, evaluations, description, license and tags.
        name: the name of the model in the example: a folder, a bundled name or an id.

    Example:
        >>> learner = {"class": "ProtoNet", "arguments": {"ways": 5}}
        >>> card = model_card({"learner": learner}, "letters")
        >>> print(card.text.strip().splitlines()[0])
        # letters
    """
    rows = [row for one in content.get("evaluation", []) for row in _rows(one)]
    title = name.rpartition("/")[2]
    data = ModelCardData(
        library_name="l2l_rnn",
        license=content.get("license"),
        tags=list(dict.fromkeys([*_TAGS, *content.get("tags", [])])),
        metrics=list(dict.fromkeys(row.score for row in rows)) or None,
        model_name=title if rows else None,
        eval_results=[row.result(_kind_of_inputs(content)) for row in rows] or None,
    )
    parts = [
        f"# {title}",
        content.get("description") or "A few-shot learner.",
        _what(content),
        f"## How to use\n\n```python\n{_example(content, name)}\n```" + _estimator(content, name),
        _results(rows) + (_test_classes(content) if rows else ""),
        _training(content),
        _limits(content),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


class _Row:
    """One score of one evaluation."""

    def __init__(self, score: str, mean: float, ci95: float, settings: Mapping[str, Any]) -> None:
        self.score, self.mean, self.ci95, self.settings = score, mean, ci95, settings

    def cells(self) -> list[str]:
        values = [self.settings.get(key) for key in ("taskset", "ways", "shots", "tasks")]
        found = ["" if value is None else str(value) for value in values]
        return [*found, self.score.replace("_", " "), f"{self.mean:.3f} ± {self.ci95:.3f}"]

    def result(self, kind: str) -> EvalResult:
        taskset = str(self.settings.get("taskset", "tasks"))
        return EvalResult(
            task_type=_TASK_TYPES.get(self.score, "other").format(kind=kind),
            dataset_type=taskset,
            dataset_name=_described(self.settings, taskset),
            metric_type=self.score,
            metric_value=self.mean,
            metric_args={"ci95": self.ci95},
        )


def _rows(evaluation: Any) -> list[_Row]:
    scores = evaluation.get("scores") if isinstance(evaluation, Mapping) else None
    found = []
    for name, score in scores.items() if isinstance(scores, Mapping) else ():
        held = score if isinstance(score, Mapping) else {}
        numbers: list[Any] = [held[key] for key in ("mean", "ci95") if key in held]
        if len(numbers) == 2 and all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            settings = evaluation.get("settings")
            given = settings if isinstance(settings, Mapping) else {}
            found.append(_Row(str(name), numbers[0], numbers[1], given))
    return found


def _described(settings: Mapping[str, Any], taskset: str) -> str:
    counts = {key: settings[key] for key in ("ways", "shots") if settings.get(key) is not None}
    parts = [f"{n} {key.removesuffix('s') if n == 1 else key}" for key, n in counts.items()]
    return f"{taskset} ({', '.join(parts)})" if parts else taskset


def _kind_of_inputs(content: Mapping[str, Any]) -> str:
    kind = str((content.get("inputs") or {}).get("kind"))
    return {"text": "text", "series": "time-series"}.get(kind, "other")


def _what(content: Mapping[str, Any]) -> str:
    kind = _learner_class(content)
    what = _KINDS.get(kind, _GRADIENTS)
    steps = content.get("steps")
    examples = "pairs" if kind == "PairMemoryLearner" else "examples with targets"
    if kind not in ("PairMemoryLearner", *_REGRESSION):
        examples = "labeled examples"
    article = "an" if kind[0] in "AEIO" else "a"
    text = f"The learner is {article} `{kind}`: given a few {examples}, it {what}."
    return text if steps is None else f"{text} It adapts with {steps} steps."


def _learner_class(content: Mapping[str, Any]) -> str:
    learner = content["learner"]
    return str(learner.get("class") or learner.get("unknown", "learner")).rpartition(".")[2]


def _example(content: Mapping[str, Any], name: str) -> str:
    inputs = content.get("inputs") or {}
    own = any(unknown_parts(content["learner"]))
    opened = f'Pretrained.from_pretrained("{name}"{", model=MyModel()" if own else ""})'
    if inputs.get("kind") == "pairs":
        lines = [
            "from l2l_rnn.training import Pretrained",
            "",
            f"model = {opened}",
            'learner = model.adapted(["one text", "another"], ["its target", "another"])',
            'print(model.inputs.texts(learner.greedy(model.inputs(["a new source"]))))',
        ]
        return "\n".join(lines)
    if inputs.get("kind") == "text":
        support, queries = '["first text", "another one"]', '["a new text"]'
    elif inputs.get("kind") == "series":
        shape = f"{inputs.get('input_size') or 1}, 50"
        support, queries = f"torch.randn(2, {shape})", f"torch.randn(1, {shape})"
    else:
        support, queries = "x", "new_x"
    heads = ["from l2l_rnn.training import Pretrained", ""]
    if inputs.get("kind") != "text":
        heads.insert(0, "import torch")
    read = queries if not inputs else f"model.inputs({queries})"
    lines = [
        f"model = {opened}",
        f"learner = model.adapted({support}, [0, 1])",
        f"print(learner({read}).argmax(-1))",
    ]
    if _learner_class(content) in _REGRESSION:
        lines[1:] = [f"learner = model.adapted({support}, y)", f"print(learner({read}))"]
        heads.remove("import torch")
    return "\n".join([*heads, *lines])


def _estimator(content: Mapping[str, Any], name: str) -> str:
    if not content.get("inputs") or any(unknown_parts(content["learner"])):
        return ""
    if content["inputs"].get("kind") == "pairs":
        return (
            f'\n\n`l2l_rnn.estimators.FewShotTranslator.from_pretrained("{name}")` has the '
            "interface of scikit-learn: `fit`, `predict`."
        )
    return (
        "\n\n`l2l_rnn.estimators.FewShotClassifier.from_pretrained"
        f'("{name}")` has the interface of scikit-learn: `fit`, `predict`, `predict_proba`.'
    )


def _results(rows: Sequence[_Row]) -> str:
    if not rows:
        return "## Results\n\nThis learner was not evaluated."
    head = ["Task set", "Ways", "Shots", "Tasks", "Score", "Mean"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    table = "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)
    return (
        "## Results\n\nMeans over tasks that were not in training, with 95% confidence "
        f"intervals.\n\n{table}"
    )


def _test_classes(content: Mapping[str, Any]) -> str:
    """Return a sentence about the classes of the test tasks, if the settings have them."""
    splits = (content.get("settings") or {}).get("split_classes")
    classes = splits.get("test") if isinstance(splits, Mapping) else None
    if not isinstance(classes, Sequence) or isinstance(classes, str) or not classes:
        return ""
    return f"\n\nClasses of the test tasks: {_listed(list(map(str, classes)))}."


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:200]) + (", …" if len(classes) > 200 else "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _training(content: Mapping[str, Any]) -> str:
    classes = [str(name) for name in content.get("classes", [])]
    if not classes and _learner_class(content) in _REGRESSION:
        return "## Training data\n\nSee the description."
    if not classes:
        return "## Training data\n\nThe classes of the training data are not recorded."
    shown = _listed(classes)
    return f"## Training data\n\nThe learner was trained on {len(classes)} classes: {shown}."


def _limits(content: Mapping[str, Any]) -> str:
    inputs = content.get("inputs") or {}
    limits = ["The results hold for inputs and classes like those of the evaluation."]
    limits += [
        f"The learner reads the frozen encoder `{source}`, which is not in its files; see "
        "`l2l_rnn.models.FrozenEncoder`."
        for source in sorted(set(_frozen_encoders(content["learner"])))
    ]
    if inputs.get("kind") == "pairs":
        target = inputs.get("target") or {}
        limits.append(f"A translation has fewer than {target.get('max_length')} tokens.")
    elif inputs.get("kind") == "text":
        limits += [
            f"A text keeps its first {inputs.get('max_length')} tokens.",
            "Characters or words outside of the vocabulary are all read as one unknown token.",
        ]
    elif inputs.get("kind") == "series":
        channels = inputs.get("input_size")
        if channels is not None:
            limits.append(f"Series must have {channels} channels.")
        if inputs.get("max_length") is not None:
            limits.append(f"A series keeps its first {inputs['max_length']} steps.")
    if inputs.get("kind") != "pairs" and _learner_class(content) not in _REGRESSION:
        limits.append("A class without examples is never predicted by its name.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _frozen_encoders(part: Any) -> Iterator[str]:
    """Yield the sources of the frozen encoders in a configuration."""
    if isinstance(part, Mapping):
        if str(part.get("class", "")).rpartition(".")[2] == "FrozenEncoder":
            yield str((part.get("arguments") or {}).get("source"))
        for value in part.values():
            yield from _frozen_encoders(value)
    elif isinstance(part, list):
        for value in part:
            yield from _frozen_encoders(value)
