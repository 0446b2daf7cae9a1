import collections
import random
import sys

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import GroupedDataset, SequenceDataset, from_arrays
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.functional import step_lengths
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import (
    archived_series,
    get_tasksets,
    list_tasksets,
    unseen_classes,
    unseen_datasets,
)

pytest.importorskip("sktime")
CARD = list_tasksets()["series"]
# Classes, cases, shortest, longest, channels, and cases that are there twice.
SHIPPED = {
    "ACSF1": (10, 200, 1460, 1460, 1, 0),
    "ArrowHead": (3, 211, 251, 251, 1, 1),
    "BasicMotions": (4, 80, 100, 100, 6, 0),
    "GunPoint": (2, 200, 150, 150, 1, 0),
    "ItalyPowerDemand": (2, 1096, 24, 24, 1, 0),
    "JapaneseVowels": (9, 640, 7, 29, 12, 0),
    "OSULeaf": (6, 442, 427, 427, 1, 0),
    "PLAID": (11, 1074, 100, 1344, 1, 5),
}


@pytest.fixture(scope="module")
def datasets():
    return unseen_datasets()


@pytest.fixture(scope="module")
def classes():
    return unseen_classes()


# ---------------------------------------------------------------- archives


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships(name):
    classes, cases, shortest, longest, channels, twice = SHIPPED[name]
    series, labels = archived_series(name, root="nowhere")
    assert len(series) == len(labels) == cases - twice
    assert len(set(labels)) == classes
    assert {s.shape[0] for s in series} == {channels}
    assert (min(s.shape[1] for s in series), max(s.shape[1] for s in series)) == (shortest, longest)
    assert len({s.tobytes() for s in series}) == len(series)


def test_what_is_read_is_one_s_own():
    first = archived_series("GunPoint")
    first.series[0][:] = 0
    assert archived_series("GunPoint").series[0].any()


def tiny(classes=6, cases=4, channels=1, steps=5):
    head = f"@univariate false\n@dimensions {channels}\n@classLabel true "
    lines = [head + " ".join(f"k{c}" for c in range(classes)), "@data"]
    for c in range(classes):
        for case in range(cases):
            rows = [
                ",".join(str((c + 1) * 100 + case * 10 + s + channel / 8) for s in range(steps))
                for channel in range(channels)
            ]
            lines.append(":".join([*rows, f"k{c}"]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("inside", ["Mine", "."])
@pytest.mark.parametrize("files", [("Mine.ts",), ("Mine_TRAIN.ts", "Mine_TEST.ts")])
def test_files_of_one_s_own(tmp_path, inside, files):
    (tmp_path / inside).mkdir(exist_ok=True)
    for i, file in enumerate(files):
        (tmp_path / inside / file).write_text(tiny().replace(".0,", f".{i},"))
    series, labels = archived_series("Mine", tmp_path)
    assert len(series) == len(labels) == 24 * len(files)
    np.testing.assert_array_equal(series[5], [[210, 211, 212, 213, 214]])
    assert labels[5] == "k1"


def test_root_comes_before_the_packages_and_changes_are_seen(tmp_path):
    path = tmp_path / "GunPoint.ts"
    for cases in (3, 4):
        path.write_text(tiny(cases=cases))
        assert len(archived_series("GunPoint", tmp_path).series) == 6 * cases


def test_a_half_fetched_set(tmp_path):
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "Mine_TRAIN.ts").write_text(tiny())
    with pytest.raises(DataError, match=r"Mine_TEST.ts is missing, and Mine_TRAIN.ts is there"):
        archived_series("Mine", tmp_path)


def test_a_damaged_file(tmp_path):
    (tmp_path / "Mine.ts").write_text(tiny().replace("312.0", "3l2.0"))
    with pytest.raises(DataError, match=r"line 14 of .*Mine.ts: value 2 must .* got '3l2.0'"):
        archived_series("Mine", tmp_path)


def offline(*args, **options):
    raise OSError("no network")


@pytest.mark.parametrize("download", [True, False])
def test_what_cannot_be_fetched(tmp_path, monkeypatch, download):
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr("socket." + name, offline)
    monkeypatch.setattr("socket.socket.connect", offline)
    with pytest.raises(DataError, match=r"download Beef.zip.*Beef/Beef_TRAIN.ts") as caught:
        archived_series("Beef", tmp_path, download)
    assert ("no network" in str(caught.value)) == download
    assert "\n" not in str(caught.value)
    assert not any(path.is_file() for path in tmp_path.rglob("*.ts"))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("OSULeav", UnknownNameError, "unknown set 'OSULeav'; did you mean 'OSULeaf'"),
        ("../OSULeaf", UnknownNameError, "a name has letters, digits, - and _ alone"),
        ("", UnknownNameError, "unknown set ''"),
        (7, ArgumentTypeError, "name must be a str, got int"),
    ],
)
def test_bad_names(name, error, message, tmp_path):
    with pytest.raises(error, match=message):
        archived_series(name, tmp_path)


def test_without_sktime(monkeypatch, tmp_path):
    (tmp_path / "Mine.ts").write_text(tiny())
    for module in ("sktime", "sktime.datasets.tsc_dataset_names", "aeon"):
        monkeypatch.setitem(sys.modules, module, None)
    assert len(archived_series("Mine", tmp_path).series) == 24
    with pytest.raises(MissingExtraError, match=r"'GunPoint' is not in .*pip install sktime"):
        archived_series("GunPoint", tmp_path)


def test_from_arrays_takes_what_is_read():
    dataset = from_arrays(*archived_series("JapaneseVowels"))
    assert dataset.sequences.shape == (640, 29, 12)
    assert dataset.grouping.counts.tolist() == [61, 65, 118, 74, 59, 54, 70, 80, 59]


# ---------------------------------------------------------------- unseen datasets


def names_of(dataset):
    return {name.partition("[")[0] for name in dataset.group_names}


def test_the_card_says_how_many(datasets):
    assert tuple(len(d.group_names) for d in datasets) == CARD.classes
    assert tuple(map(len, datasets)) == CARD.items
    lengths = torch.cat([step_lengths(d.inputs) for d in datasets])
    assert (int(lengths.min()), int(lengths.max())) == CARD.lengths


def test_no_dataset_and_no_series_crosses(datasets):
    found = [names_of(d) for d in datasets]
    assert found == [
        {"ACSF1", "BasicMotions", "GunPoint", "ItalyPowerDemand", "PLAID"},
        {"JapaneseVowels"},
        {"ArrowHead", "OSULeaf"},
    ]
    rows = [{x.numpy().tobytes() for x in d.inputs} for d in datasets]
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]


def test_classes_are_those_of_their_group(datasets):
    for dataset in datasets:
        for group, answer in zip(dataset.groups.tolist(), dataset.targets.tolist(), strict=True):
            name = dataset.group_names[group].partition("[")[0]
            assert dataset.classes[answer].startswith(f"{name}/")
        counted = collections.Counter(name.partition("/")[0] for name in dataset.classes)
        assert counted == {name: SHIPPED[name][0] for name in names_of(dataset)}
    numbered = [name for name in datasets[0].classes if name.startswith("PLAID/")]
    assert numbered == [f"PLAID/{i}" for i in range(11)]


def test_series_are_those_of_the_archive_normalised(datasets):
    series, labels = archived_series("JapaneseVowels")
    dataset = datasets[1]
    case, channel = 17, 3
    place = channel * len(series) + case
    assert dataset.group_names[dataset.groups[place]] == "JapaneseVowels[3]"
    assert dataset.classes[dataset.targets[place]] == f"JapaneseVowels/{labels[case]}"
    raw = series[case][channel]
    row = dataset.inputs[place].squeeze(-1)
    np.testing.assert_allclose(row[: len(raw)], (raw - raw.mean()) / raw.std(), rtol=1e-4)
    assert row[len(raw) :].isnan().all()


def test_every_series_has_mean_0_and_deviation_1(datasets):
    for dataset in datasets:
        mean = dataset.inputs.nanmean(1)
        square = dataset.inputs.square().nanmean(1)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
        still = square == 0  # a constant series stays 0
        torch.testing.assert_close(
            square[~still], torch.ones_like(square[~still]), atol=1e-3, rtol=0
        )


def test_tasks_draw_from_one_dataset(datasets):
    train = datasets[0]
    kind = {x.numpy().tobytes(): int(g) for x, g in zip(train.inputs, train.groups, strict=True)}
    for ways, expected in ((5, {"ACSF1", "PLAID"}), (2, names_of(train))):
        batch = train.draw(100, 2, 2, torch.Generator().manual_seed(0), ways=ways)
        drawn = set()
        for support, query in zip(batch.support_x, batch.query_x, strict=True):
            groups = {kind[x.numpy().tobytes()] for x in (*support, *query)}
            assert len(groups) == 1
            drawn.add(train.group_names[groups.pop()].partition("[")[0])
        assert drawn == expected


def neighbour_accuracy(batch):
    support, query = (x.flatten(2).nan_to_num() for x in (batch.support_x, batch.query_x))
    nearest = torch.cdist(query, support).argmin(-1)
    return (batch.support_y.gather(1, nearest) == batch.query_y).float().mean().item()


def test_the_card_s_baseline(datasets):
    assert CARD.chance == 1 / 5
    batch = datasets[2].draw(1000, 5, 10, torch.Generator().manual_seed(1), ways=5)
    assert neighbour_accuracy(batch) == pytest.approx(CARD.baseline[1], abs=0.02)


# ---------------------------------------------------------------- unseen classes


def test_no_class_crosses_and_large_datasets_are_dealt(classes):
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


def test_classes_of_one_dataset_with_its_channels():
    train, validation, test = unseen_classes(datasets=["JapaneseVowels"])
    assert {d.sequences.shape[-1] for d in (train, validation, test)} == {12}
    assert train.classes == tuple(f"JapaneseVowels/{i}" for i in range(1, 6))
    assert validation.classes == ("JapaneseVowels/6", "JapaneseVowels/7")
    assert test.classes == ("JapaneseVowels/8", "JapaneseVowels/9")
    assert test.grouping.counts.tolist() == [80, 59]


def test_padding_that_a_split_shares_is_cut(tmp_path):
    for name, steps in (("Long", 9), ("Short", 4)):
        classes = 3 if name == "Long" else 6
        (tmp_path / f"{name}.ts").write_text(tiny(classes=classes, steps=steps))
    train, validation, test = unseen_classes(tmp_path, ("Long", "Short"))
    assert [d.sequences.shape[1] for d in (train, validation, test)] == [9, 4, 4]


# ---------------------------------------------------------------- options


def of_one(tmp_path, text, **options):
    (tmp_path / "Mine.ts").write_text(text)
    return unseen_classes(tmp_path, ("Mine",), **options)[2]


def test_long_series_become_means_of_stretches(tmp_path):
    dataset = of_one(tmp_path, tiny(steps=12), length=4, normalise=False)
    assert dataset.classes == ("Mine/k4", "Mine/k5")
    assert dataset.sequences[0].squeeze(-1).tolist() == [501, 504, 507, 510]


def test_long_series_are_cut_if_asked(tmp_path):
    dataset = of_one(tmp_path, tiny(steps=12), length=4, normalise=False, shorten="cut")
    assert dataset.sequences[0].squeeze(-1).tolist() == [500, 501, 502, 503]


def test_short_series_stay(tmp_path):
    text = tiny(steps=12) + "1,2,3:k5\n"
    dataset = of_one(tmp_path, text, length=4, normalise=False)
    assert dataset.sequences[-1, :3].squeeze(-1).tolist() == [1, 2, 3]
    assert dataset.sequences[-1, 3].isnan().all()


def test_a_constant_series_becomes_0(tmp_path):
    dataset = of_one(tmp_path, tiny() + "0.1,0.1,0.1,0.1,0.1:k5\n")
    assert not dataset.sequences[-1].any()
    assert dataset.sequences.isfinite().all()


def test_channels_together_or_apart(tmp_path):
    for name in "ABC":
        (tmp_path / f"{name}.ts").write_text(tiny(channels=2))
    splits = (("A",), ("B",), ("C",))
    together = unseen_datasets(tmp_path, splits, channels="together", normalise=False)[2]
    apart = unseen_datasets(tmp_path, splits, normalise=False)[2]
    assert together.group_names == ("C",)
    assert together.inputs.shape == (24, 5, 2)
    assert apart.group_names == ("C[0]", "C[1]")
    assert apart.inputs.shape == (48, 5, 1)
    assert torch.equal(apart.inputs[24:, :, 0], together.inputs[..., 1])
    assert apart.classes == together.classes == tuple(f"C/k{i}" for i in range(6))


def test_the_benchmark_takes_the_protocol_and_seeds():
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


def test_names_in_a_set_are_taken_in_order():
    one, other = (
        unseen_classes(datasets=names) for names in ({"OSULeaf", "ACSF1"}, ("ACSF1", "OSULeaf"))
    )
    assert one[0].classes == other[0].classes
    assert torch.equal(one[2].sequences, other[2].sequences)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "class"}, UnknownNameError, "unknown protocol 'class'. Known: datasets, cl"),
        ({"channels": "both"}, UnknownNameError, "unknown channels 'both'. Known: apart, together"),
        *(
            ({"protocol": "classes", "channels": channels}, ArgumentError, f"got '{channels}' with")
            for channels in ("apart", "together", "nonsense")
        ),
        ({"shorten": "max"}, UnknownNameError, "unknown shorten 'max'. Known: mean, cut"),
        ({"length": 0}, ArgumentError, "length must be a positive integer, got 0"),
        ({"channels": "together"}, ArgumentError, r"as many channels, got \[1, 6\]"),
        ({"datasets": "OSULeaf"}, ArgumentTypeError, "three sequences of names"),
        ({"datasets": ("A", "B", "C")}, ArgumentTypeError, "three sequences of names"),
        ({"datasets": (["A"], ["B"], [])}, ArgumentError, "at least one dataset in every split"),
        ({"datasets": (["A"], ["B"], ["A"])}, ArgumentError, "'A' is named twice"),
        ({"datasets": (["A"], ["B"], [3])}, ArgumentTypeError, "a dataset's name must be a str"),
        ({"protocol": "classes", "datasets": "OSULeaf"}, ArgumentTypeError, r"pass \('OSULeaf',\)"),
        ({"protocol": "classes", "datasets": [["A"]]}, ArgumentTypeError, "takes three sequences"),
        (
            {"protocol": "classes", "datasets": ("GunPoint",)},
            DataError,
            "validation split is empty",
        ),
        (
            {"protocol": "classes", "datasets": ("OSULeaf", "BasicMotions")},
            ArgumentError,
            r"as many channels, got \[1, 6\]; .*channels='apart' with protocol='datasets'",
        ),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message) as caught:
        get_tasksets("series", **options)
    assert str(caught.value).startswith("series: ")


def test_channels_that_differ_between_splits(tmp_path):
    for name, channels in (("A", 2), ("B", 2), ("C", 3)):
        (tmp_path / f"{name}.ts").write_text(tiny(channels=channels))
    with pytest.raises(ArgumentError, match=r"as many channels, got \[2, 3\]"):
        unseen_datasets(tmp_path, (("A",), ("B",), ("C",)), channels="together")


def test_missing_values_within_a_series(tmp_path):
    with pytest.raises(DataError, match=r"series: Mine: case 9 .* got one at step 2 of channel 0"):
        of_one(tmp_path, tiny().replace("312.0", "?"))
