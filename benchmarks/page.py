"""Writes docs/reference/measurements.md and its plots from the results of `main.py`.

python benchmarks/page.py runs/benchmarks/results.json
python benchmarks/page.py --part=gpu runs/gpu/results.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cases
import matplotlib
from card_kernels import KINDS, by_kind
from limits import SHOWN

matplotlib.use("Agg")
from matplotlib import pyplot

DOCS = Path(__file__).resolve().parent.parent / "docs"
# What is meant, in seconds: the names are those of startup.py.
START_S = {
    "import keras_convnext after it": 0.3,
    "build ConvNeXtTiny": 1.0,
    "build ConvNeXtXLarge": 5.0,
}
PIPELINE_RATIO = 1.5
# The target is one for a folded model that has several images a call.
RATE_SHARE, RATE_WORK = 0.8, "inference, convnext_tiny, 224 px, batch 8"
# The parts of the page that are written, each between its two marks.
PARTS = ("measured", "gpu")
# What a card's matrix units can do a second with 16-bit factors, by a word of its name.
# Source: NVIDIA's data sheets, without sparsity.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12}
# Kernels told by name, of each contestant.
LONGEST = 8


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Returns a Markdown table."""
    head = list(head)
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(['---'] * len(head))}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def machine(facts: dict[str, Any]) -> list[str]:
    """Returns the machine and the versions of the measurement, in words."""
    instructions = ", ".join(facts.get("instructions", [])) or "none of AVX-512"
    card = f"{facts['gpu']} (driver {facts['driver']}), " if "gpu" in facts else ""
    return [
        f"Machine: {card}{facts.get('cpu')}, {facts.get('cores')} cores "
        f"({instructions}), {facts['system']}, Python {facts['python']}.",
        "",
    ]


def targets(races: list[dict[str, Any]]) -> list[str]:
    """Returns the ratios, what is meant and what was reached."""
    rows = []
    for race in races:
        for target in race["targets"]:
            reached = target["reached"]
            shown = "not measured"
            if reached is not None:
                remark = "" if reached >= target["ratio"] else " (missed)"
                shown = f"**{reached:.2f}**{remark}"
            pair = (cases.TITLES[target[side]] for side in ("faster", "slower"))
            rows.append(
                [race["case"]["name"], " / ".join(pair), str(target["ratio"]), shown]
            )
    return table(["work", "speed ratio", "target", "measured"], rows)


def memory(races: list[dict[str, Any]]) -> list[str]:
    """Returns the ratios of peak memory above the base, what is meant and measured."""
    rows = []
    for race in races:
        for limit in race["memory"]:
            pair = (cases.TITLES[limit[side]] for side in ("contestant", "other"))
            shown = at_most(limit["reached"], limit["ratio"])
            rows.append([race["case"]["name"], " / ".join(pair), *shown])
    return table(["work", "memory ratio", "target", "measured"], rows) if rows else []


def at_most(reached: float | None, most: float) -> list[str]:
    """Returns a limit and what was reached, in words."""
    if reached is None:
        return [f"at most {most}", "not measured"]
    remark = "" if reached <= most else " (missed)"
    return [f"at most {most}", f"**{reached:.2f}**{remark}"]


def commands(others: dict[str, Any]) -> list[str]:
    """Returns the measurements of the separate commands."""
    if not others:
        return []
    lines = ["### Import, building, scaling and the data pipeline", ""]
    for name, found in others.items():
        if "missing" in found:
            lines += [f"{name} was not measured: {found['missing']}", ""]
    startup, growth, pipeline, evaluation = (
        found if "missing" not in found else None
        for found in (
            others.get(name, {"missing": ""})
            for name in ("startup", "growth", "pipeline", "coco_evaluation")
        )
    )
    rows = []
    for name, most in START_S.items() if startup else ():
        rows.append([f"{name}, s", *at_most(startup["median_s"][name], most)])
    for name, ratio in growth["growth"].items() if growth else ():
        rows.append([f"growth of the cost of {name}", *at_most(ratio, growth["most"])])
    if evaluation:
        work = "COCO's figures, pycocotools' time / ours"
        rows.append([work, "at least 5", f"**{evaluation['ratio']:.1f}**"])
    if pipeline:
        rates = ", ".join(
            f"{side} {rate:.0f} img/s"
            for side, rate in pipeline["images_per_second_per_core"].items()
        )
        remark = "" if pipeline["ratio"] >= PIPELINE_RATIO else " (missed)"
        shown = f"**{pipeline['ratio']:.2f}**{remark}"
        rows.append([f"pipeline on one core: {rates}", str(PIPELINE_RATIO), shown])
    return [*lines, *(table(["what", "target", "measured"], rows) if rows else [])]


def limits(works: list[dict[str, Any]]) -> list[str]:
    """Returns the limits: the products alone, and the time of the rest."""
    rows = []
    for work in works:
        medians = work["median_s"]
        rate = f"{work['share_of_large_product_rate']:.0%}"
        if work["name"].startswith(RATE_WORK):
            reached = work["share_of_large_product_rate"] >= RATE_SHARE
            rate = f"**{rate}**, target {RATE_SHARE:.0%}" + (
                "" if reached else " (missed)"
            )
        operators = [
            f"{kind.removeprefix('_MklNative').removeprefix('_Mkl')} {share:.0%}"
            for kind, share in work["operators"].items()
            if share >= SHOWN
        ]
        rows.append(
            [
                work["name"],
                f"{medians['whole'] * 1e3:.0f}",
                f"{medians['alone'] * 1e3:.0f}, {work['products_share']:.0%}",
                rate,
                ", ".join(operators),
            ]
        )
    head = [
        "work",
        "ms",
        "matrix products alone, ms",
        "fraction of a large product's rate",
        "time by operator",
    ]
    return ["### What limits the speed", "", *table(head, rows)] if rows else []


def pipeline_profile(found: dict[str, Any]) -> list[str]:
    """Returns the times of an image in the data pipeline, and their lower bound."""
    if "spent" not in found:
        return []
    rates = found["images_per_second_per_core"]
    rows = [
        [f"{side}, img/s on one core", f"{rate:.0f}"] for side, rate in rates.items()
    ]
    rows.append(
        ["decoding alone, fraction of an image's time", f"**{found['ratio']:.0%}**"]
    )
    rows += [
        [f"operators: {purpose}", f"{share:.0%}"]
        for purpose, share in found["spent"].items()
    ]
    title = "### Time of an image in the data pipeline"
    return [title, "", *table(["what", "measured"], rows)]


def kernels(works: list[dict[str, Any]]) -> list[str]:
    """Returns the speed-up of TensorFlow's faster set of kernels."""
    rows = [
        [
            work["name"],
            f"{work['own_s'] * 1e3:.0f}",
            f"{work['onednn_s'] * 1e3:.0f}",
            f"**{work['gain']:.2f}**",
        ]
        for work in works
    ]
    head = ["work", "TensorFlow's own kernels, ms", "oneDNN, ms", "speed-up"]
    title = "### TensorFlow's own kernels and oneDNN"
    return [title, "", *table(head, rows)] if rows else []


def utilization(case: dict[str, Any], rate: float, card: str) -> float | None:
    """Returns the share of a card's peak that a model's own arithmetic takes.

    Two operations a multiplication; a training step counts as three forward passes.

    Args:
        case: The race.
        rate: Images a second.
        card: The card's name; None is returned for one that is not in PEAK_FLOPS.
    """
    peaks = [peak for word, peak in PEAK_FLOPS.items() if word in card]
    if not peaks or case["precision"] != "mixed_bfloat16":
        return None
    # It brings Keras, which nothing else here needs.
    from keras_convnext.variants import VARIANTS, multiply_accumulates

    variant = VARIANTS[case["model"]]
    passes = 3 if case["work"] == "training" else 1
    work = multiply_accumulates(variant, case["size_px"], case["classes"])
    return 2 * passes * work * rate / peaks[0]


def on_the_card(races: list[dict[str, Any]], card: str) -> list[str]:
    """Returns the contestants' use of a card's memory and arithmetic."""
    rows = []
    for race in races:
        for name, each in race["results"].items():
            share = utilization(race["case"], each["samples_per_s"], card)
            peak = each.get("device_peak_mb")
            rows.append(
                [
                    race["case"]["name"],
                    cases.TITLES[name],
                    f"{each['samples_per_s']:,.0f}",
                    "" if share is None else f"{share:.1%}",
                    f"{peak / 1000:.2f}" if peak else "",
                ]
            )
    head = ["work", "", "img/s", "model FLOP utilization", "GPU memory, GB"]
    return table(head, rows)


def profiles(races: list[dict[str, Any]]) -> list[str]:
    """Returns a card's time by kind, and the longest kernels by name."""
    lines = []
    for race in races:
        told = {
            cases.TITLES[name]: each["kernels"]
            for name, each in race["results"].items()
            if "kernels" in each
        }
        if not told:
            continue
        kinds = {title: by_kind(kernels) for title, kernels in told.items()}
        rows = [
            [kind, *(f"{each[kind] * 1e3:.2f}" for each in kinds.values())]
            for kind in KINDS
        ]
        lines += [
            f"### GPU time: {race['case']['name']}",
            "",
            *table(["kernels, ms a call", *told], rows),
        ]
        for title, kernels in told.items():
            order = sorted(kernels, key=lambda name: -kernels[name])[:LONGEST]
            longest = (f"`{name[:60]}` {kernels[name] * 1e3:.2f}" for name in order)
            lines += [f"{title}, the longest kernels: {', '.join(longest)}.", ""]
    return lines


def figures(race: dict[str, Any]) -> list[str]:
    """Returns one race's table, the fastest first."""
    rows = []
    best = min(each["median_s"] for each in race["results"].values())
    order = sorted(race["results"].items(), key=lambda pair: pair[1]["median_s"])
    for name, each in order:
        peak, base = each["peak_mb"], each["base_mb"]
        rows.append(
            [
                cases.TITLES[name],
                f"{each['median_s'] / best:.2f}",
                f"{each['median_s'] * 1e3:.1f}",
                f"{each['min_s'] * 1e3:.1f}",
                f"{each['spread']:.0%}",
                str(each["calls"]),
                f"{each['samples_per_s']:.1f}",
                f"{peak - base:.0f} + {base:.0f}" if peak else "",
                f"{each['build_s']:.1f} / {each['first_call_s']:.1f}",
            ]
        )
    head = [
        "",
        "time, fastest = 1",
        "median ms",
        "min ms",
        "spread",
        "calls",
        "img/s",
        "peak MB + base",
        "build / first call s",
    ]
    lines = [f"### {race['case']['name'].capitalize()}", "", *table(head, rows)]
    lines += [
        f"{cases.TITLES[name]} did not take part: {reason}\n"
        for name, reason in race["missing"].items()
    ]
    return lines


def plot(races: list[dict[str, Any]], path: Path) -> None:
    """Draws images per second of every contestant, one panel a race."""
    columns = 2
    rows = -(-len(races) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(11, 2.1 * rows), squeeze=False
    )
    for axis in axes.flat[len(races) :]:
        axis.set_axis_off()
    for axis, race in zip(axes.flat, races, strict=False):
        order = sorted(
            race["results"].items(), key=lambda pair: -pair[1]["samples_per_s"]
        )
        names = [cases.TITLES[name] for name, _ in order]
        rates = [each["samples_per_s"] for _, each in order]
        ours = ["#2a6f97" if "keras_convnext" in name else "#b8b8b8" for name in names]
        axis.barh(names, rates, color=ours)
        axis.invert_yaxis()
        axis.set_title(race["case"]["name"], fontsize=9)
        axis.set_xlabel("images per second", fontsize=8)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def main() -> None:
    """Replaces the measured part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument(
        "--page", type=Path, default=DOCS / "reference" / "measurements.md"
    )
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    options = parser.parse_args()
    begin, end = (f"<!-- {options.part}: {word} -->" for word in ("begin", "end"))
    found = json.loads(options.results.read_text(encoding="utf-8"))
    races = [race for race in found["races"] if race["results"]]
    suffix = "" if options.part == PARTS[0] else f"_{options.part}"
    image = options.page.with_name(f"{options.page.stem}{suffix}.png")
    plot(races, image)
    card = found["machine"].get("gpu", "")
    versions: dict[str, str] = {}
    for race in races:
        for each in race["results"].values():
            versions |= each["versions"]
    versions.pop("device", None)
    said = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        begin,
        "",
        *machine(found["machine"]),
        f"Versions: {said}. Measured on {max(race['date'] for race in races)}.",
        "",
        *targets(races),
        *memory(races),
        *(on_the_card(races, card) if card else []),
        *profiles(races),
        *commands(found.get("others", {})),
        *pipeline_profile(found.get("others", {}).get("pipeline_profile", {})),
        *limits(found.get("others", {}).get("limits", {}).get("works", [])),
        *kernels(found.get("others", {}).get("kernels", {}).get("works", [])),
        f"![Images per second of every contestant]({image.name})",
        "",
    ]
    for race in races:
        lines += figures(race)
    text = options.page.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    text = before + "\n".join([*lines, end]) + after
    options.page.write_text(text, encoding="utf-8")
    print(f"wrote {options.page} and {image}")


if __name__ == "__main__":
    main()
