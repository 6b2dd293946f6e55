"""Records what timm, Hugging Face, torchvision and Meta compute with seeded weights.

For each reference implementation and architecture a network of few, narrow blocks
is made, its weights seeded by their names, and its logits for one image written
down with the names and shapes of its tensors, as references.json.xz. No weight is
stored: the tests make the same files from the names. Needs torch, timm, torchvision
and transformers:

    python make_references.py

Meta's own code is not installable; its networks equal timm's, so its files are
timm's under the names of meta_names.py.
"""

import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import oracle  # noqa: F401, before timm and torchvision
import timm
import torch
import torchvision
import transformers
from meta_names import meta_name
from seeded_weights import seeded

DEPTHS, WIDTHS = (1, 1, 2, 1), (8, 16, 24, 32)
SIZE_PX, CLASSES = 64, 10
OUTPUT = Path(__file__).with_name("references.json.xz")
# timm's stems of two convolutions are as wide as the published width says.
KEEP_WIDTHS = ("_ols",)


def image() -> torch.Tensor:
    """Returns a normalized image, `(1, 3, size, size)`."""
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    return torch.from_numpy(numbers.astype(np.float32)).permute(0, 3, 1, 2)


def seed(network: torch.nn.Module) -> dict[str, list[int]]:
    """Gives every tensor its seeded numbers; returns names and shapes."""
    state = network.state_dict()
    network.load_state_dict(
        {
            name: torch.from_numpy(seeded(name, tuple(t.shape)))
            for name, t in state.items()
        }
    )
    return {name: list(tensor.shape) for name, tensor in state.items()}


def record(
    dialect: str,
    variant: str,
    network: torch.nn.Module,
    run: Callable[[torch.nn.Module], torch.Tensor],
    **extra: object,
) -> dict[str, object]:
    network.eval()
    tensors = seed(network)
    with torch.no_grad():
        outputs = run(network).numpy().astype(np.float64)
    return {
        "dialect": dialect,
        "variant": variant,
        "widths": extra.pop("widths", WIDTHS),
        "tensors": tensors,
        "outputs": [float(f"{value:.7g}") for value in outputs.ravel()],
        **extra,
    }


def from_timm() -> Iterator[dict[str, object]]:
    for arch in timm.list_models("*convnext*", module="convnext"):
        arguments = {"depths": DEPTHS, "num_classes": CLASSES}
        if not any(word in arch for word in KEEP_WIDTHS):
            arguments["dims"] = WIDTHS
        if arch.endswith("_mlp"):
            arguments["head_hidden_size"] = WIDTHS[-1]
        network = timm.create_model(arch, **arguments)
        widths = tuple(stage["num_chs"] for stage in network.feature_info)
        yield record("timm", arch, network, lambda n: n(image()), widths=widths)


def from_hugging_face() -> Iterator[dict[str, object]]:
    shape = {
        "depths": list(DEPTHS),
        "hidden_sizes": list(WIDTHS),
        "num_labels": CLASSES,
    }
    # The last norm's epsilon is 1e-12 there; the networks here have 1e-6.
    for variant, name in (
        ("convnext_tiny", "ConvNext"),
        ("convnextv2_tiny", "ConvNextV2"),
    ):
        config = getattr(transformers, f"{name}Config")(**shape, layer_norm_eps=1e-6)
        network = getattr(transformers, f"{name}ForImageClassification")(config)
        yield record("huggingface", variant, network, lambda n: n(image()).logits)
    config = transformers.DINOv3ConvNextConfig(**shape, layer_norm_eps=1e-6)
    yield record(
        "huggingface_dinov3",
        "convnext_tiny",
        transformers.DINOv3ConvNextModel(config),
        lambda n: n(image()).pooler_output,
    )


def from_torchvision() -> dict[str, object]:
    cn = torchvision.models.convnext
    settings = [
        cn.CNBlockConfig(width, after, depth)
        for width, after, depth in zip(WIDTHS, (*WIDTHS[1:], None), DEPTHS, strict=True)
    ]
    network = cn.ConvNeXt(settings, num_classes=CLASSES)
    return record("torchvision", "convnext_tiny", network, lambda n: n(image()))


def from_meta() -> Iterator[dict[str, object]]:
    for variant in ("convnext_tiny", "convnextv2_tiny"):
        network = timm.create_model(
            variant, depths=DEPTHS, dims=WIDTHS, num_classes=CLASSES
        ).eval()
        state, tensors = {}, {}
        for name, tensor in network.state_dict().items():
            theirs, shape = meta_name(name), tuple(tensor.shape)
            if ".grn." in theirs:
                shape = (1, 1, 1, *shape)
            tensors[theirs] = list(shape)
            state[name] = torch.from_numpy(seeded(theirs, shape)).reshape(tensor.shape)
        network.load_state_dict(state)
        with torch.no_grad():
            outputs = network(image()).double().ravel().tolist()
        yield {
            "dialect": "meta",
            "variant": variant,
            "widths": WIDTHS,
            "tensors": tensors,
            "outputs": [float(f"{value:.7g}") for value in outputs],
        }


def main() -> None:
    references = [
        *from_timm(),
        *from_hugging_face(),
        from_torchvision(),
        *from_meta(),
    ]
    text = json.dumps(references, separators=(",", ":"))
    OUTPUT.write_bytes(lzma.compress(text.encode(), preset=9))
    print(f"{len(references)} references, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
