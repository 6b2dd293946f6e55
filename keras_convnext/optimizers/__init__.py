"""AdamW with layer-wise learning rates, and the schedules of the papers."""

from keras_convnext.optimizers._adamw import (
    UNDECAYED_LAYERS,
    LayerwiseAdamW,
    ParameterGroup,
    parameter_groups,
)
from keras_convnext.optimizers._schedules import WarmupCosine, WarmupLinear, WarmupStep

__all__ = [
    "UNDECAYED_LAYERS",
    "LayerwiseAdamW",
    "ParameterGroup",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStep",
    "parameter_groups",
]
