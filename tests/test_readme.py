"""The README's code runs, and its tables are those that benchmarks and cards make."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.algorithmic import table
from benchmarks.speed import memory, meta_step
from l2l_rnn.tasksets import list_tasksets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SHOWN = re.compile(
    r"<!-- table: (\S+?)(?:, column (.+?))? -->\n(.*?)<!-- end of table -->", re.DOTALL
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_python_blocks_run_in_their_order():
    namespace: dict[str, object] = {}
    found = blocks("python")
    assert len(found) >= 3
    for block in found:
        exec(compile(block, "README.md", "exec"), namespace)
    assert type(namespace["model"]).__name__ == "Tagger"


def test_the_two_commands_are_the_first_bash_block():
    install = "pip install --use-pep517 -r requirements.txt"
    assert blocks("bash")[0].splitlines() == [
        f"{install} && python -m benchmarks run languages",
        f"{install} && pytest -n 2",
    ]


@pytest.mark.parametrize(("source", "column", "shown"), SHOWN.findall(README))
def test_a_table_is_made_from_its_result_file(source, column, shown):
    if source == "tasksets":
        assert shown.strip() == report.tasksets_table(list_tasksets())
        return
    if source == "memory-tasks":  # or "memory-tasks, column runs", a line for each run
        path = ROOT / "benchmarks/results/memory-tasks-full.json"
        result = json.loads(path.read_text("utf-8"))
        assert shown.strip() == table.table(result, each=column == "runs")
        assert not result["interrupted"]
        return
    result = json.loads((ROOT / source).read_text("utf-8"))
    if column:
        made = report.column_table(result, column)
    elif Path(source).stem.startswith("memory-speed"):
        made = memory.table(result)
    elif Path(source).stem.startswith("speed"):
        made = meta_step.table(result)
    else:
        made = report.table(result)
    assert shown.strip() == made
    assert not result.get("interrupted")


def test_files_that_the_readme_links_to_are_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_the_readme_shows_a_result():
    assert SHOWN.findall(README)
