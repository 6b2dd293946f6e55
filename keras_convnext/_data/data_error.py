"""What is raised where images cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """The data cannot be used; its text says why and what to do."""


class SplitError(DataError):
    """The data cannot be split into training and evaluation; whole they can be used."""


def check_share(validation_share: float) -> None:
    """Makes sure that a share leaves images for training and for validation.

    Args:
        validation_share: Part of the images that validation gets.

    Raises:
        DataError: It does not lie between 0 and 1.
    """
    if not 0 < validation_share < 1:
        raise DataError(
            f"A share of {validation_share} cannot be used for validation; it "
            "must lie between 0 and 1."
        )
