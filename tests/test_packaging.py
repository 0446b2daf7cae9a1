"""The package as a whole: its requirements, its imports and its layout."""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "l2l_rnn"

TOP_LEVEL = {
    *("setup.cfg", "pyproject.toml", "README.md", "l2l_rnn", "benchmarks", "tests"),
    *("requirements.txt", "LICENSE", "CHANGELOG.md", "examples", "docs"),
    *("CONTRIBUTING.md", "CITATION.cff"),
}


# ---------------------------------------------------------------- reading the metadata


def read_requirements(text: str) -> dict[str, Requirement]:
    requirements = [Requirement(line) for line in text.splitlines() if line.strip()]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def read_setup() -> tuple[dict[str, Requirement], dict[str, dict[str, Requirement]]]:
    """Return the requirements of the package and of each extra."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    return (
        read_requirements(setup["options"]["install_requires"]),
        {extra: read_requirements(extras[extra]) for extra in extras},
    )


def read_pins() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return read_requirements(
        "\n".join(line.split(" --")[0] for line in lines if not line.startswith(("#", "-e ")))
    )


# Subpackages that may import the packages of the extra with their name.
PARTS = {"training", "estimators", "cli"}
# Required by parts that are not there yet.
UNUSED = {"huggingface-hub", "safetensors"}

NEEDED, EXTRAS = read_setup()
PINS = read_pins()


# ---------------------------------------------------------------- reading the code


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, except for code that only a type checker reads."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from nodes(child)


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each import as a module's absolute name and the name taken from it, if any."""
    package = path.relative_to(ROOT).parent.parts
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((module, alias.name) for alias in node.names)


DISTRIBUTIONS = packages_distributions()


def distribution(module: str) -> str:
    """Return the canonical name of the package that provides a module."""
    top = module.partition(".")[0]
    return canonicalize_name(DISTRIBUTIONS.get(top, [top])[0])


def third_party(*paths: Path) -> dict[str, str]:
    """Return each third-party package that the files import, with a file that imports it."""
    own = {"l2l_rnn", "benchmarks", "examples", "tests", "__future__", *sys.stdlib_module_names}
    return {
        distribution(module): relative(path)
        for path in paths
        for module, _ in imports(path)
        if module.partition(".")[0] not in own
    }


def optional_modules() -> list[tuple[str, str, str]]:
    """Return each call of `require` as (file, module, extra)."""
    calls = []
    for path in sources("l2l_rnn"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("require"):
                extra = {word.arg: word.value for word in node.keywords}["extra"]
                calls.append(
                    (relative(path), ast.literal_eval(node.args[0]), ast.literal_eval(extra))
                )
    return calls


# ---------------------------------------------------------------- requirements


@pytest.mark.parametrize(("file", "module", "extra"), optional_modules())
def test_an_optional_package_is_in_the_extra_that_its_error_names(file, module, extra):
    assert extra in EXTRAS, f"{file} names an extra that setup.cfg lacks"
    assert distribution(module) in EXTRAS[extra]


def test_every_documented_extra_exists():
    documented = {"text", "hub", "series", "strokes", "control", "plots", "benchmarks"}
    assert documented | PARTS <= set(EXTRAS)


def test_the_package_requires_exactly_what_it_imports():
    imported = set()
    for path in sources("l2l_rnn"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        imported |= set(third_party(path)) - set(EXTRAS[part] if part in PARTS else ())
    assert imported <= set(NEEDED)
    assert set(NEEDED) - imported <= UNUSED


@pytest.mark.parametrize(
    ("folder", "extras"), [("benchmarks", {"peers"}), ("tests", {"dev", *PARTS})]
)
def test_all_other_imports_are_in_an_extra(folder, extras):
    offered = set(NEEDED).union(*(EXTRAS[extra] for extra in {"benchmarks", *extras}))
    undeclared = {
        name: file for name, file in third_party(*sources(folder)).items() if name not in offered
    }
    assert not undeclared


@pytest.mark.parametrize("name", PINS)
def test_requirements_are_pinned_exactly(name):
    assert [specifier.operator for specifier in PINS[name].specifier] == ["=="]


@pytest.mark.parametrize("group", ["needed", *EXTRAS])
def test_pins_are_within_the_ranges_of_the_package(group):
    wanted = NEEDED if group == "needed" else EXTRAS[group]
    for name, requirement in wanted.items():
        if group == "dev" and name not in PINS:  # ruff and mypy, pinned in setup.cfg
            assert str(requirement.specifier).startswith("==")
        elif group not in ("mujoco", "series", "peers"):  # not in the pinned environment
            (pin,) = PINS[name].specifier
            assert requirement.specifier.contains(pin.version), name


# ---------------------------------------------------------------- layout


def test_the_top_level_has_only_known_files():
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    ignored.append(".*")  # git and pytest plugins create hidden folders
    found = {
        path.name
        for path in ROOT.iterdir()
        if not any(fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert found <= TOP_LEVEL


@pytest.mark.parametrize("path", sources("benchmarks") + sources("examples"), ids=relative)
def test_benchmarks_and_examples_use_the_public_interface(path):
    for module, name in imports(path):
        if module.partition(".")[0] == "l2l_rnn":
            assert module.count(".") <= 1, f"{module} is not public"
            assert not (name or "").startswith("_")


# ---------------------------------------------------------------- importing


def test_importing_is_quiet_and_needs_no_optional_package():
    optional = {name for extra in EXTRAS.values() for name in extra}
    script = (
        "import sys, l2l_rnn, learn2learn, torch\n"
        "theirs = set(sys.modules)\n"
        "from l2l_rnn import *\n"  # every subpackage, because they load at first use
        "from importlib.metadata import packages_distributions\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - theirs}\n"
        "print(*[d for n, ds in packages_distributions().items() if n in tops for d in ds])\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert not optional & {canonicalize_name(name) for name in result.stdout.split()}
