"""A batch larger than the data, and a step larger than the memory, before any work."""

import dataclasses

import pytest

from keras_convnext import FCMAE
from keras_convnext._messages import UsageError
from keras_convnext.variants import VARIANTS
from training.engine import first_step
from training.engine.head_sizes import HEADS
from training.recipes import table
from training.recipes.box_augmentation import BoxAugmentation

GIB = 2**30


@pytest.fixture
def recipe(tiny_recipe):
    return dataclasses.replace(tiny_recipe, variant="convnext_tiny", patch_size=None)


def set_memory(monkeypatch, tmp_path, available, limit=None, used=0):
    """Has the system say what it has, in kB, and what a container may have."""
    (tmp_path / "meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemAvailable: {available // 1024} kB\n"
    )
    (tmp_path / "max").write_text("max\n" if limit is None else f"{limit}\n")
    (tmp_path / "current").write_text(f"{used}\n")
    monkeypatch.setattr(first_step, "_MEMINFO", tmp_path / "meminfo")
    files = (tmp_path / "max", tmp_path / "current")
    monkeypatch.setattr(first_step, "_CGROUPS", (files,))


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [(None, 0, 8 * GIB), (6 * GIB, GIB, 5 * GIB), (20 * GIB, GIB, 8 * GIB)],
)
def test_the_free_memory_is_the_systems_or_the_containers(
    monkeypatch, tmp_path, limit, used, free
):
    set_memory(monkeypatch, tmp_path, 8 * GIB, limit, used)
    assert first_step.free_bytes() == free


def test_where_nobody_says_what_is_free_nothing_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(first_step, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(first_step, "_CGROUPS", ((tmp_path / "a", tmp_path / "b"),))
    assert first_step.free_bytes() is None
    assert first_step.check_memory(table.RECIPES["v1_large_in22k"], 1) is None


def test_a_papers_batch_does_not_fit_into_sixteen_gigabytes(monkeypatch, tmp_path):
    set_memory(monkeypatch, tmp_path, 16 * GIB)
    paper = table.RECIPES["v1_tiny_in1k"]
    with pytest.raises(UsageError, match=r"and 16\.0 GiB are free") as raised:
        first_step.check_memory(paper, 1)
    said = str(raised.value)
    # What it tells to set fits, and four times as much would not.
    for field in ("global_batch", "accumulation_steps"):
        value = said.partition(f"--set {field}=")[2].split(",")[0].split()[0]
        fitting = table.resolve("v1_tiny_in1k", [f"{field}={value}"])
        assert first_step.check_memory(fitting, 1) is None
    batch = int(said.partition("--set global_batch=")[2].split(",")[0])
    more = table.resolve("v1_tiny_in1k", [f"global_batch={4 * batch}"])
    set_memory(monkeypatch, tmp_path, 7 * GIB)
    with pytest.raises(UsageError, match="a step needs about"):
        first_step.check_memory(more, 1)


def test_between_once_and_twice_the_memory_it_is_a_line(monkeypatch, tmp_path, recipe):
    image, fixed = first_step.bytes_of(recipe)
    needed = recipe.global_batch * image + fixed
    for share, refused in ((1.01, False), (0.99, None), (0.6, None), (0.49, True)):
        set_memory(monkeypatch, tmp_path, int(needed * share))
        if refused:
            with pytest.raises(UsageError, match="accumulation_steps="):
                first_step.check_memory(recipe, 1)
        else:
            line = first_step.check_memory(recipe, 1)
            assert (line is not None) == (refused is None)


def test_the_activations_are_those_of_the_widths():
    """Doubling the side quadruples them; sixteen bits halve what the blocks keep."""
    tiny = table.RECIPES["v1_tiny_in1k"]
    image, fixed = first_step.bytes_of(tiny)
    twice, _ = first_step.bytes_of(dataclasses.replace(tiny, size_px=448))
    assert twice == 4 * image
    # ConvNeXt-T at 224 px by hand: side, width and depth of each stage.
    stages = ((56, 96, 3), (28, 192, 3), (14, 384, 9), (7, 768, 3))
    widths = sum(side * side * width * depth for side, width, depth in stages)
    assert image / widths / 4 == pytest.approx(first_step._KEPT_WIDTHS, rel=0.03)
    # Weight, gradient, two moments and the average, in float32.
    assert fixed == VARIANTS["convnext_tiny"].parameters * 4 * 5


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("convnext_tiny", 31_497_366 + 923_798),
        ("convnext_xlarge", 40_590_486 + 2_398_358),
    ],
)
def test_the_heads_of_segmentation_are_counted(variant, parameters):
    """By the counts of mmsegmentation's heads for ADE20K, and by hand."""
    recipe = table.resolve(
        "finetune_segment_small", [f"variant={variant}", "head_channels=512"]
    )
    widths = VARIANTS[variant].widths
    found = HEADS["segmentation"](recipe, widths, (128**2, 64**2, 32**2, 16**2), 150)
    # The output norms belong to the backbone there.
    assert found.parameters == parameters + 2 * sum(widths)
    # What a processor's process grew by with each image, in MB.
    for changes, classes, megabytes in (
        (["head_channels=64"], 2, 92),
        (["head_channels=256"], 2, 149),
        (["head_channels=64"], 150, 248),
    ):
        small = ["variant=convnext_atto", "weights=none", "size_px=256", *changes]
        recipe = table.resolve("finetune_segment_small", small)
        image, _ = first_step.bytes_of(recipe, classes=classes)
        assert image / 1e6 == pytest.approx(megabytes, rel=0.1)


@pytest.mark.parametrize(
    ("recipe", "parameters", "stages", "convolutions"),
    [
        ("mask_rcnn_tiny_coco", 16_949_985, 1, 0),
        ("cascade_mask_rcnn_tiny_coco", 54_785_187, 3, 4),
    ],
)
def test_the_heads_of_detection_are_counted(recipe, parameters, stages, convolutions):
    """By the counts of mmdetection's heads for COCO: pyramid, proposals and boxes."""
    recipe = table.resolve(recipe)
    widths = VARIANTS["convnext_tiny"].widths
    areas = (200**2, 100**2, 50**2, 25**2)
    found = HEADS["detection"](recipe, widths, areas, 80)
    norms = 2 * sum(widths)
    assert found.parameters == 2_729_984 + 593_935 + parameters + norms
    # 512 boxes of 7x7 cells: what a dense layer, and each normalized convolution and
    # its norm, begin with. 128 masks: five times 14x14 cells, and once four times as
    # many, then 28x28 logits of each class.
    of_boxes = 512 * 49 * 256 * (1 + 2 * convolutions)
    of_masks = 128 * 14**2 * 256 * (5 + 4)
    of_maps = sum(a * (256 + 2 * w) for a, w in zip(areas, widths, strict=True))
    assert found.maps == of_maps + stages * (of_boxes + of_masks)
    assert found.pixels == stages * 128 * 28**2 * 80
    # Beside what a classifier needs; in sixteen bits but for logits.
    same = [f"size_px={recipe.size_px}", f"precision={recipe.precision}"]
    backbone, _ = first_step.bytes_of(table.resolve("v1_tiny_in1k", same))
    square = dataclasses.replace(
        recipe, box_augmentation=BoxAugmentation(jitter=(1, 1))
    )
    image, _ = first_step.bytes_of(square, classes=80)
    assert image == backbone + 2 * found.maps + 4 * found.pixels
    # Of 800 x 1333 pixels all but what belongs to boxes is 5/3; areas are rounded.
    larger, _ = first_step.bytes_of(recipe, classes=80)
    assert larger - image == pytest.approx((backbone + 2 * of_maps) * 2 / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("augmentation", "area"),
    [
        ({}, 5 / 3),
        ({"jitter": (0.1, 2.0)}, 1),
        ({"scale_range": (0.6, 1.0), "scale_steps": 11}, 5 / 3),
        ({"scale_range": (0.3, 0.6), "scale_steps": 2}, 1),
        ({"scale_range": (1.0, 3.0), "scale_steps": 2}, 25 / 9),
    ],
)
def test_the_largest_training_image_is_known(augmentation, area):
    found = BoxAugmentation(**augmentation).largest_area
    assert found == pytest.approx(area, rel=1e-12)  # Float64.


@pytest.mark.parametrize(
    ("fields", "examples", "words"),
    [
        ({"global_batch": 4096}, 160, r"4096 is more than the 160 images.*batch=32"),
        (
            {"global_batch": 4096, "accumulation_steps": 64},
            32,
            r"--set global_batch=8 --set accumulation_steps=1$",
        ),
        (
            {"global_batch": 64, "accumulation_steps": 128},
            160,
            r"devices 1, accumulation_steps 128; --set accumulation_steps=64",
        ),
        (
            {"global_batch": 12, "accumulation_steps": 8},
            160,
            r"cannot be shared evenly.*--set global_batch=8",
        ),
    ],
)
def test_a_batch_that_the_data_cannot_fill_is_refused(recipe, fields, examples, words):
    changed = dataclasses.replace(recipe, **fields)
    with pytest.raises(UsageError, match=words):
        first_step.check_batch(changed, examples, 1)


def test_a_batch_a_little_larger_than_the_data_is_a_line(recipe):
    changed = dataclasses.replace(recipe, global_batch=32)
    assert first_step.check_batch(changed, 32, 1) is None
    line = first_step.check_batch(changed, 20, 1)
    assert "more than the 20 images" in line
    assert line.endswith("--set global_batch=4")


def test_the_decoder_of_pre_training_is_counted():
    recipe = table.resolve("pretrain_small", ["size_px=96"])
    model = FCMAE(recipe.variant, input_shape=(96, 96, 3))
    widths = VARIANTS[recipe.variant].widths
    found = HEADS["masked_autoencoding"](recipe, widths, (), 0)
    own = model.count_params() - model.encoder.count_params()
    # Keras counts the seeds of masks and of stochastic depth, too.
    assert 0 <= own - found.parameters < 100
    # Of 9 patches 6 are masked: predictions, targets, errors.
    assert found.pixels == 3 * 6 * 3072


def test_what_is_masked_needs_no_memory():
    dense = table.resolve("pretrain_small", ["mask_ratio=0.1"])
    sparse = table.resolve("pretrain_small", ["mask_ratio=0.9"])
    assert first_step.bytes_of(sparse)[0] < 0.5 * first_step.bytes_of(dense)[0]
    assert first_step.bytes_of(sparse)[1] == first_step.bytes_of(dense)[1]
