"""The road from ResNet to ConvNeXt: sixteen networks, one change from each to the next.

    from keras_convnext import roadmap

    model = roadmap.build("inverted_bottleneck")
    print(roadmap.table())

Source: arXiv:2201.03545, section 2.
"""

from keras_convnext.roadmap.cost import multiply_accumulates, parameters
from keras_convnext.roadmap.designs import (
    REGIMES,
    ROAD,
    STEP_BY_NAME,
    STEPS,
    Design,
    Step,
    design,
    reduced,
)
from keras_convnext.roadmap.network import build
from keras_convnext.roadmap.paper import ENHANCED_RECIPE, Row, Table, table

__all__ = [
    "ENHANCED_RECIPE",
    "REGIMES",
    "ROAD",
    "STEPS",
    "STEP_BY_NAME",
    "Design",
    "Row",
    "Step",
    "Table",
    "build",
    "design",
    "multiply_accumulates",
    "parameters",
    "reduced",
    "table",
]
