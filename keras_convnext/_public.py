"""What `import keras_convnext` gives; it loads Keras and registers every layer."""

from keras_convnext import detection, layers, pretraining, roadmap, segmentation
from keras_convnext._pyramid import pyramid
from keras_convnext.builders import (
    ConvNeXtAtto,
    ConvNeXtBase,
    ConvNeXtFemto,
    ConvNeXtIsotropicBase,
    ConvNeXtIsotropicLarge,
    ConvNeXtIsotropicSmall,
    ConvNeXtLarge,
    ConvNeXtNano,
    ConvNeXtPico,
    ConvNeXtSmall,
    ConvNeXtTiny,
    ConvNeXtV2Atto,
    ConvNeXtV2Base,
    ConvNeXtV2Femto,
    ConvNeXtV2Huge,
    ConvNeXtV2Large,
    ConvNeXtV2Nano,
    ConvNeXtV2Pico,
    ConvNeXtV2Small,
    ConvNeXtV2Tiny,
    ConvNeXtXLarge,
    ConvNeXtXXLarge,
)
from keras_convnext.creation import create, describe
from keras_convnext.detection import CascadeMaskRCNN, MaskRCNN
from keras_convnext.folding import fold
from keras_convnext.inference._load import load
from keras_convnext.preprocessing import decode_predictions, preprocess_input
from keras_convnext.pretraining import FCMAE
from keras_convnext.segmentation import UPerNet
from keras_convnext.variants import list_variants
from keras_convnext.weights import list_weights, save_weights_as
from keras_convnext.weights import load as load_weights

__all__ = [
    "FCMAE",
    "CascadeMaskRCNN",
    "ConvNeXtAtto",
    "ConvNeXtBase",
    "ConvNeXtFemto",
    "ConvNeXtIsotropicBase",
    "ConvNeXtIsotropicLarge",
    "ConvNeXtIsotropicSmall",
    "ConvNeXtLarge",
    "ConvNeXtNano",
    "ConvNeXtPico",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtV2Atto",
    "ConvNeXtV2Base",
    "ConvNeXtV2Femto",
    "ConvNeXtV2Huge",
    "ConvNeXtV2Large",
    "ConvNeXtV2Nano",
    "ConvNeXtV2Pico",
    "ConvNeXtV2Small",
    "ConvNeXtV2Tiny",
    "ConvNeXtXLarge",
    "ConvNeXtXXLarge",
    "MaskRCNN",
    "UPerNet",
    "create",
    "decode_predictions",
    "describe",
    "detection",
    "fold",
    "layers",
    "list_variants",
    "list_weights",
    "load",
    "load_weights",
    "preprocess_input",
    "pretraining",
    "pyramid",
    "roadmap",
    "save_weights_as",
    "segmentation",
]
