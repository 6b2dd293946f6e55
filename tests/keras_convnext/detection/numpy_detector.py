"""Detectors once more, in NumPy and with loops: from a model's own weights.

Boxes are x0, y0, x1, y1 here, as in the papers.
"""

import math

import numpy as np

STRIDES = (4, 8, 16, 32, 64)
STDS = [(0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)]


def conv(x, kernel, bias=0.0):
    """Same padding, stride 1; `(h, w, c)` in and out."""
    side = kernel.shape[0]
    pad = side // 2
    padded = np.pad(x, [(pad, pad), (pad, pad), (0, 0)])
    height, width = x.shape[:2]
    return bias + sum(
        padded[i : i + height, j : j + width] @ kernel[i, j]
        for i in range(side)
        for j in range(side)
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    return common / union if union > 0 else 0.0


def greedy(boxes, scores, groups, threshold, most):
    """Returns the places of the boxes that stay, by falling score."""
    kept = []
    for place in np.argsort(-np.asarray(scores), kind="stable"):
        if scores[place] > -np.inf and not any(
            groups[place] == groups[other]
            and iou(boxes[place], boxes[other]) > threshold
            for other in kept
        ):
            kept.append(int(place))
    return kept[:most]


def decode(box, delta, std, height, width, least=0):
    dx, dy, dw, dh = np.asarray(delta) * std
    most = math.log(1000 / 16)
    w, h = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 + w * dx, (box[1] + box[3]) / 2 + h * dy
    w, h = (
        w * math.exp(np.clip(dw, -most, most)),
        h * math.exp(np.clip(dh, -most, most)),
    )
    ends = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return ends.clip(least, [width, height, width, height])


def interpolate(level, y, x):
    """One bilinear point: nothing beyond one cell outside, clamped within."""
    height, width = level.shape[:2]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(level.shape[2])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    above = level[top, left] * (1 - across) + level[top, right] * across
    below = level[bottom, left] * (1 - across) + level[bottom, right] * across
    return above * (1 - down) + below * down


def roi_align(levels, box, size):
    x0, y0, x1, y1 = map(float, box)
    out = np.zeros((size, size, levels[0].shape[2]))
    area = max(x1 - x0, 0) * max(y1 - y0, 0)
    number = min(max(math.floor(math.log2(math.sqrt(area) / 56 + 1e-6)), 0), 3)
    number = min(number, len(levels) - 1)
    x0, y0, x1, y1 = (end / STRIDES[number] - 0.5 for end in (x0, y0, x1, y1))
    height, width = (y1 - y0) / size, (x1 - x0) / size
    rows, columns = math.ceil(height), math.ceil(width)
    for i in range(size):
        for j in range(size):
            for k in range(rows):
                for m in range(columns):
                    y = y0 + (i + (k + 0.5) / rows) * height
                    x = x0 + (j + (m + 0.5) / columns) * width
                    point = interpolate(levels[number], y, x)
                    out[i, j] += point / (rows * columns)
    return out


class Detector:
    """A detector of one image, by its model's weights."""

    def __init__(self, model, size, classes, proposals, per_level, detections):
        self.weights = {
            layer.name: [np.asarray(w, np.float64) for w in layer.get_weights()]
            for layer in model.layers
        }
        self.height, self.width = size
        self.classes, self.proposals = classes, proposals
        self.per_level, self.detections = per_level, detections

    def conv(self, x, name):
        return conv(x, *self.weights[name])

    def dense(self, x, name):
        kernel, bias = self.weights[name]
        return x @ kernel + bias

    def fpn(self, levels):
        maps = [self.conv(x, f"fpn_lateral{i}") for i, x in enumerate(levels)]
        for i in (2, 1, 0):
            maps[i] = maps[i] + maps[i + 1].repeat(2, 0).repeat(2, 1)
        maps = [self.conv(x, f"fpn_output{i}") for i, x in enumerate(maps)]
        return [*maps, maps[-1][::2, ::2]]

    def propose(self, maps):
        boxes, scores, groups = [], [], []
        for group, (x, stride) in enumerate(zip(maps, STRIDES, strict=True)):
            x = np.maximum(self.conv(x, "rpn_conv"), 0)
            some = sigmoid(self.conv(x, "rpn_logits")).reshape(-1)
            deltas = self.conv(x, "rpn_deltas").reshape(-1, 4)
            sides = [(8 * stride / r**0.5, 8 * stride * r**0.5) for r in (0.5, 1, 2)]
            anchors = [
                (j * stride - w / 2, i * stride - h / 2)
                + (j * stride + w / 2, i * stride + h / 2)
                for i in range(x.shape[0])
                for j in range(x.shape[1])
                for w, h in sides
            ]
            for place in np.argsort(-some, kind="stable")[: self.per_level]:
                box = self.decode(anchors[place], deltas[place], np.ones(4))
                if box[2] > box[0] and box[3] > box[1]:
                    boxes.append(box)
                    scores.append(some[place])
                    groups.append(group)
        kept = greedy(boxes, scores, groups, 0.7, self.proposals)
        return [boxes[place] for place in kept]

    def decode(self, box, delta, std):
        return decode(box, delta, std, self.height, self.width)

    def box_head(self, maps, box, name):
        x = roi_align(maps[:4], box, 7)
        for index in range(4):
            if f"{name}_conv{index}" in self.weights:
                x = self.conv(x, f"{name}_conv{index}")
                scale, shift, mean, variance = self.weights[f"{name}_norm{index}"]
                x = (x - mean) / np.sqrt(variance + 1e-5) * scale + shift
                x = np.maximum(x, 0)
        x = x.reshape(-1)
        for index in range(2):
            if f"{name}_fc{index}" in self.weights:
                x = np.maximum(self.dense(x, f"{name}_fc{index}"), 0)
        deltas = self.dense(x, f"{name}_deltas").reshape(self.classes, 4)
        return self.dense(x, f"{name}_logits"), deltas

    def mask(self, maps, box, label, name):
        x = roi_align(maps[:4], box, 14)
        for index in range(4):
            x = np.maximum(self.conv(x, f"{name}_conv{index}"), 0)
        kernel, bias = self.weights[f"{name}_upsample"]
        twice = np.einsum("hwi,aboi->hawbo", x, kernel)
        x = np.maximum(twice.reshape(28, 28, -1) + bias, 0)
        return sigmoid(self.conv(x, f"{name}_logits"))[..., label]

    def detect(self, levels):
        """Returns boxes, scores, labels and masks of what it finds."""
        maps = self.fpn(levels)
        boxes = self.propose(maps)
        stages = ("0", "1", "2") if "box0_logits" in self.weights else ("",)
        total = 0.0
        for stage, std in zip(stages, STDS, strict=False):
            found = [self.box_head(maps, box, f"box{stage}") for box in boxes]
            logits = np.array([each for each, _ in found])
            total = total + logits
            before, last = boxes, std
            boxes = [
                self.decode(box, deltas[np.argmax(each[:-1])], std)
                for box, (each, deltas) in zip(boxes, found, strict=True)
            ]
        scores = softmax(total / len(stages))[:, :-1]
        candidates = [
            (self.decode(before[place], found[place][1][label], last), score, label)
            for place, row in enumerate(scores)
            for label, score in enumerate(row)
            if score > 0.05
        ]
        ends, values, labels = zip(*candidates, strict=True)
        kept = greedy(ends, values, labels, 0.5, self.detections)
        masks = [
            np.mean(
                [
                    self.mask(maps, ends[i], labels[i], f"mask{stage}")
                    for stage in stages
                ],
                axis=0,
            )
            for i in kept
        ]
        chosen = (np.array([each[i] for i in kept]) for each in (ends, values, labels))
        return (*chosen, np.array(masks))
