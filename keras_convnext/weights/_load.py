"""Puts the tensors of a file into a model: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

import keras
import numpy as np

from keras_convnext.nested_layers import layers_by_name
from keras_convnext.preprocessing import IMAGENET, Preprocessing
from keras_convnext.weights.assign import are_finite, assign_all
from keras_convnext.weights.convnext_layers import (
    check_lora,
    convnext_layers,
    is_norm_first,
    variables_of,
)
from keras_convnext.weights.dialects import detect_naming, tables_for
from keras_convnext.weights.dialects.keras3_weights_h5 import match_own
from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.dialects.table import Match
from keras_convnext.weights.errors import BadWeightsFileError, WeightsMismatchError
from keras_convnext.weights.fetch import fetch
from keras_convnext.weights.input_channels import adapt_channels
from keras_convnext.weights.layouts import kind_of
from keras_convnext.weights.plan import Plan, make_plan
from keras_convnext.weights.pretrained import PretrainedWeights
from keras_convnext.weights.readers import open_tensors
from keras_convnext.weights.readers.keras_archive import snake_case
from keras_convnext.weights.registry import locate
from keras_convnext.weights.report import Report
from keras_convnext.weights.side_files import SideFiles, read_side_files
from keras_convnext.weights.tensor_file import TensorFile
from keras_convnext.weights.user_warning import warn_user

_STEM = "stem_conv/kernel"


def load(
    model: keras.Model, source: PretrainedWeights | str | os.PathLike[str]
) -> Report:
    """Loads published weights, or a file of your own, into a model.

    Nothing is changed unless everything fits: names and shapes are compared, and
    the numbers read through once, before the first variable is assigned. Tensors
    are read one at a time.

    Args:
        model: A model of this library, or one that contains one.
        source: "arch.tag" (`list_weights()` has them), a record, or the path of a
            .safetensors, .pth, .pt, .h5, .weights.h5, .keras or .npz file.

    Returns:
        What was loaded, under whose names, and what stayed as it was built.

    Raises:
        BadWeightsFileError: The file cannot be read, or holds NaN or infinity.
        WeightsMismatchError: The file is not this model's; the message lists every
            missing, unexpected and misshapen tensor.
        DownloadError: The weights could not be fetched.
        ValueError: There are no weights of that name.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> path = keras_convnext.save_weights_as(model, "mine.safetensors", "timm")
        >>> keras_convnext.load_weights(model, path).dialect
        'timm'
    """
    layers = convnext_layers(model, "load_weights")
    check_lora(layers)
    variables = variables_of(layers)
    found = locate(source)
    path = fetch(found) if isinstance(found, PretrainedWeights) else found
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    with open_tensors(path) as file:
        kinds = [(each.name, snake_case(type(each).__name__)) for each in model.layers]
        match = match_own(kinds, shapes, file.tensors)
        match = match or detect_naming(file.tensors, tables_for(layers))
        plan = make_plan(file, match, shapes)
        _check_head(file, match, is_norm_first(model))
        check_numbers(file, match, plan.assign)
        plan.notes += _untrained_norm_notes(file, plan)
        _assign(file, plan, variables)
    name = found.name if isinstance(found, PretrainedWeights) else str(source)
    beside = (
        SideFiles() if isinstance(found, PretrainedWeights) else read_side_files(found)
    )
    expected = (
        found.preprocessing
        if isinstance(found, PretrainedWeights)
        else beside.preprocessing
    )
    if expected is not None:
        plan.notes += _normalization_notes(model, name, expected)
    for note in plan.notes:
        warn_user(note)
    assigned = [*plan.assign, *plan.zero]
    return Report(
        source=name,
        path=str(path),
        kind=file.kind,
        dialect=match.table.dialect,
        tensors=len(plan.assign),
        parameters=sum(int(np.prod(shapes[name])) for name in assigned),
        kept=tuple(plan.kept),
        dropped=tuple(plan.dropped),
        notes=tuple(plan.notes),
        labels=beside.labels,
        preprocessing=expected,
    )


def read_ours(file: TensorFile, match: Match, ours: str) -> np.ndarray:
    """Returns one tensor of a file in this library's layout."""
    tensor = file.read(match.found[ours])
    return match.table.layout.read(kind_of(ours), tensor)


def check_numbers(file: TensorFile, match: Match, names: Collection[str]) -> None:
    """Reads tensors through once, so that damage shows before anything is done.

    Args:
        file: The open file.
        match: Which tensor is which.
        names: Our names of those that are wanted.

    Raises:
        BadWeightsFileError: One cannot be read, or holds NaN or infinity.
    """
    tensors = (file.read(match.found[ours]) for ours in names)
    for ours, sound in zip(names, are_finite(tensors), strict=True):
        if not sound:
            raise BadWeightsFileError(
                f"{file.path}: {match.found[ours]} holds numbers that are not finite "
                "(NaN or infinity); the file is damaged or its training failed."
            )


def _check_head(file: TensorFile, match: Match, norm_first: bool | None) -> None:
    """Refuses numbers that would fit, and mean another network."""
    is_told = "head_norm/gamma" in match.found and match.table.dialect != NATIVE.dialect
    if norm_first is None or not is_told or match.table.norm_first == norm_first:
        return
    places = ("behind", "before")
    raise WeightsMismatchError(
        f"{file.path} does not fit the model: its last norm stands "
        f"{places[match.table.norm_first]} the pooling and the model's "
        f"{places[norm_first]} it; only convnext_tiny_hnf has it before."
    )


def _untrained_norm_notes(file: TensorFile, plan: Plan) -> list[str]:
    """Recognizes the files that keras.applications hosts for `include_top=False`."""
    initial = {"head_norm/gamma": 1.0, "head_norm/beta": 0.0}
    if not set(initial) <= set(plan.assign) or "head_dense/kernel" in plan.match.found:
        return []
    if not all(
        np.all(file.read(plan.match.found[ours]) == value)
        for ours, value in initial.items()
    ):
        return []
    return [
        "The weights' last norm was never trained (all ones and zeros). "
        'keras.applications\' "notop" files are like that; its files with the top hold '
        'the trained one and load without the top too: weights="imagenet" does so.'
    ]


def _assign(
    file: TensorFile, plan: Plan, variables: Mapping[str, keras.Variable]
) -> None:
    def tensor_of(ours: str) -> np.ndarray:
        tensor = read_ours(file, plan.match, ours)
        if plan.adapt_stem and ours == _STEM:
            return adapt_channels(tensor, variables[ours].shape[2])
        return tensor

    assign_all(
        [variables[ours] for ours in plan.assign],
        (tensor_of(ours) for ours in plan.assign),
    )
    for ours in plan.zero:
        variables[ours].assign(np.zeros(variables[ours].shape, variables[ours].dtype))


def _normalization_notes(
    model: keras.Model, name: str, expected: Preprocessing
) -> list[str]:
    """Says where a model does not normalize images as the weights expect it."""
    layer = layers_by_name(model).get("input_normalization")
    wanted = f"mean {expected.mean} and std {expected.std} on the scale 0 to 1"
    if layer is None or layer.mean is None:
        if expected.normalization(3) == IMAGENET.normalization(3):
            return []
        return [
            f"{name} expects images normalized with {wanted}, and the model has no "
            "layer that does so: normalize them before."
        ]
    channels = int(np.size(layer.mean))
    mean, variance = expected.normalization(channels)
    same = np.allclose(np.ravel(layer.mean), mean, rtol=1e-3) and np.allclose(
        np.ravel(layer.variance), variance, rtol=1e-3
    )
    if same:
        return []
    return [
        f"The model normalizes images in another way than {name} expects ({wanted}): "
        "build it with preprocessing=report.preprocessing, `report` being what this "
        "load returns."
    ]
