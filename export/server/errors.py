"""Refusals: a code that both protocols know, and one line that says why."""

from __future__ import annotations

import enum

import tensorflow as tf


class Code(enum.IntEnum):
    """The codes of gRPC, which are those of TensorFlow too."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# What TensorFlow Serving's REST interface answers for each code.
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class Refusal(Exception):
    """A request that gets no answer.

    Attributes:
        code: What kind of refusal it is.
        http_status: The status over HTTP, where it is not the code's own.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        self.http_status = http_status or HTTP_STATUS[code]


def invalid(message: str) -> Refusal:
    """Returns the refusal of a request that can never be answered as it is."""
    return Refusal(Code.INVALID_ARGUMENT, message)


def _in_a_line(message: str) -> str:
    """Returns a message without TensorFlow's remarks on its nodes."""
    said, mark, _ = message.partition("[[{{node")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return message.strip()
    # Where a node is named, the traceback stands before the reason; else behind it.
    return lines[-1] if mark else lines[0]


def of(error: BaseException) -> Refusal:
    """Returns the error message for a client.

    Args:
        error: A refusal, an error of TensorFlow's, or anything else.
    """
    if isinstance(error, Refusal):
        return error
    text = _in_a_line(str(error) or type(error).__name__)
    if isinstance(error, tf.errors.OpError):
        return Refusal(Code(error.error_code), text)
    if isinstance(error, MemoryError):
        return Refusal(Code.RESOURCE_EXHAUSTED, "Not enough memory for the request")
    return Refusal(Code.INTERNAL, f"{type(error).__name__}: {text}")
