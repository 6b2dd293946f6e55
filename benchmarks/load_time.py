"""Loading a checkpoint: this library against timm, in seconds and in memory.

    python benchmarks/load_time.py --torch_python=.venv-bench/bin/python

The interpreter named by `--torch_python` (torch, timm, safetensors) writes timm's own
file of the network, with random weights, into a temporary folder. Then both sides
take turns (A B A B), each time in a process of its own, with the file in the system's
cache: `load` puts the file into a model that is built already, `build` makes that
model, `whole` is what a person types: `create(name, weights=FILE)` here,
`create_model`, `load_file` and `load_state_dict` there. Extra memory is how far the
resident memory rose above what the process held when the loading began; `private`
leaves out the pages of the file itself, which the system can take back. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
SIDES = ("keras_convnext", "timm")


class Peak:
    """The most memory that was resident while the block ran, above the beginning's.

    Attributes:
        mb: `{"resident": ..., "private": ...}` in megabytes, once the block is over.
    """

    def __enter__(self) -> Peak:
        self._done = threading.Event()
        self._before = _resident_mb()
        self._most = self._before
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.mb = {kind: self._most[kind] - self._before[kind] for kind in self._before}

    def _watch(self) -> None:
        while True:
            done = self._done.wait(0.01)
            now = _resident_mb()
            self._most = {kind: max(self._most[kind], now[kind]) for kind in now}
            if done:
                return


def _resident_mb() -> dict[str, float]:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    kilobytes = {key: int(lines[key].split()[0]) for key in ("VmRSS", "RssAnon")}
    return {
        "resident": kilobytes["VmRSS"] * 1024 / 1e6,
        "private": kilobytes["RssAnon"] * 1024 / 1e6,
    }


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Returns how long a call takes, and what it returns."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def ours(variant: str, file: Path, whole: bool) -> dict[str, Any]:
    """Measures this library."""
    import keras_convnext

    keras_convnext.create("convnext_atto", weights=None)  # the framework's own start
    if whole:
        return {
            "whole": seconds(lambda: keras_convnext.create(variant, weights=file))[0]
        }
    build, model = seconds(lambda: keras_convnext.create(variant, weights=None))
    with Peak() as peak:
        load, _ = seconds(lambda: keras_convnext.load_weights(model, file))
    return {"build": build, "load": load, "extra_mb": peak.mb}


def timms(variant: str, file: Path, whole: bool) -> dict[str, Any]:
    """Measures timm."""
    timm, torch = import_timm()
    from safetensors.torch import load_file

    timm.create_model("convnext_atto")

    def create() -> Any:
        return timm.create_model(variant)

    def fill(model: Any) -> None:
        model.load_state_dict(load_file(file))

    if whole:
        return {"whole": seconds(lambda: fill(create()))[0]}
    build, model = seconds(create)
    with Peak() as peak:
        load, _ = seconds(lambda: fill(model))
    return {"build": build, "load": load, "extra_mb": peak.mb}


def write(variant: str, file: Path) -> dict[str, str]:
    """Writes timm's file of a network; returns the versions of who wrote it."""
    timm, torch = import_timm()
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(variant).state_dict(), file)
    return {"torch": torch.__version__, "timm": timm.__version__}


def import_timm() -> tuple[Any, Any]:
    """Returns timm and torch."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # Its compiled part does not fit this torch; nothing here needs it.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define(
            "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
        import_timm.library = library
    import timm

    return timm, torch


def in_a_process(
    options: argparse.Namespace, task: str, file: Path, whole: bool = False
) -> Any:
    """Runs one task in a fresh process and returns its answer.

    Raises:
        SystemExit: It failed; the message says which side, and with what.
    """
    python = sys.executable if task == "keras_convnext" else options.torch_python
    command = [str(python), __file__, f"--task={task}", f"--variant={options.variant}"]
    command += [f"--file={file}", *(["--whole"] if whole else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"--torch_python={python} cannot be run: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise SystemExit(f"{task} failed in {python}: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def run_task(options: argparse.Namespace) -> Any:
    """Does what a process of its own was started for."""
    if options.task == "write":
        return write(options.variant, options.file)
    measure = ours if options.task == "keras_convnext" else timms
    return measure(options.variant, options.file, options.whole)


def race(options: argparse.Namespace, file: Path) -> dict[str, dict[str, float]]:
    """Lets both sides take turns; returns medians, megabytes the most."""
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            result = in_a_process(options, side, file)
            results[side].append(result | in_a_process(options, side, file, whole=True))
            print(side, json.dumps(results[side][-1]), file=sys.stderr, flush=True)
    return {
        side: {
            **{
                f"{what}_s": statistics.median(run[what] for run in runs)
                for what in ("load", "build", "whole")
            },
            **{
                f"extra_{kind}_mb": max(run["extra_mb"][kind] for run in runs)
                for kind in ("resident", "private")
            },
        }
        for side, runs in results.items()
    }


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variant", default="convnext_large")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--task", choices=("write", *SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not STATUS.exists():
        parser.error(f"{STATUS} is not there: this needs Linux")
    if options.task:
        print(json.dumps(run_task(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        versions = in_a_process(options, "write", file)
        file_mb = file.stat().st_size / 1e6
        medians = race(options, file)
    mine, theirs = (medians[side] for side in SIDES)
    ratios = {key: round(mine[key] / theirs[key], 2) for key in ("load_s", "whole_s")}
    share = round(mine["extra_resident_mb"] / file_mb, 3)
    print(
        json.dumps(
            {
                "variant": options.variant,
                "file_mb": round(file_mb, 1),
                "versions": versions,
                **{
                    side: {key: round(value, 2) for key, value in figures.items()}
                    for side, figures in medians.items()
                },
                "ours_over_timms": ratios,
                "extra_over_file": share,
            }
        )
    )


if __name__ == "__main__":
    main()
