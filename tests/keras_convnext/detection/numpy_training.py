"""What detectors learn from, once more, in NumPy and with loops.

Boxes are x0, y0, x1, y1 here, as in the papers. Every anchor and every proposal counts:
nothing is drawn.
"""

import numpy as np

from tests.keras_convnext.detection.numpy_detector import (
    STDS,
    STRIDES,
    decode,
    interpolate,
    sigmoid,
    softmax,
)


def iou(a, b):
    """In float32: of boxes that tie for the best overlap all count."""
    a, b = np.float32(a), np.float32(b)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def assign(references, boxes, positive, negative, least):
    """Returns each reference's box, -1 for the background and -2 for none."""
    overlaps = np.array([[iou(box, each) for each in references] for box in boxes])
    best = overlaps.max(0)
    assigned = np.where(best < negative, -1, -2)
    assigned[best >= positive] = overlaps.argmax(0)[best >= positive]
    for number, row in enumerate(overlaps):
        if least is not None and row.max() >= least:
            assigned[row == row.max()] = number
    return assigned


def encode(box, reference, std):
    box, reference = np.float64(box), np.float64(reference)
    size, side = box[2:] - box[:2], reference[2:] - reference[:2]
    shift = (box[2:] + box[:2] - reference[2:] - reference[:2]) / 2
    return np.concatenate([shift / side, np.log(size / side)]) / std


def giou_loss(a, b):
    hull = np.prod(np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2]))
    common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common
    return 1 - common / union + (hull - union) / hull


def binary_cross_entropy(logits, labels):
    p = sigmoid(logits)
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def crop_mask(mask, box, size=28):
    """RoIAlign of a mask at stride 1."""
    x0, y0, x1, y1 = (float(end) - 0.5 for end in box)
    height, width = (y1 - y0) / size, (x1 - x0) / size
    rows, columns = int(np.ceil(height)), int(np.ceil(width))
    cropped = np.zeros((size, size))
    for i, j in np.ndindex(size, size):
        for k, m in np.ndindex(rows, columns):
            y = y0 + (i + (k + 0.5) / rows) * height
            x = x0 + (j + (m + 0.5) / columns) * width
            cropped[i, j] += interpolate(mask[..., None], y, x)[0] / (rows * columns)
    return cropped


def anchors_of(height, width, stride):
    sides = np.array([(r**-0.5, r**0.5) for r in (0.5, 1, 2)]) * 8 * stride / 2
    return [
        (*(center - side), *(center + side))
        for center in stride * np.array([*np.ndindex(height, width)])[:, ::-1]
        for side in sides
    ]


def anchor_losses(detector, maps, boxes, is_cascade):
    """Returns the classification and the box loss of all anchors that count."""
    anchors, logits, deltas = [], [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        x = np.maximum(detector.conv(x, "rpn_conv"), 0)
        anchors += anchors_of(*x.shape[:2], stride)
        logits.append(detector.conv(x, "rpn_logits").reshape(-1))
        deltas.append(detector.conv(x, "rpn_deltas").reshape(-1, 4))
    anchors, logits = np.array(anchors, np.float32), np.concatenate(logits)
    deltas = np.concatenate(deltas)
    if is_cascade:
        inside = (anchors[:, :2] >= 0).all(1)
        inside &= (anchors[:, 2:] < [detector.width, detector.height]).all(1)
        anchors, logits, deltas = anchors[inside], logits[inside], deltas[inside]
    assigned = assign(anchors, boxes, 0.7, 0.3, 0.3)
    counts = assigned >= -1
    of_class = binary_cross_entropy(logits, assigned >= 0)[counts].sum()
    of_boxes = 0.0
    for place in np.flatnonzero(assigned >= 0):
        target = encode(boxes[assigned[place]], anchors[place], 1.0)
        off = np.abs(deltas[place] - target)
        if is_cascade:
            off = np.where(off < 1 / 9, off**2 * 9 / 2, off - 1 / 18)
        of_boxes += off.sum()
    return of_class / counts.sum(), of_boxes / counts.sum()


def stage_losses(detector, maps, rois, truth, stage, is_cascade):
    """Returns the three losses of a stage, and the boxes of the next one."""
    boxes, classes, masks = truth
    suffix, std = (str(stage) if is_cascade else ""), np.array(STDS[stage])
    iou_threshold = (0.5, 0.6, 0.7)[stage]
    least = None if is_cascade else 0.5
    assigned = assign(rois, boxes, iou_threshold, iou_threshold, least)
    rois = [*boxes, *rois]
    assigned = [*range(len(boxes)), *assigned]
    of_class = of_box = of_mask = 0.0
    after = []
    for place, (roi, number) in enumerate(zip(rois, assigned, strict=True)):
        logits, deltas = detector.box_head(maps, roi, f"box{suffix}")
        label = classes[number] if number >= 0 else detector.classes
        of_class -= np.log(softmax(logits)[label])
        moves_for = label if number >= 0 else int(np.argmax(logits[:-1]))
        if place >= len(boxes):
            after.append(detector.decode(roi, deltas[moves_for], std))
        if number < 0:
            continue
        if is_cascade:
            unclipped = decode(roi, deltas[label], std, np.inf, np.inf, -np.inf)
            of_box += 10 * giou_loss(unclipped, boxes[number])
        else:
            of_box += np.abs(deltas[label] - encode(boxes[number], roi, std)).sum()
        says = detector.mask(maps, roi, label, f"mask{suffix}").clip(1e-12, 1 - 1e-12)
        is_in = crop_mask(masks[number], roi) >= 0.5
        of_mask -= np.where(is_in, np.log(says), np.log(1 - says)).mean()
    positives = max(sum(number >= 0 for number in assigned), 1)
    count = len(rois)
    return (of_class / count, of_box / count, of_mask / positives), after
