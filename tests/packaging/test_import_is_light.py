"""Commands bring nothing in that is heavy before they have quieted it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
