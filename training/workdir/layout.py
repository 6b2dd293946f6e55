"""The folder of one run: what lies in it, and whether a run may use it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_convnext import _files
from keras_convnext._messages import UsageError


def _stays_here() -> None:
    """Uploads nothing."""


@dataclass(frozen=True)
class Workdir:
    """Where everything that a run leaves is kept.

    Attributes:
        path: The folder.
        upload: Called after each checkpoint and at the end of a run, it brings what has
            changed to where the folder is kept, if that is elsewhere.
    """

    path: Path
    upload: Callable[[], None] = field(default=_stays_here, compare=False)

    @property
    def recipe(self) -> Path:
        """The resolved recipe and the data it was run on."""
        return self.path / "recipe.json"

    @property
    def labels(self) -> Path:
        """The class names, one a line, in the order of the model's outputs."""
        return self.path / "labels.txt"

    @property
    def preprocessing(self) -> Path:
        """How evaluation treats an image."""
        return self.path / "preprocessing.json"

    @property
    def thresholds(self) -> Path:
        """Above which probability each label applies, where images have several."""
        return self.path / "thresholds.json"

    @property
    def history(self) -> Path:
        """A row for each epoch."""
        return self.path / "history.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / "model.keras"

    @property
    def metrics(self) -> Path:
        """The final figures; written last, so a run with them is finished."""
        return self.path / "metrics.json"

    @property
    def validation(self) -> Path:
        """A row for each validation image, with what the model says of it."""
        return self.path / "validation.csv"

    @property
    def label_errors(self) -> Path:
        """A row for each validation image whose label is probably wrong."""
        return self.path / "label_errors.csv"

    @property
    def classes(self) -> Path:
        """A row for each class of a segmentation, with its figures."""
        return self.path / "classes.csv"

    @property
    def report(self) -> Path:
        """The page that ties it together."""
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        """The folder for TensorBoard, where it was asked for."""
        return self.path / "tensorboard"

    @property
    def images(self) -> Path:
        """The folder of images."""
        return self.path / "pictures"

    @property
    def curves(self) -> Path:
        """Losses and metric over the epochs, drawn."""
        return self.images / "curves.png"

    def finished(self) -> dict[str, Any] | None:
        """Returns the figures of a finished run, or None.

        Raises:
            UsageError: They cannot be read.
        """
        return _read(self.metrics, "holds no figures")

    def stored(self) -> dict[str, Any] | None:
        """Returns the contents of `recipe.json`, None if there is none.

        Raises:
            UsageError: The file cannot be read, or is no recipe.
        """
        return _read(self.recipe, "is no recipe")

    def check_writable(self) -> None:
        """Makes sure that the folder can be made and written, without making it.

        Raises:
            UsageError: It cannot.
        """
        nearest = self.path.absolute()
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise UsageError(
                f"--workdir={self.path} cannot be a folder: {nearest} is a file"
            )
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UsageError(
                f"--workdir={self.path} cannot be written: permission denied"
            )

    def claim(self, identity: dict[str, Any], classes: Sequence[str] = ()) -> None:
        """Makes the folder this run's, or confirms that it is.

        Args:
            identity: The resolved recipe and the data, as JSON values.
            classes: Their names in the order of the labels; none are written down and
                compared where none are given.

        Raises:
            UsageError: Another run lives there, its classes are others, or the folder
                cannot be made.
        """
        self.check_same(identity)
        self._check_classes(classes)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.images.mkdir(exist_ok=True)
            _files.remove_partial(self.path)
            _files.remove_partial(self.images)
            if classes and not (self.recipe.exists() and self.labels.exists()):
                self.write_labels(classes)
            if not self.recipe.exists():
                _files.write_json(self.recipe, identity)
        except OSError as error:
            raise UsageError(
                f"--workdir={self.path} cannot be written: {error.strerror or error}"
            ) from error

    def release(self) -> None:
        """Gives the folder back, where this run has written nothing to resume from.

        A run that cannot begin, because its weights do not fit, say, would otherwise
        stand in the way of the next try.
        """
        if not self.history.exists() and not any(self.checkpoints.glob("*")):
            self.recipe.unlink(missing_ok=True)
            self.labels.unlink(missing_ok=True)
            for folder in (self.checkpoints, self.images, self.path):
                # One that is not there, or holds something of somebody's.
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def write_labels(self, classes: Sequence[str]) -> None:
        """Writes the class names, in the order of the labels."""
        _files.write_text(self.labels, "".join(f"{name}\n" for name in classes))

    def _check_classes(self, classes: Sequence[str]) -> None:
        """Makes sure that a run resumes with the classes that it began with.

        Raises:
            UsageError: It does not; the text names the classes that differ.
        """
        # labels.txt alone is what somebody put there, and no run's.
        if not classes or not self.recipe.is_file() or not self.labels.is_file():
            return
        there = self.labels.read_text(encoding="utf-8").split("\n")[:-1]
        if there == list(classes):
            return
        gone = sorted(set(there) - set(classes))
        new = sorted(set(classes) - set(there))
        differ = (
            f"without {_few(gone)}, with {_few(new)}"
            if gone or new
            else "another order"
        )
        raise UsageError(
            f"the classes are not those that the run in --workdir={self.path} began "
            f"with ({differ}), so that its labels would mean other classes; give the "
            "folders their names back, or take another --workdir"
        )

    def check_same(self, identity: dict[str, Any]) -> None:
        """Makes sure that no other run lives in the folder.

        Args:
            identity: What is known of this run so far, as JSON values.

        Raises:
            UsageError: One does; the text says in which fields it is another.
        """
        there = self.stored()
        if there is None:
            return
        # Through JSON, so that tuples and lists compare as what is in the file.
        wanted = json.loads(json.dumps(identity))
        there = _with_defaults(there)
        unlike = [
            f"{name}={there.get(name)!r} there and {wanted[name]!r} here"
            for name in wanted
            if there.get(name) != wanted[name]
        ]
        if unlike:
            raise UsageError(
                f"--workdir={self.path} holds another run ({'; '.join(unlike[:4])}); "
                "use another --workdir, or the same recipe and data to resume it"
            )


def _few(names: Sequence[str]) -> str:
    shown = [*names[:5], *(["..."] if len(names) > 5 else [])]
    return ", ".join(shown) or "no others"


def _read(file: Path, otherwise: str) -> dict[str, Any] | None:
    """Returns the contents of a JSON file of a run, None if there is none."""
    try:
        if not file.is_file():
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror}); take another --workdir"
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{file} {otherwise}; take another --workdir")
    return found


def _with_defaults(there: dict[str, Any]) -> dict[str, Any]:
    """Returns the contents of `recipe.json`, with defaults for newer fields."""
    # Importing it loads TensorFlow.
    from ..recipes.recipe import DEFAULTS

    younger = {name: value for name, value in DEFAULTS.items() if name not in there}
    filled = {**there, **younger}
    for name, inner in DEFAULTS.items():
        if isinstance(inner, dict) and isinstance(filled[name], dict):
            filled[name] = {**inner, **filled[name]}
    return filled


def identity(recipe: Any, data: str) -> dict[str, Any]:
    """Returns the values that identify a run, as JSON values.

    Args:
        recipe: The resolved `Recipe`.
        data: What `--data` says.
    """
    return {**asdict(recipe), "data": data}
