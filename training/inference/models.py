"""The model that a command's flags name."""

from __future__ import annotations

import sys
from typing import Any

import keras_convnext
from keras_convnext.inference.classifier import Classifier

from ..console import Mistake


def open_model(chosen: Any, command: str) -> Classifier:
    """Returns the model; what was taken for granted about it goes to stderr.

    Args:
        chosen: The command's flags: model, output, normalization.
        command: What the command is called in messages.

    Raises:
        Mistake: There is no such model, or what it expects and says stays open.
    """
    try:
        model = keras_convnext.load(
            chosen.model, output=chosen.output, normalization=chosen.normalization
        )
    except (OSError, ValueError) as error:
        raise Mistake(str(error)) from error
    for notice in model.notices:
        print(f"{command}: {notice}", file=sys.stderr, flush=True)
    return model
