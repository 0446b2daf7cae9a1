"""Maps of drawings."""

import torch
from torch import nn

from benchmarks.few_shot.stroke_maps import DIRECTIONS, SIZE, stroke_maps


def drawing(*points, lifts=()):
    """Pen steps through the points, from the center."""
    here = torch.tensor([(0.0, 0.0), *points])
    lifted = torch.zeros(len(points), 1)
    lifted[list(lifts)] = 1
    return torch.cat([here[1:] - here[:-1], lifted], -1)


def maps_of(*drawings, scale=1.0):
    padded = nn.utils.rnn.pad_sequence(drawings, batch_first=True, padding_value=torch.nan)
    return stroke_maps(padded / torch.tensor([scale, scale, 1]), scale).unflatten(
        -1, (DIRECTIONS, SIZE)
    )  # (items, rows upward, directions, columns)


def test_maps_show_the_position_and_the_direction_of_ink():
    level = drawing((-0.8, 0.5), (0.8, 0.5))
    upright = drawing((0.5, -0.8), (0.5, 0.8))
    first, second = maps_of(level, upright)
    assert first.sum((1, 2)).argmax() in (8, 9)  # 0.5 of -0.9 .. 0.9 in 12 rows
    assert second.sum((0, 1)).argmax() in (8, 9)
    assert first.sum((0, 2)).argmax() == 0
    assert second.sum((0, 2)).argmax() == 2
    torch.testing.assert_close(first[:, 0], second[:, 2].T)


def test_maps_do_not_depend_on_drawing_order_padding_or_scale():
    forth = drawing((-0.5, 0.3), (0.5, 0.3), (0.2, -0.6), (0.2, 0.6), lifts=(1, 3))
    back = drawing((0.2, 0.6), (0.2, -0.6), (0.5, 0.3), (-0.5, 0.3), lifts=(1, 3))
    longer = drawing((0.1, 0.1), (0.2, 0.2), (0.3, 0.1), (0.4, 0.2), (0.5, 0.1), (0.6, 0.2))
    (alone,) = maps_of(forth)
    for other in (maps_of(back), maps_of(forth, longer), maps_of(forth, scale=0.2)):
        torch.testing.assert_close(other[0], alone, rtol=1e-4, atol=1e-4)


def test_a_lifted_pen_leaves_no_ink():
    lifted = drawing((-0.8, -0.5), (-0.4, -0.5), (0.4, 0.5), (0.8, 0.5), lifts=(1, 3))
    (maps,) = maps_of(lifted)
    assert maps[5:7, :, 5:7].max() < 0.01 < 0.2 < maps.max()


def test_a_dot_has_ink():
    (maps,) = maps_of(drawing((0.3, 0.3), (0.3, 0.3)))
    assert maps.isfinite().all()
    assert maps.sum((1, 2)).argmax() == maps.sum((0, 1)).argmax() == 7
