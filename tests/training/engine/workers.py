"""Processes that train together, started as a person starts them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]


def start(data, workdir, config, *more, host=()):
    """Starts a worker; `host` are the words that run a command where it lives."""
    command = [
        *host,
        *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
        *(f"--data=array:{data}", f"--workdir={workdir}"),
        *("--set=variant=test_convnext2", "--set=size_px=16", "--set=global_batch=8"),
        *(
            "--set=epochs=4",
            "--set=warmup_epochs=1",
            "--set=stochastic_depth_rate=0",
            "--set=clip_norm=0.5",
        ),
        *("--set=augmentation.flip=false", "--set=augmentation.shift_px=0"),
        "--set=augmentation.cutmix=0",
        *more,
    ]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    if config is not None:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes):
    outputs = [process.communicate(timeout=600) for process in processes]
    for process, (_, stderr) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, stderr
    return outputs


def newest(workdir):
    with np.load(max((workdir / "checkpoints").glob("*.ckpt"))) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


def wait_for_a_checkpoint(workdir, processes):
    ends = time.monotonic() + 300
    while not list(workdir.glob("checkpoints/*.ckpt")):
        assert time.monotonic() < ends
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
