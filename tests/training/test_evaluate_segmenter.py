"""`evaluate` on a model that labels pixels, against figures counted here."""

import json

import numpy as np
import pytest

import keras_convnext
from keras_convnext.segmentation import ade20k_classes, predict_label_map
from tests.training.segmentation_data import CLASSES, SIDE_PX, write_shapes
from training import evaluate_main
from training.data import masks
from training.evaluation import segmenters
from training.evaluation.view_rule import ViewRule

IMAGES = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes"), 1, IMAGES)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A workdir-like folder with a network of random weights, in the classes' reverse.

    Its last kernel is large enough for labels that differ from pixel to pixel.
    """
    folder = tmp_path_factory.mktemp("model")
    network = keras_convnext.UPerNet(
        "test_convnext2",
        len(CLASSES),
        input_shape=(None, None, 3),
        patch_size=2,
        head_channels=16,
        auxiliary_head=False,
        classifier_activation="softmax",
        layer_scale_init_value=0.5,
        seed=3,
    )
    kernel = network.get_layer("decode_logits").kernel
    kernel.assign(kernel * 100)
    network.save(folder / "model.keras")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES[::-1]))
    record = {"size_px": SIDE_PX, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


def counted(data, label):
    """Pixels by true and predicted label in the model's order, one by one."""
    source = masks.load(f"masks:{data}", size_px=SIDE_PX)
    counts = np.zeros((3, 3), int)
    images, truth = source.validation_images(range(IMAGES))
    for image, mask in zip(images, truth, strict=True):
        found = label(image)
        for true, predicted in zip(mask.ravel(), found.ravel(), strict=True):
            if true != 255:
                counts[2 - true, predicted] += 1
    return counts


def evaluated(arguments, folder):
    out = folder / "figures.json"
    assert evaluate_main.main(["evaluate", *arguments, f"--out={out}"]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ([], {}),
        pytest.param(["--slide"], {"slide": True}, marks=pytest.mark.slow),
        pytest.param(
            ["--scales=0.75,1.5", "--flip"],
            {"ratios": (0.75, 1.5), "flip": True},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["whole", "slide", "multi-scale"],
)
def test_figures_are_those_of_all_pixels_together(
    flags, rule, data, model, tmp_path, capsys
):
    loaded = keras_convnext.load(model)
    counts = counted(
        data, lambda image: predict_label_map(loaded.predict, image, SIDE_PX, **rule)
    )
    found = evaluated([f"--model={model}", f"--data=masks:{data}", *flags], tmp_path)
    assert found["confusion"] == counts.tolist()
    assert np.trace(counts) not in (0, counts.sum())
    assert found["aacc"] == pytest.approx(np.trace(counts) / counts.sum())
    iou = [
        counts[n, n] / (counts[n].sum() + counts[:, n].sum() - counts[n, n])
        for n in range(3)
    ]
    assert found["miou"] == pytest.approx(np.mean(iou))
    rows = {row["class"]: row["iou"] for row in found["classes"]}
    assert rows == pytest.approx(dict(zip(CLASSES[::-1], iou, strict=True)))
    text = capsys.readouterr().out
    assert f"mean IoU             {np.mean(iou):.2%}" in text
    assert "published" not in text
    assert found["examples"] == IMAGES


def test_published_figures_stand_beside_an_evaluation_in_ade20ks_classes():
    results = segmenters.sum_up(
        [{"counts": np.eye(150, dtype=int).reshape(1, -1)}], classes=150
    )
    rule = ViewRule()
    found = segmenters.figures_of(results, ade20k_classes(), rule, "convnext_tiny")
    # ConvNeXt's README and mmsegmentation's page.
    figures = [(row["miou"], row["miou_multi_scale"]) for row in found["published"]]
    assert sorted(figures) == [(46.0, 46.7), (46.11, 46.62)]
    every = segmenters.figures_of(results, ade20k_classes(), rule, "")
    assert len(every["published"]) == 12


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--scales=0", "--scales takes factors above 0 and up to 4"),
        ("--scales=1,two", "--scales takes factors above 0 and up to 4"),
        ("--real_labels=real.json", "--real_labels is for models that label images"),
        ("--label_errors=a.csv", "--label_errors is for models of one class an image"),
        ("--data=digits", "'digits' names no images with masks"),
    ],
)
def test_what_does_not_fit_a_label_map_is_one_line(flag, words, data, model, capsys):
    arguments = [f"--model={model}", f"--data=masks:{data}", flag]
    assert evaluate_main.main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_other_classes_than_the_models_are_refused(data, model, tmp_path, capsys):
    other = write_shapes(tmp_path / "shapes", 1, 1)
    (other / "classes.txt").write_text("sea\nsquare\ndisk\n")
    arguments = [f"--model={model}", f"--data=masks:{other}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 2
    assert "the data's classes sea are not among the model's" in capsys.readouterr().err
