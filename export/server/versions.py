"""Which versions of which models there are, and who is using them.

A request holds a version from the moment it has chosen it until it has its answer, and
a version leaves the memory only when nobody holds it. A new version is chosen from the
moment on that it has been loaded and has answered its warm-up requests; the old one is
told to leave after that. So there is no moment without a version, and no request whose
version goes away under it.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import version_folders
from . import errors
from .errors import Code, Refusal, invalid
from .servable import Servable


class State(enum.IntEnum):
    """Where a version is in its life; the numbers are those of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class ModelConfig:
    """A model that is to be served.

    Attributes:
        name: What clients call it.
        base_path: Holds a subfolder a version, named by its number.
        newest: How many of the newest versions are served; 0 for all.
        specific: If any: these versions and no others.
        labels: Version numbers by label.
    """

    name: str
    base_path: Path
    newest: int = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)

    def wanted(self) -> dict[int, Path]:
        """Returns the versions that exist and are to be served, ascending."""
        found = version_folders.find(self.base_path)
        if self.specific:
            return {n: path for n, path in found.items() if n in self.specific}
        # All of them where `newest` is 0.
        return dict(list(found.items())[-self.newest :])


@dataclass
class Version:
    """A version and what is known of it."""

    number: int
    folder: Path
    state: State = State.START
    error: Refusal | None = None
    servable: Servable | None = None
    users: int = 0
    # What the folder looked like when loading it failed.
    failed_with: tuple | None = None


@dataclass(frozen=True)
class Handle:
    """A version that stays in memory while it is held."""

    model: str
    number: int
    servable: Servable


@dataclass(frozen=True)
class Status:
    """What GetModelStatus tells of a version."""

    number: int
    state: State
    code: Code
    message: str


def _look_of(folder: Path) -> tuple:
    """Returns something that changes when a folder's files do."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    stats = [path.stat() for path in files]
    return (
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    )


class Models:
    """The models that are served."""

    def __init__(
        self,
        load: Callable[[Path], Servable],
        say: Callable[[str], None] = lambda line: None,
    ):
        """Makes an empty set.

        Args:
            load: Reads a version's folder.
            say: Is told when a version comes and goes.
        """
        self._load = load
        self._say = say
        self._changed = threading.Condition()
        # One at a time changes what is served.
        self._reconciling = threading.Lock()
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {}

    @property
    def configs(self) -> list[ModelConfig]:
        """The models that are to be served."""
        return list(self._configs.values())

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Makes these the models that are served, and loads what is missing.

        Args:
            configs: The models; others that were served before are unloaded.

        Raises:
            Refusal: A label that is in use would move to a version that cannot answer;
                all stays as it was.
        """
        wanted = {config.name: config for config in configs}
        with self._reconciling:
            with self._changed:
                for config in wanted.values():
                    self._require_labels(config)
                self._configs = wanted
            self._reconcile_all()

    def _require_labels(self, config: ModelConfig) -> None:
        """Checks that labels in use stay with versions that answer."""
        before = self._configs.get(config.name)
        versions = self._versions.get(config.name, {})
        for label, number in config.labels.items():
            moves = before is not None and before.labels.get(label, number) != number
            version = versions.get(number)
            if moves and (version is None or version.state is not State.AVAILABLE):
                raise Refusal(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model "
                    f"{config.name}, which is not currently available for inference",
                )

    def reconcile(self) -> None:
        """Loads versions that have appeared and unloads those that are to go."""
        with self._reconciling:
            self._reconcile_all()

    def _reconcile_all(self) -> None:
        for config in self._configs.values():
            self._reconcile(config)
        for name in set(self._versions) - set(self._configs):
            self._unload(name, list(self._versions[name].values()))

    def _reconcile(self, config: ModelConfig) -> None:
        wanted = config.wanted()
        if not wanted:
            # A base path that is gone for a moment is no reason to stop answering.
            return
        with self._changed:
            known = self._versions.setdefault(config.name, {})
        for number, folder in wanted.items():
            version = known.get(number)
            if (
                version is None
                or version.state is State.END
                or version.folder != folder
            ):
                self._try(config.name, folder, known, number)
        if any(known[number].state is State.AVAILABLE for number in wanted):
            leaving = [v for number, v in known.items() if number not in wanted]
            self._unload(config.name, leaving)

    def _try(
        self, name: str, folder: Path, known: dict[int, Version], number: int
    ) -> None:
        """Loads a version, unless it failed and has not changed since."""
        look = _look_of(folder)
        before = known.get(number)
        if before is not None and before.failed_with == look:
            return
        version = Version(number, folder, State.LOADING)
        # One that lies elsewhere answers until this one can.
        stays = before is not None and before.state is State.AVAILABLE
        if not stays:
            with self._changed:
                known[number] = version
        try:
            servable = self._load(folder)
        except Exception as error:
            refusal = errors.of(error)
            with self._changed:
                version.state = State.END
                version.error = refusal
                known[number].failed_with = look
            self._say(f"{name} version {number} failed: {refusal}")
            return
        with self._changed:
            version.servable = servable
            version.state = State.AVAILABLE
            known[number] = version
        self._say(f"{name} version {number} is served")
        if stays and before is not None:
            self._unload(name, [before])

    def _unload(self, name: str, leaving: list[Version]) -> None:
        """Lets versions go as soon as nobody holds them."""
        for version in leaving:
            with self._changed:
                if version.state is not State.AVAILABLE:
                    continue
                version.state = State.UNLOADING
                while version.users:
                    self._changed.wait()
                version.servable = None
                version.state = State.END
            # A SavedModel is full of cycles.
            gc.collect()
            self._say(f"{name} version {version.number} was unloaded")

    def names(self) -> list[str]:
        """Returns the names of the models that have a version to answer with."""
        with self._changed:
            return sorted(
                name
                for name, versions in self._versions.items()
                if any(v.state is State.AVAILABLE for v in versions.values())
            )

    @contextlib.contextmanager
    def held(
        self, name: str, number: int | None = None, label: str = ""
    ) -> Iterator[Handle]:
        """Holds a version while the body runs.

        Args:
            name: The model.
            number: The version; the newest if `None` and there is no label.
            label: The version's label instead of its number.

        Yields:
            The version.

        Raises:
            Refusal: There is no such model, version or label.
        """
        with self._changed:
            version = self._find(name, number, label)
            assert version.servable is not None
            version.users += 1
            handle = Handle(name, version.number, version.servable)
        try:
            yield handle
        finally:
            with self._changed:
                version.users -= 1
                self._changed.notify_all()

    def _number(self, name: str, number: int | None, label: str) -> int | None:
        if not label:
            return number
        config = self._configs.get(name)
        if config is None or label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return config.labels[label]

    def _find(self, name: str, number: int | None, label: str) -> Version:
        if not name:
            raise invalid("ModelSpec has no name specified.")
        number = self._number(name, number, label)
        versions = self._versions.get(name, {})
        available = {n: v for n, v in versions.items() if v.state is State.AVAILABLE}
        chosen = max(available, default=None) if number is None else number
        if chosen is None or chosen not in available:
            request = (
                f"Latest({name})" if number is None else f"Specific({name}, {number})"
            )
            raise Refusal(Code.NOT_FOUND, f"Servable not found for request: {request}")
        return available[chosen]

    def status(
        self, name: str, number: int | None = None, label: str = ""
    ) -> list[Status]:
        """Returns the state of one version of a model, or of all, the newest first.

        Raises:
            Refusal: There is no such model, version or label.
        """
        with self._changed:
            number = self._number(name, number, label)
            versions = self._versions.get(name, {})
            if number is not None and number not in versions:
                raise Refusal(
                    Code.NOT_FOUND, f"Could not find version {number} of model {name}"
                )
            if not versions:
                raise Refusal(
                    Code.NOT_FOUND, f"Could not find any versions of model {name}"
                )
            return [
                Status(
                    version.number,
                    version.state,
                    version.error.code if version.error else Code.OK,
                    str(version.error or ""),
                )
                for version in sorted(versions.values(), key=lambda v: -v.number)
                if number in (None, version.number)
            ]

    def failures(self) -> list[str]:
        """Returns a line for each model that cannot answer, empty when all can."""
        able = self.names()
        lines = []
        for name, config in self._configs.items():
            if name not in able:
                known = self._versions.get(name, {}).values()
                reasons = [f"version {v.number}: {v.error}" for v in known if v.error]
                said = "; ".join(reasons) or "no version (a folder called 1, 2, ...)"
                lines.append(f"{name} in {config.base_path}: {said}")
        return lines
