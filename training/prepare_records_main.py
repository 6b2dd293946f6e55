"""`python -m training.prepare_records_main`: a large data set as record files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_convnext import _cli, _files
from keras_convnext._files import first_few
from keras_convnext._messages import UsageError, checked, note, say

if TYPE_CHECKING:
    from keras_convnext._data.record_index import RecordFiles
    from keras_convnext._data.record_writer import Shard

COMMAND = "prepare_records"
SUMMARY = """Writes images as TFRecord or ArrayRecord files, in a random order.

  python -m training.prepare_records_main --data=class_tars:fall11_whole.tar \\
      --out=imagenet22k --format=array_record
  python -m training.main --recipe=v1_tiny_in22k --data=array_record:imagenet22k ...

Every image is decoded once. Run the same command to go on after a stop."""
_LOG_SECONDS = 10.0


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text(
        "data", None, "class_tars:PATH, folder:PATH, tfrecord:FILES or array_record:"
    )
    flags.text("out", None, "folder for the files")
    flags.choice("format", "tfrecord", ["tfrecord", "array_record"], "of the files")
    flags.integer("images_per_file", 10_000, "images of a file", 1)
    flags.number("validation_share", 0.01, "fraction, if the data has no split", most=1)
    flags.integer("seed", 0, "of that split and of the order", least=None)
    flags.skip_bad_images()
    return flags.values


def _prepare(chosen: _cli.FlagValues) -> int:
    _cli.import_tensorflow()
    from keras_convnext._data import record_index
    from keras_convnext.decoder_lines import report_decoder_lines

    out = Path(chosen.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out={out} is a file; it must be a folder")
    found: RecordFiles = checked(_find, chosen)
    shards = list(_shards(found, chosen, out))
    plan = {
        "data": chosen.data,
        "format": chosen.format,
        "images_per_file": chosen.images_per_file,
        "validation_share": chosen.validation_share if found.drawn else None,
        "seed": chosen.seed,
        "skip_bad_images": chosen.skip_bad_images,
        "classes": len(found.classes),
        "train": found.train.count,
        "validation": found.validation.count,
    }
    with _cli.writes_file("out", out), report_decoder_lines(COMMAND):
        _agree(out / record_index.PLAN, plan)
        _files.remove_partial(out)
        _write(shards, found, chosen.skip_bad_images)
        labels = "".join(f"{name}\n" for name in found.classes)
        _files.write_text(out / record_index.LABELS, labels)
    files = [shard.file for shard in shards]
    gigabytes = sum(file.stat().st_size for file in files) / 1e9
    say(
        f"{found.train.count:,} images for training, {found.validation.count:,} for "
        f"validation, {len(found.classes):,} classes, {len(files):,} files, "
        f"{gigabytes:.2f} GB"
    )
    say(f"--data={chosen.format}:{out}")
    return 0


def _find(chosen: _cli.FlagValues) -> RecordFiles:
    from keras_convnext._data import class_tars, forms, records
    from keras_convnext._data.data_error import check_share

    readers: dict[str, Callable[..., RecordFiles]] = {
        "class_tars": class_tars.load,
        "folder": _load_folder,
        **{
            store: partial(records.load, store=store)
            for store in ("tfrecord", "array_record")
        },
    }
    kind, path = forms.parse(chosen.data)
    if kind not in readers or not path:
        raise UsageError(
            f"--data={chosen.data}: expected {', '.join(f'{k}:PATH' for k in readers)}"
        )
    check_share(chosen.validation_share)
    return readers[kind](
        path, validation_share=chosen.validation_share, seed=chosen.seed
    )


def _load_folder(named: str, *, validation_share: float, seed: int) -> RecordFiles:
    """Returns class folders, or an archive of them, as if they were record files."""
    import numpy as np

    from keras_convnext._data import archives, class_folders
    from keras_convnext._data.data_error import DataError
    from keras_convnext._data.record_index import Index, RecordFiles

    roots = class_folders.find_roots(archives.open_folder(named))
    train = class_folders.list_class_folders(roots[0])
    validation = (
        None if roots[1] is None else class_folders.list_class_folders(roots[1])
    )
    if problems := class_folders.problems(train, validation):
        raise DataError("\n".join(problems))
    classes = tuple(sorted(train.by_class))

    def index(part: class_folders.ClassFolders) -> Index:
        labels, paths = zip(
            *(
                (label, path)
                for label, name in enumerate(classes)
                for path in part.by_class.get(name, ())
            ),
            strict=True,
        )
        places = np.zeros((len(paths), 3), np.int64)
        places[:, 0] = np.arange(len(paths))

        def read(number: int, *_: int) -> bytes:
            return archives.read_bytes(paths[number])

        return Index(
            places, np.array(labels), read, lambda: list(map(os.path.basename, paths))
        )

    if validation is None:
        return index(train).drawn(classes, validation_share, seed, named)
    return RecordFiles(classes, index(train).every(), index(validation).every())


def _shards(found: RecordFiles, chosen: _cli.FlagValues, out: Path) -> Iterator[Shard]:
    import numpy as np

    from keras_convnext._data import record_index
    from keras_convnext._data.record_writer import Shard

    for number, part in enumerate(record_index.PARTS):
        images = getattr(found, part)
        order = np.random.default_rng([chosen.seed, number]).permutation(images.count)
        total = -(-images.count // chosen.images_per_file)
        for shard, rows in enumerate(np.array_split(order, total)):
            name = f"{part}-{shard:05}-of-{total:05}.{chosen.format}"
            yield Shard(out / name, images, rows, found.classes, chosen.format)


def _agree(file: Path, plan: dict[str, Any]) -> None:
    """Notes what is prepared; what was begun otherwise is not mixed with it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _files.write_json(file, plan)
        return
    before = json.loads(file.read_text("utf-8"))
    other = [
        f"{key}={before.get(key)} and not {value}"
        for key, value in plan.items()
        if before.get(key) != value and key != "skip_bad_images"
    ]
    if other:
        raise UsageError(
            f"--out={file.parent} was begun with {first_few(other)}. Give another "
            "folder, or remove that one."
        )


def _write(shards: list[Shard], found: RecordFiles, skip_bad: bool) -> None:
    from keras_convnext._data.record_writer import write_shard

    missing = [shard for shard in shards if not shard.is_written]
    if len(missing) < len(shards):
        say(f"{len(shards) - len(missing):,} of {len(shards):,} files are there")
    names = {id(part): part.names() for part in (found.train, found.validation)}
    begun, shown_at, images = time.monotonic(), 0.0, 0
    for shard in missing:
        bad = checked(write_shard, shard, names[id(shard.images)], skip_bad)
        images += len(shard.rows)
        for name, problem in bad:
            note(COMMAND, f"left out  {_files.legible(name)}: {problem}")
        seconds = time.monotonic() - begun
        if seconds - shown_at > _LOG_SECONDS or shard is missing[-1]:
            shown_at = seconds
            say(f"{shard.file.name}  {images / seconds:,.0f} images a second")


command = _cli.Command(COMMAND, SUMMARY, options, _prepare, required=("data", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
