"""Writes keras_convnext/weights/tables/timm.csv from timm's own configurations.

Needs timm, and timm's results/results-imagenet.csv (rows of name, size, top-1, its
error, top-5, its error, millions of parameters, crop, interpolation):

    python make_timm_table.py results-imagenet.csv
"""

import csv
import sys
from pathlib import Path

import oracle  # noqa: F401, before timm
import timm

TABLE = Path(__file__).parents[3] / "keras_convnext/weights/tables/timm.csv"
COLORS = {0.485: "imagenet", 0.48145466: "clip", 0.5: "half"}
# "imagenet" means keras.applications' file where there is one, else timm's default.
KERAS_SIZES = ("tiny", "small", "base", "large", "xlarge")
KERAS_HAS = tuple(f"convnext_{size}" for size in KERAS_SIZES)
NOTES = {
    "convnext_tiny.fb_in22k_ft_in1k": (
        "timm lists 288 px as its test size and measures 78.95 % there; 224 px is right"
    ),
}


def measured(path: Path) -> dict[tuple[str, int], tuple[str, str]]:
    """Returns top-1 and top-5 by name and image size."""
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[1].isdigit()]
    return {(row[0], int(row[1])): (row[2], row[4]) for row in rows}


def role(arch: str, tag: str) -> str:
    if tag == "fb_in22k":
        return "imagenet22k"
    default = timm.models.get_pretrained_cfg(arch).tag
    return "imagenet" if tag == default and arch not in KERAS_HAS else ""


def record(arch: str, tag: str, results: dict) -> dict[str, object]:
    config = timm.models.get_pretrained_cfg(f"{arch}.{tag}")
    name, size_px = f"{arch}.{tag}", config.input_size[1]
    test_px = (config.test_input_size or config.input_size)[1]
    test_crop = config.test_crop_pct or config.crop_pct
    if name in NOTES:
        test_px, test_crop = size_px, config.crop_pct
    top1, top5 = results.get((name, size_px), ("", ""))
    test1, test5 = results.get((name, test_px), ("", ""))
    return {
        "name": name,
        "variant": arch,
        "source": f"hub:{config.hf_hub_id}",
        "file": "model.safetensors|pytorch_model.bin",
        "license": config.license,
        "classes": config.num_classes,
        "role": role(arch, tag),
        "size_px": size_px,
        "crop_fraction": config.crop_pct,
        "crop_mode": config.crop_mode,
        "interpolation": config.interpolation,
        "colors": COLORS[config.mean[0]],
        "test_size_px": test_px,
        "test_crop_fraction": test_crop,
        "top1": top1,
        "top5": top5,
        "test_top1": test1,
        "test_top5": test5,
        "figures_from": "timm results-imagenet.csv" if top1 or test1 else "",
        "note": NOTES.get(name, ""),
    }


def main() -> None:
    results = measured(Path(sys.argv[1]))
    names = [
        name.split(".")
        for name in timm.list_pretrained("*convnext*")
        if timm.models.is_model_in_modules(name.split(".")[0], ["convnext"])
    ]
    rows = [record(arch, tag, results) for arch, tag in sorted(names)]
    with TABLE.open(newline="") as file:
        columns = next(csv.reader(file))
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
