"""Draws a run's true and predicted objects for the detection page.

python docs/detection_overlays.py --model=runs/nuclei
"""

import argparse
from pathlib import Path

from PIL import Image

OUT = Path(__file__).parent / "images" / "detection_nuclei.png"
WIDTH_PX = 1000
COLORS = 128  # They keep the file small.


def main() -> None:
    """Writes what the run's report shows of its validation images, smaller."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a run's workdir")
    options = parser.parse_args()
    drawn = Image.open(options.model / "pictures" / "predictions.png").convert("RGB")
    height = round(drawn.height * WIDTH_PX / drawn.width)
    reduced = drawn.resize((WIDTH_PX, height), Image.Resampling.LANCZOS)
    reduced.quantize(COLORS).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
