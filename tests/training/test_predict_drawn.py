"""`predict --draw`: a page or images with the answers drawn in."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.color_boxes import write_color_boxes
from tests.keras_convnext.inference.test_segmenter import (
    brightest_channel,
    write_model,
)
from tests.training.color_classifier import write_color_classifier
from training import predict_main
from training.inference import drawing, inputs

SIDE_PX = 8
COLORS = {"a/red": (255, 0, 0), "b/red": (255, 0, 0), "green & <b>": (0, 255, 0)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_color_classifier(tmp_path_factory.mktemp("model"), SIDE_PX)


@pytest.fixture
def images(tmp_path):
    """Two red images of one name, a green one, and a file that is none."""
    folder = tmp_path / "images"
    for name, color in COLORS.items():
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 100), color).save(file)
    (folder / "z.jpg").write_text("no image")
    return folder


def predict(model, *flags):
    return predict_main.main(["predict", f"--model={model}", *map(str, flags)])


def embedded(page):
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_a_page_has_every_image_its_answers_and_counts(model, images, tmp_path):
    file = tmp_path / "seen.html"
    assert predict(model, f"--draw={file}", "--top=2", "--batch=2", images) == 0
    page = file.read_text(encoding="utf-8")
    middles = [image.getpixel((150, 50)) for image in embedded(page)]
    # JPEG of a flat color is off by a level or two.
    np.testing.assert_allclose(middles, list(COLORS.values()), atol=3)
    # exp(5) against exp(0) twice.
    sure = np.exp(5) / (np.exp(5) + 2)
    assert page.count(f"<span>{sure:.1%}</span>") == 3
    assert page.count(f"{100 * sure:.1f}%, transparent") == 3
    assert "3 images, 1 not read" in page
    assert "<td>red</td><td class=number>2</td><td class=number>66.7%</td>" in page
    assert "green &amp; &lt;b&gt;" in page
    assert "<b>.png" not in page
    assert "z.jpg: not an image" in page
    # Nothing beside it is needed.
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_folder_has_an_image_with_its_rows_below_it(model, images, tmp_path):
    out = tmp_path / "drawn"
    assert predict(model, f"--draw={out}", "--top=2", images) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "green_b_.jpg",
        "red.jpg",
        "red_2.jpg",
    ]
    with Image.open(out / "red_2.jpg") as drawn:
        assert drawn.width == 300
        assert drawn.height > 100
        np.testing.assert_allclose(drawn.getpixel((150, 50)), (255, 0, 0), atol=3)


def test_bars_are_as_long_as_the_probabilities():
    rows = [
        drawing.Row("a", "75.0%", 0.75),
        drawing.Row("b", "25.0%", 0.25, is_marked=True),
    ]
    image = Image.new("RGB", (400, 40))
    drawn = np.asarray(drawing.draw_rows(image, rows))
    below = drawn[40:].reshape(2, -1, 400, 3)
    # The second line of a row has no letters.
    lengths = (below[:, 1] != 255).any(axis=-1).sum(axis=-1)
    assert lengths.tolist() == [300, 100]
    assert below[0, 1, 0].tolist() != below[1, 1, 0].tolist()


def test_a_small_image_is_enlarged_and_a_long_name_shortened():
    rows = [drawing.Row("a very long name " * 9, "50.0%", 0.5)]
    drawn = np.asarray(drawing.draw_rows(Image.new("RGB", (32, 16), "red"), rows))
    assert drawn.shape[1] == 256
    assert (drawn[:128] == (255, 0, 0)).all()
    # Between text and figure there is paper.
    gap = drawn[128:, 190:].min(axis=(0, 2))
    assert (gap == 255).sum() >= 6


def test_beyond_a_number_of_images_a_page_only_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "MOST_ON_PAGE", 2)
    page = drawing.Page(tmp_path / "a.html", "title")
    for number in range(3):
        view = inputs.View(f"{number}.png", None)
        image = np.zeros((4, 4, 3), np.uint8)
        page.add(drawing.Drawn(view, image, [drawing.Row("cat")], "cat"))
    page.finish()
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "3 images; the first 2 are shown" in text
    assert len(embedded(text)) == 2
    assert "<td class=number>3</td><td class=number>100.0%</td>" in text


def test_overlays_of_maps_and_objects_are_drawn_with_what_they_show(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "half.png")
    (tmp_path / "maps").mkdir()
    networks = {
        "maps": write_model(tmp_path / "maps", brightest_channel()),
        "objects": write_color_boxes(tmp_path / "boxes", 64),
    }
    for kind, network in networks.items():
        file, out = tmp_path / f"{kind}.html", tmp_path / f"{kind}_out"
        flags = [f"--out={out}", f"--draw={file}", tmp_path / "half.png"]
        assert predict(network, *flags) == 0
        page = file.read_text(encoding="utf-8")
        [seen] = embedded(page)
        with Image.open(out / "overlays" / "half.png") as overlay:
            expected = np.asarray(overlay.convert("RGB"), np.float32)
        # JPEG of few flat colors, but for their borders and letters.
        assert np.abs(np.asarray(seen, np.float32) - expected).mean() < 6
        assert ("1 red" in page) == (kind == "objects")


@pytest.mark.parametrize(
    ("draw", "words"),
    [("nowhere/a.html", "does not exist"), ("file", "cannot be written")],
)
def test_a_place_that_cannot_be_is_one_line(
    model, images, tmp_path, draw, words, capsys
):
    (tmp_path / "file").touch()
    assert predict(model, f"--draw={tmp_path / draw}", images) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
