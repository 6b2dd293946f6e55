"""A temperature in the classifier's own weights: in a file that needs nothing else."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.preprocessing import normalize

import keras_convnext
from export import main as export_main
from training import calibrate_main

SIDE_PX = 32
CLASSES = ("dark", "light")
# Of the validation images of each class, those that lie in the other's folder.
COUNT, WRONG = 20, 4


def _shade(rng, number):
    coarse = rng.integers(0, 100, (8, 8, 3)) + 120 * number
    return Image.fromarray(coarse.astype(np.uint8)).resize((SIDE_PX, SIDE_PX))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Dark and light noise; a fifth of the validation images has the wrong label."""
    root = tmp_path_factory.mktemp("shades")
    rng = np.random.default_rng(0)
    for part, count in (("train", 2), ("val", COUNT)):
        for number, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                shown = number ^ (part == "val" and index < WRONG)
                _shade(rng, shown).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def sure(tmp_path_factory):
    """A network that tells dark from light and is much too sure; light comes first."""
    folder = tmp_path_factory.mktemp("sure")
    made = keras_convnext.create(
        "test_convnext2", input_shape=(SIDE_PX, SIDE_PX, 3), classes=2, seed=1
    )
    rng = np.random.default_rng(5)
    seen = [np.stack([_shade(rng, number) for _ in range(8)]) for number in (0, 1)]
    network = keras_convnext.create(
        "test_convnext2",
        input_shape=(SIDE_PX, SIDE_PX, 3),
        include_top=False,
        pooling="avg",
        seed=1,
    )
    dark, light = (np.mean(network(images), axis=0) for images in seen)
    head = made.get_layer("head_dense")
    direction = (light - dark) / np.sum((light - dark) ** 2)
    # 12 apart: a classifier that is always sure, and wrong each fifth time.
    head.kernel.assign(np.stack([6 * direction, -6 * direction], axis=1))
    middle = 6 * direction @ (light + dark) / 2
    head.bias.assign([-middle, middle])
    made.save(folder / "model.keras")
    (folder / "labels.txt").write_text("light\ndark\n")
    (folder / "preprocessing.json").write_text(
        json.dumps({"size_px": SIDE_PX, "crop_fraction": 1.0, "crop_mode": "squash"})
    )
    return folder


@pytest.fixture
def model(sure, tmp_path):
    return shutil.copytree(sure, tmp_path / "run") / "model.keras"


def _calibrate(model, data, out):
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    return calibrate_main.main(["calibrate", *flags])


def _images(data):
    return [str(path) for path in sorted((data / "val").rglob("*.png"))]


@pytest.mark.slow
def test_every_export_of_the_file_is_as_sure_as_it_is_right(
    model, data, tmp_path, capsys
):
    (tmp_path / "new").mkdir()
    out = tmp_path / "new" / "calibrated.keras"
    before = [dict(each) for each in keras_convnext.load(model)(_images(data))]
    assert _calibrate(model, data, out) == 0
    said = capsys.readouterr().out
    value = float(said.partition("temperature ")[2].partition(",")[0])
    assert 2 < value < 8
    assert "80.00% before and after" in said
    after = [dict(each) for each in keras_convnext.load(out)(_images(data))]
    for one, other in zip(before, after, strict=True):
        logit = np.log(one["light"] / one["dark"]) / value
        # The temperature is printed to four places; probabilities are float32.
        assert other["light"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
    flags = [f"--model={out}", "--format=tflite", f"--images=folder:{data}"]
    assert export_main.main(["export", *flags, f"--out={tmp_path / 'export'}"]) == 0
    exported = keras_convnext.load(tmp_path / "export")
    for one, other in zip(exported(_images(data)), after, strict=True):
        assert dict(one) == pytest.approx(other, abs=1e-5)


def test_files_of_another_model_are_not_mixed_up(model, data, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    assert _calibrate(model, data, tmp_path / "calibrated.keras") == 2
    assert "labels.txt is of another model" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.keras*"))


@pytest.mark.parametrize(
    ("out", "words"),
    [("a.tflite", "must be a .keras file"), ("nowhere/a.keras", "does not exist")],
)
def test_mistakes_are_told_in_a_line(out, words, model, data, tmp_path, capsys):
    assert _calibrate(model, data, tmp_path / out) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


@pytest.mark.slow
def test_a_class_for_images_of_no_class_is_in_the_file_and_its_exports(
    model, data, tmp_path, capsys
):
    (tmp_path / "new").mkdir()
    (tmp_path / "others").mkdir()
    rng = np.random.default_rng(7)
    for index in range(6):
        noise = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "others" / f"{index}.png")
    others = [str(path) for path in sorted((tmp_path / "others").iterdir())]
    out = tmp_path / "new" / "calibrated.keras"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    flags += ["--unknown_recall=0.9", f"--unknown_images={tmp_path / 'others'}"]
    assert calibrate_main.main(["calibrate", *flags]) == 0
    said = capsys.readouterr().out
    value, logit = (
        float(said.partition(words)[2].split()[0].rstrip(","))
        for words in ("temperature ", "with the logit ")
    )
    assert "keep their class   90.00%" in said
    assert (out.parent / "labels.txt").read_text() == "light\ndark\nunknown\n"

    network = keras.models.load_model(model)
    features = keras.Model(network.inputs, network.get_layer("head_dense").input)
    head = network.get_layer("head_dense")

    def expected(files):
        seen = np.stack([np.asarray(Image.open(each), np.float32) for each in files])
        rows = features.predict(seen, verbose=0) @ head.kernel.numpy()
        rows = (rows + head.bias.numpy()) / value
        every = np.concatenate([rows, np.full((len(rows), 1), logit)], axis=1)
        return np.exp(every - logsumexp(every, axis=1, keepdims=True))

    asked = keras_convnext.load(out)
    known, strange = _images(data), others
    assert np.mean(expected(known).argmax(axis=1) < 2) == 0.9
    for files in (known, strange):
        answers = [dict(each) for each in asked(files)]
        rows = [[row[name] for name in (*CLASSES[::-1], "unknown")] for row in answers]
        # Temperature and logit are printed to four places.
        np.testing.assert_allclose(rows, expected(files), atol=1e-3)
    share = float(said.partition("answered as unknown")[2].split()[0].rstrip("%"))
    assert share == pytest.approx(
        100 * np.mean(expected(strange).argmax(axis=1) == 2), abs=0.01
    )
    # The probability of the last class is a function of the energy.
    scores = [1 - expected(files)[:, 2] for files in (known, strange)]
    truth = np.repeat([1, 0], [len(known), len(strange)])
    area = float(said.partition("AUROC")[2].split()[0].rstrip("%"))
    sought = 100 * roc_auc_score(truth, np.concatenate(scores))
    assert area == pytest.approx(sought, abs=0.01)

    flags = [f"--model={out}", f"--images=folder:{data}", f"--out={tmp_path / 'e'}"]
    assert export_main.main(["export", *flags]) == 0
    for form in ("model_float32.tflite", "saved_model/1"):
        exported = keras_convnext.load(tmp_path / "e" / form)
        assert exported.labels[-1] == "unknown"
        for one, other in zip(exported(strange), asked(strange), strict=True):
            assert dict(one) == pytest.approx(dict(other), abs=1e-5)
    again = [f"--model={out}", f"--data=folder:{data}", f"--out={tmp_path}/a.keras"]
    assert calibrate_main.main(["calibrate", *again, "--unknown_recall=0.9"]) == 2
    assert "has a class 'unknown' already" in capsys.readouterr().err


@pytest.mark.slow
def test_a_class_by_neighbors_is_in_the_file_and_its_exports(
    model, data, tmp_path, capsys
):
    (tmp_path / "new").mkdir()
    (tmp_path / "others").mkdir()
    rng = np.random.default_rng(7)
    for index in range(6):
        noise = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "others" / f"{index}.png")
    known = _images(data)
    strange = [str(path) for path in sorted((tmp_path / "others").iterdir())]
    out = tmp_path / "new" / "calibrated.keras"
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    flags += ["--unknown_recall=0.9", "--unknown_by=neighbors"]
    flags.append(f"--unknown_images={tmp_path / 'others'}")
    assert calibrate_main.main(["calibrate", *flags]) == 0
    said = capsys.readouterr().out
    assert "keep their class   90.00%" in said

    # Two training images of each class: the fourth nearest is the farthest of them.
    network = keras.models.load_model(model)
    features = keras.Model(network.inputs, network.get_layer("head_dense").input)

    def directions(files):
        seen = np.stack([np.asarray(Image.open(each), np.float32) for each in files])
        return normalize(features.predict(seen, verbose=0).astype(np.float64))

    bank = directions(sorted((data / "train").rglob("*.png")))
    cosines = {
        name: (directions(files) @ bank.T).min(axis=1)
        for name, files in (("known", known), ("strange", strange))
    }
    threshold = float(said.partition("images is below ")[2].split()[0])
    ordered = np.sort(cosines["known"])
    # Printed to four places.
    assert ordered[3] - 1e-4 <= threshold <= ordered[4] + 1e-4

    asked = keras_convnext.load(out)
    found = {
        name: np.array([answer[0][0] == "unknown" for answer in asked(files)])
        for name, files in (("known", known), ("strange", strange))
    }
    np.testing.assert_array_equal(found["known"], cosines["known"] <= ordered[3])
    np.testing.assert_array_equal(found["strange"], cosines["strange"] < threshold)
    figures = {
        words: float(said.partition(words)[2].split()[1].rstrip("%"))
        for words in ("answered as unknown", "AUROC", "FPR95")
    }
    truth = np.repeat([1, 0], [len(known), len(strange)])
    scores = np.concatenate([cosines["known"], cosines["strange"]])
    rates, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    expected = {
        "answered as unknown": found["strange"].mean(),
        "AUROC": roc_auc_score(truth, scores),
        "FPR95": rates[np.argmax(hits >= 0.95)],
    }
    for words, value in expected.items():
        assert figures[words] == pytest.approx(100 * value, abs=0.01)

    flags = [f"--model={out}", f"--images=folder:{data}", f"--out={tmp_path / 'e'}"]
    assert export_main.main(["export", *flags]) == 0
    for form in ("model_float32.tflite", "saved_model/1"):
        exported = keras_convnext.load(tmp_path / "e" / form)
        assert exported.labels[-1] == "unknown"
        for one, other in zip(exported(strange), asked(strange), strict=True):
            assert dict(one) == pytest.approx(dict(other), abs=1e-4)
    # The same images are told from themselves by chance, and just as many are left.
    flags = [f"--model={model}", f"--data=folder:{data}", f"--out={out}"]
    flags += ["--unknown_recall=0.9", "--unknown_by=neighbors"]
    assert calibrate_main.main(["c", *flags, f"--unknown_images={data}/val"]) == 0
    said = capsys.readouterr().out
    for words, expected in (("answered as unknown", 10), ("AUROC", 50)):
        figures = said.partition(words)[2].split()[:2]
        assert figures == [f"{expected}.00%"] * 2
    # What the classifier sees is still an answer of its own.
    signature = tf.saved_model.load(str(tmp_path / "e" / "saved_model" / "1"))
    seen = np.stack([np.asarray(Image.open(each), np.float32) for each in strange])
    got = signature.signatures["features"](tf.constant(seen))["features"]
    np.testing.assert_allclose(
        normalize(got.numpy()), directions(strange), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--unknown_recall=1"], "between 0 and 1"),
        (["--unknown_images=photos"], "--unknown_recall=0.95"),
        (["--unknown_by=neighbors"], "--unknown_recall=0.95"),
    ],
)
def test_what_an_unknown_class_takes(flags, words, model, data, tmp_path, capsys):
    common = [f"--model={model}", f"--data=folder:{data}", f"--out={tmp_path}/a.keras"]
    assert calibrate_main.main(["calibrate", *common, *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_no_mistake_to_fit_by(model, data, tmp_path, capsys):
    for number, name in enumerate(CLASSES):
        for part in ("train", "val"):
            folder = tmp_path / "clean" / part / name
            folder.mkdir(parents=True)
            rng = np.random.default_rng(number)
            for index in range(4):
                _shade(rng, number).save(folder / f"{part}{index}.png")
    out = model.with_name("calibrated.keras")
    assert _calibrate(model, tmp_path / "clean", out) == 2
    assert "are classified right" in capsys.readouterr().err
    assert not out.exists()
