"""One published checkpoint as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass

from keras_convnext._renamed import warn_renamed
from keras_convnext.preprocessing import Preprocessing

# What the outputs of a checkpoint mean, by how many there are.
LABELS = {1000: "imagenet1k", 11821: "imagenet12k", 21841: "imagenet22k"}


@dataclass(frozen=True)
class Accuracy:
    """A published figure on the ImageNet-1k validation set.

    Attributes:
        top1: Percent of images whose best answer is right.
        top5: Percent of images with the right answer among the best five.
        size_px: Side of the square that the network saw.
        source: Who measured it.
    """

    top1: float
    top5: float | None
    size_px: int
    source: str


@dataclass(frozen=True)
class PretrainedWeights:
    """Everything that is known of one published checkpoint.

    Attributes:
        name: "arch.tag", for example "convnext_tiny.fb_in1k".
        variant: The row of `keras_convnext.variants` that it is for.
        publisher: "timm", "meta", "keras", "huggingface" or "torchvision".
        hub_id: Repository on the Hugging Face hub; None for a plain URL.
        url: Where the file is; None for a hub repository.
        files: Names of the file, the first that exists counts.
        checksum: "<algorithm>:<hexadecimal digits>" as far as the publisher states
            them (a file name may hold the first eight); None if nobody does.
        size_bytes: Length of the file in bytes, where it is known.
        license: Of the weights, in the publisher's word.
        classes: Outputs of its classifier; 0 if it has none.
        role: "imagenet" or "imagenet22k" if that word means this checkpoint.
        preprocessing: How images are prepared, at the size it was trained on.
        test_preprocessing: The same at the size that its publisher tests it on.
        accuracy: Figures measured as `preprocessing` says; None if there are none.
        test_accuracy: The same for `test_preprocessing`.
        note: What else a person should know, or nothing.

    Example:
        >>> from keras_convnext import weights
        >>> record = weights.find("convnext_tiny.fb_in1k")
        >>> record.license, record.classes, record.accuracy.top1
        ('apache-2.0', 1000, 82.066)
    """

    name: str
    variant: str
    publisher: str
    hub_id: str | None
    url: str | None
    files: tuple[str, ...]
    checksum: str | None
    size_bytes: int | None
    license: str
    classes: int
    role: str
    preprocessing: Preprocessing
    test_preprocessing: Preprocessing
    accuracy: Accuracy | None
    test_accuracy: Accuracy | None
    note: str

    @property
    def licence(self) -> str:
        """The old name of `license`."""
        warn_renamed("PretrainedWeights.licence", "PretrainedWeights.license")
        return self.license

    @property
    def tag(self) -> str:
        """The part of the name behind the dot."""
        return self.name.partition(".")[2]

    @property
    def labels(self) -> str | None:
        """Which classes the outputs stand for; None for embeddings and features."""
        return LABELS.get(self.classes)

    @property
    def classifier_activation(self) -> str | None:
        """Softmax for a classifier, None for an embedding (the CLIP towers)."""
        return "softmax" if self.labels else None

    @property
    def is_gated(self) -> bool:
        """Whether the publisher hands it out only to people who accepted terms."""
        return self.license == "dinov3-license"

    @property
    def is_non_commercial(self) -> bool:
        """Whether the license forbids commercial use."""
        return "-nc-" in self.license or "noncommercial" in self.license
