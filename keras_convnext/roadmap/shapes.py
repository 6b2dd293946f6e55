"""Where the road ends: a design as a row of the library's table of variants."""

from __future__ import annotations

from dataclasses import replace

from keras_convnext.roadmap.designs import Design
from keras_convnext.variants import VARIANTS, Variant, patchify


def as_variant(design: Design, patch_size: int = 4) -> Variant:
    """Returns the ConvNeXt that has a design's depths, widths and kernels.

    A published variant of that shape is returned as it is; otherwise the row is made
    from ConvNeXt-T's.

    Args:
        design: The design.
        patch_size: Side of the stem's patches in pixels.
    """
    made = replace(
        VARIANTS["convnext_tiny"],
        name="convnext_like",
        parameters=0,
        source="",
        depths=design.depths,
        widths=design.widths,
        kernel_sizes=(design.kernel_px,) * len(design.depths),
        stem=patchify(patch_size),
    )
    for published in VARIANTS.values():
        if made == replace(published, name=made.name, parameters=0, source=""):
            return published
    return made
