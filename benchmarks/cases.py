"""What is measured: one row a race, in suites."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "keras_convnext_plain"
FOLDED = "keras_convnext_folded"
APPLICATIONS = "keras_applications"
EAGER = "timm_eager"
COMPILE = "timm_compile"
OPENVINO = "with_openvino"
ONNX = "with_onnxruntime"
LITERT = "keras_convnext_litert"
REMAT = "keras_convnext_remat"
JAX = "keras_convnext_jax"
UPERNET = "upernet_plain"
UPERNET_FOLDED = "upernet_folded"
UPERNET_EAGER = "transformers_eager"
UPERNET_COMPILE = "transformers_compile"
DETECTOR = "detector_plain"
DETECTOR_FOLDED = "detector_folded"
DETECTOR_REMAT = "detector_remat"
DETECTOR_EAGER = "torchvision_eager"

TITLES = {
    OURS: "keras_convnext",
    FOLDED: "keras_convnext, folded",
    LITERT: "keras_convnext, LiteRT float32",
    REMAT: "keras_convnext, remat",
    JAX: "keras_convnext, JAX backend",
    APPLICATIONS: "keras.applications",
    EAGER: "timm, eager",
    COMPILE: "timm, torch.compile",
    OPENVINO: "OpenVINO (timm's model)",
    ONNX: "ONNX Runtime (timm's model)",
    UPERNET: "keras_convnext, UPerNet",
    UPERNET_FOLDED: "keras_convnext, UPerNet folded",
    UPERNET_EAGER: "transformers, eager",
    UPERNET_COMPILE: "transformers, torch.compile",
    DETECTOR: "keras_convnext, Mask R-CNN",
    DETECTOR_FOLDED: "keras_convnext, Mask R-CNN folded",
    DETECTOR_REMAT: "keras_convnext, Mask R-CNN remat",
    DETECTOR_EAGER: "torchvision, eager",
}


@dataclass(frozen=True)
class Target:
    """How much faster one contestant is meant to be than another.

    Attributes:
        faster: The contestant that is meant to be ahead.
        slower: The one that it is compared with.
        ratio: Least ratio of their median times.
    """

    faster: str
    slower: str
    ratio: float


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory one contestant may take, measured by another.

    Attributes:
        contestant: The one that is limited.
        other: The one that it is compared with.
        ratio: Greatest ratio of their peaks, each above its own base.
    """

    contestant: str
    other: str
    ratio: float


@dataclass(frozen=True)
class Case:
    """One race.

    Attributes:
        suite: The table that it stands in.
        work: "inference" or "training" (forward, backward and AdamW).
        model: Name of the variant, the same here and in timm; or a UPerNet's.
        batch: Images a call.
        contestants: Modules of `contestants`, in the order of their turns.
        size_px: Side of the images, or their height and width.
        precision: "float32" or "mixed_bfloat16".
        classes: Of the classifier.
        targets: What the race is meant to show of speed.
        memory: What it is meant to show of memory.
        profiled: Whether each contestant's kernels are told, after all turns.
    """

    suite: str
    work: str
    model: str
    batch: int
    contestants: tuple[str, ...]
    size_px: int | tuple[int, int] = 224
    precision: str = "float32"
    classes: int = 1000
    targets: tuple[Target, ...] = ()
    memory: tuple[MemoryLimit, ...] = ()
    profiled: bool = False

    @property
    def name(self) -> str:
        """Returns the race's title."""
        size = str(self.size_px).strip("()").replace(", ", "x")
        return f"{self.work}, {self.model}, {size} px, batch {self.batch}, " + (
            self.precision
        )


_ALL = (FOLDED, OURS, APPLICATIONS, EAGER, COMPILE, OPENVINO, ONNX)
_AGAINST_TORCH = (FOLDED, OURS, EAGER, COMPILE)
_BF16 = {"precision": "mixed_bfloat16"}


def _folded(eager: float, compiled: float, openvino: float) -> tuple[Target, ...]:
    return (
        Target(FOLDED, EAGER, eager),
        Target(FOLDED, COMPILE, compiled),
        Target(FOLDED, OPENVINO, openvino),
    )


CASES = (
    Case(
        "inference",
        "inference",
        "convnext_tiny",
        1,
        (*_ALL, LITERT),
        targets=(Target(OURS, APPLICATIONS, 5.0), *_folded(1.5, 1.15, 1.0)),
    ),
    Case(
        "inference",
        "inference",
        "convnext_tiny",
        16,
        _ALL,
        targets=(Target(OURS, APPLICATIONS, 7.0), *_folded(1.5, 1.15, 1.2)),
    ),
    Case("inference", "inference", "convnext_tiny", 8, _AGAINST_TORCH),
    Case(
        "inference",
        "inference",
        "convnext_tiny",
        32,
        (*_AGAINST_TORCH, OPENVINO),
        memory=(MemoryLimit(OURS, EAGER, 1.0), MemoryLimit(FOLDED, EAGER, 1.0)),
    ),
    Case("inference", "inference", "convnext_tiny", 1, _AGAINST_TORCH, 384),
    Case("inference", "inference", "convnext_base", 1, (*_AGAINST_TORCH, OPENVINO)),
    Case("inference", "inference", "convnext_base", 8, _AGAINST_TORCH),
    Case(
        "inference",
        "inference",
        "convnextv2_tiny",
        1,
        _AGAINST_TORCH,
        targets=(Target(FOLDED, EAGER, 1.5),),
    ),
    Case(
        "inference",
        "inference",
        "convnextv2_tiny",
        16,
        _AGAINST_TORCH,
        targets=(Target(FOLDED, EAGER, 1.5),),
    ),
    Case(
        "bfloat16",
        "inference",
        "convnext_tiny",
        1,
        (FOLDED, EAGER, OPENVINO),
        targets=(Target(FOLDED, EAGER, 1.0),),
        **_BF16,
    ),
    Case(
        "bfloat16",
        "inference",
        "convnext_tiny",
        8,
        (FOLDED, EAGER, OPENVINO),
        targets=(Target(FOLDED, EAGER, 1.0),),
        **_BF16,
    ),
    Case(
        "training",
        "training",
        "convnext_tiny",
        16,
        (OURS, REMAT, APPLICATIONS, EAGER, COMPILE),
        targets=(Target(OURS, APPLICATIONS, 5.0), Target(OURS, EAGER, 1.25)),
        memory=(MemoryLimit(OURS, EAGER, 1.2), MemoryLimit(REMAT, EAGER, 0.6)),
    ),
    Case(
        "training",
        "training",
        "convnext_atto",
        128,
        (OURS, APPLICATIONS, EAGER, COMPILE),
        32,
        classes=10,
        targets=(Target(OURS, APPLICATIONS, 7.0), Target(OURS, EAGER, 1.5)),
    ),
    Case(
        "training",
        "training",
        "convnextv2_tiny",
        8,
        (OURS, EAGER),
        targets=(Target(OURS, EAGER, 1.5),),
    ),
    Case(
        "bfloat16",
        "training",
        "convnext_tiny",
        8,
        (OURS, EAGER),
        targets=(Target(OURS, EAGER, 1.6),),
        **_BF16,
    ),
    *(
        Case(
            "segmentation",
            "inference",
            "upernet_convnext_tiny",
            batch,
            (UPERNET_FOLDED, UPERNET, UPERNET_EAGER, UPERNET_COMPILE),
            512,
            classes=150,
            targets=(
                Target(UPERNET_FOLDED, UPERNET_EAGER, 1.5),
                Target(UPERNET_FOLDED, UPERNET_COMPILE, 1.15),
            ),
            memory=(MemoryLimit(UPERNET_FOLDED, UPERNET_EAGER, 1.0),),
        )
        for batch in (1, 4)
    ),
    Case(
        "segmentation",
        "training",
        "upernet_convnext_tiny",
        2,
        (UPERNET, UPERNET_EAGER),
        512,
        classes=150,
        targets=(Target(UPERNET, UPERNET_EAGER, 1.3),),
        memory=(MemoryLimit(UPERNET, UPERNET_EAGER, 1.0),),
    ),
    Case(
        "detection",
        "inference",
        "mask_rcnn_convnext_tiny",
        1,
        (DETECTOR_FOLDED, DETECTOR, DETECTOR_EAGER),
        (800, 1280),
        classes=80,
        targets=(Target(DETECTOR_FOLDED, DETECTOR_EAGER, 1.3),),
        memory=(MemoryLimit(DETECTOR_FOLDED, DETECTOR_EAGER, 1.0),),
    ),
    Case(
        "detection",
        "training",
        "mask_rcnn_convnext_tiny",
        1,
        (DETECTOR, DETECTOR_REMAT, DETECTOR_EAGER),
        (800, 1280),
        classes=80,
        targets=(Target(DETECTOR, DETECTOR_EAGER, 1.2),),
        memory=(
            MemoryLimit(DETECTOR, DETECTOR_EAGER, 1.0),
            MemoryLimit(DETECTOR_REMAT, DETECTOR_EAGER, 1.0),
        ),
    ),
    # On a card: the JAX backend against timm, as both are used there.
    Case(
        "gpu",
        "inference",
        "convnext_tiny",
        256,
        (JAX, EAGER, COMPILE),
        targets=(Target(JAX, COMPILE, 1.0),),
        profiled=True,
        **_BF16,
    ),
    Case(
        "gpu",
        "training",
        "convnext_tiny",
        256,
        (JAX, EAGER, COMPILE),
        targets=(Target(JAX, COMPILE, 1.0),),
        profiled=True,
        **_BF16,
    ),
    # The same path on a processor in a minute: shows that the mode works, no more.
    *(
        Case(
            "gpu_rehearsal",
            work,
            "convnext_atto",
            4,
            (JAX, EAGER),
            32,
            classes=10,
            profiled=True,
        )
        for work in ("inference", "training")
    ),
)
# What is measured by a command of its own: its arguments, and whether it compares
# with PyTorch.
COMMANDS = {
    "startup": (("startup.py", "--runs=3"), False),
    "growth": (("growth.py",), False),
    "pipeline": (("pipeline.py", "--rounds=11"), True),
    "pipeline_profile": (("pipeline_profile.py",), False),
    "limits": (("limits.py",), False),
    "kernels": (("kernels.py",), False),
    "coco_evaluation": (("coco_evaluation.py",), False),
}
SUITES = (*dict.fromkeys(case.suite for case in CASES), *COMMANDS)
