"""Takes the screenshot of the demo's report that README shows.

python docs/demo_screenshot.py  # after `make demo`; needs chromium

Headless Chromium shows the page in a window of fixed width; the screenshot is its
upper part. The colors are reduced to a palette, which keeps the file small.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOT = ROOT / "docs" / "images" / "demo_report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLORS = 128


def main() -> None:
    """Writes the screenshot."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", default=str(ROOT / "runs" / "demo" / "report.html"))
    parser.add_argument("--width_px", type=int, default=1128)
    parser.add_argument("--height_px", type=int, default=672)
    options = parser.parse_args()
    report = Path(options.report).resolve()
    browser = next((name for name in BROWSERS if shutil.which(name)), None)
    if browser is None or not report.is_file():
        sys.exit(f"needs one of {', '.join(BROWSERS)}, and {report} (make demo)")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--window-size={options.width_px},{options.height_px}",
                f"--screenshot={shot}",
                report.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        with Image.open(shot) as image:
            SCREENSHOT.parent.mkdir(exist_ok=True)
            reduced = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
            reduced.save(SCREENSHOT, optimize=True)


if __name__ == "__main__":
    main()
