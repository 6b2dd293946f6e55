"""A pre-training run learns, resumes to the bit and leaves what is fine-tuned."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_convnext
from tests.checks import random_images
from tests.training.tasks import whole_runs
from tests.training.unlabeled_data import SIDE_PX, SMALL, write_waves
from training import embed_main, main, predict_main, preview_main
from training.data import loading, unlabeled
from training.engine import finish
from training.recipes import resolve
from training.report import results
from training.tasks import MASKED_AUTOENCODING
from training.workdir.layout import Workdir

FLAGS = [f"--set={name}={value}" for name, value in SMALL.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_waves(tmp_path_factory.mktemp("waves"), count=30)


@pytest.fixture(scope="module")
def source(folder):
    """24 training and 6 validation images, 16 patches each."""
    return unlabeled.load(f"images:{folder}", size_px=SIDE_PX, patch_px=8)


@pytest.fixture
def recipe():
    """A run of 12 steps."""
    return dataclasses.replace(
        resolve("pretrain_small"), epochs=4, warmup_epochs=0, **SMALL
    )


def test_the_loss_of_training_is_the_loss_of_what_is_kept(recipe, source):
    trained = MASKED_AUTOENCODING.build_training_model(recipe, source)
    model = MASKED_AUTOENCODING.build_inference_model(recipe, trained, source)
    images, orders, _ = next(iter(source.validation_batches(6)))
    for each in (trained, model):
        inputs = MASKED_AUTOENCODING.model_inputs(each, images, orders)
        rows = MASKED_AUTOENCODING.make_losses(recipe, None)(each(inputs), orders)
        evaluation = MASKED_AUTOENCODING.evaluate([rows], source)
        assert evaluation.figures["loss"] == np.mean(rows["loss"])
        assert rows["loss"].shape == (6,)
    assert model.visible_patches == 6


def test_the_decoder_learns_while_the_encoder_is_frozen(recipe, source):
    model = MASKED_AUTOENCODING.build_training_model(recipe, source)
    learning = [
        v.path for v in model.trainable_variables if MASKED_AUTOENCODING.is_head(v.path)
    ]
    encoder = {variable.path for variable in model.encoder.trainable_variables}
    assert {v.path for v in model.trainable_variables} - encoder == set(learning)


def test_what_is_kept_is_an_ordinary_network_with_the_encoders_weights(recipe, source):
    model = MASKED_AUTOENCODING.build_inference_model(
        recipe, MASKED_AUTOENCODING.build_training_model(recipe, source), source
    )
    kept = MASKED_AUTOENCODING.saved_model(recipe, model)
    images = random_images(2, SIDE_PX)
    features = np.asarray(model.encoder(images)).mean((1, 2))
    expected = features - features.mean(-1, keepdims=True)
    # test_convnext2's epsilon.
    expected /= np.sqrt(features.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(kept(images), expected, atol=1e-4)


@pytest.mark.slow
def test_neighbors_of_its_features_tell_what_the_encoder_is_worth(
    recipe, source, tmp_path, capsys
):
    model = MASKED_AUTOENCODING.build_inference_model(
        recipe, MASKED_AUTOENCODING.build_training_model(recipe, source), source
    )
    results.write_model(
        Workdir(tmp_path), MASKED_AUTOENCODING.saved_model(recipe, model), source
    )
    (tmp_path / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    for number, name in enumerate(("one", "two")):
        write_waves(tmp_path / "classes" / name, 10, first=10 * number)
    out = tmp_path / "features.npz"
    flags = [f"--data=folder:{tmp_path / 'classes'}", f"--out={out}"]
    assert embed_main.main(["embed", f"--model={tmp_path}", *flags]) == 0
    assert "10 nearest neighbors" in capsys.readouterr().out
    with np.load(out) as arrays:
        assert "probabilities" not in arrays
        found, paths = arrays["features"], arrays["paths"]
    assert found.shape == (20, 128)
    data = loading.load(
        f"folder:{tmp_path / 'classes'}",
        size_px=SIDE_PX,
        preprocessing=source.preprocessing,
    )
    images, _ = data.validation_images(range(4))
    features = np.asarray(model.encoder(images.astype("float32"))).mean((1, 2))
    rows = [list(paths).index(name) for name in data.validation.names()]
    # Resized images are whole numbers here, and are not in the command.
    assert np.abs(features).max() > 0.5
    np.testing.assert_allclose(found[rows], features, rtol=0.05, atol=0.05)


@pytest.mark.slow  # three graphs for two runs
def test_a_run_learns_is_resumed_to_the_bit_and_leaves_its_report(
    recipe, source, tmp_path, one_device
):
    whole, rows = whole_runs.train(recipe, source, tmp_path / "whole", one_device)
    # Predicting nothing is 191 / 192.
    assert rows[0]["loss"] > rows[-1]["loss"]
    assert rows[-1]["val_loss"] < 0.9
    whole_runs.check_resume(whole, recipe, source, tmp_path / "parts", one_device)

    metrics = finish.leave(whole, rows)
    best = min(rows, key=lambda row: row["val_loss"])
    assert metrics["best_epoch"] == metrics["kept_epoch"] == best["epoch"]
    # The same sums in float32.
    assert metrics["loss"] == pytest.approx(best["val_loss"], abs=1e-5)
    assert json.loads(whole.workdir.metrics.read_text())["loss"] == metrics["loss"]
    report = whole.workdir.report.read_text(encoding="utf-8")
    for heading in ("Training curves", "Reconstructions", "Highest loss", "fine-tune"):
        assert heading in report
    assert len(whole.workdir.validation.read_text().splitlines()) == 1 + 6
    assert not whole.workdir.labels.exists()
    kept = keras.saving.load_model(whole.workdir.model)
    assert kept.output_shape == (None, 128)


@pytest.mark.slow
def test_the_commands_pre_train_preview_and_fine_tune(folder, tmp_path, capsys):
    workdir = tmp_path / "pre"
    own = ["--recipe=pretrain_small", f"--data=images:{folder}", *FLAGS]
    sheet = tmp_path / "sheet.png"
    assert preview_main.main(["preview", *own, f"--out={sheet}", "--images=2"]) == 0
    assert sheet.stat().st_size > 10_000
    command = ["train", *own, "--set=epochs=2", f"--workdir={workdir}"]
    assert main.main(command) == 0
    said = capsys.readouterr().out
    assert "validation loss" in said
    assert f"--recipe=finetune_small --data=folder:DIR --weights={workdir}" in said
    assert main.main(command) == 0
    assert "is finished: validation loss" in capsys.readouterr().out

    classes = tmp_path / "classes"
    for number, name in enumerate(("one", "two")):
        write_waves(classes / name, 8, first=10 * number)
    tuned = ["train", "--recipe=finetune_small", f"--data=folder:{classes}"]
    tuned += [f"--weights={workdir}", "--set=epochs=1", "--set=size_px=32"]
    tuned += ["--set=global_batch=4", f"--workdir={tmp_path / 'tuned'}"]
    assert main.main(tuned) == 0
    stored = json.loads((tmp_path / "tuned" / "recipe.json").read_text())
    assert (stored["variant"], stored["patch_size"]) == ("test_convnext2", 1)
    model = keras_convnext.load(tmp_path / "tuned")
    assert model.labels == ("one", "two")

    capsys.readouterr()
    arguments = ["predict", f"--model={workdir}", str(folder / "0.png")]
    code = predict_main.main(arguments)
    told = capsys.readouterr()
    assert code == 2
    [line] = told.err.splitlines()
    assert "features" in line


def test_a_size_without_whole_patches_is_refused_before_the_data(tmp_path, capsys):
    flags = ["--recipe=pretrain_small", "--data=images:nowhere", "--set=size_px=100"]
    assert main.main(["train", *flags, f"--workdir={tmp_path / 'x'}"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "multiples of 32, and they are 100 and 100" in line
    assert not (tmp_path / "x").exists()
