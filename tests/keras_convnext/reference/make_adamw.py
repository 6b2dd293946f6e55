"""Records what torch's AdamW and timm's optimizer factory do: adamw.json.

Needs torch, torchvision and timm; run it from its own folder:

    python make_adamw.py
"""

import json

import numpy as np
import torch

LIBRARY = torch.library.Library("torchvision", "DEF")
# A torchvision without its compiled operators cannot be imported otherwise.
LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402
from timm.optim import create_optimizer_v2  # noqa: E402

LR, DECAY, LAYER_DECAY, STEPS = 0.02, 0.3, 0.5, 12
SCALES = (1.0, 0.25)


def trajectory() -> dict:
    """AdamW on given gradients; each parameter has a group of its own."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(len(SCALES), 5)).astype(np.float32)
    # Gradients of very different sizes, so that epsilon and both moments count.
    gradients = rng.normal(size=(STEPS, len(SCALES), 5)) * 10.0 ** rng.uniform(
        -8, 1, (STEPS, len(SCALES), 5)
    )
    gradients = gradients.astype(np.float32)
    parameters = [torch.nn.Parameter(torch.tensor(values)) for values in start]
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameter], "lr": LR * scale}
            for parameter, scale in zip(parameters, SCALES, strict=True)
        ],
        weight_decay=DECAY,
        betas=(0.9, 0.999),
        eps=1e-8,
    )
    values = []
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        values.append([parameter.tolist() for parameter in parameters])
    return {
        "lr": LR,
        "weight_decay": DECAY,
        "scales": SCALES,
        "start": start.tolist(),
        "gradients": gradients.tolist(),
        "values": values,
    }


def factory() -> dict:
    """Which factor and which decay timm gives to each parameter."""
    model = timm.create_model("test_convnext", num_classes=3)
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=1.0, weight_decay=DECAY, layer_decay=LAYER_DECAY
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        "layer_decay": LAYER_DECAY,
        "parameters": {
            names[id(parameter)]: [group["lr_scale"], group["weight_decay"] > 0]
            for group in optimizer.param_groups
            for parameter in group["params"]
        },
    }


with open("adamw.json", "w", encoding="utf-8") as file:
    json.dump(
        {
            "versions": {"torch": torch.__version__, "timm": timm.__version__},
            "trajectory": trajectory(),
            "factory": factory(),
        },
        file,
    )
