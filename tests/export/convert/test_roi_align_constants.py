"""What a detector's file holds besides weights."""

import tensorflow as tf

from keras_convnext.detection import roi_align

BOXES, CHANNELS, SIZE = 256, 32, 7


def test_a_file_holds_no_table_of_zeros_as_large_as_the_features_of_all_boxes():
    def features(boxes, *levels):
        return roi_align(levels, boxes, SIZE)

    levels = [tf.TensorSpec((1, s, s, CHANNELS)) for s in (32, 16, 8, 4)]
    traced = tf.function(features).get_concrete_function(
        tf.TensorSpec((1, BOXES, 4)), *levels
    )
    file = tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert()
    # The table would be float32; operators alone take some tens of kilobytes.
    assert len(file) < BOXES * SIZE**2 * CHANNELS * 4 / 4
