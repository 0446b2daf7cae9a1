"""The structure of the source tree: import directions, and sizes of files and folders."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES, MOST_FILES = 320, 16

# The lowest floor first. A module imports only from lower floors and from its own subpackage.
FLOORS = [
    {"errors", "optional", "registry", "axes", "checks", "files", "mapped_axis", "configuration"},
    {"functional"},
    {"nn", "memory"},
    {"models", "data"},
    {"algorithms", "control", "tasksets"},
    {"training"},
    {"analysis"},
    {"estimators"},
    {"cli"},
    {"__main__"},
]


def sources(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in found if path.suffix in (".py", ".c", ".h"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in sources("l2l_rnn") if path.suffix == ".py"}


def imported_modules(path: Path, *, inside_functions: bool) -> Iterator[str]:
    """Yield each module of l2l_rnn that a file imports, except in code for type checkers."""
    todo = list(ast.parse(path.read_text("utf-8")).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == "l2l_rnn")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            if node.module and node.module.partition(".")[0] == "l2l_rnn":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in PATHS else node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += ast.iter_child_nodes(node)


def floor_of(module: str) -> int:
    room = module.split(".")[1]
    levels = [level for level, rooms in enumerate(FLOORS) if room in rooms]
    assert levels, f"{module} is on no floor; add its subpackage to FLOORS"
    return levels[0]


@pytest.mark.parametrize("module", [m for m in PATHS if m != "l2l_rnn"])
def test_imports_run_downward(module):
    for target in imported_modules(PATHS[module], inside_functions=True):
        if target == "l2l_rnn":
            continue
        same_room = target.split(".")[1] == module.split(".")[1]
        both_on_floor_0 = floor_of(target) == floor_of(module) == 0
        assert same_room or both_on_floor_0 or floor_of(target) < floor_of(module), (
            f"{module} imports {target}"
        )


def test_imports_have_no_cycles():
    # The __init__ of a package re-exports names of its modules, so these must not import it.
    graph = {
        module: set(imported_modules(path, inside_functions=False)) - {module}
        for module, path in PATHS.items()
    }
    del graph["l2l_rnn"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", sources("l2l_rnn", "benchmarks", "examples"), ids=relative)
def test_source_files_are_within_their_limit(path):
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in sources("l2l_rnn", "benchmarks", "examples")}),
    ids=relative,
)
def test_folders_are_within_their_limit(folder):
    files = [p for p in folder.iterdir() if p.suffix in (".py", ".c", ".h")]
    assert len([p for p in files if p.name != "__init__.py"]) <= MOST_FILES


def test_everything_is_imported_with_its_package():
    """A cell, memory, learner or task set that no `__init__` imports is in no registry."""
    rooms = ("algorithms", "control", "memory", "nn", "tasksets")
    script = (
        "import importlib, sys\n"
        f"for room in {rooms}: importlib.import_module(f'l2l_rnn.{{room}}')\n"
        "print(*sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = {name for name in PATHS if name.split(".")[1:2] and name.split(".")[1] in rooms}
    missing = sorted(modules - set(run.stdout.split()))
    assert not missing, f"import {', '.join(missing)} in the __init__.py of the package"
