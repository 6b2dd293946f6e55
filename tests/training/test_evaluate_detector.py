"""`evaluate` on a detector, against pycocotools on the files themselves."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.color_boxes import write_color_boxes
from tests.training.data.coco_files import annotation
from tests.training.evaluation import pycocotools_figures
from training import evaluate_main
from training.evaluation.coco_metrics import FIGURES

SIDE_PX = 64
COLORS = {3: (255, 0, 0), 7: (0, 0, 255)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images with a red and a blue rectangle, whose boxes are not all exact.

    In each there is a green one, too, which is no class of the data.
    """
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(5):
        pixels = np.zeros((SIDE_PX, 80, 3), np.uint8)
        pixels[60:62, 4:8] = (0, 255, 0)
        # Ids with gaps, which are to be those of the predictions.
        image = {"id": 40 + 3 * number, "height": SIDE_PX, "width": 80}
        images.append({**image, "file_name": f"{number}.png"})
        for category, color in COLORS.items():
            left, top = random.integers(0, 40, 2).tolist()
            wide, high = random.integers(8, 20, 2).tolist()
            pixels[top : top + high, left : left + wide] = color
            box = np.add((left, top, wide, high), random.integers(0, 3, 4)).tolist()
            name = len(annotations) + 1
            annotations.append(annotation(name, image["id"], box, category))
        Image.fromarray(pixels).save(folder / f"{number}.png")
    categories = [{"id": 7, "name": "blue"}, {"id": 3, "name": "red"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_color_boxes(tmp_path_factory.mktemp("model"), SIDE_PX)


def test_figures_and_predictions_are_pycocotools(data, model, tmp_path, capsys):
    spec = f"coco:{data}/instances.json:{data}"
    flags = [f"--model={model}", f"--data={spec}", "--split=all"]
    files = {name: tmp_path / f"{name}.json" for name in ("out", "predictions")}
    flags += [f"--{name}={file}" for name, file in files.items()]
    assert evaluate_main.main(["evaluate", *flags]) == 0
    figures = json.loads(files["out"].read_text())
    truth = json.loads((data / "instances.json").read_text())
    found = json.loads(files["predictions"].read_text())
    for kind, prefix in (("bbox", ""), ("segm", "mask_")):
        evaluation = pycocotools_figures.evaluate(truth, found, kind)
        assert 0 < evaluation.stats[0] < 1
        for name, value in zip(FIGURES, evaluation.stats, strict=True):
            assert figures[prefix + name] == value
    assert figures["detections"] == 10
    rows = {row["class"]: row for row in figures["classes"]}
    assert rows.keys() == {"red", "blue"}
    assert (rows["red"]["objects"], rows["blue"]["objects"]) == (5, 5)
    said = capsys.readouterr().out
    ap = f"{figures['mask_ap']:.1%}"
    assert any(line.startswith("  masks") and ap in line for line in said.splitlines())
    assert "recall with 100 detections an image" in said
    assert "localization" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--slide"], "--slide is for models that label pixels"),
        (["--real_labels=real.json"], "--real_labels is for models that label images"),
        (["--data=digits"], "'digits' names no images with objects"),
    ],
)
def test_what_is_not_for_a_detector_is_refused_in_one_line(
    data, model, flags, words, capsys
):
    flags = [f"--data=coco:{data}/instances.json:{data}", *flags]
    assert evaluate_main.main(["evaluate", f"--model={model}", *flags]) == 2
    assert words in capsys.readouterr().err
