"""`l2l-rnn list`, and the file behind it."""

import json

import pytest

from l2l_rnn import algorithms
from l2l_rnn.cli import catalog, main
from l2l_rnn.cli.fitting.learners import LEARNERS
from l2l_rnn.tasksets import list_tasksets


def test_the_file_equals_the_registries():
    kept = json.loads(catalog.FILE.read_text("utf-8"))
    # To update it, run python -m l2l_rnn.cli.catalog
    assert kept == json.loads(json.dumps(catalog.current()))


def test_learners_are_classes_of_algorithms():
    assert {kind.cls for kind in LEARNERS.values()} <= set(algorithms.__all__)


def test_it_lists_every_section(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*list_tasksets(), *LEARNERS, "lstm", "attention", "hebbian", "banking77"):
        assert f"\n  {name} " in shown
    assert max(map(len, shown.splitlines())) < 150


def test_the_name_of_a_task_set_shows_its_card(capsys):
    assert main(["list", "languages"]) == 0
    shown = capsys.readouterr().out
    card = str(list_tasksets()["languages"])
    assert shown == "languages\n" + "".join(f"  {line}\n" for line in card.splitlines())


def test_json_is_machine_readable(capsys):
    assert main(["list", "cells", "sinusoids", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"cells", "sinusoids"}
    assert found["sinusoids"]["measure"] == list_tasksets()["sinusoids"].measure


def test_cards_shows_all_of_them(capsys):
    assert main(["list", "tasksets", "--cards"]) == 0
    assert capsys.readouterr().out.count("license:") == len(list_tasksets())


def test_task_sets_of_other_packages_are_listed(monkeypatch, capsys):
    from l2l_rnn.tasksets import catalog as tasksets

    monkeypatch.setitem(tasksets._TASKSETS._members, "elsewhere", lambda root: ())
    monkeypatch.setattr(catalog, "entry_points", lambda group: [group])
    catalog.catalog.cache_clear()
    try:
        assert main(["list", "tasksets"]) == 0
        assert "\n  elsewhere\n" in capsys.readouterr().out
    finally:
        catalog.catalog.cache_clear()


@pytest.mark.parametrize("section", ["tasksets", "learners"])
def test_a_section_alone(section, capsys):
    assert main(["list", section]) == 0
    assert capsys.readouterr().out.startswith(f"{section}:\n")
