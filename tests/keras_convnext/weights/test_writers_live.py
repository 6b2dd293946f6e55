"""Files of the real writers, both ways: torch.save, `save_pretrained`, Meta's wrapper.

A network of each project is filled with seeded numbers and written by that project's
own tools; loaded here it has to give the project's logits, and what is written back
has to load there strictly and give them again. Needs torch, timm, transformers and
torchvision in this environment (`make parity` makes one). Networks of more than
WEIGHTS_FULL_DEPTH parameters (30 million unless set) have fewer blocks, at their
published widths.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from keras_convnext import weights
from keras_convnext.variants import find_variant
from tests.keras_convnext.weights.live_writers import (
    CLASSES,
    assert_same,
    depths_of,
    fill,
    image,
    load,
    load_file,
    ours,
    outputs_of,
    timm,
    torch,
    torchvision,
    transformers,
)

pytestmark = pytest.mark.slow

# Hugging Face: configuration, network, variant, dialect.
HUGGING_FACE = {
    "ConvNext": ("ConvNextForImageClassification", "convnext_tiny", "huggingface"),
    "ConvNextV2": (
        "ConvNextV2ForImageClassification",
        "convnextv2_tiny",
        "huggingface",
    ),
    "DINOv3ConvNext": ("DINOv3ConvNextModel", "convnext_tiny", "huggingface_dinov3"),
}


def hugging_face(kind: str) -> torch.nn.Module:
    """Returns transformers' network of the published shape, tiny's."""
    classifies = kind != "DINOv3ConvNext"
    extra = {"num_labels": CLASSES} if classifies else {}
    config = getattr(transformers, f"{kind}Config")(**extra)
    return getattr(transformers, HUGGING_FACE[kind][0])(config)


@pytest.mark.parametrize("shard_size", ["5GB", "30MB"])
@pytest.mark.parametrize("kind", HUGGING_FACE)
def test_what_save_pretrained_writes_loads_and_comes_back(
    kind: str, shard_size: str, tmp_path: Path, seeded: Callable
) -> None:
    class_name, variant, dialect = HUGGING_FACE[kind]
    network = fill(hugging_face(kind), seeded)
    expected = outputs_of(network)
    network.save_pretrained(tmp_path / "there", max_shard_size=shard_size)
    shards = list((tmp_path / "there").glob("*.safetensors"))
    assert (len(shards) > 2) == (shard_size == "30MB")

    model = ours(variant, headless=dialect == "huggingface_dinov3")
    load(model, tmp_path / "there", dialect)
    assert_same(model(image()), expected)

    back = tmp_path / "back"
    back.mkdir()
    network.config.save_pretrained(back)
    weights.save_weights_as(model, back / "model.safetensors", dialect=dialect)
    again, facts = getattr(transformers, class_name).from_pretrained(
        back, output_loading_info=True
    )
    problems = {name: list(found) for name, found in facts.items() if found}
    assert problems == {}
    assert_same(outputs_of(again.eval()), expected)


@pytest.mark.parametrize("kind", ["ConvNext", "ConvNextV2"])
def test_a_body_that_transformers_saves_alone_gives_its_features(
    kind: str, tmp_path: Path, seeded: Callable
) -> None:
    config = getattr(transformers, f"{kind}Config")()
    network = fill(getattr(transformers, f"{kind}Model")(config), seeded)
    network.save_pretrained(tmp_path)
    model = ours(HUGGING_FACE[kind][1], headless=True)
    load(model, tmp_path, "huggingface")
    assert_same(model(image()), outputs_of(network))


TORCHVISION = ("tiny", "small", "base", "large")


@pytest.mark.parametrize("size", TORCHVISION)
def test_torchvisions_state_dict_loads_and_comes_back(
    size: str, tmp_path: Path, seeded: Callable
) -> None:
    variant = find_variant(f"convnext_{size}")
    rows = zip(
        variant.widths,
        (*variant.widths[1:], None),
        depths_of(variant.name),
        strict=True,
    )
    blocks = [torchvision.models.convnext.CNBlockConfig(*row) for row in rows]
    network = fill(torchvision.models.ConvNeXt(blocks), seeded)
    if depths_of(variant.name) == variant.depths:
        published = getattr(torchvision.models, variant.name)()
        assert published.state_dict().keys() == network.state_dict().keys()
    expected = outputs_of(network)
    torch.save(network.state_dict(), tmp_path / "there.pth")

    model = ours(variant.name)
    load(model, tmp_path / "there.pth", "torchvision")
    assert_same(model(image()), expected)

    back = tmp_path / "back.safetensors"
    weights.save_weights_as(model, back, dialect="torchvision")
    for tensor in network.state_dict().values():
        tensor.zero_()
    network.load_state_dict(load_file(back), strict=True)
    assert_same(outputs_of(network), expected)


def channels_last(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Lays four-dimensional tensors out as a GPU likes them: with strides."""
    return {
        name: tensor.to(memory_format=torch.channels_last)
        if tensor.ndim == 4
        else tensor
        for name, tensor in state.items()
    }


def in_one_storage(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cuts every tensor out of one long one, as a flattened optimizer does."""
    whole = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    pieces = whole.split([tensor.numel() for tensor in state.values()])
    return {
        name: piece.view(tensor.shape)
        for (name, tensor), piece in zip(state.items(), pieces, strict=True)
    }


# How people's programs wrap, lay out and round a network's tensors.
WRAPPERS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "bare": lambda state: state,
    "checkpoint": lambda state: {
        "epoch": 7,
        "arch": "convnext_atto",
        "state_dict": state,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []},
        "metric": 0.5,
    },
    "average": lambda state: {
        "state_dict": {name: torch.zeros_like(t) for name, t in state.items()},
        "state_dict_ema": state,
    },
    "parallel": lambda state: {f"module.{name}": t for name, t in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": t for name, t in state.items()},
    "parameters": lambda state: {
        name: torch.nn.Parameter(tensor) for name, tensor in state.items()
    },
    "channels_last": channels_last,
    "in_one_storage": in_one_storage,
    "float64": lambda state: {name: t.double() for name, t in state.items()},
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_timms_tensors_load_however_torch_saved_them(
    wrapper: str, is_zip: bool, tmp_path: Path, seeded: Callable
) -> None:
    network = fill(timm.create_model("convnext_atto"), seeded)
    content = WRAPPERS[wrapper](network.state_dict())
    path = tmp_path / "there.pth"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    model = ours("convnext_atto")
    load(model, path, "timm")
    assert_same(model(image()), outputs_of(network))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halved_tensors_give_what_torch_computes_with_them_widened(
    dtype: torch.dtype, is_zip: bool, tmp_path: Path, seeded: Callable
) -> None:
    network = fill(timm.create_model("convnextv2_atto"), seeded).to(dtype)
    path = tmp_path / "there.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    model = ours("convnextv2_atto")
    load(model, path, "timm")
    assert_same(model(image()), outputs_of(network.float()))
