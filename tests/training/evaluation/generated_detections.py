"""Images, objects and detections made by chance, in COCO's formats."""

import numpy as np
from pycocotools import mask as run_lengths

# Areas of exactly 32 and 96 pixels squared count on both sides of a border.
BORDERS = (32.0, 96.0)


def generate(images, classes, seed):
    """Returns COCO's instances, and results with boxes and masks.

    With crowds, ties of scores, an image with more detections than count, areas on the
    borders, images and classes without objects. Ids begin with 0 but for annotations',
    whose 0 pycocotools takes for none.
    """
    random = np.random.default_rng(seed)
    truth = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(classes)],
    }
    results = []
    for number in range(images):
        height, width = (int(side) for side in random.integers(100, 260, 2))
        image = {"id": number, "height": height, "width": width}
        truth["images"].append({**image, "file_name": f"{number}.jpg"})
        for _ in range(int(random.integers(0, 8))):
            outline = _outline(random, height, width)
            # The last class has no objects.
            label = int(random.integers(classes - 1))
            _annotate(truth, outline, label, random)
            for _ in range(int(random.integers(0, 4))):
                moved = outline["points"] + random.normal(0, 3, 2)
                if random.random() < 0.3:
                    moved = outline["points"]
                found = label if random.random() < 0.85 else random.integers(classes)
                results.append(_result({**outline, "points": moved}, found, random))
        if number % 50 == 0:
            outlines = [_outline(random, height, width) for _ in range(120)]
            results += [_result(each, 0, random) for each in outlines]
        for each in results:
            each.setdefault("image_id", number)
    order = random.permutation(len(results))
    return truth, [results[place] for place in order]


def _outline(random, height, width):
    """Returns the points `(points, 2)` of a shape, x and y, and the image's size."""
    if random.random() < 0.2:
        side = BORDERS[int(random.integers(2))]
        corner = np.floor(random.uniform(0, 4, 2))
        points = corner + side * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    else:
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        radii = np.exp(random.uniform(np.log(3), np.log(70), 2))
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = random.uniform(0, (width, height)) + radii * circle
    return {"points": points, "height": height, "width": width}


def _shapes(outline):
    """Returns a box, a polygon and run lengths of an outline within its image."""
    height, width = outline["height"], outline["width"]
    points = np.clip(outline["points"], 0, (width, height)).round(2)
    x0, y0, x1, y1 = (*points.min(axis=0), *points.max(axis=0))
    polygon = points.reshape(-1).tolist()
    [runs] = run_lengths.frPyObjects([polygon], height, width)
    return [float(v) for v in (x0, y0, x1 - x0, y1 - y0)], polygon, runs


def _text(runs):
    return {**runs, "counts": runs["counts"].decode()}


def _annotate(truth, outline, label, random):
    box, polygon, runs = _shapes(outline)
    is_crowd = bool(random.random() < 0.1)
    as_runs = is_crowd or random.random() < 0.3
    truth["annotations"].append(
        {
            "id": len(truth["annotations"]) + 1,
            "image_id": truth["images"][-1]["id"],
            "category_id": label,
            "bbox": box,
            "area": float(run_lengths.area(runs)),
            "iscrowd": int(is_crowd),
            "segmentation": _text(runs) if as_runs else [polygon],
        }
    )


def _result(outline, label, random):
    box, _, runs = _shapes(outline)
    return {
        "category_id": int(label),
        "bbox": box,
        # One digit: many are equal.
        "score": round(random.random(), 1),
        "segmentation": _text(runs),
    }
