"""Data sets of tensorflow-datasets by name: found, read, or refused in a line."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from training import data
from training.recipes.augmentation import Augmentation


def builder_class(name: str, features: dict, splits: dict[str, int], supervised):
    """Makes and registers a small data set of tensorflow-datasets."""

    def info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=supervised,
        )

    def generators(self, _):
        return {split: rows(count) for split, count in splits.items()}

    def rows(count: int):
        for number in range(count):
            row = {}
            for key, feature in features.items():
                if isinstance(feature, tfds.features.ClassLabel):
                    row[key] = number % feature.num_classes
                elif isinstance(feature, tfds.features.Image):
                    height, width, channels = feature.shape
                    height, width = height or 20 + number, width or 30
                    row[key] = np.full((height, width, channels), number, np.uint8)
                else:
                    row[key] = "text"
            yield number, row

    return type(
        name,
        (tfds.core.GeneratorBasedBuilder,),
        {
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": info,
            "_split_generators": generators,
            "_generate_examples": rows,
            "__module__": __name__,
        },
    )


LABEL = tfds.features.ClassLabel(names=["cat", "dog", "owl"])
SMALL = tfds.features.Image(shape=(8, 8, 3), encoding_format="png")
GRAY = tfds.features.Image(shape=(8, 8, 1), encoding_format="png")
PHOTO = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
PAIR = ("image", "label")

builder_class(
    "ConvnextSmall", {"image": SMALL, "label": LABEL}, {"train": 9, "test": 4}, PAIR
)
builder_class("ConvnextGray", {"image": GRAY, "label": LABEL}, {"train": 10}, PAIR)
builder_class(
    "ConvnextPhotos",
    {"image": PHOTO, "label": LABEL, "note": tfds.features.Text()},
    {"train": 12, "test": 3, "validation": 5},
    None,
)
builder_class(
    "ConvnextTwoImages",
    {"left": SMALL, "right": SMALL, "label": LABEL},
    {"train": 4},
    None,
)
builder_class("ConvnextNoTrain", {"image": SMALL, "label": LABEL}, {"test": 4}, PAIR)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("tfds"))


def levels(batches) -> list[int]:
    """The gray of each image, which is its number."""
    return [int(np.asarray(i).mean()) for images, *_ in batches for i in images]


def train(source: data.Source, batch: int = 3, **more) -> list:
    more = {"epoch": 0, "seed": 0, "augment": Augmentation()} | more
    return list(source.train(batch, **more).as_numpy_iterator())


@pytest.mark.slow
def test_a_set_of_small_images_is_read_whole(data_dir: str):
    source = data.load("convnext_small", size_px=8, data_dir=data_dir)
    assert source.classes == ("cat", "dog", "owl")
    assert (source.train_examples, source.validation_examples) == (9, 4)
    assert source.preprocessing.crop_fraction == 1.0
    batches = train(source)
    assert sorted(levels(batches)) == list(range(9))
    for images, labels in batches:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)


def test_the_prefix_is_understood_and_named_in_the_source(data_dir: str):
    source = data.load("tfds:convnext_small", size_px=8, data_dir=data_dir)
    assert source.name == "tfds:convnext_small"


@pytest.mark.slow
def test_a_set_without_evaluation_split_is_split_and_gray_becomes_rgb(data_dir: str):
    source = data.load(
        "convnext_gray", size_px=8, data_dir=data_dir, validation_share=0.3
    )
    assert (source.train_examples, source.validation_examples) == (7, 3)
    validation = levels(source.validation_batches(1))
    assert sorted(validation + levels(train(source, 1))) == list(range(10))


@pytest.mark.slow
def test_a_set_of_photographs_is_streamed_shuffled_and_resumable(data_dir: str):
    source = data.load("convnext_photos", size_px=16, data_dir=data_dir)
    # "validation" is taken where there is a "test" as well.
    assert (source.train_examples, source.validation_examples) == (12, 5)
    views = Augmentation(crop_scale=(0.5, 1.0), flip=True)
    whole = train(source, augment=views)
    assert [images.shape for images, _ in whole] == [(3, 16, 16, 3)] * 4
    assert sorted(levels(whole)) == list(range(12))
    for images, labels in whole:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    rest = train(source, augment=views, start_batch=2)
    for found, wanted in zip(rest, whole[2:], strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
    assert levels(train(source, epoch=1)) != levels(whole)
    assert sorted(levels(source.validation_batches(5))) == list(range(5))


def test_an_unknown_name_is_refused_with_near_ones():
    with pytest.raises(data.DataError, match="imagenet2012") as caught:
        data.load("imagenet2021", size_px=8)
    assert "folder:PATH" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_must_be_fetched_by_hand_says_so_in_a_line(tmp_path: Path):
    with pytest.raises(data.DataError, match="imagenet2012") as caught:
        data.load("imagenet2012", size_px=8, data_dir=str(tmp_path))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "ILSVRC2012_img_train.tar" in message
    assert "\n" not in message


def test_a_set_without_one_image_and_one_class_is_refused(data_dir: str):
    with pytest.raises(data.DataError, match="features are label, left, right"):
        data.load("convnext_two_images", size_px=8, data_dir=data_dir)


def test_a_set_without_a_training_split_is_refused(data_dir: str):
    with pytest.raises(data.DataError, match="no split 'train'; it has test"):
        data.load("convnext_no_train", size_px=8, data_dir=data_dir)


@pytest.mark.slow
def test_imagenet_itself_takes_this_road(tmp_path: Path):
    """ImageNet's own builder and metadata; images made up in its encoding."""
    folder = tmp_path / "imagenet2012" / "5.1.0"
    folder.mkdir(parents=True)
    builder = tfds.builder("imagenet2012", data_dir=str(tmp_path))
    splits = [
        tfds.core.SplitInfo(
            name=name,
            shard_lengths=[count],
            num_bytes=1,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=folder,
                dataset_name="imagenet2012",
                split=name,
                filetype_suffix="tfrecord",
            ),
        )
        for name, count in {"train": 6, "validation": 4}.items()
    ]
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))
    builder.info.write_to_directory(folder)

    def jpeg(gray: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (40, 50), (gray, gray, gray)).save(file, "JPEG")
        return file.getvalue()

    def as_dataset(self, *_, split, **__):
        count = 6 if str(split).startswith("train") else 4
        rows = {
            "image": [jpeg(10 * number) for number in range(count)],
            "label": np.arange(count, dtype=np.int64) * 100,
            "file_name": ["x"] * count,
        }
        return tf.data.Dataset.from_tensor_slices(rows)

    with tfds.testing.mock_data(data_dir=str(tmp_path), as_dataset_fn=as_dataset):
        source = data.load("imagenet2012", size_px=32, data_dir=str(tmp_path))
        batches = train(source, 6)
        images, labels, weights = next(source.validation_batches(8).as_numpy_iterator())
    assert len(source.classes) == 1000
    assert source.classes[0] == "n01440764"
    assert source.preprocessing.crop_fraction == 0.875
    assert sorted(levels(batches)) == [0, 10, 20, 30, 40, 50]
    assert labels[:4].tolist() == [0, 100, 200, 300]
    assert images[:4, 9, 9, 1].tolist() == [0.0, 10.0, 20.0, 30.0]
    assert weights.tolist() == [1.0] * 4 + [0.0] * 4


@pytest.mark.parametrize(
    ("name", "split", "examples"),
    [
        ("convnext_photos", "validation", 5),
        ("convnext_photos", "test", 3),
        ("convnext_photos", "all", 20),
        ("convnext_no_train", "test", 4),
        ("convnext_no_train", "all", 4),
        ("convnext_small", "all", 13),
        ("convnext_small", "train", 9),
    ],
)
@pytest.mark.slow
def test_a_split_is_judged_whole(data_dir: str, name: str, split: str, examples: int):
    source = data.load(name, size_px=8, data_dir=data_dir, split=split)
    evaluated = list(source.validation_batches(4).as_numpy_iterator())
    assert source.validation_examples == examples
    assert sum(int((weights > 0).sum()) for *_, weights in evaluated) == examples
    assert not source.drawn


@pytest.mark.parametrize(
    "file_format", ["tfrecord", pytest.param("array_record", marks=pytest.mark.slow)]
)
def test_small_jpeg_sets_are_decoded_as_everything_else_is(tmp_path, file_format):
    """TensorFlow's fast method, which tensorflow-datasets takes, is off by up to 4."""
    generator = np.random.default_rng(0)
    files = []
    for _ in range(4):
        spots = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(spots).resize((65, 49)).save(file, "JPEG", quality=75)
        files.append(file.getvalue())
    image = tfds.features.Image(shape=(49, 65, 3), encoding_format="jpeg")
    splits = {"train": 4, "validation": 4}
    made = builder_class(
        f"Spots_{file_format}", {"image": image, "label": LABEL}, splits, PAIR
    )

    def rows():
        for number, contents in enumerate(files):
            yield number, {"image": io.BytesIO(contents), "label": number % 3}

    made._split_generators = lambda self, _: {split: rows() for split in splits}
    builder = made(data_dir=tmp_path, file_format=file_format)
    builder.download_and_prepare()
    source = data.load(f"tfds:{builder.data_path}", size_px=49)
    seen = {pixels.tobytes() for pixels in source.validation.images}
    wanted = {np.asarray(Image.open(io.BytesIO(file))).tobytes() for file in files}
    assert seen == wanted
