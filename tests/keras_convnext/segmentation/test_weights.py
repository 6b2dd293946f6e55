"""UPerNet's weights under other projects' names, and the table of published ones.

The names are written out here as mmsegmentation and Meta write them.
"""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_convnext
from export import convert_main
from keras_convnext.segmentation import UPerNet, checkpoints, list_upernets
from keras_convnext.weights.convert import convert

DEPTHS, WIDTHS = (2, 2, 6, 2), (40, 80, 160, 320)
CHANNELS = 32
HEADS = {
    **{f"decode_head.psp_modules.{i}.1": (CHANNELS, 320, 1) for i in range(4)},
    "decode_head.bottleneck": (CHANNELS, 320 + 4 * CHANNELS, 3),
    **{f"decode_head.lateral_convs.{i}": (CHANNELS, WIDTHS[i], 1) for i in range(3)},
    **{f"decode_head.fpn_convs.{i}": (CHANNELS, CHANNELS, 3) for i in range(3)},
    "decode_head.fpn_bottleneck": (CHANNELS, 4 * CHANNELS, 3),
    "auxiliary_head.convs.0": (CHANNELS // 2, 160, 3),
}
WORDS = {
    "openmmlab": ("depthwise_conv", "pointwise_conv1", "pointwise_conv2"),
    "meta": ("dwconv", "pwconv1", "pwconv2"),
}


def shapes_of(project):
    """Every tensor of a UPerNet with ConvNeXt-Atto's widths and five classes."""
    depthwise, expand, project_back = WORDS[project]
    found = {}

    def linear(name, *shape):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        down = f"backbone.downsample_layers.{stage}"
        if stage == 0:
            linear(f"{down}.0", width, 3, 4, 4)
            linear(f"{down}.1", width)
        else:
            linear(f"{down}.0", WIDTHS[stage - 1])
            linear(f"{down}.1", width, WIDTHS[stage - 1], 2, 2)
        linear(f"backbone.norm{stage}", width)
        for index in range(depth):
            block = f"backbone.stages.{stage}.{index}"
            found[f"{block}.gamma"] = (width,)
            linear(f"{block}.{depthwise}", width, 1, 7, 7)
            linear(f"{block}.norm", width)
            linear(f"{block}.{expand}", 4 * width, width)
            linear(f"{block}.{project_back}", width, 4 * width)
    for name, (outputs, inputs, side) in HEADS.items():
        found[f"{name}.conv.weight"] = (outputs, inputs, side, side)
        linear(f"{name}.bn", outputs)
        found[f"{name}.bn.running_mean"] = found[f"{name}.bn.running_var"] = (outputs,)
    linear("decode_head.conv_seg", 5, CHANNELS, 1, 1)
    linear("auxiliary_head.conv_seg", 5, CHANNELS // 2, 1, 1)
    return found


@pytest.fixture(scope="module")
def model():
    # Both projects' networks have layer scale in every size.
    return build(5)


def build(classes):
    return UPerNet(
        "convnext_atto",
        classes,
        input_shape=(64, 64, 3),
        head_channels=CHANNELS,
        layer_scale_init_value=1.0,
    )


@pytest.mark.parametrize("project", WORDS)
def test_every_tensor_of_the_names_of_others_finds_its_place(model, project, tmp_path):
    random = np.random.default_rng(0)
    tensors = {
        name: random.uniform(0.5, 1.5, shape).astype("float32")
        for name, shape in shapes_of(project).items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    report = keras_convnext.load_weights(model, tmp_path / "model.safetensors")
    assert (report.dialect, report.kept, report.dropped) == (project, (), ())
    assert report.tensors == len(tensors)
    kernel = model.get_layer("decode_lateral1_conv").kernel
    theirs = tensors["decode_head.lateral_convs.1.conv.weight"]
    np.testing.assert_array_equal(kernel[0, 0], theirs[:, :, 0, 0].T)
    kernel = model.get_layer("decode_fuse_conv").kernel
    theirs = tensors["decode_head.fpn_bottleneck.conv.weight"]
    np.testing.assert_array_equal(kernel[2, 1], theirs[:, :, 2, 1].T)
    norm = model.get_layer("decode_pool3_norm")
    theirs = "decode_head.psp_modules.2.1.bn"
    for variable, suffix in (
        *((norm.gamma, "weight"), (norm.beta, "bias")),
        *((norm.moving_mean, "running_mean"), (norm.moving_variance, "running_var")),
    ):
        np.testing.assert_array_equal(variable, tensors[f"{theirs}.{suffix}"])
    level = model.get_layer("pyramid_norm_p5").gamma
    np.testing.assert_array_equal(level, tensors["backbone.norm3.weight"])


def random_tensors(project):
    random = np.random.default_rng(0)
    return {
        name: random.uniform(0.5, 1.5, shape).astype("float32")
        for name, shape in shapes_of(project).items()
    }


def assert_same_file(path, tensors):
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


@pytest.mark.parametrize(("project", "word"), [("openmmlab", "mmseg"), ("meta",) * 2])
def test_the_way_back_to_the_names_of_others_is_exact(model, project, word, tmp_path):
    tensors = random_tensors(project)
    save_file(tensors, tmp_path / "there.safetensors")
    keras_convnext.load_weights(model, tmp_path / "there.safetensors")
    path = tmp_path / "back.safetensors"
    assert_same_file(keras_convnext.save_weights_as(model, path, word), tensors)


def test_a_saved_model_is_converted_to_the_names_of_mmsegmentation(model, tmp_path):
    save_file(random_tensors("openmmlab"), tmp_path / "there.safetensors")
    keras_convnext.load_weights(model, tmp_path / "there.safetensors")
    model.save(tmp_path / "model.keras")
    back = tmp_path / "back.safetensors"
    argv = ["convert", str(tmp_path / "model.keras"), str(back), "--to=mmseg"]
    assert convert_main.main(argv) == 0
    # The auxiliary head serves training, and no saved model has it.
    kept = {
        name: tensor
        for name, tensor in random_tensors("openmmlab").items()
        if not name.startswith("auxiliary_head.")
    }
    assert_same_file(back, kept)


def test_files_go_through_every_naming_of_the_heads(tmp_path):
    tensors = random_tensors("meta")
    path = tmp_path / "meta.safetensors"
    save_file(tensors, path)
    for step, word in enumerate(("huggingface", "mmseg", "keras_convnext", "meta")):
        following = tmp_path / f"{step}.safetensors"
        convert(path, following, word)
        path = following
    assert_same_file(path, tensors)


def test_a_naming_without_heads_gets_the_backbone_alone(model, tmp_path):
    save_file(random_tensors("meta"), tmp_path / "meta.safetensors")
    path = tmp_path / "timm.safetensors"
    convert(tmp_path / "meta.safetensors", path, "timm")
    words = {name.partition(".")[0] for name in load_file(path)}
    assert words == {"stem", "stages"}
    with pytest.raises(ValueError, match=r"timm files have no word for .*decode_"):
        keras_convnext.save_weights_as(model, path, "timm")
    with pytest.raises(ValueError, match="smp files have no word for auxiliary_"):
        keras_convnext.save_weights_as(model, path, "smp")


def test_other_classes_keep_the_last_convolutions_and_say_so(tmp_path):
    tensors = {
        name: np.ones(shape, "float32") for name, shape in shapes_of("meta").items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    model = build(2)
    with pytest.warns(UserWarning, match="other classes than"):
        report = keras_convnext.load_weights(model, tmp_path / "model.safetensors")
    assert {name.partition("/")[0] for name in report.kept} == {
        *("decode_logits", "auxiliary_logits")
    }


def test_a_classifier_takes_the_backbone_of_a_upernet(tmp_path):
    tensors = {
        name: np.full(shape, 0.5, "float32")
        for name, shape in shapes_of("meta").items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    classifier = keras_convnext.ConvNeXtAtto(
        weights=None, include_top=False, layer_scale_init_value=1.0
    )
    keras_convnext.load_weights(classifier, tmp_path / "model.safetensors")
    assert float(classifier.get_layer("stage3_block1_dwconv").kernel[0, 0, 0, 0]) == 0.5


def test_the_table_has_metas_mmsegmentations_and_hugging_faces_models():
    # ADE20K, one scale. Source: the READMEs of both repositories.
    published = {
        "upernet_convnext_tiny.ade20k_512": (46.11, "apache-2.0"),
        "upernet_convnext_xlarge.ade20k_640": (53.58, "apache-2.0"),
        "upernet_convnext_tiny.meta_ade20k_512": (46.0, "mit"),
        "upernet_convnext_xlarge.meta_ade20k_640": (53.6, "mit"),
        "upernet_convnext_large.hf_ade20k": (None, "mit"),
    }
    for name, (miou, license_name) in published.items():
        record = checkpoints.find(name)
        assert (record.miou, record.weights.license) == (miou, license_name)
    assert len(list_upernets("*.ade20k_*")) == len(list_upernets("*.meta_*")) == 6
    assert len(list_upernets("*.hf_ade20k")) == 5
    for record in checkpoints.records().values():
        if record.weights.checksum:
            digits = record.weights.checksum.removeprefix("sha256:")
            assert record.weights.files[0].endswith(f"-{digits}.pth")


def test_a_name_that_is_not_there_gets_the_closest_ones():
    with pytest.raises(ValueError, match=r"upernet_convnext_tiny\.ade20k_512"):
        keras_convnext.create("upernet_convnext_tiny.ade20k")
    with pytest.raises(ValueError, match="no ConvNeXt variant called 'resnet50'"):
        keras_convnext.create("upernet_resnet50")
