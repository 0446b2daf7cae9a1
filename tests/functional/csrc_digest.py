"""A digest of C sources that comments and formatting do not change."""

import hashlib
import re
from pathlib import Path

import l2l_rnn

CSRC = Path(l2l_rnn.__file__).parent / "functional" / "csrc"


def csrc_digest(*names):
    """Return 16 hexadecimal digits that stand for the code in these files."""
    return hashlib.sha256("".join(code(CSRC / name) for name in names).encode()).hexdigest()[:16]


def code(path):
    """Return a file's text without comments, line continuations and white space."""
    text = re.sub(r"\\\n", "", path.read_text("utf-8"))
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", "", text)
