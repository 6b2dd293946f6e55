"""What JPEG decoders complain of gets the name of what they decode."""

import io
import os
import sys

import pytest
from PIL import Image

from keras_convnext.decoder_lines import name_decoded, report, report_decoder_lines

# As libjpeg prints them (JWRN_HIT_MARKER and JWRN_EXTRANEOUS_DATA in its jerror.h).
CUT = b"Corrupt JPEG data: premature end of data segment\n"
MORE = b"Corrupt JPEG data: 8 extraneous bytes before marker 0xd9\n"


def reported(*lines):
    shown = io.BytesIO()
    report(lines, shown, "serve")
    return shown.getvalue().decode()


def flawed_jpeg():
    """A JPEG with eight bytes too many before its end."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 30)).save(file, "JPEG")
    whole = file.getvalue()
    return whole[:-2] + bytes(range(1, 9)) + whole[-2:]


def test_other_lines_are_passed_on_as_they_are():
    others = (b"Check failed: corrupt\n", b"\n", b"Corrupt JPEGs\n", b"no end of line")
    assert reported(*others) == b"".join(others).decode()


def test_a_complaint_gets_the_name_of_what_is_decoded_and_no_other():
    shown = reported(b"\x1e+1 request 1\n", CUT, b"\x1e-1\n", b"\x1e+2 request 2\n")
    assert shown == (
        "serve: request 1: Corrupt JPEG data: premature end of data segment\n"
    )


def test_of_several_at_a_time_all_are_named():
    shown = reported(b"\x1e+1 one\n", b"\x1e+2 two\n", MORE, b"\x1e-1\n", MORE)
    assert [line.split(":")[1] for line in shown.splitlines()] == [
        " one or two",
        " two",
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([CUT], "once in all (Corrupt JPEG data: premature end of data segment)"),
        ([MORE, CUT] * 600, "1,200 times in all (Corrupt JPEG data: 8 extraneous"),
    ],
)
def test_complaints_without_a_name_are_counted_in_one_line(lines, words):
    shown = reported(*lines)
    assert shown.count("\n") == 1
    assert shown.startswith("serve: JPEG images with flaws were decoded")
    assert words in shown


def test_what_libjpeg_prints_in_this_process_is_named(capfd):
    tf = pytest.importorskip("tensorflow")
    contents = flawed_jpeg()
    with report_decoder_lines("serve"):
        tf.io.decode_jpeg(contents)
        with name_decoded("request\n17"):
            tf.io.decode_jpeg(contents)
        os.write(2, b"native\n")
        print("Python's own", file=sys.stderr)
    shown = capfd.readouterr().err.splitlines()
    [named] = [line for line in shown if line.startswith("serve: request 17: ")]
    assert "Corrupt JPEG data: " in named
    [counted] = [line for line in shown if "in all" in line]
    assert "once in all (Corrupt JPEG data: " in counted
    assert {*shown} - {named, counted} == {"native", "Python's own"}


def test_stderr_is_the_old_one_afterwards_also_after_an_error(capfd):
    with pytest.raises(KeyError), report_decoder_lines("serve"):
        raise KeyError
    with name_decoded("nobody looks"):
        os.write(2, CUT)
    assert capfd.readouterr().err == CUT.decode()
