import collections
import copy
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, MissingExtraError, UnknownNameError
from l2l_rnn.functional.padding import step_lengths
from l2l_rnn.tasksets import Strokes, get_tasksets, list_tasksets
from l2l_rnn.tasksets.series import stroke_glyphs


@pytest.fixture(scope="module")
def splits():
    return {split: Strokes(split=split) for split in SPLITS}


def character(name):
    return name.partition("/")[2].partition("@")[0]


def pen(sequence, scale):
    """Points and lifts of an item, without padding."""
    steps = sequence[: int(step_lengths(sequence))].double()
    return steps[:, :2].cumsum(0) * scale, steps[:, 2]


def resample(points, count):
    """`count` points at equal distances along the path of the pen, lifted or not."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, points[:, i]) for i in range(2)], -1)


def outline(drawing, count=48):
    """Points along the strokes, without the moves between them, at a standard size and position."""
    points, lifts = drawing.points[:, :2], drawing.points[:-1, 2].astype(bool)
    starts, ends = points[:-1][~lifts], points[1:][~lifts]
    lengths = np.linalg.norm(ends - starts, axis=1)
    total = np.cumsum(lengths)
    at = (np.arange(count) + 0.5) / count * total[-1]
    segment = np.searchsorted(total, at)
    share = ((total[segment] - at) / lengths[segment])[:, None]
    cloud = ends[segment] + (starts - ends)[segment] * share
    cloud -= (cloud.min(0) + cloud.max(0)) / 2
    return torch.from_numpy(cloud / np.ptp(cloud, axis=0).max()).float()


def test_the_card(splits):
    card = list_tasksets()["strokes"]
    assert tuple(len(splits[split].classes) for split in SPLITS) == card.classes
    assert tuple(len(splits[split]) for split in SPLITS) == card.items
    lengths = torch.cat([step_lengths(splits[split].sequences) for split in SPLITS])
    assert (int(lengths.min()), int(lengths.max())) == card.lengths


def test_the_baseline_of_the_card(splits):
    test = copy.copy(splits["test"])
    points = [pen(sequence, 1.0)[0].numpy() for sequence in test.sequences]
    test.sequences = torch.tensor(np.stack([resample(p, 32).ravel() for p in points]))[:, None]
    batch = test.draw(1000, 5, 5, torch.Generator().manual_seed(0), ways=5)
    distances = torch.cdist(batch.query_x.flatten(2), batch.support_x.flatten(2))
    nearest = batch.support_y.gather(1, distances.argmin(-1))
    accuracy = (nearest == batch.query_y).double().mean()
    assert abs(accuracy - list_tasksets()["strokes"].baseline[1]) < 0.01


def test_splits_share_no_character(splits):
    sets = {split: {character(name) for name in splits[split].classes} for split in SPLITS}
    assert sum(map(len, sets.values())) == len(set.union(*sets.values()))
    assert set.union(*sets.values()) == set(stroke_glyphs.SPLIT_OF)


@pytest.mark.parametrize(
    "alike",
    ["oO0", "sS", "cC", "xX", "zZN", "vVA", "wWMm", "uUn", "pPdbq69", "kK", "lI1i", "yY", "jJ"],
)
def test_characters_that_look_alike_share_a_split(alike):
    assert len({stroke_glyphs.SPLIT_OF[c] for c in alike}) == 1


@pytest.mark.slow
def test_no_drawing_looks_like_one_in_another_split():
    """Half of all drawings are within 0.0225 of the same character in another font."""
    own = {split: [] for split in SPLITS}
    for c, drawn in stroke_glyphs.drawings().items():
        own[stroke_glyphs.SPLIT_OF[c]] += [outline(drawing) for drawing in drawn]
    clouds = {split: torch.stack(outlines) for split, outlines in own.items()}
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    for first, second in (("train", "test"), ("validation", "train"), ("test", "validation")):
        turned = clouds[second]
        for _ in range(4):
            for cloud in clouds[first]:
                gaps = torch.cdist(cloud, turned)  # (drawings, points, points)
                distance = (gaps.amin(1).mean(-1) + gaps.amin(2).mean(-1)) / 2
                assert distance.min() > 0.0225
            turned = turned @ quarter


def test_no_item_occurs_twice(splits):
    rows = torch.cat([splits[split].sequences for split in SPLITS]).nan_to_num(nan=9.0)
    assert len(rows.flatten(1).unique(dim=0)) == len(rows)


def test_every_class_has_all_its_samples_and_fonts(splits):
    for dataset in splits.values():
        assert (torch.bincount(dataset.labels) == 20).all()
        fonts = collections.defaultdict(set)
        for label, font in zip(dataset.labels.tolist(), dataset.fonts, strict=True):
            fonts[dataset.classes[label]].add(font)
        for name, used in fonts.items():
            assert len(used) == len({d.font for d in stroke_glyphs.drawings()[character(name)]})


def test_a_drawing_of_a_font():
    """A plain L goes down from the cap line, then right along the baseline."""
    drawing = stroke_glyphs.drawings()["L"][0]
    assert drawing.font == "futural"
    assert drawing.points[:, 1].tolist() == [0.5, -0.5, -0.5, -0.5]
    assert -drawing.points[2, 0] == drawing.points[3, 0] > 0
    assert drawing.points[:, 2].tolist() == [0, 1, 0, 1]


def test_an_item_is_its_drawing_rotated_and_augmented():
    dataset = Strokes(split="train", samples=1, jitter=1e-6)
    for angle, matrix in (
        (0, [[1, 0], [0, 1]]),
        (90, [[0, -1], [1, 0]]),
        (180, [[-1, 0], [0, -1]]),
    ):
        item = dataset.sequences[dataset.classes.index(f"latin/L@{angle}")]
        points, lifts = pen(item, dataset.scale)
        drawn = torch.from_numpy(stroke_glyphs.drawings()["L"][0].points)
        expected = drawn[:, :2] @ torch.tensor(matrix, dtype=torch.float64).T
        torch.testing.assert_close(points, expected, atol=1e-4, rtol=0)
        assert torch.equal(lifts, drawn[:, 2])


def test_offsets_are_standardized_by_train(splits):
    offsets = splits["train"].sequences[..., :2]
    assert 0.9 < offsets[~offsets.isnan()].std() < 1.1
    assert splits["test"].scale == splits["train"].scale


def test_padding_is_only_at_the_end(splits):
    for dataset in splits.values():
        steps = step_lengths(dataset.sequences)
        inside = torch.arange(dataset.sequences.shape[1]) < steps[:, None]
        assert torch.equal(inside, dataset.sequences.isfinite().all(-1))
        last = dataset.sequences[torch.arange(len(steps)), steps - 1]
        assert (last[:, 2] == 1).all()
        assert {0.0, 1.0} == set(dataset.sequences[inside][:, 2].unique().tolist())


def test_rotations_are_left_out_on_request_and_where_they_look_alike():
    upright = Strokes(split="train", samples=2, rotations=False)
    assert all(name.endswith("@0") for name in upright.classes)
    turned = set(Strokes(split="train", samples=2).classes)
    assert {f"latin/L@{angle}" for angle in (0, 90, 180, 270)} <= turned
    assert {name for name in turned if name.startswith("latin/S@")} == {"latin/S@0", "latin/S@90"}
    assert {name for name in turned if name.startswith("latin/o@")} == {"latin/o@0"}


def test_a_seed_determines_the_items():
    first, second, other = (Strokes(split="test", samples=3, seed=seed) for seed in (1, 1, 2))
    assert first.sequences.nan_to_num().equal(second.sequences.nan_to_num())
    assert not first.sequences.nan_to_num().equal(other.sequences.nan_to_num())


@pytest.mark.slow
def test_hash_randomization_changes_nothing():
    code = (
        "import hashlib; from l2l_rnn.tasksets import Strokes;"
        "d = Strokes(split='test', samples=2);"
        "print(hashlib.sha256(d.sequences.numpy().tobytes() + str(d.classes).encode()).hexdigest())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = Strokes(split="test", samples=2)
    content = here.sequences.numpy().tobytes() + str(here.classes).encode()
    assert printed.split() == [hashlib.sha256(content).hexdigest()]


def test_get_tasksets_takes_the_options(tmp_path):
    tasksets = get_tasksets("strokes", 3, 4, 2, 3, root=tmp_path / "nowhere", samples=5, seed=7)
    assert tasksets.train.sample()[0].shape == (12, 124, 3)
    assert torch.bincount(tasksets.test.sample()[1]).tolist() == [3, 3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, UnknownNameError, "unknown split 'val'. Known: train, validation, test"),
        *(({"samples": n}, ArgumentError, "positive integer") for n in (0, 2.0, True, "3")),
        *(({"jitter": n}, ArgumentError, "above 0") for n in (0, -1.0, float("nan"), "1", True)),
        ({"rotations": 4}, ArgumentError, "True or False, got 4"),
        *(({"seed": n}, ArgumentError, "non-negative integer") for n in (-1, 0.5, False)),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message) as caught:
        Strokes(**options)
    assert str(caught.value).startswith("Strokes: ")


def test_without_the_fonts(monkeypatch):
    monkeypatch.setitem(sys.modules, "HersheyFonts", None)
    stroke_glyphs.drawings.cache_clear()
    with pytest.raises(MissingExtraError, match=r"task set 'strokes'.*pip install"):
        Strokes()
