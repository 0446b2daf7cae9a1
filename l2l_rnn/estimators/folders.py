"""Fitted classifiers in folders, without pickle."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.estimators.personal import Personal
from l2l_rnn.files import open_file, read_json, replacing, write_json
from l2l_rnn.training import Pretrained, load_user, save_user

_FORMAT, _VERSION = "l2l_rnn.FewShotClassifier", 1
_OPTIONS = ("steps", "unknown_label", "unknown_above", "keep_examples")
_COLUMNS = ("n_features_in_", "feature_names_in_")
_FILE, _MODEL = "classifier.json", "model"


def save_folder(folder: str | Path, classifier: Any) -> None:
    """Save a fitted classifier: its model, its parameters, its state and its examples.

    Raises:
        ArgumentError: a parameter cannot be written as JSON.
        OSError: the folder cannot be written to.
    """
    who = "FewShotClassifier.save"
    folder = Path(folder).expanduser()
    personal, kind = classifier._personal, classifier._kind
    options = {name: getattr(classifier, name) for name in _OPTIONS}
    options = {name: _plain(value) for name, value in options.items()}
    columns = {n: _plain(vars(classifier)[n]) for n in _COLUMNS if n in vars(classifier)}
    if not isinstance(options["unknown_label"], (str, int, float, bool, type(None))):
        raise ArgumentError(
            f"{who}: unknown_label must be a str or a number, got "
            f"{type(options['unknown_label']).__name__}; set another one"
        )
    files = {"user": save_user(personal.learner, kind.learner)}
    if personal.examples is not None:
        files["examples"] = personal.examples.to_bytes()
    names = {n: f"{n}-{blake2b(data, digest_size=8).hexdigest()}" for n, data in files.items()}
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "classes": personal.described(),
        "files": {name: f"{unique}.safetensors" for name, unique in names.items()},
        "options": options,
        "columns": columns,
    }
    json.dumps(content, allow_nan=False)  # raises before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    classifier.model_.save_pretrained(folder / _MODEL)
    # Files with new names come first, so that an earlier classifier stays complete until its JSON
    # is replaced.
    for name, data in files.items():
        with replacing(folder / content["files"][name], "wb") as file:
            file.write(data)
    write_json(folder / _FILE, content, indent=2)
    for path in (*folder.glob("user-*.safetensors"), *folder.glob("examples-*.safetensors")):
        if path.name not in content["files"].values():
            path.unlink()


def load_folder(folder: str | Path, classifier: Any, own: Any = None) -> Any:
    """Fill a classifier with what `save_folder` saved.

    Raises:
        DataError: the folder does not hold a classifier, or a file is damaged.
    """
    who = "FewShotClassifier.load"
    folder = Path(folder).expanduser()
    path = folder / _FILE
    if not path.exists() and (folder / "config.json").exists():
        raise DataError(
            f"{who}: {folder} must be a folder that FewShotClassifier.save wrote, got a model that "
            "Pretrained.save_pretrained wrote; use FewShotClassifier.from_pretrained, then fit"
        )
    content = read_json(who, path)
    if content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise DataError(
            f"{who}: {path} must have the format {_FORMAT!r}, version {_VERSION}, got "
            f"{content.get('format')!r:.60}, version {content.get('version')!r:.20}; save the "
            "classifier again, or install the version of l2l_rnn that saved it"
        )
    model = Pretrained.from_pretrained(folder / _MODEL, model=own)
    try:
        options, columns = content["options"], content["columns"]
        classifier.set_params(model=model, **{name: options[name] for name in _OPTIONS})
        described, files = content["classes"], content["files"]
        for name in _COLUMNS:
            if name in columns:
                setattr(classifier, name, _array(columns[name]))
        if set(files) - {"user", "examples"} or any(Path(n).name != n for n in files.values()):
            raise KeyError("files")
        state = _bytes(who, folder / files["user"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{who}: {path} must hold everything that save() writes, got other content "
            f"({error}); save the classifier again"
        ) from error
    examples = _bytes(who, folder / files["examples"]) if "examples" in files else None
    kind = classifier._kind_of(who, model)
    learner = kind.shared(load_user(kind.learner, state))
    classifier._hold(model, kind, Personal.of(who, described, learner, examples))
    return classifier


def _bytes(who: str, path: Path) -> bytes:
    with open_file(who, path) as file:
        data = file.read()
    if blake2b(data, digest_size=8).hexdigest() != path.stem.rpartition("-")[2]:
        raise DataError(f"{who}: {path} must be complete, got a damaged file; save again")
    return data


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _array(value: Any) -> Any:
    return np.array(value, dtype=object) if isinstance(value, list) else value
