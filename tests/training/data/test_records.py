"""TFRecord and ArrayRecord files: the images of a folder, resumable, or a line."""

import io
import socket
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from keras_convnext._data import example_proto
from keras_convnext.decoder_lines import name_decoded, report_decoder_lines
from keras_convnext.image import evaluation_view
from training import data
from training.data import stream_flaws
from training.recipes.augmentation import Augmentation

array_records = pytest.importorskip("array_record.python.array_record_module")

CLASSES = ("cat", "dog", "owl")
COUNTS = {"train": 13, "val": 5}
VIEWS = Augmentation(crop_scale=(0.3, 1.0), flip=True)


def image(number: int) -> tuple[bytes, str]:
    """A photograph's worth of noise; a PNG among them, and some lying on the side."""
    rng = np.random.default_rng(number)
    size = (30 + number, 50 - number)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3)).astype(np.uint8))
    drawn = small.resize(size, Image.Resampling.BICUBIC)
    kind = "png" if number % 6 == 4 else "jpg"
    file, exif = io.BytesIO(), Image.Exif()
    if number % 3 == 0:
        exif[0x0112] = 6
    drawn.save(file, {"jpg": "JPEG", "png": "PNG"}[kind], exif=exif)
    return file.getvalue(), f"{number:02}.{kind}"


def example(contents: bytes, label: int, name: str) -> bytes:
    """As TensorFlow's own script writes ImageNet, whose classes count from 1."""
    values = {
        "image/height": [7],
        "image/class/label": [label + 1],
        "image/class/text": [b"a word or two"],
        "image/filename": [name.encode()],
        "image/encoded": [contents],
        "image/object/bbox/xmin": [0.25, 0.5],
    }
    kinds = {int: "int64_list", bytes: "bytes_list", float: "float_list"}
    features = {
        key: tf.train.Feature(**{kinds[type(found[0])]: {"value": found}})
        for key, found in values.items()
    }
    whole = tf.train.Example(features=tf.train.Features(feature=features))
    return whole.SerializeToString()


def write_tfrecords(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def write_array_records(path: Path, records: list[bytes]) -> None:
    writer = array_records.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, str]:
    """The same images in the same order as a folder and as two kinds of records."""
    root = tmp_path_factory.mktemp("records")
    first = 0
    for part, count in COUNTS.items():
        numbers = sorted(range(first, first + count), key=lambda n: (n % 3, n))
        first += count
        records = []
        for number in numbers:
            contents, name = image(number)
            folder = root / "folder" / part / CLASSES[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents)
            records.append(example(contents, number % 3, name))
        # In two files, as sets of records are.
        for kind, write, ending in (
            ("tfrecord", write_tfrecords, ""),
            ("array_record", write_array_records, ".array_record"),
        ):
            (root / kind).mkdir(exist_ok=True)
            word = {"train": "train", "val": "validation"}[part]
            for shard, some in enumerate((records[:2], records[2:])):
                write(root / kind / f"{word}{ending}-0000{shard}-of-00002", some)
            (root / kind / "labels.txt").write_text("cat\ndog\nowl\n")
    return {
        "folder": f"folder:{root}/folder",
        "tfrecord": f"tfrecord:{root}/tfrecord,first_label=1",
        "array_record": f"array_record:{root}/array_record,first_label=1",
    }


def load(spec: str) -> data.Source:
    return data.load(spec, size_px=24)


def batches(source: data.Source, epoch: int = 0, start: int = 0) -> list:
    found = source.train(4, epoch=epoch, seed=3, augment=VIEWS, start_batch=start)
    return list(found.as_numpy_iterator())


def assert_alike(found: list, expected: list) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        for array, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
def test_records_give_the_images_of_the_folder_to_the_bit(places, kind):
    records, folder = load(places[kind]), load(places["folder"])
    assert records.classes == folder.classes == CLASSES
    assert (records.train_examples, records.validation_examples) == (13, 5)
    assert_alike(batches(records, epoch=1), batches(folder, epoch=1))
    assert_alike(
        list(records.validation_batches(3).as_numpy_iterator()),
        list(folder.validation_batches(3).as_numpy_iterator()),
    )
    names = [Path(name).name for name in folder.validation.names()]
    assert list(records.validation.names()) == names


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
@pytest.mark.slow
def test_going_on_at_a_batch_gives_what_was_left_to_the_bit(places, kind):
    source = load(places[kind])
    whole = batches(source)
    assert len(whole) == 3
    assert_alike(batches(load(places[kind]), start=2), whole[2:])


def test_records_with_flaws_are_counted_and_named_one_by_one(tmp_path, capfd):
    records = []
    for number in (1, 2, 3, 5, 7):
        whole, name = image(number)
        # Bytes too many before the end, which libjpeg passes over with a line.
        flawed = whole[:-2] + bytes(range(1, 9)) + whole[-2:]
        contents = flawed if number in (2, 5) else whole
        records.append(example(contents, number % 2, name))
    write_tfrecords(tmp_path / "test.tfrecord", records)
    spec = f"tfrecord:{tmp_path},first_label=1"
    with stream_flaws.count_flawed_images(spec):
        source = data.load(spec, size_px=24, split="test")
        assert len(list(source.validation_batches(5))) == 1
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"--data={spec}: JPEG images with flaws were decoded")
    assert "2 times in all (Corrupt JPEG data: " in line

    with report_decoder_lines("test"):
        found = tf.data.TFRecordDataset(str(tmp_path / "test.tfrecord"))
        for number, record in enumerate(found.as_numpy_iterator()):
            features = tf.train.Example.FromString(record).features.feature
            with name_decoded(f"record {number}"):
                tf.io.decode_image(features["image/encoded"].bytes_list.value[0])
    named = [line.split(": ")[:2] for line in capfd.readouterr().err.splitlines()]
    assert named == [["test", "record 1"], ["test", "record 3"]]


def test_a_pattern_without_a_word_for_the_parts_is_split(places, tmp_path):
    records = [example(*image(n)[:1], n % 2, image(n)[1]) for n in range(10)]
    write_tfrecords(tmp_path / "all.tfrecord", records)
    source = load(f"tfrecord:{tmp_path}/*.tfrecord,first_label=1")
    assert source.classes == ("0", "1")
    assert (source.train_examples, source.validation_examples) == (8, 2)
    names = [*source.training.names(), *source.validation.names()]
    assert sorted(names) == sorted(image(n)[1] for n in range(10))


def test_other_names_of_features_are_named_behind_the_path(tmp_path):
    features = {"pixels": image(1)[0], "kind": 0}
    lists = {bytes: "bytes_list", int: "int64_list"}
    made = {
        key: tf.train.Feature(**{lists[type(value)]: {"value": [value]}})
        for key, value in features.items()
    }
    record = tf.train.Example(features=tf.train.Features(feature=made))
    write_tfrecords(tmp_path / "x.tfrecord", [record.SerializeToString()] * 3)
    source = load(f"tfrecord:{tmp_path},image=pixels,label=kind")
    assert (source.train_examples, source.validation_examples) == (2, 1)
    assert source.validation.names() == ()
    with pytest.raises(data.DataError, match="it has kind, pixels") as caught:
        load(f"tfrecord:{tmp_path}")
    assert "no bytes called 'image/encoded'" in str(caught.value)
    with pytest.raises(data.DataError, match="no whole number called 'pixels'"):
        load(f"tfrecord:{tmp_path},image=pixels,label=pixels")


def test_labels_that_count_from_another_number_are_told(places):
    with pytest.raises(data.DataError, match="run from 1 to 3, not from 0") as caught:
        load(places["tfrecord"].partition(",")[0])
    assert ",first_label=1 behind the path" in str(caught.value)
    with pytest.raises(data.DataError, match="run from 1 to 3, not from 2 to 4"):
        load(places["tfrecord"].replace("=1", "=2"))


def test_numbers_that_are_no_classes_are_refused_without_counting_to_them(tmp_path):
    records = [example(image(n)[0], n * 10**15 - 1, "a.jpg") for n in range(3)]
    write_tfrecords(tmp_path / "x.tfrecord", records)
    with pytest.raises(data.DataError, match="from 0 to 2000000000000000, not from 0"):
        load(f"tfrecord:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tfrecord:{}/none-*", "none-* matches no files"),
        ("tfrecord:{}", "holds no record files"),
        ("tfrecord:{},labels=x", "have no 'labels'; behind their name may stand"),
        ("tfrecord:{},first_label=one", "first_label takes a whole number, not 'one'"),
        ("tfrecord:", "No data under 'tfrecord:'"),
    ],
)
def test_mistakes_are_one_line(tmp_path, spec, words):
    with pytest.raises(data.DataError) as caught:
        load(spec.format(tmp_path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"some text that is no record", "is not a TFRecord file, or is cut off"),
        (b"\x1f\x8b\x08\x00", "is compressed; unpack it first"),
        (b"", "There are no records in"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, contents, words):
    (tmp_path / "a.tfrecord").write_bytes(contents)
    with pytest.raises(data.DataError, match=words):
        load(f"tfrecord:{tmp_path}")
    (tmp_path / "a.array_record").write_bytes(contents)
    with pytest.raises(data.DataError, match=r"ArrayRecord|no records"):
        load(f"array_record:{tmp_path}/a.array_record")


def test_a_file_that_is_cut_off_is_named(places, tmp_path):
    whole = Path(places["tfrecord"].split(":")[1].split(",")[0])
    cut = tmp_path / "train-00000-of-00001"
    cut.write_bytes((whole / "train-00001-of-00002").read_bytes()[:-5])
    with pytest.raises(data.DataError, match="cut off: what should be record 10"):
        load(f"tfrecord:{tmp_path},first_label=1")


def test_no_example_at_all_is_told_by_its_number(tmp_path):
    write_tfrecords(tmp_path / "a.tfrecord", [b"\xff" * 30])
    with pytest.raises(data.DataError, match=r"record 0 of .* is no tf.train.Example"):
        load(f"tfrecord:{tmp_path}")


def test_the_walk_over_an_example_finds_what_protocol_buffers_find():
    contents = example(*image(2)[:1], 299, "a.jpg")
    negative = tf.train.Example()
    negative.features.feature["n"].int64_list.value.append(-3)
    negative.features.feature["nothing"].SetInParent()
    for text in (contents, negative.SerializeToString()):
        wanted = tf.train.Example.FromString(text).features.feature
        found = example_proto.features(text, 0, len(text))
        assert found.keys() == wanted.keys()
        for name, feature in wanted.items():
            integers, strings = feature.int64_list.value, feature.bytes_list.value
            told = example_proto.integer(text, found[name])
            assert told == (integers[0] if integers else None)
            place = example_proto.bytes_place(text, found[name])
            assert (place and text[slice(*place)]) == (strings[0] if strings else None)


class ConvnextUpright(tfds.core.GeneratorBasedBuilder):
    """The images above as a data set of tensorflow-datasets."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=list(CLASSES)),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, _):
        return {
            "train": self._generate_examples(range(13)),
            "validation": self._generate_examples([13, 14, 15]),
        }

    def _generate_examples(self, numbers):
        for number in numbers:
            contents, name = image(number)
            row = {"image": io.BytesIO(contents), "label": number % 3}
            yield number, {**row, "file_name": name}


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory):
    """The same, prepared in one of the two formats, and the folder it lies in."""
    root = tmp_path_factory.mktemp(request.param)
    builder = ConvnextUpright(data_dir=str(root), file_format=request.param)
    builder.download_and_prepare()
    return root


@pytest.mark.slow
def test_a_prepared_data_set_is_read_upright_by_name_and_by_folder(prepared):
    folder = prepared / "convnext_upright"
    by_name = data.load("convnext_upright", size_px=24, data_dir=str(prepared))
    by_folder = data.load(f"tfds:{folder}", size_px=24)
    by_version = data.load(f"tfds:{folder}/1.0.0", size_px=24)
    expected = list(by_name.validation_batches(3).as_numpy_iterator())
    for source in (by_folder, by_version):
        assert source.classes == CLASSES
        assert_alike(list(source.validation_batches(3).as_numpy_iterator()), expected)
    [(images, labels, _)] = expected
    # tensorflow-datasets shuffles what it prepares, by the keys.
    names = by_name.validation.names()
    assert sorted(names) == sorted(image(number)[1] for number in (13, 14, 15))
    for seen, label, name in zip(images, labels, names, strict=True):
        number = int(name[:2])
        assert label == number % 3
        stored = Image.open(io.BytesIO(image(number)[0]))
        assert (stored.getexif().get(0x0112) == 6) == (number == 15)
        upright = tf.constant(np.asarray(ImageOps.exif_transpose(stored)))
        wanted = evaluation_view(upright, by_name.preprocessing)
        # Pillow's JPEG decoder rounds in its own way.
        np.testing.assert_allclose(seen, wanted, atol=2)


@pytest.mark.slow
def test_a_prepared_data_set_goes_on_at_a_batch(prepared):
    source = data.load("convnext_upright", size_px=24, data_dir=str(prepared))
    whole = batches(source)
    assert_alike(batches(source, start=2), whole[2:])
    assert sum(len(images) for images, _ in whole) == 12


def test_a_folder_of_array_records_may_be_a_prepared_data_set(prepared):
    spec = f"array_record:{prepared}/convnext_upright"
    source = data.load(spec, size_px=24)
    assert source.name == spec
    assert (source.train_examples, source.validation_examples) == (13, 3)


def test_without_a_network_a_data_set_that_is_not_here_is_one_line(
    monkeypatch, tmp_path
):
    def refused(host, *_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", refused)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # What a failed attempt leaves behind is no reason to try again for minutes.
    (tmp_path / "downloads" / "cifar10").mkdir(parents=True)
    with pytest.raises(
        data.DataError, match="without a network it cannot be"
    ) as caught:
        data.load("cifar10", size_px=32, data_dir=str(tmp_path))
    message = str(caught.value)
    assert "www.cs.toronto.edu" in message
    assert str(tmp_path) in message
    assert "TFDS_DATA_DIR" in message
    assert "\n" not in message


def test_records_are_judged_whole_or_by_their_names(places, tmp_path):
    spec = places["tfrecord"]
    folder = Path(spec.partition(":")[2].partition(",")[0])
    assert data.load(spec, size_px=24, split="all").validation_examples == 18
    with pytest.raises(data.DataError, match="no files whose name says test"):
        data.load(spec, size_px=24, split="test")
    (tmp_path / "labels.txt").write_text("cat\ndog\nowl\n")
    for file in folder.glob("validation*"):
        name = file.name.replace("validation", "test")
        (tmp_path / name).write_bytes(file.read_bytes())
    alone = f"tfrecord:{tmp_path},first_label=1"
    for split in ("test", "all"):
        found = data.load(alone, size_px=24, split=split)
        assert found.validation.names() == load(spec).validation.names()
