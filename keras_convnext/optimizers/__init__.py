"""AdamW with layer-wise learning rates, and the schedules of the papers."""

from keras_convnext.optimizers._adamw import (
    UNDECAYED_LAYERS,
    LayerwiseAdamW,
    ParameterGroup,
    parameter_groups,
)
from keras_convnext.optimizers._schedules import WarmupCosine, WarmupLinear

__all__ = [
    "UNDECAYED_LAYERS",
    "LayerwiseAdamW",
    "ParameterGroup",
    "WarmupCosine",
    "WarmupLinear",
    "parameter_groups",
]
