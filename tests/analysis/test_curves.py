"""Plots of curves."""

import pytest

from l2l_rnn.analysis import draw_curves
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training import Curve, Evaluation


def curve(axis="steps", score="accuracy"):
    scores = [Evaluation({score: (0.1 * k, 0.2 * k, 0.3 * k)}, 0.1) for k in range(3)]
    return Curve(axis, (0, 1, 2), tuple(scores))


@pytest.mark.parametrize("curves", [curve(), {"one": curve(), "other": curve()}])
def test_curves_are_drawn(curves, tmp_path):
    path = draw_curves(curves, tmp_path / "curve.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


def test_other_curves(tmp_path):
    path = tmp_path / "curve.png"
    with pytest.raises(ArgumentTypeError, match="must be a Curve or a dict of them"):
        draw_curves([curve()], path)
    with pytest.raises(ArgumentError, match="one score over steps or over shots"):
        draw_curves({"a": curve(), "b": curve("shots")}, path)
    with pytest.raises(ArgumentError, match="one score"):
        draw_curves({}, path)
    assert not path.exists()
