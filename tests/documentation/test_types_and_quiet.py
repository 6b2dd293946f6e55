"""The installed package's types are seen by mypy, and its ordinary use is quiet."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.documentation.blocks import ROOT

SCRIPT = Path(__file__).with_name("user_script.py")
MISTAKES = {
    'keras_convnext.ConvNeXtTiny(classes="ten")': 'incompatible type "str"',
    "keras_convnext.ConvNeXtTiny(clases=10)": 'Unexpected keyword argument "clases"',
    "keras_convnext.list_variants(3)": 'incompatible type "int"',
    "keras_convnext.load_weights(None)": 'Missing positional argument "source"',
}
HAPPY_PATH = """
import warnings
import keras, numpy as np
import keras_convnext

model = keras_convnext.ConvNeXtAtto(weights=None, input_shape=(32, 32, 3), classes=3)
images = np.zeros((2, 32, 32, 3), "uint8")
assert model.predict(images, verbose=0).shape == (2, 3)
model.compile("adamw", "sparse_categorical_crossentropy")
model.fit(images, np.zeros(2, "int32"), verbose=0)
folded = keras_convnext.fold(model)
assert folded(images).shape == (2, 3)
backbone = keras_convnext.create("convnextv2_atto", include_top=False)
assert set(keras_convnext.pyramid(backbone).pyramid_outputs) == {"P2", "P3", "P4", "P5"}
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which the wheel was installed.

    What the package needs is taken from the environment of the tests.
    """
    place = tmp_path_factory.mktemp("installed")
    python = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # Building writes into the tree, so a copy is built.
    source = place / "source"
    source.mkdir()
    tracked = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, tracked):
        if name.partition("/")[0] in ("docs", "tests") or not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    built = run(
        *[*python, "wheel", "--no-deps", "--no-build-isolation"],
        *["--wheel-dir", place, source],
        cwd=place,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    venv.create(place / "env", with_pip=False)
    inside = sysconfig.get_path(
        "purelib", vars={"base": str(place / "env"), "platbase": str(place / "env")}
    )
    [wheel] = place.glob("*.whl")
    put = run(*[*python, "install", "--no-deps", "--target", inside, wheel], cwd=place)
    assert put.returncode == 0, put.stderr[-2000:]
    (Path(inside) / "more.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    return place / "env" / "bin" / "python"


def mypy(script: Path, python: Path) -> subprocess.CompletedProcess[str]:
    """Checks a script strictly against what is installed, far from the checkout."""
    return run(
        *[sys.executable, "-m", "mypy", "--strict", "--config-file="],
        *["--python-executable", python, script],
        cwd=script.parent,
    )


@pytest.mark.slow
def test_a_persons_script_is_checked_strictly_against_the_installed_package(
    installed: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mypy", reason="mypy is in the extra `lint`")
    script = tmp_path / "script.py"
    good = SCRIPT.read_text("utf-8")
    script.write_text(good, "utf-8")
    checked = mypy(script, installed)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    script.write_text("\n".join([good, *MISTAKES]), "utf-8")
    found = mypy(script, installed).stdout
    assert [said for said in MISTAKES.values() if said not in found] == [], found


@pytest.mark.slow
def test_ordinary_use_prints_no_warning(tmp_path: Path) -> None:
    # The library's own warnings are errors; Keras and TensorFlow warn of themselves.
    quiet = run(sys.executable, "-W", "default", "-c", HAPPY_PATH, cwd=tmp_path)
    assert quiet.returncode == 0, quiet.stderr[-2000:]
    assert quiet.stdout == ""
    warned = [line for line in quiet.stderr.splitlines() if "Warning" in line]
    ours = [line for line in warned if "keras_convnext" in line or "<string>" in line]
    assert ours == []


@pytest.mark.slow
def test_importing_the_library_makes_no_warning_at_all(tmp_path: Path) -> None:
    strict = run(
        sys.executable, "-W", "error", "-c", "import keras_convnext", cwd=tmp_path
    )
    assert strict.returncode == 0, strict.stderr[-2000:]
