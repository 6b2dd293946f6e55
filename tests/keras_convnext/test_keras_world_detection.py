"""KerasHub's RetinaNet on a pyramid learns to find bright squares."""

import keras
import numpy as np
import pytest

from keras_convnext import pyramid
from keras_convnext.models import build
from tests.checks import tiny_variant

SIDE_PX = 128
SMALL = tiny_variant(name="small", widths=(16, 24, 32, 48), layer_scale_init_value=0.1)


def squares(count, seed):
    """Noise with one bright square; its corners are the box.

    KerasHub's smallest anchors on P3 are 32 px wide, and one learns only from a box
    that it covers by half: much smaller squares would teach nothing.
    """
    random = np.random.default_rng(seed)
    images = random.uniform(0, 90, (count, SIDE_PX, SIDE_PX, 3)).astype("float32")
    boxes = np.zeros((count, 1, 4), "float32")
    for image, box in zip(images, boxes, strict=True):
        side = random.integers(32, 65)
        left, top = random.integers(0, SIDE_PX - side, 2)
        image[top : top + side, left : left + side] += 150
        box[0] = left, top, left + side, top + side
    return images, {"boxes": boxes, "labels": np.zeros((count, 1), "float32")}


def overlap(boxes, others):
    """Returns intersection over union of pairs of boxes, `(count, 4)` each."""
    corners = np.maximum(boxes[:, :2], others[:, :2])
    opposite = np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.clip(opposite - corners, 0, None).prod(axis=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared)


def found(detector, images, boxes):
    """Returns the share of images whose surest box overlaps the square by half."""
    answers = detector.predict(images, batch_size=8, verbose=0)
    surest = np.asarray(answers["boxes"])[:, 0]
    return (overlap(surest, boxes["boxes"][:, 0]) > 0.5).mean()


def begin_as_the_paper(detector):
    """Says "nothing here" everywhere at first, and "the anchor itself" of the box.

    KerasHub 0.32 gives the bias for that, -log(99), to the head of the boxes, where
    it is a shift by four and a half widths, and leaves that of the classes at zero.

    Source: arXiv:1708.02002, section 4.1, "Initialization".
    """
    for head, value in (
        (detector.classification_head, -np.log(99)),
        (detector.box_head, 0),
    ):
        bias = head.prediction_layer.bias
        bias.assign(np.full(bias.shape, value, "float32"))


def small_detector(keras_hub, image_shape, max_level=4, **options):
    encoder = pyramid(build(SMALL, include_top=False, seed=0), norms=True)
    backbone = keras_hub.models.RetinaNetBackbone(
        image_encoder=encoder,
        min_level=3,
        max_level=max_level,
        use_p5=False,
        image_shape=image_shape,
    )
    arguments = {"num_classes": 1, "bounding_box_format": "xyxy", **options}
    return keras_hub.models.RetinaNetObjectDetector(
        backbone, pre_logits_num_conv_layers=1, **arguments
    )


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, None])
def test_an_exported_detector_gives_raw_answers_at_the_sizes_it_was_built_for(
    side, tmp_path
):
    keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    tf = pytest.importorskip("tensorflow")
    detector = small_detector(keras_hub, (side, side, 3))
    detector.export(str(tmp_path), format="tf_saved_model", verbose=False)
    answer = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for size in (64, 96):
        images = tf.zeros((1, size, size, 3))
        if side not in (None, size):
            with pytest.raises(tf.errors.InvalidArgumentError):
                answer(images=images)
            continue
        # Nine anchors at each place of P3 and P4, whose strides are 8 and 16.
        anchors = 9 * ((size // 8) ** 2 + (size // 16) ** 2)
        shapes = {
            name: tuple(value.shape) for name, value in answer(images=images).items()
        }
        assert shapes == {
            "bbox_regression": (1, anchors, 4),
            "cls_logits": (1, anchors, 1),
        }


@pytest.mark.slow
def test_retinanet_on_a_pyramid_finds_squares_that_it_has_not_seen():
    keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    keras.utils.set_random_seed(0)
    detector = small_detector(keras_hub, (SIDE_PX, SIDE_PX, 3))
    begin_as_the_paper(detector)
    validation = squares(32, seed=2)
    assert found(detector, *validation) == 0

    images, boxes = squares(128, seed=1)
    falling = keras.optimizers.schedules.CosineDecay(1e-3, decay_steps=12 * 16)
    detector.compile(keras.optimizers.AdamW(falling, clipnorm=1.0), jit_compile=False)
    losses = detector.fit(images, boxes, batch_size=8, epochs=12, verbose=0).history
    assert losses["loss"][-1] < 0.3 * losses["loss"][0]
    assert found(detector, *validation) >= 0.8
