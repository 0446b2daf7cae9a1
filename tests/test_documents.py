"""The code in README and docs runs, and the tables agree with the result files."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import documents
from l2l_rnn.tasksets import list_tasksets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
TABLES = [
    pytest.param(name, text.strip(), id=f"{path.name}-{name}")
    for path in documents.DOCUMENTS
    for _, name, text, _ in documents.TABLE.findall(path.read_text("utf-8"))
]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the code writes files
    namespace: dict[str, object] = {}
    for block in blocks(page.read_text("utf-8"), "python"):
        exec(compile(block, page.name, "exec"), namespace)


def test_the_readme_has_code():
    assert len(blocks(README, "python")) >= 5


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_the_readme_names_every_task_set():
    assert {name for name in list_tasksets() if f"`{name}`" not in README} == set()


def test_the_first_bash_block_has_the_two_commands():
    install = "pip install -r requirements.txt"
    assert blocks(README, "bash")[0].splitlines() == [
        f"{install} && python -m benchmarks run languages",
        f"{install} && pytest -n 2",
    ]


@pytest.mark.parametrize(("name", "text"), TABLES)
def test_tables_are_up_to_date(name, text):
    assert text == documents.TABLES[name]()  # to update them, run python -m benchmarks.documents


def test_every_table_is_shown():
    assert {table.values[0] for table in TABLES} == set(documents.TABLES)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/results").glob("*-full.json")))
def test_published_results_are_complete(path):
    assert not json.loads(path.read_text("utf-8")).get("interrupted")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_have_a_target(page):
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link
