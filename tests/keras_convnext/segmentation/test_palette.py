"""Colors of classes and overlays."""

import numpy as np

from keras_convnext.segmentation import ade20k_classes, overlay, palette_for

# The first colors of Pascal VOC's label maps, from its development kit.
VOC = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]


def test_ade20k_has_150_different_classes_in_mmsegmentations_order():
    names = ade20k_classes()
    assert len(names) == len(set(names)) == 150
    assert (names[0], names[12], names[149]) == ("wall", "person", "flag")


def test_classes_of_ade20k_have_its_colors_in_any_order():
    assert palette_for(["person", "wall"]).tolist() == [[150, 5, 61], [120, 120, 120]]


def test_other_classes_have_the_colors_of_pascal_voc_after_black():
    assert palette_for(list("abcde")).tolist() == VOC[1:]


def test_the_background_is_black_wherever_it_stands():
    assert palette_for(["a", "background", "c"]).tolist() == [VOC[1], VOC[0], VOC[3]]


def test_no_two_of_a_thousand_classes_share_a_color():
    palette = palette_for([f"class {number}" for number in range(1000)])
    assert palette.dtype == np.uint8
    assert len(np.unique(palette, axis=0)) == 1000


def test_no_classes_have_no_colors():
    assert palette_for([]).shape == (0, 3)


def test_an_overlay_mixes_colors_and_leaves_ignored_pixels():
    image = np.array([[[10, 20, 30], [10, 20, 30], [200, 0, 7]]], np.uint8)
    palette = np.array([[0, 0, 0], [100, 200, 250]], np.uint8)
    found = overlay(image, np.array([[0, 1, 255]], np.uint8), palette, opacity=0.25)
    # 0.75 of the image and 0.25 of the color, to the nearest even at one half.
    assert found.tolist() == [[[8, 15, 22], [32, 65, 85], [200, 0, 7]]]
    assert found.dtype == np.uint8
