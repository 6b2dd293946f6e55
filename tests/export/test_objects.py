"""A detector exported from end to end: files, proofs, answers, refusals."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_convnext
from export import main as command
from export.convert import tflite
from keras_convnext.detection import CascadeMaskRCNN, MaskRCNN
from keras_convnext.segmentation import palette_for
from tests.checks import random_images, tiny_detector
from tests.color_boxes import NAMES, write_color_boxes
from tests.export.conftest import encoded
from tests.export.convert.test_tflite_metadata import metadata_of
from tests.export.whole_exports import (
    export,
    predict_files,
    predict_pixels,
    serve,
    shown_on_page,
)

SIZE_PX = 64
# Height and width of images, and of each a box: y0, x0, y1, x1 in pixels.
BOXES = {
    (64, 64): (8, 16, 40, 48),
    (100, 160): (10, 20, 90, 120),
    (40, 60): (5, 12, 30, 45),
    (128, 128): (32, 0, 96, 64),
}
# A pixel of the network's input, in pixels of the largest image.
ROUNDING_PX = 160 / 64 + 0.5


def color_image(shape, box, channel):
    image = np.zeros((*shape, 3), "uint8")
    y0, x0, y1, x1 = box
    image[y0:y1, x0:x1, channel] = 255
    return image


IMAGES = [
    color_image(shape, box, number % 3)
    for number, (shape, box) in enumerate(BOXES.items())
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_color_boxes(tmp_path_factory.mktemp("run"), SIZE_PX)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The images with their boxes, in COCO's format and with its numbers."""
    folder = tmp_path_factory.mktemp("data")
    images, annotations = [], []
    for number, (shape, (y0, x0, y1, x1)) in enumerate(BOXES.items(), 50):
        name = f"{number}.png"
        Image.fromarray(IMAGES[number - 50]).save(folder / name)
        height, width = shape
        images.append(
            {"id": number, "file_name": name, "height": height, "width": width}
        )
        annotations.append(
            {
                "id": number,
                "image_id": number,
                # The numbers of the file go the other way round.
                "category_id": 9 - (number - 50) % 3,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
        )
    categories = [{"id": 9 - number, "name": name} for number, name in enumerate(NAMES)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(contents))
    return f"coco:{folder / 'boxes.json'}:{folder}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def exported(run, data, folder):
    return export(run, folder, f"--images={data}")


@pytest.fixture(scope="module")
def saved(exported, folder):
    return tf.saved_model.load(str(folder / "saved_model" / "1"))


def check_boxes(outputs, index, number):
    """The object of image `number` stands alone in row `index` of a file's outputs."""
    assert outputs["count"][index] == 1
    assert outputs["classes"][index].tolist() == [number % 3, -1, -1, -1, -1]
    expected = list(BOXES.values())[number]
    np.testing.assert_allclose(outputs["boxes"][index, 0], expected, atol=ROUNDING_PX)
    assert not outputs["boxes"][index, 1:].any()
    # A softmax of 40 and three zeros.
    np.testing.assert_allclose(outputs["scores"][index], [1, 0, 0, 0, 0], atol=1e-6)
    assert outputs["masks"].shape[1:] == (5, 28, 28)


@pytest.mark.slow
def test_every_file_is_there_and_proven(exported, folder):
    said, entries = exported
    assert set(entries) == {"saved_model/1", "model_float32.tflite"}
    for place, entry in entries.items():
        assert entry["agreement"] == 1
        assert entry["agreement_limit"] == 0.99
        assert entry["box_px"] <= 1
        assert entry["pictures"]["count"] == len(IMAGES)
        # The boxes are those of the annotations but for a pixel or two; half a point
        # is what an export may lose.
        assert 0.5 < entry["ap"] == pytest.approx(entry["keras_ap"], abs=0.005)
        assert f"{entry['ap']:.2%}" in said
        assert place in (folder / "report.html").read_text()
    assert (folder / "labels.txt").read_text().split() == list(NAMES)


@pytest.mark.slow
def test_pixels_get_their_objects_at_their_own_size(saved):
    for number, image in enumerate(IMAGES):
        found = saved.signatures["images"](images=tf.constant(image[None]))
        check_boxes({name: of.numpy() for name, of in found.items()}, 0, number)


@pytest.mark.slow
def test_files_of_several_sizes_and_a_broken_one_are_answered_together(saved):
    files = [encoded(image) for image in IMAGES]
    files.insert(2, b"no image")
    made = saved.signatures["bytes"](image_bytes=tf.constant(files))
    found = {name: of.numpy() for name, of in made.items()}
    shapes = [list(shape) for shape in BOXES]
    assert found["sizes"].tolist() == [*shapes[:2], [0, 0], *shapes[2:]]
    status = [text.decode() for text in found["status"]]
    assert status.pop(2) == "not a JPEG, PNG, GIF, BMP or WebP image"
    assert status == [""] * 4
    assert found["count"][2] == 0
    assert (found["classes"][2] == -1).all()
    for index, number in ((0, 0), (1, 1), (3, 2), (4, 3)):
        check_boxes(found, index, number)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["saved_model", "model_float32.tflite"])
def test_an_export_answers_from_python(exported, folder, place):
    model = keras_convnext.load(folder / place)
    assert model.labels == NAMES
    for number, image in enumerate(IMAGES):
        found = model(image)
        assert found.names == (NAMES[number % 3],)
        expected = list(BOXES.values())[number]
        np.testing.assert_allclose(found.boxes, [expected], atol=ROUNDING_PX)


@pytest.mark.slow
def test_a_tflite_file_describes_its_outputs(exported, folder):
    contents = (folder / "model_float32.tflite").read_bytes()
    assert tflite.operators(contents)[1] == []
    [graph] = metadata_of(contents).tables("subgraph_metadata", "SubGraphMetadata")
    labels = {
        output.text("name"): [
            file.text("name")
            for file in output.tables("associated_files", "AssociatedFile")
        ]
        for output in graph.tables("output_tensor_metadata", "TensorMetadata")
    }
    assert sorted(labels) == ["boxes", "classes", "count", "masks", "scores"]
    assert labels["classes"] == ["labels.txt"]
    assert labels["boxes"] == []


@pytest.mark.slow
def test_smaller_precisions_find_the_same_objects(run, data, tmp_path):
    _, entries = export(
        run,
        tmp_path,
        f"--images={data}",
        "--format=tflite",
        "--precision=float16,dynamic_int8",
    )
    assert set(entries) == {"model_float16.tflite", "model_dynamic_int8.tflite"}
    for entry in entries.values():
        # Ones and zeros are whole numbers of any precision's steps.
        assert entry["agreement"] == 1
        assert entry["box_px"] == entry["score_difference"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("builder", [MaskRCNN, CascadeMaskRCNN])
def test_networks_keep_their_objects(builder, tmp_path):
    run = write_color_boxes(tmp_path / "run", SIZE_PX, tiny_detector(builder))
    (tmp_path / "blocks").mkdir()
    blocks = np.kron(random_images(6, 4, seed=3), np.ones((1, 16, 16, 1)))
    for number, image in enumerate(blocks.astype("uint8")):
        Image.fromarray(image).save(tmp_path / "blocks" / f"{number}.png")
    folder = tmp_path / "export"
    _, entries = export(run, folder, f"--images=folder:{tmp_path / 'blocks'}")
    manifest = json.loads((folder / "export.json").read_text())
    # A norm before two layers cannot go into either; all others are gone, though the
    # layers of the region proposal network are used for every level.
    left = {"stem_norm": "its output goes to more than one layer"}
    assert manifest["folding"] == {"folded": True, "left": left}
    for entry in entries.values():
        assert entry["agreement"] >= entry["agreement_limit"] == 0.99
        # Folded weights round otherwise, and box heads multiply what that makes.
        assert entry["box_px"] < 0.1
    # Suppression is a loop inside of the file.
    assert "WHILE" in entries["model_float32.tflite"]["operators"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--precision=int8", "8 or 16 bits of the arithmetic of boxes"),
        ("--any_size", "the places of their anchors are fixed"),
    ],
)
@pytest.mark.slow
def test_what_a_detectors_file_cannot_be_is_refused(
    run, data, tmp_path, capsys, flag, words, monkeypatch
):
    monkeypatch.setattr("export.images.calibration.LEAST_IMAGES", 1)
    argv = ["", f"--model={run}", f"--out={tmp_path / 'out'}", flag]
    assert command.main([*argv, f"--calibration={data}"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_that_finds_nothing_is_refused(run, tmp_path, capsys):
    (tmp_path / "gray").mkdir()
    Image.fromarray(np.full((64, 64, 3), 99, "uint8")).save(tmp_path / "gray/0.png")
    argv = ["", f"--model={run}", f"--out={tmp_path / 'out'}"]
    assert command.main([*argv, f"--images=folder:{tmp_path / 'gray'}"]) == 2
    assert "finds no object in any image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_served_export_answers_objects_through_rest_and_grpc(
    exported, folder, tmp_path
):
    pytest.importorskip("requests")
    pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
    files = [encoded(IMAGES[0]), b"no image", encoded(IMAGES[1])]
    with serve(folder, tmp_path / "log") as server:
        first, broken, second = predict_files(server, files)
        by_grpc = predict_pixels(server, IMAGES[3])
        shown = shown_on_page(server)
    assert (broken["count"], broken["sizes"]) == (0, [0, 0])
    assert broken["status"] == "not a JPEG, PNG, GIF, BMP or WebP image"
    for number, row in enumerate((first, second)):
        assert row["sizes"] == list(list(BOXES)[number])
        check_boxes({name: np.array([of]) for name, of in row.items()}, 0, number)
    check_boxes(by_grpc, 0, 3)
    # The page knows names and colors, which the answer does not repeat.
    assert shown["labels"] == list(NAMES)
    assert shown["colors"] == palette_for(NAMES).tolist()
