"""Augmented images a second on one core: this project against torchvision and timm.

Both read the same JPEG files and do what the papers' recipe asks for: decode, random
resized crop to 224 pixels, mirror, RandAugment rand-m9-mstd0.5-inc1, random erasing,
MixUp or CutMix. Each side is a process of its own, held on the same core, and they take
turns (A B A B), so that drift of the machine's speed hits both. The files are listed
many times over, so that an epoch is as long as one of real training and what a side
does at its beginning falls into the warm-up.

    python benchmarks/pipeline.py --torch_python=OTHER/bin/python --out=pipeline.json

The other interpreter needs torch, torchvision and timm. Without --folder, images are
drawn, 500 x 375 pixels as ImageNet's are or what --drawn says; with it,
FOLDER/CLASS/*.jpg are taken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZE_PX = 224
CLASSES = 5
RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
WARM_UP_BATCHES = 10
EPOCH_IMAGES = 100_000


def draw_images(folder: Path, count: int, width: int, height: int) -> None:
    """Writes JPEG files, detailed as photographs are."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(count):
        large = np.zeros((height, width, 3))
        for cells in (4, 16, 64, 250):
            coarse = generator.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
            smooth = Image.fromarray(coarse)
            smooth = smooth.resize((width, height), Image.Resampling.BICUBIC)
            large += np.asarray(smooth, float) / 4
        place = folder / f"class{number % CLASSES}" / f"{number:04d}.jpg"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(large.astype(np.uint8)).save(place, quality=90)


def files_of(folder: Path) -> tuple[list[str], list[int]]:
    """Returns an epoch's JPEG files of a folder of class folders, and their classes."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [
        (str(file), label)
        for label, path in enumerate(classes)
        for file in sorted(path.glob("*.jpg"))
    ]
    if len(classes) < 2 or not found:
        raise SystemExit(f"{folder} must hold class folders of .jpg files")
    found *= -(-EPOCH_IMAGES // len(found))
    return [file for file, _ in found], [label for _, label in found]


def source_here(folder: Path) -> Any:
    """Returns a folder's images as this project's training gets them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf

    from keras_convnext.preprocessing import IMAGENET
    from training.data import decoding
    from training.data import source as data
    from training.data.examples import Files

    tf.config.threading.set_intra_op_parallelism_threads(1)
    paths, labels = files_of(folder)
    numbers = np.array(labels, np.int32)
    found = {
        path: int(decoding.way_by_headers(Path(path).read_bytes()))
        for path in set(paths)
    }
    ways = np.array([found[path] for path in paths], np.int32)
    files = Files(tuple(paths), numbers, ways)
    names = tuple(map(str, range(max(labels) + 1)))
    return data.Source("bench", names, files, files, IMAGENET)


def batches_here(folder: Path, batch: int) -> Iterator[Any]:
    """Yields this project's training batches, epoch after epoch."""
    from training.recipes.papers import _STRONG

    source = source_here(folder)
    epoch = 0
    while True:
        yield from source.train(batch, epoch=epoch, seed=0, augment=_STRONG)
        epoch += 1


def decoded_here(folder: Path, batch: int) -> Iterator[Any]:
    """Yields one pixel each of the parts that `batches_here` decodes, and no more."""
    import tensorflow as tf

    from training.augment.transforms import crop
    from training.data.examples import epoch_key
    from training.recipes.papers import _STRONG

    examples = source_here(folder).training
    key = epoch_key(0, 0)

    def corner(position: Any, record: Any) -> Any:
        image, _ = examples.image(record, crop(tf.stack([key, position]), _STRONG))
        return image[0, 0]

    records = examples.shuffled(0, 0).enumerate()
    pixels = records.map(corner, num_parallel_calls=tf.data.AUTOTUNE)
    yield from pixels.batch(batch).prefetch(tf.data.AUTOTUNE).repeat()


def batches_there(folder: Path, batch: int) -> Iterator[Any]:
    """Yields torchvision's and timm's training batches, epoch after epoch."""
    import torch

    # Builds of torch without a GPU lack two operators that torchvision asks for.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for declared in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        try:
            library.define(declared)
        except RuntimeError:
            break
    from PIL import Image
    from timm.data import Mixup, create_transform

    torch.set_num_threads(1)
    torch.manual_seed(0)
    paths, labels = files_of(folder)
    classes = max(labels) + 1
    transform = create_transform(
        SIZE_PX,
        is_training=True,
        color_jitter=0.4,
        auto_augment=RAND_AUGMENT,
        interpolation="bicubic",
        re_prob=0.25,
        re_mode="pixel",
        re_count=1,
    )
    mixing = Mixup(
        mixup_alpha=0.8,
        cutmix_alpha=1.0,
        prob=1.0,
        switch_prob=0.5,
        mode="batch",
        label_smoothing=0.1,
        num_classes=classes,
    )

    class Photographs(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> tuple[Any, int]:
            with open(paths[number], "rb") as file:
                image = Image.open(file).convert("RGB")
            while True:
                try:
                    return transform(image), labels[number]
                except ValueError:
                    # timm may ask for 0 bits a level, which Pillow 13 refuses.
                    continue

    loader = torch.utils.data.DataLoader(
        Photographs(), batch, shuffle=True, drop_last=True, num_workers=0
    )
    while True:
        for images, numbers in loader:
            yield mixing(images, numbers)


OURS, THEIRS, DECODING = "keras_convnext", "torchvision and timm", "decoding alone"
SIDES: dict[str, Callable[[Path, int], Iterator[Any]]] = {
    OURS: batches_here,
    THEIRS: batches_there,
    DECODING: decoded_here,
}


def serve(side: str, folder: Path, batch: int, core: int) -> None:
    """Makes as many batches as each line of stdin asks for.

    Answers with the seconds that passed, and those that the core worked for it.
    """
    os.sched_setaffinity(0, {core})
    batches = SIDES[side](folder, batch)
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    print("ready", flush=True)
    for line in sys.stdin:
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            next(batches)
        spent = time.process_time() - spent
        print(time.perf_counter() - began, spent, flush=True)


def start(side: str, python: str, options: argparse.Namespace) -> subprocess.Popen:
    """Starts one side and waits until it is warm."""
    command = [
        *(python, __file__, f"--serve={side}", f"--folder={options.folder}"),
        *(f"--batch={options.batch}", f"--core={options.core}"),
    ]
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"{side} did not start; its words are above")
    # Who waits for a turn must not make batches for it, on the other's time.
    process.send_signal(signal.SIGSTOP)
    return process


def measure(pythons: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Returns the rates of two sides, each run by its Python, and their ratio."""
    processes = {side: start(side, python, options) for side, python in pythons.items()}
    rates: dict[str, list[float]] = {side: [] for side in pythons}
    worked: dict[str, list[float]] = {side: [] for side in pythons}
    for _ in range(options.rounds):
        for side, process in processes.items():
            process.send_signal(signal.SIGCONT)
            print(options.batches, file=process.stdin, flush=True)
            passed, spent = map(float, process.stdout.readline().split())
            process.send_signal(signal.SIGSTOP)
            rates[side].append(options.batches * options.batch / passed)
            worked[side].append(options.batches * options.batch / spent)
    for process in processes.values():
        process.kill()
        process.wait()
    medians, by_work = (
        {side: statistics.median(found) for side, found in each.items()}
        for each in (rates, worked)
    )
    first, second = medians.values()
    first_by_work, second_by_work = by_work.values()
    return {
        "images_per_second_per_core": medians,
        "rounds": rates,
        "ratio": first / second,
        # What other programs take of the core does not count here.
        "images_per_second_of_work": by_work,
        "ratio_of_work": first_by_work / second_by_work,
        "batch": options.batch,
        "files": len(set(files_of(Path(options.folder))[0])),
        "size_px": SIZE_PX,
    }


def arguments(words: str) -> argparse.ArgumentParser:
    """Returns the arguments that say what is measured, and how long."""
    parser = argparse.ArgumentParser(description=words.splitlines()[0])
    parser.add_argument("--folder", help="folder of class folders of .jpg files")
    parser.add_argument("--images", type=int, default=200, help="to draw")
    parser.add_argument("--drawn", default="500x375", help="their width and height")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=12, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=0, help="number of the core")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser


@contextlib.contextmanager
def images(options: argparse.Namespace) -> Iterator[None]:
    """Draws images where no folder of them is given, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as drawn:
        if not options.folder:
            options.folder = drawn
            width, height = map(int, options.drawn.split("x"))
            draw_images(Path(drawn), options.images, width, height)
        yield


def main() -> None:
    """Measures, prints and writes."""
    parser = arguments(__doc__)
    parser.add_argument("--torch_python", help="interpreter with torch and timm")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, Path(options.folder), options.batch, options.core)
        return
    if not options.torch_python:
        parser.error("--torch_python is the interpreter to compare with")
    with images(options):
        figures = measure({OURS: sys.executable, THEIRS: options.torch_python}, options)
    for side, rate in figures["images_per_second_per_core"].items():
        print(f"{side:22s} {rate:7.1f} img/s on one core")
    print(
        f"ratio of medians: {figures['ratio']:.2f}, by the core's own time "
        f"{figures['ratio_of_work']:.2f}"
    )
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
