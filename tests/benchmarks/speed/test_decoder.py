"""The benchmark of loops over steps: equal results for all contestants, and saved results."""

import json
import warnings

import pytest
import torch

from benchmarks.speed import decoder


@pytest.mark.parametrize("kind", decoder.KINDS)
@pytest.mark.parametrize(
    ("order", "tasks"), [*((order, 1) for order in decoder.ORDERS), ("second", 3)]
)
def test_all_contestants_compute_the_same(kind, order, tasks):
    work = decoder.Work(kind, 2, 4, steps=3, tasks=tasks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers
        ours, torchs = (call() for call in decoder.contestants(work, order).values())
    torch.testing.assert_close(ours, torchs)


def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        assert decoder.main(["--quick", "--out", str(tmp_path)]) == 0
    assert torch.get_num_threads() == threads
    result = json.loads((tmp_path / "decoder-quick.json").read_text())
    assert decoder.table(result) in capsys.readouterr().out
    assert result["threads"] == 1
    assert len(result["rows"]) == 7
    for row in result["rows"]:
        ours, torchs = row["seconds"].values()
        assert row["ratio"] == pytest.approx(ours / torchs)
        assert min(ours, torchs) > 0
