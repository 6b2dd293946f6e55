"""Two replicas without labels do what one does: masks, or a teacher's features."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_convnext
from tests.training.unlabeled_data import SIDE_PX, write_waves

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = f"""
import dataclasses, pathlib, sys
from keras_convnext import _cli
_cli.import_tensorflow()
import numpy as np
from training.data import unlabeled
from training.engine import distribution, trainer
from training.recipes import resolve
from training.workdir.layout import Workdir, identity
devices, data, workdir, out, name, teacher = sys.argv[1:]
strategy = distribution.make_strategy(distribution.parse(f"cpu:{{devices}}"))
recipe = dataclasses.replace(
    resolve(name), teacher=teacher or None, variant="test_convnext2", size_px={SIDE_PX},
    patch_size=1, epochs=2, warmup_epochs=0, global_batch=4, peak_lr=1e-3,
    layer_scale_init_value=0.5, accumulation_steps=2 // int(devices),
)
source = unlabeled.load(f"images:{{data}}", size_px=recipe.size_px, patch_px=8)
workdir = Workdir(pathlib.Path(workdir))
workdir.claim(identity(recipe, data))
run = trainer.prepare(recipe, source, workdir, strategy)
assert run.backend.replicas == int(devices)
trainer.train(run)
found = run.make_evaluation(run.train_state.eval_model, run.task.measure)(lambda: None)
state = {{name: v.numpy() for name, v in run.checkpoints.variables.items()}}
np.savez(out, losses=found.details, **state)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pretrain_small", "distill_small"])
def test_two_replicas_do_what_one_does_in_two_parts(name, tmp_path):
    teacher = ""
    if name == "distill_small":
        teacher = str(tmp_path / "teacher.keras")
        keras_convnext.create(
            "test_convnext2", weights=None, classes=3, input_shape=(SIDE_PX,) * 2 + (3,)
        ).save(teacher)
    # An odd number of validation images.
    data = write_waves(tmp_path / "waves", count=15)
    found = []
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.npz"
        arguments = [devices, str(data), str(tmp_path / devices), str(out)]
        arguments += [name, teacher]
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], check=True, cwd=ROOT
        )
        with np.load(out) as arrays:
            found.append(dict(arrays))
    one, two = found
    assert one.keys() == two.keys()
    assert one["losses"].shape == (3,)
    for name in one:
        # Sums over the batch are taken in another order, and six steps of AdamW, which
        # divides small gradients by small ones, make of it what they can.
        np.testing.assert_allclose(
            one[name], two[name], rtol=1e-3, atol=2e-4, err_msg=name
        )
