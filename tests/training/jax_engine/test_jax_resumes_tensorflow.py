"""A run that began under TensorFlow goes on under JAX."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("jax")

from tests.training.conftest import CLASSES, bars
from training.workdir.history import read

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = [
    *("variant=test_convnext2", "size_px=16", "global_batch=8", "epochs=2"),
    *("warmup_epochs=1", "ema_decay=0.9", "keep_checkpoints=3", "layer_decay=0.9"),
    *("augmentation.crop_scale=0.5,1", "augmentation.mixup=0.8"),
    # Layers draw otherwise under JAX.
    "stochastic_depth_rate=0",
]
FIRST, LAST = (f"checkpoints/step-{count:09d}.ckpt" for count in (10, 20))


def write_folder(root):
    """Writes class folders of 80 images to train on: ten steps an epoch."""
    for part, count in (("train", 80), ("val", 15)):
        images, labels = bars(count, seed=1)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = root / part / CLASSES[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


def run(folder, workdir, backend):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
            *(f"--data=folder:{folder}", f"--workdir={workdir}", "--devices=cpu"),
            *(f"--set={change}" for change in SETTINGS),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def weights_of(path):
    """Returns a checkpoint's weights and averages."""
    with np.load(path) as file:
        return {
            name: file[name]
            for name in file.files
            if name.startswith(("model/", "average/"))
        }


def largest_difference(one, other):
    """Returns that of all weights, over the largest of each array."""
    assert one.keys() == other.keys()
    return max(
        np.abs(one[name] - other[name]).max() / np.abs(other[name]).max()
        for name in one
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two starts and a compilation on a busy machine
def test_a_run_of_tensorflow_ends_the_same_under_jax(tmp_path):
    folder = write_folder(tmp_path / "bars")
    theirs, ours = tmp_path / "tensorflow", tmp_path / "jax"
    run(folder, theirs, "tensorflow")
    # Under JAX the second epoch goes on from TensorFlow's checkpoint of the first.
    shutil.copytree(theirs, ours)
    for path in (LAST, "metrics.json", "model.keras"):
        (ours / path).unlink()
    assert "resuming after step 10" in run(folder, ours, "jax")
    start, expected, got = (
        weights_of(path) for path in (theirs / FIRST, theirs / LAST, ours / LAST)
    )
    assert largest_difference(start, expected) > 1e-2
    assert largest_difference(got, expected) < 1e-4
    rows = [read(each / "history.csv")[-1] for each in (theirs, ours)]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert rows[1][name] == pytest.approx(rows[0][name], rel=1e-4), name
