"""Files in every dialect load, compute what their writer computes, and come back.

references.json.xz holds names, shapes and logits that timm, transformers and
torchvision wrote (make_references.py); the weights are made from the names.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.numpy

import keras_convnext
from keras_convnext import weights
from keras_convnext.variants import find_variant
from keras_convnext.weights.dialects import DIALECTS
from tests.keras_convnext.weights.reference_files import (
    CLASSES,
    REFERENCES,
    SIZE_PX,
    build,
    find,
    name_of,
    save,
    tensors_of,
    values,
)

# Two float32 implementations of the same sums; the logits are around 1.
TOLERANCE = 1e-4


def image() -> np.ndarray:
    """Returns the image that make_references.py shows, normalized."""
    numbers = np.random.default_rng(7).normal(size=(1, SIZE_PX, SIZE_PX, 3))
    return numbers.astype(np.float32)


def references() -> Iterator[Any]:
    """All of them; those whose recordings equal an earlier one's to the digit are slow.

    The networks are narrow, so that variants of one form are one network here.
    """
    seen = []
    for reference in REFERENCES:
        same = [reference[key] for key in ("dialect", "tensors", "outputs")]
        marks = [pytest.mark.slow] if same in seen else []
        seen.append(same)
        yield pytest.param(reference, id=name_of(reference), marks=marks)


@pytest.mark.parametrize("reference", references())
def test_a_file_computes_what_its_writer_computes_and_comes_back_the_same(
    reference: dict[str, Any], tmp_path: Path, seeded: Callable
) -> None:
    tensors = tensors_of(reference, seeded)
    safetensors.numpy.save_file(tensors, tmp_path / "there.safetensors")
    headless = reference["dialect"] == "huggingface_dinov3"
    model = build(
        reference, **({"include_top": False, "pooling": "avg"} if headless else {})
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        report = weights.load(model, tmp_path / "there.safetensors")
    assert (report.dialect, report.tensors) == (reference["dialect"], len(tensors))
    assert report.kept == report.dropped == ()

    outputs = keras.ops.convert_to_numpy(model(image())).ravel()
    expected = np.array(reference["outputs"])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=TOLERANCE * scale)

    back = weights.save_weights_as(
        model, tmp_path / "back.safetensors", dialect=reference["dialect"]
    )
    returned = safetensors.numpy.load_file(back)
    # transformers' DINOv3 keeps its body as `model`, the published files do not.
    tensors = {name.removeprefix("model."): tensors[name] for name in tensors}
    assert returned.keys() == tensors.keys()
    # Whether timm has 1x1 convolutions goes by the published widths; a narrowed
    # network gets the dense form, which has the same numbers.
    is_narrowed = (
        tuple(reference["widths"]) != find_variant(reference["variant"]).widths
    )
    for name, tensor in tensors.items():
        if (
            reference["dialect"] == "timm"
            and is_narrowed
            and tensor.shape[2:] == (1, 1)
        ):
            tensor = tensor.reshape(returned[name].shape)
        np.testing.assert_array_equal(returned[name], tensor)


def test_every_entry_point_of_timm_is_among_the_references() -> None:
    timm = [r["variant"] for r in REFERENCES if r["dialect"] == "timm"]
    assert len(set(timm)) == len(timm) == 31


@pytest.fixture
def tiny(tmp_path: Path, seeded: Callable) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A small convnext_tiny and its tensors in timm's names."""
    reference = find("timm", "convnext_tiny")
    return build(reference), tensors_of(reference, seeded)


@pytest.mark.parametrize(
    "dialect",
    [d for d in DIALECTS if d not in ("keras_applications", "keras_convnext", "smp")],
)
def test_every_dialect_of_torch_reads_what_it_writes(
    dialect: str, tiny: tuple, tmp_path: Path
) -> None:
    model, tensors = tiny
    weights.load(model, save(tensors, tmp_path / "a.safetensors"))
    if dialect == "huggingface_dinov3":
        model = build(find("timm", "convnext_tiny"), include_top=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights.load(model, tmp_path / "a.safetensors")
    if dialect == "open_clip":
        # Its projection has no offset.
        model.get_layer("head_dense").bias.assign(np.zeros(CLASSES))
    before = values(model)
    path = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect=dialect)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 9.0))
    assert weights.load(model, path).dialect == dialect
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".keras", ".weights.h5"])
def test_the_librarys_own_files_load_whatever_the_format(
    ending: str, tiny: tuple, tmp_path: Path
) -> None:
    model, tensors = tiny
    weights.load(model, save(tensors, tmp_path / "a.safetensors"))
    before, path = values(model), tmp_path / f"own{ending}"
    if ending == ".keras":
        model.save(path)
    elif ending == ".weights.h5":
        model.save_weights(path)
    else:
        weights.save_weights_as(model, path, dialect="keras_convnext")
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 9.0))
    weights.load(model, path)
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("convnext_atto_ols", {}),
        ("convnext_zepto_rms_ols", {}),
        ("convnext_large_mlp", {}),
        ("convnextv2_atto", {"remat": True, "dtype": "bfloat16"}),
        ("convnext_isotropic_large", {}),
    ],
)
def test_a_store_without_names_finds_its_layers_in_every_shape_of_network(
    name: str, arguments: dict[str, Any], mini: Callable, fill: Callable, tmp_path: Path
) -> None:
    shape = {} if "isotropic" not in name else {"depths": (3,), "widths": (16,)}
    model = fill(mini(name, shape=shape, **arguments))
    before = values(model)
    model.save_weights(tmp_path / "own.weights.h5")
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 9.0))
    report = weights.load(model, tmp_path / "own.weights.h5")
    assert report.tensors == len(before)
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_metas_isotropic_names_are_read_and_written(
    mini: Callable, fill: Callable, seeded: Callable, tmp_path: Path
) -> None:
    model = mini("convnext_isotropic_large", shape={"depths": (2,), "widths": (16,)})
    names = {"stem.weight": (16, 3, 16, 16), "stem.bias": (16,)}
    for block in range(2):
        names |= {
            f"blocks.{block}.gamma": (16,),
            f"blocks.{block}.dwconv.weight": (16, 1, 7, 7),
            f"blocks.{block}.dwconv.bias": (16,),
            f"blocks.{block}.norm.weight": (16,),
            f"blocks.{block}.norm.bias": (16,),
            f"blocks.{block}.pwconv1.weight": (64, 16),
            f"blocks.{block}.pwconv1.bias": (64,),
            f"blocks.{block}.pwconv2.weight": (16, 64),
            f"blocks.{block}.pwconv2.bias": (16,),
        }
    names |= {"norm.weight": (16,), "norm.bias": (16,)}
    names |= {"head.weight": (10, 16), "head.bias": (10,)}
    tensors = {name: seeded(name, shape) for name, shape in names.items()}
    weights.load(model, save(tensors, tmp_path / "iso.safetensors"))
    kernel = keras.ops.convert_to_numpy(model.get_layer("stage0_block1_dwconv").kernel)
    np.testing.assert_array_equal(
        kernel[:, :, :, 0], tensors["blocks.1.dwconv.weight"][:, 0].transpose(1, 2, 0)
    )
    back = weights.save_weights_as(model, tmp_path / "b.safetensors", dialect="meta")
    returned = safetensors.numpy.load_file(back)
    assert returned.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(returned[name], tensor)


def test_a_checkpoint_without_head_and_norm_leaves_both_and_says_so(
    seeded: Callable, tmp_path: Path
) -> None:
    reference = find("meta", "convnextv2_tiny")
    # What FCMAE files are like: sorted names, no norm, no head, two-dimensional GRN.
    tensors = {
        name: tensor.reshape(1, -1) if ".grn." in name else tensor
        for name, tensor in sorted(tensors_of(reference, seeded).items())
        if not name.startswith(("norm.", "head."))
    }
    path = save(tensors, tmp_path / "fcmae.safetensors")
    model = build(reference, seed=1)
    with pytest.warns(UserWarning, match="no classifier") as caught:
        report = weights.load(model, path)
    assert any("no last norm" in str(warning.message) for warning in caught)
    assert set(report.kept) == {
        "head_norm/gamma",
        "head_norm/beta",
        "head_dense/kernel",
        "head_dense/bias",
    }
    np.testing.assert_array_equal(model.get_layer("head_norm").gamma, np.ones(32))


def test_dinov3s_copies_of_the_norm_are_not_needed(
    seeded: Callable, tmp_path: Path
) -> None:
    reference = find("meta", "convnext_tiny")
    tensors = tensors_of(reference, seeded)
    tensors |= {"norms.3.weight": tensors["norm.weight"] + 1}
    tensors = {n: t for n, t in tensors.items() if not n.startswith("head.")}
    model = build(reference, include_top=False)
    report = weights.load(model, save(tensors, tmp_path / "d.safetensors"))
    assert report.dropped == ("norms.3.weight",)
    np.testing.assert_array_equal(
        model.get_layer("head_norm").gamma, tensors["norm.weight"]
    )


def test_a_whole_clip_gives_its_image_tower(tiny: tuple, tmp_path: Path) -> None:
    model, tensors = tiny
    clip = {
        f"visual.trunk.{name}": tensor
        for name, tensor in tensors.items()
        if not name.startswith("head.fc")
    }
    clip["visual.head.proj.weight"] = tensors["head.fc.weight"]
    clip["text.token_embedding.weight"] = np.ones((4, 4), np.float32)
    clip["logit_scale"] = np.ones((), np.float32)
    report = weights.load(model, save(clip, tmp_path / "clip.safetensors"))
    assert report.dialect == "open_clip"
    assert set(report.dropped) == {"text.token_embedding.weight", "logit_scale"}
    np.testing.assert_array_equal(model.get_layer("head_dense").bias, np.zeros(10))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_a_stem_for_other_channels_answers_gray_images_as_before(
    channels: int, tiny: tuple, tmp_path: Path
) -> None:
    _, tensors = tiny
    path = save(tensors, tmp_path / "a.safetensors")
    model = build(find("timm", "convnext_tiny"), input_shape=(64, 64, channels))
    with pytest.warns(UserWarning, match=f"the model takes {channels}"):
        weights.load(model, path)
    kernel = keras.ops.convert_to_numpy(model.get_layer("stem_conv").kernel)
    theirs = tensors["stem.0.weight"].transpose(2, 3, 1, 0)
    # The formula, written another way: channel i gets theirs[i % 3] * 3 / channels;
    # a single one gets them all.
    expected = np.stack(
        [theirs[:, :, i % 3] * 3 / channels for i in range(channels)], 2
    )
    if channels == 1:
        expected = theirs.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)


def test_one_error_lists_everything_and_the_model_is_as_it_was(
    tiny: tuple, tmp_path: Path
) -> None:
    model, tensors = tiny
    before = values(model)
    del tensors["stages.0.blocks.0.norm.weight"], tensors["stem.0.bias"]
    tensors["surprise.weight"] = np.ones((2, 2), np.float32)
    tensors["stages.1.blocks.0.mlp.fc1.weight"] = np.ones((9, 16), np.float32)
    with pytest.raises(weights.WeightsMismatchError) as caught:
        weights.load(model, save(tensors, tmp_path / "a.safetensors"))
    message = str(caught.value)
    for words in (
        "missing from the file (2):",
        "stem_conv/bias (8,)",
        "stage0_block0_norm/gamma (8,)",
        "not in the model (1):",
        "surprise.weight (2, 2)",
        "of another shape (1):",
        "stages.1.blocks.0.mlp.fc1.weight: (16, 9) in the file, (16, 64) in the model",
    ):
        assert words in message
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_names_of_nobody_are_refused(tiny: tuple, tmp_path: Path) -> None:
    model, _ = tiny
    path = save({"a": np.ones(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(weights.WeightsMismatchError, match="no ConvNeXt that is known"):
        weights.load(model, path)


@pytest.mark.parametrize(
    ("name", "dialect", "words"),
    [
        (
            "convnextv2_tiny",
            "torchvision",
            r"stage\*_block\*_grn/gamma \(in 5 places\), stage\*_block\*_grn",
        ),
        ("convnext_large_mlp", "meta", "no word for head_hidden"),
        ("convnext_tiny_hnf", "meta", "norm before the pooling"),
        ("convnext_tiny", "tensorflow", "no dialect 'tensorflow'"),
    ],
)
def test_what_a_dialect_cannot_say_is_named(
    name: str, dialect: str, words: str, mini: Callable, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        weights.save_weights_as(mini(name), tmp_path / "a.safetensors", dialect=dialect)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".h5"])
def test_what_is_written_may_be_read_by_whom_other_files_may(
    ending: str, mini: Callable, tmp_path: Path
) -> None:
    dialect = "keras_applications" if ending == ".h5" else "timm"
    path = weights.save_weights_as(mini(), tmp_path / f"a{ending}", dialect)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_keras_applications_can_load_is_written(
    mini: Callable, fill: Callable, tmp_path: Path
) -> None:
    model = fill(mini("convnext_tiny"))
    before = values(model)
    weights.save_weights_as(model, tmp_path / "a.h5", dialect="keras_applications")
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 9.0))
    report = weights.load(model, tmp_path / "a.h5")
    assert report.dialect == "keras_applications"
    for variable, value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_weights_of_another_network_are_called_by_its_name(tmp_path: Path) -> None:
    shape = {"weights": None, "input_shape": (32, 32, 3)}
    path = tmp_path / "atto.safetensors"
    weights.save_weights_as(keras_convnext.ConvNeXtV2Atto(**shape), path)
    with pytest.raises(weights.WeightsMismatchError) as caught:
        keras_convnext.ConvNeXtAtto(**shape | {"weights": path})
    depths = "depths (2, 2, 6, 2) and widths (40, 80, 160, 320)"
    assert str(caught.value).splitlines()[1] == (
        f"it holds {depths} (convnextv2_atto); the model has {depths} "
        "(convnext_atto, convnext_atto_ols, convnext_atto_rms)"
    )
