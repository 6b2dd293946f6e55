"""Neighbors of labeled images tell, while it runs, what pre-training has learned."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tests.training.tasks import whole_runs
from tests.training.unlabeled_data import SIDE_PX, SMALL, write_waves
from training import main
from training.data import loading
from training.engine import finish
from training.recipes import resolve
from training.tasks import MASKED_AUTOENCODING
from training.workdir import history

ROOT = Path(__file__).resolve().parents[3]
NEIGHBORS = 20
CHANGES = {**SMALL, "probe_epochs": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_waves(tmp_path_factory.mktemp("waves"), count=30)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """90 images, of which 72 vote: more than may."""
    root = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(("one", "two", "three")):
        write_waves(root / name, 30, first=100 * number)
    return root


@pytest.fixture
def recipe(classes):
    return dataclasses.replace(
        resolve("pretrain_small"),
        epochs=5,
        warmup_epochs=0,
        probe_data=f"folder:{classes}",
        **CHANGES,
    )


def accuracy(features_of, classes, source):
    """scikit-learn's accuracy on the features of images as evaluation sees them."""
    labeled = loading.load(
        f"folder:{classes}", size_px=SIDE_PX, preprocessing=source.preprocessing
    )
    assert (labeled.train_examples, labeled.validation_examples) == (72, 18)
    parts = []
    for part in (dataclasses.replace(labeled, validation=labeled.training), labeled):
        images, labels, _ = next(iter(part.validation_batches(part.validation.count)))
        parts += [features_of(images.numpy()), labels.numpy()]
    train, train_labels, queries, labels = parts
    theirs = KNeighborsClassifier(
        NEIGHBORS,
        metric="cosine",
        weights=lambda distances: np.exp((1 - distances) / 0.07),
        algorithm="brute",
    )
    return (theirs.fit(train, train_labels).predict(queries) == labels).mean()


@pytest.mark.slow  # test_probes.py has the same figures of given features
def test_the_figure_is_scikit_learns_and_follows_the_weights(recipe, folder, classes):
    source = MASKED_AUTOENCODING.load(f"images:{folder}", recipe, False)
    model = MASKED_AUTOENCODING.build_training_model(recipe, source)
    probe = MASKED_AUTOENCODING.make_probe(recipe, source, model)

    def features_of(images):
        maps = np.asarray(model.encoder(images)).mean((1, 2))
        centered = maps - maps.mean(-1, keepdims=True)
        return centered / np.sqrt(maps.var(-1, keepdims=True) + 1e-5)

    found, asked = [], []
    for scale in (1.0, 3.0, -2.0):
        for variable in model.encoder.trainable_variables:
            variable.assign(variable * scale)
        asked.clear()
        [(name, value)] = probe(lambda: asked.append(None)).items()
        assert name == "knn_accuracy"
        assert value == accuracy(features_of, classes, source)
        # A run may be stopped between two batches: 64, 8 and 18 images.
        assert len(asked) == 3
        found.append(value)
    assert len(set(found)) > 1


@pytest.mark.parametrize(
    ("recipe_name", "data", "words"),
    [
        ("pretrain_small", "folder:nowhere", "probe_data=folder:nowhere: The data"),
        ("pretrain_small", "images:{}", "probe_data=images:{}: "),
        ("scratch_small", "digits", "probe_data is of masked_autoencoding alone"),
    ],
)
def test_labeled_images_that_cannot_be_used_are_refused(
    folder, tmp_path, capsys, recipe_name, data, words
):
    flags = [f"--recipe={recipe_name}", f"--data=images:{folder}"]
    flags += [f"--set=probe_data={data.format(folder)}", "--set=size_px=32"]
    flags += ["--set=patch_size=1", "--set=variant=test_convnext2"]
    assert main.main(["train", *flags, f"--workdir={tmp_path / 'run'}"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words.format(folder) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # three graphs for two runs
def test_a_run_measures_it_now_and_then_and_again_when_resumed(
    recipe, folder, classes, tmp_path, one_device
):
    source = MASKED_AUTOENCODING.load(f"images:{folder}", recipe, False)
    run, _ = whole_runs.train(recipe, source, tmp_path / "whole", one_device)
    rows = history.read(run.workdir.history)
    measured = {row["epoch"]: row.get("knn_accuracy") for row in rows}
    assert [epoch for epoch, value in measured.items() if value is not None] == [
        2,
        4,
        5,
    ]
    whole_runs.check_resume(run, recipe, source, tmp_path / "parts", one_device)
    again = history.read(tmp_path / "parts" / "history.csv")
    assert {row["epoch"]: row.get("knn_accuracy") for row in again} == measured

    metrics = finish.leave(run, rows)
    kept = keras.saving.load_model(run.workdir.model)
    expected = accuracy(lambda images: kept.predict(images, verbose=0), classes, source)
    assert metrics["knn_accuracy"] == expected
    assert json.loads(run.workdir.metrics.read_text())["knn_accuracy"] == expected
    assert "k-NN accuracy" in run.workdir.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_jax_measures_it_too(folder, classes, tmp_path):
    flags = [f"--set={name}={value}" for name, value in CHANGES.items()]
    command = [
        *(sys.executable, "-m", "training.main", "--recipe=pretrain_small"),
        *(f"--data=images:{folder}", f"--workdir={tmp_path / 'run'}", *flags),
        *("--set=epochs=2", "--set=warmup_epochs=0", "--devices=cpu:1"),
        f"--set=probe_data=folder:{classes}",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = history.read(tmp_path / "run" / "history.csv")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "knn_accuracy" not in rows[0]
    # Two epochs, and the second is kept or the first: either is an eighteenth's step.
    for value in (rows[1]["knn_accuracy"], metrics["knn_accuracy"]):
        assert value * 18 == pytest.approx(round(value * 18), abs=1e-6)
    if metrics["kept_epoch"] == 2:
        assert metrics["knn_accuracy"] == pytest.approx(rows[1]["knn_accuracy"])
    assert "k-NN accuracy" in done.stderr + done.stdout
