"""Training under Keras' JAX backend: the same steps, the same command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("jax")

from keras_convnext._messages import UsageError
from tests.training.conftest import CLASSES, bars
from training import evaluate_main, main
from training.data.loading import load as load_source
from training.engine import step
from training.jax_engine import backend as jax_backend
from training.jax_engine import in_memory
from training.jax_engine import step as jax_trainer
from training.recipes.table import resolve
from training.workdir.history import read

ROOT = Path(__file__).resolve().parents[3]
SMALL = [
    "variant=test_convnext2",
    "size_px=16",
    "global_batch=8",
    "augmentation.flip=false",
    "augmentation.shift_px=1",
]


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("bars") / "bars.npz"
    images, labels = bars(48, seed=1)
    validation, validation_labels = bars(15, seed=2)
    np.savez(
        file,
        train_images=images,
        train_labels=labels,
        test_images=validation,
        test_labels=validation_labels,
        classes=np.array(CLASSES),
    )
    return file


def command(file, workdir, *changes):
    settings = [f"--set={change}" for change in (*SMALL, *changes)]
    return [
        *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
        *(f"--data=array:{file}", f"--workdir={workdir}", *settings),
    ]


ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


def ran(arguments, backend="jax"):
    return subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "KERAS_BACKEND": backend},
        cwd=ROOT,
        check=False,
    )


def trained(file, workdir, *changes):
    return ran(command(file, workdir, *changes))


@pytest.mark.parametrize("clip_norm", [None, 0.5, 100.0])
def test_gradients_are_clipped_as_in_the_tensorflow_loop(clip_norm):
    # Adam hardly sees a factor on all gradients, so the steps above would not tell.
    random = np.random.default_rng(0)
    gradients = [random.normal(size=size).astype("float32") for size in (3, (4, 5))]
    expected, norm = step.clip_by_global_norm(
        [tf.constant(each) for each in gradients], clip_norm
    )
    assert 0.5 < float(norm) < 100
    clipped, same_norm = jax_trainer.clip_by_global_norm(gradients, clip_norm)
    assert float(same_norm) == pytest.approx(float(norm), rel=1e-6)
    for one, other in zip(clipped, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_a_run_leaves_what_a_run_leaves_and_has_learned(bars_file, tmp_path, capfd):
    done = trained(
        bars_file, tmp_path / "run", "epochs=12", "warmup_epochs=1", "ema_decay=0.8"
    )
    assert done.returncode == 0, done.stderr
    assert "JAX on" in done.stdout
    workdir = tmp_path / "run"
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["top1"] > 0.9
    assert metrics["steps"] == 72
    rows = read(workdir / "history.csv")
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert (workdir / "pictures" / "curves.png").stat().st_size > 1000
    # Under TensorFlow the file gives the same answers.
    arguments = [f"--model={workdir}", f"--data=array:{bars_file}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 0
    share = re.search(r"top-1 accuracy +(\S+)%", capfd.readouterr().out)
    assert float(share[1]) == pytest.approx(100 * metrics["top1"], abs=0.01)
    # A finished run is not trained again.
    again = trained(bars_file, workdir, "epochs=12", "warmup_epochs=1", "ema_decay=0.8")
    assert again.returncode == 0
    assert "is finished: validation accuracy" in again.stdout


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(bars_file, tmp_path):
    changes = ("epochs=5", "warmup_epochs=1")
    assert trained(bars_file, tmp_path / "whole", *changes).returncode == 0
    process = subprocess.Popen(
        command(bars_file, tmp_path / "stopped", *changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    history = tmp_path / "stopped" / "history.csv"
    while process.poll() is None and not (history.exists() and read(history)):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "run the same command to resume" in errors
    rows = read(tmp_path / "stopped" / "history.csv")
    assert 1 <= len(rows) < 5
    second = trained(bars_file, tmp_path / "stopped", *changes)
    assert second.returncode == 0, second.stderr
    assert f"resuming after step {6 * len(rows)}" in second.stdout
    newest = "checkpoints/step-000000030.ckpt"
    whole, stopped = (
        np.load(tmp_path / name / newest) for name in ("whole", "stopped")
    )
    names = [name for name in whole.files if name.startswith(("model", "average"))]
    assert names
    for name in names:
        np.testing.assert_array_equal(stopped[name], whole[name], err_msg=name)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_line(bars_file, tmp_path):
    done = trained(bars_file, tmp_path / "run", "peak_lr=1e9", "clip_norm=none")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert re.search(r"the loss is (nan|inf) in epoch \d+; .* lower peak_lr", line)


def test_float16_is_not_here():
    recipe = resolve("scratch_small", ["precision=mixed_float16"])
    with pytest.raises(UsageError, match="mixed_bfloat16, which needs none"):
        jax_backend.check(recipe, "array:cifar10.npz")


def test_detection_is_not_here():
    recipe = resolve("finetune_detect_small")
    with pytest.raises(UsageError, match="task=detection is not supported"):
        jax_backend.check(recipe, "coco:shapes")


def test_what_needs_a_stream_is_named_all_at_once(monkeypatch):
    recipe = resolve("scratch_small", ["augmentation.rand_augment=rand-m9-inc1"])
    recipe = replace(recipe, weights="imagenet")
    jax_backend.check(recipe, "digits")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UsageError) as caught:
        jax_backend.check(recipe, "digits")
    for words in ("rand_augment", "weights", "--data=digits", "pip install"):
        assert words in str(caught.value)


def test_the_recipe_for_small_images_needs_no_stream():
    assert not in_memory.what_needs_a_stream(resolve("scratch_small"), "array:x.npz")


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        (["size_px=16", "global_batch=8"], True),
        (["size_px=16", "global_batch=8", "accumulation_steps=2"], True),
        (["size_px=32", "global_batch=8"], False),
        (["size_px=16", "global_batch=64"], False),
        (["size_px=16", "global_batch=8", "augmentation.crop_scale=0.5,1"], False),
        (["size_px=16", "global_batch=8", "class_balance=sampling"], False),
    ],
)
def test_images_that_fit_the_recipe_stay_in_memory(bars_file, changes, taken):
    recipe = resolve("scratch_small", changes)
    for load in (load_source, lambda data, size_px: in_memory.load(data, recipe)):
        if taken or load is load_source:
            source = load(f"array:{bars_file}", size_px=recipe.size_px)
            assert in_memory.takes(recipe, source) is taken


def test_without_tensorflow_images_that_do_not_fit_are_a_mistake(bars_file):
    for changes in (["size_px=32", "global_batch=8"], ["size_px=16"]):
        with pytest.raises(UsageError, match="48 images of 16x16 pixels"):
            in_memory.load(f"array:{bars_file}", resolve("scratch_small", changes))


def test_flags_that_are_not_here_are_a_mistake(monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    arguments = [
        "--recipe=scratch_small",
        "--data=array:x.npz",
        f"--workdir={tmp_path}",
        "--profile_steps=1,2",
    ]
    assert main.main(["train", *arguments]) == 2
    error = capfd.readouterr().err
    assert "--profile_steps is not supported with the JAX backend" in error


def test_nothing_of_it_needs_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from training import main, recipes; from training.jax_engine import backend; "
        "print(len(recipes.RECIPES))"
    )
    done = ran([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
