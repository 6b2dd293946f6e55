"""Importing the library brings nothing in that is heavy and not needed yet."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Keras imports TensorFlow, h5py and more by itself; the question is what is added.
PROGRAM = """
import sys
import keras
before = set(sys.modules)
import keras_convnext
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
HEAVY = {
    *("torch", "tensorflow_datasets", "PIL", "matplotlib", "requests", "yaml"),
    *("huggingface_hub", "httpx", "httpx2", "onnx", "ai_edge_litert"),
    *("training", "export", "benchmarks"),
}


def test_importing_the_library_adds_nothing_heavy_to_keras() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    added = set(finished.stdout.split())
    assert "keras_convnext" in added
    assert not added & HEAVY


def test_a_command_loads_keras_only_once_it_has_quieted_it(tmp_path: Path) -> None:
    files = [*ROOT.glob("training/*main.py"), *ROOT.glob("export/*main.py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    assert "training.main" in names
    # Named as installed commands are, by which the library knows them.
    script = tmp_path / "keras-convnext-all"
    script.write_text(f"import sys, {', '.join(names)}\nprint('keras' in sys.modules)")
    finished = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("False\n", "")
