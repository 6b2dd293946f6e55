"""Takes the picture of the demo's report that README shows.

python docs/demo_picture.py  # after `make demo`; needs chromium

The page is shown in a window of fixed width by headless Chromium and cut to its upper
part; the colours are reduced to a palette, which keeps the file small.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "demo_report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLOURS = 128


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", default=str(ROOT / "runs" / "demo" / "report.html"))
    parser.add_argument("--width_px", type=int, default=1128)
    parser.add_argument("--height_px", type=int, default=672)
    chosen = parser.parse_args()
    report = Path(chosen.report).resolve()
    browser = next((name for name in BROWSERS if shutil.which(name)), None)
    if browser is None or not report.is_file():
        sys.exit(f"wants one of {', '.join(BROWSERS)}, and {report} (make demo)")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--window-size={chosen.width_px},{chosen.height_px}",
                f"--screenshot={shot}",
                report.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        with Image.open(shot) as picture:
            PICTURE.parent.mkdir(exist_ok=True)
            reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            reduced.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
