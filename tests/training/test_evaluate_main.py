"""One set of images, a model in every form that there is, and the same figures."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_convnext
from keras_convnext import weights
from keras_convnext.labels import class_names
from keras_convnext.weights.save import save_weights_as
from training import evaluate_main

# 0.4 million parameters, published for ImageNet's thousand classes at 160 px.
NAME = "test_convnext2.r160_in1k"
COUNT = 12
# How many images get the label that the model gives first, and second to fifth.
FIRST, OTHERS = 5, 3
SLOWER = [
    pytest.param(x, marks=pytest.mark.slow) for x in ("checkpoint", "saved_model")
]
NUMBERS = (17, 4, 50000, 293, 8, 9, 10, 11, 12, 13, 14, 15)


@pytest.fixture(scope="module")
def model():
    """Random weights of which the blocks count and whose answers are far apart."""
    made = keras_convnext.create(NAME, weights=None, seed=0)
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables:
        if variable.path.endswith("gamma"):
            variable.assign(rng.uniform(0.1, 1.0, variable.shape))
        if "head_dense" in variable.path:
            variable.assign(rng.normal(0.0, 0.3, variable.shape))
    return made


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (COUNT, 4, 4, 3)).astype(np.uint8)
    # 160 px are 0.95 of it, so that evaluation crops and never resizes.
    side = 168
    large = [
        Image.fromarray(one).resize((side, side), Image.Resampling.NEAREST)
        for one in small
    ]
    return np.stack(large)


@pytest.fixture(scope="module")
def probabilities(model, images):
    """What the model says, with the middle of the images cut out by hand."""
    size = weights.find(NAME).preprocessing.size_px
    rim = (images.shape[1] - size) // 2
    middle = images[:, rim : rim + size, rim : rim + size].astype(np.float32)
    return model(middle).numpy()


@pytest.fixture(scope="module")
def labels(probabilities):
    """Labels that make 5 of 12 answers right, and 8 among the first five."""
    order = np.argsort(-probabilities, axis=1)
    places = [0] * FIRST + [2, 4, 1] + [5, 400, 7, 999]
    return order[np.arange(COUNT), places]


@pytest.fixture(scope="module")
def data(images, labels, tmp_path_factory):
    """Folders of WordNet ids, and the images named as ImageNet's are."""
    root = tmp_path_factory.mktemp("imagenet")
    synsets = [synset for synset, _ in class_names(1000)]
    used = sorted({synsets[label] for label in labels})
    for part in ("train", "val"):
        for synset in used:
            (root / part / synset).mkdir(parents=True)
    for synset in used:
        Image.fromarray(images[0]).save(root / "train" / synset / "any.png")
    for image, label, number in zip(images, labels, NUMBERS, strict=True):
        name = f"ILSVRC2012_val_{number:08}.png"
        Image.fromarray(image).save(root / "val" / synsets[label] / name)
    return root


@pytest.fixture(scope="module")
def forms(model, tmp_path_factory):
    """The model as each kind of thing that --model takes."""
    folder = tmp_path_factory.mktemp("forms")
    model.save(folder / "model.keras")

    module = tf.Module()
    module.model = model
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="tensors")
    module.tensors = tf.function(
        lambda tensors: {"probabilities": model(tensors)}, input_signature=[spec]
    )
    signatures = {"tensors": module.tensors}
    tf.saved_model.save(module, str(folder / "saved_model/1"), signatures=signatures)

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "model.tflite").write_bytes(converter.convert())

    synsets = [synset for synset, _ in class_names(1000)]
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in synsets))
    fields = asdict(weights.find(NAME).preprocessing)
    (folder / "preprocessing.json").write_text(json.dumps(fields))

    # Where the hub's own client puts what it has fetched.
    hub = folder / "hub" / f"models--timm--{NAME}"
    snapshot = hub / "snapshots" / "0123456789"
    snapshot.mkdir(parents=True)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("0123456789")
    save_weights_as(model, snapshot / "model.safetensors", "timm")
    return {
        "keras": folder / "model.keras",
        "saved_model": folder / "saved_model",
        "tflite": folder / "model.tflite",
        "checkpoint": NAME,
        "home": folder,
    }


def calibration(right, confidence):
    """The expected calibration error in fifteen bins, image by image."""
    total = 0.0
    for low in range(15):
        inside = (confidence >= low / 15) & (confidence < (low + 1) / 15)
        if inside.any():
            total += inside.sum() * abs(
                right[inside].mean() - confidence[inside].mean()
            )
    return total / len(right)


@pytest.mark.parametrize(
    "form",
    ["keras", "tflite", *SLOWER],
)
def test_every_form_of_a_model_is_judged_alike(
    monkeypatch, tmp_path, capfd, forms, data, probabilities, labels, form
):
    monkeypatch.setenv("KERAS_CONVNEXT_HOME", str(forms["home"]))
    arguments = [f"--model={forms[form]}", f"--data=folder:{data}", "--batch=5"]
    out = tmp_path / "figures.json"
    assert evaluate_main.main(["evaluate", *arguments, f"--out={out}"]) == 0
    figures = json.loads(out.read_text())
    assert figures["examples"] == COUNT
    assert figures["top1"] == FIRST / COUNT
    assert figures["top5"] == (FIRST + OTHERS) / COUNT
    right = probabilities.argmax(axis=1) == labels
    # The kernels of the three runtimes sum in other orders.
    expected = calibration(right, probabilities.max(axis=1))
    assert figures["calibration_error"] == pytest.approx(expected, abs=1e-4)
    own = probabilities[np.arange(COUNT), labels]
    assert figures["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-3)
    counts = np.array(figures["confusion"])
    wanted = np.zeros_like(counts)
    np.add.at(wanted, (labels, probabilities.argmax(axis=1)), 1)
    np.testing.assert_array_equal(counts, wanted)
    for label in set(labels.tolist()):
        row = figures["classes"][label]
        assert row["examples"] == (labels == label).sum()
        assert row["right"] == (right & (labels == label)).sum()
    assert figures["images_per_second"] > 0
    told = capfd.readouterr().out
    assert f"top-1 accuracy       {FIRST / COUNT:.2%}" in told
    assert "images per second" in told
    # Of a thousand classes those that have images, the worst first.
    used = sorted(set(labels.tolist()))
    at = told.index(f"lowest recall of {len(used)} classes: images")
    lines = [line.split() for line in told[at:].splitlines()[1:]]
    assert len(lines) == min(10, len(used))
    shares = [float(line[-1].rstrip("%")) for line in lines]
    assert shares == sorted(shares)
    by_name = {row["class"]: row for row in figures["classes"]}
    for name, examples, hits, _ in lines:
        row = by_name[name]
        assert (int(examples), int(hits)) == (row["examples"], row["right"])


def by_image(probabilities, data):
    """The model's first five answers for each image, as numbers of the data's."""
    used = sorted(folder.name for folder in (data / "val").iterdir())
    synsets = [synset for synset, _ in class_names(1000)]
    order = np.argsort(-probabilities, axis=1)
    return [
        [used.index(synsets[n]) if synsets[n] in used else None for n in row]
        for row in order
    ]


def test_real_labels_count_whatever_is_in_the_list(
    tmp_path, capfd, forms, data, probabilities, labels
):
    answers = by_image(probabilities, data)
    classes = len({*labels.tolist()})
    lists = [[] for _ in range(50000)]
    # Images whose first answer has a folder here are the first five.
    for place in range(3):
        other = (answers[place][0] + 1) % classes
        lists[NUMBERS[place] - 1] = [other, answers[place][0]]
    lists[NUMBERS[3] - 1] = [(answers[3][0] + 1) % classes]
    (tmp_path / "real.json").write_text(json.dumps(lists))
    arguments = [f"--model={forms['keras']}", f"--data=folder:{data}"]
    flag = f"--real_labels={tmp_path / 'real.json'}"
    out = tmp_path / "e.json"
    assert evaluate_main.main(["evaluate", *arguments, flag, f"--out={out}"]) == 0
    figures = json.loads(out.read_text())
    assert (figures["real_top1"], figures["real_examples"]) == (3 / 4, 4)
    assert "accuracy, ReaL labels 75.00% of 4 images with any" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (None, "cannot be read: No such file"),
        ("no json", "cannot be read: it is no JSON"),
        ("{}", "is no list with a list of class numbers"),
        ("[[1], [true]]", "is no list with a list of class numbers"),
        ("[[999]]", "speaks of class 999, but the data have"),
        ("[[0]]", "has no number from 1 to 1 in its name"),
        (json.dumps([[]] * 50000), "has no right class for any image here"),
    ],
)
def test_real_labels_that_do_not_fit_are_one_line(
    tmp_path, capfd, forms, data, contents, words
):
    file = tmp_path / "real.json"
    if contents is not None:
        file.write_text(contents)
    arguments = [f"--model={forms['keras']}", f"--data=folder:{data}"]
    assert evaluate_main.main(["e", *arguments, f"--real_labels={file}"]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line


def test_pixels_without_a_file_name_have_no_real_labels(tmp_path, capfd, forms, images):
    synsets = np.array([synset for synset, _ in class_names(1000)])
    arrays = {
        f"{part}_{what}": value
        for part in ("train", "test")
        for what, value in (("images", images), ("labels", np.arange(COUNT)))
    }
    np.savez(tmp_path / "a.npz", classes=synsets[:COUNT], **arrays)
    (tmp_path / "real.json").write_text("[[0]]")
    arguments = [f"--model={forms['keras']}", f"--data=array:{tmp_path}/a.npz"]
    flag = f"--real_labels={tmp_path}/real.json"
    assert evaluate_main.main(["e", *arguments, flag]) == 2
    assert "these data keep no file names" in capfd.readouterr().err
