r"""What RoIAlign with as many points in each bin makes of a detector's TFLite file.

    python benchmarks/fixed_roi_align.py --model=runs/nuclei --most=10 \
        --data=coco:instances_val.json:images

Exports read features as the library does: about a point for each cell. Here one file
does, and another takes `--points` by `--points` in a bin, gathered by themselves. Both
are asked for the same images in turn. Time is the processor's, of all threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import ops

import keras_convnext
from keras_convnext.detection import Objects, _roi_align, coco_results
from keras_convnext.detection._roi_align import STRIDES, _level_of
from keras_convnext.detection.box_overlap import box_iou
from keras_convnext.detection.inference import objects_in_square, square_view
from training.data import boxes as boxes_reader
from training.evaluation.coco_metrics import measure

# Boxes that are read at a time.
CHUNK = 128
ADAPTIVE = _roi_align.roi_align


def with_points(points: int) -> Any:
    """Returns a `roi_align` with points by points in a bin."""

    def roi_align(
        levels: Sequence[Any],
        boxes: Any,
        size: int = 7,
        strides: Sequence[int] = STRIDES,
    ) -> Any:
        shapes = [ops.shape(level) for level in levels]
        count, channels = ops.shape(boxes)[1], shapes[0][3]
        cells = ops.concatenate([ops.reshape(x, (-1, channels)) for x in levels])
        level = _level_of(boxes[0], len(levels))
        heights, widths = ([shape[axis] for shape in shapes] for axis in (1, 2))
        begins = np.cumsum(
            [0, *(h * w for h, w in zip(heights, widths, strict=True))][:-1]
        )
        scaled = boxes[0] / ops.take(np.array(strides, "float32"), level)[:, None] - 0.5
        missing = -count % CHUNK
        values = [
            ops.pad(each, [(0, missing), *[(0, 0)] * (len(each.shape) - 1)])
            for each in (
                scaled,
                *(
                    ops.take(np.array(each, "int32"), level)
                    for each in (heights, widths, begins)
                ),
            )
        ]
        place = (np.arange(size * points, dtype="float32") + 0.5) / (size * points)

        def along(start: Any, end: Any, length: Any) -> tuple[Any, ...]:
            at = start[:, None] + (end - start)[:, None] * place
            last = ops.cast(length, "float32")[:, None] - 1
            is_there = ops.cast((at >= -1) & (at <= last + 1), "float32")
            at = ops.clip(at, 0, last)
            low = ops.floor(at)
            high = ops.minimum(low + 1, last)
            ends = (ops.cast(each, "int32") for each in (low, high))
            weights = ((low + 1 - at) * is_there, (at - low) * is_there)
            return tuple(zip(ends, weights, strict=True))

        def read(chunk: tuple[Any, ...]) -> Any:
            box, height, width, begin = chunk
            total: Any = 0
            for row, of_row in along(box[:, 0], box[:, 2], height):
                first = begin[:, None] + row * width[:, None]
                for column, of_column in along(box[:, 1], box[:, 3], width):
                    number = first[:, :, None] + column[:, None, :]
                    weight = of_row[:, :, None] * of_column[:, None, :]
                    total += ops.take(cells, number, axis=0) * weight[..., None]
            shape = (CHUNK, size, points, size, points, channels)
            return ops.mean(ops.reshape(total, shape), axis=(2, 4))

        # Unrolled: a loop stores its zeros in the file, or copies what it adds to.
        aligned = ops.concatenate(
            [
                read(tuple(each[start : start + CHUNK] for each in values))
                for start in range(0, values[0].shape[0], CHUNK)
            ]
        )
        return aligned[None, :count]

    return roi_align


def convert(model: Any, size_px: int, roi_align: Any) -> bytes:
    """Returns a TFLite file of builtin operators for one square image."""
    _roi_align.roi_align = roi_align
    try:
        function = tf.function(lambda tensors: model(tensors), autograph=False)
        concrete = function.get_concrete_function(
            tf.TensorSpec((1, size_px, size_px, 3), name="tensors")
        )
    finally:
        _roi_align.roi_align = ADAPTIVE
    module = tf.Module()
    module.stored = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        return bytes(converter.convert())


def main() -> None:
    """Makes both files, asks them, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--most", type=int, default=10, help="images")
    parser.add_argument("--points", type=int, default=2, help="in a bin, each way")
    options = parser.parse_args()
    detector = keras_convnext.load(options.model)
    size_px = detector.preprocessing.size_px
    source = boxes_reader.load(options.data, size_px=size_px, split="all")
    numbers = range(min(options.most, source.validation_examples))
    images, _ = source.validation_images(numbers)
    works = {"adaptive": ADAPTIVE, "fixed": with_points(options.points)}
    runners, taken = {}, dict.fromkeys(works, 0.0)
    for name, roi_align in works.items():
        made = convert(detector.model, size_px, roi_align)
        print(f"{name}: {len(made) / 1e6:.2f} MB", flush=True)
        interpreter = Interpreter(model_content=made)
        runners[name] = interpreter.get_signature_runner("serving_default")
    found: dict[str, list[Objects]] = {name: [] for name in works}
    for image in images:
        view = square_view(image, detector.preprocessing)[None]
        for name, run in runners.items():
            began = time.process_time()
            outputs = run(tensors=view)
            taken[name] += time.process_time() - began
            outputs = {key: value[0] for key, value in outputs.items()}
            found[name].append(objects_in_square(outputs, image.shape, size_px))
    truth = source.annotations
    truth["images"] = [one for one in truth["images"] if one["id"] in numbers]
    truth["annotations"] = [
        one for one in truth["annotations"] if one["image_id"] in numbers
    ]
    ids = [category["id"] for category in truth["categories"]]
    for name, objects in found.items():
        results = [
            row
            for number, (one, image) in enumerate(zip(objects, images, strict=True))
            for row in coco_results.to_results(one, number, image.shape[:2], ids)
        ]
        figures = measure(truth, results, with_masks=True).figures
        print(
            f"{name}: {1000 * taken[name] / len(images):.0f} ms an image, AP of boxes "
            f"{100 * figures['ap']:.2f} %, of masks {100 * figures['mask_ap']:.2f} %"
        )
    off, count = [], 0
    for image, one, other in zip(images, *found.values(), strict=True):
        overlaps = np.array(box_iou(one.boxes[:, None], other.boxes[None]))
        overlaps[one.classes[:, None] != other.classes[None]] = 0
        count += len(one.boxes)
        for box, row in zip(one.boxes, overlaps, strict=True):
            if row.max(initial=0) > 0.5:
                difference = np.abs(box - other.boxes[row.argmax()]).max()
                off.append(difference * size_px / max(image.shape))
    print(
        f"of {count} objects the fixed form has {len(off)}; {sum(o <= 1 for o in off)} "
        "of their boxes are within 1 px of the square"
    )


if __name__ == "__main__":
    main()
