"""Few-shot tasks from archived datasets: unseen datasets, unseen classes, options and errors."""

import collections
import random

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import GroupedDataset, SequenceDataset
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.functional import step_lengths
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import (
    archived_series,
    get_tasksets,
    list_tasksets,
    unseen_classes,
    unseen_datasets,
)
from tests.tasksets.series.archive_files import SHIPPED, tiny

pytest.importorskip("sktime")
CARD = list_tasksets()["series"]


@pytest.fixture(scope="module")
def datasets():
    return unseen_datasets()


@pytest.fixture(scope="module")
def classes():
    return unseen_classes()


# ---------------------------------------------------------------- unseen datasets


def names_of(dataset):
    return {name.partition("[")[0] for name in dataset.group_names}


def test_the_card_counts_datasets_and_items(datasets):
    assert tuple(len(d.group_names) for d in datasets) == CARD.classes
    assert tuple(map(len, datasets)) == CARD.items
    lengths = torch.cat([step_lengths(d.inputs) for d in datasets])
    assert (int(lengths.min()), int(lengths.max())) == CARD.lengths


def test_splits_share_no_dataset_and_no_series(datasets):
    found = [names_of(d) for d in datasets]
    assert found == [
        {"ACSF1", "BasicMotions", "GunPoint", "ItalyPowerDemand", "PLAID"},
        {"JapaneseVowels"},
        {"ArrowHead", "OSULeaf"},
    ]
    rows = [{x.numpy().tobytes() for x in d.inputs} for d in datasets]
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]


def test_classes_belong_to_the_dataset_of_their_group(datasets):
    for dataset in datasets:
        for group, target in zip(dataset.groups.tolist(), dataset.targets.tolist(), strict=True):
            name = dataset.group_names[group].partition("[")[0]
            assert dataset.classes[target].startswith(f"{name}/")
        counted = collections.Counter(name.partition("/")[0] for name in dataset.classes)
        assert counted == {name: SHIPPED[name][0] for name in names_of(dataset)}
    numbered = [name for name in datasets[0].classes if name.startswith("PLAID/")]
    assert numbered == [f"PLAID/{i}" for i in range(11)]


def test_series_are_normalized_series_of_the_archive(datasets):
    series, labels = archived_series("JapaneseVowels")
    dataset = datasets[1]
    case, channel = 17, 3
    item = channel * len(series) + case
    assert dataset.group_names[dataset.groups[item]] == "JapaneseVowels[3]"
    assert dataset.classes[dataset.targets[item]] == f"JapaneseVowels/{labels[case]}"
    raw = series[case][channel]
    row = dataset.inputs[item].squeeze(-1)
    np.testing.assert_allclose(row[: len(raw)], (raw - raw.mean()) / raw.std(), rtol=1e-4)
    assert row[len(raw) :].isnan().all()


def test_series_have_mean_0_and_standard_deviation_1(datasets):
    for dataset in datasets:
        mean = dataset.inputs.nanmean(1)
        square = dataset.inputs.square().nanmean(1)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
        constant = square == 0  # a constant series becomes 0
        torch.testing.assert_close(
            square[~constant], torch.ones_like(square[~constant]), atol=1e-3, rtol=0
        )


def test_a_task_draws_from_one_dataset(datasets):
    train = datasets[0]
    group_of = {
        x.numpy().tobytes(): int(g) for x, g in zip(train.inputs, train.groups, strict=True)
    }
    for ways, expected in ((5, {"ACSF1", "PLAID"}), (2, names_of(train))):
        batch = train.draw(100, 2, 2, torch.Generator().manual_seed(0), ways=ways)
        drawn = set()
        for support, query in zip(batch.support_x, batch.query_x, strict=True):
            groups = {group_of[x.numpy().tobytes()] for x in (*support, *query)}
            assert len(groups) == 1
            drawn.add(train.group_names[groups.pop()].partition("[")[0])
        assert drawn == expected


def neighbor_accuracy(batch):
    support, query = (x.flatten(2).nan_to_num() for x in (batch.support_x, batch.query_x))
    nearest = torch.cdist(query, support).argmin(-1)
    return (batch.support_y.gather(1, nearest) == batch.query_y).float().mean().item()


def test_chance_level_and_baseline_of_the_card(datasets):
    assert CARD.chance == 1 / 5
    batch = datasets[2].draw(1000, 5, 10, torch.Generator().manual_seed(1), ways=5)
    assert neighbor_accuracy(batch) == pytest.approx(CARD.baseline[1], abs=0.02)


# ---------------------------------------------------------------- unseen classes


def test_splits_share_no_class_and_large_datasets_are_in_all_three(classes):
    assert [type(d) for d in classes] == [SequenceDataset] * 3
    counts = [collections.Counter(c.partition("/")[0] for c in d.classes) for d in classes]
    assert counts[0] == {
        **{"ACSF1": 6, "PLAID": 7, "OSULeaf": 2},
        **{"ArrowHead": 3, "GunPoint": 2, "ItalyPowerDemand": 2},
    }
    assert counts[1] == counts[2] == {"ACSF1": 2, "PLAID": 2, "OSULeaf": 2}
    names = [name for d in classes for name in d.classes]
    assert len(names) == len(set(names)) == 34
    rows = [{x.numpy().tobytes() for x in d.sequences} for d in classes]
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]


def test_a_multivariate_dataset_keeps_its_channels():
    train, validation, test = unseen_classes(datasets=["JapaneseVowels"])
    assert {d.sequences.shape[-1] for d in (train, validation, test)} == {12}
    assert train.classes == tuple(f"JapaneseVowels/{i}" for i in range(1, 6))
    assert validation.classes == ("JapaneseVowels/6", "JapaneseVowels/7")
    assert test.classes == ("JapaneseVowels/8", "JapaneseVowels/9")
    assert test.grouping.counts.tolist() == [80, 59]


def test_padding_common_to_a_split_is_removed(tmp_path):
    for name, steps in (("Long", 9), ("Short", 4)):
        classes = 3 if name == "Long" else 6
        (tmp_path / f"{name}.ts").write_text(tiny(classes=classes, steps=steps))
    train, validation, test = unseen_classes(tmp_path, ("Long", "Short"))
    assert [d.sequences.shape[1] for d in (train, validation, test)] == [9, 4, 4]


# ---------------------------------------------------------------- options


def one_dataset(tmp_path, text, **options):
    (tmp_path / "Mine.ts").write_text(text)
    return unseen_classes(tmp_path, ("Mine",), **options)[2]


def test_long_series_are_averaged(tmp_path):
    dataset = one_dataset(tmp_path, tiny(steps=12), length=4, normalize=False)
    assert dataset.classes == ("Mine/k4", "Mine/k5")
    assert dataset.sequences[0].squeeze(-1).tolist() == [501, 504, 507, 510]


def test_long_series_are_truncated_on_request(tmp_path):
    dataset = one_dataset(tmp_path, tiny(steps=12), length=4, normalize=False, shorten="truncate")
    assert dataset.sequences[0].squeeze(-1).tolist() == [500, 501, 502, 503]


def test_short_series_are_unchanged(tmp_path):
    text = tiny(steps=12) + "1,2,3:k5\n"
    dataset = one_dataset(tmp_path, text, length=4, normalize=False)
    assert dataset.sequences[-1, :3].squeeze(-1).tolist() == [1, 2, 3]
    assert dataset.sequences[-1, 3].isnan().all()


def test_a_constant_series_becomes_0(tmp_path):
    dataset = one_dataset(tmp_path, tiny() + "0.1,0.1,0.1,0.1,0.1:k5\n")
    assert not dataset.sequences[-1].any()
    assert dataset.sequences.isfinite().all()


def test_channels_are_kept_together_or_separated(tmp_path):
    for name in "ABC":
        (tmp_path / f"{name}.ts").write_text(tiny(channels=2))
    splits = (("A",), ("B",), ("C",))
    together = unseen_datasets(tmp_path, splits, channels="together", normalize=False)[2]
    separate = unseen_datasets(tmp_path, splits, normalize=False)[2]
    assert together.group_names == ("C",)
    assert together.inputs.shape == (24, 5, 2)
    assert separate.group_names == ("C[0]", "C[1]")
    assert separate.inputs.shape == (48, 5, 1)
    assert torch.equal(separate.inputs[24:, :, 0], together.inputs[..., 1])
    assert separate.classes == together.classes == tuple(f"C/k{i}" for i in range(6))


def test_get_tasksets_takes_the_protocol_and_is_reproducible():
    for protocol, kind in (("datasets", GroupedDataset), ("classes", SequenceDataset)):
        drawn = []
        for seed in (3, 3, 4):
            taskset = get_tasksets("series", protocol=protocol, length=32).test
            assert isinstance(taskset.source, kind)
            random.seed(seed)
            x, y = taskset.sample()
            assert x.shape == (50, 32, 1)
            assert y.sort().values.tolist() == torch.arange(5).repeat_interleave(10).tolist()
            drawn.append(x.nan_to_num())
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])


def test_a_classifier_adapts():
    torch.manual_seed(0)
    random.seed(0)
    x, y = get_tasksets("series", length=32).train.sample()
    (support_x, support_y), (query_x, query_y) = learn2learn.data.partition_task(x, y, shots=5)
    model = SequenceClassifier(5, input_size=1, hidden_size=16, cell="gru", pooling="last")
    learner = MAML(model, lr=1.0, first_order=True).clone()
    losses = []
    for _ in range(10):
        losses.append(torch.nn.functional.cross_entropy(learner(support_x), support_y))
        learner.adapt(losses[-1])
    assert losses[-1] < 0.85 * losses[0]
    accuracy = (learner(query_x).argmax(-1) == query_y).float().mean()
    assert accuracy > 0.35


def test_names_in_a_set_are_sorted():
    one, other = (
        unseen_classes(datasets=names) for names in ({"OSULeaf", "ACSF1"}, ("ACSF1", "OSULeaf"))
    )
    assert one[0].classes == other[0].classes
    assert torch.equal(one[2].sequences, other[2].sequences)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "class"}, UnknownNameError, "unknown protocol 'class'.* Known: datasets, cl"),
        (
            {"channels": "both"},
            UnknownNameError,
            "unknown channels 'both'.* Known: separate, together",
        ),
        *(
            ({"protocol": "classes", "channels": channels}, ArgumentError, f"got '{channels}' with")
            for channels in ("separate", "together", "nonsense")
        ),
        ({"shorten": "max"}, UnknownNameError, "unknown shorten 'max'.* Known: mean, truncate"),
        ({"length": 0}, ArgumentError, "length must be a positive integer, got 0"),
        ({"channels": "together"}, ArgumentError, r"same number of channels, got \[1, 6\]"),
        ({"datasets": "OSULeaf"}, ArgumentTypeError, "three sequences of names"),
        ({"datasets": ("A", "B", "C")}, ArgumentTypeError, "three sequences of names"),
        (
            {"datasets": (["A"], ["B"], [])},
            ArgumentError,
            "every split must have at least one dataset",
        ),
        ({"datasets": (["A"], ["B"], ["A"])}, ArgumentError, "must be distinct, got 'A' twice"),
        ({"datasets": (["A"], ["B"], [3])}, ArgumentTypeError, "names of datasets must be str"),
        ({"protocol": "classes", "datasets": "OSULeaf"}, ArgumentTypeError, r"pass \('OSULeaf',\)"),
        ({"protocol": "classes", "datasets": [["A"]]}, ArgumentTypeError, "pass three sequences"),
        (
            {"protocol": "classes", "datasets": ("GunPoint",)},
            DataError,
            "must have 6 classes to fill the validation split, got none",
        ),
        (
            {"protocol": "classes", "datasets": ("OSULeaf", "BasicMotions")},
            ArgumentError,
            r"number of channels, got \[1, 6\]; .*channels='separate' with protocol='datasets'",
        ),
    ],
)
def test_invalid_options_raise_a_clear_error(options, error, message):
    with pytest.raises(error, match=message) as caught:
        get_tasksets("series", **options)
    assert str(caught.value).startswith("series: ")


def test_splits_with_different_channels_are_rejected(tmp_path):
    for name, channels in (("A", 2), ("B", 2), ("C", 3)):
        (tmp_path / f"{name}.ts").write_text(tiny(channels=channels))
    with pytest.raises(ArgumentError, match=r"same number of channels, got \[2, 3\]"):
        unseen_datasets(tmp_path, (("A",), ("B",), ("C",)), channels="together")


def test_missing_values_inside_a_series_are_rejected(tmp_path):
    with pytest.raises(
        DataError,
        match=r"series: Mine: case 9 must have NaN only at its end, got one at step 2 of channel 0",
    ):
        one_dataset(tmp_path, tiny().replace("312.0", "?"))
