"""A network whose answers can be computed by hand, and images of one color each."""

import json

import keras
import numpy as np

SIDE_PX = 16
# One bright color an image, at the network's own size: nothing is left to resizing.
COLORS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
IMAGES = np.repeat(np.repeat(COLORS[:, None, None], SIDE_PX, 1), SIDE_PX, 2)
NAMES = ("red", "green", "blue")
# A logit for each channel: its mean, over 51, so that 255 becomes 5.
LOGITS = 5 * np.eye(3)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def mean_colors(kernel, activation=None, scale=1 / 51, finish=None, dtype="float32"):
    """A network whose outputs are the mean colors, scaled, times a kernel."""
    inputs = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = keras.layers.Rescaling(scale, dtype=dtype)(inputs) if scale else inputs
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    dense = keras.layers.Dense(np.shape(kernel)[1], activation, dtype=dtype)
    x = dense(x)
    dense.set_weights([np.array(kernel), np.zeros(np.shape(kernel)[1])])
    return keras.Model(inputs, finish(x) if finish else x)


def write(folder, model, labels=NAMES, preprocessing=True):
    model.save(folder / "model.keras")
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels))
    if preprocessing:
        record = {"size_px": SIDE_PX, "crop_fraction": 1.0}
        (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


def scores_of(model, images=IMAGES):
    """The scores in the order of the model's labels."""
    told = [dict(answers) for answers in model(images, top=100)]
    return np.array([[row[name] for name in model.labels] for row in told])
