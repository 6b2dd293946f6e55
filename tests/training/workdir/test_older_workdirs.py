"""What version 0.1 left is still read: recipes without a task, and checkpoints."""

import io
import json
import zipfile

import numpy as np

from training.engine import trainer
from training.recipes.recipe import from_json
from training.workdir.layout import Workdir, identity

# As version 0.1 wrote it in the middle of an epoch.
POSITION = {
    "epoch": 1,
    "batch": 2,
    "step": 7,
    "totals": {
        "loss": 1.5,
        "correct": 11.0,
        "steps": 2.0,
        "images": 16.0,
        "seconds": 0.5,
        "waited": 0.125,
    },
    "seconds": 121.0,
    "score": None,
    "learning_rate": None,
}
# Some of each kind: what a checkpoint calls a variable never changes.
NAMES = {
    "model/stem_conv/kernel",
    "model/stage0_block0_dwconv/kernel",
    "model/stage0_block0_layer_scale/gamma",
    "model/head_norm/gamma",
    "model/head_dense/bias",
    "average/head_dense/kernel",
    "optimizer/layerwise_adamw/iteration",
    "optimizer/layerwise_adamw/head_dense_kernel_momentum",
    "optimizer/layerwise_adamw/head_dense_kernel_velocity",
    "seed/0",
}


def test_a_recipe_without_a_task_is_one_of_classification(tiny_recipe, tmp_path):
    stored = identity(tiny_recipe, "bars")
    del stored["task"]
    assert from_json(stored) == tiny_recipe
    workdir = Workdir(tmp_path)
    workdir.recipe.write_text(json.dumps(stored))
    # Raises where another run lives there.
    workdir.claim(identity(tiny_recipe, "bars"))


def test_a_checkpoint_of_0_1_goes_on_where_it_was_written(
    tiny_recipe, tiny_source, one_device, tmp_path
):
    workdir = Workdir(tmp_path)
    workdir.claim(identity(tiny_recipe, "bars"))
    run = trainer.prepare(tiny_recipe, tiny_source, workdir, one_device)
    assert set(run.checkpoints.variables) >= NAMES
    bias = np.float32([0.25, -0.5, 0.125])
    with zipfile.ZipFile(workdir.checkpoints / "step-000000007.ckpt", "w") as archive:
        archive.writestr("position.json", json.dumps(POSITION))
        for name, variable in run.checkpoints.variables.items():
            contents = io.BytesIO()
            value = bias if name == "model/head_dense/bias" else variable.numpy()
            np.save(contents, value)
            archive.writestr(f"{name}.npy", contents.getvalue())
    again = trainer.prepare(tiny_recipe, tiny_source, workdir, one_device)
    assert (again.progress.epoch, again.progress.batch) == (1, 2)
    assert again.seconds_before == 121.0
    kept = again.train_state.variables()["model/head_dense/bias"]
    np.testing.assert_array_equal(kept.numpy(), bias)
    again.note_steps(1, {"loss": 0.5, "accuracy": 4.0, "steps": 1.0, "images": 8.0})
    assert again.progress.totals == {
        "loss": 2.0,
        "accuracy": 15.0,
        "steps": 3.0,
        "images": 24.0,
    }
