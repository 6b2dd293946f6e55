"""What a load did, as a value and as text."""

from __future__ import annotations

from dataclasses import dataclass

from keras_convnext.preprocessing import Preprocessing


@dataclass(frozen=True)
class Report:
    """What was loaded, and what was not.

    Attributes:
        source: The name or path that was asked for.
        path: The file it came from.
        kind: The file's format.
        dialect: Whose names it uses.
        tensors: How many tensors went into the model.
        parameters: How many numbers those are.
        kept: Variables of the model that stay as they were built.
        dropped: Tensors of the file that the model has no use for.
        notes: What a person should know.
        labels: Class names that lie beside the file, in the order of its outputs.
        preprocessing: How the weights expect images to be prepared; None if nothing
            says so.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> path = keras_convnext.save_weights_as(model, "mine.npz", "meta")
        >>> report = keras_convnext.load_weights(model, path)
        >>> report.kind, report.dialect, report.kept
        ('numpy archive', 'meta', ())
    """

    source: str
    path: str
    kind: str
    dialect: str
    tensors: int
    parameters: int
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {self.tensors} tensors, {self.parameters:,} parameters "
            f"({self.kind}, {self.dialect} names)"
        ]
        if self.kept:
            lines.append(f"as built: {', '.join(self.kept)}")
        if self.dropped:
            lines.append(f"not needed: {', '.join(self.dropped)}")
        return "\n".join([*lines, *self.notes])
