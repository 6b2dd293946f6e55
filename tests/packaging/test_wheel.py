"""The distribution as others get it: built, installed, run outside the checkout."""

import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.photos import write_photos

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("keras_convnext", "training", "export")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command with nothing of the checkout on Python's path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the source archive, as an index would have both."""
    source = tmp_path_factory.mktemp("source")
    out = tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            source / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        out,
        source,
        cwd=out,
    )
    (built,) = out.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installation:
    """A virtual environment that holds the wheel and sees this one's dependencies."""

    folder: Path
    site_packages: Path

    def command(self, name: str) -> Path:
        return self.folder / "bin" / name


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A path file adds the folders but runs no path file in them, so the editable
    # installation of the checkout stays out.
    (site_packages / "dependencies.pth").write_text(
        "\n".join(site.getsitepackages()) + "\n"
    )
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        folder / "bin" / "python",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        wheel,
        cwd=folder,
    )
    return Installation(folder, site_packages)


def test_the_wheel_holds_one_top_level_package(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {name for name in names if not name.endswith(".dist-info")}
    assert packages == {"keras_convnext"}


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    wanted = {
        (
            path.relative_to(ROOT)
            if package == "keras_convnext"
            else Path("keras_convnext") / path.relative_to(ROOT)
        ).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_installed_package_is_the_wheels_and_not_the_checkout(
    installation: Installation, tmp_path: Path
) -> None:
    finished = run(
        installation.command("python"),
        "-c",
        "import keras_convnext, keras_convnext.training, keras_convnext.export\n"
        "for m in (keras_convnext, keras_convnext.training, keras_convnext.export):\n"
        "    print(m.__file__)\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('training') is None\n"
        "assert importlib.util.find_spec('export') is None\n",
        cwd=tmp_path,
    )
    places = [Path(line) for line in finished.stdout.split()]
    assert len(places) == 3
    assert all(place.is_relative_to(installation.site_packages) for place in places)


@pytest.mark.parametrize(
    "script",
    [
        "keras-convnext-train",
        "keras-convnext-evaluate",
        "keras-convnext-predict",
        "keras-convnext-explain",
        "keras-convnext-calibrate",
        "keras-convnext-embed",
        "keras-convnext-preview",
        "keras-convnext-average",
        "keras-convnext-compare",
        "keras-convnext-cross-validate",
        "keras-convnext-sweep",
        "keras-convnext-export",
        "keras-convnext-convert",
        "keras-convnext-serve",
    ],
)
def test_the_console_script_prints_its_help_outside_the_checkout(
    installation: Installation, tmp_path: Path, script: str
) -> None:
    finished = run(installation.command(script), "--help", cwd=tmp_path)
    lines = finished.stdout.splitlines()
    assert any("--" in line for line in lines), finished.stdout
    # A terminal's 24 lines grew to 40 on most screens; more than that scrolls away.
    assert len(lines) <= 40, finished.stdout


# A day of somebody who has installed the package, in its order: a command, what it is
# given, and what it says.
DAY = (
    (
        "keras-convnext-train",
        "--recipe=scratch_small --data=folder:photos --workdir=run "
        "--set=variant=test_convnext2 --set=epochs=1 --set=warmup_epochs=0 "
        "--set=global_batch=8",
        r"export +\S*keras-convnext-export --model=run/model\.keras "
        r"--out=run/export",
    ),
    (
        "keras-convnext-evaluate",
        "--model=run --data=folder:photos",
        r"top-1 accuracy +\d",
    ),
    ("keras-convnext-predict", "--model=run photos/dark", r"9\.png\n +(dark|bright)"),
    (
        "keras-convnext-explain",
        "--model=run --out=seen photos/dark/0.png",
        r"01_0\.png",
    ),
    (
        "keras-convnext-preview",
        "--recipe=v1_tiny_in1k --data=folder:photos --out=sheet.png --images=2 "
        "--draws=2 --set=size_px=32",
        r"sheet\.png  crop_scale",
    ),
    ("keras-convnext-export", "--model=run --out=run/export", r"model_float32\.tflite"),
    (
        "keras-convnext-convert",
        "run/model.keras given.safetensors --to=timm",
        r"written: given\.safetensors",
    ),
)


@pytest.mark.slow
def test_a_day_outside_the_checkout_goes_well_and_quietly(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    write_photos(tmp_path / "photos")
    for script, arguments, words in DAY:
        finished = run(installation.command(script), *arguments.split(), cwd=tmp_path)
        assert re.search(words, finished.stdout), (script, finished.stdout)
        # Training tells how far it is; nothing else has anything to say there.
        lines = [x for x in finished.stderr.splitlines() if not x.startswith("epoch")]
        assert lines == [], script
    left = ("run/report.html", "run/export/saved_model/1/saved_model.pb", "sheet.png")
    assert [name for name in left if not (tmp_path / name).exists()] == []
