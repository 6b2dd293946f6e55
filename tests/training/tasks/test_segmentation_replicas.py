"""Two replicas that segment together do what one does, in training and evaluation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.segmentation_data import SIDE_PX, write_shapes

ROOT = Path(__file__).resolve().parents[3]
# Nothing is dropped: each replica would drop something else.
PROGRAM = f"""
import dataclasses, sys
from keras_convnext import _cli
_cli.import_tensorflow()
import numpy as np
from training.data import masks
from training.engine import distribution, trainer
from training.recipes import resolve
from training.workdir.layout import Workdir, identity
devices, data, workdir, out = sys.argv[1:]
strategy = distribution.make_strategy(distribution.parse(f"cpu:{{devices}}"))
recipe = dataclasses.replace(
    resolve("finetune_segment_small"), variant="test_convnext2", weights=None,
    size_px={SIDE_PX}, patch_size=2, head_channels=16, epochs=2, warmup_epochs=1,
    global_batch=4, peak_lr=1e-3, layer_scale_init_value=0.5, ema_decay=0.9,
    stochastic_depth_rate=0.0, dropout_rate=0.0,
)
source = masks.load(f"masks:{{data}}", size_px=recipe.size_px)
workdir = Workdir(__import__("pathlib").Path(workdir))
workdir.claim(identity(recipe, data))
run = trainer.prepare(recipe, source, workdir, strategy)
assert run.backend.replicas == int(devices)
trainer.train(run)
found = run.make_evaluation(run.train_state.eval_model, run.task.measure)(lambda: None)
state = {{name: v.numpy() for name, v in run.checkpoints.variables.items()}}
np.savez(
    out, counts=found.details.counts, image_iou=found.details.image_iou,
    loss=found.details.loss, **state,
)
"""


@pytest.mark.slow
def test_two_replicas_do_what_one_does(tmp_path):
    # An odd number of validation images, of two sizes.
    data = write_shapes(tmp_path / "shapes", training=12, validation=5)
    found = []
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.npz"
        arguments = [devices, str(data), str(tmp_path / devices), str(out)]
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], check=True, cwd=ROOT
        )
        with np.load(out) as arrays:
            found.append(dict(arrays))
    one, two = found
    assert one.keys() == two.keys()
    assert one["counts"].sum() == two["counts"].sum() > 0
    moved = [name for name in one if "moving_mean" in name]
    assert any(np.abs(one[name]).max() > 1e-3 for name in moved)
    for name in one:
        if name in ("counts", "image_iou"):
            continue
        # Sums over the batch are taken in another order, and six steps of AdamW, which
        # divides small gradients by small ones, make of it what they can.
        np.testing.assert_allclose(
            one[name], two[name], rtol=1e-3, atol=2e-4, err_msg=name
        )
    # A pixel whose two largest logits are nearly equal may fall to either.
    assert np.abs(one["counts"] - two["counts"]).sum() <= 0.01 * one["counts"].sum()
    np.testing.assert_allclose(one["image_iou"], two["image_iou"], atol=0.02)
