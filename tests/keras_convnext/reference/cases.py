"""The models that are compared, one row a comparison.

A row names a model of another implementation and the variant that must equal it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One model of another implementation.

    Attributes:
        oracle: Whose: "timm", "transformers", "torchvision" or "meta".
        model: What it is called there.
        variant: What it is called here.
        depths: Blocks a stage in place of the model's own, where it is too large.
        output_stride: Pixels that one position of the last feature map stands for.
        top: Whether the outputs are logits of 1000 classes, or pooled features.
        head_epsilon: Of the norm before the classifier, where it is not the others'.
    """

    oracle: str
    model: str
    variant: str
    depths: tuple[int, ...] | None = None
    output_stride: int = 32
    top: bool = True
    head_epsilon: float | None = None

    @property
    def key(self) -> str:
        """The row's name in the recorded file."""
        stride = "" if self.output_stride == 32 else f"@stride{self.output_stride}"
        return f"{self.oracle}/{self.model}{stride}"


# Above 400 million parameters: one block a stage, two in the third.
FEW = (1, 1, 2, 1)

TIMM_MODELS = {
    "convnext_zepto_rms": None,
    "convnext_zepto_rms_ols": None,
    "convnext_atto": None,
    "convnext_atto_ols": None,
    "convnext_atto_rms": None,
    "convnext_femto": None,
    "convnext_femto_ols": None,
    "convnext_pico": None,
    "convnext_pico_ols": None,
    "convnext_nano": None,
    "convnext_nano_ols": None,
    "convnext_tiny_hnf": None,
    "convnext_tiny": None,
    "convnext_small": None,
    "convnext_base": None,
    "convnext_large": None,
    "convnext_large_mlp": None,
    "convnext_xlarge": None,
    "convnext_xxlarge": FEW,
    "convnextv2_atto": None,
    "convnextv2_femto": None,
    "convnextv2_pico": None,
    "convnextv2_nano": None,
    "convnextv2_tiny": None,
    "convnextv2_small": None,
    "convnextv2_base": None,
    "convnextv2_large": None,
    "convnextv2_huge": FEW,
    "test_convnext": None,
    "test_convnext2": None,
    "test_convnext3": None,
}
DILATED = ("convnext_atto_ols", "convnext_nano", "convnextv2_atto")
# What Hugging Face published, by the names of its hub. Its classifiers' last norm
# takes the configuration's epsilon of 1e-12, all others 1e-6.
HUB_V1 = ("tiny", "small", "base", "large", "xlarge")
HUB_V2 = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
HUB_DINO = ("tiny", "small", "base", "large")
TORCHVISION = ("tiny", "small", "base", "large")
META_ISOTROPIC = ("small", "base", "large")


def _few(size: str) -> tuple[int, ...] | None:
    return FEW if size == "huge" else None


CASES: tuple[Case, ...] = (
    *(Case("timm", name, name, depths) for name, depths in TIMM_MODELS.items()),
    *(
        Case("timm", name, name, output_stride=stride)
        for name in DILATED
        for stride in (8, 16)
    ),
    *(
        Case("transformers", f"convnext-{s}", f"convnext_{s}", head_epsilon=1e-12)
        for s in HUB_V1
    ),
    *(
        Case(
            "transformers",
            f"convnextv2-{s}",
            f"convnextv2_{s}",
            _few(s),
            head_epsilon=1e-12,
        )
        for s in HUB_V2
    ),
    *(
        Case("transformers", f"dinov3-convnext-{s}", f"convnext_{s}", top=False)
        for s in HUB_DINO
    ),
    *(Case("torchvision", f"convnext_{s}", f"convnext_{s}") for s in TORCHVISION),
    *(Case("meta", f"convnext_{s}", f"convnext_{s}") for s in HUB_V1),
    *(Case("meta", f"convnextv2_{s}", f"convnextv2_{s}", _few(s)) for s in HUB_V2),
    *(
        Case("meta", f"convnext_isotropic_{s}", f"convnext_isotropic_{s}")
        for s in META_ISOTROPIC
    ),
)
ORACLES = tuple(dict.fromkeys(case.oracle for case in CASES))
