"""What a detector's boxes and masks are worth, as COCO measures.

hotcoco computes the figures: to the last digit those of pycocotools, in a fraction of
its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext.detection import coco_results
from keras_convnext.detection.inference import Objects

if TYPE_CHECKING:
    from ..data.box_source import BoxSource

# COCO's twelve, in its order.
FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
# Of what is drawn and told; files and metrics have all.
LEAST_SCORE = 0.3
# What is wrong with a detection, or an object, by TIDE's names.
ERRORS = {
    "Miss": "missed",
    "Bkg": "background",
    "Cls": "confusion",
    "Loc": "localization",
    "Both": "confusion and localization",
    "Dupe": "duplicate",
}


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """COCO's figures of boxes, or of masks.

    Attributes:
        figures: By the names of `FIGURES`, 0 to 1; -1 where no object counts, as in
            pycocotools.
        by_recall: Precision `(thresholds, recalls, classes)` by IoU of 0.5 to 0.95 in
            steps of 0.05, by recall of 0 to 1 in steps of 0.01, and by class; -1 of
            classes without objects.
        error_counts: How many there are, by the words of `ERRORS`.
        error_costs: By how much AP at an IoU of 0.5 would rise without them.
        image_ap: AP at an IoU of 0.5 of each image alone; NaN where there is nothing,
            neither objects nor detections. Which are the worst, and never a metric.
    """

    figures: dict[str, float]
    by_recall: np.ndarray
    error_counts: dict[str, int]
    error_costs: dict[str, float]
    image_ap: np.ndarray

    def ap_by_class(self, threshold: float | None = None) -> np.ndarray:
        """Returns AP of each class, `(classes,)`; NaN of those without objects.

        Args:
            threshold: An IoU of the ten; the mean over all unless given.
        """
        values = self.by_recall
        if threshold is not None:
            values = values[[round((threshold - 0.5) / 0.05)]]
        means = values.mean(axis=(0, 1))
        return np.where(values[0, 0] < 0, np.nan, means)


@dataclass(frozen=True, eq=False)
class DetectionResults:
    """Detections of a set of images, and what they are worth.

    Attributes:
        boxes: Figures of the boxes.
        masks: Figures of the masks; None where there are none.
        detections: In COCO's result format, by image number and class number.
        objects: How many objects each class has, `(classes,)`; crowds left out.
    """

    boxes: CocoFigures
    masks: CocoFigures | None
    detections: list[dict[str, Any]]
    objects: np.ndarray

    @property
    def best(self) -> CocoFigures:
        """Figures of what decides: the masks, where there are any."""
        return self.masks or self.boxes

    @property
    def figures(self) -> dict[str, float]:
        """All metrics, those of masks with "mask_" before their names."""
        masks = self.masks.figures if self.masks else {}
        named = {f"mask_{name}": value for name, value in masks.items()}
        return {**self.boxes.figures, **named}

    def of_image(self, number: int) -> list[dict[str, Any]]:
        """Returns the detections of one image, the best first."""
        found = [each for each in self.detections if each["image_id"] == number]
        return sorted(found, key=lambda each: -each["score"])

    def by_class(self) -> dict[str, np.ndarray]:
        """Returns AP of each class as "ap" and "ap50", and "mask_" before them."""
        kinds = {"": self.boxes, "mask_": self.masks}
        return {
            f"{prefix}{name}": each.ap_by_class(threshold)
            for prefix, each in kinds.items()
            if each is not None
            for name, threshold in (("ap", None), ("ap50", 0.5))
        }

    def images_by_ap(self) -> np.ndarray:
        """Returns the numbers of the images that have an AP, the worst first."""
        values = self.best.image_ap
        order = np.argsort(values, kind="stable")
        return order[~np.isnan(values[order])]


def sum_up(
    rows: Iterable[Mapping[str, np.ndarray]], source: BoxSource
) -> DetectionResults:
    """Measures the detections of some images at a time.

    Args:
        rows: "number" `(n,)`, the place of the image among the validation examples;
            "boxes" `(n, d, 4)`, y0, x0, y1, x1 in pixels of the image's own size;
            "scores", "classes" `(n, d)`, "count" `(n,)`, and perhaps "masks"
            `(n, d, h, w)`.
        source: Its `annotations` are the truth. Masks are measured where both it and
            the rows have some.
    """
    truth, with_masks = source.annotations, source.has_masks
    shapes = [(image["height"], image["width"]) for image in truth["images"]]
    numbers = range(len(truth["categories"]))
    detections: list[dict[str, Any]] = []
    for some in rows:
        for place, number in enumerate(some["number"].tolist()):
            count = int(some["count"][place])
            with_masks &= "masks" in some
            found = Objects(
                some["boxes"][place, :count],
                some["scores"][place, :count],
                some["classes"][place, :count],
                some["masks"][place, :count] if with_masks else None,
            )
            detections += coco_results.to_results(
                found, number, shapes[number], numbers
            )
    return measure(truth, detections, with_masks)


def measure(
    truth: dict[str, Any],
    detections: list[dict[str, Any]],
    with_masks: bool,
) -> DetectionResults:
    """Measures detections as COCO does.

    Args:
        truth: COCO's instances: images and categories with ids from 0 on, annotations
            from 1 on.
        detections: COCO's results, by the same ids.
        with_masks: Whether objects and detections have masks, which are to be measured.
    """
    import hotcoco

    known = hotcoco.COCO(truth)
    counted = [a["category_id"] for a in truth["annotations"] if not a.get("iscrowd")]
    images, classes = len(truth["images"]), len(truth["categories"])
    return DetectionResults(
        _figures(known, detections, "bbox", images),
        _figures(known, detections, "segm", images) if with_masks else None,
        detections,
        np.bincount(np.array(counted, int), minlength=classes),
    )


def percent(value: float | None) -> str:
    """Returns a figure in percent; a dash for -1, NaN and None: nothing counts."""
    return "-" if value is None or not value >= 0 else f"{value:.1%}"


def _figures(
    truth: Any, detections: Sequence[dict[str, Any]], kind: str, images: int
) -> CocoFigures:
    evaluation = coco_results.evaluate(truth, detections, kind)
    errors = evaluation.tide_errors()
    accumulated: Any = evaluation.eval
    image_ap = np.full(images, np.nan)
    for number, summary in evaluation.image_diagnostics()["img_summary"].items():
        image_ap[number] = summary["ap"]
    return CocoFigures(
        dict(zip(FIGURES, map(float, evaluation.stats), strict=True)),
        # All areas, and 100 detections an image.
        accumulated["precision"][:, :, :, 0, -1],
        {ERRORS[name]: int(errors["counts"][name]) for name in ERRORS},
        {ERRORS[name]: float(errors["delta_ap"][name]) for name in ERRORS},
        image_ap,
    )
