import json
import sys

import pytest

from l2l_rnn.errors import L2LRNNError, MissingExtraError
from l2l_rnn.optional import require


def test_an_installed_module():
    assert require("json", extra="none", purpose="a test") is json
    assert require("os.path", extra="none", purpose="a test").join("a", "b")


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part", "json.no_such_part"])
def test_a_missing_module_gives_the_pip_command(module):
    with pytest.raises(MissingExtraError) as caught:
        require(module, extra="text", purpose="the task set 'languages'")
    message = str(caught.value)
    assert message.startswith(f"the task set 'languages' needs the package {module.split('.')[0]},")
    package = module.split(".")[0]
    assert message.endswith(f"pip install {package} (it is in the extra 'text' of l2l_rnn)")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, L2LRNNError)
    assert caught.value.__cause__ is not None


def test_a_module_with_a_failing_import(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="No module named 'no_such_dependency'"):
        require("half_installed", extra="text", purpose="a test")
    assert "half_installed" not in sys.modules


def test_a_blocked_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "json", None)
    with pytest.raises(MissingExtraError, match="needs the package json"):
        require("json", extra="text", purpose="a test")


def test_other_errors_inside_a_module_pass_through(monkeypatch, tmp_path):
    (tmp_path / "failing.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        require("failing", extra="text", purpose="a test")
