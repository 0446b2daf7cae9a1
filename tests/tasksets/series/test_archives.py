"""Reading of archived datasets: local files, shipped files, downloads and errors."""

import sys

import numpy as np
import pytest

from l2l_rnn.data import from_arrays
from l2l_rnn.errors import ArgumentTypeError, DataError, MissingExtraError, UnknownNameError
from l2l_rnn.tasksets import archived_series
from tests.tasksets.series.archive_files import SHIPPED, tiny

pytest.importorskip("sktime")


@pytest.mark.parametrize("name", SHIPPED)
def test_datasets_that_ship_with_sktime(name):
    classes, cases, shortest, longest, channels, duplicates = SHIPPED[name]
    series, labels = archived_series(name, root="nowhere")
    assert len(series) == len(labels) == cases - duplicates
    assert len(set(labels)) == classes
    assert {s.shape[0] for s in series} == {channels}
    assert (min(s.shape[1] for s in series), max(s.shape[1] for s in series)) == (shortest, longest)
    assert len({s.tobytes() for s in series}) == len(series)


def test_changing_the_result_does_not_change_the_next_one():
    first = archived_series("GunPoint")
    first.series[0][:] = 0
    assert archived_series("GunPoint").series[0].any()


@pytest.mark.parametrize("folder", ["Mine", "."])
@pytest.mark.parametrize("files", [("Mine.ts",), ("Mine_TRAIN.ts", "Mine_TEST.ts")])
def test_your_own_files_are_read(tmp_path, folder, files):
    (tmp_path / folder).mkdir(exist_ok=True)
    for i, file in enumerate(files):
        (tmp_path / folder / file).write_text(tiny().replace(".0,", f".{i},"))
    series, labels = archived_series("Mine", tmp_path)
    assert len(series) == len(labels) == 24 * len(files)
    np.testing.assert_array_equal(series[5], [[210, 211, 212, 213, 214]])
    assert labels[5] == "k1"


def test_root_takes_precedence_and_changed_files_are_read_again(tmp_path):
    path = tmp_path / "GunPoint.ts"
    for cases in (3, 4):
        path.write_text(tiny(cases=cases))
        assert len(archived_series("GunPoint", tmp_path).series) == 6 * cases


def test_a_missing_train_or_test_file_is_reported(tmp_path):
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "Mine_TRAIN.ts").write_text(tiny())
    with pytest.raises(DataError, match=r"Mine_TEST.ts must exist, got only Mine_TRAIN.ts; add it"):
        archived_series("Mine", tmp_path)


def test_a_damaged_file_is_reported(tmp_path):
    (tmp_path / "Mine.ts").write_text(tiny().replace("312.0", "3l2.0"))
    with pytest.raises(
        DataError, match=r"line 14 of .*Mine.ts: value 2 must be a number, got '3l2.0'"
    ):
        archived_series("Mine", tmp_path)


def offline(*args, **options):
    raise OSError("no network")


@pytest.mark.parametrize("download", [True, False])
def test_a_failed_download_names_the_files_to_add(tmp_path, monkeypatch, download):
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
        ("OSULeav", UnknownNameError, "unknown dataset 'OSULeav'; did you mean 'OSULeaf'"),
        ("../OSULeaf", UnknownNameError, "names have letters, digits, - and _ only"),
        ("", UnknownNameError, "unknown dataset ''"),
        (7, ArgumentTypeError, "name must be a str, got int"),
    ],
)
def test_invalid_names_are_rejected(name, error, message, tmp_path):
    with pytest.raises(error, match=message):
        archived_series(name, tmp_path)


def test_without_sktime_only_root_is_read(monkeypatch, tmp_path):
    (tmp_path / "Mine.ts").write_text(tiny())
    for module in ("sktime", "sktime.datasets.tsc_dataset_names", "aeon"):
        monkeypatch.setitem(sys.modules, module, None)
    assert len(archived_series("Mine", tmp_path).series) == 24
    with pytest.raises(MissingExtraError, match=r"'GunPoint' is not in .*pip install sktime"):
        archived_series("GunPoint", tmp_path)


def test_from_arrays_takes_the_result():
    dataset = from_arrays(*archived_series("JapaneseVowels"))
    assert dataset.sequences.shape == (640, 29, 12)
    assert dataset.grouping.counts.tolist() == [61, 65, 118, 74, 59, 54, 70, 80, 59]
