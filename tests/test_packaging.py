"""The package as a whole: its requirements, its imports and its layout."""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "l2l_rnn"

TOP_LEVEL = {
    *("setup.cfg", "pyproject.toml", "README.md", "l2l_rnn", "benchmarks", "tests"),
    *("requirements.txt", "requirements-newest.txt", "requirements-shared.txt", "third_party"),
    *("LICENSE", "CHANGELOG.md", "examples", "docs", "CONTRIBUTING.md", "CITATION.cff"),
}


# ---------------------------------------------------------------- reading the metadata


def read_requirements(text: str) -> dict[str, Requirement]:
    """Return the requirements that apply to this Python, by name."""
    requirements = [Requirement(line) for line in text.splitlines() if line.strip()]
    return {
        canonicalize_name(requirement.name): requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def read_setup() -> tuple[dict[str, Requirement], dict[str, dict[str, Requirement]]]:
    """Return the requirements of the package and of each extra."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    return (
        read_requirements(setup["options"]["install_requires"]),
        {extra: read_requirements(extras[extra]) for extra in extras},
    )


def read_pins(file: str) -> dict[str, Requirement]:
    text = (ROOT / file).read_text() + (ROOT / "requirements-shared.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("#", "-", "./"))]
    return read_requirements("\n".join([*lines, f"learn2learn=={RELEASE}"]))


def read_release() -> str:
    """Return the version of learn2learn that `third_party/learn2learn` builds."""
    source = (ROOT / "third_party/learn2learn/build_learn2learn.py").read_text()
    (release,) = re.findall(r'^RELEASE = "(.+)"$', source, re.MULTILINE)
    return release


# Subpackages that may import the packages of the extra with their name.
PARTS = {"training", "estimators", "cli"}
NEEDED, EXTRAS = read_setup()
RELEASE = read_release()
PINS = {file: read_pins(file) for file in ("requirements.txt", "requirements-newest.txt")}


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
    own |= {path.stem for path in sources("tests")}  # helpers of tests, beside them
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


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new process, where warnings are errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


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
    assert imported == set(NEEDED)


@pytest.mark.parametrize(
    ("folder", "extras"), [("benchmarks", {"peers"}), ("tests", {"dev", *PARTS})]
)
def test_all_other_imports_are_in_an_extra(folder, extras):
    offered = set(NEEDED).union(*(EXTRAS[extra] for extra in {"benchmarks", *extras}))
    undeclared = {
        name: file for name, file in third_party(*sources(folder)).items() if name not in offered
    }
    assert not undeclared


@pytest.mark.parametrize("file", PINS)
def test_requirements_are_pinned_exactly(file):
    assert "-r requirements-shared.txt" in (ROOT / file).read_text().splitlines()
    for name, pin in PINS[file].items():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], name


@pytest.mark.parametrize("file", PINS)
@pytest.mark.parametrize("group", ["needed", *EXTRAS])
def test_pins_are_within_the_ranges_of_the_package(group, file):
    pins = PINS[file]
    wanted = NEEDED if group == "needed" else EXTRAS[group]
    for name, requirement in wanted.items():
        if group == "dev" and name not in pins:  # ruff and mypy, pinned in setup.cfg
            assert str(requirement.specifier).startswith("==")
        elif group == "torchtext" and file == "requirements-newest.txt":
            assert name not in pins  # it needs torch 2.3
        elif group not in ("mujoco", "series", "peers", "encoders"):  # not pinned
            (pin,) = pins[name].specifier
            assert requirement.specifier.contains(pin.version), name


def test_the_metadata_of_learn2learn_fits_what_it_imports():
    """The build in `third_party` drops exactly the requirements that nothing imports."""
    required = {canonicalize_name(Requirement(text).name) for text in requires("learn2learn") or ()}
    never = {"qpth", "gsutil"}
    if "+" in version("learn2learn"):
        assert not never & required
    else:
        assert never <= required
    result = run_python(
        f"import sys; sys.modules.update(dict.fromkeys({[*never, 'cvxpy', 'gslib']}))\n"
        "import learn2learn, learn2learn.algorithms.lightning\n"
        "from l2l_rnn import *\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    assert result.returncode == 0, result.stderr
    imported = {distribution(module) for module in result.stdout.split()}
    assert required - never <= imported


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
        "import sys, l2l_rnn, learn2learn, torch, safetensors.torch\n"
        "from huggingface_hub import ModelCard, ModelHubMixin\n"  # it imports at first use
        "theirs = set(sys.modules)\n"
        "from l2l_rnn import *\n"  # every subpackage, because they load at first use
        "from importlib.metadata import packages_distributions, requires, version\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - theirs}\n"
        "print(*[d for n, ds in packages_distributions().items() if n in tops for d in ds])\n"
    )
    result = run_python(script)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert not optional & {canonicalize_name(name) for name in result.stdout.split()}
