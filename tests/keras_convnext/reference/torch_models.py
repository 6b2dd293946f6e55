"""Other people's ConvNeXts, filled from `name_seeded` and run. Needs PyTorch.

timm, transformers and torchvision are installed; Meta's two repositories are not
packages, so the environment names checkouts of them: META_CONVNEXT
(facebookresearch/ConvNeXt) and META_CONVNEXT_V2 (facebookresearch/ConvNeXt-V2).
"""

import importlib
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import tests.keras_convnext.weights.oracle  # noqa: F401, before torchvision
from tests.keras_convnext.reference import dialects, name_seeded
from tests.keras_convnext.reference.cases import Case

CHECKOUTS = {"META_CONVNEXT": "meta_v1", "META_CONVNEXT_V2": "meta_v2"}
# Depths and widths as published in Meta's model files.
SIZES = {
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
    "huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
}
ISOTROPIC_LAYER_SCALE = {"small": 0, "base": 0, "large": 1e-6}


def _timm(case: Case) -> torch.nn.Module:
    import timm

    reduced = {} if case.depths is None else {"depths": case.depths}
    return timm.create_model(
        case.model, num_classes=1000, output_stride=case.output_stride, **reduced
    )


def transformers_library() -> types.ModuleType:
    """Returns transformers, which imports torchvision where that is installed."""
    return importlib.import_module("transformers")


def _transformers(case: Case) -> torch.nn.Module:
    transformers = transformers_library()
    family, _, size = case.model.rpartition("-")
    depths, widths = SIZES[size]
    shape = {"depths": list(case.depths or depths), "hidden_sizes": list(widths)}
    if family == "dinov3-convnext":
        config = transformers.DINOv3ConvNextConfig(**shape)
        return transformers.DINOv3ConvNextModel(config)
    if family == "convnextv2":
        config = transformers.ConvNextV2Config(num_labels=1000, **shape)
        return transformers.ConvNextV2ForImageClassification(config)
    config = transformers.ConvNextConfig(num_labels=1000, **shape)
    return transformers.ConvNextForImageClassification(config)


def _torchvision(case: Case) -> torch.nn.Module:
    import torchvision

    return getattr(torchvision.models, case.model)(weights=None)


def _meta(case: Case) -> torch.nn.Module:
    for variable, package in CHECKOUTS.items():
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = [str(Path(os.environ[variable]) / "models")]
    # Else their models would replace timm's own of the same names.
    registry = importlib.import_module("timm.models.registry")
    registry.register_model = lambda function: function
    # Only their sparse pre-training uses it.
    engine = sys.modules.setdefault("MinkowskiEngine", types.ModuleType("Minkowski"))
    engine.SparseTensor = None

    family, _, size = case.model.rpartition("_")
    if family == "convnext_isotropic":
        module = importlib.import_module("meta_v1.convnext_isotropic")
        return getattr(module, case.model)(
            layer_scale_init_value=ISOTROPIC_LAYER_SCALE[size]
        )
    depths, widths = SIZES[size]
    shape = {"depths": list(case.depths or depths), "dims": list(widths)}
    if family == "convnextv2":
        return importlib.import_module("meta_v2.convnextv2").ConvNeXtV2(**shape)
    return importlib.import_module("meta_v1.convnext").ConvNeXt(**shape)


BUILDERS: dict[str, Callable[[Case], torch.nn.Module]] = {
    "timm": _timm,
    "transformers": _transformers,
    "torchvision": _torchvision,
    "meta": _meta,
}


def missing(oracle: str) -> str | None:
    """Returns the packages that an oracle's models lack, or None."""
    if oracle != "meta":
        found = importlib.util.find_spec(oracle)
        return None if found else f"{oracle} is not installed"
    unset = [variable for variable in CHECKOUTS if variable not in os.environ]
    return f"{' and '.join(unset)} do not name a checkout" if unset else None


def build(case: Case) -> torch.nn.Module:
    """Returns the case's model with the values that `name_seeded` gives its names."""
    model = BUILDERS[case.oracle](case).eval()
    state = model.state_dict()
    for key, tensor in state.items():
        name = dialects.canonical(case.oracle, key, state)
        values = name_seeded.weights(name, dialects.keras_shape(name, tensor.shape))
        tensor.copy_(torch.from_numpy(dialects.to_torch(name, values, tensor.shape)))
    return model


def outputs(case: Case) -> dict[str, np.ndarray]:
    """Runs the case's model on `name_seeded.images()` in float32.

    Returns:
        "head": logits or pooled features `(batch, units)`, and the map at the end of
        each stage, `(batch, height, width, channels)`, as "P2".. ("P4" alone for one
        stage).
    """
    model = build(case)
    stages = [
        module
        for name, module in model.named_modules()
        if dialects.is_stage(case.oracle, name)
    ]
    maps: list[np.ndarray] = []
    for stage in stages:
        stage.register_forward_hook(
            lambda module, inputs, output: maps.append(
                output.permute(0, 2, 3, 1).numpy()
            )
        )
    with torch.no_grad():
        x = torch.from_numpy(name_seeded.normalized_nchw(name_seeded.images()))
        result = model(x)
    for attribute in ("logits", "pooler_output"):
        result = getattr(result, attribute, result)
    levels = ["P4"] if len(maps) == 1 else [f"P{2 + i}" for i in range(len(maps))]
    return {"head": result.numpy(), **dict(zip(levels, maps, strict=True))}
