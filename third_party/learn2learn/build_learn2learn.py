"""Build backend (PEP 517) that builds learn2learn from its release, with a corrected `setup.py`.

- The C sources in the release do not compile on Python 3.11 or newer. Cython writes new ones.
- qpth, for one layer of MetaOptNet, and gsutil, for one data set, are no longer required.
  learn2learn runs without them, and an error names them where they are needed. qpth needs numpy
  below 2, which does not exist in compiled form for Python 3.13.
- The version is marked, so that `pip list` shows where it comes from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from setuptools import build_meta

RELEASE = "0.2.0"
SHA256 = "69f1d7cb0d0a6be7a2c6ad8e83e2ebbe70fb05e51d61e45e63078b40c75ea419"

# Lines of the release's setup.py, and what replaces them.
CHANGES = {
    "from distutils.core import setup\n": "",
    "use_cython = 'develop' in sys.argv or 'build_ext' in sys.argv\n": "use_cython = True\n",
    "    version=VERSION,\n": "    version=VERSION + '+without.qpth',\n",
    "    setup_requires=['cython>=0.28.5', ],\n": "",
    "        'gsutil',\n": "",
    "        'qpth>=0.0.15',\n": "",
}


def download(folder: Path) -> Path:
    """Download the release with pip, which knows the user's index, and check it."""
    arguments = ["--no-deps", "--no-binary=learn2learn", "--no-build-isolation", f"--dest={folder}"]
    command = [sys.executable, "-m", "pip", "download", *arguments, f"learn2learn=={RELEASE}"]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(
            f"could not download learn2learn {RELEASE}, see above; "
            "to use another index than PyPI, set PIP_INDEX_URL"
        )
    (archive,) = folder.glob("learn2learn-*.tar.gz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive.name}: expected the SHA-256 {SHA256}, got {found}")
    return archive


@contextlib.contextmanager
def corrected_source() -> Iterator[None]:
    """Change to a folder with the source of the release and the corrected `setup.py`."""
    start = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(download(Path(folder)), folder)
        source = Path(folder, f"learn2learn-{RELEASE}")
        setup = (source / "setup.py").read_text()
        for line, replacement in CHANGES.items():
            setup = setup.replace(line, replacement)
        (source / "setup.py").write_text(setup)
        os.chdir(source)
        try:
            yield
        finally:
            os.chdir(start)


# pip and uv call these. Without a hook that prepares metadata, they take it from the wheel, so that
# the release is downloaded and compiled once.


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, str] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel, and return its name."""
    target = os.path.abspath(wheel_directory)
    with corrected_source():
        return build_meta.build_wheel(target)


def build_sdist(sdist_directory: str, config_settings: Mapping[str, str] | None = None) -> str:
    """Refuse: the release on PyPI is the source distribution."""
    raise NotImplementedError("build a wheel, with: pip wheel ./third_party/learn2learn")
