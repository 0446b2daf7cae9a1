"""Methods over word vectors, on documents of made-up words."""

import json
import random

import numpy as np
import pytest
import torch

from benchmarks.few_shot.methods.signatures import SignaturesMethod, WeightedMeans, idf, word_table
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Training
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.text import newsgroup_files
from l2l_rnn.tasksets.text.newsgroup_files import NEWSGROUPS
from l2l_rnn.training import Pretrained

CPU = torch.device("cpu")
TRAINING = Training(
    steps=6, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=3, validation_tasks=8
)


def letters(number):
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Documents with two words of their newsgroup among ten common ones, and word vectors."""
    root, draw = tmp_path_factory.mktemp("data"), random.Random(0)
    common = [f"common{letters(n)}" for n in range(30)]
    own = {
        group: [f"own{letters(100 + 10 * i + n)}" for n in range(4)]
        for i, group in enumerate(NEWSGROUPS)
    }
    lines = []
    for label, group in enumerate(NEWSGROUPS):
        for _ in range(30):
            words = draw.choices(common, k=10) + draw.choices(own[group], k=2)
            draw.shuffle(words)
            lines.append(json.dumps({"text": words, "label": label}) + "\n")
    (root / "20newsgroup.json").write_text("".join(lines))
    vectors = {word: np.random.default_rng(i).normal(size=8) for i, word in enumerate(common)}
    for i, words in enumerate(own.values()):
        topic = np.random.default_rng(1000 + i).normal(size=8)
        vectors |= {
            w: topic + np.random.default_rng(sum(map(ord, w)) % 99).normal(size=8) / 9
            for w in words
        }
    array = np.stack(list(vectors.values())).astype(np.float32)
    np.save(root / "vectors.npy", array)
    (root / "words.json").write_text(json.dumps(list(vectors)))
    rows = (" ".join([word, *map(str, row)]) for word, row in zip(vectors, array, strict=True))
    (root / "vectors.txt").write_text("\n".join(rows))
    return root


@pytest.fixture
def problem(copy, monkeypatch):
    monkeypatch.setattr(newsgroup_files, "_package_folders", list)
    spec = ClassificationSpec(
        name="tiny newsgroups",
        summary="",
        problem=ClassificationProblem,
        score="accuracy",
        percent=True,
        lower_is_better=False,
        test_tasks={"quick": 20},
        entries={},
        picture=lambda result, path: None,
        taskset="newsgroups",
        ways=5,
        shots=(1, 5),
        queries=5,
        taskset_options={"words": "all", "max_length": 12},
        root=str(copy),
    )
    return ClassificationProblem(spec, seed=1, device=CPU, test_tasks=20)


def test_the_table_has_a_centered_vector_for_each_word(problem, copy):
    table = word_table(problem, str(copy / "vectors.npy"))
    torch.testing.assert_close(word_table(problem, str(copy / "vectors.txt")), table)
    vocabulary = problem.train.vocabulary
    assert table.shape == (len(vocabulary), 8)
    assert not table[:2].any()
    words = json.loads((copy / "words.json").read_text())
    array = torch.from_numpy(np.load(copy / "vectors.npy"))
    texts = problem.train.texts
    seen = torch.stack([array[words.index(w)] for text in texts for w in text.split()])
    for word in ("commona", vocabulary.words[0], vocabulary.words[-1]):
        row = array[words.index(word)] - seen.mean(0)
        torch.testing.assert_close(
            table[vocabulary.token_ids[word]], row / row.norm(), atol=1e-4, rtol=1e-4
        )


def test_idf(problem):
    vocabulary, texts = problem.train.vocabulary, problem.train.texts
    weights = idf(problem)
    assert weights[0] == weights[1] == 0
    for word in vocabulary.words[::17]:
        documents = sum(word in text.split() for text in texts)
        expected = max(np.log(len(texts) / (1 + documents)), 0)
        assert weights[vocabulary.token_ids[word]].item() == pytest.approx(expected, rel=1e-5)


def test_signatures_train_and_predict(problem, copy, tmp_path):
    options = {"hidden_size": 4, "epsilon": 1e-3}
    method = SignaturesMethod(
        problem, "signatures", vectors=str(copy / "vectors.npy"), training=TRAINING, options=options
    )
    history = method.train()
    assert history.steps == 6
    assert history.best == max(point["validation"] for point in history.points)
    assert method.validation_score(8) == pytest.approx(history.best)
    scores = [method.evaluate(column) for column in problem.columns]
    assert [score.shape for score in scores] == [(20,), (20,)]
    assert scores[1].mean() > 0.3
    again = SignaturesMethod(
        problem, "again", vectors=str(copy / "vectors.npy"), training=TRAINING, options=options
    )
    assert again.train() is history
    assert again.learner is method.learner
    assert method.trainings({"vectors": "a", "training": TRAINING}) == {
        f"signatures a {TRAINING} {{}}": TRAINING
    }
    Pretrained(method.learner, problem.inputs).save_pretrained(tmp_path / "model")
    loaded = Pretrained.from_pretrained(tmp_path / "model").learner
    assert torch.equal(loaded.frequencies, method.learner.frequencies)


def test_a_step_leaves_out_the_classes_of_its_task(problem, copy, monkeypatch):
    method = SignaturesMethod(
        problem, "signatures", vectors=str(copy / "vectors.npy"), training=TRAINING
    )
    learner = method._make()
    given = []
    clone = type(learner).clone
    monkeypatch.setattr(
        type(learner),
        "clone",
        lambda self, tasks=None, frequencies=None: (
            given.append(frequencies) or clone(self, tasks=tasks, frequencies=frequencies)
        ),
    )
    method._train(learner)
    drawn = problem.training_tasks(TRAINING, problem.seed)
    _, classes = drawn.batch(0, 0.0)
    first = next(one for one in given if one is not None)
    vocabulary = problem.train.vocabulary
    for n in range(2):
        mine = {problem.train.classes[c] for c in classes.support_y[n].tolist()}
        for name, label in zip(problem.train.classes, range(8), strict=True):
            rows = problem.train.sequences[problem.train.labels == label]
            own = [
                w
                for w in rows.unique().tolist()
                if w > 1 and vocabulary.decode([w]).startswith("own")
            ]
            assert (first[n, own] == 0).all() == (name in mine)
    torch.testing.assert_close(first.sum(-1), torch.ones(2))


def test_weighted_means_choose_a_penalty_by_validation(problem, copy):
    method = WeightedMeans(
        problem, "idf", vectors=str(copy / "vectors.npy"), penalties=(1e-2, 1e3), validation_tasks=8
    )
    method.train()
    assert method.details()["penalty"] in (1e-2, 1e3)
    assert method.evaluate(problem.columns[1]).mean() > 0.5


@pytest.mark.parametrize("change", ["missing", "words", "other words", "pickle"])
def test_bad_vectors(problem, copy, change, tmp_path):
    path = tmp_path / "vectors.npy"
    words = json.loads((copy / "words.json").read_text())
    array = np.load(copy / "vectors.npy")
    if change == "words":
        words = words[:-1]
    if change == "other words":
        words = [f"{word}x" for word in words]
    if change == "pickle":
        array = array.astype(object)
    np.save(path, array)
    if change != "missing":
        (tmp_path / "words.json").write_text(json.dumps(words))
    with pytest.raises(DataError, match=r"word_table: .*vectors\.npy.*make them again"):
        word_table(problem, str(path))
