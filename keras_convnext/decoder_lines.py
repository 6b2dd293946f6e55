"""Says which image a JPEG decoder complains of; its own lines on stderr name none.

libjpeg prints what it passes over ("Corrupt JPEG data: premature end of data segment")
from inside of TensorFlow's kernels, in whichever thread decodes. Here what native code
prints goes through a small process, which passes everything on but these lines. Being a
process of its own, it also passes on the last words of one that dies.

This file is that process's program. It reads who tells of them in its first line, and
imports nothing that takes time to load.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TextIO

# What libjpeg warns of (JWRN_ in its jerror.h): it decodes such an image all the same.
_COMPLAINT = re.compile(
    rb"Corrupt JPEG data: |Premature end of JPEG file|Inconsistent progression sequence"
    rb"|Unknown Adobe color transform code|Warning: unknown JFIF revision number"
    rb"|Invalid SOS parameters for sequential JPEG"
)
# Between the lines stands what is decoded at the moment: MARK+1 NAME and MARK-1.
_MARK = b"\x1e"
_END_SECONDS = 5.0
_numbers = itertools.count(1)
_active = 0


@contextlib.contextmanager
def report_decoder_lines(source: str) -> Iterator[None]:
    """Reports JPEG decoders' complaints with the name of what they are about.

    A complaint within `name_decoded` is a line on stderr with that name. Others are
    counted, and told in one line at the end.

    Args:
        source: Who tells of them: the command, or the data that the images are from.
    """
    global _active
    sys.stderr.flush()
    real = os.dup(2)
    program = [sys.executable, "-I", "-S", __file__]
    # In a session of its own Ctrl-C does not reach it: it ends after this process.
    reporter = subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=real, start_new_session=True
    )
    assert reporter.stdin is not None
    reporter.stdin.write(_one_line(source) + b"\n")
    reporter.stdin.flush()
    os.dup2(reporter.stdin.fileno(), 2)
    reporter.stdin.close()
    _active += 1
    try:
        # What Python itself prints needs no watching, and may be a terminal's.
        with _python_stderr_on(real):
            yield
    finally:
        _active -= 1
        os.dup2(real, 2)
        os.close(real)
        # A process that was left behind may hold the other end of the pipe.
        with contextlib.suppress(subprocess.TimeoutExpired):
            reporter.wait(_END_SECONDS)


@contextlib.contextmanager
def name_decoded(name: str) -> Iterator[None]:
    """Gives complaints a name, if they are reported, while the body decodes.

    Args:
        name: What is decoded, such as "request 17". Where several threads decode at
            the same time a complaint is told with the names of all of them.
    """
    if not _active:
        yield
        return
    number = next(_numbers)
    _mark(b"+%d %s" % (number, _one_line(name)))
    try:
        yield
    finally:
        _mark(b"-%d" % number)


def _one_line(text: str) -> bytes:
    return " ".join(text.split()).encode("utf-8", "backslashreplace")


def _mark(state: bytes) -> None:
    # A single write, so that no other thread's line comes between.
    with contextlib.suppress(OSError):
        os.write(2, _MARK + state + b"\n")


@contextlib.contextmanager
def _python_stderr_on(descriptor: int) -> Iterator[None]:
    """Has Python's own stderr, where it is the process's, write somewhere else."""
    before = sys.stderr
    if not _writes_to_2(before):
        yield
        return
    with open(
        os.dup(descriptor), "w", 1, before.encoding, errors="backslashreplace"
    ) as shown:
        sys.stderr = shown
        try:
            yield
        finally:
            sys.stderr = before


def _writes_to_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False


def report(lines: Iterable[bytes], shown: BinaryIO, source: str) -> None:
    """Passes lines on, and tells decoders' complaints in words of its own.

    Args:
        lines: What native code prints, with marks in it.
        shown: Where to.
        source: As in `report_decoder_lines`.
    """
    decoded: dict[bytes, bytes] = {}
    count, first = 0, b""
    for line in lines:
        text, mark, state = line.partition(_MARK)
        number, _, name = state[1:].strip().partition(b" ")
        if state.startswith(b"+"):
            decoded[number] = name
        elif mark:
            decoded.pop(number, None)
        if not _COMPLAINT.match(text):
            shown.write(text)
        elif decoded:
            named = b" or ".join(decoded.values())
            shown.write(b"%s: %s: %s\n" % (source.encode(), named, text.strip()))
        else:
            count, first = count + 1, first or text.strip()
        shown.flush()
    if count:
        times = "once" if count == 1 else f"{count:,} times"
        told = (
            f"{source}: JPEG images with flaws were decoded as far as they can be, "
            f"{times} in all ({first.decode('ascii', 'replace')})\n"
        )
        shown.write(told.encode())
        shown.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        told_by = sys.stdin.buffer.readline().decode().strip()
        report(sys.stdin.buffer, sys.stdout.buffer, told_by)
