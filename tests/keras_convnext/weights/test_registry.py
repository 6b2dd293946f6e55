"""The registry is complete, and says clearly what it does not have."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

import keras_convnext
from keras_convnext import weights
from keras_convnext.labels import class_names
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import VARIANTS, find_variant
from keras_convnext.weights.registry import locate, records


def test_every_published_checkpoint_has_a_record() -> None:
    counts = Counter(record.publisher for record in records().values())
    # timm: 98 and its 3 test models. Meta: 28 of V1, 26 of V2. Keras: five sizes with
    # and without top. Hugging Face: 15 of V1, 18 of V2, 4 DINOv3.
    assert counts == {
        "timm": 101,
        "meta": 54,
        "keras": 10,
        "huggingface": 37,
        "torchvision": 4,
    }


@pytest.mark.parametrize("name", sorted(records()))
def test_every_record_is_whole(name: str) -> None:
    record = records()[name]
    assert record.name == name == f"{record.variant}.{record.tag}"
    find_variant(record.variant)
    assert (record.hub_id is None) != (record.url is None)
    assert record.files
    assert record.license
    assert record.classes in (0, 640, 768, 1000, 1024, 11821, 21841)
    if record.checksum:
        algorithm, _, digits = record.checksum.partition(":")
        assert algorithm in hashlib.algorithms_available
        assert re.fullmatch("[0-9a-f]{8,96}", digits)
    if record.labels == "imagenet1k" and record.publisher == "timm":
        has_figure = record.accuracy or record.test_accuracy
        assert has_figure or record.variant.startswith("test_")
    assert record.accuracy is None or 45 < record.accuracy.top1 < 90
    assert "license" in weights.describe(name).splitlines()[1]


def test_the_keras_files_have_all_their_checksums() -> None:
    keras = [r for r in records().values() if r.publisher == "keras"]
    for record in keras:
        assert re.fullmatch("sha256:[0-9a-f]{64}", record.checksum)
    assert len({record.checksum for record in keras}) == len(keras)


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        # What keras.applications hosts: 1k for the small ones, 22k fine-tuned on 1k
        # for the large ones.
        ("convnext_tiny", "convnext_tiny.keras_in1k"),
        ("convnext_small", "convnext_small.keras_in1k"),
        ("convnext_base", "convnext_base.keras_in22k_ft_in1k"),
        ("convnext_large", "convnext_large.keras_in22k_ft_in1k"),
        ("convnext_xlarge", "convnext_xlarge.keras_in22k_ft_in1k"),
        # timm's defaults where Keras has nothing.
        ("convnext_atto", "convnext_atto.d2_in1k"),
        ("convnextv2_tiny", "convnextv2_tiny.fcmae_ft_in22k_in1k"),
        ("convnext_isotropic_small", "convnext_isotropic_small.meta_1k_224_ema"),
    ],
)
def test_imagenet_means_what_keras_applications_means(variant: str, name: str) -> None:
    assert weights.resolve(variant, "imagenet").name == name


def test_every_variant_with_published_weights_has_an_imagenet_default() -> None:
    published = {record.variant for record in records().values()}
    assert not published & {"convnext_atto_rms", "convnextv2_small"}
    for variant in VARIANTS:
        if variant not in published:
            with pytest.raises(ValueError, match="nor any others"):
                weights.resolve(variant, "imagenet")
        else:
            assert weights.resolve(variant, "imagenet").classes == 1000


def test_a_tag_a_whole_name_and_a_hub_id_all_mean_the_record() -> None:
    expected = weights.find("convnext_base.fb_in22k")
    for source in ("fb_in22k", "convnext_base.fb_in22k", "timm/convnext_base.fb_in22k"):
        assert weights.resolve("convnext_base", source) is expected
    assert weights.resolve("convnext_base", "imagenet22k") is expected
    assert locate("facebook/convnext-base-224").name == "convnext_base.hf_224"


def test_none_means_random_weights_and_a_path_means_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    path.touch()
    assert weights.resolve("convnext_tiny", None) is None
    assert weights.resolve("convnext_tiny", str(path)) == path
    assert weights.resolve("convnext_tiny", path) == path


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fb_in1kk", "closest names are fb_in1k"),
        ("imagnet", "closest names are imagenet"),
        ("convnext_small.fb_in1k", "weights of convnext_small, not of convnext_tiny"),
        ("there/is/no.h5", "no weights file there/is/no.h5"),
        (Path("nowhere"), "no weights file nowhere"),
        (17, "got int"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(source: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        weights.resolve("convnext_tiny", source)
    assert "\n" not in str(caught.value)


def test_a_misspelt_checkpoint_names_the_closest_three() -> None:
    with pytest.raises(ValueError, match=r"convnextv2_nano\.fcmae_ft_in22k_in1k_384"):
        weights.find("convnextv2_nano.fcmae_ft_in22k_in1k_348")


def test_a_wrong_name_is_said_before_anything_is_built() -> None:
    with pytest.raises(ValueError, match="closest names are"):
        keras_convnext.ConvNeXtXLarge(weights="imagenett")


def test_weights_are_listed_by_pattern() -> None:
    assert weights.list_weights("convnextv2_atto.fcmae*") == [
        "convnextv2_atto.fcmae",
        "convnextv2_atto.fcmae_ft_in1k",
    ]
    assert (
        len([n for n in weights.list_weights() if records()[n].publisher == "timm"])
        == 98
    )
    assert weights.list_weights("NOTHING*") == []


def test_preprocessing_travels_with_the_record() -> None:
    clip = weights.find("convnext_base.clip_laion2b_augreg_ft_in12k_in1k_384")
    assert clip.preprocessing == Preprocessing(
        size_px=384,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        crop_fraction=1.0,
        crop_mode="squash",
        interpolation="bicubic",
    )
    assert (
        weights.find("convnext_tiny.tv_in1k").preprocessing.interpolation == "bilinear"
    )
    # timm's table says 288 px, where its own measurement is four points worse.
    trap = weights.find("convnext_tiny.fb_in22k_ft_in1k")
    assert trap.test_preprocessing == Preprocessing()
    assert trap.test_accuracy.top1 == 82.900


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("convnextv2_tiny.fcmae_ft_in1k", "NOT for commercial use"),
        ("convnext_tiny.dinov3_lvd1689m", "accepted on the hub"),
        ("convnext_xxlarge.clip_laion2b_soup", "embedding of 1024 numbers"),
        ("convnext_tiny.fb_in22k", "21841 classes of ImageNet-22k"),
        ("convnext_tiny.fb_in1k", "top-1 82.07 %"),
    ],
)
def test_a_card_says_what_matters(name: str, words: str) -> None:
    assert words in weights.describe(name)


def test_class_names_are_in_the_order_of_the_outputs() -> None:
    thousand = class_names(1000)
    assert thousand[0] == ("n01440764", "tench")
    assert thousand[281] == ("n02123045", "tabby")
    assert thousand[999] == ("n15075141", "toilet_tissue")
    for count in (1000, 11821, 21841):
        names = class_names(count)
        assert len(names) == len(dict(names)) == count
        assert [synset for synset, _ in names] == sorted(dict(names))
    with pytest.raises(ValueError, match="not for 5"):
        class_names(5)
