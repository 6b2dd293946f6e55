"""AdamW with layer-wise learning rates, and the schedule of the papers."""

from keras_convnext.optimizers._adamw import (
    UNDECAYED_LAYERS,
    LayerwiseAdamW,
    ParameterGroup,
    WarmupCosine,
    parameter_groups,
)

__all__ = [
    "UNDECAYED_LAYERS",
    "LayerwiseAdamW",
    "ParameterGroup",
    "WarmupCosine",
    "parameter_groups",
]
