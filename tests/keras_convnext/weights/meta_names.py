"""Meta's names of tensors, from timm's; needs nothing but Python itself."""

import re


def meta_name(name: str) -> str:
    """Returns Meta's name of the tensor that timm calls `name`."""
    rules = (
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"\.blocks\.", "."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"mlp\.grn\.weight", "grn.gamma"),
        (r"mlp\.grn\.bias", "grn.beta"),
        (r"^head\.norm\.", "norm."),
        (r"^head\.fc\.", "head."),
    )
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
