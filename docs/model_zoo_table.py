"""Writes the table of published weights into README.md, between its two marks.

python docs/model_zoo_table.py          # writes
python docs/model_zoo_table.py --check  # exits with 1 if the page is out of date
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.marked_page import replace_between, write_or_check  # noqa: E402
from keras_convnext.variants import find_variant, multiply_accumulates  # noqa: E402
from keras_convnext.weights.registry import find  # noqa: E402

BEGIN = "<!-- model zoo: written by docs/model_zoo_table.py -->\n"
END = "<!-- end of model zoo -->\n"
# Of each size one that is good for its cost; the whole list is docs/weights.md.
CHOSEN = (
    "convnext_atto.d2_in1k",
    "convnext_nano.in12k_ft_in1k",
    "convnext_tiny.fb_in22k_ft_in1k",
    "convnext_tiny.in12k_ft_in1k",
    "convnext_small.in12k_ft_in1k",
    "convnext_base.fb_in22k_ft_in1k",
    "convnextv2_base.fcmae_ft_in22k_in1k_384",
    "convnext_large_mlp.clip_laion2b_soup_ft_in12k_in1k_384",
    "convnextv2_huge.fcmae_ft_in22k_in1k_512",
)


def row(name: str) -> str:
    """Returns a checkpoint's row in Markdown."""
    record = find(name)
    variant = find_variant(record.variant)
    if record.accuracy is None:
        raise ValueError(f"nobody has published an accuracy of {name}")
    size_px = record.accuracy.size_px
    cells = (
        f"`{name}`",
        f"{record.accuracy.top1:.1f} %",
        f"{size_px} px",
        f"{variant.parameters / 1e6:.1f} M",
        f"{multiply_accumulates(variant, size_px) / 1e9:.3g} G",
        record.license,
    )
    return "| " + " | ".join(cells) + " |"


def table() -> str:
    """Returns the table in Markdown."""
    lines = [
        "| Name | ImageNet top-1 | at | Parameters | Multiply-adds | License |",
        "|---|--:|--:|--:|--:|---|",
        *map(row, CHOSEN),
    ]
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    """Returns README with the table that is right now."""
    return replace_between(page, BEGIN, END, table())


if __name__ == "__main__":
    write_or_check(ROOT / "README.md", page_with_table, __doc__.partition("\n")[0])
