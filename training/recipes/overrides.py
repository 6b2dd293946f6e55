"""Typed changes of frozen records: what `--set field=value` does."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

Record = TypeVar("Record")

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}
_WORDS = {"true": True, "false": False}


def apply_overrides(
    record: Record, changes: Sequence[str], fixed: Sequence[str] = ()
) -> Record:
    """Returns a copy of a frozen dataclass with fields changed by text.

    Args:
        record: The dataclass; fields that are dataclasses themselves are reached
            with a dot.
        changes: Texts like "epochs=30", "ema_decay=none" or
            "augmentation.crop_scale=0.5,1".
        fixed: Fields that may not be changed.

    Raises:
        ValueError: Some changes do not fit; one text names them all.
    """
    problems = []
    values: dict[str, Any] = {}
    for change in changes:
        field, separator, text = change.partition("=")
        try:
            if not separator:
                raise ValueError(f"{change!r} is not of the form field=value")
            values[field] = _parsed(record, field, text, fixed)
        except ValueError as problem:
            problems.append(str(problem))
    if not problems:
        try:
            return _replaced(record, values)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; ".join(problems))


def format_overrides(
    record: Any, fixed: Sequence[str] = (), base: Any = None
) -> list[str]:
    """Returns the fields that differ from their defaults, as `apply_overrides` takes.

    Args:
        record: The dataclass.
        fixed: Fields that are left out.
        base: Another one, to tell what differs from it and not from the defaults.
    """
    said = []
    for field in fields(record):
        value = getattr(record, field.name)
        plain = field.default if base is None else getattr(base, field.name)
        if field.name in fixed or value == plain:
            continue
        if is_dataclass(value):
            inner_base = None if base is None else plain
            said += [
                f"{field.name}.{inner}"
                for inner in format_overrides(value, base=inner_base)
            ]
        else:
            said.append(f"{field.name}={format_value(value)}")
    return said


def format_value(value: Any) -> str:
    """Returns a field's value as `apply_overrides` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(format_value, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns fields by their names as `apply_overrides` takes them, inner ones too.

    Args:
        values: Of a recipe.json.
        prefix: Comes before each name.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _replaced(record: Any, values: dict[str, Any]) -> Any:
    own = {name: value for name, value in values.items() if "." not in name}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        outer, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(outer, {})[rest] = value
    for outer, changes in inner.items():
        own[outer] = _replaced(getattr(record, outer), changes)
    return replace(record, **own)


def _parsed(record: Any, field: str, text: str, fixed: Sequence[str]) -> Any:
    kind = _kind_of(record, field, fixed)
    try:
        return _value(text.strip(), kind)
    except ValueError:
        raise ValueError(f"{field} takes {describe_type(kind)}, not {text!r}") from None


def _kind_of(record: Any, field: str, fixed: Sequence[str]) -> Any:
    """Returns the type of a field, given with dots for fields of fields."""
    known = [name for name in _paths(record) if name not in fixed]
    if field not in known:
        closest = difflib.get_close_matches(field, known, n=1)
        hint = f" (did you mean {closest[0]}?)" if closest else ""
        raise ValueError(
            f"there is no field {field!r}{hint}; the fields are {', '.join(known)}"
        )
    *outer, last = field.split(".")
    for name in outer:
        record = getattr(record, name)
    return typing.get_type_hints(type(record))[last]


def _paths(record: Any) -> list[str]:
    paths = []
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            paths += [f"{field.name}.{inner}" for inner in _paths(value)]
        else:
            paths.append(field.name)
    return paths


def _value(text: str, kind: Any) -> Any:
    """Reads a text as a type; raises ValueError where it is no such thing."""
    if isinstance(kind, types.UnionType):
        *kinds, _ = typing.get_args(kind)
        return None if text.lower() == "none" else _value(text, kinds[0])
    if typing.get_origin(kind) is tuple:
        inner_kinds = typing.get_args(kind)
        parts = text.strip("()[]").split(",")
        if len(parts) != len(inner_kinds):
            raise ValueError(text)
        return tuple(
            _value(part.strip(), inner)
            for part, inner in zip(parts, inner_kinds, strict=True)
        )
    if kind is bool:
        if text.lower() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.lower()]
    if kind is str and not text:
        raise ValueError(text)
    value = kind(text)
    if kind is float and not math.isfinite(value):
        raise ValueError(text)
    return value


def describe_type(kind: Any) -> str:
    """Returns a type in words: "a whole number or none"."""
    if isinstance(kind, types.UnionType):
        return f"{describe_type(typing.get_args(kind)[0])} or none"
    if typing.get_origin(kind) is tuple:
        return " and ".join(describe_type(inner) for inner in typing.get_args(kind))
    return _KINDS[kind]
