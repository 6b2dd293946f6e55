"""A segmentation run learns, resumes to the bit and leaves a model and its report."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from keras_convnext.segmentation import mean_iou, predict_label_map
from keras_convnext.segmentation.inference import logits_model
from tests.training.segmentation_data import CLASSES, SIDE_PX, write_shapes
from tests.training.tasks import whole_runs
from training.data import masks
from training.engine import finish, pretrained
from training.engine.step import make_evaluation_step
from training.recipes import overrides, resolve
from training.recipes.mask_augmentation import MaskAugmentation
from training.tasks import SEGMENTATION


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """24 training and 5 validation images of two sizes, in three classes."""
    folder = write_shapes(tmp_path_factory.mktemp("shapes"))
    return masks.load(f"masks:{folder}", size_px=SIDE_PX)


@pytest.fixture
def recipe():
    """A run of 30 steps, with everything random switched on."""
    return dataclasses.replace(
        resolve("finetune_segment_small"),
        variant="test_convnext2",
        weights=None,
        size_px=SIDE_PX,
        patch_size=2,
        layer_scale_init_value=0.5,
        head_channels=32,
        epochs=10,
        warmup_epochs=1,
        global_batch=8,
        peak_lr=5e-3,
        layer_decay=None,
        ema_decay=0.8,
        mask_augmentation=MaskAugmentation(
            ratio_range=(0.8, 1.3), crop_max_share=0.9, flip=True, photometric=True
        ),
    )


def test_the_inference_model_has_the_decoders_probabilities(recipe, source):
    trained = SEGMENTATION.build_training_model(recipe, source)
    model = SEGMENTATION.build_inference_model(recipe, trained, source)
    images = np.random.default_rng(0).uniform(0, 255, (1, 40, 36, 3))
    logits, auxiliary = trained(images)
    assert logits.shape == auxiliary.shape == (1, 40, 36, len(CLASSES))
    # Float32 numbers of about 1 through some thirty layers.
    np.testing.assert_allclose(model(images), tf.nn.softmax(logits), atol=1e-5)
    assert not any("auxiliary" in variable.path for variable in model.weights)


def test_the_same_seed_builds_the_same_model(recipe, source):
    one, two = (
        SEGMENTATION.build_training_model(recipe, source).get_weights()
        for _ in range(2)
    )
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore:The weights have none for auxiliary")
def test_a_classifiers_workdir_starts_the_backbone_and_leaves_the_heads(
    recipe, source, tmp_path
):
    classifier = keras_convnext.create(
        "test_convnext2",
        input_shape=(SIDE_PX, SIDE_PX, 3),
        classes=5,
        patch_size=2,
        layer_scale_init_value=0.1,
        seed=9,
    )
    classifier.save(tmp_path / "model.keras")
    there = {"variant": "test_convnext2", "patch_size": 2}
    (tmp_path / "recipe.json").write_text(json.dumps(there))
    changes = pretrained.changes(str(tmp_path))
    started = overrides.apply_overrides(recipe, changes)
    built, fresh = (
        {variable.path: variable.numpy() for variable in model.weights}
        for model in (
            SEGMENTATION.build_training_model(each, source)
            for each in (started, recipe)
        )
    )
    for variable in classifier.weights:
        if not variable.path.startswith("head_"):
            np.testing.assert_array_equal(built[variable.path], variable)
    heads = [path for path in built if SEGMENTATION.is_head(path)]
    assert len(heads) > 40
    for path in heads:
        np.testing.assert_array_equal(built[path], fresh[path])


def test_heads_and_their_norms_learn_while_the_backbone_is_frozen(recipe, source):
    model = SEGMENTATION.build_training_model(recipe, source)
    learning = {
        variable.path.split("_")[0]
        for variable in model.trainable_variables
        if SEGMENTATION.is_head(variable.path)
    }
    assert learning == {"decode", "auxiliary", "pyramid"}


@pytest.mark.slow  # three graphs for two runs
def test_a_run_learns_is_resumed_to_the_bit_and_leaves_its_report(
    recipe, source, tmp_path, one_device
):
    whole, rows = whole_runs.train(recipe, source, tmp_path / "whole", one_device)
    assert rows[-1]["val_miou"] > 0.6 > rows[0]["val_miou"]
    assert rows[-1]["aacc"] > rows[0]["aacc"]

    whole_runs.check_resume(whole, recipe, source, tmp_path / "parts", one_device)
    expected = whole.checkpoints.variables
    assert any("/moving_mean" in name for name in expected)
    assert any(name.startswith("seed/") for name in expected)

    metrics = finish.leave(whole, rows)
    best = max(rows, key=lambda row: row["val_miou"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == best["epoch"]
    # Logarithms of probabilities in the place of logits.
    assert metrics["miou"] == pytest.approx(best["val_miou"], abs=1e-3)
    assert json.loads(whole.workdir.metrics.read_text())["miou"] == metrics["miou"]

    model = keras_convnext.load(tmp_path / "whole")
    assert model.labels == CLASSES
    assert model.preprocessing.crop_mode == "keep_ratio"
    images, truth = source.validation_images(range(5))
    found = [model(image) for image in images]
    flat = [np.concatenate([each.ravel() for each in maps]) for maps in (truth, found)]
    # Some pixels lie between two classes: these are float32 numbers in another order.
    assert mean_iou(*flat, len(CLASSES)) == pytest.approx(metrics["miou"], abs=2e-3)

    report = whole.workdir.report.read_text(encoding="utf-8")
    for heading in ("Training curves", "Lowest IoU", "Confusion matrix", "Per-class"):
        assert heading in report
    classes = whole.workdir.classes.read_text().splitlines()
    assert [line.split(",")[0] for line in classes] == ["class", *CLASSES]
    assert len(whole.workdir.validation.read_text().splitlines()) == 1 + 5


@pytest.mark.slow  # three graphs
def test_runs_in_mixed_precision_learn_what_one_in_float32_does(
    recipe, source, tmp_path, one_device
):
    recipe = dataclasses.replace(recipe, stochastic_depth_rate=0, dropout_rate=0)
    histories = []
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        recipe = dataclasses.replace(recipe, precision=precision)
        run, rows = whole_runs.train(recipe, source, tmp_path / precision, one_device)
        kinds = {layer.compute_dtype for layer in run.train_state.model.layers}
        assert precision.removeprefix("mixed_") in kinds
        histories.append(rows)
    for rows in histories:
        # Numbers of 8 bits, in three steps of the same batches.
        assert rows[0]["loss"] == pytest.approx(histories[0][0]["loss"], rel=0.02)
        assert rows[-1]["val_miou"] > 0.6


@pytest.mark.slow  # two graphs
def test_the_averaged_model_has_averaged_statistics_of_batch_norm(
    recipe, source, tmp_path, one_device
):
    recipe = dataclasses.replace(
        recipe, epochs=1, warmup_epochs=0, global_batch=24, keep="last"
    )
    run, _ = whole_runs.train(recipe, source, tmp_path, one_device)
    model, average = run.train_state.model, run.train_state.averaged
    name = "decode_fuse_norm"
    own, kept = (each.get_layer(name).moving_mean for each in (model, average))
    assert np.abs(own).max() > 1e-3
    # One step from 0, which both began with: a fifth of the way.
    np.testing.assert_allclose(kept, 0.2 * np.asarray(own), rtol=1e-5)


@pytest.mark.slow
def test_the_rule_of_evaluation_is_the_rule_of_inference(recipe, source, one_device):
    """Images of two sizes, a mask's own size, and padding that does not count."""
    trained_model = SEGMENTATION.build_training_model(recipe, source)
    # Otherwise all pixels are one class.
    for variable in trained_model.trainable_variables:
        if variable.path == "decode_logits/kernel":
            variable.assign(variable * 100)
    model = SEGMENTATION.build_inference_model(recipe, trained_model, source)
    step = make_evaluation_step(model, SEGMENTATION.measure_inference, one_device)
    rows = [
        {name: values.numpy() for name, values in step(images, truth).items()}
        for images, truth, _ in source.validation_batches(1)
    ]
    found = SEGMENTATION.evaluate(iter(rows), source)
    logits = logits_model(model)
    images, truth = source.validation_images(range(5))
    maps = [
        predict_label_map(lambda x: logits(x, training=False), image, SIDE_PX)
        for image in images
    ]
    flat = [np.concatenate([each.ravel() for each in every]) for every in (truth, maps)]
    expected = mean_iou(*flat, len(CLASSES))
    assert expected < 0.9
    # A pixel between two classes may fall to either.
    assert found.figures["miou"] == pytest.approx(expected, abs=2e-3)
