"""Flawed images among records are counted: the lines of libjpeg itself name nothing."""

from __future__ import annotations

import contextlib

from keras_convnext.decoder_lines import report_decoder_lines

# Decoded and named before a run (folders, lists), or never encoded.
_WITHOUT_STREAM = ("array", "digits", "files", "folder", "images", "masks")


def count_flawed_images(spec: str) -> contextlib.AbstractContextManager[None]:
    """Returns a context that reports the flawed JPEGs in records at its end.

    TensorFlow decodes records in threads of its own, which know no record's name.

    Args:
        spec: What `--data` says.
    """
    if spec.partition(":")[0] in _WITHOUT_STREAM:
        return contextlib.nullcontext()
    return report_decoder_lines(f"--data={spec}")
