"""Writes the table of variants into docs/models.md, between its two marks.

python docs/variants_table.py          # writes
python docs/variants_table.py --check  # exits with 1 if the page is out of date
"""

import fnmatch
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import keras_convnext  # noqa: E402
from docs.marked_page import replace_between, write_or_check  # noqa: E402
from keras_convnext.variants import (  # noqa: E402
    VARIANTS,
    StemConv,
    Variant,
    multiply_accumulates,
)

PAGE = Path(__file__).with_name("models.md")
BEGIN = "<!-- variants: written by docs/variants_table.py -->\n"
END = "<!-- end of variants -->\n"
HEADINGS = (
    "variant",
    "builder",
    "depths",
    "widths",
    "parameters",
    "G at 224 px",
    "differences",
    "weights",
)
NUMERIC = ("parameters", "G at 224 px", "weights")


def builders() -> dict[str, str]:
    """Returns the public builder of each variant that has one."""
    found = {}
    for name in keras_convnext.__all__:
        if name.startswith("ConvNeXt"):
            signature = inspect.signature(getattr(keras_convnext, name))
            found[signature.parameters["name"].default] = name
    return found


def stem(variant: Variant) -> str:
    """Returns the stem in words; nothing for the usual one."""
    convolutions = [part for part in variant.stem if isinstance(part, StemConv)]
    if len(convolutions) == 1:
        side = convolutions[0].kernel_px
        return "" if side == 4 else f"{side}x{side} patches, no norm after them"
    first = convolutions[0].width or variant.widths[0]
    gelu = ", GELU between" if "gelu" in variant.stem else ""
    return f"stem of two 3x3 convolutions, the first {first} wide{gelu}"


def remarks(variant: Variant) -> str:
    """Returns how a variant differs from the paper's V1, in words."""
    return "; ".join(
        remark
        for remark, holds in (
            ("GRN, no layer scale", variant.grn),
            (stem(variant), bool(stem(variant))),
            ("norm before pooling", variant.head == ("norm", "pool")),
            ("hidden layer in the head", "hidden" in variant.head),
            ("RMSNorm", variant.norm == "rms"),
            ("SimpleNorm", variant.norm == "simple"),
            (f"epsilon {variant.norm_epsilon:g}", variant.norm_epsilon != 1e-6),
            (
                "no layer scale",
                variant.layer_scale_init_value is None and not variant.grn,
            ),
        )
        if holds
    )


def table() -> str:
    """Returns the table in Markdown, a row a variant."""
    names = builders()
    checkpoints = keras_convnext.list_weights()
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "|".join("--:" if h in NUMERIC else "---" for h in HEADINGS) + "|",
    ]
    for variant in VARIANTS.values():
        builder = names.get(variant.name)
        cells = (
            f"`{variant.name}`",
            f"`{builder}`" if builder else "",
            ", ".join(map(str, variant.depths)),
            ", ".join(map(str, variant.widths)),
            f"{variant.parameters:,}",
            f"{multiply_accumulates(variant) / 1e9:.2f}",
            remarks(variant),
            str(len(fnmatch.filter(checkpoints, f"{variant.name}.*"))),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    """Returns the page with the table that is right now."""
    return replace_between(page, BEGIN, END, table())


if __name__ == "__main__":
    write_or_check(PAGE, page_with_table, __doc__.partition("\n")[0])
