"""Draws the overlays of the segmentation page: true and predicted label maps.

python docs/segmentation_overlays.py --model=runs/nuclei

The rows are validation images of the run from its highest to its lowest IoU, at equal
steps in that order, so that the worst is among them.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import keras_convnext
from keras_convnext.segmentation import overlay

OUT = Path(__file__).parent / "images" / "segmentation_nuclei.png"
COLORS = 128  # They keep the file small.
TITLES = ("image", "true label map", "predicted label map")


def main() -> None:
    """Writes the drawing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a run's workdir")
    parser.add_argument("--rows", type=int, default=5)
    options = parser.parse_args()
    with (options.model / "validation.csv").open(encoding="utf-8") as file:
        images = [
            (float(row["miou"]), Path(row["image"])) for row in csv.DictReader(file)
        ]
    images.sort(reverse=True)
    places = np.linspace(0, len(images) - 1, options.rows).round().astype(int)
    model = keras_convnext.load(options.model)
    figure = Figure(figsize=(7.5, 2.2 * options.rows), layout="constrained")
    grid = figure.subplots(options.rows, 3, squeeze=False)
    for axes, place in zip(grid, places, strict=True):
        iou, path = images[place]
        pixels = np.asarray(Image.open(path).convert("RGB"))
        folders = path.parents[1].with_name("annotations") / path.parent.name
        mask = np.asarray(Image.open(folders / f"{path.stem}.png"))
        shown = (
            pixels,
            *(overlay(pixels, m, model.palette) for m in (mask, model(path))),
        )
        for each, array, title in zip(axes, shown, TITLES, strict=True):
            each.imshow(array)
            each.set_axis_off()
            each.set_title(title if place == 0 else "", fontsize=10)
        axes[2].set_title(f"{axes[2].get_title()}  mIoU {iou:.1%}".strip(), fontsize=10)
    OUT.parent.mkdir(exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    reduced = Image.open(drawn).convert("RGB").quantize(COLORS)
    reduced.save(OUT, optimize=True)


if __name__ == "__main__":
    main()
