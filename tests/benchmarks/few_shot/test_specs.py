"""Every experiment in `SPECS` is complete, and its quick form runs."""

import contextlib
import dataclasses
import functools
import io
import json
import random

import pytest
import torch

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.methods.baselines.setfit import SetFit
from benchmarks.few_shot.methods.episodes.episode_network import network_of_size
from benchmarks.few_shot.methods.episodes.episode_reader import EpisodeReader
from benchmarks.few_shot.methods.families.family_maml import FamilyMAML
from benchmarks.few_shot.methods.families.family_memory import FamilyMemory
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.spec import EpisodeSpec, FamilySpec, RecommendationSpec
from benchmarks.few_shot.specs import SPECS
from benchmarks.sizes import parameter_count


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_form_has_the_same_methods_and_enough_tasks(spec):
    assert set(spec.entries) == set(spec.test_tasks) == {"quick", "default", "full"}
    least = 100 if spec.name.startswith(("translation", "control")) else 200
    assert min(spec.test_tasks["default"], spec.test_tasks["full"]) >= least
    forms = list(spec.entries.values())
    methods = [
        {(entry.group, entry.method) for entry in entries if entry.method is not SetFit}
        for entries in forms
    ]
    assert methods[0] == methods[1] == methods[2]
    assert all(len({entry.label for entry in entries}) == len(entries) for entries in forms)


@pytest.fixture(scope="module")
def newsgroups(tmp_path_factory):
    """A folder with a small copy of 20 Newsgroups, in the format of Bao et al."""
    folder, generator = tmp_path_factory.mktemp("newsgroups"), random.Random(0)
    common = ["the", "of", "posts", "to"]
    rows = [
        {"text": generator.choices([*common, f"topic{'abcdefghijklmnopqrst'[label]}"], k=12)}
        | {"label": label}
        for label in range(20)
        for _ in range(90)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "20newsgroup.json").write_text(lines, encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory, newsgroups):
    """Run the quick form of a spec once: the entries, the result, the directory, the output."""

    @functools.cache
    def run(name):
        spec = SPECS[name]
        entries = spec.entries["quick"]
        if not isinstance(spec, FamilySpec):  # one entry of each method is enough, and faster
            entries = tuple({entry.method: entry for entry in entries}.values())
        changes = {"training_options": {}} if isinstance(spec, EpisodeSpec) else {}
        if name == "intents":  # few training languages are enough, and faster
            changes["taskset_options"] = {**spec.taskset_options, "train_languages": ("de", "fr")}
        if isinstance(spec, RecommendationSpec):  # few users and items are enough, and faster
            few = {"users": 120, "items": 150, "fractions": (80, 20, 20)}
            changes["taskset_options"] = spec.taskset_options | few
        if name == "newsgroups":
            changes["root"] = newsgroups
        spec = dataclasses.replace(spec, entries={"quick": entries}, **changes)
        out, printed = tmp_path_factory.mktemp(name), io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = runner.run(spec, "quick", 0, torch.device("cpu"), out)
        return entries, result, out, printed.getvalue()

    return run


@pytest.mark.parametrize("name", SPECS)
def test_the_quick_form_runs_and_saves_what_it_prints(name, quick_run):
    entries, result, out, printed = quick_run(name)
    assert report.table(result) in printed
    assert report.notes(result) in printed
    assert "Quick run: scores are meaningless." in printed
    assert json.loads((out / f"{name}-quick.json").read_text()) == result
    assert (out / f"{name}-quick.png").read_bytes().startswith(b"\x89PNG")
    columns = [column["name"] for column in result["columns"]]
    assert len(set(columns)) == len(columns)
    entries = [entry for entry in entries if entry.label not in result["skipped"]]
    assert all(
        "MiniLM" in label or "ignatures" in label or "vectors" in label
        for label in result["skipped"]
    )
    assert [method["label"] for method in result["methods"]] == [e.label for e in entries]
    curve = [point["name"] for point in result.get("curve", [])]
    for entry, method in zip(entries, result["methods"], strict=True):
        own = {*columns, *(curve if entry.curve else [])}
        if entry.method is PublishedScores:
            own &= set(entry.options["scores"])
        assert set(method["scores"]) == own


def test_lags_record_how_far_back_gradients_reach(quick_run):
    _, result, _, _ = quick_run("lags")
    learned = [method for method in result["methods"] if method["group"] == "meta-learned"]
    assert {len(method["gradient_flow"]["after"]) for method in learned} == {201}
    assert learned[0]["variant"] == {"tasks": "recall", "cell": "GRU"}
    table = report.column_table(result, "100 back").splitlines()
    assert len(table) == 2 + len({tuple(method["variant"].values()) for method in learned})
    assert table[0].startswith("| tasks, cell (error in %, lower is better) | from scratch | ")


def test_readers_record_their_number_of_parameters(quick_run):
    entries, result, _, _ = quick_run("languages_by_instance")
    for entry, method in zip(entries, result["methods"], strict=True):
        assert ("parameters" in method) == (entry.method is EpisodeReader)


@pytest.mark.parametrize("name", ["strokes", "languages_by_instance"])
def test_readers_have_similar_numbers_of_parameters(name):
    for form in ("default", "full"):
        for entry in SPECS[name].entries[form]:
            if entry.method is EpisodeReader:
                aim = entry.options["parameters"]
                made = network_of_size(aim, 64, 5, **entry.options["network"])
                assert parameter_count(made) == pytest.approx(aim, rel=0.02)


def test_every_form_has_the_memory_learner():
    for entries in SPECS["languages"].entries.values():
        assert sum(entry.method is MemoryMethod for entry in entries) == 1
    for name in ("sinusoids", "lags"):
        for entries in SPECS[name].entries.values():
            learners = [e for e in entries if e.method is FamilyMemory]
            maml = [
                e
                for e in entries
                if e.method is FamilyMAML
                and e.options["learner"] == "MAML"
                and not e.options.get("first_order")
            ]
            assert [e.variant for e in learners] == [e.variant for e in maml]
