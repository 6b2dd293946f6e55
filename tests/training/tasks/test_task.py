"""A task of another kind goes through the same engine, and its metric decides."""

import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_convnext._messages import Interrupted
from training.engine import finish, trainer
from training.recipes.metric import Metric
from training.tasks.task import Evaluation, Task
from training.workdir.history import HistoryFile
from training.workdir.layout import Workdir, identity


def add_mask(images, labels, *weights):
    """Joins to each image where it is bright: of the bar, not of the noise."""
    return images, {"mask": tf.cast(images[..., 0] > 130, tf.int32)}, *weights


def training_batches(source, recipe, share, epoch, start_batch):
    return source.train(
        share.global_batch,
        epoch=epoch,
        seed=recipe.seed,
        augment=recipe.augmentation,
        start_batch=start_batch,
    ).map(add_mask)


def build_training_model(recipe, source):
    """One layer of logits at each pixel, and an auxiliary head's beside it."""
    inputs = keras.Input((recipe.size_px, recipe.size_px, 3))
    pixels = keras.layers.Rescaling(1 / 255, offset=-0.5)(inputs)
    heads = {
        name: keras.layers.Conv2D(2, 1, use_bias=False, name=f"head_{name}")(pixels)
        for name in ("logits", "auxiliary")
    }
    model = keras.Model(inputs, heads)
    # Dark pixels for bright ones: it has to learn the opposite.
    model.set_weights([np.tile(np.float32([0.1, -0.1]), (1, 1, 3, 1))] * 2)
    return model


def build_inference_model(recipe, trained, source):
    outputs = ops.argmax(trained.outputs[-1], axis=-1)
    return keras.Model(trained.inputs, outputs)


def make_losses(recipe, source):
    def losses(outputs, truth):
        target = ops.one_hot(truth["mask"], 2)
        main, auxiliary = (
            ops.mean(
                ops.categorical_crossentropy(target, logits, from_logits=True),
                axis=(1, 2),
            )
            for logits in (outputs["logits"], outputs["auxiliary"])
        )
        return {"loss": main + 0.4 * auxiliary, "auxiliary_loss": auxiliary}

    return losses


def measure_inference(outputs, truth):
    """A histogram of true and predicted classes for each image."""
    pairs = ops.one_hot(truth["mask"] * 2 + ops.cast(outputs, "int32"), 4)
    return {"histogram": ops.sum(pairs, axis=(1, 2))}


def measure(outputs, truth):
    return measure_inference(ops.argmax(outputs["logits"], axis=-1), truth)


def evaluate(rows, source):
    total = np.zeros((2, 2))
    for some in rows:
        total += some["histogram"].sum(axis=0).reshape(2, 2)
    union = total.sum(axis=0) + total.sum(axis=1) - total.diagonal()
    miou = float(np.mean(total.diagonal() / union))
    figures = {"miou": miou, "wrong": float(total.sum() - np.trace(total))}
    return Evaluation(figures=figures, metrics=figures, details=total)


MASKS = Task(
    name="masks",
    metric=Metric("miou", figure="miou", words="mIoU"),
    load=lambda data, recipe, skip_bad_images: None,
    training_batches=training_batches,
    validation_batches=lambda source, recipe, share: source.validation_batches(
        share.global_batch
    ).map(add_mask),
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    is_head=lambda path: path.startswith("head_logits"),
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure_inference,
    evaluate=evaluate,
    write_report=lambda outcome: (outcome.workdir.path / "total.txt").write_text(
        str(outcome.details.sum())
    ),
)


@pytest.fixture
def prepared(tiny_recipe, tiny_source, one_device):
    def prepare(folder, task=MASKS, **changes):
        recipe = dataclasses.replace(
            tiny_recipe,
            epochs=4,
            peak_lr=0.03,
            accumulation_steps=2,
            keep="best",
            **changes,
        )
        workdir = Workdir(folder)
        workdir.claim(identity(recipe, "bars"))
        return trainer.prepare(recipe, tiny_source, workdir, one_device, task)

    return prepare


def state_of(run):
    return {name: v.numpy() for name, v in run.checkpoints.variables.items()}


def trained(run, *callbacks):
    history = HistoryFile(run.workdir.history, run.progress.epoch)
    trainer.train(run, [history, *callbacks])
    return history.rows


@pytest.mark.slow
def test_label_maps_learn_are_resumed_to_the_bit_and_leave_their_own_report(
    prepared, tmp_path
):
    whole = prepared(tmp_path / "whole")
    rows = trained(whole)
    assert rows[0]["val_miou"] < 0.5
    assert rows[-1]["val_miou"] > 0.9
    assert 0 < rows[-1]["auxiliary_loss"] < rows[-1]["loss"]

    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (
            os.kill(os.getpid(), signal.SIGTERM) if batch == 2 else None
        )
    )
    with pytest.raises(Interrupted, match="stopped after step 3 "):
        trained(prepared(tmp_path / "parts"), stop)
    again = prepared(tmp_path / "parts")
    assert again.progress.step == 3
    trained(again)
    assert any(name.startswith("average/head_logits") for name in state_of(whole))
    for name, value in state_of(again).items():
        np.testing.assert_array_equal(value, state_of(whole)[name], err_msg=name)

    metrics = finish.leave(whole, rows)
    best = max(rows, key=lambda row: row["val_miou"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == best["epoch"]
    assert metrics["miou"] == metrics["best_miou"] == best["val_miou"]
    # 13 images of 16 by 16 pixels, and none of the rows that fill the last batch.
    assert float((tmp_path / "whole" / "total.txt").read_text()) == 13 * 16 * 16


def test_the_best_epoch_is_the_lowest_where_lower_is_better(prepared, tmp_path):
    wrong = Metric("wrong", "wrong", "wrong pixels", higher_is_better=False)
    run = prepared(tmp_path, dataclasses.replace(MASKS, metric=wrong))
    rows = trained(run)
    metrics = finish.leave(run, rows)
    lowest = min(rows, key=lambda row: row["val_wrong"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == lowest["epoch"]
    assert metrics["wrong"] == metrics["best_wrong"] == lowest["val_wrong"]
