"""Series of the UCR and UEA archives: in a folder, in an installed package, or over the network."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from pathlib import Path

from l2l_rnn.data.series.ts_files import TsFile, read_ts
from l2l_rnn.errors import ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.optional import require
from l2l_rnn.registry import hint

PACKAGES = ("sktime", "aeon")  # each ships some of the archives' sets


def archived_series(
    name: str, root: str | os.PathLike[str] = "~/data", download: bool = True
) -> TsFile:
    """Read a set of the UCR or UEA archives, its train and test file together.

    It is looked for in `root`, as `NAME/NAME_TRAIN.ts` and `NAME/NAME_TEST.ts`, or one file
    `NAME/NAME.ts`, with or without the folder; then in the packages sktime and aeon, of which
    nothing is imported; then it is fetched by one of these into `root`. Series that the set holds
    twice are read once.

    Args:
        name: of the set, such as `"OSULeaf"`; sets of one's own in `root` are read alike.
        root: the folder for data.
        download: whether it may be fetched.

    Returns:
        The series, an array (channels, timepoints) each, and the class of each, ready for
        `data.from_arrays`.

    Raises:
        UnknownNameError: no archive has the set.
        DataError: it is not there and cannot be fetched, or a file is damaged.
        MissingExtraError: neither sktime nor aeon is installed, and it is not in `root`.

    Example:
        >>> from l2l_rnn.data import from_arrays
        >>> dataset = from_arrays(*archived_series("GunPoint"))
        >>> dataset.sequences.shape, dataset.classes
        (torch.Size([200, 150, 1]), ('1', '2'))

    Source: H. A. Dau et al., 2019, The UCR Time Series Archive; A. Bagnall et al., 2018, The UEA
    multivariate time series classification archive.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(
            f"archived_series: a set's name must be a str, got {type(name).__name__}"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):  # it becomes part of a path
        raise UnknownNameError(
            f"archived_series: unknown set {name!r}; a name has letters, digits, - and _ alone"
        )
    folder = Path(root).expanduser()
    files = _files(folder, name) or _shipped(name)
    if not files:
        _fetch(name, folder, download)
        files = _files(folder, name)
        if not files:
            raise DataError(
                f"archived_series: what was fetched for {name!r} has no .ts files; "
                + _by_hand(name, folder)
            )
    read = [_read(path, path.stat().st_mtime_ns) for path in files]
    series, labels = [], []
    seen: set[tuple[tuple[int, ...], bytes, str]] = set()
    for values, label in ((v, c) for file in read for v, c in zip(*file, strict=True)):
        key = (values.shape, values.tobytes(), label)
        if key not in seen:
            seen.add(key)
            series.append(values.copy())  # what was read is kept for the next call
            labels.append(label)
    return TsFile(series, labels)


@functools.lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> TsFile:
    return read_ts(path)


def _files(folder: Path, name: str) -> list[Path]:
    """Find the files of a set in a folder; none if it has none."""
    for place in (folder / name, folder):
        if (place / f"{name}.ts").is_file():
            return [place / f"{name}.ts"]
        pair = [place / f"{name}_{part}.ts" for part in ("TRAIN", "TEST")]
        there = [path.is_file() for path in pair]
        if all(there):
            return pair
        if any(there):
            raise DataError(
                f"archived_series: {pair[there.index(False)]} is missing, and "
                f"{pair[there.index(True)].name} is there; put both in place, or name one file "
                f"{name}.ts"
            )
    return []


def _shipped(name: str) -> list[Path]:
    """Find the files of a set in the packages that ship some, without importing these."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            files = _files(Path(location) / "datasets" / "data", name)
            if files:
                return files
    return []


def _fetch(name: str, folder: Path, download: bool) -> None:
    """Fetch a set into a folder by the package that is there, sktime if both are."""
    if importlib.util.find_spec("sktime") is None and importlib.util.find_spec("aeon") is not None:
        names = importlib.import_module("aeon.datasets.tsc_datasets")
        load = importlib.import_module("aeon.datasets").load_classification
    else:
        purpose = f"archived_series: {name!r} is not in {folder}, and what fetches it"
        names = require("sktime.datasets.tsc_dataset_names", extra="series", purpose=purpose)
        load = require("sktime.datasets", extra="series", purpose=purpose).load_UCR_UEA_dataset
    known = [*names.univariate, *names.multivariate]
    if name not in known:
        raise UnknownNameError(
            f"archived_series: unknown set {name!r}{hint(name, known)} Known: the names of the UCR "
            f"and UEA archives, and what has a file {name}.ts in {folder}"
        )
    if not download:
        raise DataError(f"archived_series: {name!r} is not in {folder}; " + _by_hand(name, folder))
    try:
        load(name, extract_path=str(folder))
    except Exception as error:  # each package, and each of its mirrors, has errors of its own
        raise DataError(
            f"archived_series: {name!r} cannot be fetched ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); " + _by_hand(name, folder)
        ) from error


def _by_hand(name: str, folder: Path) -> str:
    return (
        f"download {name}.zip from timeseriesclassification.com and unpack it so that "
        f"{folder / name / f'{name}_TRAIN.ts'} and {name}_TEST.ts are there"
    )
