"""Writes the tables of docs/weights.md from the registry.

    python tests/keras_convnext/weights/make_weights_page.py

What the live comparison (test_timm_live.py) came to is in timm_live.csv: the names that
it ran for, with all their blocks or fewer. Everything between the two marks is
replaced; the words around it are written by hand.
With --check nothing is written and the exit code says whether the page is current.
"""

import csv
import sys
from pathlib import Path

from keras_convnext.variants import VARIANTS, find_variant
from keras_convnext.weights.pretrained import PretrainedWeights
from keras_convnext.weights.registry import records

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "weights.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
TITLES = {
    "timm": "timm, on the Hugging Face Hub (98)",
    "keras": "keras.applications (10)",
    "meta": "Meta, V1 and V2 (54)",
    "huggingface": "Hugging Face, facebook/* (37)",
    "torchvision": "torchvision (4)",
}
RAN = Path(__file__).with_name("timm_live.csv")


def top1(record: PretrainedWeights) -> str:
    if record.accuracy is None:
        return ""
    return f"{record.accuracy.top1:.2f} at {record.accuracy.size_px}"


def ran() -> dict[str, str]:
    """Returns the names that were compared, and with which blocks."""
    with RAN.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["blocks"] for row in csv.DictReader(file)}


def status(record: PretrainedWeights) -> str:
    """Says how a name of timm's was compared."""
    words = {"all": "equal", "fewer": "equal, fewer blocks", None: "not compared"}
    return words[ran().get(record.name)]


def outputs(record: PretrainedWeights) -> str:
    kind = "" if record.labels or not record.classes else " (embedding)"
    return f"{record.classes}{kind}" if record.classes else "none"


def table(publisher: str) -> list[str]:
    with_status = publisher == "timm"
    rows = [
        "| name | license | M parameters | outputs | size px | top-1 % |"
        + (" status |" if with_status else ""),
        "|---|---|---|---|---|---|" + ("---|" if with_status else ""),
    ]
    for record in records().values():
        if record.publisher != publisher or record.variant not in VARIANTS:
            continue
        millions = find_variant(record.variant).parameters / 1e6
        cells = [
            f"`{record.name}`",
            record.license,
            f"{millions:.1f}",
            outputs(record),
            str(record.preprocessing.size_px),
            top1(record),
            *([status(record)] if with_status else []),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def count() -> str:
    """Says of how many of timm's names the comparison came out equal."""
    names = [
        record.name
        for record in records().values()
        if record.publisher == "timm" and record.variant in VARIANTS
    ]
    blocks = [ran().get(name) for name in names]
    return (
        f"{len(names) - blocks.count(None)} of {len(names)} are equal: "
        f"{blocks.count('all')} with all their blocks, {blocks.count('fewer')} with "
        "fewer."
    )


def page(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [BEGIN, ""]
    for publisher, title in TITLES.items():
        said = [count(), ""] if publisher == "timm" else []
        parts += [f"### {title}", "", *said, *table(publisher), ""]
    return before + "\n".join([*parts, END]) + after


def main() -> int:
    current = PAGE.read_text(encoding="utf-8")
    made = page(current)
    if "--check" in sys.argv:
        return int(made != current)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
