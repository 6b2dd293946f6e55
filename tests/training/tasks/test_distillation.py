"""Distillation against timm's, its closed form, and teachers that do not fit."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext._messages import UsageError
from training.engine import finish, teacher, trainer
from training.recipes.table import resolve
from training.tasks import CLASSIFICATION
from training.tasks.distillation import distillation_loss, with_teacher
from training.workdir.layout import Workdir, identity

RECORDED = json.loads(
    (Path(__file__).parent / "references" / "distillation.json").read_text()
)
CLASSES = ("left", "middle", "right")


@pytest.mark.parametrize("case", RECORDED["cases"])
def test_loss_and_gradient_are_those_of_timm(case):
    plain = CLASSIFICATION.make_losses(resolve("demo", ["label_smoothing=0"]), None)
    losses = with_teacher(plain, case["weight"], case["temperature"])
    logits = tf.constant(RECORDED["student"])
    truth = (tf.constant(RECORDED["labels"]), tf.constant(RECORDED["teacher"]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_mean(losses(logits, truth)["loss"])
    np.testing.assert_allclose(loss, case["loss"], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits), case["gradient"], atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 20.0])
def test_the_gradient_is_the_temperature_times_the_difference(temperature):
    logits, taught = (
        np.random.default_rng(seed).normal(size=(6, 5)) * 4 for seed in (0, 1)
    )
    student, guide = (tf.constant(values, tf.float32) for values in (logits, taught))
    with tf.GradientTape() as tape:
        tape.watch(student)
        losses = distillation_loss(guide, student, temperature)
    wanted, given = (
        np.exp(values / temperature)
        / np.exp(values / temperature).sum(1, keepdims=True)
        for values in (taught, logits)
    )
    divergence = (wanted * np.log(wanted / given)).sum(1)
    np.testing.assert_allclose(losses, temperature**2 * divergence, rtol=2e-4)
    expected = temperature * (given - wanted)
    np.testing.assert_allclose(tape.gradient(losses, student), expected, atol=2e-5)


def save_teacher(folder, size_px=16, labels=CLASSES, activation="softmax", units=None):
    """A linear classifier of pixels divided by 255, and its names beside it."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Input((size_px, size_px, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(units or len(labels), activation=activation),
        ]
    )
    folder.mkdir()
    model.save(folder / "model.keras")
    if labels:
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in labels))
    return model


def test_a_teacher_sees_the_students_images_at_its_own_size(tmp_path, tiny_source):
    model = save_teacher(tmp_path / "large", size_px=24)
    recipe = resolve("demo", [f"teacher={tmp_path / 'large'}", "size_px=16"])
    images = tiny_source.training.images[:5].astype(np.float32)
    larger = tf.image.resize(images, (24, 24), antialias=True)
    pixels = np.reshape(larger, (5, -1)) / 255
    kernel, bias = model.get_weights()
    found = teacher.load(recipe, tiny_source)(images).numpy()
    expected = pixels @ kernel + bias
    centered = [values - values.mean(1, keepdims=True) for values in (found, expected)]
    np.testing.assert_allclose(*centered, atol=1e-4)


def test_a_teacher_of_logits_without_names_is_taken(tmp_path, tiny_source):
    save_teacher(tmp_path / "plain", labels=(), activation="softmax", units=3)
    recipe = resolve("demo", [f"teacher={tmp_path / 'plain'}", "size_px=16"])
    found = teacher.load(recipe, tiny_source)
    assert found.output_shape == (None, 3)
    assert not found.trainable_variables


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (
            {"labels": ("left", "right", "middle")},
            "its class 1 is right, and that of the data middle",
        ),
        ({"labels": ("left", "right")}, "it tells 2 classes, and the data have 3"),
        ({"activation": "sigmoid"}, "its outputs are of the kind sigmoid"),
    ],
)
def test_a_teacher_of_something_else_is_refused_in_a_line(
    saved, words, tmp_path, tiny_source
):
    save_teacher(tmp_path / "other", **saved)
    recipe = resolve("demo", [f"teacher={tmp_path / 'other'}", "size_px=16"])
    teacher.check(recipe)
    with pytest.raises(UsageError, match=words) as error:
        teacher.load(recipe, tiny_source)
    assert "\n" not in str(error.value)


def test_a_teacher_that_is_not_there_is_a_line_before_any_data_are_read(tmp_path):
    with pytest.raises(ValueError, match="there is no teacher=nowhere: give a"):
        teacher.check(resolve("demo", ["teacher=nowhere"]))
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="has not finished"):
        teacher.check(resolve("demo", [f"teacher={tmp_path}"]))
    teacher.check(resolve("demo", ["teacher=convnext_tiny.fb_in1k"]))


@pytest.mark.parametrize(
    "changes",
    [
        ["target=labels", "teacher=runs/demo"],
        ["distillation_weight=0"],
        ["distillation_weight=1.5"],
        ["distillation_temperature=0"],
    ],
)
def test_settings_that_mean_nothing_are_refused(changes):
    with pytest.raises(ValueError, match="Not a recipe"):
        resolve("demo", changes)


@pytest.mark.slow
def test_a_distilled_run_resumes_exactly_and_leaves_the_teacher_out(
    tmp_path, tiny_recipe, tiny_source, one_device
):
    model = save_teacher(tmp_path / "teacher")
    recipe = dataclasses.replace(tiny_recipe, teacher=str(tmp_path / "teacher"))

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert logs["distillation_loss"] > 0
            self.model.stop_training = True

    def run_in(folder, *callbacks):
        workdir = Workdir(tmp_path / folder)
        workdir.claim(identity(recipe, "bars"))
        run = trainer.prepare(recipe, tiny_source, workdir, one_device)
        trainer.train(run, callbacks)
        return run

    run_in("stopped", Stop())
    stopped, whole = run_in("stopped"), run_in("whole")
    variables = whole.train_state.variables()
    assert not any("teacher" in name for name in variables)
    for one, two in zip(
        stopped.train_state.variables().values(), variables.values(), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(model.get_weights(), whole.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    images = tiny_source.validation.images.astype(np.float32)
    right = model(images).numpy().argmax(1) == tiny_source.validation.labels
    metrics = finish.leave(whole, [])
    assert metrics["teacher_top1"] == pytest.approx(right.mean())
    page = (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")
    assert "Teacher&#x27;s top-1 accuracy" in page
