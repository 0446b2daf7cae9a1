"""Predictions for the rows of a query file, given a support file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from l2l_rnn.cli.installation.devices import usable_device
from l2l_rnn.cli.output import log
from l2l_rnn.cli.rows import check_present, joined, read_columns
from l2l_rnn.errors import DataError
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.training import Pretrained, TextInputs


def predictions(
    name: str,
    support: str,
    query: str,
    text: Sequence[str],
    label: str,
    *,
    explain: int = 0,
    steps: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Adapt a saved model to a support file, and label the rows of a query file.

    Args:
        name: as in `Pretrained.from_pretrained`.
        support, query: files of `read_columns`.
        text: columns of the inputs.
        label: column of the classes; the query file may have it.
        explain: support examples that explain each row.
        steps: steps or writes; None for those of the model.
        device: the device.

    Returns:
        `classes`, and for each row: `row`, `text`, `predicted`, `probability`, `probabilities`,
        `unknown_score` and, if asked for, `explanation`. With labels in the query file also
        `accuracy`.

    Raises:
        DataError: a file or column is missing, a value is empty, or there is one class.
    """
    labeled = read_columns("predict", support, [*text, label])
    new = read_columns("predict", query, list(text), [label])
    model = Pretrained.from_pretrained(name, device=usable_device(device))
    inputs = []
    for path, table in ((support, labeled), (query, new)):
        values = joined([table[column] for column in text])
        check_present("predict", path, ", ".join(text), values)
        inputs.append(_raw(model, path, values))
    check_present("predict", support, label, labeled[label])
    labels = [str(one) for one in labeled[label]]
    if len(set(labels)) < 2:
        raise DataError(
            f"predict: {support} must have examples of at least two classes in the column "
            f"{label!r}, got {len(labels)} of {labels[0]!r} alone; add examples of another class"
        )
    classifier = FewShotClassifier(model, steps=steps, unknown_above=None)
    classifier.fit(inputs[0], labels)
    result = _rows(classifier, inputs[1], explain)
    known = new.get(label)
    if known is not None and all(one not in (None, "") for one in known):
        right = [
            row["predicted"] == str(one) for row, one in zip(result["rows"], known, strict=True)
        ]
        result["accuracy"] = sum(right) / len(right)
        log(f"accuracy {result['accuracy']:.3f} on {len(right)} rows with labels")
    return result


def _raw(model: Pretrained, path: str, values: list[Any]) -> list[Any]:
    """Return raw inputs for a model: texts, or series, which a csv file has as JSON."""
    if isinstance(model.inputs, TextInputs):
        return [value if isinstance(value, str) else str(value) for value in values]
    found = []
    for row, value in enumerate(values):
        try:
            found.append(json.loads(value) if isinstance(value, str) else value)
        except ValueError as error:
            raise DataError(
                f"predict: row {row} of {path} must hold a series such as [0.1, 0.2], got "
                f"{value!r:.40}; this model reads series"
            ) from error
    return found


def _rows(classifier: Any, inputs: list[Any], explain: int) -> dict[str, Any]:
    classes = [str(name) for name in classifier.classes_]
    probabilities = classifier.predict_proba(inputs).tolist()
    unknown = classifier.unknown_score(inputs).tolist()
    reasons = classifier.explain(inputs, explain) if explain else [None] * len(inputs)
    rows = []
    for number, (value, chances, score, why) in enumerate(
        zip(inputs, probabilities, unknown, reasons, strict=True)
    ):
        best = max(range(len(classes)), key=chances.__getitem__)
        row = {
            "row": number,
            "text": value,
            "predicted": classes[best],
            "probability": chances[best],
            "probabilities": dict(zip(classes, chances, strict=True)),
            "unknown_score": score,
        }
        if why is not None:
            row["explanation"] = [
                {
                    "row": e.number,
                    "text": e.example,
                    "label": str(e.label),
                    "weight": float(e.weight),
                }
                for e in why
            ]
        rows.append(row)
    return {"classes": classes, "rows": rows}
