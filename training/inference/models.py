"""The model that a command's flags name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_convnext
from keras_convnext._messages import UsageError, checked, note
from keras_convnext.inference._load import Answering
from keras_convnext.inference.classifier import Classifier
from keras_convnext.inference.loaded_model import (
    WITHOUT_CLASSES,
    LoadedModel,
    load_model_file,
)
from keras_convnext.inference.sidecars import read_task


def open_model(chosen: Any, command: str) -> Answering:
    """Returns the model; what was taken for granted about it goes to stderr.

    Args:
        chosen: The command's flags: model, output, normalization.
        command: What the command is called in messages.

    Raises:
        UsageError: There is no such model, or what it expects and says stays open.
    """
    try:
        model = keras_convnext.load(
            chosen.model, output=chosen.output, normalization=chosen.normalization
        )
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    for notice in model.notices:
        note(command, notice)
    return model


def open_network(chosen: Any, command: str) -> Classifier | LoadedModel:
    """Returns a classifier, or a network of features, which has no classes.

    Such a network is what a pre-training run leaves, or a file that the person says
    gives features.

    Args:
        chosen: The command's flags: model, output, normalization.
        command: What the command is called in messages.

    Raises:
        UsageError: As for `open_classifier`.
    """
    file = Path(chosen.model).expanduser()
    if file.is_dir():
        file = file / "model.keras"
    is_encoder = chosen.output == "features" or read_task(file) in WITHOUT_CLASSES
    if file.is_file() and is_encoder:
        loaded = checked(
            load_model_file,
            file,
            output=chosen.output,
            normalization=chosen.normalization,
        )
        for notice in loaded.notices:
            note(command, notice)
        return loaded
    return open_classifier(chosen, command)


def open_classifier(chosen: Any, command: str) -> Classifier:
    """Returns the model, for a command of classifiers alone.

    Args:
        chosen: The command's flags: model, output, normalization.
        command: What the command is called in messages.

    Raises:
        UsageError: It is no classifier, or as for `open_model`.
    """
    return require_classifier(open_model(chosen, command), command)


def require_classifier(model: Answering, command: str) -> Classifier:
    """Returns the model, which is one of classes.

    Args:
        model: From `open_model`.
        command: What the command is called in messages.

    Raises:
        UsageError: It is no classifier.
    """
    if not isinstance(model, Classifier):
        finds = {
            "label_map": "labels pixels",
            "objects": "finds objects",
            "number": "gives a number",
        }
        raise UsageError(
            f"--model={model.name} {finds[model.meaning.kind]}, and {command} is for "
            "classifiers"
        )
    return model
