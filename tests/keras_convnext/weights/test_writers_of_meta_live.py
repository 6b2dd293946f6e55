"""Files as Meta and OpenCLIP publish them, both ways; see `test_writers_live.py`."""

import collections
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keras_convnext import models, weights
from keras_convnext.variants import find_variant
from tests.keras_convnext.weights.live_writers import (
    CLASSES,
    FULL_DEPTH,
    META_KEYS,
    SIZE_PX,
    assert_same,
    checkpoint_filter_fn,
    depths_of,
    fill,
    image,
    load,
    load_file,
    ours,
    outputs_of,
    save_file,
    timm,
    torch,
)
from tests.keras_convnext.weights.meta_names import meta_name

pytestmark = pytest.mark.slow


def meta_shape(name: str, tensor: torch.Tensor) -> tuple[int, ...]:
    """Returns the shape that Meta's tensor has: no 1x1 kernels, a long GRN."""
    if ".grn." in name:
        return (1, 1, 1, len(tensor))
    if "pwconv" in name and tensor.ndim == 4:
        return tuple(tensor.shape[:2])
    return tuple(tensor.shape)


META = {
    "convnext_tiny": "convnext_tiny",
    "convnext_base": "convnext_base",
    "convnextv2_atto": "convnextv2_atto",
    "convnextv2_nano": "convnextv2_nano",
    "convnextv2_tiny": "convnextv2_tiny",
    "convnextv2_huge": "convnextv2_huge",
}


def timms_of_meta(variant: str) -> torch.nn.Module:
    published = depths_of(variant) == find_variant(variant).depths
    fewer = {} if published else {"depths": depths_of(variant)}
    return timm.create_model(variant, **fewer)


@pytest.mark.parametrize("variant", META)
def test_metas_wrapped_state_dict_loads_and_comes_back(
    variant: str, tmp_path: Path, seeded: Callable
) -> None:
    network = fill(timms_of_meta(variant), seeded)
    expected = outputs_of(network)
    state = collections.OrderedDict()
    for name, tensor in network.state_dict().items():
        theirs = meta_name(name)
        state[theirs] = tensor.reshape(meta_shape(theirs, tensor)).clone()
    if META_KEYS.exists() and depths_of(variant) == find_variant(variant).depths:
        keys = json.loads(META_KEYS.read_text())[variant]["keys"]
        assert {name: list(t.shape) for name, t in state.items()} == keys
    torch.save({"model": state}, tmp_path / "there.pth")

    model = ours(variant)
    load(model, tmp_path / "there.pth", "meta")
    assert_same(model(image()), expected)

    back = tmp_path / "back.safetensors"
    weights.save_weights_as(model, back, dialect="meta")
    returned = load_file(back)
    assert {n: t.shape for n, t in returned.items()} == {
        n: t.shape for n, t in state.items()
    }
    again = timms_of_meta(variant).eval()
    again.load_state_dict(checkpoint_filter_fn(returned, again), strict=True)
    assert_same(outputs_of(again), expected)


@pytest.mark.parametrize("grn_axes", [1, 3])
def test_metas_fcmae_file_gives_the_features_of_its_body(
    grn_axes: int, tmp_path: Path, seeded: Callable
) -> None:
    network = fill(timm.create_model("convnextv2_atto", num_classes=0), seeded)
    state = {}
    for name, tensor in network.state_dict().items():
        theirs = meta_name(name)
        if not theirs.startswith("norm."):
            shape = meta_shape(theirs, tensor)
            shape = (1,) * grn_axes + shape[-1:] if ".grn." in theirs else shape
            state[theirs] = tensor.reshape(shape).clone()
    # What is published is in the order of the alphabet.
    state = dict(sorted(state.items()))
    torch.save({"model": state}, tmp_path / "fcmae.pt")
    model = ours("convnextv2_atto", headless=True)
    with pytest.warns(UserWarning, match="no last norm"):
        report = weights.load(model, tmp_path / "fcmae.pt")
    assert report.kept == ("head_norm/gamma", "head_norm/beta")
    # The norm is as it was built on both sides: ones and zeros.
    torch.nn.init.ones_(network.head.norm.weight)
    torch.nn.init.zeros_(network.head.norm.bias)
    assert_same(model(image()), outputs_of(network))


class Isotropic(torch.nn.Module):
    """The isotropic ConvNeXt under Meta's names, which is no package's.

    Source: arXiv:2201.03545, section 3.3 and appendix A.3: patches of 16 pixels,
    blocks of one width, the mean over the map, one norm and the classifier.
    """

    class Block(torch.nn.Module):
        def __init__(self, width: int, *, has_scale: bool) -> None:
            super().__init__()
            self.dwconv = torch.nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm = torch.nn.LayerNorm(width, eps=1e-6)
            self.pwconv1 = torch.nn.Linear(width, 4 * width)
            self.pwconv2 = torch.nn.Linear(4 * width, width)
            if has_scale:
                self.gamma = torch.nn.Parameter(torch.ones(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
            y = self.pwconv2(torch.nn.functional.gelu(self.pwconv1(y)))
            y = y * self.gamma if hasattr(self, "gamma") else y
            return x + y.permute(0, 3, 1, 2)

    def __init__(self, width: int, depth: int, *, has_scale: bool) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, width, 16, stride=16)
        self.blocks = torch.nn.Sequential(
            *(self.Block(width, has_scale=has_scale) for _ in range(depth))
        )
        self.norm = torch.nn.LayerNorm(width, eps=1e-6)
        self.head = torch.nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))


@pytest.mark.parametrize(
    ("size", "width", "depth", "has_scale"),
    [("small", 384, 18, False), ("base", 768, 18, False), ("large", 1024, 36, True)],
)
def test_metas_isotropic_files_load_and_come_back(
    size: str,
    width: int,
    depth: int,
    has_scale: bool,
    tmp_path: Path,
    seeded: Callable,
) -> None:
    variant = find_variant(f"convnext_isotropic_{size}")
    if variant.parameters > FULL_DEPTH:
        depth = 2
    network = fill(Isotropic(width, depth, has_scale=has_scale), seeded)
    if META_KEYS.exists() and variant.parameters <= FULL_DEPTH:
        name = f"{variant.name}_ls1e-6" if has_scale else variant.name
        keys = json.loads(META_KEYS.read_text())[name]["keys"]
        assert {n: list(t.shape) for n, t in network.state_dict().items()} == keys
    expected = outputs_of(network)
    torch.save({"model": network.state_dict()}, tmp_path / "there.pth")

    model = models.build(
        replace(variant, depths=(depth,)),
        include_preprocessing=False,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        classifier_activation=None,
    )
    load(model, tmp_path / "there.pth", "meta")
    assert_same(model(image()), expected)

    back = tmp_path / "back.safetensors"
    weights.save_weights_as(model, back, dialect="meta")
    for tensor in network.state_dict().values():
        tensor.zero_()
    network.load_state_dict(load_file(back), strict=True)
    assert_same(outputs_of(network), expected)


@pytest.mark.parametrize("variant", ["convnext_base", "convnext_large_mlp"])
def test_what_is_written_for_open_clip_is_what_timm_reads_of_it(
    variant: str, tmp_path: Path, seeded: Callable
) -> None:
    network = timms_of_meta(variant)
    network.reset_classifier(640)
    fill(network, seeded)
    network.head.fc.bias.data.zero_()  # OpenCLIP's projection has none
    expected = outputs_of(network)
    save_file(network.state_dict(), tmp_path / "there.safetensors")
    model = ours(variant, classes=640)
    load(model, tmp_path / "there.safetensors", "timm")
    back = tmp_path / "back.safetensors"
    weights.save_weights_as(model, back, dialect="open_clip")
    for tensor in network.state_dict().values():
        tensor.zero_()
    state = checkpoint_filter_fn(load_file(back), network)
    network.load_state_dict(state, strict=True)
    assert_same(outputs_of(network), expected)
