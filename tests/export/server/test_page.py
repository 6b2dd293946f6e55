"""The page on `/`, used in a browser the way a person would use it."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from keras_convnext.segmentation import overlay, palette_for  # noqa: E402
from tests.checks import balance_classes, raise_gains, tiny_upernet  # noqa: E402
from tests.color_boxes import NAMES, write_color_boxes  # noqa: E402
from tests.export.conftest import smooth_images  # noqa: E402
from tests.export.server import browser as chromium  # noqa: E402
from tests.export.server.server_support import command, write_version  # noqa: E402
from tests.export.whole_exports import export, predict_files, serve  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium.CHROMIUM, reason="there is no Chromium"),
]

LABELS = ("ground", "square", "disk")


@pytest.fixture
def browser():
    with chromium.open_browser() as browser:
        yield browser


def test_a_person_chooses_and_drops_images_and_sees_classes(
    browser, photographs, tmp_path
):
    (tmp_path / "toy").mkdir()
    write_version(tmp_path / "toy", 1)
    image = tmp_path / "image.png"
    # The model's first class is the one that the file's length says.
    contents = photographs[0] + bytes(-len(photographs[0]) % 3 + 1)
    image.write_bytes(contents)
    flags = (f"--model_dir={tmp_path / 'toy'}", "--model_name=<b>toy")
    with command(*flags, log=tmp_path / "log") as server:
        browser.open(server.url + "/")
        browser.choose_file(image)
        browser.said(lambda text: text.startswith("Predicted in"))
        expected = [["dög", "75.0 %"], ["owl", "50.0 %"], ["cat", "25.0 %"]]
        assert browser.classes() == expected
        shown = browser.run("return document.getElementById('image').naturalWidth")
        assert shown == 60
        file = Path(os.environ.get("SCREENSHOT", tmp_path / "page.png"))
        browser.screenshot(file)
        assert file.read_bytes().startswith(b"\x89PNG")
        # Dropped from outside: an empty file, of which the model says so.
        browser.run(
            "const data = new DataTransfer(); data.items.add(new File([], 'e.jpg'));"
            "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data}))"
        )
        browser.said(lambda text: text == "This file is empty.")
        assert browser.classes() == []
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"NaN")
        browser.choose_file(broken)
        browser.said(lambda text: text == "The model returned NaN instead of a score.")
        assert browser.classes() == []
        asked = browser.run(
            "return performance.getEntriesByType('resource').map((e) => e.name)"
        )
        assert asked
        assert all(name.startswith((server.url, "blob:", "data:")) for name in asked)
        server.terminate()
        browser.choose_file(image)
        browser.said(lambda text: text.startswith("Prediction failed"))


def test_a_label_map_is_drawn_over_the_image(browser, tmp_path):
    image = smooth_images(1, 48)[0][:40].astype("uint8")
    model = balance_classes(raise_gains(tiny_upernet(3)), image[None].astype("float32"))
    run, file = tmp_path / "run", tmp_path / "image.png"
    run.mkdir()
    model.save(run / "model.keras")
    (run / "labels.txt").write_text("\n".join(LABELS))
    (run / "preprocessing.json").write_text('{"size_px": 48, "resize": "keep_ratio"}')
    Image.fromarray(image).save(file)
    export(run, tmp_path / "export", "--format=saved_model")
    with serve(tmp_path / "export", tmp_path / "log") as server:
        [answer] = predict_files(server, [file.read_bytes()])
        browser.open(server.url + "/")
        browser.choose_file(file)
        browser.said(lambda text: text.startswith("Predicted in"))
        drawn, rows = browser.drawn(), browser.classes()
    label_map = np.array(answer["classes"], "uint8")
    expected = overlay(image, label_map, palette_for(LABELS))
    # Half of each, rounded by the browser.
    assert np.abs(drawn.astype(int) - expected).max() <= 2
    counts = np.bincount(label_map.ravel(), minlength=3)
    assert (counts > 0).sum() > 1
    assert rows == [
        [LABELS[label], f"{100 * counts[label] / label_map.size:.1f} %"]
        for label in np.argsort(-counts, kind="stable")
        if counts[label]
    ]


def test_an_object_is_drawn_where_it_is(browser, tmp_path):
    image = np.zeros((100, 160, 3), "uint8")
    image[10:90, 20:120, 1] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    run = write_color_boxes(tmp_path / "run", 64)
    export(run, tmp_path / "export", "--format=saved_model")
    with serve(tmp_path / "export", tmp_path / "log") as server:
        browser.open(server.url + "/")
        browser.choose_file(tmp_path / "image.png")
        browser.said(lambda text: text.startswith("Predicted in"))
        drawn, rows = browser.drawn().astype(int), browser.classes()
    assert rows == [[NAMES[1], "100.0 %"]]
    rows, columns = np.nonzero(np.abs(drawn - image).max(-1) > 8)
    # A pixel of the network's input is two and a half of the image.
    found = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    np.testing.assert_allclose(found, (10, 20, 90, 120), atol=4)
    half = (image[50, 70].astype(int) + palette_for(NAMES)[1]) / 2
    np.testing.assert_allclose(drawn[50, 70], half, atol=2)
