"""A detection run learns, resumes to the bit and leaves a detector and its report."""

import dataclasses
import json

import numpy as np
import pytest

import keras_convnext
from tests.training.data.coco_files import content, write_coco
from tests.training.detection_data import CLASSES, SIDE_PX, write_shapes
from tests.training.tasks import whole_runs
from training.data import DataError, boxes
from training.data.pipeline import WorkerShard
from training.engine import finish, pretrained
from training.engine.step import make_evaluation_step
from training.evaluation import detectors
from training.recipes import overrides, resolve
from training.recipes.box_augmentation import BoxAugmentation
from training.tasks import DETECTION


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """24 training and 5 validation images of two sizes, two objects each."""
    return boxes.load(
        write_shapes(tmp_path_factory.mktemp("shapes") / "data"), size_px=SIDE_PX
    )


@pytest.fixture
def recipe():
    """A run with everything random switched on."""
    return dataclasses.replace(
        resolve("finetune_detect_small"),
        variant="test_convnext2",
        weights=None,
        size_px=SIDE_PX,
        layer_scale_init_value=0.5,
        pyramid_channels=16,
        head_units=32,
        training_proposals=30,
        sampled_boxes=16,
        epochs=8,
        warmup_epochs=1,
        global_batch=8,
        peak_lr=5e-3,
        layer_decay=None,
        ema_decay=0.8,
        box_augmentation=BoxAugmentation(flip=True, jitter=(0.8, 1.3)),
    )


def test_boxes_are_told_in_pixels_of_the_image_as_it_is():
    outputs = {"boxes": np.float32([[[10, 20, 30, 40]]]), "count": np.int32([1])}
    truth = {"number": 3, "shape": [[50, 400]], "size": [[100, 200]]}
    told = DETECTION.measure(outputs, truth)
    np.testing.assert_array_equal(told["boxes"], [[[5, 40, 15, 80]]])
    assert told["number"] == 3


@pytest.mark.slow
def test_both_models_find_the_same_objects(recipe, source, one_device):
    """The one that learned, asked without the truth, and the one that is saved."""
    trained = DETECTION.build_training_model(recipe, source)
    # Otherwise nothing is an object.
    for variable in trained.trainable_variables:
        if variable.path == "box_logits/kernel":
            variable.assign(variable * 100)
    model = DETECTION.build_inference_model(recipe, trained, source)
    rows = []
    for each in (trained, model):
        step = make_evaluation_step(
            each, DETECTION.measure, one_device, DETECTION.model_inputs
        )
        share = WorkerShard(one_device.num_replicas_in_sync, 0, 1)
        found = [
            step(images, truth)
            for images, truth, _ in DETECTION.validation_batches(source, recipe, share)
        ]
        rows.append(
            {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        )
    learned, saved = rows
    assert learned.keys() == saved.keys()
    assert saved["count"].sum() > 20
    assert sorted(saved["number"]) == [0, 1, 2, 3, 4]
    for name, values in saved.items():
        # Float32 numbers of up to 56 through the same layers.
        np.testing.assert_allclose(learned[name], values, atol=1e-4, err_msg=name)
    # In pixels of the images, which are 56 wide and larger than the network's.
    assert SIDE_PX + 16 < saved["boxes"].max() < 56.001


def test_validation_without_objects_is_refused(recipe, tmp_path):
    def load(validation):
        write_coco(tmp_path, validation)
        file, images = tmp_path / "annotations/instances.json", tmp_path / "images"
        train = tmp_path / "train.json"
        train.write_text(json.dumps(content(2)))
        return DETECTION.load(f"coco:{train},{file}:{images}", recipe, False)

    empty, crowds = content(3), content(3)
    empty["annotations"] = []
    for each in crowds["annotations"]:
        each["iscrowd"] = 1
    for validation in (empty, crowds):
        with pytest.raises(DataError, match="no validation image has an object") as why:
            load(validation)
        assert "\n" not in str(why.value)
    assert load(content(3)).validation_examples == 3


def test_a_classifiers_workdir_starts_the_backbone_and_leaves_the_heads(
    recipe, source, tmp_path
):
    classifier = keras_convnext.create(
        "test_convnext2",
        input_shape=(SIDE_PX, SIDE_PX, 3),
        classes=5,
        layer_scale_init_value=0.1,
        seed=9,
    )
    classifier.save(tmp_path / "model.keras")
    there = {"variant": "test_convnext2"}
    (tmp_path / "recipe.json").write_text(json.dumps(there))
    changes = pretrained.changes(str(tmp_path))
    started = overrides.apply_overrides(recipe, changes)
    built, fresh = (
        {variable.path: variable.numpy() for variable in model.weights}
        for model in (
            DETECTION.build_training_model(each, source) for each in (started, recipe)
        )
    )
    for variable in classifier.weights:
        if not variable.path.startswith("head_"):
            np.testing.assert_array_equal(built[variable.path], variable)
    heads = [path for path in built if DETECTION.is_head(path)]
    assert {path.split("_")[0] for path in heads} == {
        *("pyramid", "fpn", "rpn", "box", "mask"),
    }
    for path in heads:
        np.testing.assert_array_equal(built[path], fresh[path])


@pytest.mark.slow  # three graphs for two runs
def test_a_run_is_resumed_to_the_bit_and_leaves_its_report(
    recipe, source, tmp_path, one_device
):
    whole, rows = whole_runs.train(recipe, source, tmp_path / "whole", one_device)
    assert rows[-1]["loss"] < rows[0]["loss"]
    parts = ("rpn_class_loss", "rpn_box_loss", "box_class_loss", "box_loss")
    # Means of float32 over an epoch, each rounded.
    assert sum(rows[-1][name] for name in (*parts, "mask_loss")) == pytest.approx(
        rows[-1]["loss"], rel=1e-4
    )
    whole_runs.check_resume(whole, recipe, source, tmp_path / "parts", one_device)

    metrics = finish.leave(whole, rows)
    best = max(rows, key=lambda row: row["val_ap"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == best["epoch"]
    assert best["val_ap"] > 0
    # The model that is saved has boxes whose last digits differ.
    for name in ("ap", "ap50", "mask_ap"):
        assert metrics[name] == pytest.approx(best[f"val_{name}"], abs=1e-3)
    assert json.loads(whole.workdir.metrics.read_text())["ap"] == metrics["ap"]
    model = keras_convnext.load(tmp_path / "whole")
    assert model.labels == CLASSES
    found, _ = detectors.evaluate(model, source, np.arange(len(CLASSES)))
    for name in ("ap", "ap50", "mask_ap"):
        # Images are resized by another program, which rounds halves to the other side.
        assert found.figures[name] == pytest.approx(metrics[name], abs=0.01)
    assert whole.workdir.report.is_file()
