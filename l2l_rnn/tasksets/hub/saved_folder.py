"""Files of a dataset that `datasets.Dataset.save_to_disk` wrote to a folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from l2l_rnn.errors import DataError
from l2l_rnn.files import read_json


def saved_files(folder: Path) -> dict[str, list[Path]] | list[Path]:
    """Return the Arrow files of a saved `Dataset`, or those of each split of a `DatasetDict`.

    The files are in the folder itself; names that lead elsewhere are rejected.

    Args:
        folder: a folder with a file `state.json` or `dataset_dict.json`.

    Raises:
        DataError: one of these files is damaged, or there are no rows.
    """
    if not (folder / "dataset_dict.json").exists():
        return _data_files(folder)
    splits = read_json("from_hf", folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not splits or not all(map(_is_name, splits)):
        raise _damaged(folder / "dataset_dict.json", "a list of the names of splits", splits)
    return {name: _data_files(folder / name) for name in splits}


def _data_files(folder: Path) -> list[Path]:
    state = read_json("from_hf", folder / "state.json")
    files = state.get("_data_files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise _damaged(folder / "state.json", "a list of files", files)
    names = [file.get("filename") for file in files]
    if not all(_is_name(name) and str(name).endswith(".arrow") for name in names):
        raise _damaged(folder / "state.json", "names of .arrow files in this folder", names)
    if state.get("_indices_data_files"):
        raise DataError(
            f"from_hf: {folder} must contain the rows in their order, got indices of rows from an "
            "old version of datasets; open it with datasets.load_from_disk"
        )
    if not names:
        raise DataError(f"from_hf: {folder} must have rows, got none; add or drop the split")
    return [folder / str(name) for name in names]


def _is_name(name: Any) -> bool:
    """Return whether a value is the name of a file or folder without a path."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and name not in ("", ".", "..")
        and PurePosixPath(name).name == name == PureWindowsPath(name).name
    )


def _damaged(path: Path, expected: str, came: Any) -> DataError:
    return DataError(
        f"from_hf: {path} must contain {expected}, got {str(came)[:60]!r}; save the dataset again"
    )
