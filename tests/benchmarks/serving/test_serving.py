"""The benchmarks of estimators: quick runs with a small model, and saved results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.serving import first_answer, user_store
from benchmarks.speed import timing
from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import Pretrained, TextInputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    vocabulary = get_tasksets("languages").train.source.vocabulary
    encoder = SequenceEncoder(vocab_size=len(vocabulary), embedding_size=4, hidden_size=4)
    model = Pretrained(ProtoNet(encoder, ways=5).eval(), TextInputs(vocabulary, max_length=32))
    path = tmp_path_factory.mktemp("model") / "small"
    model.save_pretrained(path)
    return str(path)


def test_users_differ_and_have_five_names_of_five_languages():
    users = user_store.draw(30)
    assert len({tuple(names) for names, _ in users.values()}) == 30
    for names, languages in users.values():
        assert len(names) == len(languages) == 25
        assert sorted(np.unique(languages, return_counts=True)[1]) == [5] * 5


def test_tasks_are_names_of_their_languages():
    tasks, others = first_answer.draw(3)
    source = get_tasksets("languages").test.source
    named = {}
    for text, label in zip(source.texts, np.asarray(source.labels), strict=True):
        named.setdefault(text, set()).add(str(source.classes[label]))
    for (support, queries), rest in zip(tasks, others, strict=True):
        languages = set(support[1])
        assert len(languages) == 5
        assert set(queries[1]) == languages
        assert (len(support[0]), len(queries[0]), len(rest)) == (25, 50, 50)
        assert not set(support[0]) & set(queries[0])
        for text, language in zip(*support, strict=True):
            assert language in named[text]


def test_a_quick_run_of_the_store(tmp_path, capsys, folder):
    assert user_store.main(["--quick", "--out", str(tmp_path), "--model", folder]) == 0
    result = json.loads((tmp_path / "user_store-quick.json").read_text())
    assert user_store.table(result) in capsys.readouterr().out
    assert result["states"].keys() == {"prototypes", "memory"}
    for row in result["states"].values():
        assert row["identical_answers"]
        assert row["users"] == row["compared_users"] == 20


@pytest.mark.slow
def test_a_quick_run_of_first_answers(tmp_path, capsys, folder):
    assert first_answer.main(["--quick", "--out", str(tmp_path), "--model", folder]) == 0
    result = json.loads((tmp_path / "first_answer-quick.json").read_text())
    out = capsys.readouterr().out
    assert first_answer.table(result) in out
    assert 0.2 < result["accuracy"]["mean"] <= 1
    assert result["unknown"]["area"]["other scripts"] == 1
    steps = result["first"]
    parts = ("import", "load", "fit", "predict")
    assert sum(steps[p] for p in parts) == pytest.approx(steps["first answer"])


@pytest.mark.parametrize("benchmark", [first_answer, user_store])
def test_an_unknown_model(benchmark, tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--quick", "--out", str(tmp_path), "--model", "no-such-model"])
    assert "no-such-model" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["first_answer", "user_store"])
def test_published_results_meet_their_targets(name):
    path = Path(timing.RESULTS) / f"{name}-full.json"
    if not path.exists():
        pytest.skip("not published yet")
    result = json.loads(path.read_text())
    if name == "first_answer":
        assert result["first"]["first answer"] < 10
        assert result["later"]["one answer"] < 0.01
        assert result["work"]["users"] >= 600
    else:
        for row in result["states"].values():
            assert row["users"] >= 10_000
            assert row["identical_answers"]
            assert row["median"]["one answer"] < 0.02
