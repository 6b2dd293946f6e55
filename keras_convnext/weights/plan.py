"""Decides where every tensor of a file goes, before a number of it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_convnext.variants import VARIANTS
from keras_convnext.weights.dialects import HEAD_LAYERS
from keras_convnext.weights.dialects.table import Match
from keras_convnext.weights.errors import WeightsMismatchError
from keras_convnext.weights.layouts import kind_of
from keras_convnext.weights.tensor_file import FLOATS, TensorFile

Shape = tuple[int, ...]

_CLASSIFIER = ("head_dense/kernel", "head_dense/bias")
_HIDDEN = ("head_hidden/kernel", "head_hidden/bias")
_LAST_NORM = ("head_norm/gamma", "head_norm/beta")
_CLASSIFIERS = re.compile(r"(decode|auxiliary|box\d?|mask\d?)_logits|box\d?_deltas")
_STEM = "stem_conv/kernel"
_MOST_LISTED, _MOST_TOLD = 1000, 3
# PEFT's and Keras' words.
_ADAPTER = re.compile(r"(^|[./_])(lora_|base_layer\.)")
_DEPTHWISE = re.compile(r"stage(\d+)_block\d+_dwconv/kernel")


@dataclass
class Plan:
    """What will be done with a file's tensors and a model's variables.

    Attributes:
        match: Which tensor is which.
        assign: Our names of the tensors that go into the model.
        zero: Our names of variables that the file leaves out, meaning zero.
        kept: Our names of variables that stay as they were built.
        dropped: The file's names of tensors that the model has no use for.
        adapt_stem: Whether the stem's kernel is for another number of channels.
        notes: What a person should know, as sentences.
    """

    match: Match
    assign: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    adapt_stem: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class _Misfits:
    """What keeps a file from fitting a model."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)


def make_plan(file: TensorFile, match: Match, model: Mapping[str, Shape]) -> Plan:
    """Plans how a file is loaded into a model.

    Args:
        file: The open file.
        match: What `recognize` said of it.
        model: The model's variables, by our names, with their shapes.

    Raises:
        WeightsMismatchError: They do not fit; every missing, unexpected and
            misshapen tensor is in the message.
    """
    _check_adapters(file)
    plan, misfits = Plan(match), _Misfits()
    shapes = ours_shapes(file, match)
    for ours, shape in model.items():
        if ours not in shapes:
            misfits.missing.append(ours)
        elif shapes[ours] == shape:
            plan.assign.append(ours)
        else:
            misfits.misshapen.append(ours)
    misfits.unexpected = [ours for ours in shapes if ours not in model]
    _fill_zeros(plan, misfits)
    _settle_head(plan, misfits, shapes, model)
    _settle_task_heads(plan, misfits)
    _settle_stem(plan, misfits, shapes, model)
    _raise_for(misfits, file, match, shapes, model)
    plan.dropped += [*match.ignored, *match.beside]
    if match.beside:
        names = ", ".join(match.beside[:_MOST_TOLD])
        more = len(match.beside) - _MOST_TOLD
        plan.notes.append(
            "What the file holds beside the network, such as a head of its own, was "
            f"left out: {names}" + (f" and {more} more." if more > 0 else ".")
        )
    return plan


def _check_adapters(file: TensorFile) -> None:
    """Refuses files whose kernels are still to be added to."""
    for name in file.tensors:
        if _ADAPTER.search(name):
            raise WeightsMismatchError(
                f"{file.path} holds what LoRA has learnt beside the weights ({name}): "
                "merge it first (in PEFT, model.merge_and_unload()) and save again."
            )


def ours_shapes(file: TensorFile, match: Match) -> dict[str, Shape]:
    """Returns the shapes that the file's tensors have once in our layout."""
    shapes = {}
    for ours, theirs in match.found.items():
        info = file.tensors[theirs]
        if info.dtype.type not in FLOATS:
            raise WeightsMismatchError(
                f"{file.path}: {theirs} holds {info.dtype}, not floating-point numbers "
                "of 16, 32 or 64 bits."
            )
        shape = match.table.layout.shape(kind_of(ours), info.shape)
        assert shape is not None  # `Table.match` let it through
        shapes[ours] = shape
    return shapes


def _take(names: list[str], wanted: tuple[str, ...]) -> list[str]:
    """Removes from `names` those that are wanted, and returns them."""
    taken = [name for name in names if name in wanted]
    names[:] = [name for name in names if name not in wanted]
    return taken


def _fill_zeros(plan: Plan, misfits: _Misfits) -> None:
    if set(_CLASSIFIER[:1]) <= set(plan.assign):
        plan.zero += _take(misfits.missing, tuple(plan.match.table.zeros))


def _settle_head(
    plan: Plan,
    misfits: _Misfits,
    shapes: Mapping[str, Shape],
    model: Mapping[str, Shape],
) -> None:
    """Lets the classifier differ: it is what changes from task to task."""
    found = plan.match.found
    kernel = _CLASSIFIER[0]
    if kernel not in model:
        extra = _take(misfits.unexpected, _CLASSIFIER + _HIDDEN)
        plan.dropped += [found[ours] for ours in extra]
    elif _HIDDEN[0] in shapes and _HIDDEN[0] not in model:
        dropped = _take(misfits.unexpected, _HIDDEN)
        for group in (misfits.misshapen, plan.assign, plan.zero):
            plan.kept += _take(group, _CLASSIFIER)
        plan.dropped += [
            found[each] for each in (*dropped, *plan.kept) if each in found
        ]
        plan.notes.append(
            "The weights' classifier has a hidden layer and the model's has none: the "
            "classifier (head_dense) stays as it was built, everything else is loaded."
        )
    elif kernel not in shapes:
        plan.kept += _take(misfits.missing, _CLASSIFIER + _HIDDEN)
        plan.notes.append(
            "The weights have no classifier: the model's stays as it was built."
        )
    elif kernel in misfits.misshapen and shapes[kernel][0] == model[kernel][0]:
        for group in (misfits.misshapen, plan.assign, plan.zero):
            plan.kept += _take(group, _CLASSIFIER)
        plan.dropped += [found[ours] for ours in plan.kept if ours in found]
        plan.notes.append(
            f"The weights' classifier is for {shapes[kernel][1]} classes and the "
            f"model has {model[kernel][1]}: the classifier (head_dense) stays as it "
            "was built, everything else is loaded."
        )
    # Self-supervised checkpoints (FCMAE) end before the last norm.
    if kernel not in shapes and set(_LAST_NORM) <= set(misfits.missing):
        plan.kept += _take(misfits.missing, _LAST_NORM)
        plan.notes.append(
            "The weights have no last norm: the model's (head_norm) stays as it was "
            "built."
        )


def _settle_task_heads(plan: Plan, misfits: _Misfits) -> None:
    """Lets the heads of other tasks be missing, left over, or of other classes."""
    found = plan.match.found

    def of_heads(names: list[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name.startswith(HEAD_LAYERS))

    left_over = _take(misfits.unexpected, of_heads(misfits.unexpected))
    if of_heads([*plan.assign, *misfits.missing]):
        # The levels' own norms stand in the place of the last one.
        left_over += _take(misfits.unexpected, _LAST_NORM)
    plan.dropped += [found[ours] for ours in left_over]
    missing = _take(misfits.missing, of_heads(misfits.missing))
    plan.kept += missing
    if missing:
        parts = sorted({name.partition("_")[0] for name in missing})
        plan.notes.append(
            f"The weights have none for {' and '.join(parts)} layers: the model's stay "
            "as they were built."
        )
    classifiers = tuple(
        name
        for name in misfits.misshapen
        if _CLASSIFIERS.fullmatch(name.partition("/")[0])
    )
    plan.kept += _take(misfits.misshapen, classifiers)
    if classifiers:
        plan.dropped += [found[ours] for ours in classifiers]
        plan.notes.append(
            "The weights are for other classes than the model's: the last layers of "
            "its heads stay as they were built, everything else is loaded."
        )


def _settle_stem(
    plan: Plan,
    misfits: _Misfits,
    shapes: Mapping[str, Shape],
    model: Mapping[str, Shape],
) -> None:
    """Lets the number of the image's channels differ."""
    if _STEM not in misfits.misshapen:
        return
    theirs, ours = shapes[_STEM], model[_STEM]
    if theirs[:2] == ours[:2] and theirs[3] == ours[3]:
        plan.assign += _take(misfits.misshapen, (_STEM,))
        plan.adapt_stem = True
        plan.notes.append(
            f"The weights are for images of {theirs[2]} channels and the model takes "
            f"{ours[2]}: the stem's kernel is repeated over the channels and rescaled."
        )


def _raise_for(
    misfits: _Misfits,
    file: TensorFile,
    match: Match,
    shapes: Mapping[str, Shape],
    model: Mapping[str, Shape],
) -> None:
    unexpected = [match.found[ours] for ours in misfits.unexpected]
    unexpected += match.unknown
    if not (misfits.missing or misfits.misshapen or unexpected):
        return
    unexpected += match.beside
    lines = [
        f"{file.path} ({file.kind}, {match.table.dialect} names, "
        f"{len(file.tensors)} tensors) does not fit the model:"
    ]
    theirs, wanted = _outline(shapes), _outline(model)
    if theirs and theirs != wanted:
        lines.append(f"it holds {theirs}; the model has {wanted}")
    if not match.found:
        lines[0] = f"{file.path} ({file.kind}) holds no ConvNeXt that is known here:"
    lines += _listed(
        "missing from the file",
        [f"{ours} {model[ours]}" for ours in misfits.missing],
    )
    lines += _listed(
        "not in the model",
        [f"{name} {file.tensors[name].shape}" for name in unexpected],
    )
    lines += _listed(
        "of another shape",
        [
            f"{match.found[ours]}: {shapes[ours]} in the file, {model[ours]} in the "
            "model"
            for ours in misfits.misshapen
        ],
    )
    raise WeightsMismatchError("\n".join(lines))


def _listed(what: str, tensors: list[str]) -> list[str]:
    """Returns lines that name tensors: all that the largest ConvNeXt could have."""
    if not tensors:
        return []
    lines = [f"{what} ({len(tensors)}):", *(f"  {each}" for each in tensors)]
    rest = len(tensors) - _MOST_LISTED
    return [*lines[: _MOST_LISTED + 1], f"  and {rest} more"] if rest > 0 else lines


def _outline(shapes: Mapping[str, Shape]) -> str:
    """Says in words how large a network is, and which published ones are like it."""
    depths: list[int] = []
    widths: list[int] = []
    for ours, shape in shapes.items():
        found = _DEPTHWISE.fullmatch(ours)
        if found is None:
            continue
        stage = int(found.group(1))
        depths += [0] * (stage + 1 - len(depths))
        widths += [0] * (stage + 1 - len(widths))
        depths[stage] += 1
        widths[stage] = shape[2]
    if not depths:
        return ""
    grn = any("_grn/" in ours for ours in shapes)
    alike = [
        name
        for name, variant in VARIANTS.items()
        if (list(variant.depths), list(variant.widths), variant.grn)
        == (depths, widths, grn)
    ]
    text = f"depths {tuple(depths)} and widths {tuple(widths)}"
    return f"{text} ({', '.join(alike)})" if alike else text
