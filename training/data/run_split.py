"""Which images a model is evaluated on: the validation images of its own run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_convnext._files import legible
from keras_convnext._messages import UsageError, checked, say

if TYPE_CHECKING:
    from .source import Source

# What a model may be evaluated on.
SPLITS = ("validation", "train", "test", "all")
_RECIPE = "recipe.json"
# WORKDIR/export/saved_model/1 is as deep as anything of a run lies.
_LEVELS = 4
_DEFAULTS = {"validation_share": 0.2, "seed": 0}


@dataclass(frozen=True)
class RunSplit:
    """How a run split its data.

    Attributes:
        file: The `recipe.json` that says so.
        fields: What it holds.
    """

    file: Path
    fields: dict[str, Any]

    @property
    def data(self) -> str:
        """What `--data` said in training; empty where the file does not say."""
        return str(self.fields.get("data", ""))

    @property
    def fold(self) -> tuple[int, int] | None:
        """The fold that was for validation, and how many there were; None for none."""
        fold, folds = self.fields.get("fold"), self.fields.get("folds")
        return (fold, folds) if fold and folds else None


@dataclass(frozen=True)
class Choice:
    """The split that a model is evaluated on.

    Attributes:
        split: One of `SPLITS`.
        validation_share: Share of the data that was drawn as validation images.
        seed: Of that draw.
        run: What the model's own run did; None where nobody knows.
        differs: Flags that are not as in that run, in words.
        fold: The fold that is for validation, from 1, and how many there are; None
            where share and seed say it.
    """

    split: str
    validation_share: float
    seed: int
    run: RunSplit | None
    differs: tuple[str, ...] = ()
    fold: tuple[int, int] | None = None


def read(model: str) -> RunSplit | None:
    """Returns how the run of a model split its data; None where no file says so.

    Args:
        model: The model's file or folder, in the workdir or in an export below it.
    """
    for folder in _folders(Path(model)):
        file = folder / _RECIPE
        if not file.is_file():
            continue
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if isinstance(fields, dict) and fields.keys() >= _DEFAULTS.keys():
            return RunSplit(file, fields)
    return None


def _folders(model: Path) -> Iterator[Path]:
    if model.exists():
        path = model.absolute()
        yield from ([path] if path.is_dir() else [])
        yield from list(path.parents)[:_LEVELS]


def choose(
    split: str,
    validation_share: float | None,
    seed: int | None,
    run: RunSplit | None,
) -> Choice:
    """Returns which images to evaluate on; what is given wins over what the run did.

    Args:
        split: What `--split` says.
        validation_share: What its flag says; 1 is `--split=all`; None if not given.
        seed: What its flag says; None if not given.
        run: From `read`.

    Raises:
        UsageError: The share leaves nothing to evaluate on.
    """
    if validation_share == 1 and split == "validation":
        split, validation_share = "all", None
    if validation_share is not None and not 0 < validation_share < 1:
        raise UsageError(
            f"--validation_share={validation_share:g} must lie between 0 and 1, or be "
            "1 to evaluate every image"
        )
    known = run.fields if run else _DEFAULTS
    given = {"validation_share": validation_share, "seed": seed}
    values: dict[str, Any] = {
        name: known[name] if value is None else value for name, value in given.items()
    }
    differs = tuple(
        f"--{name}={value:g} where the run had {known[name]:g}"
        for name, value in values.items()
        if run and value != known[name]
    )
    return Choice(split, run=run, differs=differs, **values)


def load_and_tell(
    reader: Callable[..., Source],
    model: Any,
    spec: str,
    choice: Choice,
    skip_bad_images: bool,
) -> Any:
    """Returns the data that a model is asked about, and tells which images these are.

    Args:
        reader: Of a kind of data, such as `data.load`.
        model: The model, whose preprocessing the images get.
        spec: What `--data` says.
        choice: From `choose`.
        skip_bad_images: Whether unreadable images are left out.

    Raises:
        UsageError: The data cannot be used.
    """
    source = load(reader, spec, choice, model.preprocessing, skip_bad_images)
    for line in (*source.notices, *words(choice, source, spec)):
        say(line)
    return source


def load(
    reader: Callable[..., Source],
    spec: str,
    choice: Choice,
    preprocessing: Any,
    skip_bad_images: bool,
) -> Any:
    """Returns the data whose validation images are those of a split.

    Args:
        reader: Of a kind of data, such as `data.load`.
        spec: What `--data` says.
        choice: From `choose`.
        preprocessing: Of the model that is to see them.
        skip_bad_images: Whether unreadable images are left out.

    Raises:
        UsageError: The data cannot be used.
    """
    from keras_convnext._data.data_error import SplitError

    # Readers of other data than labeled images know of no folds.
    divided = dict(zip(("fold", "folds"), choice.fold or (), strict=False))
    try:
        return checked(
            reader,
            spec,
            size_px=preprocessing.size_px,
            validation_share=choice.validation_share,
            seed=choice.seed,
            skip_bad_images=skip_bad_images,
            preprocessing=preprocessing,
            split=choice.split,
            **divided,
        )
    except UsageError as mistake:
        if isinstance(mistake.__cause__, SplitError):
            raise UsageError(
                f"{mistake} --split=all evaluates every image."
            ) from mistake
        raise


def read_flags(chosen: Any, split: str) -> tuple[str, Choice]:
    """Returns what data the flags of a command name, and which of its images.

    Args:
        chosen: The flags: model, data, validation_share, seed.
        split: One of `SPLITS`.

    Raises:
        UsageError: There are no data, neither named nor of the model's run.
    """
    run = read(chosen.model)
    spec: str = chosen.data or (run.data if run else "")
    if not spec:
        raise UsageError("--data must be given; --help shows how")
    if legible(spec) != spec:
        raise UsageError(f"--data={legible(spec)} is not UTF-8; rename it")
    choice = choose(split, chosen.validation_share, chosen.seed, run)
    if run and spec == run.data and chosen.validation_share is None:
        choice = replace(choice, fold=run.fold)
    return spec, choice


def words(choice: Choice, source: Source, data: str) -> list[str]:
    """Returns lines about the images that are used.

    Args:
        choice: From `choose`.
        source: What was loaded by it.
        data: What `--data` says.
    """
    if choice.split in ("test", "all") or not source.drawn:
        return []
    what, total = "training", ""
    if choice.split == "validation":
        what = "validation"
        total = f" of {source.train_examples + source.validation_examples:,}"
    drawn = f"drawn by seed {choice.seed} and share {choice.validation_share:g}"
    if choice.fold:
        drawn = f"fold {choice.fold[0]} of {choice.fold[1]} by seed {choice.seed}"
    said = [
        f"the {what} split: {source.validation_examples:,}{total} images, {drawn}"
        f"{_origin(choice)}; --split=all evaluates every image"
    ]
    if choice.differs:
        said.append(
            f"{' and '.join(choice.differs)}: images that the model was trained on may "
            "be among them"
        )
    elif choice.run and choice.split == "validation":
        said += _changed_data(choice.run, source, data)
    return said


def _origin(choice: Choice) -> str:
    if choice.differs:
        return ""
    if choice.run:
        return f" as in {_shown(choice.run.file)}"
    return " (no recipe.json beside the model says how its run split them)"


def _changed_data(run: RunSplit, source: Source, data: str) -> list[str]:
    """Returns a line where the data are no longer as the run split them."""
    then = [run.fields.get(name, 0) for name in ("train_examples", "eval_examples")]
    now = [source.train_examples, source.validation_examples]
    if then in (now, [0, 0]):
        return []
    if run.data != data:
        return [f"the run was trained on {run.data}, not on {data}"]
    return [
        f"the data had {sum(then):,} images when the run began and have "
        f"{sum(now):,} now: the split is another one, and images that the "
        "model was trained on may be among them"
    ]


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
