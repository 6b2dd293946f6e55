"""Compares FCMAE's encoder with spconv, an engine of truly sparse convolutions.

spconv 2.3.8 has a wheel for processors; it and torch go into an environment of their
own. In the project's, then in that one:

    python -m tests.keras_convnext.pretraining.against_spconv /tmp/encoder.npz
    /tmp/spconv/bin/python tests/keras_convnext/pretraining/against_spconv.py \
        /tmp/encoder.npz

The first writes random weights, images and features of the visible patches of the whole
Atto encoder, the second computes the features anew and prints how far they are apart.
"""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np

SHAPE = (128, 160, 3)
PATCH_PX = 32
VISIBLE = 8
EPSILON = 1e-6


def write(path: Path) -> None:
    """Writes what the library computes."""
    from keras_convnext.pretraining import FCMAE
    from tests.checks import random_images
    from tests.keras_convnext.pretraining.test_fcmae import draw_weights, encode

    grid = SHAPE[0] // PATCH_PX, SHAPE[1] // PATCH_PX
    random = np.random.default_rng(3)
    order = [random.permutation(grid[0] * grid[1]) for _ in range(2)]
    order = np.stack(order).astype("int32")
    images = random_images(2, *SHAPE[:2])
    model = draw_weights(FCMAE(input_shape=SHAPE, seed=0))
    normalized = model.encoder.get_layer("input_normalization")(images)
    features = {
        form: encode(model, images, order, form, VISIBLE, grid)
        for form in ("dense", "gathered")
    }
    weights = {v.path: np.asarray(v) for v in model.encoder.trainable_variables}
    np.savez(path, images=normalized, order=order, **features, **weights)


def compare(path: Path) -> None:
    """Computes the features with spconv and prints the differences."""
    # Its threads add to the same numbers, and lose some: two runs differ.
    os.environ["OMP_NUM_THREADS"] = "1"
    import spconv.pytorch as spconv
    import torch
    from torch.nn.functional import gelu, layer_norm

    arrays = {name: torch.tensor(array) for name, array in np.load(path).items()}
    grid = SHAPE[0] // PATCH_PX, SHAPE[1] // PATCH_PX
    order, images = arrays["order"], arrays["images"]
    is_visible = torch.zeros(2, grid[0] * grid[1], dtype=torch.bool)
    is_visible.scatter_(1, order[:, :VISIBLE].long(), True)
    pixels = is_visible.reshape(2, *grid).repeat_interleave(PATCH_PX, 1)
    pixels = pixels.repeat_interleave(PATCH_PX, 2)
    # Strided indices give wrong numbers without a word.
    indices = pixels.nonzero().int().contiguous()
    x = spconv.SparseConvTensor(images[pixels].contiguous(), indices, SHAPE[:2], 2)

    def convolve(x, name, kernel, **options):
        """A sparse convolution with a kernel `(out, height, width, in)`."""
        kind = spconv.SubMConv2d if not options else spconv.SparseConv2d
        layer = kind(kernel.shape[3], kernel.shape[0], kernel.shape[1], **options)
        layer.weight.data = kernel.contiguous()
        layer.bias.data = arrays[f"{name}/bias"]
        return layer(x)

    def cut(x, name, side):
        kernel = arrays[f"{name}/kernel"].permute(3, 0, 1, 2)
        return convolve(x, name, kernel, stride=side)

    def norm(features, name):
        gamma, beta = arrays[f"{name}/gamma"], arrays[f"{name}/beta"]
        return layer_norm(features, gamma.shape, gamma, beta, EPSILON)

    def dense(features, name):
        return features @ arrays[f"{name}/kernel"] + arrays[f"{name}/bias"]

    def block(x, name):
        depthwise = arrays[f"{name}_dwconv/kernel"][..., 0]
        diagonal = torch.diag_embed(depthwise).permute(2, 0, 1, 3)
        y = convolve(x, f"{name}_dwconv", diagonal)
        hidden = gelu(dense(norm(y.features, f"{name}_norm"), f"{name}_expand"))
        for number in range(2):
            own = y.indices[:, 0] == number
            response = hidden[own].norm(dim=0)
            share = response / (response.mean() + EPSILON)
            gamma, beta = arrays[f"{name}_grn/gamma"], arrays[f"{name}_grn/beta"]
            hidden[own] = gamma * (hidden[own] * share) + beta + hidden[own]
        # Both have the same positions in the same order.
        assert torch.equal(y.indices, x.indices)
        return x.replace_feature(x.features + dense(hidden, f"{name}_project"))

    with torch.no_grad():
        x = cut(x, "stem_conv", 4)
        x = x.replace_feature(norm(x.features, "stem_norm"))
        for stage, depth in enumerate((2, 2, 6, 2)):
            if stage:
                name = f"stage{stage}_downsample"
                x = x.replace_feature(norm(x.features, f"{name}_norm"))
                x = cut(x, f"{name}_conv", 2)
            for index in range(depth):
                x = block(x, f"stage{stage}_block{index}")
    # Patches are positions now.
    whole = x.dense().permute(0, 2, 3, 1).reshape(2, grid[0] * grid[1], -1)
    chosen = order[:, :VISIBLE, None].long().expand(-1, -1, whole.shape[-1])
    expected = torch.gather(whole, 1, chosen)
    scale = expected.abs().max()
    for form in ("dense", "gathered"):
        apart = (arrays[form] - expected).abs().max()
        print(f"{form}: {apart / scale:.2e} of the largest feature, {scale:.2f}")


if __name__ == "__main__":
    has_spconv = importlib.util.find_spec("spconv") is not None
    (compare if has_spconv else write)(Path(sys.argv[1]))
