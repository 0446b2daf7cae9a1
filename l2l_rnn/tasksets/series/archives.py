"""Reader of the UCR and UEA archives, from a folder, an installed package or the network."""

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

PACKAGES = ("sktime", "aeon")  # each ships some datasets of the archives


def archived_series(
    name: str, root: str | os.PathLike[str] = "~/data", download: bool = True
) -> TsFile:
    """Read a dataset of the UCR or UEA archive, its train and test files together.

    The files `NAME_TRAIN.ts` and `NAME_TEST.ts`, or a single `NAME.ts`, are searched for in
    `root/NAME`, in `root`, and then in the packages sktime and aeon, without importing them. If
    they are not found, sktime or aeon downloads the dataset to `root`. Duplicate series are
    dropped.

    Args:
        name: name of the dataset, such as `"OSULeaf"`, or of your own files in `root`.
        root: folder that is searched first, and where downloads are stored.
        download: whether to download a missing dataset.

    Returns:
        The series, each an array (channels, timepoints), and the class of each, in the format of
        `data.from_arrays`.

    Raises:
        UnknownNameError: neither archive contains the dataset.
        DataError: the dataset is missing and cannot be downloaded, or a file is damaged.
        MissingExtraError: the dataset is not in `root`, and neither sktime nor aeon is installed.

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
            f"archived_series: name must be a str, got {type(name).__name__}; pass one such as "
            "'OSULeaf'"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):  # it becomes part of a path
        raise UnknownNameError(
            f"archived_series: unknown dataset {name!r}; names have letters, digits, - and _ only"
        )
    folder = Path(root).expanduser()
    files = _files(folder, name) or _shipped(name)
    if not files:
        _download(name, folder, download)
        files = _files(folder, name)
        if not files:
            raise DataError(
                f"archived_series: the download of {name!r} must contain .ts files, got none; "
                + _by_hand(name, folder)
            )
    read = [_read(path, path.stat().st_mtime_ns) for path in files]
    series, labels = [], []
    seen: set[tuple[tuple[int, ...], bytes, str]] = set()
    for values, label in ((v, c) for file in read for v, c in zip(*file, strict=True)):
        key = (values.shape, values.tobytes(), label)
        if key not in seen:
            seen.add(key)
            series.append(values.copy())  # `_read` caches the original
            labels.append(label)
    return TsFile(series, labels)


@functools.lru_cache(maxsize=32)
def _read(path: Path, modified: int) -> TsFile:
    return read_ts(path)


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of a dataset in a folder; the list is empty if there are none."""
    for place in (folder / name, folder):
        if (place / f"{name}.ts").is_file():
            return [place / f"{name}.ts"]
        pair = [place / f"{name}_{part}.ts" for part in ("TRAIN", "TEST")]
        exist = [path.is_file() for path in pair]
        if all(exist):
            return pair
        if any(exist):
            raise DataError(
                f"archived_series: {pair[exist.index(False)]} must exist, got only "
                f"{pair[exist.index(True)].name}; add it, or rename the single file to {name}.ts"
            )
    return []


def _shipped(name: str) -> list[Path]:
    """Return the files of a dataset that ships with a package, without importing the package."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            files = _files(Path(location) / "datasets" / "data", name)
            if files:
                return files
    return []


def _download(name: str, folder: Path, allowed: bool) -> None:
    """Download a dataset to a folder with sktime, or with aeon if sktime is not installed."""
    if importlib.util.find_spec("sktime") is None and importlib.util.find_spec("aeon") is not None:
        names = importlib.import_module("aeon.datasets.tsc_datasets")
        load = importlib.import_module("aeon.datasets").load_classification
    else:
        purpose = f"archived_series: {name!r} is not in {folder}, and its download"
        names = require("sktime.datasets.tsc_dataset_names", extra="series", purpose=purpose)
        load = require("sktime.datasets", extra="series", purpose=purpose).load_UCR_UEA_dataset
    known = [*names.univariate, *names.multivariate]
    if name not in known:
        raise UnknownNameError(
            f"archived_series: unknown dataset {name!r}{hint(name, known)} Known: the datasets of "
            f"the UCR and UEA archives, and any with a file {name}.ts in {folder}"
        )
    if not allowed:
        raise DataError(
            f"archived_series: {name!r} must be in {folder} with download=False, got no files; "
            + _by_hand(name, folder)
        )
    try:
        load(name, extract_path=str(folder))
    except Exception as error:  # packages and mirrors raise many kinds of errors
        raise DataError(
            f"archived_series: the download of {name!r} failed ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); " + _by_hand(name, folder)
        ) from error


def _by_hand(name: str, folder: Path) -> str:
    return (
        f"download {name}.zip from timeseriesclassification.com and unpack it to "
        f"{folder / name / f'{name}_TRAIN.ts'} and {name}_TEST.ts"
    )
