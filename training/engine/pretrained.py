"""The weights that a run starts from: which, whether they fit, and how they see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_convnext import weights
from keras_convnext._messages import UsageError, checked
from keras_convnext.detection import box_heads, fpn
from keras_convnext.detection import checkpoints as detectors
from keras_convnext.inference.sidecars import PREPROCESSING, read_preprocessing
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.segmentation import checkpoints as upernets
from keras_convnext.segmentation import heads
from keras_convnext.weights.fetch import describe_manual_fetch
from keras_convnext.weights.fetch import fetch as fetch_file

from ..data.source import Source
from ..recipes import starting_weights
from ..recipes.recipe import Recipe
from ..recipes.task_fields import fields_of_other_tasks
from . import own_weights, teacher

_WEIGHTS = "weights="


def with_weights(
    asked: list[str], named: str | None, recipe: Recipe | None
) -> list[str]:
    """Returns the changes of a recipe with what its weights bring along before them.

    A network of another task brings its backbone alone.

    Args:
        asked: What `--set` says. A last "weights=" in it counts like `--weights`, and
            before it.
        named: What `--weights` says.
        recipe: Before the changes; None where there is no such recipe.

    Raises:
        ValueError: The weights are a folder without a model.
    """
    others = [change for change in asked if not change.startswith(_WEIGHTS)]
    said = [change.removeprefix(_WEIGHTS) for change in asked if change not in others]
    named = [named, *said][-1]
    if not named:
        return asked
    brought = changes(named, recipe.variant if recipe else "")
    foreign = fields_of_other_tasks(recipe.task) if recipe else {}
    own = [change for change in brought if change.partition("=")[0] not in foreign]
    return [*own, *others]


def changes(named: str, variant: str = "") -> list[str]:
    """Returns the recipe fields that `--weights` changes, as `--set` takes them.

    Args:
        named: A published checkpoint, or a file or workdir of one's own, which bring
            their variant along; or "imagenet" or a tag for the recipe's own variant.
        variant: The recipe's.
    """
    if named in weights.list_weights():
        return [f"variant={weights.find(named).variant}", f"weights={named}"]
    if named in upernets.records():
        variant = upernets.find(named).weights.variant
        width = f"head_channels={heads.CHANNELS}"
        return [f"variant={variant}", f"weights={named}", width]
    if named in detectors.records():
        variant = detectors.find(named).weights.variant
        return [
            f"variant={variant}",
            f"weights={named}",
            f"detector={named.partition('_convnext')[0]}",
            f"pyramid_channels={fpn.CHANNELS}",
            f"head_units={box_heads.UNITS}",
        ]
    file = own_weights.file_of(named)
    if file is None:
        return [f"weights={named}"]
    return [*own_weights.changes(file, variant), f"weights={file}"]


def check(recipe: Recipe) -> None:
    """Makes sure that there are such weights, without fetching or reading them.

    Raises:
        ValueError: There are none, or no such teacher.
    """
    starting_weights.resolve(recipe)
    teacher.check(recipe)


def fetch(recipe: Recipe) -> None:
    """Fetches the recipe's weights where they are not on this machine yet.

    Raises:
        UsageError: They cannot be had.
    """
    found = starting_weights.resolve(recipe)
    if not isinstance(found, weights.PretrainedWeights):
        return
    try:
        fetch_file(found)
    except OSError as error:
        raise UsageError(
            f"the weights {found.name} cannot be fetched: {error} "
            f"{describe_manual_fetch(found, '--weights')}"
        ) from error


def match_preprocessing(source: Source, recipe: Recipe) -> Source:
    """Returns the data with their images made as the weights are used to.

    Mean and deviation are the weights' own. The crop is theirs too where they are for
    the same size and the data are photographs, not images that were made small.

    Args:
        source: The data.
        recipe: Whose weights; a file's are read from the preprocessing.json beside
            it, where there is one. Its `evaluation_crop` has the last word.
    """
    seen = source.preprocessing
    used_to = _used_to(recipe)
    if used_to is not None:
        seen = replace(seen, mean=used_to.mean, std=used_to.std)
        if used_to.size_px == seen.size_px and seen.crop_fraction < 1:
            seen = used_to
    if recipe.evaluation_crop is not None:
        seen = replace(seen, crop_mode=recipe.evaluation_crop)
    if seen.crop_mode == "squash":
        seen = replace(seen, crop_fraction=1.0)
    return (
        source if seen == source.preprocessing else replace(source, preprocessing=seen)
    )


def _used_to(recipe: Recipe) -> Preprocessing | None:
    """Returns how the recipe's weights are used to see images; None if unknown."""
    found = starting_weights.resolve(recipe)
    if isinstance(found, weights.PretrainedWeights):
        return found.preprocessing
    if not isinstance(found, Path):
        return None
    record = found.parent / PREPROCESSING
    return checked(read_preprocessing, record) if record.is_file() else None
