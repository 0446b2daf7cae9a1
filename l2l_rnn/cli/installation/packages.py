"""What is installed: versions of packages, and extras with what they lack."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

PACKAGES = (
    "torch",
    "learn2learn",
    "numpy",
    "safetensors",
    "huggingface_hub",
    "pytorch-lightning",
    "jsonargparse",
    "scikit-learn",
)
_NOT_FOR_USERS = ("benchmarks", "peers", "dev")
_SETUP = Path(__file__).parents[3] / "setup.cfg"
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_NAME = re.compile(r"[\w.-]+")


def versions() -> dict[str, str | None]:
    """Return the version of each package that matters; None if it is not installed.

    Example:
        >>> versions()["numpy"] is None
        False
    """
    return {name: installed_version(name) for name in PACKAGES}


def installed_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed.

    Example:
        >>> installed_version("no such package") is None
        True
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def missing_of_extras() -> dict[str, list[str]]:
    """Return the extras for users, each with the packages of it that are not installed.

    Example:
        >>> "hub" in missing_of_extras(), "dev" in missing_of_extras()
        (True, False)
    """
    return {
        extra: sorted({name for name in _names(lines) if installed_version(name) is None})
        for extra, lines in sorted(_extras().items())
        if extra not in _NOT_FOR_USERS
    }


def _extras() -> dict[str, list[str]]:
    """Return the requirements of each extra, from setup.cfg in a checkout, or the metadata.

    The metadata may be that of an earlier version, if the checkout has changed since.
    """
    parser = configparser.ConfigParser()
    parser.read(_SETUP, "utf-8")
    section = "options.extras_require"
    if parser.get("metadata", "name", fallback="") == "l2l_rnn" and parser.has_section(section):
        return {extra: lines.split("\n") for extra, lines in parser.items(section)}
    found: dict[str, list[str]] = {}
    try:
        for line in requires("l2l_rnn") or []:
            extra = _EXTRA.search(line)
            if extra:
                found.setdefault(extra[1], []).append(line)
    except PackageNotFoundError:
        pass
    return found


def _names(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        name = _NAME.match(line.strip())
        if name:
            yield name[0]
