"""Test-time augmentation: the mean over sizes and mirror images, by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import keras_convnext
from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import Preprocessing
from training import evaluate_main

SIDE_PX = 32
SEEN = Preprocessing(size_px=SIDE_PX, crop_fraction=0.8)
CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def networks():
    """One network with an input of one size, and the same with an open one."""
    made = [
        keras_convnext.create(
            "test_convnext2", input_shape=(side, side, 3), classes=3, seed=0
        )
        for side in (SIDE_PX, None)
    ]
    random = np.random.default_rng(0)
    for variable in made[0].trainable_variables:
        if variable.path.endswith("gamma") or "head_dense" in variable.path:
            variable.assign(random.normal(0.0, 1.0, variable.shape))
    made[1].set_weights(made[0].get_weights())
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Fifteen images of several sizes, in the order in which they are evaluated."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(1)
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(5):
            small = random.integers(0, 256, (5, 6 + number, 3)).astype(np.uint8)
            image = Image.fromarray(small).resize((60 + 10 * number, 50))
            image.save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    networks[0].save(folder / "model.keras")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    seen = {"size_px": SEEN.size_px, "crop_fraction": SEEN.crop_fraction}
    (folder / "preprocessing.json").write_text(json.dumps(seen))
    return folder


def loss_by_hand(network, photos, sizes, flip):
    """The mean cross-entropy of the mean probabilities."""
    losses = []
    for number, name in enumerate(CLASSES):
        for file in sorted((photos / name).iterdir()):
            pixels = np.asarray(Image.open(file))
            answers = []
            for size in sizes:
                seen = evaluation_view(pixels, replace(SEEN, size_px=size)).numpy()
                views = [seen, seen[:, ::-1]] if flip else [seen]
                answers += [network(view[None]).numpy()[0] for view in views]
            losses.append(-np.log(np.mean(answers, axis=0)[number]))
    return np.mean(losses)


def evaluated(model, photos, tmp_path, *flags):
    out = tmp_path / "figures.json"
    given = [f"--model={model}", f"--data=folder:{photos}", "--split=all", "--batch=4"]
    assert evaluate_main.main(["evaluate", *given, f"--out={out}", *flags]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("flags", "sizes", "flip"),
    [
        pytest.param([], [32], False, marks=pytest.mark.slow),
        pytest.param(["--flip"], [32], True, marks=pytest.mark.slow),
        pytest.param(["--scales=1,1.5"], [32, 48], False, marks=pytest.mark.slow),
        (["--scales=1.25,2", "--flip"], [40, 64], True),
    ],
)
def test_the_figures_are_those_of_the_mean(
    flags, sizes, flip, networks, run, photos, tmp_path
):
    found = evaluated(run, photos, tmp_path, *flags)
    expected = loss_by_hand(networks[1], photos, sizes, flip)
    # Once by batches of an image and once of four.
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found.get("flip", False) is flip


def test_a_mirror_image_is_another_image(networks, photos):
    losses = [loss_by_hand(networks[1], photos, [32], flip) for flip in (False, True)]
    assert abs(losses[0] - losses[1]) > 1e-3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--scales=0"], "--scales takes factors above 0 and up to 4"),
        (["--scales=1,0.5"], "cannot take images of 16 x 16 pixels"),
        (["--slide"], "--slide is for models that label pixels"),
    ],
)
def test_mistakes_are_told_in_a_line(flags, words, run, photos, capsys):
    given = [f"--model={run}", f"--data=folder:{photos}", "--split=all"]
    assert evaluate_main.main(["evaluate", *given, *flags]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
