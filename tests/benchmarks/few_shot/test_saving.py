"""The option `--save` saves the learner of a method, which then gives the published scores."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot import runner
from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import FewShotTranslator
from l2l_rnn.functional import accuracy
from l2l_rnn.training import Pretrained

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "label", ["LSTM ProtoNet, Gaussian prior", "LSTM memory learner", "LSTM ProtoMAML*"]
)
def test_a_saved_learner_has_the_scores_of_its_row(tmp_path, label):
    spec = dataclasses.replace(SPECS["languages"], more_ways=(), curve=())
    folder = tmp_path / "model"
    result = runner.run(spec, "quick", 0, CPU, tmp_path / "out", only=label, save=folder)
    (row,) = result["methods"]
    model = Pretrained.from_pretrained(folder)
    problem = spec.problem(spec, 0, CPU, spec.test_tasks["quick"])
    for column, evaluation in zip(problem.columns, model.evaluation, strict=True):
        tasks = problem.evaluation_tasks("test", column, problem.test_tasks)
        (batch,) = tasks.batches(problem.test_tasks, CPU)
        texts = [tasks.texts(items) for items in tasks.index.query_x]
        scores = []
        for n in range(len(batch)):
            learner = model.adapted(tasks.texts(tasks.index.support_x[n]), batch.support_y[n])
            with torch.no_grad():
                scores.append(accuracy(learner(model.inputs(texts[n])), batch.query_y[n]))
        mean = torch.stack(scores).mean().item()
        assert mean == pytest.approx(row["scores"][column.name]["mean"], abs=0.01)
        assert evaluation["scores"]["accuracy"]["mean"] == pytest.approx(mean, abs=0.01)
    assert "quick form of the benchmark `languages`" in (folder / "README.md").read_text("utf-8")


def test_one_method_with_a_learner_is_saved(tmp_path):
    run = {"seed": 0, "device": CPU, "out": tmp_path, "save": tmp_path / "model"}
    with pytest.raises(ArgumentError, match="needs one method"):
        runner.run(SPECS["languages"], "quick", only="LSTM*", **run)
    with pytest.raises(ArgumentError, match="trains a learner"):
        runner.run(SPECS["languages"], "quick", only="TF-IDF*", **run)
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_saved_translator_has_the_scores_of_its_row(tmp_path):
    spec = dataclasses.replace(SPECS["translation"], columns=(Pairs(5),), invented=2)
    folder = tmp_path / "model"
    result = runner.run(
        spec, "quick", 0, CPU, tmp_path / "out", only="GRU pair memory", save=folder
    )
    (row,) = result["methods"]
    model = Pretrained.from_pretrained(folder)
    assert model.inputs == spec.problem(spec, 0, CPU, 1).inputs
    assert "hr" in model.classes
    for pairs, evaluation in zip(spec.columns, model.evaluation, strict=True):
        mean = row["scores"][pairs.name]["mean"]
        assert evaluation["scores"]["exact match"]["mean"] == pytest.approx(mean, abs=1e-6)
    translator = FewShotTranslator(model, votes=2).fit(["1", "2"], ["un", "dos"])
    assert translator.predict(["1"]).shape == (1,)
    assert "quick form of the benchmark `translation`" in (folder / "README.md").read_text("utf-8")
