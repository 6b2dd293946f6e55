"""The forms of `--data`, and what to write instead of a word that is none of them."""

from __future__ import annotations

from pathlib import Path

from keras_convnext._data import archives, records, tables

FORMS = (
    "digits, folder:PATH, files:LIST.csv, array:PATH.npz, tfrecord:FILES, "
    "array_record:FILES, class_tars:PATH or the name of a tensorflow-datasets data set "
    "such as imagenet2012"
)
# Of images with masks, for recipes that segment.
MASK_FORMS = "masks:DIR, with images/ and annotations/ in it, or tfds:scene_parse150"
# Of images with boxes, for recipes that detect.
BOX_FORMS = (
    "coco:FILE.json:IMAGES, coco:TRAIN.json,VAL.json:IMAGES, coco:DIR with "
    "annotations/instances_train2017.json and train2017/ in it, or tfds:coco/2017"
)
# Of images without labels, for recipes that pre-train.
UNLABELED_FORM = "images:DIR, which takes every image file below a folder"
# In the order in which they are looked for, at the end of a file's name.
_KIND_BY_ENDING = {
    **dict.fromkeys((*tables.CSV, *tables.JSON_LINES), "files"),
    **dict.fromkeys(archives.SUFFIXES, "folder"),
    ".npz": "array",
    ".array_record": "array_record",
    ".arrayrecord": "array_record",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
    ".record": "tfrecord",
}
# The forms of class folders, by what a class is named by.
FOLDERS = {"folder": "top", "folder_leaf": "leaf", "folder_path": "path"}
_MASK_FOLDERS = ("images", "annotations")
INSTANCES = "instances*.json"
# What a folder or a word holds that classes of images are not made of, and whom for.
_OTHER_TASKS = {
    "masks": ("masks, a number a pixel", "segment"),
    "coco": ("boxes around objects", "detect"),
    "images": ("images without labels", "pre-train"),
}
# What tensorflow-datasets writes beside a data set that it has prepared.
_INFO = "dataset_info.json"
_TABLES = (".txt", ".xlsx", ".parquet")
# Those that nothing can be read from without unpacking all before it.
_ARCHIVES = (".tgz", ".gz", ".tbz", ".bz2", ".txz", ".xz", ".zst", ".7z", ".rar")
_TABLE = (
    "A table of labels is read as CSV or JSON lines with the columns path and label: "
    "save it so and give files:LIST.csv."
)


def parse(spec: str) -> tuple[str, str]:
    """Returns the form of a source, and what stands behind its colon.

    Args:
        spec: What `--data` says. A word without a colon is a name that
            tensorflow-datasets knows, or the digits.

    Example:
        >>> parse("folder:photos"), parse("imagenet2012"), parse("digits")
        (('folder', 'photos'), ('tfds', 'imagenet2012'), ('digits', ''))
    """
    kind, colon, rest = spec.partition(":")
    if colon:
        return kind, rest
    return ("digits", "") if spec == "digits" else ("tfds", spec)


def prepared_in(path: str) -> str | None:
    """Returns the folder of a data set that tensorflow-datasets has prepared.

    Args:
        path: That folder, "NAME/1.0.0", or the one with its versions; the newest
            counts. None is returned for any other.
    """
    folder = Path(path).expanduser()
    if (folder / _INFO).is_file():
        return str(folder)
    versions = [found.parent for found in folder.glob(f"*/{_INFO}")]
    numbered = [v for v in versions if v.name.replace(".", "").isdigit()]
    by_number = sorted(numbered, key=lambda v: [int(n) for n in v.name.split(".")])
    return str(by_number[-1]) if by_number else None


def instances_below(folder: Path, pattern: str = INSTANCES) -> list[Path]:
    """Returns COCO's files of that name: in annotations/, or else in the folder."""
    found = sorted((folder / "annotations").glob(pattern))
    return found or sorted(folder.glob(pattern))


def proposal(spec: str, flag: str = "data") -> str:
    """Returns a sentence on what to write for a file or folder that is there.

    Args:
        spec: What the flag says, or the part of it after the colon.
        flag: Its name.

    Returns:
        The sentence; empty where there is no such file or folder.
    """
    word, _, rest = spec.partition(":")
    path = Path(spec).expanduser()
    if not path.exists() and rest:
        spec, path = rest, Path(rest).expanduser()
    if path.is_dir():
        return f"There is such a folder: --{flag}={_kind_of_folder(path)}:{spec}"
    if not path.is_file():
        return _TABLE if word.lower() in ("csv", "tsv", "jsonl") else ""
    ending = path.suffix.lower()
    if ending == ".json":
        return (
            "Boxes in COCO's format are given with the folder of their images: "
            f"--{flag}=coco:{spec}:IMAGES"
        )
    if ending in _TABLES:
        return _TABLE
    if ending in _ARCHIVES:
        return (
            f"Unpack {spec} and give the folder: folder:PATH. Of archives .zip and "
            ".tar are read as they are."
        )
    kind = _KIND_BY_ENDING.get(ending)
    if kind is None and records.is_record_file(path):
        kind = "array_record" if "array_record" in path.name else "tfrecord"
    if kind is not None:
        return f"There is such a file: --{flag}={kind}:{spec}"
    return f"{spec} is a file; images are given by their folder: folder:PATH."


def for_other_tasks(kind: str, rest: str) -> str | None:
    """Returns a sentence on data that hold no classes of images; None where they may.

    Args:
        kind: The form of a source, as `parse` returns it.
        rest: What stands behind its colon.
    """
    word = kind
    if kind in FOLDERS and (path := Path(rest).expanduser()).is_dir():
        word = _kind_of_folder(path)
    if word not in _OTHER_TASKS:
        return None
    what, task = _OTHER_TASKS[word]
    text = f"{rest} holds {what}, and no classes of images"
    if kind == word:
        return f"{text}. Recipes that {task} take it: --recipe=help lists them"
    return f"{text}: for recipes that {task} it is --data={word}:{rest}"


def _kind_of_folder(folder: Path) -> str:
    if prepared_in(str(folder)) is not None:
        return "tfds"
    if instances_below(folder):
        return "coco"
    if all((folder / name).is_dir() for name in _MASK_FOLDERS):
        return "masks"
    files = [path for path in folder.iterdir() if path.is_file()]
    if not any(map(records.is_record_file, files)):
        return "folder"
    return (
        "array_record" if any("array_record" in f.name for f in files) else "tfrecord"
    )
