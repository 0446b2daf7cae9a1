"""Labeled texts of files for `l2l-rnn evaluate`, cleaned as `l2l-rnn fit` cleans them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from l2l_rnn.cli.fitting.settings import DataSettings
from l2l_rnn.cli.fitting.tasks import SPLIT_CLASSES, data_name, files_of
from l2l_rnn.cli.output import log
from l2l_rnn.cli.rows import SUFFIXES, check_present, joined, names_of, read_columns
from l2l_rnn.cli.usage import UsageError
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.hub.survey import RowCounts
from l2l_rnn.tasksets.hub.texts import Texts
from l2l_rnn.training import Pretrained


class _Rows(NamedTuple):
    texts: list[str]
    labels: list[str]
    owners: list[str] | None  # groups
    empty: int


def texts_of(
    name: str, model: Pretrained, data: DataSettings, split: str | None, ways: int, least: int
) -> Texts:
    """Return texts of files, each once, as token ids of the model.

    As in `fit`, a text that occurs in two classes is dropped from both.

    Args:
        name: the name of the model.
        model: a model of texts.
        data: the files.
        split: one of the splits of `fit`, or None for all classes.
        ways: classes of a task.
        least: the fewest texts of a class.

    Raises:
        DataError: a file cannot be read, or has too few classes or texts.
        UsageError: `--splits` is given for a model that has its own.
    """
    rows = _read(data)
    kept, counts = _cleaned(rows, 16 * model.inputs.max_length)
    sizes = Counter(rows.labels[i] for i in kept)
    where = data_name(data)
    wanted = _wanted(name, model, data, split, set(rows.labels))
    classes = sorted(one for one in sizes if one in wanted)
    if not data.drop_small:
        _check_sizes(data, {one: sizes[one] for one in classes}, least)
    classes = [one for one in classes if sizes[one] >= least]
    if len(classes) < ways:
        part = "" if split is None else f" in the {split} split of {name}"
        raise DataError(
            f"{where} must have at least {ways} classes{part} with {least} texts each (--ways; "
            f"--shots plus --queries) in the column --label {data.label}, got {len(classes)}: "
            f"{_some(classes)}; set fewer --ways, --shots or --queries, or add rows"
        )
    numbers = {one: i for i, one in enumerate(classes)}
    chosen = [i for i in kept if rows.labels[i] in numbers]
    others = sum(sizes[one] for one in sizes if one not in wanted)
    small = len(kept) - others - len(chosen)
    counts = counts._replace(used=len(chosen), small=small, other_splits=others)
    log(counts.described())
    trained = sum(one in set(model.classes) for one in classes)
    if trained:
        log(
            f"{trained} of the {len(classes)} classes were in the training of {name}: the scores "
            "are not those of new classes; --split test takes the classes that fit held out"
        )
    groups = None
    if rows.owners is not None:
        known = {one: i for i, one in enumerate(sorted({rows.owners[i] for i in chosen}))}
        groups = torch.tensor([known[rows.owners[i]] for i in chosen])
    return Texts(
        model.inputs([rows.texts[i] for i in chosen]),
        torch.tensor([numbers[rows.labels[i]] for i in chosen]),
        classes,
        model.inputs.pipeline,
        groups=groups,
        rows=counts,
    )


def _wanted(
    name: str, model: Pretrained, data: DataSettings, split: str | None, found: set[str]
) -> Collection[str]:
    """Return the classes of a split that `fit` saved."""
    if split is None:
        return found
    if data.splits is not None:
        raise UsageError(
            f"--splits is not a setting of evaluate for {name}: its config.json has the classes "
            "of each split of fit"
        )
    classes = {str(one) for one in model.settings[SPLIT_CLASSES][split]}
    if not classes & found:
        raise DataError(
            f"{data_name(data)} must have classes of the {split} split of {name} "
            f"({_some(sorted(classes))}) in the column --label {data.label}, got none of them; "
            "omit --split for all texts of a new file"
        )
    return classes


def _read(data: DataSettings) -> _Rows:
    texts: list[str] = []
    labels: list[str] = []
    owners: list[str] = []
    empty = 0
    columns, label = names_of(data.text, "text"), str(data.label)
    group = [] if data.groups is None else [data.groups]
    for path in _expanded(files_of(data.data)):
        table = read_columns("evaluate", path, [*columns, label, *group])
        found = joined([table[column] for column in columns])
        if not data.drop_empty:
            check_present("evaluate", path, ", ".join(columns), found)
            for name in (label, *group):
                check_present("evaluate", path, name, table[name])
        for row in zip(found, table[label], *(table[name] for name in group), strict=True):
            if any(value is None or value != value or not str(value).strip() for value in row):
                empty += 1
                continue
            texts.append(str(row[0]))
            labels.append(str(row[1]))
            owners += [str(row[2])] if group else []
    if not texts:
        raise DataError(f"{data_name(data)} must have rows with text and label, got none")
    return _Rows(texts, labels, owners if group else None, empty)


def _expanded(paths: list[str]) -> Iterator[str]:
    """Yield files, and those of folders."""
    for path in paths:
        folder = Path(path).expanduser()
        if folder.is_dir():
            found = [str(one) for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES]
            yield from sorted(found)
        else:
            yield path


def _cleaned(rows: _Rows, longest: int) -> tuple[list[int], RowCounts]:
    """Return the rows that are kept, and how many are not; case and whitespace do not count."""
    plain = [" ".join(text[:longest].casefold().split()) for text in rows.texts]
    owners: dict[str, set[str]] = {}
    for text, label in zip(plain, rows.labels, strict=True):
        owners.setdefault(text, set()).add(label)
    shared = sum(len(owners[text]) > 1 for text in plain)
    first: dict[str, int] = {}
    for i, text in enumerate(plain):
        if len(owners[text]) == 1:
            first.setdefault(text, i)
    repeats = len(plain) - shared - len(first)
    counts = RowCounts(len(plain) + rows.empty, len(first), shared, repeats, rows.empty, 0)
    return list(first.values()), counts


def _check_sizes(data: DataSettings, sizes: Mapping[str, int], least: int) -> None:
    small = [one for one, count in sizes.items() if count < least]
    if small:
        raise DataError(
            f"{data_name(data)} must have at least {least} different texts of each class in the "
            f"column --label {data.label} (--shots plus --queries), got fewer for {len(small)} "
            f"classes: {_some(small)}; set fewer --shots or --queries, or --drop_small"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "") if names else "none"
