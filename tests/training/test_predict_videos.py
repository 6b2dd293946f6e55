"""`predict` of videos: a row a frame, equal to the frames as images."""

import csv
import importlib.util
import io
import json
import os
import signal
import sys

import numpy as np
import pytest
from PIL import Image

from keras_convnext._messages import UsageError
from tests.color_boxes import write_color_boxes
from tests.training.color_classifier import write_color_classifier
from training import predict_main
from training.inference import videos

SIDE_PX = 16
FRAMES, PER_SECOND = 12, 10.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_color_classifier(tmp_path_factory.mktemp("model"), SIDE_PX)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Twelve noisy frames, each redder, at ten frames a second."""
    cv2 = pytest.importorskip("cv2")
    file = tmp_path_factory.mktemp("video") / "clip.mp4"
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, code, PER_SECOND, (64, 48))
    rng = np.random.default_rng(0)
    for number in range(FRAMES):
        frame = rng.integers(0, 60, (48, 64, 3)).astype(np.uint8)
        # Blue comes first there.
        frame[:, :, 2] += np.uint8(15 * number)
        writer.write(frame)
    writer.release()
    return file


@pytest.fixture(scope="module")
def frames(video, tmp_path_factory):
    """The same frames as PNG files."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("frames")
    capture = cv2.VideoCapture(str(video))
    for number in range(FRAMES):
        is_there, pixels = capture.read()
        assert is_there
        Image.fromarray(pixels[:, :, ::-1]).save(folder / f"{number:02}.png")
    return folder


def predict(model, *flags):
    return predict_main.main(["predict", f"--model={model}", *map(str, flags)])


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_answers_of_frames_are_those_of_the_same_images(model, video, frames, capfd):
    assert predict(model, "--format=csv", "--batch=5", frames) == 0
    expected = rows_of(capfd.readouterr().out)
    assert len(expected) == FRAMES
    assert predict(model, "--format=csv", "--batch=5", video, frames / "03.png") == 0
    *found, image = rows_of(capfd.readouterr().out)
    assert [int(row["frame"]) for row in found] == list(range(FRAMES))
    times = [float(row["seconds"]) for row in found]
    np.testing.assert_allclose(times, np.arange(FRAMES) / PER_SECOND, atol=1e-6)
    for row, wanted in zip(found, expected, strict=True):
        assert row["picture"] == str(video)
        for name in ("class_1", "probability_1", "class_2", "probability_2"):
            assert row[name] == wanted[name]
    assert len({row["probability_1"] for row in found}) == FRAMES
    assert (image["frame"], image["seconds"]) == ("", "")


@pytest.mark.parametrize(
    ("every", "expected"),
    [("5", [0, 5, 10]), ("0.3s", [0, 3, 6, 9]), ("0.25s", [0, 3, 5, 8, 10])],
)
def test_some_of_the_frames(model, video, every, expected, capfd):
    assert predict(model, "--format=json", f"--every={every}", video) == 0
    found = json.loads(capfd.readouterr().out)
    assert [row["frame"] for row in found] == expected
    assert [row["seconds"] for row in found] == pytest.approx(
        [number / PER_SECOND for number in expected]
    )


def test_frames_with_objects_are_drawn_one_by_one(video, tmp_path, capsys):
    detector = write_color_boxes(tmp_path / "run", 48)
    flags = [f"--out={tmp_path / 'out'}", f"--draw={tmp_path / 'a.html'}", "--every=6"]
    assert predict(detector, *flags, video) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith(f"{video}  frame 6  0.60 s: ")
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    shown = [(each["frame"], each["overlay"]) for each in record["images"]]
    assert shown == [
        (0, "overlays/clip_000000.png"),
        (6, "overlays/clip_000006.png"),
    ]
    assert "frame 6" in (tmp_path / "a.html").read_text()


def test_a_video_that_is_cut_or_none_is_told(model, video, tmp_path, capfd):
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "no.mp4").write_bytes(b"no video")
    cut = tmp_path / "cut.avi"
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(cut), cv2.CAP_FFMPEG, code, PER_SECOND, (64, 48))
    for _ in range(FRAMES):
        writer.write(np.full((48, 64, 3), 200, np.uint8))
    writer.release()
    # Each frame is a chunk of that name; five are left.
    frames = cut.read_bytes().split(b"00dc")
    cut.write_bytes(b"00dc".join(frames[:6]))
    names = [tmp_path / "no.mp4", cut, tmp_path / "gone.mov", video]
    assert predict(model, "--format=csv", "--every=100", *names) == 0
    out, err = capfd.readouterr()
    rows = [(row["picture"], bool(row["problem"])) for row in rows_of(out)]
    assert rows == [
        (str(names[0]), True),
        (str(cut), False),
        (str(cut), True),
        (str(names[2]), True),
        (str(video), False),
    ]
    said = [line for line in err.splitlines() if line.startswith("predict: ")]
    expected = ("no.mp4: not a video", "of 12 frames", "gone.mov: there is no such")
    for line, words in zip(said, expected, strict=True):
        assert words in line


def test_a_telephone_that_was_held_upright_gives_upright_frames(video, tmp_path):
    contents = bytearray(video.read_bytes())
    # The matrix of the track's header: 40 bytes after its version. A quarter turn.
    place = contents.index(b"tkhd") + 4 + 40
    turn = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    contents[place : place + 36] = np.array(turn, ">i4").tobytes()
    (tmp_path / "turned.mp4").write_bytes(contents)
    every = videos.Every()
    [plain, *_] = videos.read_frames(str(video), every)
    [turned, *_] = videos.read_frames(str(tmp_path / "turned.mp4"), every)
    assert plain.pixels.shape == (48, 64, 3)
    np.testing.assert_array_equal(turned.pixels, np.rot90(plain.pixels, -1))


def test_frames_are_read_one_by_one(video):
    frames = videos.read_frames(str(video), videos.Every())
    assert next(frames).number == 0
    # Closing early ends the reading without a word.
    frames.close()


class Camera:
    """Gives gray images, and presses Ctrl-C at the fifth."""

    def __init__(self, number):
        self.number, self.grabbed = number, 0

    def isOpened(self):
        return self.number == 0

    def grab(self):
        self.grabbed += 1
        if self.grabbed == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return True

    def retrieve(self):
        return True, np.full((8, 8, 3), self.grabbed, np.uint8)

    def release(self):
        pass


def test_a_camera_ends_with_an_interrupt_and_its_answers_are_kept(
    model, tmp_path, monkeypatch, capfd
):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    out = tmp_path / "seen.csv"
    before = signal.getsignal(signal.SIGINT)
    flags = ["--format=csv", f"--out={out}", "--every=2"]
    assert predict(model, *flags, "camera:0") == 0
    assert signal.getsignal(signal.SIGINT) is before
    rows = rows_of(out.read_text())
    assert [row["frame"] for row in rows] == ["0", "2", "4"]
    assert predict(model, *flags, "camera:1") == 2
    assert "camera:1: there is no such camera" in capfd.readouterr().err


@pytest.mark.parametrize("every", ["0", "0s", "-1", "s", "1.5", "fast"])
def test_every_is_a_number_of_frames_or_seconds(every):
    with pytest.raises(UsageError, match="a number of frames, such as 10"):
        videos.parse_every(every)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clip.mp4", r"pip install 'keras-convnext\[video\]'"),
        ("CLIP.MOV", r"pip install 'keras-convnext\[video\]'"),
        ("camera:0", r"pip install 'keras-convnext\[video\]'"),
        ("camera:front", "cameras have numbers"),
        ("https://a.org/clip.mp4", "download it"),
    ],
)
def test_what_cannot_be_read_here_is_told_before_any_work(name, words, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "cv2" else find_spec(n)
    )
    with pytest.raises(UsageError, match=words):
        videos.check(["a.png", name])
    videos.check(["a.png"])
