"""What other implementations call their parameters, in this project's words.

Written for the comparisons alone and apart from the library's own tables, which load
published files: a mistake in one of the two shows.
"""

import re
from collections.abc import Mapping

import numpy as np

_STAGE_AND_BLOCK = r"stage\1_block\2"
# Patterns of a parameter's module, tried in order.
LAYERS: dict[str, tuple[tuple[str, str], ...]] = {
    "timm": (
        (r"stages\.(\d+)\.downsample\.0", r"stage\1_downsample_norm"),
        (r"stages\.(\d+)\.downsample\.1", r"stage\1_downsample_conv"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw", _STAGE_AND_BLOCK + "_dwconv"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.norm", _STAGE_AND_BLOCK + "_norm"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc1", _STAGE_AND_BLOCK + "_expand"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.grn", _STAGE_AND_BLOCK + "_grn"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc2", _STAGE_AND_BLOCK + "_project"),
        (r"stages\.(\d+)\.blocks\.(\d+)", _STAGE_AND_BLOCK + "_layer_scale"),
        (r"norm_pre|head\.norm", "head_norm"),
        (r"head\.pre_logits\.fc", "head_hidden"),
        (r"head\.fc", "head_dense"),
    ),
    "meta": (
        (r"downsample_layers\.0\.0|stem", "stem_conv"),
        (r"downsample_layers\.0\.1", "stem_norm"),
        (r"downsample_layers\.(\d+)\.0", r"stage\1_downsample_norm"),
        (r"downsample_layers\.(\d+)\.1", r"stage\1_downsample_conv"),
        (r"stages\.(\d+)\.(\d+)\.(dwconv|norm|grn)", _STAGE_AND_BLOCK + r"_\3"),
        (r"stages\.(\d+)\.(\d+)\.pwconv1", _STAGE_AND_BLOCK + "_expand"),
        (r"stages\.(\d+)\.(\d+)\.pwconv2", _STAGE_AND_BLOCK + "_project"),
        (r"stages\.(\d+)\.(\d+)", _STAGE_AND_BLOCK + "_layer_scale"),
        (r"blocks\.(\d+)\.(dwconv|norm)", r"stage0_block\1_\2"),
        (r"blocks\.(\d+)\.pwconv1", r"stage0_block\1_expand"),
        (r"blocks\.(\d+)\.pwconv2", r"stage0_block\1_project"),
        (r"blocks\.(\d+)", r"stage0_block\1_layer_scale"),
        (r"norm", "head_norm"),
        (r"head", "head_dense"),
    ),
    "transformers": (
        (r".*embeddings\.patch_embeddings", "stem_conv"),
        (r".*embeddings\.layernorm", "stem_norm"),
        (r".*stages\.(\d+)\.downsampling_layer\.0", r"stage\1_downsample_norm"),
        (r".*stages\.(\d+)\.downsampling_layer\.1", r"stage\1_downsample_conv"),
        # DINOv3's first stage holds the stem.
        (r".*stages\.0\.downsample_layers\.0", "stem_conv"),
        (r".*stages\.0\.downsample_layers\.1", "stem_norm"),
        (r".*stages\.(\d+)\.downsample_layers\.0", r"stage\1_downsample_norm"),
        (r".*stages\.(\d+)\.downsample_layers\.1", r"stage\1_downsample_conv"),
        (
            r".*stages\.(\d+)\.layers\.(\d+)\.(dwconv|depthwise_conv)",
            _STAGE_AND_BLOCK + "_dwconv",
        ),
        (
            r".*stages\.(\d+)\.layers\.(\d+)\.layer_?norm",
            _STAGE_AND_BLOCK + "_norm",
        ),
        (
            r".*stages\.(\d+)\.layers\.(\d+)\.(pwconv1|pointwise_conv1)",
            _STAGE_AND_BLOCK + "_expand",
        ),
        (r".*stages\.(\d+)\.layers\.(\d+)\.grn", _STAGE_AND_BLOCK + "_grn"),
        (
            r".*stages\.(\d+)\.layers\.(\d+)\.(pwconv2|pointwise_conv2)",
            _STAGE_AND_BLOCK + "_project",
        ),
        (r".*stages\.(\d+)\.layers\.(\d+)", _STAGE_AND_BLOCK + "_layer_scale"),
        (r"(.*\.)?layer_?norm", "head_norm"),
        (r"classifier", "head_dense"),
    ),
    "torchvision": (
        (r"features\.0\.0", "stem_conv"),
        (r"features\.0\.1", "stem_norm"),
        *(
            row
            for stage in range(4)
            for row in (
                (rf"features\.{2 * stage}\.0", f"stage{stage}_downsample_norm"),
                (rf"features\.{2 * stage}\.1", f"stage{stage}_downsample_conv"),
                *(
                    (
                        rf"features\.{2 * stage + 1}\.(\d+){suffix}",
                        rf"stage{stage}_block\1_{layer}",
                    )
                    for suffix, layer in (
                        (r"\.block\.0", "dwconv"),
                        (r"\.block\.2", "norm"),
                        (r"\.block\.3", "expand"),
                        (r"\.block\.5", "project"),
                        ("", "layer_scale"),
                    )
                ),
            )
        ),
        (r"classifier\.0", "head_norm"),
        (r"classifier\.2", "head_dense"),
    ),
}
STAGES = {
    "timm": r"stages\.\d+",
    "meta": r"stages\.\d+|blocks",
    "transformers": r"(convnext(v2)?\.encoder\.|model\.)stages\.\d+",
    "torchvision": r"features\.[1357]",
}


def is_stage(dialect: str, module: str) -> bool:
    """Whether the output of `module` is the map at the end of a stage."""
    return re.fullmatch(STAGES[dialect], module) is not None


def _timm_stem(module: str, state: Mapping) -> str:
    """timm numbers what its stem holds; the shapes say what it is."""
    if len(state[f"{module}.weight"].shape) == 1:
        return "stem_norm"
    return "stem_conv" if module == "stem.0" else "stem_conv2"


def canonical(dialect: str, key: str, state: Mapping) -> str:
    """Returns this project's name of a parameter: "stage0_block0_dwconv/kernel".

    Args:
        dialect: A key of `LAYERS`.
        key: The parameter's name in the model's state dictionary.
        state: The whole dictionary.
    """
    module, _, attribute = key.rpartition(".")
    if dialect == "timm" and module.startswith("stem"):
        layer = _timm_stem(module, state)
    else:
        for pattern, replacement in LAYERS[dialect]:
            match = re.fullmatch(pattern, module)
            if match:
                layer = match.expand(replacement)
                break
        else:
            raise ValueError(f"{dialect}'s {key} is none of the known parameters.")
    if layer.endswith("_layer_scale"):
        return f"{layer}/gamma"
    is_bias = attribute in ("bias", "beta")
    if layer.endswith(("_norm", "_grn")):
        return f"{layer}/{'beta' if is_bias else 'gamma'}"
    return f"{layer}/{'bias' if is_bias else 'kernel'}"


def keras_shape(name: str, torch_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape that torch's tensor `name` has in Keras."""
    if not name.endswith("/kernel"):
        return (int(np.prod(torch_shape)),)
    if name.endswith("_dwconv/kernel"):
        channels, _, height, width = torch_shape
        return (height, width, channels, 1)
    outputs, inputs, *window = torch_shape
    # 1x1 convolutions are dense layers here.
    return (
        (*window, inputs, outputs) if window not in ([], [1, 1]) else (inputs, outputs)
    )


def to_torch(name: str, values: np.ndarray, torch_shape: tuple[int, ...]) -> np.ndarray:
    """Returns Keras' values of the tensor `name` in torch's layout."""
    if name.endswith("_dwconv/kernel"):
        values = values.transpose(2, 3, 0, 1)
    elif name.endswith("/kernel"):
        order = (3, 2, 0, 1) if values.ndim == 4 else (1, 0)
        values = values.transpose(order)
    return np.ascontiguousarray(values).reshape(torch_shape)


def to_keras(name: str, values: np.ndarray) -> np.ndarray:
    """Returns torch's values of the tensor `name` in Keras' layout."""
    shape = keras_shape(name, values.shape)
    if name.endswith("_dwconv/kernel"):
        values = values.transpose(2, 3, 0, 1)
    elif name.endswith("/kernel"):
        values = values.transpose((2, 3, 1, 0) if values.ndim == 4 else (1, 0))
    return values.reshape(shape)
