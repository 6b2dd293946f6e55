"""Frames of videos and cameras, one after the other, by an optional package."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._files import first_few, legible
from keras_convnext._messages import UsageError
from keras_convnext._stderr import hold_stderr
from keras_convnext.preprocessing import Preprocessing

from . import inputs
from .inputs import View

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv"}
    | {".3gp", ".mts", ".m2ts", ".ogv"}
)
CAMERA = "camera:"
_EVERY = re.compile(r"(?P<frames>[1-9]\d*)|(?P<seconds>\d*\.?\d+)s")
# A container's count of frames is sometimes estimated from its length.
_LEAST_SHARE = 0.9


@dataclass(frozen=True)
class Every:
    """Which frames are taken: each of so many, or one in so many seconds.

    Attributes:
        frames: 1 for all.
        seconds: 0 for all.
    """

    frames: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        number: From 0.
        seconds: When it is shown, from the first frame on.
        pixels: Upright, uint8 `(height, width, 3)`.
    """

    number: int
    seconds: float
    pixels: np.ndarray


class VideoError(ValueError):
    """A video cannot be read, or not to its end; the text says why, and not which."""


def parse_every(text: str) -> Every:
    """Returns what `--every` says: "10" is each tenth frame, "0.5s" two a second.

    Raises:
        UsageError: It is neither.
    """
    found = _EVERY.fullmatch(text)
    if found is None or (found["seconds"] and float(found["seconds"]) == 0):
        raise UsageError(
            f"--every={text} must be a number of frames, such as 10, or of seconds, "
            "such as 0.5s"
        )
    if found["frames"]:
        return Every(frames=int(found["frames"]))
    return Every(seconds=float(found["seconds"]))


def is_video(name: str) -> bool:
    """Returns True if a name is a camera's, or ends as videos do."""
    return is_camera(name) or os.path.splitext(name)[1].lower() in SUFFIXES


def is_camera(name: str) -> bool:
    """Returns True if a name is a camera's, such as camera:0."""
    return name.startswith(CAMERA)


def check(names: Sequence[str]) -> None:
    """Makes sure that the videos among some names can be read here.

    Args:
        names: From `inputs.list_images`.

    Raises:
        UsageError: The package is missing, one is an address, or a camera has no
            number.
    """
    videos = [name for name in names if is_video(name)]
    for name in videos:
        if is_camera(name) and not name.removeprefix(CAMERA).isdecimal():
            raise UsageError(f"{name}: cameras have numbers; the first is {CAMERA}0")
        if "://" in name:
            raise UsageError(f"{name} is a video: download it and name the file")
    if videos and importlib.util.find_spec("cv2") is None:
        raise UsageError(
            f"{first_few(videos)}: frames are read by OpenCV, which is not installed: "
            "pip install 'keras-convnext[video]'"
        )


def views(
    names: Sequence[str],
    preprocessing: Preprocessing | None,
    batch: int,
    every: Every,
    shown_px: int | None = None,
) -> Iterator[list[View]]:
    """Reads images and the frames of videos, some at a time, in their order.

    A camera goes on until Ctrl-C, which ends it as a video ends.

    Args:
        names: From `inputs.list_images`; `check` has seen them.
        preprocessing: What the model expects; None for images as they are.
        batch: How many at a time; of a camera one.
        every: Which frames.
        shown_px: As for `inputs.views`.
    """
    for is_moving, group in itertools.groupby(names, is_video):
        if not is_moving:
            yield from inputs.views(list(group), preprocessing, batch, shown_px)
            continue
        for name in group:
            seen: list[View] = []
            for view in _views_of(name, preprocessing, every, shown_px):
                seen.append(view)
                if len(seen) == batch or is_camera(name):
                    yield seen
                    seen = []
            if seen:
                yield seen


def _views_of(
    name: str,
    preprocessing: Preprocessing | None,
    every: Every,
    shown_px: int | None,
) -> Iterator[View]:
    """Yields the frames of a video, and a problem where it cannot be read on."""
    shown = legible(name)
    try:
        for frame in read_frames(name, every):
            seen = inputs.see(shown, frame.pixels, preprocessing, shown_px)
            yield replace(seen, frame=frame.number, seconds=frame.seconds)
    except VideoError as error:
        yield View(shown, None, f"{shown}: {error}")


def read_frames(name: str, every: Every) -> Iterator[Frame]:
    """Yields frames of a video or a camera, holding one at a time.

    Args:
        name: A file, or "camera:0".
        every: Which frames.

    Raises:
        VideoError: It cannot be opened, or ends before its time.
    """
    with _open(name) as capture:
        yield from (
            _read_camera(capture, every)
            if is_camera(name)
            else _read_file(capture, every)
        )


@contextlib.contextmanager
def _open(name: str) -> Iterator[Any]:
    # What FFmpeg and OpenCV print names no file.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    opened: tuple[Any, ...]
    if is_camera(name):
        opened = (int(name.removeprefix(CAMERA)),)
        problem = "there is no such camera, or another program uses it"
    else:
        path = Path(name).expanduser()
        if not path.is_file():
            raise VideoError("there is no such file")
        # Whole, for a name that begins with a word and a colon is an address to FFmpeg.
        opened = (str(path.resolve()), cv2.CAP_FFMPEG)
        problem = "not a video, damaged, or of a kind that cannot be read"
    with hold_stderr():
        capture = cv2.VideoCapture(*opened)
    try:
        if not capture.isOpened():
            raise VideoError(problem)
        yield capture
    finally:
        capture.release()


def _read_file(capture: Any, every: Every) -> Iterator[Frame]:
    import cv2

    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    take = _make_choice(every)
    number = 0
    while capture.grab():
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if take(number, seconds):
            yield Frame(number, round(seconds, 6), _retrieve(capture))
        number += 1
    if number < _LEAST_SHARE * promised or not number:
        raise VideoError(f"ends after {number} of {promised:.0f} frames")


def _read_camera(capture: Any, every: Every) -> Iterator[Frame]:
    take = _make_choice(every)
    began = None
    with _ending_by_interrupt() as is_over:
        for number in itertools.count():
            # Frames that are not taken are fetched, too: the next is to be a new one.
            if is_over() or not capture.grab():
                return
            now = time.monotonic()
            began = now if began is None else began
            if take(number, now - began):
                yield Frame(number, round(now - began, 6), _retrieve(capture))


def _retrieve(capture: Any) -> np.ndarray:
    """Returns the frame that was grabbed, red first.

    Raises:
        VideoError: It is damaged.
    """
    is_whole, pixels = capture.retrieve()
    if not is_whole:
        raise VideoError("a frame is damaged")
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _make_choice(every: Every) -> Callable[[int, float], bool]:
    """Returns a function of a frame's number and time that says if it is taken."""
    following = 0.0

    def take(number: int, seconds: float) -> bool:
        nonlocal following
        if not every.seconds:
            return number % every.frames == 0
        # Times are rounded in files: a frame a microsecond early is the one.
        if seconds < following - 1e-6:
            return False
        following = (seconds + 1e-6) // every.seconds * every.seconds + every.seconds
        return True

    return take


@contextlib.contextmanager
def _ending_by_interrupt() -> Iterator[Callable[[], bool]]:
    """Gives a function that returns True after Ctrl-C; a second one interrupts."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
