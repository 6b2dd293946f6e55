"""Checkpoints: everything the next step depends on, in one file each."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext import _files
from keras_convnext._messages import UsageError

_POSITION = "position.json"
SUFFIX = ".ckpt"
# Totals of an unfinished epoch, as checkpoints before 0.2 name them.
_RENAMED = {"correct": "accuracy"}


@dataclass(frozen=True)
class TrainProgress:
    """Where in a run a checkpoint was written.

    Attributes:
        epoch: The epoch that goes on next, from 0.
        batch: The batch of that epoch that comes next, from 0.
        step: Steps taken since the start of the run.
        totals: What has been summed up so far in an unfinished epoch.
        seconds: Time spent on the run so far, over all sessions.
        score: The validation accuracy of these weights; None within an
            epoch.
        learning_rate: What a callback has set in place of the schedule, or None.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    score: float | None = None
    learning_rate: float | None = None


class Checkpoints:
    """The checkpoints of one run: the newest few and the best.

    A checkpoint is a zip file of numpy arrays, readable with `numpy.load`. It
    carries check sums, and gets its name only when all of it is on the disk.

    Args:
        folder: Where they lie.
        variables: What is kept, by a name that is the same in every process.
        keep: How many of the newest stay.
    """

    def __init__(self, folder: Path, variables: Mapping[str, Any], keep: int) -> None:
        self.folder = folder
        self.variables = dict(variables)
        self.keep = keep

    def tidy(self) -> None:
        """Makes the folder, and removes what a killed process left half-written."""
        self.folder.mkdir(exist_ok=True)
        _files.remove_partial(self.folder)

    def save(self, progress: TrainProgress) -> Path:
        """Writes a checkpoint and removes the ones that are no longer wanted.

        Raises:
            UsageError: The disk is full or will not be written to. The checkpoints
                that are there stay.
        """
        path = self.folder / f"step-{progress.step:09d}{SUFFIX}"
        try:
            with _files.replacing(path) as partial:
                self._write(partial, progress)
        except OSError as error:
            raise UsageError(
                f"cannot write the checkpoint {path} ({error.strerror or error}); once "
                f"there is room, {self.resume_hint()}"
            ) from error
        self._remove_unwanted()
        return path

    def _write(self, path: Path, progress: TrainProgress) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(_POSITION, json.dumps(asdict(progress)))
            for name, variable in self.variables.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, variable.numpy())

    def restore(self) -> tuple[TrainProgress, list[str]] | None:
        """Puts the newest whole checkpoint back into the variables.

        Returns:
            Where the run was, and a line for each damaged checkpoint that was
            passed over; None where there is no whole checkpoint.

        Raises:
            UsageError: A checkpoint is whole but of another model.
        """
        damaged: list[str] = []
        for path in self._newest_first():
            try:
                progress, arrays = self._read(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                damaged.append(f"{path} is damaged ({error}) and was passed over")
                continue
            self._assign(path, arrays)
            return progress, damaged
        return None

    def _read(self, path: Path) -> tuple[TrainProgress, dict[str, np.ndarray]]:
        with zipfile.ZipFile(path) as archive:
            progress = _position(archive)
            arrays = {}
            for member in archive.namelist():
                if member != _POSITION:
                    with archive.open(member) as file:
                        array = np.lib.format.read_array(file)
                        # Reading to the end is what makes zipfile compare sums.
                        file.read()
                    arrays[member.removesuffix(".npy")] = array
        return progress, arrays

    def _assign(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        unlike = set(arrays) ^ set(self.variables)
        unlike |= {
            name
            for name, variable in self.variables.items()
            if name in arrays and tuple(variable.shape) != arrays[name].shape
        }
        if unlike:
            raise UsageError(
                f"{path} is of another model: {', '.join(sorted(unlike)[:3])} "
                f"and {max(len(unlike) - 3, 0)} more do not match"
            )
        for name, variable in self.variables.items():
            variable.assign(arrays[name])

    def put_back(self, path: Path) -> TrainProgress:
        """Puts one checkpoint back into the variables.

        Returns:
            Where the run was when it was written.

        Raises:
            UsageError: It is damaged, or of another model.
        """
        try:
            progress, arrays = self._read(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path} is damaged ({error})") from error
        self._assign(path, arrays)
        return progress

    def _newest_first(self) -> Iterator[Path]:
        yield from sorted(self.folder.glob(f"step-*{SUFFIX}"), reverse=True)

    def newest(self) -> Path | None:
        """Returns the newest checkpoint, None where there is none."""
        return next(self._newest_first(), None)

    def resume_hint(self) -> str:
        """Returns in words how to continue the run."""
        newest = self.newest()
        if newest:
            return f"run the same command to resume from {newest}"
        return "run the same command to start again"

    def not_a_number(self, what: str) -> UsageError:
        """Returns the word on a loss or a gradient that is no number any more.

        Args:
            what: Which, and where in the run.
        """
        newest = self.newest()
        kept = f"{newest} is from before" if newest else "there is no checkpoint yet"
        return UsageError(
            f"{what}; {kept}. Try a lower peak_lr, a longer warmup_epochs or "
            "clip_norm=1 in a new --workdir"
        )

    def best(self) -> Path | None:
        """Returns the checkpoint with the highest score, the earliest of equals."""
        scores = {path: _score(path) for path in self._newest_first()}
        best = max(scores.values(), default=-math.inf)
        if best == -math.inf:
            return None
        return min(path for path, score in scores.items() if score == best)

    def best_epoch(self) -> int | None:
        """Returns how many epochs were done at the best one's end; None for none."""
        best = self.best()
        if best is None:
            return None
        with zipfile.ZipFile(best) as archive:
            return _position(archive).epoch

    def _remove_unwanted(self) -> None:
        best = self.best()
        for path in list(self._newest_first())[self.keep :]:
            if path != best:
                path.unlink(missing_ok=True)


def _position(archive: zipfile.ZipFile) -> TrainProgress:
    progress = TrainProgress(**json.loads(archive.read(_POSITION)))
    totals = {_RENAMED.get(name, name): n for name, n in progress.totals.items()}
    return replace(progress, totals=totals)


def _score(path: Path) -> float:
    """Returns a checkpoint's score; the lowest there is where it has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            score = _position(archive).score
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return -math.inf
    return -math.inf if score is None else score
