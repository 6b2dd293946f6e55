"""From images with masks to a served label map, by the commands of the docs alone."""

import json

import numpy as np
import pytest
from PIL import Image

from export import main as export_main
from tests.export.whole_exports import predict_files, serve
from tests.training.segmentation_data import CLASSES, shapes, write_shapes
from training import evaluate_main, main, predict_main

# A network that tells shapes apart after 30 steps of a second.
SMALL = {
    "weights": "none",
    "variant": "test_convnext2",
    "patch_size": 2,
    "layer_scale_init_value": 0.5,
    "size_px": 32,
    "head_channels": 32,
    "epochs": 10,
    "warmup_epochs": 1,
    "peak_lr": 5e-3,
    "layer_decay": "none",
    "ema_decay": 0.8,
}
# Float32 rounds otherwise in another graph.
TIES = 1e-3


@pytest.mark.slow
def test_images_with_masks_become_a_served_label_map(tmp_path, capsys):
    pytest.importorskip("requests")
    pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
    data, run, maps = tmp_path / "shapes", tmp_path / "run", tmp_path / "maps"
    write_shapes(data)
    of_run = [f"--model={run}", f"--data=masks:{data}"]
    settings = [f"--set={name}={value}" for name, value in SMALL.items()]
    recipe = ["--recipe=finetune_segment_small", f"--data=masks:{data}"]
    assert main.main(["", *recipe, f"--workdir={run}", "--devices=cpu", *settings]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    # One class everywhere is a third of what that class reaches.
    assert metrics["miou"] > 0.5

    assert evaluate_main.main(["", *of_run, f"--out={tmp_path / 'seen.json'}"]) == 0
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["miou"] == pytest.approx(metrics["miou"], abs=TIES)

    Image.fromarray(shapes(1000)[0]).save(tmp_path / "new.png")
    arguments = [f"--model={run}", f"--out={maps}", str(tmp_path / "new.png")]
    assert predict_main.main(["", *arguments]) == 0
    expected = np.asarray(Image.open(maps / "label_maps" / "new.png"))
    assert expected.shape == shapes(1000)[1].shape

    out = run / "export"
    arguments = [f"--out={out}", "--format=saved_model", f"--images=masks:{data}"]
    assert export_main.main(["", f"--model={run}", *arguments]) == 0
    [entry] = json.loads((out / "export.json").read_text())["artefacts"].values()
    # A pixel counts more in the mean over classes than among all pixels.
    assert entry["miou"] == pytest.approx(metrics["miou"], abs=5 * TIES)

    with serve(out, tmp_path / "log") as server:
        [served] = predict_files(server, [(tmp_path / "new.png").read_bytes()])
    assert served["status"] == ""
    assert np.mean(np.array(served["classes"]) != expected) < TIES
    assert len(CLASSES) > expected.max() > 0
