"""What keras.applications calls the tensors of a ConvNeXt, in named h5 files.

Keras 2 writes "<group>/<layer>/kernel:0", Keras 3 "<group>/<layer>/kernel" with the
block's name once more in between for stem and downsampling; the layer's own name and
the variable's are the last two parts in both. Layers carry the model's name in
front, which is whatever its maker chose.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.table import Row, Table
from keras_convnext.weights.layouts import KERAS_GROUPED

_BLOCK = "stage{s}_block{b}"
_THEIR_BLOCK = "stage_{s}_block_{b}"


def _layer(ours: str, theirs: str) -> list[Row]:
    return [Row(f"{ours}/{name}", f"{theirs}/{name}") for name in ("kernel", "bias")]


def _norm(ours: str, theirs: str) -> list[Row]:
    return [Row(f"{ours}/{name}", f"{theirs}/{name}") for name in ("gamma", "beta")]


KERAS_APPLICATIONS = Table(
    dialect="keras_applications",
    layout=KERAS_GROUPED,
    cleaning=(
        (r":0$", ""),
        (r"^.*/(?=[^/]+/[^/]+$)", ""),
        (r"^.*?_(?=(stem|stage_\d+|downsampling|head)_)", ""),
        # Keras 3 does not know the name that LayerScale gives its one variable.
        (r"_layer_scale/variable(_\d+)?$", "_layer_scale/gamma"),
        # Without the top, the last norm goes by Keras' automatic name.
        (r"^layer_normalization(_\d+)?/", "head_layernorm/"),
    ),
    rows=(
        *_layer("stem_conv", "stem_conv"),
        *_norm("stem_norm", "stem_layernorm"),
        *_norm("stage{d}_downsample_norm", "downsampling_layernorm_{before}"),
        *_layer("stage{d}_downsample_conv", "downsampling_conv_{before}"),
        *_layer(f"{_BLOCK}_dwconv", f"{_THEIR_BLOCK}_depthwise_conv"),
        *_norm(f"{_BLOCK}_norm", f"{_THEIR_BLOCK}_layernorm"),
        *_layer(f"{_BLOCK}_expand", f"{_THEIR_BLOCK}_pointwise_conv_1"),
        *_layer(f"{_BLOCK}_project", f"{_THEIR_BLOCK}_pointwise_conv_2"),
        Row(f"{_BLOCK}_layer_scale/gamma", f"{_THEIR_BLOCK}_layer_scale/gamma"),
        *_norm("head_norm", "head_layernorm"),
        *_layer("head_dense", "head_dense"),
    ),
)
