"""The precisions of exported files, and how near to Keras each has to stay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """What an exported file of one precision has to show.

    Attributes:
        name: As the command line and the file's name have it.
        formats: The formats that exist in it.
        most_difference: Largest difference of a probability that is let through;
            `None` where only the classes have to agree.
        least_top1_agreement: Smallest share of pictures with Keras' own first class
            that is let through.
    """

    name: str
    formats: tuple[str, ...]
    most_difference: float | None
    least_top1_agreement: float


PRECISIONS = {
    precision.name: precision
    for precision in (
        # float32 rounds at 6e-8, and a hundred layers in another order of summation
        # add up to some 1e-6.
        Precision("float32", ("saved_model", "tflite"), 1e-4, 1.0),
    )
}
FORMATS = ("saved_model", "tflite")
