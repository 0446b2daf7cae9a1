"""The problem and the methods of translation."""

import dataclasses
import random

import pytest
import torch

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.fine_tuned import (
    FineTunedTranslator,
    FromScratchTranslator,
)
from benchmarks.few_shot.methods.translation.neighbors import NearestNeighbor
from benchmarks.few_shot.methods.translation.pair_memory import PairMemoryMethod
from benchmarks.few_shot.methods.translation.translation_maml import TranslationMAML
from benchmarks.few_shot.problems.number_grammars import invented_language
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.problems.translation_problem import TranslationProblem, first_tasks
from benchmarks.few_shot.shared_trainings import SharedTrainings
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from benchmarks.few_shot.text_measures import edit_distance, measures

CPU = torch.device("cpu")
SPEC = dataclasses.replace(SPECS["translation"], columns=(Pairs(4), Pairs(9)), invented=5)
TRAINING = Training(
    steps=2, minutes=1, tasks=2, shots=(3, 6), queries=3, validate_every=1, validation_tasks=3
)


@pytest.fixture(scope="module")
def problem():
    return TranslationProblem(SPEC, seed=3, device=CPU, test_tasks=5)


@pytest.fixture(scope="module")
def names():
    spec = dataclasses.replace(SPECS["translation_names"], columns=(Pairs(6),))
    return TranslationProblem(spec, seed=3, device=CPU, test_tasks=5)


# ------------------------------------------------------------------ the tasks


def test_evaluation_tasks_are_the_same_in_every_call(problem):
    first, again = (problem.evaluation_tasks("test", Pairs(9), 12) for _ in range(2))
    assert first.sources == again.sources
    assert torch.equal(first.batch.query_y, again.batch.query_y)
    other = problem.evaluation_tasks("validation", Pairs(9), 12)
    assert first.references != other.references


def test_tasks_have_every_language_in_turn_and_disjoint_pairs(problem):
    names = problem.test.group_names
    tasks = problem.evaluation_tasks("test", Pairs(9), 2 * len(names))
    assert len(tasks) == 2 * len(names)
    texts = {
        name: {
            t
            for t, g in zip(problem.test.texts, problem.test.groups.tolist(), strict=True)
            if g == n
        }
        for n, name in enumerate(names)
    }
    rows = zip(tasks.sources, tasks.targets, tasks.queries, tasks.references, strict=True)
    for n, (sources, targets, queries, references) in enumerate(rows):
        own = texts[names[n % len(names)]]
        assert set(zip(sources, targets, strict=True)) <= own
        assert set(zip(queries, references, strict=True)) <= own
        assert len({*sources, *queries}) == 9 + SPEC.queries
    part = first_tasks(tasks, 3, 5)
    decoded = [problem.test.decode(task) for task in part.batch.query_y]
    assert decoded == tasks.references[3:5]
    assert part.batch.query_y[..., -1].any() or part.batch.support_y[..., -1].any()


def test_training_tasks_are_reproducible_and_never_in_unseen_languages(problem):
    how = {"invented": 0.5, "permuted": 0.0}
    first, again, other = (problem.training_tasks(TRAINING, seed, **how) for seed in (0, 0, 1))
    known = {
        (tuple(x), tuple(y))
        for tables in (problem.tables["train"], problem.invented)
        for xs, ys in tables
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
    }
    for step, shots in enumerate((3, 6, 3)):
        batch = first.batch(step, 0.0)
        assert batch.support_x.shape[:2] == (2, shots)
        assert batch.query_y.shape[:2] == (2, 3)
        assert torch.equal(batch.query_y, again.batch(step, 0.0).query_y)
        assert not torch.equal(batch.query_x, other.batch(step, 0.0).query_x)
        for part_x, part_y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
            padded = torch.nn.functional.pad(part_y, (0, problem.max_length - part_y.shape[-1]))
            rows = zip(part_x.flatten(0, 1).tolist(), padded.flatten(0, 1).tolist(), strict=True)
            assert {(tuple(x), tuple(y)) for x, y in rows} <= known


def test_permuted_tasks_keep_which_letters_are_equal(problem):
    plain, permuted = (
        problem.training_tasks(TRAINING, 0, permuted=share).batch(0, 0.0) for share in (0.0, 1.0)
    )
    # The first task draws the same pairs, and then permutes its letters.
    assert torch.equal(plain.support_x[0], permuted.support_x[0])
    steps = min(plain.support_y.shape[-1], permuted.support_y.shape[-1])
    before, after = plain.support_y[0, :, :steps], permuted.support_y[0, :, :steps]
    assert not torch.equal(before, after)
    table = {}
    for one, other in zip(before.flatten().tolist(), after.flatten().tolist(), strict=True):
        assert table.setdefault(one, other) == other
    assert len(set(table.values())) == len(table)
    ids = problem.train.target_vocabulary.token_ids
    for fixed in (0, problem.train.END, ids[" "], ids["-"]):
        assert table.get(fixed, fixed) == fixed


def test_unseen_languages_have_no_unknown_letters(problem, names):
    for one in (problem, names):
        for dataset in (one.train, one.validation, one.test):
            assert not (dataset.targets == 1).any()
    assert "ƒ" in problem.train.target_vocabulary  # of no language in the task set
    assert "A" not in problem.train.target_vocabulary
    assert "A" in names.train.target_vocabulary


def test_source_characters_can_be_copied(names):
    copies = names.model_options["copies"]
    source, target = names.train.vocabulary, names.train.target_vocabulary
    assert len(copies) == len(source)
    for i, character in enumerate(source.characters, start=2):
        assert target.decode([copies[i]]) == (character if character in target else "")
    assert copies[source.token_ids["G"]] == target.token_ids["G"]


# ------------------------------------------------------------------ invented languages


@pytest.mark.parametrize("seed", range(20))
def test_invented_languages(seed):
    words = invented_language(random.Random(seed))
    assert list(words) == [str(number) for number in range(1000)]
    assert words == invented_language(random.Random(seed))
    assert words != invented_language(random.Random(seed + 100))
    assert all(word and word == word.strip() for word in words.values())
    assert len(set(words.values())) > 900  # two numbers may sound alike


def test_invented_languages_differ_in_their_rules():
    languages = [invented_language(random.Random(seed)) for seed in range(60)]
    tens_first = [w["73"].startswith(w["70"]) for w in languages]
    spaces = [" " in w["345"] for w in languages]
    irregular = [w["400"].replace(w["100"], "") not in w["4"] for w in languages]
    assert all(0.1 < sum(found) / 60 < 0.95 for found in (tens_first, spaces, irregular))


# ------------------------------------------------------------------ measures


def test_edit_distance():
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("flaw", "lawn") == 2
    generator = random.Random(0)
    texts = ["".join(generator.choices("ab", k=generator.randrange(7))) for _ in range(30)]
    for a in texts:
        assert edit_distance(a, a) == 0
        for b in texts[:8]:
            assert edit_distance(a, b) == edit_distance(b, a)
            assert edit_distance(a, b) <= edit_distance(a, texts[9]) + edit_distance(texts[9], b)


def test_measures():
    found = measures(["eins", "zwo"], ["eins", "zwei"])
    assert found["exact match"] == 0.5
    assert found["character error rate"] == 2 / 8
    assert 0.3 < found["chrF"] < 1
    assert measures(["a b"], ["a b"]) == {
        "exact match": 1.0,
        "character error rate": 0.0,
        "chrF": 1.0,
    }


# ------------------------------------------------------------------ methods


def tasks_of(problem, pairs, queries):
    """One task with given support pairs, and queries with their references."""
    tasks = problem.evaluation_tasks("test", Pairs(4), 1)
    return dataclasses.replace(
        tasks,
        sources=[list(pairs)],
        targets=[list(pairs.values())],
        queries=[list(queries)],
        references=[list(queries.values())],
    )


def test_nearest_neighbors_copy_what_differs(problem):
    plain, analogy = (NearestNeighbor(problem, "", analogies=a) for a in (False, True))
    names = tasks_of(
        problem, {"Saint Helena": "Santa Helena", "Chad": "Txad"}, {"Saint Lucia": "Santa Lucia"}
    )
    assert plain.translate(names, Pairs(2)) == [["Santa Lucia"]]
    numbers = {"341": "trehundrefortien", "41": "fortien", "47": "fortisju", "902": "nihundreto"}
    tasks = tasks_of(problem, numbers, {"347": "trehundrefortisju", "302": "trehundreto"})
    assert plain.translate(tasks, Pairs(4))[0][0] == "trehundrefortien"
    assert analogy.translate(tasks, Pairs(4))[0][0] == "trehundrefortisju"


MODEL = {"embedding_size": 6, "hidden_size": 6}
METHODS = {
    "scratch": (FromScratchTranslator, {"model": MODEL, "steps": (1, 2), "lr": 0.01}),
    "fine-tuned": (
        FineTunedTranslator,
        {"model": MODEL, "steps": (1, 2), "lr": 0.01, "training": TRAINING, "invented": 0.5},
    ),
    "MAML": (
        TranslationMAML,
        {"model": MODEL, "training": TRAINING, "inner_lr": 0.1, "inner_steps": 2, "test_steps": 2},
    ),
    "memory": (
        PairMemoryMethod,
        {"model": {"hidden_size": 6}, "training": TRAINING, "invented": 0.5, "permuted": 0.5},
    ),
    "votes": (PairMemoryMethod, {"model": {"hidden_size": 6}, "training": TRAINING, "votes": 3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_methods_train_and_are_reproducible(name, problem):
    kind, options = METHODS[name]
    if "steps" in options:
        options = {**options, "validation_tasks": 3}
    scores = []
    for _ in range(2):
        problem.shared = SharedTrainings()
        seed_everything(problem.seed)
        method = kind(problem, name, **options)
        history = method.train()
        assert (history is None) == (name == "scratch")
        exact = method.evaluate(Pairs(9))
        assert exact.shape == (5,)
        measured = method.details()["measures"]["9 pairs"]
        assert measured["exact match"]["mean"] == pytest.approx(exact.mean().item())
        assert measured["character error rate"]["mean"] > 0
        scores.append(measured)
    assert scores[0] == scores[1]


def test_fine_tuning_changes_each_task_by_its_own_pairs(problem):
    method = FromScratchTranslator(
        problem, "", model=MODEL, steps=(60,), lr=0.03, validation_tasks=1
    )
    torch.manual_seed(0)
    method.start = method.network()
    batch = problem.evaluation_tasks("test", Pairs(4), 2).batch
    learner = method.adapted(batch, 60)
    learned = [p.detach() for p in learner.parameters()]
    assert all(not torch.equal(p[0], p[1]) for p in learned if p.dim() > 2)
    loss = learner(batch.support_x, batch.support_y)
    own = -loss.gather(-1, batch.support_y.unsqueeze(-1)).squeeze(-1)[batch.support_y != 0].mean()
    swapped = learner(batch.support_x.flip(0), batch.support_y.flip(0))
    other = -swapped.gather(-1, batch.support_y.flip(0).unsqueeze(-1)).squeeze(-1)
    assert own < other[batch.support_y.flip(0) != 0].mean()


def test_votes_share_the_training_and_undo_their_permutations(problem):
    problem.shared = SharedTrainings()
    options = {"model": {"hidden_size": 6}, "training": TRAINING}
    one, three = (PairMemoryMethod(problem, "", **options, votes=votes) for votes in (1, 3))
    one.train()
    three.train()
    assert three.learner.module is one.learner.module
    with torch.no_grad():  # without vectors of tokens, permuted letters give the same translation
        for name in ("target_embedding.weight", "output.generator.weight"):
            weight = one.learner.module.get_parameter(name)
            weight.copy_(weight[:1].expand(weight.shape))
        one.learner.module.output.generator.bias.fill_(0)
        one.learner.module.output.gate.bias.copy_(torch.tensor([-1e3, 0.0]))
    tasks = problem.evaluation_tasks("test", Pairs(9), 5)
    translations = one.translate(tasks, Pairs(9))
    assert any(text for task in translations for text in task)
    assert three.translate(tasks, Pairs(9)) == translations
