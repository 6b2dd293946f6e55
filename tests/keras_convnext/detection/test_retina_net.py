"""KerasHub's RetinaNet as a detector of this library, against KerasHub itself."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.utils.bounding_boxes import clip_to_image_size, convert_format

import keras_convnext
from keras_convnext.detection import from_retina_net
from tests.export.whole_exports import export
from tests.keras_convnext.test_keras_world_detection import (
    begin_as_the_paper,
    small_detector,
)
from tests.training.detection_data import write_shapes

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
EPOCHS = 10
# Not square, whole cells of 32 pixels; those of P6 and P7 are cut off by its sides.
SIZE = (96, 160)


def images(count=2, size=SIZE):
    random = np.random.default_rng(0)
    return random.uniform(0, 255, (count, *size, 3)).astype("float32")


def random_detector(box_format="xyxy", decoder=None, **options):
    """One of random weights, whose boxes are moved by a tenth of an anchor or so.

    By KerasHub's own they are far outside of the image.
    """
    keras.utils.set_random_seed(0)
    if decoder is not None:
        options["prediction_decoder"] = suppression(box_format, **decoder)
    detector = small_detector(
        keras_hub,
        (None, None, 3),
        max_level=7,
        bounding_box_format=box_format,
        **options,
    )
    begin_as_the_paper(detector)
    classes, boxes = detector.classification_head, detector.box_head
    for head, factor in ((boxes, 0.02), (classes, 0.2)):
        kernel = head.prediction_layer.kernel
        kernel.assign(factor * kernel)
    bias = classes.prediction_layer.bias
    bias.assign(np.full(bias.shape, -2))
    return detector


def suppression(box_format="xyxy", **settings):
    return keras_hub.layers.NonMaxSuppression(box_format, from_logits=True, **settings)


def decoded(detector, seen):
    """Returns KerasHub's boxes y0, x0, y1, x1 of all anchors, clipped, and scores."""
    raw = detector(seen)
    anchors = keras.ops.concatenate(list(detector.anchor_generator(seen).values()), 0)
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
        anchors,
        raw["bbox_regression"],
        anchor_format="xyxy",
        box_format="xyxy",
        encoded_format="center_xywh",
    )
    height, width = seen.shape[1:3]
    labels = np.zeros(boxes.shape[:2])
    clipped = clip_to_image_size({"boxes": boxes, "labels": labels}, height, width)
    return convert_format(clipped["boxes"], "xyxy", "yxyx"), raw["cls_logits"]


def check_objects(found, row, scores, labels, boxes):
    """The objects of an image are these, in the order of their scores.

    Scores that differ by the last digit of float32 may change places.
    """
    count = int(found["count"][row])
    assert count == len(scores)
    told = np.asarray(found["scores"][row, :count])
    np.testing.assert_allclose(told, np.sort(scores)[::-1], rtol=1e-5)
    told = [found[name][row, :count] for name in ("scores", "classes", "boxes")]
    told, expected = (
        np.concatenate([np.reshape(part, (count, -1)) for part in parts], 1)
        for parts in (told, (scores, labels, boxes))
    )
    distances = np.abs(told[:, np.newaxis] - expected).max(-1)
    # Pixels, whose last digit of float32 is at 1e-5.
    assert distances.min(0).max() < 1e-3
    assert distances.min(1).max() < 1e-3


@pytest.mark.parametrize("box_format", ["xyxy", "yxyx", "xywh", "center_xywh"])
@pytest.mark.slow
def test_boxes_and_scores_are_kerashubs(box_format):
    # Nothing is suppressed, and all is told.
    all_of_them = {"confidence_threshold": 0.2}
    all_of_them |= {"iou_threshold": 1.0, "max_detections": 2000}
    detector = random_detector(box_format, all_of_them)
    seen = images()
    # What `predict` does, but not in a graph, in which KerasHub 0.32 loses boxes.
    expected = detector.decode_predictions(detector(seen), seen)
    found = from_retina_net(detector)(seen)
    boxes = convert_format(expected["boxes"], box_format, "yxyx")
    boxes = np.clip(boxes, 0, [*SIZE, *SIZE])
    for row, count in enumerate(np.array(expected["num_detections"])):
        assert 100 < count < 1000
        scores, labels = (expected[k][row, :count] for k in ("confidence", "labels"))
        check_objects(found, row, scores, labels, boxes[row, :count])


def test_suppression_is_kerashubs_within_a_class():
    detector = random_detector(num_classes=3)
    # Above the threshold are fewer than a level's 1,000.
    settings = {"iou_threshold": 0.4, "score_threshold": 0.4, "detections": 1000}
    seen = images()
    found = from_retina_net(detector, **settings)(seen)
    boxes, logits = decoded(detector, seen)
    one_class = suppression(
        "yxyx", iou_threshold=0.4, confidence_threshold=0.4, max_detections=1000
    )
    rows = [[], []]
    for label in range(3):
        kept = one_class(boxes, logits[..., label : label + 1])
        for row, count in enumerate(np.array(kept["num_detections"])):
            scores, places = (
                np.array(kept[name][row, :count]) for name in ("confidence", "boxes")
            )
            # What lies beyond the image has no area once it is clipped.
            is_inside = (places[:, 2:] > places[:, :2]).all(1)
            labels = np.full(is_inside.sum(), label)
            rows[row].append((scores[is_inside], labels, places[is_inside]))
    for row, parts in enumerate(rows):
        check_objects(found, row, *map(np.concatenate, zip(*parts, strict=True)))


def test_boxes_are_decoded_as_the_label_encoder_codes_them():
    plain = random_detector()
    coder = type(plain.label_encoder)
    variance = [0.1, 0.2, 0.3, 0.4]
    encoder = coder(
        plain.anchor_generator, "xyxy", "center_xywh", box_variance=variance
    )
    detector = random_detector(label_encoder=encoder)
    # Targets are divided by the variances: so are, of equal boxes, the outputs.
    last = detector.box_head.prediction_layer
    last.kernel.assign(last.kernel / np.tile(variance, 9))
    options = {"score_threshold": 0.3}
    found, expected = (
        from_retina_net(each, **options)(images()) for each in (detector, plain)
    )
    assert found["count"].numpy().tolist() == expected["count"].numpy().tolist()
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-3)


def test_colors_are_changed_as_the_preprocessor_does():
    detector = random_detector()
    converter = keras_hub.layers.RetinaNetImageConverter(
        scale=[0.5, 0.6, 0.7], offset=[10, 20, 30]
    )
    changed = images() * np.float32([0.5, 0.6, 0.7]) + np.float32([10, 20, 30])
    options = {"score_threshold": 0.3}
    expected = from_retina_net(detector, **options)(changed)
    detector.preprocessor = keras_hub.models.RetinaNetObjectDetectorPreprocessor(
        converter
    )
    found = from_retina_net(detector, **options)(images())
    assert found["count"].numpy().min() > 0
    for name in ("scores", "boxes"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3)


def test_images_of_any_size_are_padded_with_the_mean_color():
    model = from_retina_net(random_detector(), score_threshold=0.3)
    seen = images(size=(90, 130))
    mean = model.get_layer("feature_pyramid").get_layer("input_normalization").mean
    padded = np.broadcast_to(np.ravel(mean), (2, *SIZE, 3)).astype("float32").copy()
    padded[:, :90, :130] = seen
    found, expected = model(seen), model(padded)
    assert (found["boxes"] <= np.array([90, 130, 90, 130])).numpy().all()
    # The surest box that lies within the image is the same.
    inside = (expected["boxes"][0] < np.array([90, 130, 90, 130])).numpy().all(-1)
    first = int(np.argmax(inside))
    distances = np.abs(found["boxes"][0] - expected["boxes"][0, first]).max(-1)
    assert distances.min() < 1e-3


def test_what_is_no_such_detector_is_refused():
    with pytest.raises(ValueError, match="wants a keras_hub"):
        from_retina_net(keras_convnext.MaskRCNN("convnext_atto", 2))
    detector = random_detector(activation=keras.activations.sigmoid)
    with pytest.raises(ValueError, match="gives logits"):
        from_retina_net(detector)
    encoder = keras_convnext.create("convnext_atto", input_shape=(64, 64, 3))
    backbone = keras_hub.models.RetinaNetBackbone(
        keras_convnext.pyramid(encoder), min_level=3, max_level=5, use_p5=False
    )
    detector = keras_hub.models.RetinaNetObjectDetector(backbone, 2)
    with pytest.raises(ValueError, match=r"not of .64, 64. pixels"):
        from_retina_net(detector)


def test_a_file_with_kerashubs_own_layers_asks_for_it(tmp_path, monkeypatch):
    features = keras.Input((8, 8, 3))
    # An encoder may hold some; a pyramid of ConvNeXt does not.
    outputs = type(random_detector().box_head)(4, 8, 1)(features)
    keras.Model(features, outputs).save(tmp_path / "model.keras")
    loaded = [name for name in sys.modules if name.startswith("keras_hub")]
    for name in loaded:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r'pip install "keras-convnext\[hub\]"$'):
        keras_convnext.load(tmp_path / "model.keras")


# A process without KerasHub.
FIND = """
import sys

sys.modules["keras_hub"] = None
import numpy as np
import keras_convnext

found = keras_convnext.load(sys.argv[1])(np.zeros((40, 56, 3), "uint8"))
print(found.boxes.shape[1])
"""


@pytest.mark.slow
def test_a_detector_goes_from_cocos_data_to_figures_and_files(tmp_path):
    """As docs/keras_world.md has it."""
    tf = pytest.importorskip("tensorflow")
    from training import evaluate_main
    from training.data import boxes as boxes_reader
    from training.recipes.box_augmentation import BoxAugmentation

    data = write_shapes(tmp_path / "shapes", training=96)
    source = boxes_reader.load(data, size_px=64)

    def as_keras_hub(images, truth):
        labels = truth["classes"]
        boxes = tf.where(labels[..., None] < 0, -1.0, truth["boxes"])
        return tf.cast(images, "float32"), {"boxes": boxes, "labels": labels}

    keras.utils.set_random_seed(0)
    # Sides of 16 to 50 pixels: the shapes have 15 to 30.
    anchors = keras_hub.layers.AnchorGenerator("yxyx", 3, 4, 3, [0.5, 1, 2], 2.0)
    detector = small_detector(
        keras_hub,
        (None, None, 3),
        num_classes=2,
        bounding_box_format="yxyx",
        anchor_generator=anchors,
    )
    begin_as_the_paper(detector)
    detector.compile(keras.optimizers.AdamW(1e-3, clipnorm=1.0), jit_compile=False)
    augment = BoxAugmentation(jitter=(1.0, 1.5), flip=True)
    losses = []
    for epoch in range(EPOCHS):
        batches = source.train(8, epoch=epoch, seed=0, augment=augment)
        seen = detector.fit(batches.map(as_keras_hub), verbose=0)
        losses += seen.history["loss"]
    assert losses[-1] < 0.5 * losses[0]

    path = tmp_path / "model.keras"
    from_retina_net(detector, score_threshold=0.05).save(path)
    (tmp_path / "labels.txt").write_text("\n".join(source.classes))
    (tmp_path / "preprocessing.json").write_text('{"size_px": 64}')
    command = [sys.executable, "-c", FIND, path]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert asked.stdout.split()[-1] == "4"

    figures = tmp_path / "figures.json"
    arguments = [f"--model={path}", f"--data={data}", f"--out={figures}"]
    assert evaluate_main.main(["evaluate", *arguments]) == 0
    assert json.loads(figures.read_text())["ap50"] > 0.3

    _, entries = export(path, tmp_path / "export", f"--images={data}")
    assert set(entries) == {"saved_model/1", "model_float32.tflite"}
    for entry in entries.values():
        assert entry["agreement"] >= 0.99
        assert entry["ap"] == pytest.approx(entry["keras_ap"], abs=0.005)
