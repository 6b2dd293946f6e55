"""Where images come from, and on which of them an export is evaluated."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export.images import calibration, comparison, image_sets
from export.images.run_images import find_run_images
from keras_convnext._messages import UsageError


def write_images(folder, count, value=0):
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.full((8, 8, 3), (value, index, 0), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")


def pixels_of(image):
    return np.asarray(Image.open(io.BytesIO(image.contents)))


@pytest.fixture
def divided(tmp_path):
    """Class folders under train/ and val/."""
    for number, label in enumerate(("cat", "dog")):
        write_images(tmp_path / "photos" / "train" / label, 60, number)
        write_images(tmp_path / "photos" / "val" / label, 3, 10 + number)
    return tmp_path / "photos"


def test_calibration_learns_from_train_and_is_judged_on_val(divided):
    found = calibration.find(f"folder:{divided}")
    assert found.image_set.count == 120
    assert len(set(found.numbers.tolist())) == 120
    evaluated = comparison.read(comparison.find(None, None, found.others), most=100)
    assert evaluated.origin == str(divided / "val")
    assert [image.label for image in evaluated.members] == 3 * ["cat"] + 3 * ["dog"]


def test_a_class_is_named_as_training_names_it(tmp_path):
    """By the folder below the root, in composed letters, whatever lies inside of it."""
    decomposed = "Ka\u0308se"
    for label in ("Brot/fresh/monday", decomposed):
        write_images(tmp_path / "train" / label, 1)
    for spec in (tmp_path, tmp_path / "train"):
        found = image_sets.find("images", f"folder:{spec}").training
        labels = {image.label for image in found.read(range(found.count))}
        assert labels == {"Brot", "K\u00e4se"}
    files = image_sets.files_in(tmp_path)
    named = image_sets.of_files("images", files, tmp_path).read(range(len(files)))
    assert {image.label for image in named} == {"Brot", "K\u00e4se"}


def test_a_folder_without_its_word_is_proposed_with_it(tmp_path):
    with pytest.raises(UsageError, match=f"such a folder: --images=folder:{tmp_path}$"):
        image_sets.find("images", str(tmp_path))


def test_of_an_undivided_folder_calibration_leaves_the_others(tmp_path):
    write_images(tmp_path / "one", 250)
    found = calibration.find(f"folder:{tmp_path / 'one'}")
    used = {image.name for image in found.image_set.read(found.numbers)}
    others = {image.name for image in comparison.read(found.others, 1000).members}
    assert (len(used), len(others)) == (200, 50)
    assert not used & others
    # These lie in no class folders.
    assert {image.label for image in found.image_set.read(range(3))} == {None}


def write_list(tmp_path, count, *splits):
    write_images(tmp_path / "listed", count)
    rows = [
        ",".join([f"listed/{index:03d}.png", "cat" if index % 2 else "dog", *split])
        for index, split in zip(range(count), splits or [()] * count, strict=True)
    ]
    file = tmp_path / "list.csv"
    head = "path,label,split" if splits else "path,label"
    file.write_text("\n".join([head, *rows]))
    return file


def test_a_list_gives_its_parts_with_their_labels(tmp_path):
    file = write_list(tmp_path, 122, *[["train"]] * 120, ["val"], ["val"])
    found = calibration.find(f"files:{file}")
    assert found.image_set.count == 120
    validation = found.others.read(range(2))
    assert [(image.name, image.label) for image in validation] == [
        ("120.png", "dog"),
        ("121.png", "cat"),
    ]
    with pytest.raises(UsageError, match=r"--images: There is no list none\.csv"):
        image_sets.find("images", "files:none.csv")
    with pytest.raises(UsageError, match=f"such a file: --images=files:{file}$"):
        image_sets.find("images", str(file))


def test_a_list_without_training_images_may_be_compared_on(tmp_path):
    file = write_list(tmp_path, 2, ["test"], ["val"])
    assert comparison.find(f"files:{file}", None).count == 2


def test_a_run_of_a_list_divides_it_as_it_did(tmp_path):
    file = write_list(tmp_path, 4)
    record = json.dumps({"data": f"files:{file}"})
    (tmp_path / "recipe.json").write_text(record)
    apart = tmp_path / "listed" / "002.png"
    (tmp_path / "validation.csv").write_text(f"image,true\n{apart},dog\n")
    splits = find_run_images(tmp_path)
    assert [image.name for image in splits.validation.read(range(1))] == ["002.png"]
    assert splits.training.count == 3


@pytest.fixture
def array_file(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "train_images": generator.integers(0, 256, (130, 6, 5), np.uint8),
        "train_labels": np.zeros(130, np.int64),
        "test_images": generator.integers(0, 256, (4, 6, 5, 3), np.uint8),
        "test_labels": np.array([1, 0, 1, 1]),
        "classes": np.array(["cat", "dog"]),
    }
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz", arrays


def test_an_array_file_gives_its_pixels_and_classes(array_file):
    file, arrays = array_file
    splits = image_sets.find("images", f"array:{file}")
    validation = splits.validation.read(range(4))
    assert [image.label for image in validation] == ["dog", "cat", "dog", "dog"]
    for image, pixels in zip(validation, arrays["test_images"], strict=True):
        np.testing.assert_array_equal(pixels_of(image), pixels)
    (gray,) = splits.training.read([7])
    expected = np.repeat(arrays["train_images"][7][..., None], 3, axis=-1)
    np.testing.assert_array_equal(pixels_of(gray), expected)
    assert calibration.find(f"array:{file}").others.count == 4


def test_what_a_run_validated_on_is_what_its_model_is_evaluated_on(
    array_file, tmp_path
):
    file, _ = array_file
    workdir = tmp_path / "run"
    write_images(workdir / "pictures" / "samples", 2)
    model = workdir / "model.keras"
    samples = comparison.find(None, model)
    assert "samples" in samples.words
    assert samples.count == 2
    for data, words in (
        (f"array:{file}", "test_images"),
        # What is no longer there, or was never prepared on this machine.
        (f"array:{tmp_path / 'moved.npz'}", "samples"),
        ("no_such_set_anywhere", "samples"),
    ):
        (workdir / "recipe.json").write_text(json.dumps({"data": data}))
        assert words in comparison.find(None, model).words


def test_a_tfds_set_gives_both_parts_with_classes(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shape = (8, 8, 3)
    features = {
        "image": tfds.features.Image(shape=shape, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (124, *shape), np.uint8)
    rows = {"image": images, "label": np.arange(124) % 2}
    slices = tf.data.Dataset.from_tensor_slices(rows)
    tfds.dataset_builders.store_as_tfds_dataset(
        "pets_in_a_box",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": slices.take(120), "test": slices.skip(120).take(4)},
        data_dir=str(tmp_path / "keras_convnext" / "datasets"),
        disable_shuffling=True,
    )
    found = calibration.find("tfds:pets_in_a_box")
    assert found.image_set.count == 120
    read = found.image_set.read([0, 119])
    for image, pixels in zip(read, images[[0, 119]], strict=True):
        np.testing.assert_array_equal(pixels_of(image), pixels)
    assert [image.label for image in read] == ["cat", "dog"]
    assert found.others.count == 4


def test_what_is_missing_or_no_images_is_told(tmp_path, array_file):
    file, arrays = array_file
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, train_images=arrays["train_images"].astype(np.float32))
    other = tmp_path / "other.npz"
    np.savez(other, images=arrays["test_images"])
    (tmp_path / "empty").mkdir()
    for spec, words in (
        ("photo:x", "expected masks:DIR, coco:FILE.json:IMAGES, digits, folder:PATH"),
        ("folder:", "digits, folder:PATH"),
        ("tulips", "tfds:tulips cannot be loaded"),
        (f"folder:{tmp_path / 'no'}", "there is no folder"),
        (f"folder:{tmp_path / 'empty'}", "holds no image file"),
        (f"array:{tmp_path / 'no.npz'}", "cannot be read as an .npz file"),
        (f"array:{wrong}", "train_images is float32"),
        (f"array:{other}", "neither train_images nor test_images"),
        ("tfds:no_such_set_anywhere", "cannot be loaded"),
    ):
        with pytest.raises(UsageError, match=r"^--images") as caught:
            image_sets.find("images", spec)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["tif", "avif", "jfif", "JPG", "ppm"])
def test_every_kind_of_file_that_training_reads_is_read(tmp_path, ending):
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), -1)
    kind = {"tif": "TIFF", "avif": "AVIF", "ppm": "PPM"}.get(ending, "JPEG")
    (tmp_path / "cat").mkdir()
    Image.fromarray(pixels).save(tmp_path / "cat" / f"one.{ending}", kind, quality=95)
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"made by a system")
    found = image_sets.find("calibration", f"folder:{tmp_path}").training
    assert found.count == 1
    [image] = found.read([0])
    assert image.label == "cat"
    # Lossy kinds keep a smooth image to a few of 255.
    np.testing.assert_allclose(comparison.decode(image), pixels, atol=12)


def test_a_kind_that_nothing_reads_is_named(tmp_path):
    (tmp_path / "one.cr2").write_bytes(b"II*")
    found = image_sets.find("calibration", f"folder:{tmp_path}").training
    with pytest.raises(UsageError, match=r"one\.cr2: a raw file of a camera"):
        found.read([0])


def write_records(file, count):
    """Images of one color each, which is their number, under the usual names."""
    with tf.io.TFRecordWriter(str(file)) as writer:
        for number in range(count):
            encoded = tf.io.encode_png(np.full((4, 4, 3), number, np.uint8)).numpy()
            contents = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
            label = tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 2]))
            record = {"image/encoded": contents, "image/class/label": label}
            features = tf.train.Features(feature=record)
            writer.write(tf.train.Example(features=features).SerializeToString())


def test_records_are_read_by_number_with_their_classes(tmp_path):
    write_records(tmp_path / "train.tfrecord", 120)
    write_records(tmp_path / "test.tfrecord", 5)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    found = calibration.find(f"tfrecord:{tmp_path}")
    assert (found.image_set.count, found.others.count) == (120, 5)
    read = found.image_set.read([3, 90])
    assert [image.label for image in read] == ["dog", "cat"]
    assert [pixels_of(image)[0, 0, 0] for image in read] == [3, 90]


def test_records_that_a_run_divided_are_divided_as_it_did(tmp_path):
    from training.data import load

    write_records(tmp_path / "all.tfrecord", 130)
    data = f"tfrecord:{tmp_path}/all.tfrecord"
    assert image_sets.find("calibration", data).undivided
    workdir = tmp_path / "run"
    workdir.mkdir()
    run = {"data": data, "seed": 7, "validation_share": 0.2}
    (workdir / "recipe.json").write_text(json.dumps(run))
    evaluated = comparison.find(None, workdir / "model.keras")
    found = {
        int(pixels_of(one)[0, 0, 0]) for one in evaluated.read(range(evaluated.count))
    }
    trained = load(data, size_px=4, validation_share=0.2, seed=7)
    drawn = trained.validation
    assert found == {
        int(Image.open(io.BytesIO(drawn.read(n)[0])).getpixel((0, 0))[0])
        for n in range(drawn.count)
    }
    assert len(found) == 26


@pytest.mark.parametrize(
    ("size_px", "count"), [(384, 128), (224, 128), (112, 512), (32, 2000)]
)
def test_smaller_images_are_more(size_px, count):
    assert comparison.enough(size_px) == count


def run_of(folder, validation, data="folder:{}"):
    """A workdir as far as calibration looks into it, and its validation images."""
    workdir = folder / "run"
    workdir.mkdir()
    photos = folder / "photos"
    record = {"data": data.format(photos), "seed": 7, "validation_share": 0.2}
    (workdir / "recipe.json").write_text(json.dumps(record))
    rows = "".join(f"{photos / name},cat,dog,0.9\n" for name in validation)
    (workdir / "validation.csv").write_text(f"image,true,predicted,probability\n{rows}")
    return workdir / "model.keras"


def test_calibration_without_a_word_uses_what_the_run_learned_from(tmp_path):
    for number, label in enumerate(("cat", "dog")):
        write_images(tmp_path / "photos" / label, 60, number)
    validation = [
        f"{label}/{number:03d}.png" for label in ("cat", "dog") for number in (3, 5)
    ]
    # As a run that leaves damaged images out may have had it.
    validation.append("dog/scan.tif")
    (tmp_path / "photos" / "dog" / "scan.tif").write_bytes(b"II*")
    model = run_of(tmp_path, validation)
    found = calibration.find(None, model)
    assert found.image_set.count == 116
    used = found.image_set.read(range(116))
    assert {image.name for image in used}.isdisjoint({"003.png", "005.png"})
    evaluated = comparison.read(comparison.find(None, model, found.others), most=100)
    assert [(one.label, one.name) for one in evaluated.members] == [
        (label, f"{number:03d}.png") for label in ("cat", "dog") for number in (3, 5)
    ]


def test_a_run_whose_images_are_not_to_be_had_is_one_line(tmp_path):
    write_images(tmp_path / "photos" / "cat", 120)
    model = run_of(tmp_path, ["cat/000.png", "cat/gone.png"])
    with pytest.raises(UsageError, match=r"1 of the images that .* are not in"):
        calibration.find(None, model)
    (model.parent / "validation.csv").unlink()
    with pytest.raises(
        UsageError, match=r"no .*validation\.csv, which lists the validation images"
    ):
        calibration.find(None, model)
    (model.parent / "recipe.json").unlink()
    with pytest.raises(UsageError, match=r"has no recipe\.json") as told:
        calibration.find(None, model)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="a published checkpoint has no run"):
        calibration.find(None)


def write_masks(folder, count):
    write_images(folder / "images", count)
    (folder / "annotations").mkdir()
    for index in range(count):
        mask = np.full((8, 8), index % 2, np.uint8)
        mask[0] = 255
        Image.fromarray(mask).save(folder / "annotations" / f"{index:03d}.png")
    (folder / "classes.txt").write_text("background\nnucleus\n")


def test_images_come_with_the_labels_of_their_pixels(tmp_path):
    write_masks(tmp_path, 3)
    found = image_sets.find("images", f"masks:{tmp_path}")
    assert found.undivided
    [image] = found.training.read([1])
    assert image.classes == ("background", "nucleus")
    assert image.mask[:2].tolist() == [[255] * 8, [1] * 8]
    assert pixels_of(image)[0, 0].tolist() == [0, 1, 0]


def test_masks_of_a_run_are_divided_as_the_run_did(tmp_path):
    write_masks(tmp_path / "data", 6)
    # As a run may have left them out.
    (tmp_path / "data" / "annotations" / "004.png").write_bytes(b"no mask")
    (tmp_path / "data" / "annotations" / "005.png").unlink()
    record = {"data": f"masks:{tmp_path}/data"}
    (tmp_path / "recipe.json").write_text(json.dumps(record))
    apart = tmp_path / "data" / "images" / "002.png"
    (tmp_path / "validation.csv").write_text(f"image,miou\n{apart},0.5\n")
    splits = find_run_images(tmp_path)
    assert [image.name for image in splits.validation.read([0])] == ["002.png"]
    others = splits.training.read(range(splits.training.count))
    assert [image.name for image in others] == ["000.png", "001.png", "003.png"]
    apart.unlink()
    with pytest.raises(UsageError, match=r"1 of the images that .* are not in"):
        find_run_images(tmp_path)


def test_a_number_without_a_name_is_refused(tmp_path):
    write_masks(tmp_path, 2)
    mask = Image.fromarray(np.full((8, 8), 7, np.uint8))
    mask.save(tmp_path / "annotations" / "000.png")
    splits = image_sets.find("images", f"masks:{tmp_path}")
    with pytest.raises(UsageError, match=r"000\.png holds numbers that classes\.txt"):
        splits.training.read([0])
