"""Hugging Face's UPerNet in PyTorch, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# It declares what an incomplete torchvision, which transformers imports, lacks.
from contestants import with_torch


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    import transformers

    found = with_torch.versions()
    return {"torch": found["torch"], "transformers": transformers.__version__}


def build(case: dict[str, Any]) -> Any:
    """Returns transformers' UPerNet on ConvNeXt-T with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    backbone = transformers.ConvNextConfig(
        depths=[3, 3, 9, 3],
        hidden_sizes=[96, 192, 384, 768],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    model = transformers.UperNetForSemanticSegmentation(
        transformers.UperNetConfig(
            backbone_config=backbone,
            num_labels=case["classes"],
            auxiliary_in_channels=384,
        )
    )
    with_torch.randomise(model)
    return model.to(with_torch.device(), memory_format=torch.channels_last)


def prepare(case: dict[str, Any], compiled: bool = False) -> Callable[[], Any]:
    """Returns the case's work."""
    import torch

    model = build(case)
    run = torch.compile(model) if compiled else model
    batch, _ = with_torch.inputs(case)
    if case["work"] == "inference":
        model.eval()

        def label_pixels() -> Any:
            with torch.inference_mode():
                return run(batch).logits.cpu()

        return label_pixels
    model.train()
    shape = (case["batch"], case["size_px"], case["size_px"])
    masks = torch.randint(0, case["classes"], shape).to(with_torch.device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)

    def step() -> float:
        # Both heads' losses, the auxiliary one's times 0.4.
        loss = run(batch, labels=masks).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with_torch.synchronise()
        return float(loss.detach())

    return step
