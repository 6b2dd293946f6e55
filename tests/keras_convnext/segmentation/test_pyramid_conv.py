"""The convolution over maps of several sizes against the map that it never makes."""

import keras
import numpy as np
import pytest

from keras_convnext.segmentation import PyramidConv2D


def resized(x, height, width):
    """Bilinear, half-pixel centers, by its formula, in float64."""
    for axis, length in ((1, height), (2, width)):
        size = x.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def convolved(x, kernel, bias):
    """A convolution with zeros around the map, by its formula."""
    rows, columns = kernel.shape[:2]
    before = [((side - 1) // 2, side // 2) for side in (rows, columns)]
    around = np.pad(x, ((0, 0), *before, (0, 0)))
    height, width = x.shape[1:3]
    total = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            total += around[:, i : i + height, j : j + width] @ kernel[i, j]
    return total + bias


@pytest.mark.parametrize("kernel_size", [1, 2, 3, (5, 3)])
@pytest.mark.parametrize(
    "sizes",
    [
        [(16, 24), (8, 12), (4, 6), (2, 3)],
        # Odd sizes, no whole factors, one position, and maps as large as the first.
        [(17, 11), (9, 6), (5, 3), (1, 1)],
        [(6, 5), (6, 5), (1, 2), (6, 1)],
        [(4, 4)],
    ],
)
def test_it_is_the_convolution_of_the_resized_maps(sizes, kernel_size):
    random = np.random.default_rng(0)
    maps = [
        random.normal(size=(2, *size, 3 + index)) for index, size in enumerate(sizes)
    ]
    layer = PyramidConv2D(4, kernel_size, dtype="float64")
    layer.build([each.shape for each in maps])
    layer.bias.assign(random.normal(size=4))
    kernel, bias = map(keras.ops.convert_to_numpy, (layer.kernel, layer.bias))
    whole = np.concatenate([resized(each, *sizes[0]) for each in maps], axis=-1)
    expected = convolved(whole, kernel, bias)
    # The weights of the positions are made in float32.
    found = keras.ops.convert_to_numpy(layer(maps))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sizes_may_be_open_and_the_layer_is_saved_and_loaded(tmp_path):
    image = [keras.Input((None, None, 2)), keras.Input((None, None, 3))]
    model = keras.Model(image, PyramidConv2D(4, 3, activation="relu")(image))
    assert model.output_shape == (None, None, None, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    random = np.random.default_rng(0)
    for large, small in ((8, 4), (9, 5)):
        maps = [
            random.normal(size=(1, large, large + 1, 2)),
            random.normal(size=(1, small, small, 3)),
        ]
        outputs = model.predict(maps, verbose=0)
        assert outputs.shape == (1, large, large + 1, 4)
        assert outputs.min() == 0 < outputs.max()
        np.testing.assert_array_equal(loaded.predict(maps, verbose=0), outputs)


def test_gradients_are_those_of_the_resized_maps():
    # Linear in kernel and maps, so a step of any length gives the slope exactly.
    random = np.random.default_rng(0)
    maps = [random.normal(size=(1, 6, 7, 2)), random.normal(size=(1, 3, 2, 3))]
    targets = random.normal(size=(1, 6, 7, 4))
    layer = PyramidConv2D(4, 3, use_bias=False, dtype="float64")
    layer.build([each.shape for each in maps])
    inputs = [keras.Input(each.shape[1:], dtype="float64") for each in maps]
    model = keras.Model(inputs, layer(inputs))
    before = keras.ops.convert_to_numpy(layer.kernel)
    model.compile(keras.optimizers.SGD(0.5), loss="mse")
    model.train_on_batch(maps, targets)
    whole = np.concatenate([maps[0], resized(maps[1], 6, 7)], axis=-1)
    error = convolved(whole, before, 0) - targets
    around = np.pad(whole, ((0, 0), (1, 1), (1, 1), (0, 0)))
    slope = np.zeros(before.shape)
    for i in range(3):
        for j in range(3):
            slope[i, j] = np.einsum(
                "bhwc,bhwf->cf", around[:, i : i + 6, j : j + 7], error
            )
    expected = before - 0.5 * 2 * slope / error.size
    found = keras.ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_moves_the_window_is_refused():
    with pytest.raises(ValueError, match="no strides, dilation or groups"):
        PyramidConv2D(4, 3, strides=2)
