"""Two replicas that detect together do what one does with two halves of a batch.

Losses are means over the boxes of a device's part of a batch: of two parts, one device
gets the same.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.detection_data import SIDE_PX, write_shapes

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = f"""
import dataclasses, sys
from keras_convnext import _cli
_cli.import_tensorflow()
import numpy as np
from training.data import boxes
from training.engine import distribution, trainer
from training.recipes import resolve
from training.workdir.layout import Workdir, identity
devices, data, workdir, out = sys.argv[1:]
strategy = distribution.make_strategy(distribution.parse(f"cpu:{{devices}}"))
recipe = dataclasses.replace(
    resolve("finetune_detect_small"), variant="test_convnext2", weights=None,
    size_px={SIDE_PX}, pyramid_channels=16, head_units=16, epochs=2, warmup_epochs=1,
    training_proposals=30, sampled_boxes=16, global_batch=4, peak_lr=1e-3,
    accumulation_steps=2 // int(devices), layer_scale_init_value=0.5, ema_decay=0.9,
    stochastic_depth_rate=0.0,
)
source = boxes.load(data, size_px=recipe.size_px)
workdir = Workdir(__import__("pathlib").Path(workdir))
workdir.claim(identity(recipe, data))
run = trainer.prepare(recipe, source, workdir, strategy)
assert run.backend.replicas == int(devices)
trainer.train(run)
rows = list(run.backend.make_evaluation(run, run.train_state.eval_model,
                                        run.task.measure)(lambda: None))
state = {{name: v.numpy() for name, v in run.checkpoints.variables.items()}}
numbers = np.concatenate([row["number"] for row in rows])
np.savez(out, numbers=np.sort(numbers), **state)
"""


@pytest.mark.slow
def test_two_replicas_do_what_one_does_in_two_parts(tmp_path):
    # An odd number of validation images, of two sizes.
    data = write_shapes(tmp_path / "shapes", training=12, validation=5)
    found = []
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.npz"
        arguments = [devices, data, str(tmp_path / devices), str(out)]
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], check=True, cwd=ROOT
        )
        with np.load(out) as arrays:
            found.append(dict(arrays))
    one, two = found
    assert one.keys() == two.keys()
    for each in found:
        assert each.pop("numbers").tolist() == [0, 1, 2, 3, 4]
    moved = [name for name in one if name.startswith("model/") and "rpn" in name]
    assert moved
    for name in one:
        # Sums over the batch are taken in another order, and six steps of AdamW, which
        # divides small gradients by small ones, make of it what they can.
        np.testing.assert_allclose(
            one[name], two[name], rtol=1e-3, atol=2e-4, err_msg=name
        )
