"""Features of a folder's images: in a file, and what is told of them."""

import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_convnext
from training import embed_main
from training.inference import feature_files
from training.report import feature_map

SIDE_PX = 32
CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Dark and light noise; one validation image is a training image."""
    root = tmp_path_factory.mktemp("shades")
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 5)):
        for number, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                coarse = rng.integers(0, 100, (8, 8, 3)) + 120 * number
                image = Image.fromarray(coarse.astype(np.uint8))
                image.resize((SIDE_PX, SIDE_PX)).save(folder / f"{index}.png")
    copied = Image.open(root / "train" / "dark" / "7.png")
    copied.resize((64, 64)).save(root / "val" / "dark" / "again.png")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network whose labels stand in another order than the data's."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    made = keras_convnext.create(
        "test_convnext2", input_shape=(SIDE_PX, SIDE_PX, 3), classes=2, seed=1
    )
    for variable in made.trainable_variables:
        if "head_dense" in variable.path:
            variable.assign(np.random.default_rng(2).normal(size=variable.shape))
    made.save(path)
    (path.parent / "labels.txt").write_text("light\ndark\n")
    (path.parent / "preprocessing.json").write_text(
        f'{{"size_px": {SIDE_PX}, "crop_fraction": 1.0, "crop_mode": "squash"}}'
    )
    return path


@pytest.fixture(scope="module")
def embedded(model, data, tmp_path_factory):
    """The file's arrays."""
    out = tmp_path_factory.mktemp("out") / "features.npz"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    assert embed_main.main(["embed", *flags]) == 0
    with np.load(out) as file:
        return dict(file)


def test_the_file_has_a_row_for_each_image(embedded, data):
    assert embedded["classes"].tolist() == list(CLASSES)
    assert embedded["split"].tolist() == ["train"] * 24 + ["validation"] * 11
    for path, label in zip(embedded["paths"], embedded["labels"], strict=True):
        assert f"/{CLASSES[label]}/" in path
        assert data.name in path
    rows = embedded["probabilities"]
    assert rows.shape == (35, 2)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)


def test_parquet_has_the_same_rows(embedded, model, data, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "features.parquet"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    assert embed_main.main(["embed", *flags]) == 0
    rows = parquet.read_table(out).to_pylist()
    for name, column in (("paths", "path"), ("labels", "label"), ("split", "split")):
        assert [row[column] for row in rows] == embedded[name].tolist()
    assert {(row["label"], row["class"]) for row in rows} == {(0, "dark"), (1, "light")}
    for name in ("features", "probabilities"):
        found = np.array([row[name] for row in rows], np.float32)
        np.testing.assert_array_equal(found, embedded[name])


def test_an_index_finds_the_neighbors(embedded, model, data, tmp_path):
    usearch = pytest.importorskip("usearch.index")
    index = tmp_path / "photos.usearch"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={tmp_path}/a.npz"]
    assert embed_main.main(["embed", *flags, f"--index={index}"]) == 0
    rows = embedded["features"]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = usearch.Index.restore(index).search(embedded["features"], 5).keys
    true = np.argsort(-rows @ rows.T, axis=1, kind="stable")[:, :5]
    shared = [len(set(a) & set(b)) for a, b in zip(found, true, strict=True)]
    # Where similarities are nearly equal, either may be the fifth.
    assert np.mean(shared) >= 0.95 * 5


def test_an_index_of_many_rows_finds_nearly_all_neighbors(tmp_path):
    usearch = pytest.importorskip("usearch.index")
    rows = np.random.default_rng(0).normal(size=(2000, 32)).astype("float32")
    feature_files.find_index_writer()(tmp_path / "a.usearch", rows)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = usearch.Index.restore(tmp_path / "a.usearch").search(rows[:200], 10).keys
    true = np.argsort(-rows[:200] @ rows.T, axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(found, true, strict=True)]
    assert np.mean(shared) >= 0.95 * 10


def test_an_index_without_usearch_is_a_line(model, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={tmp_path}/a.npz"]
    assert embed_main.main(["embed", *flags, f"--index={tmp_path}/a.usearch"]) == 2
    assert "pip install 'keras-convnext[search]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def last_dense(network):
    return [each for each in network.layers if isinstance(each, keras.layers.Dense)][-1]


def test_a_file_may_be_said_to_give_features(embedded, model, data, tmp_path):
    network = keras.models.load_model(model)
    encoder = keras.Model(network.inputs, last_dense(network).input)
    encoder.save(tmp_path / "encoder.keras")
    shutil.copy(Path(model).parent / "preprocessing.json", tmp_path)
    out = tmp_path / "features.npz"
    flags = [f"--model={tmp_path}/encoder.keras", "--output=features", f"--out={out}"]
    assert embed_main.main(["embed", *flags, f"--data=folder:{data}"]) == 0
    found = np.load(out)["features"]
    np.testing.assert_allclose(found, embedded["features"], atol=1e-5)


def test_features_are_what_the_classifier_sees(embedded, model):
    network = keras.models.load_model(model)
    dense = last_dense(network)
    logits = embedded["features"] @ dense.kernel.numpy() + dense.bias.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # In the data's order: dark is the model's second.
    np.testing.assert_allclose(embedded["probabilities"], expected[:, ::-1], atol=1e-5)


def test_neighbors_and_copies_are_told(model, data, tmp_path, capsys):
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={tmp_path}/a.npz"]
    assert embed_main.main(["embed", *flags]) == 0
    said = capsys.readouterr().out
    assert "35 images, " in said
    assert "10 nearest neighbors" in said
    assert "100 nearest" not in said
    assert "linear classifier" in said
    assert "1 of 11 validation images are nearly the same" in said
    (line,) = [line for line in said.splitlines() if " is nearly " in line]
    assert "again.png is nearly" in line
    assert "dark/7.png (" in line


def test_every_image_in_one_part(model, data, tmp_path, capsys):
    flags = [f"--model={model}", f"--data=folder:{data}", "--validation_share=1"]
    assert embed_main.main(["embed", *flags, f"--out={tmp_path}/a.npz"]) == 0
    assert "nearest neighbors" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out=a.csv"], "--out=a.csv must be a .npz or .parquet file"),
        (["--out=a.npz", "--data=folder:nowhere"], "nowhere"),
        (["--out=nowhere/at/all.npz"], "--out"),
    ],
)
def test_mistakes_are_told_in_a_line(flags, words, model, data, capsys):
    arguments = [f"--model={model}", f"--data=folder:{data}", *flags]
    assert embed_main.main(["embed", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_classes_that_are_not_the_models(model, data, tmp_path, capsys):
    other = model.with_name("other.keras")
    other.write_bytes(model.read_bytes())
    model.with_name("labels.txt").rename(tmp_path / "labels.txt")
    try:
        flags = [f"--model={other}", f"--data=folder:{data}"]
        assert embed_main.main(["embed", *flags, f"--out={tmp_path}/a.npz"]) == 0
    finally:
        (tmp_path / "labels.txt").rename(model.with_name("labels.txt"))
    assert "no probabilities in the file" in capsys.readouterr().err
    with np.load(tmp_path / "a.npz") as file:
        assert "probabilities" not in file
        assert "features" in file


def test_the_map_has_an_image_for_each_row_and_rings_for_errors(
    model, data, tmp_path, capsys, monkeypatch
):
    drawn = {}

    def draw(features, labels, classes, wrong):
        drawn.update(features=features, labels=labels, classes=classes, wrong=wrong)
        return feature_map_draw(features, labels, classes, wrong)

    feature_map_draw = feature_map.draw
    monkeypatch.setattr(feature_map, "draw", draw)
    out, drawing = tmp_path / "f.npz", tmp_path / "map.png"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    flags += ["--split=validation", f"--map={drawing}"]
    assert embed_main.main(["embed", *flags]) == 0
    assert f"a map of them in {drawing}" in capsys.readouterr().out
    assert Image.open(drawing).size[0] > 500
    with np.load(out) as file:
        said = file["probabilities"].argmax(axis=1)
        np.testing.assert_array_equal(drawn["wrong"], said != file["labels"])
        np.testing.assert_array_equal(drawn["features"], file["features"])
    assert drawn["classes"] == list(CLASSES)
    with pytest.raises(ValueError, match="a map takes 3 images or more, not 2"):
        feature_map_draw(np.zeros((2, 4)), np.zeros(2, int), CLASSES)
