"""The mean of several models' weights, by NumPy, and a greedy choice by hand."""

import json

import keras
import numpy as np
import pytest

import keras_convnext
from training import average_main
from training.inference import averaging

CLASSES = ("left", "middle", "right")


def save(folder, seed, labels=CLASSES, **arguments):
    """A small network of random weights as a run leaves it."""
    model = keras_convnext.create(
        "test_convnext2",
        input_shape=(32, 32, 3),
        classes=len(labels),
        seed=seed,
        **{"patch_size": 2, **arguments},
    )
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in labels))
    return model


def run(*arguments):
    return average_main.main(["average", *map(str, arguments)])


def test_the_average_has_the_mean_weights_and_files_beside_it(tmp_path):
    models = [save(tmp_path / name, seed) for seed, name in enumerate("abc")]
    (tmp_path / "mean").mkdir()
    out = tmp_path / "mean" / "model.keras"
    named = ",".join(str(tmp_path / name) for name in "abc")
    assert run(f"--model={named}", f"--out={out}") == 0
    found = keras.saving.load_model(out).get_weights()
    for weight, *same in zip(found, *(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(weight, np.mean(same, axis=0), rtol=1e-6, atol=1e-8)
    assert (out.parent / "labels.txt").read_text().split() == list(CLASSES)
    assert json.loads((out.parent / "preprocessing.json").read_text())["size_px"] == 32
    assert keras_convnext.load(out.parent).labels == CLASSES


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"labels": ("left", "right", "middle")}, "differ in their labels"),
        ({"patch_size": 4}, "differ in their architecture: a kernel of 4x4x3x32"),
        ({"classifier_activation": "sigmoid"}, "differ in their outputs: sigmoid"),
        ({"layer_scale_init_value": None}, "differ in their architecture: "),
    ],
)
def test_models_that_differ_are_refused_in_a_line(other, words, tmp_path, capsys):
    save(tmp_path / "a", 0)
    save(tmp_path / "b", 1, **other)
    named = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    assert run(f"--model={named}", f"--out={tmp_path / 'mean.keras'}") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "mean.keras").exists()


def test_layers_without_weights_that_differ_are_found(tmp_path, capsys):
    for name, pool in (("a", "GlobalAveragePooling2D"), ("b", "GlobalMaxPooling2D")):
        layers = [
            keras.layers.Rescaling(1 / 255),
            getattr(keras.layers, pool)(),
            keras.layers.Dense(2, activation="softmax"),
        ]
        model = keras.Sequential([keras.layers.Input((8, 8, 3)), *layers])
        model.save(tmp_path / f"{name}.keras")
    named = f"{tmp_path / 'a.keras'},{tmp_path / 'b.keras'}"
    assert run(f"--model={named}", f"--out={tmp_path / 'mean.keras'}") == 2
    assert "differ in the settings of their layers" in capsys.readouterr().err
    again = f"{tmp_path / 'a.keras'},{tmp_path / 'a.keras'}"
    assert run(f"--model={again}", f"--out={tmp_path / 'mean.keras'}") == 0


def test_one_model_and_none_are_refused(tmp_path, capsys):
    out = f"--out={tmp_path / 'mean.keras'}"
    assert run(f"--model={tmp_path}", out) == 2
    assert "is one model; give two or more" in capsys.readouterr().err
    assert run("--model=nowhere,neither", out) == 2
    assert "there is nothing at nowhere" in capsys.readouterr().err


def test_a_greedy_average_takes_what_it_gains_from():
    # Figures: 3 - |mean - 3|. Alone 0, 2, 1, -1; then (2 + 5) / 2 gains, and
    # neither 0 nor 7 does with them.
    models = [[np.float32([value])] for value in (0, 2, 5, 7)]

    def measure(weights):
        return 3 - abs(float(weights[0][0]) - 3)

    taken, alone, best = averaging.pick_greedily(models, measure)
    assert taken == [1, 2]
    assert alone == [0, 2, 1, -1]
    assert best == 2.5


@pytest.mark.slow
def test_a_greedy_average_is_no_worse_than_the_best_model(tmp_path, capsys):
    for seed, name in enumerate("ab"):
        save(tmp_path / name, seed)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(30) % 3
    np.savez(
        tmp_path / "data.npz",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        classes=np.array(CLASSES),
    )
    named = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    out = tmp_path / "mean.keras"
    data = f"--data=array:{tmp_path / 'data.npz'}"
    assert run(f"--model={named}", f"--out={out}", "--greedy", data) == 0
    told = capsys.readouterr().out
    figures = [float(line.split("%")[0]) for line in told.splitlines()[:3]]
    assert figures[2] >= max(figures[:2])
    model = keras.saving.load_model(out)
    right = model.predict(images, verbose=0).argmax(1) == labels
    assert figures[2] == pytest.approx(100 * right.mean(), abs=0.01)
