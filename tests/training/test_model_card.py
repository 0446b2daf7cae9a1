"""Model cards say what a learner does, run, and give results with intervals."""

import re
import sys

import pytest
import torch
from huggingface_hub import ModelCard

from l2l_rnn.algorithms import MAML, ProtoNet
from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.training import Pretrained, SeriesInputs, TextInputs
from l2l_rnn.training.model_card import model_card
from tests.training.learners import LEARNERS, encoder

EVALUATION = {
    "scores": {"accuracy": {"mean": 0.81234, "ci95": 0.0123}, "f1": {"mean": 0.7, "ci95": 0.02}},
    "settings": {"taskset": "languages", "shots": 5, "ways": 5, "tasks": 600},
}
MODELS = {
    "text": lambda: Pretrained(
        ProtoNet(encoder(), 3),
        TextInputs(CharacterVocabulary(["abcdefg"]), 6),
        classes=["Finnish", "Turkish"],
        evaluation=[EVALUATION],
        description="Tells languages apart.",
        license="mit",
        tags=["language-identification"],
    ),
    "series": lambda: Pretrained(
        ProtoNet(SequenceEncoder(input_size=3), 3),
        SeriesInputs(3, 0.0, 1.0, max_length=40),
        steps=2,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_example_runs_as_printed(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    MODELS[kind]().save_pretrained("letters")
    card = ModelCard.load(tmp_path / "letters" / "README.md")
    code = re.search(r"```python\n(.*?)```", card.text, re.S)[1]
    assert 'Pretrained.from_pretrained("letters")' in code
    exec(code, {})
    assert re.fullmatch(r"tensor\(\[[01]\]\)\n", capsys.readouterr().out)


def test_results_and_metadata():
    card = MODELS["text"]().generate_model_card(name="owner/letters")
    data = card.data.to_dict()
    assert data["license"] == "mit"
    assert data["library_name"] == "l2l_rnn"
    assert {"few-shot-learning", "language-identification"} <= set(data["tags"])
    assert data["metrics"] == ["accuracy", "f1"]
    results = data["model-index"][0]["results"][0]
    assert results["task"]["type"] == "text-classification"
    assert results["dataset"]["name"] == "languages (5 ways, 5 shots)"
    assert results["metrics"][0]["value"] == 0.81234
    for text in (
        "# letters",
        "Tells languages apart.",
        "`ProtoNet`",
        "| languages | 5 | 5 | 600 | accuracy | 0.812 ± 0.012 |",
        "95% confidence intervals",
        "2 classes: Finnish, Turkish",
        'from_pretrained("owner/letters")',
        "first 6 tokens",
    ):
        assert text in card.text, text
    assert str(ModelCard(str(card))) == str(card)  # the metadata are read back


def test_a_learner_without_results_says_so():
    card = MODELS["series"]().generate_model_card()
    assert "was not evaluated" in card.text
    assert "It adapts with 2 steps." in card.text
    assert "3 channels" in card.text
    assert "first 40 steps" in card.text
    assert "model-index" not in card.data.to_dict()
    assert "your-name/your-model" in card.text


@pytest.mark.parametrize("name", LEARNERS)
def test_every_kind_has_a_card(name):
    card = Pretrained(LEARNERS[name]()).generate_model_card()
    assert f"`{type(LEARNERS[name]()).__name__}`" in card.text


def test_a_model_of_a_user_is_passed_in_the_example():
    card = Pretrained(MAML(torch.nn.Linear(2, 2), 0.1)).generate_model_card()
    assert "model=MyModel()" in card.text
    assert "FewShotClassifier" not in card.text


def test_unusual_content_keeps_the_card_readable():
    evaluation = {
        "scores": {"a|b": {"mean": 1, "ci95": 0}, "bad": {"mean": float("nan")}, "worse": None},
        "settings": {"taskset": "x\ny: [1]", "shots": None},
    }
    content = {
        "learner": {"unknown": "a.B"},
        "classes": [f"class {i}" for i in range(300)],
        "evaluation": [evaluation, {}, {"scores": {"c": {"mean": 1, "ci95": 0}}, "settings": 3}],
        "description": "---\nlicense: other\n---\n\nText.",
        "tags": ["x: y", "x: y"],
    }
    card = ModelCard(str(model_card(content, "name")))
    assert card.data.license is None
    assert card.data.tags[-1] == "x: y"
    assert card.data.metrics == ["a|b", "c"]
    assert "| x y: [1] |  |  |  | a\\|b | 1.000 ± 0.000 |" in card.text
    assert "class 199, …" in card.text
    assert "is a `B`" in card.text
    assert "\n\nText." in card.text


def test_cards_need_no_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert MODELS["text"]().generate_model_card(name="x").text
