"""Distillation under JAX is TensorFlow's: of logits, of features, without labels."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("jax")

from tests.training.conftest import CLASSES, SIDE_PX, bars
from training.workdir.history import read

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "variant=test_convnext2",
    "patch_size=2",
    f"size_px={SIDE_PX}",
    "global_batch=8",
    "epochs=2",
    "warmup_epochs=0",
    "layer_scale_init_value=0.1",
    # Whose draws differ.
    "stochastic_depth_rate=0",
    "augmentation.flip=true",
)
KINDS = {
    "logits": ("scratch_small", "distillation=logits", "augmentation.cutmix=0"),
    "features": ("scratch_small", "distillation=features", "augmentation.cutmix=0"),
    "unlabeled": ("distill_small", "augmentation.crop_scale=none"),
}


def save_teacher(file):
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Input((SIDE_PX, SIDE_PX, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(20),
        keras.layers.Dense(len(CLASSES), activation="softmax"),
    ]
    keras.Sequential(layers).save(file)


def losses(backend, kind, data, teacher, workdir):
    recipe, *changes = KINDS[kind]
    settings = [f"--set={each}" for each in (*SMALL, *changes, f"teacher={teacher}")]
    command = (sys.executable, "-m", "training.main", f"--recipe={recipe}")
    subprocess.run(
        [*command, f"--data=array:{data}", f"--workdir={workdir}", *settings],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        check=True,
        cwd=ROOT,
    )
    rows = read(workdir / "history.csv")
    return [row[name] for row in rows for name in ("loss", "val_loss")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_tensorflow(kind, tmp_path):
    teacher, data = tmp_path / "teacher.keras", tmp_path / "bars.npz"
    save_teacher(teacher)
    (images, labels), (others, truth) = bars(40, seed=1), bars(13, seed=2)
    arrays = {"train_images": images, "train_labels": labels}
    arrays |= {"test_images": others, "test_labels": truth}
    np.savez(data, **arrays, classes=np.array(CLASSES))
    one, two = (
        losses(backend, kind, data, teacher, tmp_path / backend)
        for backend in ("tensorflow", "jax")
    )
    assert len(one) == 4
    # Ten steps of AdamW in two orders of float32 sums.
    np.testing.assert_allclose(one, two, rtol=2e-3)
