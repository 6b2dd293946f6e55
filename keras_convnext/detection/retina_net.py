"""KerasHub's RetinaNet as a detector of this library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_convnext.detection._anchors import place_anchors
from keras_convnext.detection._nms import NO_BOX
from keras_convnext.detection.box_coding import clip_sides
from keras_convnext.detection.box_outputs import OUTPUTS, Detections
from keras_convnext.detection.padding import MULTIPLE, PadImage
from keras_convnext.detection.rpn import best_boxes


@keras.saving.register_keras_serializable(package="keras_convnext")
class AnchorDetections(Detections):
    """Chooses the objects of a network that classifies anchors.

    Each anchor may become an object of several classes. Of each level the highest
    scores count; what overlaps a better object of its class too much is dropped.

    Shapes: padded images `(batch, height, width, channels)`; logits `(batch, h, w,
    anchors * classes)` and differences `(batch, h, w, anchors * 4)` of each level; and
    images as they came, in. Out comes what `Detections` gives.

    Args:
        around: For each level the anchors of the position at (0, 0), y0, x0, y1, x1
            in pixels.
        per_level: Scores of a level that count at most.
        **kwargs: Of `Detections`.

    Source: arXiv:1708.02002, section 4.1, "Inference".
    """

    def __init__(
        self,
        around: Sequence[Sequence[Sequence[float]]],
        per_level: int = 1000,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.around = around
        self.per_level = per_level

    def call(
        self, padded: Any, logits: Sequence[Any], deltas: Sequence[Any], image: Any
    ) -> tuple[Any, ...]:
        size = clip_sides(image, axes=2)
        sides = ops.shape(padded)[1:3]
        levels = []
        for around, scores, moves in zip(self.around, logits, deltas, strict=True):
            height, width = ops.shape(scores)[1:3]
            # Where the last cells reach beyond the image, KerasHub draws all together.
            strides = (sides[0] // height, sides[1] // width)
            references = place_anchors(around, height, width, strides)
            levels.append(
                best_boxes(scores, moves, references, size, self.per_level, self.stds)
            )
        boxes, scores, labels = (
            ops.concatenate(parts, 1) for parts in zip(*levels, strict=True)
        )
        scores = ops.sigmoid(scores)
        scores = ops.where(scores > self.score_threshold, scores, NO_BOX)
        return self.choose(boxes, scores, labels)

    def classes_of(self, logits: Any) -> int:
        return int(logits.shape[-1]) // len(self.around[0])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "around": self.around, "per_level": self.per_level}


def from_retina_net(
    detector: keras.Model,
    *,
    detections: int | None = None,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    name: str = "retina_net",
) -> keras.Model:
    """Returns KerasHub's RetinaNet as a detector that this library's tools take.

    It shares its layers and weights with `detector`, decodes boxes as that was taught
    to code them, and holds no layer of KerasHub but what its image encoder holds: a
    file of one on a `pyramid` is loaded without KerasHub.

    Boxes and scores are those of `detector.predict`, with these differences: boxes are
    clipped to the image, before suppression; one suppresses only boxes of its own
    class, and an anchor may become objects of several classes; of each level the 1,000
    highest scores count.

    Args:
        detector: A `keras_hub.models.RetinaNetObjectDetector`, of any
            `bounding_box_format`. What its preprocessor does to colors is done; its
            resizing is not.
        detections: Objects of an image at most. This and the thresholds are those of
            the detector's `prediction_decoder` unless given.
        score_threshold: Probability that an object's must exceed. KerasHub's is 0.5;
            COCO's figures are measured with 0.05.
        iou_threshold: Objects of a class that overlap a better one by more than this
            are dropped.
        name: The model's name.

    Returns:
        A functional `keras.Model`: images `(batch, height, width, channels)` in 0..255
        of any size in, and the dictionary of `keras_convnext.MaskRCNN` without masks
        out: "boxes" `(batch, detections, 4)`, y0, x0, y1, x1 in pixels; "scores"
        `(batch, detections)`, falling; int32 "classes" `(batch, detections)`, -1 after
        the last object; and int32 "count" `(batch,)`.

    Raises:
        ValueError: It is no such detector, codes boxes or scores otherwise than one
            that is built with KerasHub's defaults, or its encoder takes one size alone.

    Source: arXiv:1708.02002, section 4.1; github.com/keras-team/keras-hub 0.32.

    Example:
        >>> import keras_hub
        >>> import keras_convnext
        >>> from keras_convnext.detection import from_retina_net
        >>> backbone = keras_convnext.create("convnext_atto", include_top=False)
        >>> encoder = keras_convnext.pyramid(backbone, norms=True)
        >>> levels = {"min_level": 3, "max_level": 7, "use_p5": False}
        >>> network = keras_hub.models.RetinaNetBackbone(encoder, **levels)
        >>> detector = keras_hub.models.RetinaNetObjectDetector(network, 20)
        >>> from_retina_net(detector).output["boxes"].shape
        (None, 100, 4)
    """
    if not any(c.__name__ == "RetinaNetObjectDetector" for c in type(detector).mro()):
        raise ValueError(
            "from_retina_net wants a keras_hub.models.RetinaNetObjectDetector, not "
            f"{detector!r}"
        )
    coder, decoder = detector.label_encoder, detector.prediction_decoder
    if coder.encoding_format != "center_xywh" or not decoder.from_logits:
        raise ValueError(
            "from_retina_net wants a detector that gives logits, and whose "
            'label_encoder has encoding_format="center_xywh": build it without '
            "activation and label_encoder"
        )
    encoder = detector.backbone.image_encoder
    *sides, channels = encoder.inputs[0].shape[1:]
    if sides != [None, None]:
        raise ValueError(
            f"from_retina_net wants an image encoder of any size, not of {sides} "
            "pixels: build it with input_shape=(None, None, 3)"
        )
    image = keras.Input((None, None, channels))
    padding = PadImage(MULTIPLE, dtype="float32", name="input_padding")
    seen = padded = padding(image)
    converter = getattr(detector.preprocessor, "image_converter", None)
    if converter is not None and (converter.scale or converter.offset):
        seen = keras.layers.Rescaling(
            converter.scale or 1.0, converter.offset or 0.0, name="input_rescaling"
        )(padded)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Normalization):
            padding.color = np.ravel(layer.mean).tolist()
    fpn = detector.backbone.feature_pyramid
    levels = {
        level: encoder.pyramid_outputs[level] for level in fpn.lateral_conv_layers
    }
    # `call` itself, which leaves Keras' own layers in the graph, and not KerasHub's.
    pyramid = keras.Model(encoder.inputs, fpn.call(levels), name="feature_pyramid")
    maps = list(pyramid(seen).values())
    outputs = []
    for head in (detector.classification_head, detector.box_head):
        features = keras.Input((None, None, fpn.num_filters))
        opened = keras.Model(features, head.call(features), name=head.name)
        outputs.append([opened(level) for level in maps])
    generator = detector.anchor_generator
    # An image of one pixel has one position in each level.
    around = generator.call(np.zeros((1, 1, 1, 3)))
    choose = AnchorDetections(
        [
            ops.convert_to_numpy(
                keras.utils.bounding_boxes.convert_format(
                    boxes, source=generator.bounding_box_format, target="yxyx"
                )
            ).tolist()
            for boxes in around.values()
        ],
        stds=np.ravel(coder.box_variance).tolist(),
        max_outputs=detections or decoder.max_detections,
        score_threshold=_given(score_threshold, decoder.confidence_threshold),
        iou_threshold=_given(iou_threshold, decoder.iou_threshold),
        name="detections",
    )
    found = choose(padded, *outputs, image)
    return keras.Model(image, dict(zip(OUTPUTS, found, strict=True)), name=name)


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
