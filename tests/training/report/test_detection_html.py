"""The page of a detection run, and its tables."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_convnext.detection.coco_results import encode_part
from keras_convnext.detection.paste import mask_parts
from tests.training.data.coco_files import content, write_coco
from training.data import boxes
from training.evaluation.coco_metrics import measure
from training.recipes.table import resolve
from training.report import detection_html
from training.report.outcome import Outcome
from training.workdir.layout import Workdir


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """A run that found every square at its place, and called the bars squares."""
    root = write_coco(tmp_path_factory.mktemp("data"), content())
    spec = f"coco:{root}/annotations/instances.json:{root}/images"
    source = boxes.load(spec, size_px=32, split="all")
    truth = source.annotations
    found = []
    for each in truth["annotations"]:
        image, (x, y, width, height) = truth["images"][each["image_id"]], each["bbox"]
        shape = image["height"], image["width"]
        box = np.array([[y, x, y + height, x + width]])
        [part] = mask_parts(np.ones((1, 28, 28)), box, *shape)
        found.append(
            {
                "image_id": each["image_id"],
                "category_id": source.classes.index("square"),
                "bbox": each["bbox"],
                "score": 0.9 - 0.2 * (source.classes[each["category_id"]] == "bar"),
                "segmentation": encode_part(*part, *shape),
            }
        )
    results = measure(truth, found, with_masks=True)
    workdir = Workdir(tmp_path_factory.mktemp("run"))
    workdir.images.mkdir()
    workdir.recipe.write_text('{"task": "detection"}')
    row = {"epoch": 1, "loss": 1.5, "learning_rate": 1e-4, "images_per_second": 2.0}
    figures = {f"val_{name}": value for name, value in results.figures.items()}
    metrics = {
        **results.figures,
        **{"parameters": 44e6, "train_seconds": 60.0, "train_examples": 6},
        **{"classes": 2, "epochs": 1, "kept_epoch": 1, "eval_examples": 6},
    }
    finished = Outcome(
        resolve("finetune_detect_small"),
        source,
        workdir,
        SimpleNamespace(name="mask_rcnn_test"),
        metrics,
        [{**row, **figures}],
        results,
    )
    detection_html.write(finished)
    return finished


def test_the_tables_have_a_row_for_each_class_and_each_image(outcome):
    with outcome.workdir.classes.open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert rows["square"]["objects"] == rows["bar"]["objects"] == "5"
    # Every square comes before every bar that is taken for one.
    assert {rows["square"][name] for name in ("ap", "ap50", "mask_ap50")} == {"1"}
    assert {rows["bar"][name] for name in ("ap", "ap50", "mask_ap50")} == {"0"}
    with outcome.workdir.validation.open() as file:
        images = list(csv.DictReader(file))
    assert [row["detections"] for row in images] == ["2"] * 5 + ["0"]
    # In the last image there is nothing, and nothing was found.
    assert images[-1]["ap50"] == ""


def test_the_page_shows_figures_images_and_commands(outcome):
    page = outcome.workdir.report.read_text()
    assert "mask_rcnn_test, coco:" in page
    for words in ("Mask AP", "50.0%", "Lowest AP", "Highest AP", "Errors", "predict"):
        assert words in page
    drawn = {path.name for path in outcome.workdir.images.glob("*.png")}
    assert drawn == {
        *("best.png", "classes.png", "curves.png", "errors.png", "mistakes.png"),
        *("precision.png", "predictions.png"),
    }
    for name in drawn:
        with Image.open(outcome.workdir.images / name) as image:
            assert image.width > 600
    samples = outcome.workdir.images / "samples"
    assert len(list(samples.iterdir())) == 6
