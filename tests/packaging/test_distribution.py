"""What setup.py promises is what is there, and what make installs is pinned."""

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from keras_convnext._command_names import INSTALLED

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "keras-convnext"
# Those with what the packages import by name.
EXTRAS = ("", "demo", "serve", "jax", "video", "hub")


def pins(file_name: str) -> dict[str, str]:
    """Canonical name to version of every line `name==version` of a constraints file."""
    found = {}
    for line in (ROOT / file_name).read_text(encoding="utf-8").splitlines():
        name, equal, version = line.partition("==")
        if equal and not line.startswith("#"):
            found[canonicalize_name(name)] = version
    return found


def requirements(distribution: str, extras: tuple[str, ...] = ("",)) -> set[str]:
    """Requirement lines of an installed distribution that hold on this machine."""
    held = set()
    for line in importlib.metadata.requires(distribution) or []:
        marker = Requirement(line).marker
        environments = [{**default_environment(), "extra": extra} for extra in extras]
        if marker is None or any(marker.evaluate(e) for e in environments):
            held.add(line)
    return held


def closure(distribution: str, extras: tuple[str, ...]) -> set[str]:
    """Canonical names of everything that installing a distribution brings along."""
    waiting = [(distribution, ("", *extras))]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    names = set()
    while waiting:
        entry = waiting.pop()
        if entry in seen:
            continue
        seen.add(entry)
        for line in requirements(*entry):
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            names.add(name)
            waiting.append((name, ("", *sorted(requirement.extras))))
    return names


def test_every_package_that_make_installs_is_pinned() -> None:
    tensorflow = importlib.metadata.version("tensorflow")
    in_force = [
        pinned
        for pinned in map(pins, ("requirements/newest.txt", "requirements/lowest.txt"))
        if pinned["tensorflow"] == tensorflow
    ]
    if not in_force:
        pytest.skip(f"tensorflow {tensorflow} is not one that make installs")
    apart = {"keras-hub": "hub", "keras-tuner": "tuner"}
    more = [extra for name, extra in apart.items() if name in in_force[0]]
    extras = ("test", "lint", "serve", *more)
    needed = closure(DISTRIBUTION, extras)
    assert {"tensorflow", "absl-py", "pytest", "ruff", "scikit-learn"} <= needed
    assert needed - in_force[0].keys() == set()


def lower_bounds() -> dict[str, str]:
    """Canonical name to version of every `name>=version` in setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"([\w-]+)(?:\[.+\])?>=([\d.]+)", node.value)
            if match:
                found[canonicalize_name(match[1])] = match[2]
    return found


def test_the_lowest_constraints_are_the_lower_bounds_of_setup() -> None:
    lowest = pins("requirements/lowest.txt")
    # Tools that check the sources stay at one version, the newest; the Makefile's
    # settings for the lowest versions leave KerasHub, Keras Tuner and the extras out
    # that have an environment of their own.
    parity = (
        *("segmentation-models-pytorch", "timm", "torch", "torchvision"),
        "transformers",
    )
    interop = ("nncf", "onnx", "onnxruntime", "openvino", "tf2onnx")
    optional = (
        *("mlflow", "opencv-python-headless", "pillow-heif", "usearch"),
        "wandb",
    )
    own = ("mypy", "ruff", "keras-hub", "keras-tuner")
    apart = (*own, *parity, *interop, *optional)
    bounds = {name: v for name, v in lower_bounds().items() if name not in apart}
    assert "tensorflow" in bounds
    differing = {
        name: (bound, lowest.get(name))
        for name, bound in bounds.items()
        if not f"{lowest.get(name)}.".startswith(f"{bound}.")
    }
    assert differing == {}


def imported_distributions(package: str) -> dict[str, str]:
    """Canonical name of each distribution that a package imports, to one place."""
    providers = {
        **importlib.metadata.packages_distributions(),
        # Several distributions share this name; generated messages bring theirs along.
        "google": ["tensorflow-serving-api"],
    }
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                for distribution in providers.get(name.partition(".")[0], [])[:1]:
                    found[canonicalize_name(distribution)] = f"{path}:{node.lineno}"
    return found


@pytest.mark.parametrize("package", ["keras_convnext", "training", "export"])
def test_everything_that_a_package_imports_is_asked_for(package: str) -> None:
    asked_for = {
        canonicalize_name(Requirement(line).name)
        for line in requirements(DISTRIBUTION, EXTRAS)
    }
    asked_for.add(canonicalize_name(DISTRIBUTION))
    # tensorflow-datasets brings them on the systems that they exist for; on others the
    # code says that they are missing.
    asked_for |= {"array-record", "pyarrow"}
    imported = imported_distributions(package)
    assert {"keras", "numpy"} <= imported.keys()
    missing = {n: place for n, place in imported.items() if n not in asked_for}
    assert missing == {}


def test_every_requirement_has_its_reason_in_the_docs() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \| \w", page, re.MULTILINE)
    documented = {canonicalize_name(name): version for name, version in rows}
    assert documented == lower_bounds()


def test_the_library_knows_the_names_of_the_installed_commands() -> None:
    scripts = importlib.metadata.distribution(DISTRIBUTION).entry_points
    installed = {
        script.module.removeprefix("keras_convnext."): script.name
        for script in scripts
        if script.group == "console_scripts"
    }
    assert installed == INSTALLED


def test_every_console_script_points_at_a_run_function_that_is_there() -> None:
    scripts = [
        entry
        for entry in importlib.metadata.distribution(DISTRIBUTION).entry_points
        if entry.group == "console_scripts"
    ]
    assert len(scripts) >= 4
    missing = []
    for script in scripts:
        package, module = script.module.removeprefix("keras_convnext.").split(".")
        path = ROOT / package / f"{module}.py"
        tree = ast.parse(path.read_text("utf-8") if path.exists() else "")
        names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                names |= {ast.unparse(target) for target in node.targets}
        if script.attr not in names:
            missing.append(f"{script.name}: {path.relative_to(ROOT)}:{script.attr}")
    assert missing == []


def test_no_source_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for package in ("keras_convnext", "training", "export", "tests", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}
