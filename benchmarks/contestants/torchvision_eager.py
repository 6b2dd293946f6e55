"""torchvision's Mask R-CNN on its ConvNeXt-T in PyTorch, channels last.

As many anchors, proposals, samples and objects as this library takes, and masks of
28 px that are not pasted, as its network gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contestants import with_torch
from contestants.objects import SCALE_OF_CLASSES, truth


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    import torchvision

    found = with_torch.versions()
    return {"torch": found["torch"], "torchvision": torchvision.__version__}


def build(case: dict[str, Any]) -> Any:
    """Returns the case's model with random weights that find objects."""
    import torch
    import torchvision
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    torch.manual_seed(0)
    features = torchvision.models.convnext_tiny().features
    stages = {str(number): str(number // 2) for number in (1, 3, 5, 7)}
    model = MaskRCNN(
        BackboneWithFPN(features, stages, [96, 192, 384, 768], 256),
        case["classes"] + 1,
        min_size=min(case["size_px"]),
        max_size=max(case["size_px"]),
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=1000,
    )
    with_torch.randomise(model)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight *= SCALE_OF_CLASSES
    model.transform.postprocess = lambda result, *_: result
    return model.to(with_torch.device(), memory_format=torch.channels_last)


def targets(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the objects of each image as torchvision wants them."""
    import torch

    found = truth(case)
    return [
        {
            "boxes": torch.from_numpy(boxes[:, [1, 0, 3, 2]]),
            "labels": torch.from_numpy(labels).long() + 1,
            "masks": torch.from_numpy(masks),
        }
        for boxes, labels, masks in zip(
            found["boxes"], found["classes"], found["masks"], strict=True
        )
    ]


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    import torch

    model = build(case)
    images = list(with_torch.inputs(case)[0].sigmoid())
    if case["work"] == "inference":
        model.eval()

        def find_objects() -> Any:
            with torch.inference_mode():
                return model(images)

        return find_objects
    model.train()
    objects = targets(case)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)

    def step() -> float:
        loss = sum(model(images, objects).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step
