"""`l2l-rnn predict`: labels of the rows of a file, given a file of labeled examples."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Model, Output
from l2l_rnn.cli.fitting.contradictions import out_of_range
from l2l_rnn.cli.output import finite, log
from l2l_rnn.cli.rows import names_of
from l2l_rnn.cli.usage import refuse
from l2l_rnn.files import replacing


@dataclass(frozen=True)
class PredictionSettings:
    """Prediction.

    Args:
        support: csv, tsv, json, jsonl or parquet file of labeled examples
        query: such a file of rows to label; if it has the labels, the accuracy is logged
        text: columns of the texts, joined by a space; or the column of series; text by default
        label: column of the classes; label by default
        explain: support examples that explain each prediction; none by default
        adaptation_steps: gradient steps or writes; those of the model by default
        out: file to write, ending in .csv or .json; stdout by default
        device: cpu, gpu, cuda:N or mps
    """

    support: str | None = None
    query: str | None = None
    text: list[str] | str | None = None
    label: str | None = None
    explain: int | None = None
    adaptation_steps: int | None = None
    out: str | None = None
    device: str = "cpu"


GROUPS = (Model, PredictionSettings, Output)
EXAMPLES = """
  l2l-rnn predict languages --support labeled.csv --query new.csv
  l2l-rnn predict posts-model --support s.jsonl --query q.jsonl --text title body --label topic
  l2l-rnn predict languages --support labeled.csv --query new.csv --explain 3 --json
  l2l-rnn predict languages --support labeled.csv --query new.csv --out predicted.csv

The result has for each row: its number, the text, the predicted label, its probability, the
probability of every class, and unknown_score, from 0 (similar to a class) to 1 (different from
all).
"""


def run(model: Model, settings: PredictionSettings, output: Output) -> int:
    """Write the predictions to stdout or a file."""
    problems = list(out_of_range(settings))
    for name in ("support", "query"):
        if getattr(settings, name) is None:
            problems.append(f"--{name} is missing: name the file")
    out = None if settings.out is None else Path(settings.out).expanduser()
    as_json = output.json or (out is not None and out.suffix == ".json")
    if out is not None and out.suffix not in (".csv", ".json"):
        problems.append(f"--out must end in .csv or .json, got {settings.out}")
    if out is not None and output.json and out.suffix != ".json":
        problems.append(f"--json and --out {settings.out} contradict each other")
    refuse(problems)
    log("importing torch")
    from l2l_rnn.cli.saved_models.predictions import predictions

    signals.check()
    found = predictions(
        model.model,
        str(settings.support),
        str(settings.query),
        names_of(settings.text, "text"),
        settings.label or "label",
        explain=settings.explain or 0,
        steps=settings.adaptation_steps,
        device=settings.device,
    )
    text = _json(found) if as_json else _csv(found)
    if out is None:
        sys.stdout.write(text)
    else:
        with replacing(out) as file:
            file.write(text)
        log(f"wrote {settings.out}")
    return 0


def _json(found: dict[str, Any]) -> str:
    return json.dumps(finite(found), indent=1, ensure_ascii=False) + "\n"


def _csv(found: dict[str, Any]) -> str:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    explained = len(found["rows"][0].get("explanation", []))
    head = ["row", "text", "predicted", "probability"]
    head += [f"p({name})" for name in found["classes"]] + ["unknown_score"]
    for number in range(1, explained + 1):
        head += [f"because_{number}", f"because_{number}_label", f"because_{number}_weight"]
    writer.writerow(head)
    for row in found["rows"]:
        cells = [row["row"], row["text"], row["predicted"], f"{row['probability']:.4f}"]
        cells += [f"{value:.4f}" for value in row["probabilities"].values()]
        cells.append(f"{row['unknown_score']:.4f}")
        for example in row.get("explanation", []):
            cells += [example["text"], example["label"], f"{example['weight']:.4f}"]
        writer.writerow(cells)
    return rows.getvalue()
