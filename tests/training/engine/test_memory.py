"""A long run needs no more memory at its end than after its first epochs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.checks import write_arrays

ROOT = Path(__file__).resolve().parents[3]
EPOCHS = 200
# TensorFlow, its threads and the allocator have taken what they take by then.
WARM_EPOCHS = 50
# Over the 150 epochs after that. Of what an epoch makes, one copy of the train state
# has 7 MB, and the graphs that read its images 0.6 MB: kept, they would be 90 MB.
MOST_MB = 8.0
# The graphs are in circles, which Python frees when it gets round to it, every eighty
# epochs or so; here it does so before each reading.
RUN = """
import gc
import json
import sys
from pathlib import Path

from training import main
from training.workdir.history import HistoryFile

seen = {}
write = HistoryFile.on_epoch_end


def on_epoch_end(self, epoch, logs=None):
    write(self, epoch, logs)
    if (epoch + 1) % 10 == 0:
        gc.collect()
        lines = dict(
            line.split(":", 1) for line in Path("/proc/self/status").open()
        )
        # Less the pages of files, which the system may take back.
        seen[epoch + 1] = int(lines["RssAnon"].split()[0]) / 1024


HistoryFile.on_epoch_end = on_epoch_end
code = main.main(["train", *sys.argv[1:]])
print(json.dumps(seen))
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_does_not_grow_over_200_epochs(tmp_path: Path):
    data = write_arrays(tmp_path / "images.npz")
    arguments = [
        *(f"--data=array:{data}", f"--workdir={tmp_path / 'run'}", "--devices=cpu"),
        *("--recipe=scratch_small", "--set=variant=test_convnext2"),
        *("--set=size_px=16", "--set=global_batch=8", f"--set=epochs={EPOCHS}"),
        *("--set=ema_decay=0.9", "--set=keep=best"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    epochs = np.array([int(epoch) for epoch in seen if int(epoch) >= WARM_EPOCHS])
    assert epochs.tolist() == list(range(WARM_EPOCHS, EPOCHS + 1, 10))
    memory = np.array([seen[str(epoch)] for epoch in epochs])
    # The line through all: single readings waver.
    growth = np.polyfit(epochs, memory, 1)[0] * (EPOCHS - WARM_EPOCHS)
    print(f"{growth:.1f} MB over {EPOCHS - WARM_EPOCHS} epochs:", seen)
    assert growth < MOST_MB, seen
