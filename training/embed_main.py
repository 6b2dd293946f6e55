"""`python -m training.embed_main`: the features of images, and what they are worth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, checked, note, say

from .data import run_split
from .data.run_split import SPLITS
from .inference import feature_files

if TYPE_CHECKING:
    from .data.source import Source

COMMAND = "embed"
SUMMARY = """Writes the features of images, which is what a model's classifier sees.

  python -m training.embed_main --model=runs/demo --data=digits --out=features.npz

The file, .npz or .parquet, holds for each image its path, features, class and
whether it is for training or validation, and the model's probabilities. Of data
with both parts it tells how many validation images their nearest training images
and a linear classifier get right, and which nearly repeat a training image."""
_PARTS = ("train", "validation")
_BOTH = "both"
_MOST_TOLD = 10


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.data(" [the run's]")
    flags.text("out", None, "a .npz or .parquet file")
    flags.text("map", None, "also a .png: a map of the features, errors marked")
    flags.text("index", None, "also a .usearch: an index that finds neighbors")
    flags.integer("batch", 64, "images at a time", 1)
    flags.choice("split", "both", (_BOTH, *SPLITS), "which images")
    flags.run_split()
    flags.skip_bad_images()
    return flags.values


def _embed(chosen: _cli.FlagValues) -> int:
    out = _cli.file_to_write("out", chosen.out, *feature_files.ENDINGS)
    write = checked(feature_files.find_writer, out.suffix)
    drawing = chosen.map and _cli.file_to_write("map", chosen.map, ".png")
    index = chosen.index and _cli.file_to_write(
        "index", chosen.index, feature_files.INDEX_ENDING
    )
    write_index = checked(feature_files.find_index_writer) if index else None
    split = "validation" if chosen.split == _BOTH else chosen.split
    spec, choice = run_split.read_flags(chosen, split)
    is_both = chosen.split == _BOTH and choice.split != "all"
    _cli.import_tensorflow()
    from . import data
    from .data import stream_flaws
    from .inference import models

    with stream_flaws.count_flawed_images(spec):
        model = models.open_network(chosen, COMMAND)
        embed = _make_embed(model, chosen.model)
        source: Source = run_split.load(
            data.load, spec, choice, model.preprocessing, chosen.skip_bad_images
        )
        for line in source.notices:
            say(line)
        # All images count as validation images.
        asked = "validation" if choice.split == "all" else choice.split
        parts = {asked: source.validation}
        if is_both:
            parts = {"train": source.training, **parts}
        found = {
            part: _embed_part(
                embed, dataclasses.replace(source, validation=examples), chosen.batch
            )
            for part, examples in parts.items()
        }
    table = _table(found, source.classes, model.labels)
    with _cli.writes_file("out", chosen.out), _files.replacing(out) as file:
        write(file, table)
    say(
        f"{len(table['labels']):,} images, {table['features'].shape[1]} features each, "
        f"in {chosen.out}"
    )
    if write_index:
        with _cli.writes_file("index", index), _files.replacing(index) as file:
            write_index(file, table["features"])
        say(f"index of the features in {index}")
    if drawing:
        _draw_map(drawing, table)
    if set(found) == set(_PARTS):
        _say_worth(found, len(source.classes))
        _say_copies(found)
    return 0


@dataclasses.dataclass(frozen=True)
class _Embedded:
    """The images of a part, in their order.

    Attributes:
        names: Their paths; empty where nobody kept them.
        features: float32 `(images, channels)`.
        probabilities: float32 `(images, model's labels)`.
        labels: Their classes, of the data's.
        grays: From `near_copies.shrink`.
    """

    names: tuple[str, ...]
    features: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    grays: np.ndarray


def _make_embed(model: Any, name: str) -> Any:
    """Returns a function from images to features and probabilities.

    Raises:
        UsageError: The model's inside cannot be seen.
    """
    import keras

    from keras_convnext.inference.classifier import compile_forward
    from keras_convnext.inference.features import with_features

    if model.model is None:
        raise UsageError(
            f"--model={name} is an exported file, which gives no features here: name "
            "the .keras file that it was made of (a SavedModel has the signature "
            "'features')"
        )
    try:
        whole = with_features(model.model)
    except ValueError as error:
        raise UsageError(f"--model={name} cannot be used: {error}") from error
    activation = keras.activations.get(model.meaning.activation)

    gives_features = model.meaning.kind == "features"

    def finish(outputs: Any) -> Any:
        features, answers = (keras.ops.cast(each, "float32") for each in outputs)
        # What an encoder answers are its features, with its last norm.
        return answers if gives_features else features, activation(answers)

    return compile_forward(whole, finish)


def _embed_part(embed: Any, source: Source, batch: int) -> _Embedded:
    from .evaluation import near_copies

    rows: list[tuple[np.ndarray, ...]] = []
    for images, labels, weights in source.validation_batches(batch):
        real = weights.numpy() > 0
        pixels = images.numpy()[real]
        features, probabilities = embed(pixels)
        rows.append(
            (features, probabilities, labels.numpy()[real], near_copies.shrink(pixels))
        )
    columns = (np.concatenate(column) for column in zip(*rows, strict=True))
    return _Embedded(source.validation.names(), *columns)


def _table(
    found: dict[str, _Embedded], classes: tuple[str, ...], labels: tuple[str, ...]
) -> dict[str, Any]:
    """Returns the arrays of the file by name."""
    parts = list(found.values())
    table: dict[str, Any] = {
        "paths": np.array(
            [
                name
                for part in parts
                for name in (part.names or [""] * len(part.labels))
            ],
            dtype=np.str_,
        ),
        "features": np.concatenate([part.features for part in parts]),
        "labels": np.concatenate([part.labels for part in parts]),
        "split": np.repeat(list(found), [len(part.labels) for part in parts]),
        "classes": np.array(classes, dtype=np.str_),
    }
    probabilities = np.concatenate([part.probabilities for part in parts])
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    if not labels:
        # Of a network that was pre-trained without labels.
        return table
    if sorted(labels) == sorted(classes):
        order = [labels.index(name) for name in classes]
        table["probabilities"] = probabilities[:, order]
    else:
        note(
            COMMAND,
            f"no probabilities in the file: the model's {len(labels)} classes are not "
            f"the data's {len(classes)}",
        )
    return table


def _draw_map(drawing: Path, table: dict[str, Any]) -> None:
    """Draws the images by their features."""
    from .report import feature_map

    labels, wrong = table["labels"], None
    if "probabilities" in table:
        wrong = table["probabilities"].argmax(axis=1) != labels
    image = checked(
        feature_map.draw, table["features"], labels, table["classes"].tolist(), wrong
    )
    with _cli.writes_file("map", str(drawing)), _files.replacing(drawing) as file:
        file.write_bytes(image)
    say(f"a map of them in {drawing}")


def _say_worth(found: dict[str, _Embedded], classes: int) -> None:
    """Tells what nearest neighbors and a linear classifier make of features."""
    from .evaluation import probes

    train, validation = (found[part] for part in _PARTS)
    say("accuracy on validation images, and its mean over the classes")
    known = [number for number in probes.NEIGHBORS if number <= len(train.labels)]
    for neighbors in known or [len(train.labels)]:
        predicted = probes.predict_by_neighbors(
            train.features, train.labels, validation.features, neighbors, classes
        )
        _say_accuracy(f"{neighbors} nearest neighbors", predicted, validation.labels)
    if len(np.unique(train.labels)) < 2:
        return
    try:
        predicted = probes.predict_linearly(
            train.features, train.labels, validation.features
        )
    except ImportError:
        say('  a linear classifier needs scikit-learn: pip install "scikit-learn"')
        return
    _say_accuracy("linear classifier", predicted, validation.labels)


def _say_accuracy(what: str, predicted: np.ndarray, labels: np.ndarray) -> None:
    from .evaluation import probes

    every, by_class = probes.accuracies(predicted, labels)
    say(f"  {what:<22} {every:7.2%} {by_class:7.2%}")


def _say_copies(found: dict[str, _Embedded]) -> None:
    from .evaluation import near_copies

    train, validation = (found[part] for part in _PARTS)
    pairs = near_copies.find(
        (train.features, validation.features), (train.grays, validation.grays)
    )
    if not pairs:
        say("no validation image is nearly the same as a training image")
        return
    say(
        f"{len(pairs):,} of {len(validation.labels):,} validation images are nearly "
        "the same as a training image, which flatters every figure on them:"
    )
    names = (train.names, validation.names)
    for line in near_copies.tell(pairs, names, _MOST_TOLD):
        say(f"  {line}")


command = _cli.Command(COMMAND, SUMMARY, options, _embed, required=("model", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
