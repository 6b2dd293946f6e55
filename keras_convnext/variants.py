"""Every published ConvNeXt as one row: the table of shapes.

A row says what a model is built like, never which weights it has. Adding a
variant is adding a row; nothing else in the library knows a variant's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_convnext._find_by_name import find_by_name, match_names

PAPER_V1 = "arXiv:2201.03545"
PAPER_V2 = "arXiv:2301.00808"
TIMM = "timm"
OPEN_CLIP = "OpenCLIP, by way of timm"


@dataclass(frozen=True)
class StemConv:
    """One convolution of a stem.

    Attributes:
        kernel_px: Side of the square kernel.
        stride_px: Step between positions.
        padding_px: Zeros added on each side (explicit, symmetric).
        width: Output channels; `None` is the first stage's width.

    Example:
        >>> from keras_convnext.variants import VARIANTS
        >>> VARIANTS["convnext_tiny"].stem[0].kernel_px
        4
    """

    kernel_px: int
    stride_px: int
    padding_px: int = 0
    width: int | None = None


def patchify(patch_px: int) -> tuple[StemConv, str]:
    """Returns a stem that cuts the image into patches.

    Args:
        patch_px: Side of a patch, in pixels.

    Example:
        >>> from keras_convnext.variants import patchify
        >>> patchify(4)
        (StemConv(kernel_px=4, stride_px=4, padding_px=0, width=None), 'norm')
    """
    return (StemConv(patch_px, patch_px), "norm")


def overlap(first_width: int | None = None) -> tuple[StemConv, StemConv, str]:
    """Returns timm's overlapping stem: two 3x3 convolutions of stride 2.

    Args:
        first_width: Channels between the two; `None` is the first stage's width.

    Example:
        >>> from keras_convnext.variants import overlap
        >>> [part.stride_px for part in overlap()[:2]]
        [2, 2]
    """
    return (StemConv(3, 2, 1, first_width), StemConv(3, 2, 1), "norm")


@dataclass(frozen=True)
class Variant:
    """The shape of one ConvNeXt.

    Attributes:
        name: What `create` and `list_variants` call it.
        depths: Blocks in each stage. One entry makes an isotropic network.
        widths: Channels in each stage.
        parameters: Trainable parameters with a 1000-class head, as published.
        source: Where the shape was published.
        stem: Convolutions and the words "norm" and "gelu", in order.
        head: The words "pool", "norm" and "hidden" (a dense layer as wide as
            the last stage, with GELU), in order; the classifier follows.
        kernel_sizes: Side of the depthwise kernel in each stage, in positions.
        norm: "layer", "rms" or "simple".
        norm_epsilon: Added to the variance in every norm.
        layer_scale_init_value: What LayerScale starts with; `None`: no such layer.
        grn: Whether blocks have Global Response Normalization (V2).
        activation: "gelu" (exact), "gelu_tanh" or "silu".

    Example:
        >>> from dataclasses import replace
        >>> from keras_convnext.variants import VARIANTS
        >>> replace(VARIANTS["convnext_atto"], depths=(1, 1, 3, 1)).widths
        (40, 80, 160, 320)
    """

    name: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    parameters: int
    source: str
    stem: tuple[StemConv | str, ...] = patchify(4)
    head: tuple[str, ...] = ("pool", "norm")
    kernel_sizes: tuple[int, ...] = (7, 7, 7, 7)
    norm: str = "layer"
    norm_epsilon: float = 1e-6
    layer_scale_init_value: float | None = 1e-6
    grn: bool = False
    activation: str = "gelu"

    @property
    def stem_stride_px(self) -> int:
        """Pixels of the image that one position after the stem stands for."""
        stride = 1
        for part in self.stem:
            if isinstance(part, StemConv):
                stride *= part.stride_px
        return stride


EXPANSION = 4  # the inverted bottleneck's inner width over its outer one


def multiply_accumulates(
    variant: Variant, size_px: int = 224, classes: int = 1000, channels: int = 3
) -> int:
    """Returns the multiplications of one forward pass, convolutions and dense layers.

    What papers print as "FLOPs". Norms, activations and biases are not counted.

    Args:
        variant: The shape.
        size_px: Side of the square input image, in pixels.
        classes: Classes of the head; 0 for no classifier.
        channels: Channels of the input image.

    Example:
        >>> from keras_convnext.variants import VARIANTS, multiply_accumulates
        >>> round(multiply_accumulates(VARIANTS["convnext_tiny"]) / 1e9, 2)
        4.46
    """
    total, side, width = 0, size_px, channels
    for part in variant.stem:
        if isinstance(part, StemConv):
            side = (side + 2 * part.padding_px - part.kernel_px) // part.stride_px + 1
            out = part.width or variant.widths[0]
            total += side**2 * part.kernel_px**2 * width * out
            width = out
    rows = zip(variant.depths, variant.widths, variant.kernel_sizes, strict=False)
    for stage, (depth, out, kernel_px) in enumerate(rows):
        if stage:
            side //= 2
            total += side**2 * 4 * width * out
            width = out
        block = kernel_px**2 * width + 2 * EXPANSION * width**2
        total += side**2 * depth * block
    if "hidden" in variant.head:
        total += width**2
    return total + width * classes


_SMALL_DEPTHS = (3, 3, 27, 3)
_MINI_DEPTHS = (2, 2, 6, 2)
_NANO_DEPTHS = (2, 2, 8, 2)
_ATTO = (40, 80, 160, 320)
_FEMTO = (48, 96, 192, 384)
_PICO = (64, 128, 256, 512)
_NANO = (80, 160, 320, 640)
_TINY = (96, 192, 384, 768)
_BASE = (128, 256, 512, 1024)
_LARGE = (192, 384, 768, 1536)

_V1 = (
    Variant("convnext_atto", _MINI_DEPTHS, _ATTO, 3_695_520, TIMM),
    Variant("convnext_femto", _MINI_DEPTHS, _FEMTO, 5_217_784, TIMM),
    Variant("convnext_pico", _MINI_DEPTHS, _PICO, 9_045_672, TIMM),
    Variant("convnext_nano", _NANO_DEPTHS, _NANO, 15_593_560, TIMM),
    Variant("convnext_tiny", (3, 3, 9, 3), _TINY, 28_589_128, PAPER_V1),
    Variant("convnext_small", _SMALL_DEPTHS, _TINY, 50_223_688, PAPER_V1),
    Variant("convnext_base", _SMALL_DEPTHS, _BASE, 88_591_464, PAPER_V1),
    Variant("convnext_large", _SMALL_DEPTHS, _LARGE, 197_767_336, PAPER_V1),
    Variant(
        "convnext_xlarge", _SMALL_DEPTHS, (256, 512, 1024, 2048), 350_196_968, PAPER_V1
    ),
    Variant(
        "convnext_xxlarge",
        (3, 4, 30, 3),
        (384, 768, 1536, 3072),
        846_471_016,
        OPEN_CLIP,
        norm_epsilon=1e-5,
    ),
    Variant(
        "convnext_atto_ols", _MINI_DEPTHS, _ATTO, 3_702_912, TIMM, stem=overlap(24)
    ),
    Variant(
        "convnext_femto_ols", _MINI_DEPTHS, _FEMTO, 5_226_520, TIMM, stem=overlap(24)
    ),
    Variant(
        "convnext_pico_ols", _MINI_DEPTHS, _PICO, 9_061_928, TIMM, stem=overlap(32)
    ),
    Variant("convnext_nano_ols", _NANO_DEPTHS, _NANO, 15_649_560, TIMM, stem=overlap()),
    Variant(
        "convnext_tiny_hnf",
        (3, 3, 9, 3),
        _TINY,
        28_589_128,
        TIMM,
        head=("norm", "pool"),
    ),
    Variant(
        "convnext_large_mlp",
        _SMALL_DEPTHS,
        _LARGE,
        200_128_168,
        OPEN_CLIP,
        head=("pool", "norm", "hidden"),
    ),
    Variant("convnext_atto_rms", _MINI_DEPTHS, _ATTO, 3_693_040, TIMM, norm="rms"),
    Variant(
        "convnext_zepto_rms",
        (2, 2, 4, 2),
        (32, 64, 128, 256),
        2_155_656,
        TIMM,
        norm="simple",
    ),
    Variant(
        "convnext_zepto_rms_ols",
        (2, 2, 4, 2),
        (32, 64, 128, 256),
        2_164_232,
        TIMM,
        norm="simple",
        stem=(StemConv(3, 2, 1), "gelu", StemConv(3, 2, 1), "norm"),
    ),
)


def _v2(
    size: str,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    parameters: int,
    source: str = PAPER_V2,
) -> Variant:
    return Variant(
        f"convnextv2_{size}",
        depths,
        widths,
        parameters,
        source,
        layer_scale_init_value=None,
        grn=True,
    )


_V2 = (
    _v2("atto", _MINI_DEPTHS, _ATTO, 3_708_400),
    _v2("femto", _MINI_DEPTHS, _FEMTO, 5_233_240),
    _v2("pico", _MINI_DEPTHS, _PICO, 9_066_280),
    _v2("nano", _NANO_DEPTHS, _NANO, 15_623_800),
    _v2("tiny", (3, 3, 9, 3), _TINY, 28_635_496),
    _v2("small", _SMALL_DEPTHS, _TINY, 50_318_440, TIMM),
    _v2("base", _SMALL_DEPTHS, _BASE, 88_717_800),
    _v2("large", _SMALL_DEPTHS, _LARGE, 197_956_840),
    _v2("huge", _SMALL_DEPTHS, (352, 704, 1408, 2816), 660_289_640),
)


def _isotropic(
    size: str, depth: int, width: int, parameters: int, layer_scale: float | None
) -> Variant:
    return Variant(
        f"convnext_isotropic_{size}",
        (depth,),
        (width,),
        parameters,
        f"{PAPER_V1}, table 2",
        stem=(StemConv(16, 16),),
        kernel_sizes=(7,),
        layer_scale_init_value=layer_scale,
    )


_ISOTROPIC = (
    _isotropic("small", 18, 384, 22_308_712, None),
    _isotropic("base", 18, 768, 87_083_752, None),
    _isotropic("large", 36, 1024, 305_942_504, 1e-6),
)

VARIANTS: dict[str, Variant] = {
    variant.name: variant for variant in (*_V1, *_V2, *_ISOTROPIC)
}

# timm's miniature networks for testing; they can be created, but are not listed.
TEST_VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            "test_convnext",
            (1, 2, 4, 2),
            (24, 32, 48, 64),
            272_128,
            TIMM,
            norm_epsilon=1e-5,
            activation="gelu_tanh",
        ),
        Variant(
            "test_convnext2",
            (1, 1, 1, 1),
            (32, 64, 96, 128),
            477_800,
            TIMM,
            norm_epsilon=1e-5,
            activation="gelu_tanh",
        ),
        Variant(
            "test_convnext3",
            (1, 1, 1, 1),
            (32, 64, 96, 128),
            468_840,
            TIMM,
            kernel_sizes=(7, 5, 5, 3),
            norm_epsilon=1e-5,
            activation="silu",
        ),
    )
}


def find_variant(name: str) -> Variant:
    """Returns the row called `name`.

    Raises:
        ValueError: There is none; the message names the closest three.
    """
    rows = {**VARIANTS, **TEST_VARIANTS}
    listing = "keras_convnext.list_variants"
    return find_by_name(name, rows, "ConvNeXt variant", listing, hidden="test_")


def list_variants(pattern: str = "*") -> list[str]:
    """Returns the names of the variants that match a shell-style pattern.

    Args:
        pattern: For example "convnextv2_*" or "*_ols"; case does not matter.

    Example:
        >>> import keras_convnext
        >>> keras_convnext.list_variants("convnext_tiny*")
        ['convnext_tiny', 'convnext_tiny_hnf']
    """
    return match_names(VARIANTS, pattern)
