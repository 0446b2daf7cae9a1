"""Files of a run that is not finished: the methods so far, and the networks that they share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.files import read_json, write_json

# What a result records besides its methods, and what determines their scores.
SETTINGS = ("spec", "form", "seed", "test_tasks", "device", "threads", "versions", "data")

KEYS = ("unfinished", "seconds")


class UnfinishedResult:
    """Result of a run that can be continued.

    `NAME-FORM-partial.json` has the finished methods, with their score on each task, from which
    paired differences are computed. The folder `NAME-FORM-partial` has the networks that several
    methods use.

    Args:
        directory: folder of the results.
        name: name of the experiment.
        form: `"quick"`, `"default"` or `"full"`.
    """

    def __init__(self, directory: Path, name: str, form: str) -> None:
        self.path = directory / f"{name}-{form}-partial.json"
        self.picture = self.path.with_suffix(".png")
        self.networks = self.path.with_suffix("")

    def earlier(self, *, resume: bool, restart: bool) -> dict[str, Any] | None:
        """Return what an earlier run left, or None to start from the beginning.

        Args:
            resume: whether to continue that run.
            restart: whether to discard it.

        Raises:
            ArgumentError: there are finished methods, and neither `resume` nor `restart` is set.
            DataError: the file is damaged.
        """
        found = None if restart or not self.path.exists() else self._read()
        if found is not None and found["methods"] and not resume:
            done, total = len(found["methods"]), len(found["methods"]) + len(found["unfinished"])
            raise ArgumentError(
                f"{self.path} has {done} of {total} methods, from an earlier run; add --resume to "
                "continue it, or --restart to discard it"
            )
        if not resume or found is None:
            self.remove()
            return None
        return found

    def save(self, result: dict[str, Any]) -> None:
        """Write the result so far."""
        write_json(self.path, result)

    def remove(self) -> None:
        """Remove all files."""
        self.path.unlink(missing_ok=True)
        self.picture.unlink(missing_ok=True)
        shutil.rmtree(self.networks, ignore_errors=True)

    def _read(self) -> dict[str, Any]:
        fix = "add --restart to discard it"
        try:
            found = read_json("benchmarks", self.path)
        except DataError as error:
            raise DataError(f"{self.path} is damaged ({error.__cause__ or error}); {fix}") from None
        rows = found.get("methods")
        complete = isinstance(rows, list) and all(name in found for name in (*SETTINGS, *KEYS))
        if not complete or not all("task_scores" in row for row in rows):
            raise DataError(f"{self.path} was written by another version; {fix}")
        return found

    def check(self, found: dict[str, Any], result: dict[str, Any], rows: dict[str, Any]) -> None:
        """Check that an earlier run had the same settings.

        Args:
            found: what the earlier run left.
            result: the new result, still without methods.
            rows: the settings of each method, by label.

        Raises:
            ArgumentError: some differ; the message lists all of them.
        """
        lines = [line for name in SETTINGS for line in differences(name, found[name], result[name])]
        lines += differences("curve", found.get("curve", []), result["curve"])
        for row in found["methods"]:
            name, now = f"method {row['label']!r}", rows.get(row["label"])
            if now is None:
                lines.append(f"{name}: was finished, is no longer in the experiment")
            else:
                lines += differences(name, {key: row.get(key) for key in now}, now)
        if lines:
            raise ArgumentError(
                f"{self.path} was started with other settings; use those again, choose another "
                f"folder with --out, or discard it with --restart. Differences:\n  "
                + "\n  ".join(lines)
            )


def differences(name: str, before: Any, now: Any) -> list[str]:
    """Return a line for each value that differs, with the path to it."""
    now = json.loads(json.dumps(now))  # tuples become lists, as in a file
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            line
            for key in keys
            for line in differences(f"{name}.{key}", before.get(key), now.get(key))
        ]
    return [] if before == now else [f"{name}: was {_text(before)}, is now {_text(now)}"]


def _text(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
