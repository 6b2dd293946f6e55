"""The examples of README and CONTRIBUTING, run as they stand but for downloads."""

import re
import warnings
from pathlib import Path

import pytest

from tests.photos import write_photos

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def python_block(page: Path) -> str:
    (block,) = re.findall(
        r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return block


@pytest.fixture
def example() -> str:
    return python_block(README)


def test_the_transfer_learning_example_has_at_most_fifteen_lines(example: str) -> None:
    assert len(example.splitlines()) <= 15


def test_the_readme_is_shorter_than_two_hundred_lines() -> None:
    assert len(README.read_text("utf-8").splitlines()) < 200


@pytest.mark.slow
def test_the_transfer_learning_example_trains_and_saves(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    offline, replaced = re.subn(r'weights="imagenet"', "weights=None", example)
    assert replaced == 1
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exec(offline, names)

    import keras

    history = names["model"].history.history
    assert len(history["val_accuracy"]) == 5
    saved = keras.models.load_model(tmp_path / "photos.keras")
    assert saved.output_shape == (None, 2)


def test_contributing_states_the_parameters_of_its_new_variant() -> None:
    from keras_convnext.models import build
    from keras_convnext.variants import Variant

    row = eval(python_block(ROOT / "CONTRIBUTING.md"), {"Variant": Variant})
    assert build(row, weights=None).count_params() == row.parameters
