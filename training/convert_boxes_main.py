"""`python -m training.convert_boxes_main`: other annotations of boxes as COCO's."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from keras_convnext import _cli, _files
from keras_convnext._files import first_few
from keras_convnext._messages import UsageError, checked, say

from .convert import voc, yolo
from .convert.annotated import Converted, to_coco

COMMAND = "convert_boxes"
SUMMARY = """Writes annotations of boxes as COCO's JSON, which --data=coco: reads.

  python -m training.convert_boxes_main --boxes=voc:VOC2012 --out=annotations
  python -m training.convert_boxes_main --boxes=yolo:pets --out=annotations

Images stay where they are. All files are written, or none: --skip_bad_images
leaves out the images whose annotations cannot be used."""
_READERS = {"voc": voc.read, "yolo": yolo.read}


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("boxes", None, "voc:DIR (Pascal VOC, XML) or yolo:DIR (text files)")
    flags.text("out", None, "folder for instances.json, or one for each part")
    flags.skip_bad_images()
    return flags.values


def _convert(chosen: _cli.FlagValues) -> int:
    kind, _, path = chosen.boxes.partition(":")
    if kind not in _READERS or not path:
        raise UsageError(f"--boxes={chosen.boxes} must be voc:DIR or yolo:DIR")
    out = Path(chosen.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out={out} is a file; it must be a folder")
    found: Converted = checked(_READERS[kind], path)
    if found.bad and not chosen.skip_bad_images:
        lines = first_few((f"{f}: {why}" for f, why in found.bad.items()), "\n  ")
        raise UsageError(
            f"{len(found.bad):,} files cannot be used (--skip_bad_images leaves them "
            f"out):\n  {lines}"
        )
    if not found.classes or not found.parts:
        raise UsageError(f"{found.root} has no image with a box that can be used")
    by_part = {
        part: out / f"instances{f'_{part}' if part else ''}.json"
        for part in sorted(found.parts)
    }
    files = {file: found.parts[part] for part, file in by_part.items()}
    with _cli.writes_file("out", out), contextlib.ExitStack() as stack:
        out.mkdir(parents=True, exist_ok=True)
        # Entered for all, left by all: on an error none gets its name.
        for file, images in files.items():
            partial = stack.enter_context(_files.replacing(file))
            instances = to_coco(images, found.classes, found.root)
            partial.write_text(json.dumps(instances), encoding="utf-8")
    for file, images in files.items():
        boxes = sum(len(image.boxes) for image in images)
        say(f"{file}  {len(images):,} images, {boxes:,} boxes")
    for bad, reason in found.bad.items():
        say(f"left out  {_files.legible(bad)}: {reason}")
    say(f"{len(found.classes)} classes: {first_few(found.classes)}")
    # The file without a part is for training, unless there is one that says so.
    first = "train" if "train" in by_part else ""
    if first not in by_part:
        say("no images to train on: none is in a folder or a list of the name train")
        return 0
    if first and "" in by_part:
        say(f"not in --data: {by_part['']}, whose images are in no such folder")
    names = ",".join(str(by_part[p]) for p in (first, "val") if p in by_part)
    say(f"--data=coco:{names}:{found.root}")
    return 0


command = _cli.Command(COMMAND, SUMMARY, options, _convert, required=("boxes", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
