"""Training under Keras' JAX backend: the same steps, the same command."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("jax")

from keras_convnext._messages import UsageError
from tests.training.conftest import CLASSES, bars
from training import evaluate_main, main
from training.engine import step
from training.jax_engine import backend as jax_backend
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


STEPS = """
import sys
from dataclasses import replace
import keras, numpy as np
from keras_convnext.preprocessing import IMAGENET
from training.data.source import Source
from training.engine import train_state
from training.recipes.augmentation import Augmentation
from training.recipes import resolve
from training.tasks import CLASSIFICATION

recipe = replace(
    resolve("scratch_small"), variant="test_convnext2", size_px=16, global_batch=6,
    layer_scale_init_value=0.5, stochastic_depth_rate=0.0, ema_decay=0.9,
    clip_norm=0.5, augmentation=Augmentation(), epochs=4, warmup_epochs=1)

source = Source("none", ("a", "b", "c"), None, None, IMAGENET)

random = np.random.default_rng(0)
images = random.integers(0, 256, (4, 6, 16, 16, 3)).astype("uint8")
labels = random.integers(0, 3, (4, 6)).astype("int32")
made = train_state.make(recipe, CLASSIFICATION, source, 4)
losses_of = CLASSIFICATION.make_losses(recipe, None)
for v in made.model.trainable_variables:
    if len(v.shape) == 1:
        v.assign(random.normal(size=v.shape) * 0.1 + v.numpy())
made.averaged.set_weights(made.model.get_weights())
losses = []
if keras.backend.backend() == "jax":
    import jax
    from training.jax_engine import step as jax_trainer
    step = jax.jit(jax_trainer.make_train_step(made, losses_of, recipe, 3))
    state = jax_trainer.state_of(made)
    for some in zip(images, labels):
        state, told = step(state, *some, jax.random.key(0))
        losses.append([float(told["loss"]), float(told["accuracy"]) / 6])
    jax_trainer.put_back(made, state)
else:
    import tensorflow as tf
    from training.engine.step import StepSettings, make_train_step
    settings = StepSettings(6, clip_norm=recipe.clip_norm, ema_decay=recipe.ema_decay)
    step = make_train_step(made, losses_of, settings, tf.distribute.get_strategy())
    for some, known in zip(images, labels):
        told = step(tf.constant(some), tf.constant(known))
        losses.append([float(told["loss"]), float(told["accuracy"]) / 6])
np.savez(sys.argv[1], losses=losses, **{
    f"{kind}/{v.path}": v.numpy()
    for kind, model in (("model", made.model), ("average", made.averaged))
    for v in model.trainable_variables})
"""


@pytest.mark.slow
def test_steps_are_those_of_the_tensorflow_loop(tmp_path):
    found = {}
    for backend in ("tensorflow", "jax"):
        file = tmp_path / f"{backend}.npz"
        done = ran([sys.executable, "-c", textwrap.dedent(STEPS), str(file)], backend)
        assert done.returncode == 0, done.stderr[-3000:]
        found[backend] = np.load(file)
    ours, theirs = found["jax"], found["tensorflow"]
    assert sorted(ours) == sorted(theirs)
    np.testing.assert_allclose(ours["losses"], theirs["losses"], atol=1e-4)
    assert ours["losses"][0, 0] != ours["losses"][-1, 0]
    for name in theirs:
        # Adam divides by the size of the gradient: where that is next to nothing, its
        # rounding decides the step. So the mean counts: four steps of up to 2e-3 move
        # a weight a hundred times as far.
        assert np.abs(ours[name] - theirs[name]).mean() < 2e-5, name


@pytest.mark.parametrize("clip_norm", [None, 0.5, 100.0])
def test_gradients_are_clipped_as_in_the_tensorflow_loop(clip_norm):
    # Adam hardly sees a factor on all gradients, so the steps above would not tell.
    random = np.random.default_rng(0)
    gradients = [random.normal(size=size).astype("float32") for size in (3, (4, 5))]
    expected, norm = step.clip_by_global_norm(
        [tf.constant(each) for each in gradients], clip_norm
    )
    assert 0.5 < float(norm) < 100
    for one, other in zip(
        jax_trainer.clip_by_global_norm(gradients, clip_norm), expected, strict=True
    ):
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
    for line in process.stdout:
        if line.startswith("compiled"):
            process.send_signal(signal.SIGTERM)
            break
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


def test_what_is_not_here_is_named_all_at_once():
    recipe = resolve(
        "scratch_small",
        ["augmentation.rand_augment=rand-m9-inc1", "precision=mixed_float16"],
    )
    recipe = replace(recipe, weights="imagenet")
    with pytest.raises(UsageError) as caught:
        jax_backend.check(recipe, "digits")
    for words in ("rand_augment", "mixed_float16", "weights", "--data=digits"):
        assert words in str(caught.value)


def test_the_recipe_for_small_images_asks_for_nothing_that_is_not_here():
    jax_backend.check(resolve("scratch_small"), "array:cifar10.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["size_px=32", "global_batch=8"], "images of 16x16 pixels"),
        (["size_px=16", "global_batch=64"], "less than one batch of 64"),
    ],
)
def test_images_that_do_not_fit_the_recipe_are_a_mistake(bars_file, changes, words):
    with pytest.raises(UsageError, match=words):
        jax_backend.load(f"array:{bars_file}", resolve("scratch_small", changes))


@pytest.mark.parametrize("flag", ["--devices=cpu:2", "--tensorboard"])
def test_flags_that_are_not_here_are_a_mistake(flag, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    arguments = [
        "--recipe=scratch_small",
        "--data=array:x.npz",
        f"--workdir={tmp_path}",
    ]
    assert main.main(["train", *arguments, flag]) == 2
    error = capfd.readouterr().err
    assert flag.partition("=")[0] in error
    assert "JAX backend" in error


def test_nothing_of_it_needs_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from training import main, recipes; from training.jax_engine import backend; "
        "print(len(recipes.RECIPES))"
    )
    done = ran([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
