"""Functions of a data set that become graphs as they are written."""

from __future__ import annotations

import tensorflow as tf

# AutoGraph would read the source of all that they call, for Python conditions and loops
# over tensors, of which there are none. That took a fifth of the time of the tests that
# read images.
as_written = tf.autograph.experimental.do_not_convert
