"""The metrics that may decide which epoch of a run is the best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The metric that decides which epoch of a run is the best.

    Attributes:
        name: Its name in metrics.json.
        figure: Its name among the figures of an epoch, "val_" before it in history.csv.
        words: What people call it.
        higher_is_better: Whether a larger value is a better one.
        is_fraction: Whether it lies in 0..1 and is shown in percent.
    """

    name: str
    figure: str
    words: str
    higher_is_better: bool = True
    is_fraction: bool = True

    def score(self, value: float) -> float:
        """Returns a value as checkpoints keep it: the higher the better."""
        return value if self.higher_is_better else -value

    def show(self, value: float, digits: int = 2) -> str:
        """Returns a value as people read it, in percent where it is a fraction."""
        return f"{value:.{digits}%}" if self.is_fraction else f"{value:.4g}"

    @property
    def column(self) -> str:
        """Its column in history.csv."""
        return f"val_{self.figure}"


_LOSS = Metric("loss", "loss", "loss", higher_is_better=False, is_fraction=False)
_AP = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
_AR = ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")
# By what images are labeled with, or by task; the first is the usual one.
METRICS: dict[str, tuple[Metric, ...]] = {
    "label": (
        Metric("top1", figure="accuracy", words="accuracy"),
        Metric("top5", figure="top5", words="top-5 accuracy"),
        _LOSS,
    ),
    "ordered": (
        Metric("mae", "mae", "MAE", higher_is_better=False, is_fraction=False),
        Metric("kappa", "kappa", "kappa", is_fraction=False),
        Metric("top1", figure="accuracy", words="accuracy"),
        _LOSS,
    ),
    "labels": (
        Metric("map", figure="map", words="mAP"),
        Metric("f1_macro", figure="f1_macro", words="F1"),
        _LOSS,
    ),
    "number": (
        Metric("mae", "mae", "MAE", higher_is_better=False, is_fraction=False),
        Metric("rmse", "rmse", "RMSE", higher_is_better=False, is_fraction=False),
        Metric("r2", "r2", "R2", is_fraction=False),
    ),
    "segmentation": (
        Metric("miou", figure="miou", words="mIoU"),
        Metric("macc", figure="macc", words="mean class accuracy"),
        Metric("aacc", figure="aacc", words="pixel accuracy"),
        _LOSS,
    ),
    "detection": tuple(
        Metric(f"{prefix}{name}", f"{prefix}{name}", f"{kind} {name.upper()}")
        for prefix, kind in (("", "box"), ("mask_", "mask"))
        for name in (*_AP, *_AR)
    ),
    "masked_autoencoding": (_LOSS,),
    "feature_distillation": (_LOSS,),
}
