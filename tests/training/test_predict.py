"""Images of every kind of name, answers in every format, servers of every mood."""

import csv
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from keras_convnext._messages import UsageError
from keras_convnext.inference.classifier import name_best
from tests.training.color_classifier import write_color_classifier
from training import predict_main
from training.inference import inputs as named_images

SIDE_PX = 8


def png(color):
    file = io.BytesIO()
    Image.new("RGB", (SIDE_PX, SIDE_PX), color).save(file, "PNG")
    return file.getvalue()


RED, GREEN, BLUE = png((255, 0, 0)), png((0, 255, 0)), png((0, 0, 255))


class Server(BaseHTTPRequestHandler):
    """Serves images, and misbehaves where the path says so."""

    def do_GET(self):
        if self.path == "/missing.png":
            self.send_error(404)
        elif self.path == "/elsewhere.png":
            self.send_response(302)
            self.send_header("Location", "/green.png")
            self.end_headers()
        elif self.path == "/file.png":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
        elif self.path in ("/drip.png", "/endless.png"):
            self.send_response(200)
            self.end_headers()
            size, pause = (1, 0.05) if "drip" in self.path else (2**16, 0)
            for _ in range(200):
                self.wfile.write(b"x" * size)
                time.sleep(pause)
        else:
            self.send_response(200)
            promised = 10**12 if self.path == "/huge.png" else len(GREEN)
            promised += 10 if self.path == "/cut.png" else 0
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(GREEN)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_color_classifier(tmp_path_factory.mktemp("model"), SIDE_PX)


@pytest.fixture
def photos(tmp_path):
    """Three images, one of them deeper, and files that are none."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    (tmp_path / "photos" / "1.png").write_bytes(RED)
    (tmp_path / "photos" / "2.png").write_bytes(GREEN)
    (tmp_path / "photos" / "more" / "3.PNG").write_bytes(BLUE)
    (tmp_path / "photos" / "notes.md").write_text("no image")
    return tmp_path / "photos"


# 5 against 0 and 0, through softmax.
SURE = float(np.exp(5) / (np.exp(5) + 2))


def test_a_folder_becomes_csv_with_a_row_an_image(model, photos, capfd):
    arguments = [f"--model={model}", "--format=csv", "--top=2", "--batch=2"]
    assert predict_main.main(["predict", *arguments, str(photos)]) == 0
    stdout, stderr = capfd.readouterr()
    assert stderr == ""
    rows = list(csv.DictReader(io.StringIO(stdout)))
    assert [row["class_1"] for row in rows] == ["red", "green", "blue"]
    assert [row["picture"] for row in rows][2] == str(photos / "more" / "3.PNG")
    for row in rows:
        assert float(row["probability_1"]) == pytest.approx(SURE, rel=1e-5)
        assert float(row["probability_2"]) == pytest.approx((1 - SURE) / 2, rel=1e-4)
        assert row["problem"] == ""


def test_a_list_of_everything_becomes_json_and_problems_stay_in_it(
    model, photos, address, tmp_path, capfd
):
    lines = ["photos/1.png", f"{address}/green.png", "", f"{address}/missing.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    arguments = [f"--model={model}", "--format=json", f"--out={tmp_path / 'o.json'}"]
    assert predict_main.main(["p", *arguments, str(tmp_path / "list.txt")]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert "missing.png cannot be read: HTTP Error 404" in stderr
    first, second, third = json.loads((tmp_path / "o.json").read_text())
    assert first["answers"][0]["class"] == "red"
    assert first["answers"][0]["probability"] == pytest.approx(SURE, rel=1e-5)
    assert [answer["class"] for answer in second["answers"]] == ["green", "red", "blue"]
    assert third["answers"] == []
    assert "404" in third["problem"]


def test_the_exit_code_is_2_where_no_image_was_answered(model, tmp_path, capfd):
    (tmp_path / "a.jpg").write_text("no image")
    assert predict_main.main(["p", f"--model={model}", str(tmp_path / "a.jpg")]) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert "a.jpg: not an image, or of a kind that cannot be read" in stderr


def test_images_are_read_as_training_reads_them(model, tmp_path, capfd):
    Image.new("RGB", (9, 8), (0, 255, 0)).save(tmp_path / "by_pillow.tif")
    whole = np.full((40, 40, 3), 128, np.uint8)
    whole[::2] = 90
    Image.fromarray(whole).save(tmp_path / "cut.jpg")
    contents = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(contents[: len(contents) // 2])
    drawing = Image.new("LA", (9, 8))
    drawing.putpixel((3, 3), (0, 255))
    drawing.save(tmp_path / "drawn.png")
    (tmp_path / "empty.png").write_bytes(b"")
    arguments = [f"--model={model}", "--format=csv", str(tmp_path)]
    assert predict_main.main(["predict", *arguments]) == 0
    stdout, stderr = capfd.readouterr()
    cut, drawn, empty = stderr.splitlines()
    assert cut.startswith(f"predict: error: {tmp_path}/cut.jpg: damaged (")
    assert f"{tmp_path}/drawn.png: all that it shows is in its transparency" in drawn
    assert f"{tmp_path}/empty.png: the file is empty" in empty
    [row] = [row for row in csv.DictReader(io.StringIO(stdout)) if not row["problem"]]
    assert row["picture"] == f"{tmp_path}/by_pillow.tif"
    assert row["class_1"] == "green"


@pytest.mark.parametrize("what", ["folder", "list"])
def test_what_holds_no_names_is_one_line(model, tmp_path, capfd, what):
    named = tmp_path / ("list.txt" if what == "list" else "folder")
    named.write_text("\n\n") if what == "list" else named.mkdir()
    assert predict_main.main(["p", f"--model={model}", str(named)]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert str(named) in line


def test_a_missing_list_is_a_mistake(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.txt cannot be read"):
        named_images.list_images([str(tmp_path / "nowhere.txt")])


def test_redirections_are_followed(address):
    assert named_images.download(f"{address}/elsewhere.png") == GREEN


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("huge.png", "longer than the 1 MB"),
        ("endless.png", "longer than the 1 MB"),
        ("drip.png", "did not come within 0.5 seconds"),
        ("cut.png", "of"),
        ("file.png", "not allowed"),
    ],
)
def test_a_server_that_misbehaves_costs_little_and_is_told(address, path, words):
    began = time.monotonic()
    with pytest.raises(OSError, match=words):
        named_images.download(f"{address}/{path}", max_bytes=2**20, seconds=0.5)
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_a_problem_and_no_traceback():
    from keras_convnext.preprocessing import IMAGENET

    view = named_images.view("http://127.0.0.1:9/a.png", IMAGENET)
    assert view.image is None
    assert "127.0.0.1:9/a.png cannot be read" in view.problem


def test_equal_shares_keep_the_order_of_the_classes():
    shares = np.array([0.2, 0.3, 0.2, 0.3], np.float32)
    names = [name for name, _ in name_best(shares, "abcd", 4)]
    assert names == ["b", "d", "a", "c"]
