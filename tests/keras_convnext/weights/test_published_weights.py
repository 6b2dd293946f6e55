"""Real checkpoints against published outputs. Needs the internet; never run by make.

    python -m pytest -m network tests/keras_convnext/weights/test_published_weights.py

Hugging Face's conversion scripts state the first logits of 33 of Meta's checkpoints
for COCO's image 000000039769 (two cats on a sofa), its tests those of two of its
own. SAMPLE_PHOTOS names a folder with that image and the others below, where they
do not lie in ../shared; IMAGENET_VALIDATION names a folder with ImageNet-1k's
validation images, or a part of them, in folders called by their WordNet ids. Without
the images, or without a network, a test is skipped and says so. None of this had a
network to run on when it was written.
"""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub.constants
import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import weights
from keras_convnext.image import decode, evaluation_view
from keras_convnext.labels import class_names
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.weights.registry import records

pytestmark = pytest.mark.network
HERE = Path(__file__).parent
PUBLISHED = json.loads((HERE / "hugging_face_logits.json").read_text())["logits"]
PHOTOS = Path(
    os.environ.get("SAMPLE_PHOTOS", HERE.parents[3] / "shared/data/sample_photos")
)
CATS = "coco_val2017_000000039769.png"
# The classes of ImageNet-1k that are a right answer for each image.
ANSWERS = {
    CATS: (281, 282, 285),  # tabby, tiger cat, Egyptian cat
    "chelsea.png": (281, 282, 285),
    "coffee.png": (504, 967, 968),  # mug, espresso, cup
    "rocket.jpg": (657, 744, 812),  # missile, projectile, space shuttle
    "pytorch_hub_dog.jpg": (258,),  # Samoyed
    "candle_bike.jpg": (671,),  # mountain bike
    "grace_hopper_517x606.jpg": (652,),  # military uniform
}
# Images that even a good network may take for something else beside it.
MOST_WRONG = 1
IMAGENET = Path(os.environ.get("IMAGENET_VALIDATION", "not given"))
IMAGENET_IMAGES, BATCH = 50_000, 50
# Points of top-1 that another machine's arithmetic and resizing may move.
TOP1_TOLERANCE = 0.15
# Logits in transformers' own tests (tests/models/convnext*/test_modeling_*.py).
TESTED = {
    "facebook/convnext-tiny-224": (-0.0260, -0.4739, 0.1911),
    "facebook/convnextv2-tiny-1k-224": (0.9989, 0.1953, -0.4382),
}
# The scripts' own tolerance is 1e-3 with Pillow's resizing; ours may differ by 2/255
# in a pixel, which moves a logit by a few thousandths.
TOLERANCE = 2e-2


def is_offline(record: weights.PretrainedWeights) -> bool:
    """Whether the machine that has a checkpoint cannot be reached."""
    address = urlsplit(record.url or huggingface_hub.constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname, address.port or 443), 10).close()
    except OSError:
        return True
    return False


def model_of(name: str, **arguments: str | None) -> keras.Model:
    try:
        return keras_convnext.create(name, **arguments)
    except weights.DownloadError as error:
        if is_offline(weights.find(name)):
            pytest.skip(f"there is no network: {error}")
        raise


def view(photo: str, name: str, *, squash: bool = False) -> np.ndarray:
    """Returns an image as the checkpoint's publisher shows it to the network."""
    if not (PHOTOS / photo).exists():
        pytest.skip(f"{PHOTOS / photo} is not here; SAMPLE_PHOTOS may name its folder")
    preprocessing = weights.find(name).preprocessing
    if squash:
        preprocessing = replace(preprocessing, crop_mode="squash")
    image = decode((PHOTOS / photo).read_bytes())
    return np.asarray(evaluation_view(image, preprocessing))[None]


def logits(model: keras.Model, image: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(image))[0]


def by_file(file: str) -> str:
    return next(n for n, r in records().items() if r.files == (file,))


@pytest.mark.parametrize("file", sorted(PUBLISHED))
def test_the_first_logits_are_those_that_hugging_face_published(file: str) -> None:
    name = by_file(file)
    # V1's were obtained without a crop, V2's as its processor does.
    cats = view(CATS, name, squash=not file.startswith("convnextv2"))
    expected = np.array(PUBLISHED[file])
    found = logits(model_of(name, classifier_activation=None), cats)[: len(expected)]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("hub_id", TESTED)
def test_hugging_faces_own_files_give_the_logits_of_its_tests(hub_id: str) -> None:
    found = logits(model_of(hub_id, classifier_activation=None), view(CATS, hub_id))[:3]
    np.testing.assert_allclose(found, TESTED[hub_id], atol=TOLERANCE)


@pytest.mark.parametrize(
    "name",
    [
        "convnext_tiny.keras_in1k",
        "convnext_tiny.fb_in1k",
        "convnextv2_nano.fcmae_ft_in22k_in1k",
        "convnext_tiny.meta_1k_224_ema",
        "convnext_tiny.tv_in1k",
    ],
)
def test_photos_are_taken_for_what_they_show(name: str) -> None:
    views = {photo: view(photo, name) for photo in ANSWERS}
    model = model_of(name)
    best = {photo: int(logits(model, each).argmax()) for photo, each in views.items()}
    wrong = {photo: one for photo, one in best.items() if one not in ANSWERS[photo]}
    assert len(wrong) <= MOST_WRONG, wrong


def top1(model: keras.Model, preprocessing: Preprocessing) -> tuple[float, int]:
    """Returns the percentage of IMAGENET's images named rightly, and their number."""
    synsets = [synset for synset, _ in class_names(1000)]
    files = sorted(IMAGENET.glob("n*/*"))
    right = 0
    for begin in range(0, len(files), BATCH):
        batch = files[begin : begin + BATCH]
        images = [decode(file.read_bytes()) for file in batch]
        views = [evaluation_view(each, preprocessing) for each in images]
        best = keras.ops.convert_to_numpy(model(np.stack(views))).argmax(axis=1)
        right += sum(
            synsets[index] == file.parent.name
            for index, file in zip(best, batch, strict=True)
        )
    return 100 * right / len(files), len(files)


@pytest.mark.parametrize(
    "name",
    [
        "convnext_tiny.fb_in1k",
        "convnext_tiny.meta_1k_224_ema",
        "convnext_tiny.tv_in1k",
        "convnextv2_atto.fcmae_ft_in1k",
        "convnextv2_nano.fcmae_ft_in22k_in1k_384",
    ],
)
def test_top1_on_imagenet_is_the_published_one(name: str) -> None:
    if not IMAGENET.is_dir():
        pytest.skip("IMAGENET_VALIDATION names no folder with ImageNet's images")
    record = weights.find(name)
    found, count = top1(model_of(name), record.preprocessing)
    expected = record.accuracy.top1
    # A part of the images differs from all of them by chance.
    share = expected / 100
    part = 1 - min(count / IMAGENET_IMAGES, 1)
    chance = 100 * np.sqrt(share * (1 - share) / count * part)
    assert abs(found - expected) < TOP1_TOLERANCE + 3 * chance, (found, count)


def test_keras_files_without_the_top_hold_an_untrained_norm() -> None:
    name = "convnext_tiny.keras_in1k_notop"
    model_of(name, pooling="avg")  # fetches it, or skips
    with pytest.warns(UserWarning, match="never trained"):
        keras_convnext.create(name)
