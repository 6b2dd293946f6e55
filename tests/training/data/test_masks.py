"""Images with masks: found, checked, split; the same batches wherever one starts."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_convnext.whole_images import resize_image
from tests.training.data.mask_files import CLASSES, colors, shapes, write_masks
from training.data import DataError, masks
from training.recipes.mask_augmentation import MaskAugmentation

EVERYTHING = MaskAugmentation((0.5, 2.0), 0.75, flip=True, photometric=True)
# Pixels of the image at once, and nothing random but the crop.
PLAIN = MaskAugmentation()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    return write_masks(tmp_path / "data", {f"{n:02}": shapes(n) for n in range(10)})


def load(folder, **arguments):
    return masks.load(f"masks:{folder}", **({"size_px": 24} | arguments))


def batches(source, augment=EVERYTHING, batch=4, **arguments):
    epoch = source.train(batch, epoch=3, seed=5, augment=augment, **arguments)
    return list(epoch.as_numpy_iterator())


def test_a_folder_is_read_with_its_classes_and_split_by_share_and_seed(folder):
    source = load(folder, validation_share=0.3, seed=1)
    assert source.classes == CLASSES
    assert (source.train_examples, source.validation_examples) == (7, 3)
    assert source.drawn
    assert source.palette.shape == (3, 3)
    assert source.ignored == 255
    names = [set(part.names()) for part in (source.training, source.validation)]
    assert not names[0] & names[1]
    again = load(folder, validation_share=0.3, seed=1)
    other = load(folder, validation_share=0.3, seed=2)
    assert again.validation.names() == source.validation.names()
    assert other.validation.names() != source.validation.names()


def test_images_and_masks_come_as_they_were_written(folder):
    source = load(folder, split="all")
    images, found = source.validation_images([0, 7])
    for number, image, mask in zip((0, 7), images, found, strict=True):
        np.testing.assert_array_equal(mask, shapes(number))
        np.testing.assert_array_equal(image, colors(shapes(number)))
    assert [len(part) for part in source.sample_images(4)] == [4, 4]


def test_batches_are_the_same_wherever_the_epoch_begins(folder):
    source = load(folder, split="all")
    whole = batches(source)
    assert len(whole) == 2
    for expected, found in zip(whole[1:], batches(source, start_batch=1), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    images, labels = whole[0]
    assert images.shape == (4, 24, 24, 3)
    assert labels.shape == (4, 24, 24)
    assert images.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1, 2, 255}


def test_workers_share_the_rows_of_every_batch(folder):
    source = load(folder, split="all")
    parts = [batches(source, PLAIN, worker=n, workers=2) for n in range(2)]
    for expected, *shares in zip(batches(source, PLAIN), *parts, strict=True):
        for one in range(2):
            joined = np.concatenate([share[one] for share in shares])
            np.testing.assert_array_equal(joined, expected[one])


def test_validation_sees_images_resized_and_masks_of_their_own_size(tmp_path):
    sizes = {"a": (24, 40), "b": (50, 30), "c": (33, 33)}
    made = {name: shapes(1, *size) for name, size in sizes.items()}
    source = load(write_masks(tmp_path, made), split="all", size_px=32)
    found = list(source.validation_batches(1).as_numpy_iterator())
    for (images, labels, weights), mask in zip(found, made.values(), strict=True):
        assert weights == [1]
        np.testing.assert_array_equal(labels[0], mask)
        # Two programs for one formula: a half may be rounded to either side.
        difference = np.abs(images[0] - resize_image(colors(mask), 32))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.02


def test_rows_that_fill_up_a_batch_do_not_count(tmp_path):
    made = {"a": shapes(1, 24, 40), "b": shapes(2, 50, 30), "c": shapes(3)}
    source = load(write_masks(tmp_path, made), split="all", size_px=32)
    found = list(source.validation_batches(2).as_numpy_iterator())
    assert [weights.tolist() for *_, weights in found] == [[1, 1], [1, 0]]
    assert (found[1][1][1] == 255).all()
    assert (found[0][1][0, 24:] == 255).all()


def test_ade20k_s_tree_needs_no_classes_file_and_ignores_zero(tmp_path):
    made = {}
    for part, name in (("training", "train"), ("validation", "val")):
        for number in range(2):
            mask = np.full((20, 30), 150, np.uint8)
            mask[:4], mask[4:9] = 0, 1
            made[f"{part}/ADE_{name}_0000000{number}"] = mask
    source = load(write_masks(tmp_path, made, classes=None), size_px=20)
    assert len(source.classes) == 150
    assert source.classes[:2] == ("wall", "building")
    assert not source.drawn
    assert (source.train_examples, source.validation_examples) == (2, 2)
    _, found = source.validation_images([0])
    assert np.unique(found[0]).tolist() == [0, 149, 255]
    assert source.palette[0].tolist() == [120, 120, 120]
    assert "no pixel of any mask is of the class building" in source.notices[-1]


@pytest.mark.parametrize("lines", [("(ignored)", "one", "two"), ("one", "two")])
def test_zero_does_not_count_where_the_file_or_the_recipe_says_so(tmp_path, lines):
    made = {name: shapes(number) for number, name in enumerate("ab")}
    folder = write_masks(tmp_path, made, lines)
    source = load(folder, split="all", reduce_zero_label=True)
    assert source.classes == ("one", "two")
    _, found = source.validation_images([0])
    expected = np.where(made["a"] == 0, 255, made["a"] - 1)
    expected[made["a"] == 255] = 255
    np.testing.assert_array_equal(found[0], expected)


def test_a_number_in_between_can_be_ignored(tmp_path):
    made = {name: shapes(number) for number, name in enumerate("ab")}
    source = load(write_masks(tmp_path, made, ("ground", "(ignored)", "bar")))
    assert source.classes == ("ground", "bar")
    found = source.validation_images([0])[1][0]
    assert set(np.unique(found)) == {0, 1, 255}


def save_palette(file: Path, mask: np.ndarray) -> None:
    image = Image.fromarray(mask, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(file)


def save_few_bits(file: Path, mask: np.ndarray) -> None:
    image = Image.fromarray(np.where(mask == 255, 0, mask), "P")
    image.putpalette([0, 0, 0, 255, 255, 255, 9, 9, 9])
    image.save(file, bits=2)


def save_one_bit(file: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask == 1).save(file)


def save_16_bits(file: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask.astype(np.uint16)).save(file)


def save_three_channels(file: Path, mask: np.ndarray) -> None:
    Image.fromarray(np.repeat(mask[..., None], 3, axis=-1)).save(file)


FORMS = {
    save_palette: lambda mask: mask,
    save_few_bits: lambda mask: np.where(mask == 255, 0, mask),
    save_one_bit: lambda mask: (mask == 1).astype(np.uint8),
    save_16_bits: lambda mask: mask,
    save_three_channels: lambda mask: mask,
}


@pytest.mark.parametrize("save", FORMS, ids=lambda save: save.__name__)
def test_every_form_of_png_gives_its_numbers(folder, save):
    save(folder / "annotations/03.png", shapes(3))
    for _ in range(2):  # Checked, then as remembered.
        source = load(folder, split="all")
        _, found = source.validation_images([2, 3])
        np.testing.assert_array_equal(found[0], shapes(2))
        np.testing.assert_array_equal(found[1], FORMS[save](shapes(3)))
        assert found[1].dtype == np.uint8


def test_more_than_255_classes_take_16_bits(tmp_path):
    mask = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40) % 300
    mask[0, 0] = 65535
    folder = write_masks(tmp_path, {"a": shapes(0), "b": shapes(1)}, None)
    for name in "ab":
        Image.fromarray(mask).save(folder / f"annotations/{name}.png")
    lines = "\n".join(f"class {number}" for number in range(300))
    (folder / "classes.txt").write_text(lines)
    source = load(folder, split="all")
    assert source.ignored == 65535
    _, found = source.validation_images([0])
    np.testing.assert_array_equal(found[0], mask)
    assert found[0].dtype == np.int32
    labels = batches(source, PLAIN, batch=2)[0][1]
    assert labels.dtype == np.int32
    assert labels.max() in (299, 65535)


def replace_mask(folder: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(folder / "annotations/03.png")


def break_checksum(file: Path) -> None:
    contents = bytearray(file.read_bytes())
    checksum = contents.rindex(b"IEND") - 8
    contents[checksum] ^= 255
    file.write_bytes(contents)


MISTAKES = {
    "has 30x24 pixels, and its image 40x24": lambda f: replace_mask(
        f, shapes(0, 24, 30)
    ),
    "one channel of numbers": lambda f: replace_mask(
        f, np.random.default_rng(0).integers(0, 9, (24, 40, 3)).astype(np.uint8)
    ),
    "is not a PNG file": lambda f: (f / "annotations/03.png").write_text("text"),
    "is damaged": lambda f: (f / "annotations/03.png").write_bytes(
        (f / "annotations/02.png").read_bytes()[:60]
    ),
    # Pillow does not look at the checksum of the pixels; TensorFlow's decoder does.
    "03.png: is damaged": lambda f: break_checksum(f / "annotations/03.png"),
    "1 image has no mask of that name": lambda f: (f / "annotations/03.png").unlink(),
    "no class: 7, 9 (the last of 3 classes is number 2": lambda f: replace_mask(
        f, np.where(shapes(0) == 1, 7, 9).astype(np.uint8)
    ),
    "has no folder annotations/; it has classes.txt": lambda f: (
        f / "annotations"
    ).rename(f / "labels"),
    "has no classes.txt": lambda f: (f / "classes.txt").unlink(),
    "names a class twice: bar": lambda f: (f / "classes.txt").write_text("a\nbar\nbar"),
    "names 1 classes": lambda f: (f / "classes.txt").write_text("a\n(ignored)\n"),
    "line 2 is empty": lambda f: (f / "classes.txt").write_text("a\n\nb\n"),
    "not UTF-8": lambda f: (f / "classes.txt").write_bytes(b"a\nb\xff\n"),
    "differ in their endings alone": lambda f: Image.new("RGB", (40, 24), 9).save(
        f / "images/03.jpg"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_before_any_work(folder, text):
    MISTAKES[text](folder)
    with pytest.raises(DataError) as error:
        load(folder)
    assert text in str(error.value)


def test_images_that_cannot_be_used_are_left_out_on_request(folder):
    (folder / "annotations/03.png").unlink()
    replace = shapes(0, 24, 30)
    Image.fromarray(replace).save(folder / "annotations/05.png")
    (folder / "images/07.png").write_bytes(b"nothing")
    source = load(folder, skip_bad_images=True, split="all")
    assert source.train_examples == 7
    assert sorted(Path(path).name for path, _ in source.skipped) == [
        "03.png",
        "05.png",
        "07.png",
    ]


def test_a_class_without_a_pixel_and_masks_of_black_and_white_get_a_line(tmp_path):
    white = {name: np.where(shapes(1) == 1, 255, 0).astype(np.uint8) for name in "ab"}
    source = load(write_masks(tmp_path, white, ("background", "cell")))
    line = source.notices[-1]
    assert "class cell" in line
    assert "write 1" in line


def test_an_image_on_both_sides_of_the_split_and_an_untrained_class_get_a_line(
    tmp_path,
):
    made = {f"{part}/{name}": shapes(1) for part in ("train", "val") for name in "ab"}
    for name in "ab":
        made[f"train/{name}"] = np.where(made[f"train/{name}"] == 2, 0, shapes(1))
    made["train/c"] = made["val/b"][:, ::-1] * 0
    made["val/c"] = made["train/c"]
    source = load(write_masks(tmp_path, made))
    shared, absent = source.notices[-2:]
    assert "is in both the training and the validation set" in shared
    assert "val/c.png" in shared
    assert "no pixel of the training masks is of the class bar" in absent


def test_a_mask_is_checked_again_only_when_it_has_changed(folder, monkeypatch):
    from training.data import mask_files

    load(folder)
    with monkeypatch.context() as patched:
        patched.setattr(mask_files, "_checked", None)
        load(folder)
    replace_mask(folder, shapes(0, 24, 31))
    with pytest.raises(DataError, match="31x24"):
        load(folder)


def test_an_image_that_its_exif_note_turns_is_compared_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "images/03.png").unlink()
    Image.fromarray(colors(shapes(3))).save(folder / "images/03.jpg", exif=exif)
    with pytest.raises(DataError, match="as its EXIF note turns it"):
        load(folder)
    replace_mask(folder, np.rot90(shapes(3), -1))
    assert load(folder, split="all").train_examples == 10


@pytest.mark.parametrize("spec", ["folder:x", "digits", "masks:", "array:x.npz"])
def test_other_forms_of_data_hold_no_masks(spec):
    with pytest.raises(DataError, match="Give masks:DIR"):
        masks.load(spec, size_px=24)


class SceneParse150(tfds.core.GeneratorBasedBuilder):
    """Two images with masks of three channels, as tensorflow-datasets has them."""

    VERSION = tfds.core.Version("1.0.0")
    name = "scene_parse150"
    instances = False

    def _info(self):
        image = tfds.features.Image(encoding_format="png")
        features = {"image": image, "annotation": image}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, _):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        for number in range(2):
            mask = np.repeat(shapes(number)[..., None] % 255, 3, axis=-1)
            if self.instances:
                mask[..., 1] = number + 5
            yield number, {"image": colors(shapes(number)), "annotation": mask}


@pytest.mark.parametrize("instances", [False, True])
@pytest.mark.slow
def test_the_first_channel_of_tensorflow_datasets_masks_counts(
    tmp_path, monkeypatch, instances
):
    monkeypatch.setattr(SceneParse150, "instances", instances)
    builder = SceneParse150(data_dir=str(tmp_path))
    builder.download_and_prepare()
    source = masks.load(f"tfds:{builder.data_dir}", size_px=24)
    # Of 100 kinds of things the first two, or of 150 classes.
    assert source.classes[:2] == (
        ("bed", "windowpane") if instances else ("wall", "building")
    )
    assert len(source.classes) == (100 if instances else 150)
    assert ("masks:DIR" in "".join(source.notices)) is instances
    _, found = source.validation_images([0, 1])
    wanted = {shapes(n).tobytes() for n in range(2)}
    for mask in found:
        numbers = np.where(mask == 255, 0, mask + 1).astype(np.uint8)
        numbers[:, 0] = 255
        assert numbers.tobytes() in wanted
    if instances:
        [first], [again] = (batches(source, PLAIN, batch=2) for _ in range(2))
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
