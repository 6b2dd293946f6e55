"""FCMAE: a ConvNeXt V2 that learns from images alone, by filling in masked patches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_convnext import blocks
from keras_convnext.initializers import fill
from keras_convnext.layer_factory import LayerFactory
from keras_convnext.models import SEEDS_OF_BACKBONE, build, with_patches
from keras_convnext.preprocessing import IMAGENET, Preprocessing
from keras_convnext.pretraining.masked_encoder import check_stem, encode, patch_side
from keras_convnext.pretraining.masking import count_visible, draw_orders
from keras_convnext.pretraining.reconstruction import (
    cut_patches,
    reconstruct,
    reconstruction_losses,
    take_patches,
)
from keras_convnext.pretraining.visible_maps import DenseMap, GatheredMap
from keras_convnext.variants import Variant, find_variant

# Source: arXiv:2301.00808, section 3.1: one block of 512 channels.
DECODER_WIDTH = 512
_DECODER_KERNEL = 7
# Source: the official code, for the learnt token as for every kernel.
_DEVIATION = 0.02


@keras.saving.register_keras_serializable(package="keras_convnext")
class FCMAE(keras.Model):
    """A fully convolutional masked autoencoder: pre-training without labels.

    An image is cut into patches of 32 pixels. The encoder, a ConvNeXt, sees a random
    few of them, the same number in every image; a small decoder predicts the pixels of
    the others. `fit(images)` trains it, and `encoder` is then what was learnt: an
    ordinary network to fine-tune.

    Called with images `(batch, height, width, 3)` in 0..255 it draws which patches are
    visible. Called with a dictionary of "image" and "order", int32 `(batch, patches)`
    as from `draw_orders`, it takes those. It returns a dictionary: "loss", float32
    `(batch,)`, and "predictions" `(batch, masked, numbers)` of the masked patches in
    their order, each normalized, in the order of row, column and channel.

    Kernels begin as the paper says, with deviation 0.02. (The released code draws some
    with deviation 1; its fine-tuning has been seen to fail.) GRN looks at one image, as
    in fine-tuning and in the authors' JAX code; their PyTorch code looks at the visible
    positions of all images of a device together.

    Args:
        backbone: A variant, "convnextv2_atto" or another of
            `keras_convnext.list_variants()` whose stem cuts patches; or a published
            checkpoint, "convnextv2_atto.fcmae", whose weights the encoder starts from.
        mask_ratio: Share of the patches that is masked, in (0, 1).
        weights: None, or what the encoder starts from: a file, or a tag as "fcmae".
        input_shape: `(height, width, channels)`, multiples of the patches' side.
        decoder_width: Channels of the decoder.
        patch_size: Side of the stem's patches in pixels in place of the variant's 4.
            The masked patches are 8 times as wide.
        stochastic_depth_rate: Probability of dropping the last block's branch while
            training; the paper drops none.
        layer_scale_init_value: What LayerScale starts with, in variants that have it.
        is_gathered: Whether norms, dense layers and GRN compute on the visible patches
            alone, gathered side by side. Without it they compute on whole maps, as in
            the authors' JAX code: the same numbers, at more than twice the cost.
        preprocessing: Mean and standard deviation of the images; ImageNet's, unless
            given.
        seed: Makes initial weights and drawn masks repeatable.
        name: The model's name; "fcmae_" and the variant's, unless given.
        dtype: Dtype policy of the layers; pixels, targets and loss are float32.

    Attributes:
        encoder: The variant up to its last stage, images to `(batch, h, w, channels)`.
            Its last norm, which pre-training has no use for, is not in it.

    Raises:
        ValueError: There is no such backbone, or the image has no patches of it.

    Source: arXiv:2301.00808, section 3.1; github.com/facebookresearch/ConvNeXt-V2.

    Example:
        >>> import numpy as np
        >>> import keras_convnext
        >>> model = keras_convnext.FCMAE("convnextv2_atto", input_shape=(64, 96, 3))
        >>> outputs = model(np.zeros((2, 64, 96, 3), "float32"))
        >>> tuple(outputs["predictions"].shape)  # 4 of 6 patches of 32 x 32 x 3 numbers
        (2, 4, 3072)
    """

    def __init__(
        self,
        backbone: str = "convnextv2_atto",
        mask_ratio: float = 0.6,
        *,
        weights: Any = None,
        input_shape: tuple[int, int, int] = (224, 224, 3),
        decoder_width: int = DECODER_WIDTH,
        patch_size: int | None = None,
        stochastic_depth_rate: float = 0.0,
        layer_scale_init_value: float | Literal["variant"] | None = "variant",
        is_gathered: bool = True,
        preprocessing: Preprocessing | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        architecture, _, tag = backbone.partition(".")
        grid = patch_grid(architecture, mask_ratio, input_shape, patch_size)
        variant = _find(architecture, patch_size)
        super().__init__(
            name=name or f"fcmae_{architecture}", dtype=dtype, autocast=False
        )
        self._variant, self._grid = variant, grid
        self._visible = count_visible(grid[0] * grid[1], mask_ratio)
        self._preprocessing = preprocessing or IMAGENET
        self._map = GatheredMap if is_gathered else DenseMap
        self._arguments = {
            "backbone": architecture,
            "mask_ratio": mask_ratio,
            "input_shape": tuple(input_shape),
            "decoder_width": decoder_width,
            "patch_size": patch_size,
            "stochastic_depth_rate": stochastic_depth_rate,
            "layer_scale_init_value": layer_scale_init_value,
            "is_gathered": is_gathered,
            "seed": seed,
        }
        network = build(
            variant,
            include_top=False,
            weights=weights or tag or None,
            input_shape=input_shape,
            stochastic_depth_rate=stochastic_depth_rate,
            layer_scale_init_value=layer_scale_init_value,
            preprocessing=self._preprocessing,
            seed=seed,
            dtype=dtype,
        )
        last = f"stage{len(variant.depths) - 1}_block{variant.depths[-1] - 1}_add"
        self.encoder = keras.Model(
            network.input, network.get_layer(last).output, name=architecture
        )
        self._add_decoder(decoder_width, input_shape[-1], seed)
        self.mask_seeds = keras.random.SeedGenerator(seed)
        self.built = True

    def _add_decoder(self, width: int, channels: int, seed: int | None) -> None:
        seeds: Iterator[int | None] = itertools.repeat(None)
        if seed is not None:
            seeds = itertools.count(seed + SEEDS_OF_BACKBONE)
        block = replace(
            self._variant,
            depths=(1,),
            widths=(width,),
            kernel_sizes=(_DECODER_KERNEL,),
            norm="layer",
            layer_scale_init_value=None,
            grn=True,
            activation="gelu",
        )
        factory = LayerFactory(block, self.dtype_policy, seeds)
        self.decoder_projection = factory.dense(width, "decoder_projection")
        self.decoder_projection.build((None, *self._grid, self._variant.widths[-1]))
        self.mask_token = self.add_weight(
            name="mask_token",
            shape=(width,),
            initializer=keras.initializers.RandomNormal(0.0, _DEVIATION, next(seeds)),
        )
        x = y = keras.Input((*self._grid, width), dtype=self.compute_dtype)
        for layer in blocks.branch(factory, 0, "decoder_block0", dilation=1):
            y = layer(y)
        add = keras.layers.Add(name="decoder_block0_add", dtype=self.dtype_policy)
        self.decoder_block = keras.Model(x, add([x, y]), name="decoder_block0")
        numbers = self.patch_px**2 * channels
        self.decoder_prediction = factory.dense(numbers, "decoder_prediction")
        self.decoder_prediction.build((None, None, width))
        fill(self)

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return self._grid[0] * self._grid[1]

    @property
    def visible_patches(self) -> int:
        """How many of them the encoder sees."""
        return self._visible

    @property
    def patch_px(self) -> int:
        """Side of a patch in pixels."""
        return patch_side(self._variant)

    @property
    def preprocessing(self) -> Preprocessing:
        """Whose mean and deviation images are normalized with."""
        return self._preprocessing

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        images, order = inputs, None
        if isinstance(inputs, Mapping):
            images, order = inputs["image"], ops.cast(inputs["order"], "int32")
        images = ops.cast(images, "float32")
        if order is None:
            order = draw_orders(ops.shape(images)[0], self.patches, self.mask_seeds)
        normalized = self.encoder.get_layer("input_normalization")(images)
        make_map = partial(self._map.at, order, self.visible_patches, self._grid)
        visible = encode(self.encoder, self._variant, normalized, make_map)
        masked = order[:, self.visible_patches :]
        # Visible patches are not predicted: the loss does not look at them.
        features = take_patches(self._decode(visible, order), masked)
        predictions = ops.cast(self.decoder_prediction(features), "float32")
        targets = take_patches(cut_patches(normalized, self.patch_px), masked)
        return {
            "loss": reconstruction_losses(targets, predictions),
            "predictions": predictions,
        }

    def _decode(self, visible: Any, order: Any) -> Any:
        """Returns the decoder's features of all patches, `(batch, patches, width)`.

        Args:
            visible: The encoder's features, in the form of its maps.
            order: Of the patches.
        """
        where = (order, self.visible_patches, self._grid, 1)
        x = self._map.at(*where).spread(self.decoder_projection(visible))
        is_masked = 1.0 - DenseMap.at(*where).mask
        x = x + ops.cast(is_masked * self.mask_token, x.dtype)
        x = self.decoder_block(x)
        return ops.reshape(x, (-1, self.patches, x.shape[-1]))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Returns the mean of the images' losses, which `fit` makes small."""
        return ops.mean(y_pred["loss"])

    def reconstruct(
        self, images: Any, order: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns images as the encoder sees them, and with predictions in the gaps.

        Args:
            images: `(batch, height, width, channels)` in 0..255.
            order: Of their patches, as from `draw_orders`; None draws one.

        Returns:
            Two arrays of uint8 `(batch, height, width, channels)`; see
            `keras_convnext.pretraining.reconstruct`.
        """
        if order is None:
            order = draw_orders(len(images), self.patches, self.mask_seeds)
        outputs = self({"image": images, "order": order}, training=False)
        predictions = ops.convert_to_numpy(outputs["predictions"])
        order = ops.convert_to_numpy(order)
        return reconstruct(images, order, predictions, self._preprocessing)

    def get_config(self) -> dict[str, Any]:
        return {
            **self._arguments,
            "preprocessing": asdict(self._preprocessing),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FCMAE:
        preprocessing = Preprocessing(**_tuples(config["preprocessing"]))
        return cls(**{**_tuples(config), "preprocessing": preprocessing})


def patch_grid(
    backbone: str,
    mask_ratio: float,
    input_shape: tuple[int, int, int],
    patch_size: int | None = None,
) -> tuple[int, int]:
    """Returns how many rows and columns of patches FCMAE cuts an image into.

    Args:
        backbone: As `FCMAE` takes it.
        mask_ratio: As there.
        input_shape: As there.
        patch_size: As there.

    Raises:
        ValueError: FCMAE cannot be built so.
    """
    variant = _find(backbone.partition(".")[0], patch_size)
    check_stem(variant)
    side = patch_side(variant)
    height, width, _ = input_shape
    if height % side or width % side:
        raise ValueError(
            f"FCMAE with {variant.name} masks patches of {side} pixels: height and "
            f"width are to be multiples of {side}, and they are {height} and {width}."
        )
    count_visible(height // side * (width // side), mask_ratio)
    return height // side, width // side


def _find(architecture: str, patch_size: int | None) -> Variant:
    variant = find_variant(architecture)
    return variant if patch_size is None else with_patches(variant, patch_size)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values as they were before they were JSON, which has no tuples."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
