"""A segmentation model exported from end to end: files, proofs, answers, refusals."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_convnext
from export import main as command
from export.verify.label_map_parity import pixel_agreement
from export.verify.label_map_reference import crop_mask, crop_view
from keras_convnext.segmentation import palette_for
from keras_convnext.whole_images import resize_image
from tests.checks import balance_classes, raise_gains, tiny_upernet
from tests.export.conftest import encoded
from tests.export.whole_exports import (
    export,
    predict_files,
    predict_pixels,
    serve,
    shown_on_page,
)

CLASSES = ("red", "green", "blue")
SIZE_PX = 64
SHAPES = [(50, 90), (64, 64), (30, 300), (200, 41)]
# An 8-bit file moves about one pixel in a hundred of a random network: over so many
# images that is less than the half point of mIoU that an export may lose.
VALIDATION = 16
# Float32 rounds otherwise in another graph: where two logits are equal but for
# rounding, a pixel may have the other class.
TIES = 1e-3


def smooth_image(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype("uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), 3))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run of segmentation, as far as exporting looks into it."""
    folder = tmp_path_factory.mktemp("run")
    images = np.stack([smooth_image(64, 64, seed) for seed in range(4)])
    model = balance_classes(raise_gains(tiny_upernet(3)), images.astype("float32"))
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    record = {"size_px": SIZE_PX, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def keras_model(workdir):
    return keras_convnext.load(workdir)


@pytest.fixture(scope="module")
def data(keras_model, tmp_path_factory):
    """Images whose masks are Keras' own label maps, but for ignored pixels."""
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, training=100, validation=VALIDATION, labels_of=keras_model)
    return folder


def write_data(folder, training, validation, labels_of=None):
    for part, count in (("training", training), ("validation", validation)):
        for below in ("images", "annotations"):
            (folder / below / part).mkdir(parents=True)
        for seed in range(count):
            image = smooth_image(60, 80, seed)
            name = f"{part}/{seed:03}.png"
            Image.fromarray(image).save(folder / "images" / name)
            mask = np.zeros((60, 80), "uint8")
            if part == "validation" and labels_of is not None:
                # The numbers of classes.txt go the other way round.
                mask = 2 - labels_of(image)
                mask[:3] = 255
            Image.fromarray(mask).save(folder / "annotations" / name)
    (folder / "classes.txt").write_text("\n".join(reversed(CLASSES)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def exported(workdir, data, folder):
    return export(workdir, folder, f"--images=masks:{data}")


@pytest.fixture(scope="module")
def entries(exported):
    return exported[1]


@pytest.fixture(scope="module")
def saved(exported, folder):
    return tf.saved_model.load(str(folder / "saved_model" / "1"))


@pytest.mark.slow
def test_every_file_is_there_and_proven(exported, entries, folder):
    said, _ = exported
    assert set(entries) == {"saved_model/1", "model_float32.tflite"}
    for place, entry in entries.items():
        assert entry["agreement"] >= entry["agreement_limit"] == 0.999
        assert entry["pictures"]["count"] == VALIDATION
        assert entry["pictures"]["origin"].endswith(", validation")
        assert f"{entry['agreement']:.2%}" in said
        assert entry["bytes"] > 0
        assert place in (folder / "report.html").read_text()
    # The masks are Keras' own label maps, in another order of classes. A pixel counts
    # more in the mean over classes than among all pixels.
    assert entries["saved_model/1"]["keras_miou"] == 1
    assert entries["saved_model/1"]["miou"] == pytest.approx(1, abs=5 * TIES)
    assert (folder / "labels.txt").read_text().split() == list(CLASSES)


@pytest.mark.slow
def test_smaller_precisions_keep_miou_in_smaller_files(
    workdir, data, entries, keras_model, tmp_path
):
    _, found = export(
        workdir,
        tmp_path,
        f"--images=masks:{data}",
        f"--calibration=masks:{data}",
        "--format=tflite",
        "--precision=float16,dynamic_int8,int8",
    )
    sizes = [
        found[f"model_{name}.tflite"]["bytes"]
        for name in ("float16", "dynamic_int8", "int8")
    ]
    assert max(sizes[1:]) < sizes[0] < entries["model_float32.tflite"]["bytes"]
    for name, entry in found.items():
        assert entry["agreement"] >= entry["agreement_limit"] >= 0.95
        # What an export may lose.
        assert abs(entry["miou"] - entry["keras_miou"]) <= 0.005
        check_tflite(tmp_path / name, entry, keras_model)


def check_tflite(file, entry, keras_model):
    """A file labels an image that it has not seen, by builtin operators alone."""
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    [given], [made] = interpreter.get_input_details(), interpreter.get_output_details()
    assert (made["dtype"], made["shape"].tolist()) == (np.uint8, [1, SIZE_PX, SIZE_PX])
    assert {"ARG_MAX", "RESIZE_BILINEAR"} <= set(entry["operators"])
    view = crop_view(smooth_image(60, 80, 200), SIZE_PX)[None]
    interpreter.set_tensor(given["index"], view.astype(given["dtype"]))
    interpreter.invoke()
    found = interpreter.get_tensor(made["index"])
    expected = keras_model.predict(view).argmax(-1)
    assert pixel_agreement(expected, found) > entry["agreement_limit"]


@pytest.mark.slow
def test_a_tflite_file_gives_a_label_map_with_builtin_operators(
    exported, entries, folder, keras_model
):
    name = "model_float32.tflite"
    check_tflite(folder / name, entries[name], keras_model)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_pixels_and_files_get_keras_label_map_at_their_own_size(
    saved, keras_model, shape
):
    image = smooth_image(*shape)
    expected = keras_model(image)
    assert len(np.unique(expected)) > 1
    of_pixels = saved.signatures["images"](images=tf.constant(image[None]))["classes"]
    of_file = saved.signatures["bytes"](image_bytes=tf.constant([encoded(image)]))
    assert of_file["sizes"].numpy().tolist() == [list(shape)]
    for found in (of_pixels, of_file["classes"]):
        assert found.dtype == tf.uint8
        assert found.shape == (1, *shape)
        assert np.mean(found[0] != expected) < TIES


@pytest.mark.slow
def test_files_of_several_sizes_and_a_broken_one_are_answered_together(
    saved, keras_model
):
    images = [smooth_image(*shape) for shape in SHAPES]
    files = [encoded(images[0]), b"no image", *map(encoded, images[1:])]
    found = saved.signatures["bytes"](image_bytes=tf.constant(files))
    sizes = found["sizes"].numpy().tolist()
    assert sizes == [list(SHAPES[0]), [0, 0], *map(list, SHAPES[1:])]
    status = [text.decode() for text in found["status"].numpy()]
    assert status[1] == "not a JPEG, PNG, GIF, BMP or WebP image"
    assert [*status[:1], *status[2:]] == [""] * 4
    for label_map, (height, width) in zip(found["classes"].numpy(), sizes, strict=True):
        # What is beside an image is no class.
        assert (label_map[height:] == 255).all()
        assert (label_map[:, width:] == 255).all()
    first = found["classes"].numpy()[0, :50, :90]
    assert np.mean(first != keras_model(images[0])) < TIES


@pytest.mark.slow
def test_tensors_are_labeled_as_they_are(saved, keras_model):
    view = resize_image(smooth_image(50, 90), SIZE_PX)[None]
    found = saved.signatures["tensors"](tensors=tf.constant(view))["classes"]
    expected = keras_model.predict(view).argmax(-1)
    assert np.mean(found != expected) < TIES


@pytest.mark.parametrize("place", ["saved_model", "model_float32.tflite"])
@pytest.mark.slow
def test_an_export_answers_from_python(exported, folder, keras_model, place):
    model = keras_convnext.load(folder / place)
    assert model.labels == CLASSES
    # A square of the model's size is one tile.
    image = smooth_image(SIZE_PX, SIZE_PX)
    assert np.mean(model(image) != keras_model(image)) < TIES
    assert model(smooth_image(50, 90)).shape == (50, 90)


def test_the_middle_of_a_mask_is_that_of_its_image():
    # The color of a pixel is its label, in blocks that survive resizing.
    mask = np.kron(np.arange(12).reshape(3, 4), np.ones((40, 40), int))
    view = crop_view(np.repeat(20 * mask[..., None], 3, -1).astype("uint8"), 60)
    found = crop_mask(mask, 60)
    assert found.shape == (60, 60)
    # Resizing mixes the colors at the edges of blocks: two lines of each.
    assert np.mean(view[..., 0] == 20 * found) > 0.8


@pytest.mark.slow
def test_a_model_that_gives_one_class_to_every_pixel_is_refused(tmp_path, capsys):
    model = tiny_upernet(2)
    model.get_layer("decode_logits").bias.assign([9.0, 0.0])
    model.save(tmp_path / "model.keras")
    argv = ["", f"--model={tmp_path}", f"--out={tmp_path / 'out'}"]
    assert command.main(argv) == 2
    assert "gives one class to every pixel" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "classes.txt").unlink(), "has no classes.txt"),
        (
            lambda folder: (folder / "annotations/validation/002.png").unlink(),
            "no mask of that name",
        ),
    ],
)
def test_masks_that_cannot_be_used_are_named(
    workdir, tmp_path, capsys, break_it, words
):
    data = tmp_path / "data"
    write_data(data, training=1, validation=3)
    break_it(data)
    argv = ["", f"--model={workdir}", f"--out={tmp_path / 'out'}"]
    assert command.main([*argv, f"--images=masks:{data}"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_a_served_export_answers_label_maps_through_rest_and_grpc(
    exported, folder, keras_model, tmp_path
):
    pytest.importorskip("requests")
    pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
    image = smooth_image(50, 90)
    expected = keras_model(image)
    with serve(folder, tmp_path / "log") as server:
        [by_rest] = predict_files(server, [encoded(image)])
        by_grpc = predict_pixels(server, image)["classes"]
        shown = shown_on_page(server)
    assert (by_rest["sizes"], by_rest["status"]) == ([50, 90], "")
    assert np.mean(np.array(by_rest["classes"]) != expected) < TIES
    assert np.mean(by_grpc[0] != expected) < TIES
    # The page knows names and colors, which the answer does not repeat.
    assert shown.pop("signature") in ("bytes", "serving_default")
    assert shown == {
        "model": "toy",
        "labels": list(CLASSES),
        "colors": palette_for(CLASSES).tolist(),
    }
