"""What each recipe reaches, in what time, on what hardware, and who measured it."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from keras_convnext.detection import checkpoints as detectors
from keras_convnext.segmentation import checkpoints
from keras_convnext.weights.registry import find

from .recipe import Recipe


@dataclass(frozen=True)
class Expectation:
    """What to expect of a recipe.

    Attributes:
        task: The kind of work.
        data: The data set that the figure is for.
        top1: Top-1 accuracy on its validation or test images, in percent; None where
            nobody has measured it.
        miou: Mean IoU of label maps, one scale, in percent; None where nobody has
            measured it.
        box_ap: COCO's average precision of boxes, in percent; None where nobody has
            measured it.
        mask_ap: The same of masks.
        minutes: Duration of that run in minutes; None where it is not known.
        hardware: What it ran on; empty where it is not known.
        source: Who measured it; empty where nobody has.
    """

    task: str
    data: str
    top1: float | None = None
    miou: float | None = None
    box_ap: float | None = None
    mask_ap: float | None = None
    minutes: float | None = None
    hardware: str = ""
    source: str = ""


# docs/training.md has the commands.
_MEASURED_HERE = {
    "demo": Expectation(
        task="classification",
        data="digits",
        top1=98.59,
        minutes=5,
        hardware="2 busy CPU cores",
        source="this project",
    ),
    "scratch_small": Expectation(
        task="classification",
        data="CIFAR-10",
        top1=88.12,
        minutes=3.1,
        hardware="1 H200, JAX, bfloat16",
        source="this project",
    ),
    "finetune_small": Expectation(
        task="classification", data="hundreds of photographs"
    ),
    "finetune_segment_small": Expectation(
        task="segmentation", data="hundreds of images with masks"
    ),
    "pretrain_small": Expectation(
        task="masked_autoencoding", data="thousands of images"
    ),
    "distill_small": Expectation(
        task="feature_distillation", data="thousands of images"
    ),
    "finetune_detect_small": Expectation(
        task="detection", data="hundreds of images with boxes"
    ),
}
# Of the papers' recipes: the data, and the published checkpoint which the authors
# trained by it; they state its accuracy. The first pattern that fits counts.
_OF_PAPERS = (
    ("v1_*_in22k", "ImageNet-22k", ""),
    ("v2_*_ft_in22k", "ImageNet-22k", ""),
    ("v1_*_ft_in1k_*", "ImageNet-1k", "{variant}.meta_22k_1k_{size_px}{average}"),
    ("v1_*_in1k_384", "ImageNet-1k", "{variant}.meta_1k_384"),
    ("v2_*_in22k_in1k_*", "ImageNet-1k", "{variant}.meta_22k_{size_px}_ema"),
    ("v?_*_in1k", "ImageNet-1k", "{variant}.meta_1k_224_ema"),
)


def expect(recipe: Recipe) -> Expectation:
    """Returns the expected accuracy and cost of a recipe of the table.

    Args:
        recipe: As it stands in `RECIPES`.

    Raises:
        ValueError: Nothing is said of it; a new recipe needs a row above.
    """
    if recipe.name in _MEASURED_HERE:
        return _MEASURED_HERE[recipe.name]
    if fnmatch.fnmatchcase(recipe.name, "upernet_*_ade20k"):
        published = checkpoints.find(
            f"upernet_{recipe.variant}.meta_ade20k_{recipe.size_px}"
        )
        return Expectation(
            "segmentation",
            "ADE20K",
            miou=published.miou,
            source=published.figures_from,
        )
    if fnmatch.fnmatchcase(recipe.name, "v2_*_fcmae_in1k"):
        return Expectation("masked_autoencoding", "ImageNet-1k")
    if fnmatch.fnmatchcase(recipe.name, "*_coco"):
        pretrained_on = "_in22k" if recipe.weights == "meta_22k_224" else ""
        detector = detectors.find(
            f"{recipe.detector}_{recipe.variant}.coco{pretrained_on}"
        )
        return Expectation(
            "detection",
            "COCO",
            box_ap=detector.box_ap,
            mask_ap=detector.mask_ap,
            source=detector.figures_from,
        )
    fitting = (
        (data, checkpoint)
        for pattern, data, checkpoint in _OF_PAPERS
        if fnmatch.fnmatchcase(recipe.name, pattern)
    )
    data, checkpoint = next(fitting, ("", ""))
    if not data:
        raise ValueError(f"what {recipe.name} reaches is not said")
    if not checkpoint:
        return Expectation("classification", data)
    accuracy = find(
        checkpoint.format(
            variant=recipe.variant,
            size_px=recipe.size_px,
            average="_ema" if recipe.ema_decay else "",
        )
    ).accuracy
    assert accuracy is not None  # the registry's tables have it, and a test looks
    return Expectation(
        "classification", data, top1=accuracy.top1, source=accuracy.source
    )
