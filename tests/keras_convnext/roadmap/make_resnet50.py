"""Records torchvision's ResNet-50 on drawn weights, for test_roadmap_network.py.

Run with numpy, torch and torchvision (made with torch 2.13.0, torchvision 0.28.0):
    python make_resnet50.py
"""

from pathlib import Path

import numpy as np
import torch
from drawn import drawn, images

# Without its compiled part torchvision imports only when these are declared.
LIBRARY = torch.library.Library("torchvision", "DEF")
for operator in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
):
    LIBRARY.define(operator)

from torchvision.models import resnet50  # noqa: E402

ROLES = {
    "conv1": "reduce",
    "bn1": "reduce_norm",
    "conv2": "conv",
    "bn2": "conv_norm",
    "conv3": "expand",
    "bn3": "expand_norm",
    "downsample.0": "shortcut",
    "downsample.1": "shortcut_norm",
}
TOP = {"conv1": "stem_conv", "bn1": "stem_norm", "fc": "head_dense"}
NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def keras_path(name: str, tensor: torch.Tensor, tensors: dict) -> str:
    """Returns the Keras network's name of a tensor of torchvision."""
    owner, kind = name.rsplit(".", 1)
    if owner.startswith("layer"):
        stage, index, part = owner.removeprefix("layer").split(".", 2)
        layer = f"stage{int(stage) - 1}_block{index}_{ROLES[part]}"
    else:
        layer = TOP[owner]
    is_norm = f"{owner}.running_mean" in tensors
    return f"{layer}/{NORM[kind] if is_norm else {'weight': 'kernel'}.get(kind, kind)}"


def in_torch_layout(path: str, tensor: torch.Tensor) -> torch.Tensor:
    """Returns the drawn numbers of a Keras variable in torch's order of axes."""
    to_keras = {4: (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim, (0,))
    to_torch = tuple(np.argsort(to_keras))
    shape = tuple(np.array(tensor.shape)[list(to_keras)])
    return torch.from_numpy(drawn(path, shape).transpose(to_torch).copy())


def main() -> None:
    """Writes resnet50.npz beside this file."""
    network = resnet50(weights=None).eval()
    tensors = network.state_dict()
    network.load_state_dict(
        {
            name: tensor
            if name.endswith("num_batches_tracked")
            else in_torch_layout(keras_path(name, tensor, tensors), tensor)
            for name, tensor in tensors.items()
        }
    )
    recorded = {"parameters": sum(p.numel() for p in network.parameters())}
    # An odd size too: padding that is even on both sides shows there.
    for size_px in (64, 71):
        with torch.no_grad():
            batch = torch.from_numpy(images(2, size_px)).permute(0, 3, 1, 2)
            recorded[f"logits_{size_px}"] = network(batch).numpy()
    np.savez_compressed(Path(__file__).with_name("resnet50.npz"), **recorded)
    for name, value in recorded.items():
        print(name, value if np.ndim(value) == 0 else (value.shape, value.std()))


if __name__ == "__main__":
    main()
