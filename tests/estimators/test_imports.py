"""What an import needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
sys.modules.update(dict.fromkeys(["sklearn", "sklearn.base", "pytorch_lightning", "matplotlib"]))
import l2l_rnn.errors, l2l_rnn.training
try:
    import l2l_rnn.estimators
except l2l_rnn.errors.MissingExtraError as error:
    sys.stdout.write(f"{error}\\n")
for name in ("sklearn", "sklearn.base"):
    del sys.modules[name]
import l2l_rnn.estimators
sys.stdout.write(" ".join(name for name in sys.modules if "." not in name))
"""


@pytest.mark.slow
def test_scikit_learn_is_needed_and_no_other_optional_package():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    message, modules = run.stdout.splitlines()
    assert "pip install scikit-learn" in message
    assert "extra 'estimators'" in message
    assert not {"datasets", "torchtext", "tokenizers", "sktime"} & set(modules.split())
