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
state = run.checkpoints.variables
began = {{name: variable.numpy() for name, variable in state.items()}}
model = run.train_state.eval_model
[kernel] = [v for v in model.trainable_variables if v.path == "box_logits/kernel"]
kernel.assign(kernel * 100)  # Otherwise nothing is an object.
evaluate = run.backend.make_evaluation(run, model, run.task.measure)
rows = list(evaluate(lambda: None))
kernel.assign(kernel / 100)
found = {{name: np.concatenate([row[name] for row in rows]) for name in rows[0]}}
order = np.argsort(found["number"])
trainer.train(run)
moved = {{name: variable.numpy() - began[name] for name, variable in state.items()}}
np.savez(out, **moved, **{{f"found/{{name}}": v[order] for name, v in found.items()}})
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
    assert one["found/number"].tolist() == [0, 1, 2, 3, 4]
    assert one["found/count"].sum() > 20
    heads = [name for name in one if name.startswith("model/") and "rpn" in name]
    assert min(np.abs(one[name]).max() for name in heads) > 1e-3
    for name in one:
        if name.startswith("found/"):
            # Float32 numbers of up to 56 through the same layers.
            np.testing.assert_allclose(one[name], two[name], atol=1e-4, err_msg=name)
            continue
        # Sums over the batch are taken in another order, and six steps of AdamW, which
        # divides small gradients by small ones, make of it what they can.
        np.testing.assert_allclose(
            one[name], two[name], rtol=1e-3, atol=2e-4, err_msg=name
        )
