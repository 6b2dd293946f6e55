"""A request's JSON document, and the text, bytes and numbers in it.

What is taken and what is refused is TensorFlow Serving's choice: its parser is
RapidJSON, its base64 Abseil's.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from .errors import invalid

# How much of a wrong value is repeated in the message about it.
_SHOWN_CHARACTERS = 80
_JSON_TYPES = {
    type(None): "Null",
    bool: "Bool",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
# These objects stand for the words, and no number that was too large is one of them.
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object's keys and values.

    Raises:
        Refusal: A key occurs twice, so that it is open which of its values is meant.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise invalid(f"JSON Parse error: an object has the key {shown(twice)} twice")
    return made


def parse(body: bytes) -> dict[str, Any]:
    """Returns a request's JSON object.

    Args:
        body: UTF-8, with or without a byte order mark.

    Raises:
        Refusal: It is no JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_WORDS.__getitem__,
        )
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns which signature a request asks for; empty for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def shown(value: Any) -> str:
    """Returns a value as JSON, cut to what a message can hold."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = type_name(value)
    if len(text) > _SHOWN_CHARACTERS:
        return text[:_SHOWN_CHARACTERS] + "..."
    return text


def type_name(value: Any) -> str:
    """Returns JSON's name for a value's type."""
    return _JSON_TYPES[type(value)]


def is_too_large(number: float) -> bool:
    """Returns True if a number became infinite without being called `Infinity`."""
    return math.isinf(number) and not any(number is word for word in _WORDS.values())


def is_binary(value: Any) -> bool:
    """Returns True if a JSON value stands for bytes."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(
        value["b64"], str
    )  # fmt: skip


def from_text(text: str) -> bytes:
    """Returns a JSON string's bytes.

    Raises:
        Refusal: It has half of a surrogate pair, which stands for no character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from None


def from_base64(value: Mapping[str, str]) -> bytes:
    """Returns the bytes that a JSON value stands for.

    White space may stand anywhere, and padding (`=` or `.`) be left out as a whole, but
    not be wrong. The alphabet is the one with `+` and `/` alone.

    Args:
        value: What `is_binary` is true of.

    Raises:
        Refusal: What it holds is not base64.
    """
    try:
        given = b"".join(value["b64"].encode("ascii").split())
        letters = given.rstrip(b"=.")
        wanted = -len(letters) % 4
        if len(given) - len(letters) not in (0, wanted):
            raise ValueError("wrong padding")
        return base64.b64decode(letters + b"=" * wanted, validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None
