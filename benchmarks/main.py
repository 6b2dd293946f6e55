"""Measures keras_convnext against its peers, side by side, on this machine.

    python benchmarks/main.py --suite=inference,training

`make bench` makes the peers' environment first. Writes `results.json` and plots into
`--out`; `page.py` makes docs/reference/measurements.md of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import cases
import race

HERE = Path(__file__).resolve().parent
PEERS = (
    *(cases.EAGER, cases.COMPILE, cases.OPENVINO, cases.ONNX),
    *(cases.UPERNET_EAGER, cases.UPERNET_COMPILE, cases.DETECTOR_EAGER),
)


def machine() -> dict[str, Any]:
    """Returns the machine and the versions of the measurement."""
    facts = {"system": platform.platform(), "python": platform.python_version()}
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        pairs = dict(line.split(":", 1) for line in lines if ":" in line)
        names = {key.strip(): value.strip() for key, value in pairs.items()}
        wanted = ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
        facts["cpu"] = names["model name"]
        facts["cores"] = int(names["processor"]) + 1
        flags = names["flags"].split()
        facts["instructions"] = [flag for flag in wanted if flag in flags]
    except (OSError, KeyError, ValueError):
        facts["cpu"] = platform.processor()
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        facts["gpu"], facts["driver"] = told.stdout.splitlines()[0].split(", ")
    return facts


def main() -> None:
    """Runs the races that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--suite",
        default="inference,bfloat16,training,segmentation,detection,startup,growth,"
        "pipeline,pipeline_profile,limits,kernels,coco_evaluation",
    )
    parser.add_argument("--only", default="", help="races whose name has this in it")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--peers_python", type=Path, default=".venv-bench/bin/python")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    # As in the project's own commands; for keras.applications just as well.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    wanted = options.suite.split(",")
    unknown = sorted(set(wanted) - set(cases.SUITES))
    if unknown:
        parser.error(f"--suite: no {', '.join(unknown)}; there are {cases.SUITES}")
    chosen = [
        case
        for case in cases.CASES
        if case.suite in wanted and options.only in case.name
    ]
    commands = [name for name in cases.COMMANDS if name in wanted]
    if not chosen and not commands:
        parser.error(f"--only: no race of {wanted} has {options.only!r} in its name")
    path = options.out / "results.json"
    options.out.mkdir(parents=True, exist_ok=True)
    # A part that is measured again takes the place of what was there.
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    races = {each["case"]["name"]: each for each in found.get("races", [])}
    pythons = {
        name: options.peers_python if name in PEERS else Path(sys.executable)
        for name in cases.TITLES
    }
    others = found.get("others", {})

    def write() -> None:
        order = [each.name for each in cases.CASES]
        kept = sorted(
            (each for name, each in races.items() if name in order),
            key=lambda each: order.index(each["case"]["name"]),
        )
        results = {"machine": machine(), "races": kept, "others": others}
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    for name in commands:
        print(f"\n{name}", flush=True)
        others[name] = measured_by(name, options.peers_python, options.out)
        write()
    for case in chosen:
        load = os.getloadavg()[0]
        print(f"\n{case.name} (load of the machine before: {load:.1f})", flush=True)
        result = race.run(case, pythons, options.rounds, options.seconds)
        races[case.name] = {**result, "date": date.today().isoformat()}
        print("\n".join(told(result)), flush=True)
        write()
    print(f"\nwrote {path}")


def measured_by(name: str, peers_python: Path, out: Path) -> dict[str, Any]:
    """Returns the measurements of a separate command, or why there are none."""
    (script, *arguments), has_peer = cases.COMMANDS[name]
    if has_peer and not peers_python.exists():
        return {"missing": f"the peers' environment is not there ({peers_python})"}
    if has_peer:
        arguments.append(f"--torch_python={peers_python}")
    path = out / f"{name}.json"
    command = [sys.executable, str(HERE / script), *arguments, f"--out={path}"]
    if subprocess.run(command, check=False).returncode:
        return {"missing": f"{script} failed; its words are above"}
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {**figures, "date": date.today().isoformat()}


def told(result: dict[str, Any]) -> list[str]:
    """Returns a race's outcome in lines, the ratios first."""
    lines = []
    for target in result["targets"]:
        ratio = target["reached"]
        lines.append(
            f"  {cases.TITLES[target['faster']]} / {cases.TITLES[target['slower']]}: "
            + ("not measured" if ratio is None else f"{ratio:.2f}")
            + f" (target {target['ratio']})"
        )
    for limit in result["memory"]:
        ratio = limit["reached"]
        lines.append(
            f"  memory, {cases.TITLES[limit['contestant']]} / "
            f"{cases.TITLES[limit['other']]}: "
            + ("not measured" if ratio is None else f"{ratio:.2f}")
            + f" (at most {limit['ratio']})"
        )
    for name, figures in result["results"].items():
        peak = figures["peak_mb"]
        lines.append(
            f"  {cases.TITLES[name]:32s} median {figures['median_s'] * 1e3:8.1f} ms  "
            f"min {figures['min_s'] * 1e3:8.1f}  spread {figures['spread']:4.0%}  "
            f"{figures['samples_per_s']:7.2f} img/s"
            + (f"  peak {peak:6.0f} MB" if peak else "")
        )
    for name, reason in result["missing"].items():
        lines.append(f"  {cases.TITLES[name]:32s} did not take part: {reason}")
    return lines


if __name__ == "__main__":
    main()
