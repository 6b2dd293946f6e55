"""The precisions of exported files, and how near to Keras each has to stay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """What an exported file of one precision has to show.

    Attributes:
        name: As the command line and the file's name have it.
        what: In words.
        most_difference: Largest difference of a probability that is let through;
            `None` where only the classes have to agree.
        least_agreement: Smallest share of images with Keras' own first class that
            is let through; of labels by themselves, of those that both say apply or
            both say do not; of features, the smallest cosine.
        most_accuracy_lost: Largest share of images that Keras classifies rightly
            and the file does not, on balance; one image is always let through.
        least_pixel_agreement: Smallest share of pixels with Keras' own class that is
            let through, of segmentation.
        most_miou_lost: Largest difference of the mean intersection over union from
            Keras', where true masks are known.
        least_objects_kept: Smallest share of objects that both Keras and the file find
            that is let through, of detection.
        most_box_px: How far a side of such an object's box may be from Keras', in
            pixels of the image; `None` where they only have to overlap by half.
        most_score_difference: How far its score may be from Keras'.
        most_ap_lost: Largest average precision lost against Keras, where true objects
            are known.
        calibrated: Whether the ranges of activations have to be measured on images.
    """

    name: str
    what: str
    most_difference: float | None
    least_agreement: float
    calibrated: bool = False
    most_accuracy_lost: float = 0.005
    least_pixel_agreement: float = 0.95
    most_miou_lost: float = 0.005
    least_objects_kept: float = 0.8
    most_box_px: float | None = None
    most_score_difference: float = 0.1
    most_ap_lost: float = 0.005


PRECISIONS = {
    precision.name: precision
    for precision in (
        # float32 rounds at 6e-8, and a hundred layers in another order of summation
        # add up to some 1e-6.
        Precision(
            "float32",
            "as in Keras",
            1e-4,
            1.0,
            least_pixel_agreement=0.999,
            least_objects_kept=0.99,
            most_box_px=1.0,
            most_score_difference=1e-3,
        ),
        # All is rounded at 4e-3, on the way through the layers as well: close decisions
        # may fall otherwise.
        Precision("bfloat16", "weights and arithmetic in bfloat16", 5e-2, 0.99),
        # Weights rounded at 5e-4: the same class unless two are all but a tie.
        Precision(
            "float16",
            "weights in 16 bits",
            2e-2,
            0.999,
            least_pixel_agreement=0.99,
            least_objects_kept=0.95,
            most_box_px=1.0,
            most_score_difference=2e-2,
        ),
        Precision("dynamic_int8", "weights in 8 bits", None, 0.99),
        Precision("int8", "all in 8 bits, uint8 input", None, 0.98, calibrated=True),
        Precision("int16x8", "weights in 8 bits, activations in 16", None, 0.98, True),
        Precision(
            "integer",
            "int16x8 without float32, int8 input",
            None,
            0.98,
            calibrated=True,
        ),
    )
}
