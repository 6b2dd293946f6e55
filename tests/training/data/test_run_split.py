"""Which images `evaluate` uses: the run's validation images, or those asked for."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_convnext._messages import UsageError
from training import data, evaluate_main
from training.data import run_split

SIDE_PX = 16
CLASSES = ("cat", "dog", "owl")
RUN_SEED, RUN_SHARE = 7, 0.3


def write_images(folder, counts, seed=0):
    """Noise that is nowhere the same, so that every image has a loss of its own."""
    generator = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = generator.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def network():
    """The least classifier: it is the images of which these tests are."""
    wide = keras.initializers.RandomNormal(stddev=0.1, seed=0)
    return keras.Sequential(
        [
            keras.Input((SIDE_PX, SIDE_PX, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax", kernel_initializer=wide),
        ]
    )


@pytest.fixture
def run(network, tmp_path):
    """A workdir as a run of another seed and share leaves it, and its images."""
    write_images(tmp_path / "photos", dict.fromkeys(CLASSES, 10))
    workdir = tmp_path / "run"
    workdir.mkdir()
    network.save(workdir / "model.keras")
    (workdir / "labels.txt").write_text("cat\ndog\nowl\n")
    seen = {"size_px": SIDE_PX, "crop_fraction": 1.0, "mean": [0.5] * 3}
    (workdir / "preprocessing.json").write_text(json.dumps({**seen, "std": [0.2] * 3}))
    recipe = {
        "seed": RUN_SEED,
        "validation_share": RUN_SHARE,
        "data": f"folder:{tmp_path}/photos",
        "train_examples": 21,
        "eval_examples": 9,
    }
    (workdir / "recipe.json").write_text(json.dumps(recipe))
    return workdir


def evaluated(run, tmp_path, *arguments):
    out = tmp_path / "figures.json"
    given = ["evaluate", f"--model={run}", f"--out={out}", *arguments]
    assert evaluate_main.main(given) == 0
    return json.loads(out.read_text())


def loss_of(network, files):
    """The mean cross-entropy of these files, by Keras and Pillow alone."""
    images = np.stack([np.asarray(Image.open(file), np.float32) for file in files])
    labels = [CLASSES.index(file.split("/")[-2]) for file in files]
    own = network(tf.constant(images)).numpy()[np.arange(len(files)), labels]
    return -np.log(own).mean()


def split_of_run(tmp_path):
    return data.load(
        f"folder:{tmp_path}/photos",
        size_px=SIDE_PX,
        seed=RUN_SEED,
        validation_share=RUN_SHARE,
    )


def test_a_runs_model_is_judged_on_the_runs_own_validation_images(
    network, run, tmp_path, capsys
):
    figures = evaluated(run, tmp_path)
    files = split_of_run(tmp_path).validation.names()
    assert figures["examples"] == len(files) == 9
    # float32 sums in another order.
    assert figures["loss"] == pytest.approx(loss_of(network, files), rel=1e-5)
    said = capsys.readouterr().out
    assert "the validation split: 9 of 30 images, drawn by seed 7 and share 0.3" in said
    assert "recipe.json; --split=all evaluates every image" in said


@pytest.mark.parametrize(
    ("split", "examples"), [("train", 21), ("validation", 9), ("all", 30)]
)
def test_each_split_is_judged_whole(network, run, tmp_path, split, examples):
    figures = evaluated(run, tmp_path, f"--split={split}")
    source = split_of_run(tmp_path)
    parts = {"train": source.training.names(), "validation": source.validation.names()}
    parts["all"] = parts["train"] + parts["validation"]
    assert (figures["split"], figures["examples"]) == (split, examples)
    # float32 sums in another order.
    assert figures["loss"] == pytest.approx(loss_of(network, parts[split]), rel=1e-5)


def test_a_seed_that_is_not_the_runs_wins_and_is_told(run, tmp_path, capsys):
    figures = evaluated(run, tmp_path, "--seed=1", "--validation_share=0.5")
    assert figures["examples"] == 15
    said = capsys.readouterr().out
    assert "--validation_share=0.5 where the run had 0.3" in said
    assert "--seed=1 where the run had 7" in said
    assert "images that the model was trained on may be among them" in said


def test_images_added_since_the_run_are_told(run, tmp_path, capsys):
    noise = np.random.default_rng(3).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "cat" / "new.png")
    evaluated(run, tmp_path)
    assert "had 30 images when the run began and have 31 now" in capsys.readouterr().out


def test_a_model_without_a_run_says_that_nobody_knows_its_split(run, tmp_path, capsys):
    (run / "recipe.json").unlink()
    figures = evaluated(run, tmp_path, f"--data=folder:{tmp_path}/photos")
    assert figures["examples"] == 6
    assert "no recipe.json beside the model says" in capsys.readouterr().out
    assert evaluate_main.main(["evaluate", f"--model={run}"]) == 2
    assert "--data must be given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "classes"),
    [("--split=all", CLASSES), ("--validation_share=1", ("cat",))],
)
def test_a_folder_of_test_images_is_judged_whole(run, tmp_path, flag, classes):
    counts = dict.fromkeys(classes, 3) | ({"owl": 1} if "owl" in classes else {})
    write_images(tmp_path / "test", counts)
    figures = evaluated(run, tmp_path, f"--data=folder:{tmp_path}/test", flag)
    assert figures["examples"] == sum(counts.values())
    seen = {row["class"]: row["examples"] for row in figures["classes"]}
    assert {name: seen[name] for name in counts} == counts


@pytest.mark.parametrize(
    ("split", "examples"), [("validation", 2), ("test", 4), ("train", 6), ("all", 12)]
)
def test_the_parts_of_a_folder_are_judged_by_their_names(tmp_path, split, examples):
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        write_images(tmp_path / "parts" / part, {"cat": count, "dog": count})
    source = data.load(f"folder:{tmp_path}/parts", size_px=SIDE_PX, split=split)
    assert source.validation_examples == examples
    assert not source.drawn


@pytest.mark.parametrize(
    ("split", "examples"), [("validation", 3), ("test", 3), ("all", 9)]
)
def test_the_parts_of_an_array_are_judged_by_their_names(tmp_path, split, examples):
    images = np.random.default_rng(0).integers(0, 256, (9, SIDE_PX, SIDE_PX, 3))
    images, labels = images.astype(np.uint8), np.arange(9) % 3
    arrays = {"test_images": images[:3], "test_labels": labels[:3], "classes": CLASSES}
    both = {"train_images": images[3:], "train_labels": labels[3:], **arrays}
    np.savez(tmp_path / "both.npz", **both)
    np.savez(tmp_path / "test.npz", **arrays)
    found = data.load(f"array:{tmp_path}/both.npz", size_px=SIDE_PX, split=split)
    assert found.validation_examples == examples
    if split != "validation":
        alone = data.load(f"array:{tmp_path}/test.npz", size_px=SIDE_PX, split=split)
        assert alone.validation_examples == 3


@pytest.mark.parametrize(
    ("counts", "arguments", "words"),
    [
        ({"cat": 4}, (), "one class folder only, 'cat'"),
        ({"cat": 4, "dog": 1}, (), "One image alone cannot be split"),
    ],
)
def test_images_that_cannot_be_split_are_told_of_the_flag_that_judges_all(
    run, tmp_path, capsys, counts, arguments, words
):
    write_images(tmp_path / "test", counts)
    given = [f"--model={run}", f"--data=folder:{tmp_path}/test", *arguments]
    assert evaluate_main.main(["evaluate", *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert line.endswith("--split=all evaluates every image.")


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_that_leaves_nothing_to_judge_is_refused(share):
    with pytest.raises(UsageError, match="must lie between 0 and 1, or be 1"):
        run_split.choose("validation", share, None, None)


def test_a_test_split_that_is_not_there_is_one_line(run, tmp_path, capsys):
    given = [f"--model={run}", f"--data=folder:{tmp_path}/photos", "--split=test"]
    assert evaluate_main.main(["evaluate", *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "has no folder test/" in line


@pytest.mark.parametrize("file", ["[]", "{", '{"seed": 3}'])
def test_a_file_that_is_no_recipe_says_nothing_of_a_split(run, file):
    (run / "recipe.json").write_text(file)
    assert run_split.read(str(run)) is None


def test_an_export_below_the_workdir_belongs_to_the_run(run):
    place = run / "export" / "saved_model" / "1"
    place.mkdir(parents=True)
    for model in (place, run / "export", run, run / "model.keras"):
        assert run_split.read(str(model)).fields["seed"] == RUN_SEED
