"""What `--weights` means, and what is said of classes before anything is trained."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import keras_convnext
from keras_convnext import weights
from keras_convnext._messages import UsageError
from keras_convnext.preprocessing import IMAGENET, Preprocessing
from keras_convnext.weights.errors import DownloadError
from tests.checks import write_arrays
from training import main
from training.data import class_balance
from training.engine import pretrained
from training.evaluation.metrics import Predictions
from training.recipes import table
from training.workdir import layout

FINETUNE = table.RECIPES["finetune_small"]
CHECKPOINT = "convnext_base.clip_laion2b_augreg_ft_in1k"


@dataclass(frozen=True)
class Images:
    """As much of a source as is asked for."""

    preprocessing: Preprocessing


def test_a_checkpoint_brings_its_variant_along():
    changes = pretrained.changes(CHECKPOINT)
    recipe = table.resolve("finetune_small", changes)
    assert (recipe.variant, recipe.weights) == ("convnext_base", CHECKPOINT)
    pretrained.check(recipe)


def test_a_role_and_a_file_are_for_the_recipes_own_variant(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"")
    for named in ("imagenet", str(tmp_path / "w.safetensors")):
        recipe = table.resolve("finetune_small", pretrained.changes(named))
        assert (recipe.variant, recipe.weights) == ("convnext_tiny", named)
        pretrained.check(recipe)


def test_images_are_normalized_as_the_weights_are_used_to(tmp_path):
    source = Images(replace(IMAGENET, size_px=96, crop_fraction=1.0))
    recipe = table.resolve("finetune_small", pretrained.changes(CHECKPOINT))
    # OpenAI's figures for CLIP, as its repository prints them.
    seen = pretrained.match_preprocessing(source, recipe).preprocessing
    np.testing.assert_allclose(seen.mean, (0.48145466, 0.4578275, 0.40821073))
    np.testing.assert_allclose(seen.std, (0.26862954, 0.26130258, 0.27577711))
    assert (seen.size_px, seen.crop_fraction) == (96, 1.0)

    path = tmp_path / "model.keras"
    path.write_bytes(b"")
    recipe = replace(recipe, variant="convnext_tiny", weights=str(path))
    assert pretrained.match_preprocessing(source, recipe) is source
    fields = {"size_px": 64, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (tmp_path / "preprocessing.json").write_text(json.dumps(fields))
    seen = pretrained.match_preprocessing(source, recipe).preprocessing
    assert (seen.mean, seen.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert seen.size_px == 96


def test_photographs_are_cropped_as_weights_of_the_same_size_are_used_to():
    # timm's table: tested at 384 px on the whole image, squashed.
    named = "convnext_tiny.in12k_ft_in1k_384"
    recipe = table.resolve("finetune_small", pretrained.changes(named))

    def seen(size_px, crop_fraction, crop=None):
        source = Images(replace(IMAGENET, size_px=size_px, crop_fraction=crop_fraction))
        changed = replace(recipe, size_px=size_px, evaluation_crop=crop)
        found = pretrained.match_preprocessing(source, changed).preprocessing
        assert found.size_px == size_px
        return found.crop_mode, found.crop_fraction

    assert seen(384, 0.875) == ("squash", 1.0)
    # Of another size the record says nothing, and small images are seen whole.
    assert seen(224, 0.875) == ("center", 0.875)
    assert seen(384, 1.0) == ("center", 1.0)
    # The recipe has the last word.
    assert seen(384, 0.875, "center")[0] == "center"
    assert seen(224, 0.875, "squash") == ("squash", 1.0)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch):
    def offline(record):
        assert record is weights.find(CHECKPOINT)
        raise DownloadError("the hub cannot be reached.")

    monkeypatch.setattr(pretrained, "fetch_file", offline)
    recipe = table.resolve("finetune_small", pretrained.changes(CHECKPOINT))
    with pytest.raises(
        UsageError, match="cannot be fetched: the hub cannot be reached"
    ) as raised:
        pretrained.fetch(recipe)
    said = str(raised.value)
    page = f"https://huggingface.co/timm/{CHECKPOINT}"
    kept = f"{CHECKPOINT}.safetensors"
    assert f"`curl -L -o {kept} {page}/resolve/main/model.safetensors`" in said
    assert f"of {page}; copied here it is --weights={kept}" in said


@pytest.mark.parametrize(
    ("variant", "patch_size"),
    [
        ("convnext_atto", 2),
        ("convnextv2_atto", None),
        ("convnext_atto_ols", None),
    ],
)
def test_a_file_of_ones_own_brings_variant_and_patch_size_along(
    tmp_path, variant, patch_size
):
    model = keras_convnext.create(
        variant, weights=None, classes=3, patch_size=patch_size
    )
    file = tmp_path / "w.safetensors"
    weights.save_weights_as(model, file, "timm")
    recipe = table.resolve("finetune_small", pretrained.changes(str(file)))
    assert (recipe.variant, recipe.patch_size) == (variant, patch_size)
    assert recipe.weights == str(file)


def test_a_workdir_brings_its_recipes_variant_along(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder without model\.keras"):
        pretrained.changes(str(tmp_path))
    (tmp_path / "model.keras").write_bytes(b"")
    there = {"variant": "convnext_nano", "patch_size": 2}
    (tmp_path / "recipe.json").write_text(json.dumps(there))
    recipe = table.resolve("demo", pretrained.changes(str(tmp_path)))
    assert (recipe.variant, recipe.patch_size) == ("convnext_nano", 2)
    assert recipe.weights == str(tmp_path / "model.keras")


def test_weights_that_set_names_are_those_of_the_flag(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"")
    (tmp_path / "recipe.json").write_text(json.dumps({"variant": "convnext_nano"}))
    flag = pretrained.with_weights(["epochs=3"], str(tmp_path), FINETUNE)
    field = [f"weights={tmp_path}", "epochs=3"]
    for named in (None, CHECKPOINT):
        assert pretrained.with_weights(field, named, FINETUNE) == flag
    assert table.resolve("demo", flag).variant == "convnext_nano"
    # The variant, too, may be said anew, and none stays none.
    changed = pretrained.with_weights([*field, "variant=convnext_pico"], None, None)
    assert table.resolve("demo", changed).variant == "convnext_pico"
    assert pretrained.with_weights(["weights=none"], None, None) == ["weights=none"]
    assert pretrained.with_weights(["epochs=3"], None, None) == ["epochs=3"]


def test_upernets_bring_the_width_of_their_heads_along(tmp_path):
    name = "upernet_convnext_small.ade20k_512"
    recipe = table.resolve("finetune_segment_small", pretrained.changes(name))
    # As published; the recipe itself has narrower ones.
    assert (recipe.variant, recipe.head_channels) == ("convnext_small", 512)
    assert recipe.weights == name
    pretrained.check(recipe)

    (tmp_path / "model.keras").write_bytes(b"")
    there = {"variant": "convnext_nano", "task": "segmentation", "head_channels": 32}
    (tmp_path / "recipe.json").write_text(json.dumps(there))
    changes = pretrained.changes(str(tmp_path))
    recipe = table.resolve("finetune_segment_small", changes)
    assert (recipe.variant, recipe.head_channels) == ("convnext_nano", 32)


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("segmentation", {"head_channels": 32}),
        ("detection", {"detector": "mask_rcnn", "head_units": 64}),
        ("classification", {}),
        ("masked_autoencoding", {}),
    ],
)
@pytest.mark.parametrize(
    "name", ["finetune_small", "finetune_segment_small", "finetune_detect_small"]
)
def test_a_run_of_another_task_brings_its_backbone_alone(tmp_path, name, task, fields):
    (tmp_path / "model.keras").write_bytes(b"")
    there = {"variant": "convnextv2_nano", "patch_size": 2, "task": task, **fields}
    (tmp_path / "recipe.json").write_text(json.dumps(there))
    row = table.RECIPES[name]
    recipe = table.resolve(name, pretrained.with_weights([], str(tmp_path), row))
    assert (recipe.variant, recipe.patch_size) == ("convnextv2_nano", 2)
    own = fields if row.task == task else {name: getattr(row, name) for name in fields}
    assert {name: getattr(recipe, name) for name in fields} == own


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("convnext_tiny.fb_in2k", "convnext_tiny has no weights called"),
        ("/nowhere/w.safetensors", "no weights file /nowhere/w.safetensors"),
    ],
)
def test_weights_that_are_not_there_are_one_line_before_any_work(
    tmp_path, capfd, named, words
):
    arguments = ["--recipe=finetune_small", "--data=digits", f"--weights={named}"]
    assert main.main(["m", *arguments, f"--workdir={tmp_path / 'run'}"]) == 2
    stdout, stderr = capfd.readouterr()
    [line] = stderr.splitlines()
    assert words in line
    assert stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_weights_of_another_variant_are_one_line_and_leave_the_folder_free(
    tmp_path, capfd
):
    model = keras_convnext.create("test_convnext", classes=10)
    keras_convnext.save_weights_as(model, tmp_path / "w.safetensors", "timm")
    data = write_arrays(tmp_path / "data.npz")
    small = ["--set=variant=test_convnext2", "--set=size_px=32", "--devices=cpu"]
    small += ["--set=global_batch=8", f"--data=array:{data}"]
    run = tmp_path / "run"
    arguments = ["--recipe=demo", *small, f"--workdir={run}"]
    assert main.main(["m", *arguments, f"--weights={tmp_path / 'w.safetensors'}"]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert "does not fit the model" in line
    assert "test_convnext2" in line
    # Another run may have it now.
    layout.Workdir(run).check_same({"name": "another"})


def source_of(labels):
    training = SimpleNamespace(labels=np.array(labels))
    return SimpleNamespace(training=training, classes=("cat", "dog", "owl"))


def test_uneven_classes_are_named_and_even_ones_are_not():
    assert class_balance.notices(source_of([0] * 5 + [1] * 4 + [2] * 2)) == ()
    [line] = class_balance.notices(source_of([0] * 5 + [1] * 30 + [2] * 12))
    assert "6 to 1: 30 images of dog and 5 of cat" in line
    streamed = SimpleNamespace(training=SimpleNamespace(), classes=("a", "b"))
    assert class_balance.notices(streamed) == ()


def test_every_class_counts_alike_in_the_mean():
    labels = np.array([0, 0, 0, 0, 1, 1])
    answers = np.array([0, 0, 0, 1, 1, 0])
    predictions = Predictions(labels, answers[:, None], np.ones(6), np.ones(6), 3)
    # Three of four and one of two; nothing is of the third class.
    assert predictions.mean_class_accuracy() == pytest.approx((3 / 4 + 1 / 2) / 2)
