"""Detectors' weights under other projects' names, and the table of published ones.

The names are written out here as mmdetection and Meta write them.
"""

from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_convnext
from keras_convnext.detection import checkpoints, list_detectors
from tests.keras_convnext.segmentation.test_weights import shapes_of as upernet_shapes

WIDTHS, CLASSES = (40, 80, 160, 320), 3


def shapes_of(project, stages):
    """Every tensor of a detector on ConvNeXt-Atto's widths.

    Args:
        project: "openmmlab" or "meta".
        stages: "" for Mask R-CNN, "0", "1", "2" for its cascade.
    """
    found = {
        name: shape
        for name, shape in upernet_shapes(project).items()
        if name.startswith("backbone.")
    }

    def linear(name, *shape):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    for level, width in enumerate(WIDTHS):
        linear(f"neck.lateral_convs.{level}.conv", 256, width, 1, 1)
        linear(f"neck.fpn_convs.{level}.conv", 256, 256, 3, 3)
    linear("rpn_head.rpn_conv", 256, 256, 3, 3)
    linear("rpn_head.rpn_cls", 3, 256, 1, 1)
    linear("rpn_head.rpn_reg", 12, 256, 1, 1)
    for stage in stages:
        box = f"roi_head.bbox_head.{stage}".removesuffix(".")
        for index in range(4 if stage else 0):
            conv = f"{box}.shared_convs.{index}"
            found[f"{conv}.conv.weight"] = (256, 256, 3, 3)
            linear(f"{conv}.bn", 256)
            found[f"{conv}.bn.running_mean"] = (256,)
            found[f"{conv}.bn.running_var"] = (256,)
        linear(f"{box}.shared_fcs.0", 1024, 256 * 7 * 7)
        if not stage:
            linear(f"{box}.shared_fcs.1", 1024, 1024)
        linear(f"{box}.fc_cls", CLASSES + 1, 1024)
        linear(f"{box}.fc_reg", 4 * CLASSES, 1024)
        mask = f"roi_head.mask_head.{stage}".removesuffix(".")
        for index in range(4):
            linear(f"{mask}.convs.{index}.conv", 256, 256, 3, 3)
        found[f"{mask}.upsample.weight"] = (256, 256, 2, 2)
        found[f"{mask}.upsample.bias"] = (256,)
        linear(f"{mask}.conv_logits", CLASSES, 256, 1, 1)
    return found


def random_tensors(project, stages):
    random = np.random.default_rng(0)
    return {
        name: random.uniform(0.5, 1.5, shape).astype("float32")
        for name, shape in shapes_of(project, stages).items()
    }


def build(builder=keras_convnext.MaskRCNN, classes=CLASSES, **arguments):
    # Both projects' networks have layer scale in every size.
    return builder("convnext_atto", classes, layer_scale_init_value=1.0, **arguments)


@pytest.mark.parametrize(
    ("project", "builder", "stages"),
    [
        ("openmmlab", keras_convnext.MaskRCNN, ("",)),
        ("meta", keras_convnext.MaskRCNN, ("",)),
        pytest.param(
            *("openmmlab", keras_convnext.CascadeMaskRCNN, ("0", "1", "2")),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_names_of_others_are_read_and_written_back(project, builder, stages, tmp_path):
    tensors = random_tensors(project, stages)
    save_file(tensors, tmp_path / "theirs.safetensors")
    model = build(builder)
    report = keras_convnext.load_weights(model, tmp_path / "theirs.safetensors")
    assert (report.dialect, report.kept, report.dropped) == (project, (), ())
    assert report.tensors == len(tensors)
    stage = stages[-1]
    box, mask = (
        f"roi_head.{head}_head.{stage}".removesuffix(".") for head in ("bbox", "mask")
    )
    # There maps are flattened by channel, here by position.
    first = tensors[f"{box}.shared_fcs.0.weight"].reshape(1024, 256, 7, 7)
    kernel = np.asarray(model.get_layer(f"box{stage}_fc0").kernel)
    np.testing.assert_array_equal(
        kernel.reshape(7, 7, 256, 1024)[2, 5], first[:, :, 2, 5].T
    )
    # (in, out, height, width) there.
    kernel = model.get_layer(f"mask{stage}_upsample").kernel
    np.testing.assert_array_equal(
        kernel[0, 1], tensors[f"{mask}.upsample.weight"][:, :, 0, 1].T
    )
    word = {"openmmlab": "mmdet", "meta": "meta"}[project]
    path = keras_convnext.save_weights_as(model, tmp_path / "o.safetensors", word)
    written = load_file(path)
    assert set(written) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(written[name], tensor)


def test_other_classes_keep_the_last_layers_and_say_so(tmp_path):
    save_file(random_tensors("meta", ("",)), tmp_path / "model.safetensors")
    with pytest.warns(UserWarning, match="other classes"):
        report = keras_convnext.load_weights(
            build(classes=2), tmp_path / "model.safetensors"
        )
    assert {name.partition("/")[0] for name in report.kept} == {
        *("box_logits", "box_deltas", "mask_logits")
    }


def test_a_classifier_takes_the_backbone_and_gives_one(tmp_path):
    save_file(random_tensors("openmmlab", ("",)), tmp_path / "model.safetensors")
    classifier = keras_convnext.ConvNeXtAtto(
        weights=None, include_top=False, layer_scale_init_value=1.0
    )
    keras_convnext.load_weights(classifier, tmp_path / "model.safetensors")
    keras_convnext.save_weights_as(classifier, tmp_path / "c.safetensors", "timm")
    model = build(masks=False)
    report = keras_convnext.load_weights(model, tmp_path / "c.safetensors")
    name = "stage3_block1_dwconv"
    np.testing.assert_array_equal(
        model.get_layer(name).kernel, classifier.get_layer(name).kernel
    )
    assert {each.partition("_")[0] for each in report.kept} == {
        *("box", "fpn", "pyramid", "rpn")
    }


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
@pytest.mark.parametrize(
    "build",
    [
        partial(keras_convnext.MaskRCNN, channels=8, units=8),
        partial(keras_convnext.UPerNet, head_channels=8),
    ],
    ids=["MaskRCNN", "UPerNet"],
)
@pytest.mark.filterwarnings("ignore:The weights have none for auxiliary")
@pytest.mark.slow
def test_what_keras_saves_of_a_model_with_heads_is_taken_whole(build, ending, tmp_path):
    model, other = build("convnext_atto", 2), build("convnext_atto", 2)
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    path = str(tmp_path / f"own{ending}")
    save = model.save_weights if ending == ".weights.h5" else model.save
    save(path)
    report = keras_convnext.load_weights(other, path)
    assert report.tensors == len(model.weights)
    for one, variable in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, variable)


def test_the_table_has_metas_and_mmdetections_models():
    # COCO, 36 epochs: box and mask AP. Source: the READMEs of both repositories.
    published = {
        "mask_rcnn_convnext_tiny.coco": (46.2, 41.7, "mit"),
        "cascade_mask_rcnn_convnext_base.coco_in22k": (54.0, 46.9, "mit"),
        "cascade_mask_rcnn_convnext_xlarge.coco_in22k": (55.2, 47.7, "mit"),
        "cascade_mask_rcnn_convnext_small.mmdet_coco": (51.8, 44.8, "apache-2.0"),
    }
    for name, (box_ap, mask_ap, license_name) in published.items():
        record = checkpoints.find(name)
        assert (record.box_ap, record.mask_ap) == (box_ap, mask_ap)
        assert record.weights.license == license_name
    assert len(list_detectors("*.coco*")) == 7
    assert len(list_detectors("*.mmdet_coco")) == 3
    for record in checkpoints.records().values():
        if record.weights.checksum:
            digits = record.weights.checksum.removeprefix("sha256:")
            assert record.weights.files[0].endswith(f"-{digits}.pth")


def test_a_name_that_is_not_there_gets_the_closest_ones():
    with pytest.raises(ValueError, match=r"mask_rcnn_convnext_tiny\.coco"):
        keras_convnext.create("mask_rcnn_convnext_tiny.coc")
    with pytest.raises(ValueError, match="no ConvNeXt variant called 'resnet50'"):
        keras_convnext.create("cascade_mask_rcnn_resnet50")
