"""Exported files asked from Python: their scores are those of the model inside."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from tests.keras_convnext.inference.colors import (
    IMAGES,
    LOGITS,
    NAMES,
    SIDE_PX,
    mean_colors,
    scores_of,
    sigmoid,
    softmax,
    write,
)


def export_saved_model(made, folder, version="1", side_px=SIDE_PX):
    """A SavedModel as the export command writes it, by TensorFlow's own means."""
    module = tf.Module()
    module.model = made
    spec = tf.TensorSpec((None, side_px, side_px, 3), tf.float32, name="tensors")
    module.tensors = tf.function(
        lambda tensors: {"probabilities": made(tensors)}, input_signature=[spec]
    )
    signatures = {"tensors": module.tensors}
    place = folder / "saved_model" / version
    tf.saved_model.save(module, str(place), signatures=signatures)


def export_tflite(made, folder, name="model.tflite"):
    converter = tf.lite.TFLiteConverter.from_keras_model(made)
    (folder / name).write_bytes(converter.convert())


@pytest.mark.parametrize("export", [export_saved_model, export_tflite])
@pytest.mark.parametrize("labels", [NAMES, ("cat", "dog")])
def test_an_exported_folder_answers_as_its_model_does(tmp_path, export, labels):
    outputs = 3 if labels == NAMES else 1
    kernel = np.eye(3)[:, :outputs]
    made = mean_colors(kernel, "softmax" if outputs == 3 else "sigmoid")
    write(tmp_path, made, labels)
    expected = scores_of(keras_convnext.load(tmp_path))
    (tmp_path / "model.keras").unlink()
    export(made, tmp_path)
    model = keras_convnext.load(tmp_path)
    # The runtimes sum in other orders.
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-4)
    assert model.is_exclusive


def test_what_an_export_says_of_its_labels_counts(tmp_path):
    made = mean_colors(np.eye(3), "sigmoid")
    export_saved_model(made, write(tmp_path, made))
    record = {"output": {"kind": "sigmoid", "origin": "its graph ends in a sigmoid"}}
    (tmp_path / "export.json").write_text(json.dumps(record))
    model = keras_convnext.load(tmp_path / "saved_model")
    assert not model.is_exclusive
    np.testing.assert_allclose(scores_of(model), sigmoid(LOGITS), rtol=1e-5)


def test_the_newest_version_is_asked(tmp_path):
    for version, factor in (("9", 1), ("10", -1)):
        made = mean_colors(factor * np.eye(3), "softmax")
        export_saved_model(made, tmp_path, version)
    write(tmp_path, made)
    (tmp_path / "model.keras").unlink()
    model = keras_convnext.load(tmp_path)
    np.testing.assert_allclose(scores_of(model), softmax(-LOGITS), rtol=1e-5)


def test_a_tflite_file_for_eight_images_answers_any_number(tmp_path):
    made = mean_colors(np.eye(3), "softmax")
    export_tflite(keras.Model(*batched(made, 8)), write(tmp_path, made))
    model = keras_convnext.load(tmp_path / "model.tflite")
    many = np.concatenate([IMAGES] * 4)
    expected = np.concatenate([softmax(LOGITS)] * 4)
    np.testing.assert_allclose(scores_of(model, many), expected, rtol=1e-5)


def batched(made, batch):
    inputs = keras.Input((SIDE_PX, SIDE_PX, 3), batch_size=batch)
    return inputs, made(inputs)


def test_a_file_whose_answers_are_no_probabilities_is_refused(tmp_path):
    made = mean_colors(np.eye(3))
    export_tflite(made, write(tmp_path, made))
    model = keras_convnext.load(tmp_path / "model.tflite")
    with pytest.raises(ValueError, match="which are no probabilities"):
        model(IMAGES)


def test_several_tflite_files_are_named(tmp_path):
    for name in ("one.tflite", "two.tflite"):
        export_tflite(mean_colors(np.eye(3), "softmax"), tmp_path, name)
    with pytest.raises(
        ValueError, match=r"several models \(one\.tflite, two\.tflite\)"
    ):
        keras_convnext.load(tmp_path)
