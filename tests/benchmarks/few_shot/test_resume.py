"""Unfinished runs: what is saved, and that a resumed run gives the result of an unbroken one."""

import copy
import dataclasses
import json

import pytest
import torch
from safetensors import safe_open

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods import episodic, maml, memory, transfer
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.spec import Entry
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import ArgumentError, DataError


@pytest.fixture
def interrupt(monkeypatch):
    """A function that makes a method raise `error` in `train` or `evaluate`."""

    def interrupt(entry, where, error):
        def fail(self, *arguments):
            if self.label == entry.label:
                raise error
            return proper(self, *arguments)

        proper = getattr(entry.method, where)
        monkeypatch.setattr(entry.method, where, fail)

    return interrupt


def partial(out):
    return json.loads((out / "languages-quick-partial.json").read_text())


def labels(result):
    return [row["label"] for row in result["methods"]]


@pytest.mark.parametrize(("number", "where"), [(0, "train"), (1, "evaluate"), (4, "train")])
def test_a_resumed_run_equals_an_unbroken_one(
    number, where, small, unbroken, interrupt, tmp_path, monkeypatch
):
    entry = small.entries[number]
    interrupt(entry, where, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        small.run(tmp_path)
    monkeypatch.undo()
    saved = partial(tmp_path)
    assert labels(saved) == [e.label for e in small.entries[:number]]
    assert saved["unfinished"] == [e.label for e in small.entries[number:]]
    result = small.run(tmp_path, resume=True)
    assert small.without_times(result) == unbroken
    assert json.loads((tmp_path / "languages-quick.json").read_text()) == result
    assert not list(tmp_path.glob("*partial*"))
    kept = {row["label"]: row["training_seconds"] for row in saved["methods"]}
    assert (
        kept.items() <= {row["label"]: row["training_seconds"] for row in result["methods"]}.items()
    )


def test_methods_run_in_any_order_and_number(small, unbroken, tmp_path, capsys):
    draw = report.bars_and_training
    first = small.run(tmp_path, only="memory, delta,Start", draw=draw)
    assert labels(first) == ["memory, delta", "start"]
    assert first["unfinished"] == ["fine-tuned", "prior", "metric"]
    printed = capsys.readouterr()
    assert "Not run yet: fine-tuned; prior; metric. Add them with --resume." in printed.out
    assert "[2/2] start: " in printed.err
    assert (tmp_path / "languages-quick-partial.png").read_bytes().startswith(b"\x89PNG")
    small.run(tmp_path, only="P*", resume=True)
    assert labels(partial(tmp_path)) == ["prior", "memory, delta", "start"]
    assert small.without_times(small.run(tmp_path, resume=True)) == unbroken
    assert not list(tmp_path.glob("*partial*"))


def test_a_partial_result_has_the_differences_of_its_methods(small, tmp_path):
    small.run(tmp_path, only="metric,memory*,start")
    saved = partial(tmp_path)
    rows = copy.deepcopy(saved["methods"])
    for row in rows:
        for column, score in row["scores"].items():
            score.pop("difference", None)
            assert len(row["task_scores"][column]) == score["tasks"] in (3, 6)
            assert report.interval(torch.tensor(row["task_scores"][column]).double()) == score
    report.add_differences(rows, lower_is_better=False)
    assert rows == saved["methods"]


def test_networks_that_methods_share_are_trained_once(small, unbroken, tmp_path, monkeypatch):
    small.run(tmp_path, only="fine-tuned,metric")
    folder = tmp_path / "languages-quick-partial"
    saved = sorted(folder.glob("*.safetensors"))
    assert len(saved) == 2  # one of the two pre-trained encoders, and the ProtoNet
    trained = []
    for module in (episodic, maml, memory, transfer):
        proper = module.run_training
        monkeypatch.setattr(
            module,
            "run_training",
            lambda *given, _proper=proper, **named: (
                trained.append(named["label"]),
                _proper(*given, **named),
            )[1],
        )
    assert small.without_times(small.run(tmp_path, resume=True)) == unbroken
    assert trained == ["pre-training", "memory, delta", "start"]


def test_a_damaged_network_is_trained_again(small, unbroken, tmp_path):
    small.run(tmp_path, only="fine-tuned,metric")
    first, second = sorted((tmp_path / "languages-quick-partial").glob("*.safetensors"))
    first.write_bytes(first.read_bytes()[:-8])
    with safe_open(first.with_name(second.name), framework="pt") as file:
        assert file.metadata()["key"].startswith(("pretrained", "prototypical"))
    second.write_bytes(b"")
    assert small.without_times(small.run(tmp_path, resume=True)) == unbroken


def test_finished_methods_are_not_overwritten_by_mistake(small, tmp_path):
    small.run(tmp_path, only="metric")
    before = partial(tmp_path)
    with pytest.raises(ArgumentError, match=r"has 1 of 5 methods, .* add --resume .*--restart"):
        small.run(tmp_path)
    assert partial(tmp_path) == before
    result = small.run(tmp_path, seed=1, restart=True, only="metric")
    assert result["seed"] == partial(tmp_path)["seed"] == 1


def test_a_run_without_finished_methods_is_replaced(small, interrupt, tmp_path):
    interrupt(small.entries[0], "evaluate", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        small.run(tmp_path)
    assert len(list((tmp_path / "languages-quick-partial").iterdir())) == 1
    assert partial(tmp_path)["methods"] == []
    assert small.run(tmp_path, seed=1, only="metric")["seed"] == 1
    assert len(list((tmp_path / "languages-quick-partial").iterdir())) == 1


def test_resuming_nothing_starts_from_the_beginning(small, tmp_path):
    assert labels(small.run(tmp_path, resume=True, only="metric")) == ["metric"]


def test_all_differences_are_listed_at_once(small, tmp_path):
    small.run(tmp_path, only="metric,memory*")
    path = tmp_path / "languages-quick-partial.json"
    saved = partial(tmp_path)
    torch_version, saved["versions"]["torch"] = saved["versions"]["torch"], "1.0"
    saved["data"]["test"]["items"] += 1
    saved["threads"] += 1
    path.write_text(json.dumps(saved))
    before = path.read_bytes()
    longer = dataclasses.replace(small.training, steps=5, shots=(1, 3))
    changed = [
        dataclasses.replace(e, options={**e.options, "training": longer})
        if e.label == "metric"
        else e
        for e in small.entries
        if e.label != "memory, delta"
    ]
    with pytest.raises(ArgumentError) as refused:
        small.run(tmp_path, changed, seed=1, resume=True)
    items = saved["data"]["test"]["items"]
    assert str(refused.value).splitlines()[1:] == [
        "  seed: was 0, is now 1",
        f"  threads: was {saved['threads']}, is now {saved['threads'] - 1}",
        f'  versions.torch: was "1.0", is now "{torch_version}"',
        f"  data.test.items: was {items}, is now {items - 1}",
        "  method 'metric'.options.training.steps: was 2, is now 5",
        "  method 'metric'.options.training.shots: was [1, 2], is now [1, 3]",
        "  method 'memory, delta': was finished, is no longer in the experiment",
    ]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ('{"methods": [', "is damaged"),
        ('{"seed": NaN}', "is damaged"),
        ("[1, 2]", "was written by another version"),
        ('{"interrupted": true, "methods": []}', "was written by another version"),
    ],
)
def test_a_damaged_file_is_refused_until_it_is_discarded(content, message, small, tmp_path):
    path = tmp_path / "languages-quick-partial.json"
    path.write_text(content)
    for resume in (False, True):
        with pytest.raises(DataError, match=rf"{message}.*; add --restart to discard it"):
            small.run(tmp_path, resume=resume)
        assert path.read_text() == content
    assert labels(small.run(tmp_path, restart=True, only="metric")) == ["metric"]


def test_a_second_run_is_refused(small, tmp_path):
    with (
        report.only_writer(tmp_path / "languages-quick.json"),
        pytest.raises(ArgumentError, match="another run is writing to"),
    ):
        small.run(tmp_path)
    assert not list(tmp_path.glob("*partial*"))


def test_a_failure_keeps_what_was_measured(small, interrupt, tmp_path):
    interrupt(small.entries[3], "predict", ZeroDivisionError("no"))
    with pytest.raises(ZeroDivisionError):
        small.run(tmp_path, only="metric,memory*")
    assert labels(partial(tmp_path)) == ["metric"]


class NotANumber(ProtoNetMethod):
    """Has a score that is not a number."""

    def evaluate(self, column):
        scores = super().evaluate(column)
        scores[2] = torch.nan
        return scores


def test_scores_that_are_not_finite_are_named(small, tmp_path):
    wrong = Entry("wrong", "baseline", NotANumber, small.entries[2].options)
    text = r"wrong: the scores of 1 of 6 test tasks are not finite \(5 ways, 1 shot\)"
    with pytest.raises(ArithmeticError, match=text):
        small.run(tmp_path, [small.entries[2], wrong])
    assert labels(partial(tmp_path)) == ["metric"]


def test_a_full_disk_keeps_the_methods_saved_before(small, tmp_path, monkeypatch):
    small.run(tmp_path, only="metric")
    before = partial(tmp_path)
    monkeypatch.setattr("benchmarks.few_shot.unfinished.write_json", _no_space)
    with pytest.raises(OSError, match="No space left"):
        small.run(tmp_path, only="memory*", resume=True)
    assert partial(tmp_path) == before


def _no_space(*given):
    raise OSError(28, "No space left on device")


def test_a_reader_does_not_depend_on_who_trained_its_encoder(small, tmp_path):
    spec = SPECS["languages_by_instance"]
    spec = dataclasses.replace(spec, picture=lambda result, path: path.touch())
    first, second, *_ = (entry.label for entry in spec.entries["quick"])

    def last_row(folder, only):
        result = runner.run(spec, "quick", 0, torch.device("cpu"), tmp_path / folder, only=only)
        return small.without_times(result["methods"][-1])

    alone, after = last_row("alone", second), last_row("both", f"{first},{second}")
    assert alone["label"] == second
    assert alone["task_scores"] == after["task_scores"]
