"""Writes recorded.npz: what tensorflow-addons does, for the tests of this folder.

To be run by the interpreter of an environment that has tensorflow-cpu 2.15.1 and
tensorflow-addons 0.23.0, which cannot hold Keras 3, and so not the project either:

    .venv-addons/bin/python tests/addons/make_recorded.py recorded.npz

`make addons` makes the environment, runs this, and compares.
"""

import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # It says at every import that it is out of service.

import tensorflow as tf  # noqa: E402
import tensorflow_addons as tfa  # noqa: E402

# What both sides start from; the tests read it back from the file.
KEEP_PROBABILITY = 0.7
DRAWS = 2000
LEARNING_RATE, DECAY_OF_A_STEP, AVERAGE_DECAY, STEPS = 1e-2, 5e-4, 0.9, 30
# So small that it does not matter where it is added.
EPSILON = 1e-12
FILL = (124, 116, 104)
SIDE_PX = 64
# Height and width, and where the middle of the box lies.
CUTOUT_SIZE, CUTOUT_MIDDLE = (12, 20), (30, 25)


def stochastic_depth(made):
    shortcut = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    branch = np.linspace(3, 8, 6, dtype=np.float32).reshape(2, 3)
    layer = tfa.layers.StochasticDepth(KEEP_PROBABILITY)
    tf.keras.utils.set_random_seed(0)
    inputs = [tf.constant(shortcut), tf.constant(branch)]
    drawn = [layer(inputs, training=True).numpy() for _ in range(DRAWS)]
    made["depth/keep_probability"] = np.float64(KEEP_PROBABILITY)
    made["depth/shortcut"], made["depth/branch"] = shortcut, branch
    made["depth/training"] = np.stack(drawn[:50])
    made["depth/kept"] = np.mean([np.any(one != shortcut) for one in drawn])
    made["depth/draws"] = np.int64(DRAWS)
    made["depth/inference"] = layer(inputs, training=False).numpy()


def adamw_and_average(made):
    generator = np.random.default_rng(0)
    start = generator.normal(size=(5, 4)).astype(np.float32)
    gradients = generator.normal(size=(STEPS, 5, 4)).astype(np.float32)
    variable = tf.Variable(start)
    optimizer = tfa.optimizers.MovingAverage(
        tfa.optimizers.AdamW(
            weight_decay=DECAY_OF_A_STEP, learning_rate=LEARNING_RATE, epsilon=EPSILON
        ),
        average_decay=AVERAGE_DECAY,
    )
    values, averages = [], []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        values.append(variable.numpy())
        averages.append(optimizer.get_slot(variable, "average").numpy())
    made["adamw/start"], made["adamw/gradients"] = start, gradients
    made["adamw/values"], made["adamw/averages"] = np.stack(values), np.stack(averages)
    made["adamw/learning_rate"] = np.float64(LEARNING_RATE)
    made["adamw/decay_of_a_step"] = np.float64(DECAY_OF_A_STEP)
    made["adamw/average_decay"] = np.float64(AVERAGE_DECAY)
    made["adamw/epsilon"] = np.float64(EPSILON)


def smooth_image():
    """No detail finer than a few pixels: interpolations agree on it."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    waves = [
        np.sin(2 * np.pi * (across * columns + down * rows))
        for across, down in ((1, 0.3), (0.2, 1.2), (0.7, -0.8))
    ]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def noisy_image():
    generator = np.random.default_rng(1)
    ramp = np.linspace(20, 200, SIDE_PX)[:, None, None]
    noise = generator.normal(0, 25, (SIDE_PX, SIDE_PX, 3))
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)


def image_operations(made):
    smooth, noisy = smooth_image(), noisy_image()
    made["image/smooth"], made["image/noisy"] = smooth, noisy
    made["image/fill"] = np.array(FILL, np.uint8)
    made["image/equalize"] = tfa.image.equalize(tf.constant(noisy)).numpy()
    for factor in (0.1, 1.9):
        made[f"image/sharpness_{factor}"] = tfa.image.sharpness(
            tf.constant(noisy), factor
        ).numpy()
    for degrees in (90, 27, -13):
        made[f"image/rotate_{degrees}"] = tfa.image.rotate(
            tf.constant(smooth), np.radians(degrees), interpolation="bilinear"
        ).numpy()
    for level in (0.27, -0.21):
        made[f"image/shear_x_{level}"] = tfa.image.shear_x(
            tf.constant(smooth), level, list(FILL)
        ).numpy()
        made[f"image/shear_y_{level}"] = tfa.image.shear_y(
            tf.constant(smooth), level, list(FILL)
        ).numpy()
    for name, offset in (("x", [16, 0]), ("y", [0, -8])):
        made[f"image/translate_{name}"] = tfa.image.translate_xy(
            tf.constant(noisy), offset, list(FILL)
        ).numpy()
    blends(made, noisy)
    made["image/cutout"] = tfa.image.cutout(
        tf.ones((1, SIDE_PX, SIDE_PX, 1), tf.uint8),
        CUTOUT_SIZE,
        offset=CUTOUT_MIDDLE,
        constant_values=0,
    ).numpy()[0, :, :, 0]
    made["image/cutout_size"] = np.array(CUTOUT_SIZE, np.int32)
    made["image/cutout_middle"] = np.array(CUTOUT_MIDDLE, np.int32)


def blends(made, image):
    """What RandAugment made of addons' `blend`: color, contrast and brightness."""
    gray = tf.image.rgb_to_grayscale(tf.constant(image))
    mean = tf.round(tf.reduce_mean(tf.cast(gray, tf.float32)))
    plain = {
        "color": tf.tile(gray, [1, 1, 3]),
        "contrast": tf.fill(image.shape, mean),
        "brightness": tf.zeros(image.shape),
    }
    for name, without in plain.items():
        for factor in (0.1, 1.9):
            blended = tfa.image.blend(without, tf.constant(image), factor)
            made[f"image/{name}_{factor}"] = blended.numpy().astype(np.uint8)


def main(path):
    made = {}
    stochastic_depth(made)
    adamw_and_average(made)
    image_operations(made)
    with open(path, "wb") as file:
        np.savez_compressed(file, **made)


if __name__ == "__main__":
    main(sys.argv[1])
