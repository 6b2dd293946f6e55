"""Lets torchvision, and timm with it, be imported beside a torch that has no GPU.

torchvision's wheel registers fake kernels for two operators that only its compiled
part defines; where that part cannot be loaded the operators are declared here first.
Import this module before timm or torchvision.
"""

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
