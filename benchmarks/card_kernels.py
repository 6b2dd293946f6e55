"""What a card's kernels do, as far as their names tell."""

from __future__ import annotations

from collections.abc import Mapping

# By a part of the name: the first row that fits. What fits none is a loop or a sum over
# memory too. XLA's and Triton's loops are named after the operations in them, copies
# among them, so that they come before these.
LOOPS = "loops and sums"
KERNELS = (
    ("matrix products", ("gemm_fusion", "nvjet", "cublas", "triton_tem_")),
    (LOOPS, ("fusion", "triton_")),
    ("copies", ("memcpy", "memset", "copy", "transpose", "nhwctonchw", "nchwtonhwc")),
    ("depthwise convolutions", ("depthwise", "grouped", "_c1_k1_")),
    ("other convolutions", ("convolution", "conv2d", "fprop", "dgrad", "wgrad")),
    ("matrix products", ("gemm", "cutlass", "matmul")),
)
KINDS = tuple(dict.fromkeys(kind for kind, _ in KERNELS))


def by_kind(kernels: Mapping[str, float]) -> dict[str, float]:
    """Returns the seconds of each kind of kernel, of those of every kernel by name."""
    found = dict.fromkeys(KINDS, 0.0)
    for name, seconds in kernels.items():
        fits = (
            kind
            for kind, words in KERNELS
            if any(word in name.lower() for word in words)
        )
        found[next(fits, LOOPS)] += seconds
    return found
