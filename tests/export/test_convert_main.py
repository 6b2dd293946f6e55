"""The convert command, on files that the library itself writes."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from export import convert_main
from keras_convnext import models, weights
from tests.checks import tiny_variant


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variant = tiny_variant("convnext_tiny")
    model = models.build(variant, classes=5, input_shape=(32, 32, 3), seed=0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return weights.save_weights_as(model, path, dialect="meta")


def test_a_round_through_every_dialect_ends_where_it_began(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tiny
    for step, dialect in enumerate(
        (
            "timm",
            "torchvision",
            "huggingface",
            "keras_applications",
            "openmmlab",
            "meta",
        )
    ):
        ending = ".h5" if dialect == "keras_applications" else ".safetensors"
        following = tmp_path / f"{step}{ending}"
        argv = ["convert", str(path), str(following), f"--to={dialect}"]
        assert convert_main.main(argv) == 0
        path = following
    first, last = map(safetensors.numpy.load_file, (tiny, path))
    assert first.keys() == last.keys()
    for name, tensor in first.items():
        np.testing.assert_array_equal(last[name], tensor)
    # 20 tensors outside the blocks (stem, three downsamplings, norm, head: 4 + 12 +
    # 2 + 2) and nine in each of five blocks.
    assert "65 tensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("missing.pth", "b.safetensors", "no weights file missing.pth"),
        ("TINY", "b.txt", "does not end in one of"),
        ("TINY", "b.safetensors --to=latin", "no dialect 'latin'"),
        ("TINY", "", "wants SRC and DST, got 1"),
        ("convnext_tinny.fb_in1k", "b.safetensors", "closest names are"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    source: str,
    target: str,
    words: str,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["convert", source.replace("TINY", str(tiny)), *target.split()]
    assert convert_main.main(argv) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert list(tmp_path.iterdir()) == []


def test_help_fits_on_a_screen(capsys: pytest.CaptureFixture) -> None:
    assert convert_main.main(["convert", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 24
