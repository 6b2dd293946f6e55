"""Malformed annotations take no memory: measured, in a process of its own."""

import pathlib

import pytest

from tests.checks import run_python
from tests.keras_convnext.data.test_coco_sets import (
    MISTAKES,
    TEXTS,
    change_first,
    change_image,
    rewrite,
)
from tests.training.data.coco_files import content, write_coco

MB = 2**20
LARGEST = 65_535
WHOLE = {"size": [LARGEST, LARGEST], "counts": [LARGEST**2]}


def runs(counts, size=(24, 40)):
    return change_first(segmentation={"size": list(size), "counts": counts})


def in_an_image_of_the_largest_size(segmentation):
    def change(made):
        made["images"][0] |= {"width": LARGEST, "height": LARGEST}
        made["annotations"][0]["segmentation"] = segmentation

    return change


# What would be large if it were believed. The files are small.
LARGE = {
    "a run of 2^62 pixels": runs([2**62]),
    "two of them": runs([2**62, 2**62]),
    "a number of 400 digits": runs([10**400]),
    "a compressed run of 2^34 pixels": runs("ooooooO"),
    "a million compressed runs": runs("1" * 10**6),
    "300,000 runs": runs([1] * 300_000),
    "another size": runs([LARGEST**2], (LARGEST, LARGEST)),
    "an outline of 10^12 pixels": change_first(segmentation=[[0, 0, 1e12, 0, 0, 5]]),
    "corners at 10^300": change_first(segmentation=[[0, 0, 1e300, 0, 0, 1e300]]),
    "60,000 corners": change_first(segmentation=[[0, 0, 40, 24] * 60_000]),
    "100,000 polygons": change_first(segmentation=[[0, 0, 40, 0, 0, 24]] * 100_000),
    "a mask of the largest image": in_an_image_of_the_largest_size(WHOLE),
    "its outline": in_an_image_of_the_largest_size(
        [[0, 0, LARGEST, 0, LARGEST, LARGEST, 0, LARGEST]]
    ),
    "an image of 10^18 pixels": change_image(width=10**9, height=10**9),
    "ids of 300 digits": lambda made: made["categories"].append(
        {"id": 10**300, "name": "far"}
    ),
    "a box of 10^10 pixels": change_first(bbox=[0, 0, 1e10, 1e10]),
    "an area of 10^308": change_first(area=1e308),
    "10,000 images that are not there": lambda made: made["images"].extend(
        {"id": 10**6 + n, "file_name": f"{n}.jpg", "width": LARGEST, "height": LARGEST}
        for n in range(10_000)
    ),
    "10,000 annotations of no image": lambda made: made["annotations"].extend(
        made["annotations"][0] | {"id": 10**6 + n, "image_id": -1}
        for n in range(10_000)
    ),
}

# Nothing of them is wrong: a class without objects, a box that ends at its image.
USABLE = ("ids of 300 digits", "a box of 10^10 pixels")

# In kB, as Linux has it; 5 sets the peak back to what there is.
READ_EACH = """
import json, resource, sys
from pathlib import Path
from keras_convnext._data import coco_sets
from keras_convnext._data.data_error import DataError

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key)))

def read(root):
    try:
        coco_sets.load(root, validation_share=0.3, seed=0, skip_bad_images=False)
    except DataError as error:
        return str(error)
    return ""

first, *others = {roots!r}
assert read(first) == ""
most = status("VmSize") * 1024 + {headroom}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
told = dict()
for root in others:
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmHWM")
    text = read(root)
    told[root] = [text, 1024 * (status("VmHWM") - before)]
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(),
    reason="the peak is read from Linux' process table",
)
def test_no_malformed_file_takes_more_memory_than_its_text_accounts_for(tmp_path):
    write_coco(tmp_path / "valid", content())
    changes = [*MISTAKES.values(), *LARGE.values()]
    roots = [rewrite(tmp_path / str(n), change) for n, change in enumerate(changes)]
    for number, text in enumerate(TEXTS.values()):
        roots.append(write_coco(tmp_path / f"text{number}", content()))
        (roots[-1] / "annotations/instances.json").write_bytes(text)
    code = READ_EACH.format(
        roots=[str(root) for root in [tmp_path / "valid", *roots]], headroom=512 * MB
    )
    # Each of the threads that look at images would reserve address space of its own.
    told = run_python(code, MALLOC_ARENA_MAX="1")
    names = [*MISTAKES, *LARGE, *TEXTS]
    assert len(names) > 60
    for name, root in zip(names, roots, strict=True):
        text, rise = told[str(root)]
        assert bool(text) != (name in USABLE), (name, text)
        size = (root / "annotations/instances.json").stat().st_size
        # Python's objects for what JSON writes with a few characters: 20 times the text
        # of 10,000 images, measured. Other work of the process: below 2 MB.
        assert rise < 8 * MB + 32 * size, (name, size, rise)
