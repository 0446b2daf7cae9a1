"""A digest of C sources that does not depend on comments and formatting."""

import hashlib
import re
from pathlib import Path

import l2l_rnn

CSRC = Path(l2l_rnn.__file__).parent / "functional" / "csrc"


def csrc_digest(*names):
    """Return a digest of the code in these files, 16 hexadecimal digits."""
    return hashlib.sha256("".join(code(CSRC / name) for name in names).encode()).hexdigest()[:16]


def code(path):
    """Return a file's text without comments, line continuations and white space."""
    text = re.sub(r"\\\n", "", path.read_text("utf-8"))
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", "", text)
