"""Distillation of features against torch's, with labels and without, and its runs."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from tests.training.tasks import whole_runs
from tests.training.tiny_flags import tiny_flags
from tests.training.unlabeled_data import SIDE_PX, SMALL, write_waves
from training import main, predict_main, preview_main
from training.data import unlabeled
from training.engine import finish, teacher
from training.recipes import resolve
from training.tasks import CLASSIFICATION, find_task
from training.tasks.distillation import PROJECTION, feature_loss, learn_from

RECORDED = json.loads(
    (Path(__file__).parent / "references" / "distillation.json").read_text()
)["features"]
CHANNELS = 7


def linear_teacher(size_px, channels=CHANNELS):
    """Features that are linear in the pixels."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Input((size_px, size_px, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(channels),
    ]
    return keras.Sequential(layers)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_waves(tmp_path_factory.mktemp("waves"), count=30)


@pytest.fixture(scope="module")
def source(folder):
    """24 training and 6 validation images."""
    return unlabeled.load(f"images:{folder}", size_px=SIDE_PX, patch_px=SIDE_PX)


@pytest.fixture(scope="module")
def taught_by(tmp_path_factory):
    """A teacher's file, for images of 24 pixels."""
    file = tmp_path_factory.mktemp("teacher") / "model.keras"
    linear_teacher(24).save(file)
    return file


@pytest.fixture
def recipe(taught_by):
    """A run of 12 steps without labels."""
    return dataclasses.replace(
        resolve("distill_small"),
        teacher=str(taught_by),
        epochs=4,
        warmup_epochs=0,
        ema_decay=0.5,
        **SMALL,
    )


def test_loss_and_gradient_are_those_of_torch_in_float64():
    projected = tf.constant(RECORDED["student"], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(projected)
        losses = feature_loss(tf.constant(RECORDED["teacher"]), projected)
        loss = tf.reduce_mean(losses)
    np.testing.assert_allclose(loss, RECORDED["loss"], rtol=1e-6)
    gradient = tape.gradient(loss, projected)
    np.testing.assert_allclose(gradient, RECORDED["gradient"], atol=1e-7)
    # Both kinds of errors count: those of a square, and those beyond.
    largest = np.abs(RECORDED["gradient"]).max()
    assert 0.3 < np.mean(np.abs(RECORDED["gradient"]) > 0.99 * largest) < 0.9


def test_the_loss_does_not_depend_on_the_teachers_scale():
    features, projected = np.random.default_rng(0).normal(size=(2, 5, 64))
    losses = [
        feature_loss(tf.constant(each, tf.float32), tf.constant(projected))
        for each in (features, 100 * features + 7)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_classifier_learns_features_and_keeps_nothing_of_it(tiny_recipe, tiny_source):
    recipe = dataclasses.replace(
        tiny_recipe,
        teacher="mine",
        distillation="features",
        distillation_weight=0.25,
    )
    taught = linear_teacher(recipe.size_px)
    task = learn_from(CLASSIFICATION, recipe, taught)
    model = task.build_training_model(recipe, tiny_source)
    images = tiny_source.training.images[:4].astype("float32")
    labels = tiny_source.training.labels[:4]
    logits, projected = model(images)
    kernel, bias = model.get_layer(PROJECTION).weights
    assert all(task.is_head(variable.path) for variable in (kernel, bias))
    features = keras.Model(model.input, model.get_layer("head_dense").input)(images)
    expected = features @ kernel.value + bias.value
    np.testing.assert_allclose(projected, expected, atol=1e-5)
    # As a ConvNeXt's kernels, on every backend; three standard errors of 128 x 7.
    assert np.std(kernel) == pytest.approx(
        0.02, rel=3 / np.sqrt(2 * kernel.numpy().size)
    )

    outputs, told = (logits, projected), (labels, taught(images))
    loss = task.make_losses(recipe, tiny_source)(outputs, told)["loss"]
    alone = CLASSIFICATION.make_losses(recipe, tiny_source)(logits, labels)["loss"]
    expected = 0.75 * alone + 0.25 * feature_loss(taught(images), projected)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

    kept = task.build_inference_model(recipe, model, tiny_source)
    assert not [v.path for v in kept.weights if PROJECTION in v.path]
    np.testing.assert_allclose(kept(images), tf.nn.softmax(logits), atol=1e-5)


def test_what_is_kept_of_a_run_without_labels_is_the_encoder(recipe, source):
    taught = teacher.load(recipe, source)
    task = learn_from(find_task(recipe), recipe, taught)
    model = task.build_training_model(recipe, source)
    whole = task.build_inference_model(recipe, model, source)
    images, _ = source.validation_images(range(3))
    images = images.astype("float32")
    projected, features = task.evaluated_model(whole)(images)
    np.testing.assert_allclose(projected, model(images), atol=1e-5)
    np.testing.assert_allclose(features, taught(images), atol=1e-5)
    rows = task.measure_inference((projected, features), None)
    np.testing.assert_allclose(rows["loss"], feature_loss(features, projected))

    kept = task.saved_model(recipe, whole)
    kernel, bias = model.get_layer(PROJECTION).get_weights()
    assert kept.output_shape == (None, len(kernel))
    np.testing.assert_allclose(kept(images) @ kernel + bias, projected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("distill_small", ["teacher=none"], "a model for feature_distillation"),
        ("distill_small", ["augmentation.mixup=0.8"], "not for pre-training"),
        ("distill_small", ["distillation=features"], "is of classification alone"),
        ("pretrain_small", ["teacher=runs/demo"], "is of classification alone"),
        ("demo", ["distillation=maps"], "not one of logits, features"),
        ("demo", ["target=number", "teacher=runs/demo"], "but for distillation=feat"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        resolve(name, changes)
    resolve("demo", ["target=number", "teacher=mine", "distillation=features"])


@pytest.mark.slow  # three graphs for two runs
def test_a_run_without_labels_is_resumed_to_the_bit_and_leaves_its_report(
    recipe, source, tmp_path, one_device
):
    whole, rows = whole_runs.train(recipe, source, tmp_path / "whole", one_device)
    assert rows[-1]["loss"] < rows[0]["loss"]
    names = whole.checkpoints.variables
    assert {f"model/{PROJECTION}/kernel", f"average/{PROJECTION}/kernel"} <= set(names)
    assert not any("teacher" in name for name in names)
    whole_runs.check_resume(whole, recipe, source, tmp_path / "parts", one_device)

    metrics = finish.leave(whole, rows)
    best = min(rows, key=lambda row: row["val_loss"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == best["epoch"]
    assert metrics["loss"] == pytest.approx(best["val_loss"], abs=1e-5)
    report = whole.workdir.report.read_text(encoding="utf-8")
    for words in ("Training curves", "No labels were used", "fine-tune"):
        assert words in report
    assert len(whole.workdir.validation.read_text().splitlines()) == 1 + 6
    kept = keras.saving.load_model(whole.workdir.model)
    assert not [v.path for v in kept.weights if PROJECTION in v.path]


@pytest.mark.slow
def test_it_is_learned_in_half_precision_and_in_parts(
    recipe, source, tmp_path, one_device
):
    recipe = dataclasses.replace(
        recipe,
        precision="mixed_float16",
        accumulation_steps=2,
        stochastic_depth_rate=0.1,
    )
    _, rows = whole_runs.train(recipe, source, tmp_path, one_device)
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.slow
def test_a_classifiers_run_with_a_feature_teacher_is_resumed_to_the_bit(
    taught_by, tiny_recipe, tiny_source, tmp_path, one_device
):
    recipe = dataclasses.replace(
        tiny_recipe, teacher=str(taught_by), distillation="features"
    )
    whole, rows = whole_runs.train(recipe, tiny_source, tmp_path / "whole", one_device)
    assert all(row["distillation_loss"] > 0 for row in rows)
    assert f"model/{PROJECTION}/kernel" in whole.checkpoints.variables
    whole_runs.check_resume(whole, recipe, tiny_source, tmp_path / "parts", one_device)
    metrics = finish.leave(whole, rows)
    assert "teacher_top1" not in metrics
    kept = keras.saving.load_model(whole.workdir.model)
    images = tiny_source.validation.images.astype("float32")
    right = np.argmax(kept(images), 1) == tiny_source.validation.labels
    assert metrics["top1"] == pytest.approx(right.mean())
    assert not [v.path for v in kept.weights if PROJECTION in v.path]


@pytest.mark.slow
def test_the_commands_distill_preview_and_fine_tune(
    folder, taught_by, tmp_path, capsys
):
    workdir = tmp_path / "distilled"
    own = ["--recipe=distill_small", f"--data=images:{folder}"]
    own += [f"--set={name}={value}" for name, value in SMALL.items()]
    own += [f"--set=teacher={taught_by}"]
    sheet = tmp_path / "sheet.png"
    assert preview_main.main(["preview", *own, f"--out={sheet}", "--images=2"]) == 0
    assert sheet.stat().st_size > 10_000
    classes = tmp_path / "classes"
    for number, name in enumerate(("one", "two")):
        write_waves(classes / name, 8, first=10 * number)
    command = ["train", *own, "--set=epochs=2", f"--workdir={workdir}"]
    command += [f"--set=probe_data=folder:{classes}", "--set=probe_epochs=1"]
    assert main.main([*command, "--dry_run"]) == 0
    assert main.main(command) == 0
    said = capsys.readouterr().out
    assert f"--recipe=finetune_small --data=folder:DIR --weights={workdir}" in said
    assert "knn_accuracy" in json.loads((workdir / "metrics.json").read_text())

    tuned = ["train", "--recipe=finetune_small", f"--data=folder:{classes}"]
    tuned += [f"--weights={workdir}", "--set=epochs=1", "--set=size_px=32"]
    tuned += ["--set=global_batch=4", f"--workdir={tmp_path / 'tuned'}"]
    assert main.main(tuned) == 0
    assert keras_convnext.load(tmp_path / "tuned").labels == ("one", "two")
    # What has learned teaches.
    again = ["train", *own, f"--set=teacher={workdir}", "--set=epochs=1"]
    assert main.main([*again, f"--workdir={tmp_path / 'again'}"]) == 0

    capsys.readouterr()
    code = predict_main.main(["predict", f"--model={workdir}", str(folder / "0.png")])
    [line] = capsys.readouterr().err.splitlines()
    assert code == 2
    assert "features" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "values"), [("number", ("3", "5")), ("labels", ("odd;prime", "odd"))]
)
def test_images_with_labels_or_numbers_have_a_feature_teacher_too(
    target, values, taught_by, tmp_path
):
    write_waves(tmp_path / "waves", 16)
    rows = [
        f"{file},{values[place % 2]},{'val' if place < 4 else 'train'}"
        for place, file in enumerate(sorted((tmp_path / "waves").rglob("*.png")))
    ]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["path,label,split", *rows]))
    settings = ["distillation=features", f"teacher={taught_by}", "epochs=1"]
    workdir = tmp_path / "run"
    arguments = [*tiny_flags(target), f"--data=files:{listed}"]
    arguments += [f"--set={each}" for each in settings]
    assert main.main(["train", *arguments, f"--workdir={workdir}"]) == 0
    assert "distillation_loss" in (workdir / "history.csv").read_text()
    kept = keras.saving.load_model(workdir / "model.keras", compile=False)
    assert not [v.path for v in kept.weights if PROJECTION in v.path]
