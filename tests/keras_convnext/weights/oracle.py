"""Lets torchvision, and timm with it, be imported beside TensorFlow and any torch.

torchvision's compiled operators want the torch of the same index; beside another one
the two whose fake kernels it registers are declared first, and do not work. A torch
with the GPU's kernels brings triton, which torchvision imports, and whose libraries
fault where TensorFlow's are loaded. Import this module before timm or torchvision.
"""

import sys

import torch

sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
try:
    import torchvision  # noqa: F401
except RuntimeError:
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
