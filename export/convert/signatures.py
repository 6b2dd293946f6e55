"""The signatures of a SavedModel: encoded images, pixels, tensors, features.

What happens to an image on its way is inside of the graph, so that every client
gets what the training pipeline's evaluation got.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_convnext.image import MAX_PIXELS, decode, evaluation_view
from keras_convnext.image import _bmp as image_bmp
from keras_convnext.image import _headers as headers
from keras_convnext.preprocessing import Preprocessing

from ..model.forward import Network

# Each image in work may hold its decoded pixels, so the count bounds the memory.
_DECODED_AT_ONCE = 4
DEFAULTS = ("bytes", "images", "tensors")
# Where an example holds an image's file: TensorFlow's usual name, as in training.
EXAMPLE_IMAGE = "image/encoded"


def status_of(contents: tf.Tensor, is_good: tf.Tensor) -> tf.Tensor:
    """Returns the problem with an image's bytes, or an empty string."""
    data = headers.read(contents)
    kind = headers.image_format(data)
    is_deep = (kind == headers.PNG) & (headers.png_bits(data) == 16)
    damaged = f"damaged, cut short or larger than {MAX_PIXELS} pixels"
    reasons = (
        (tf.equal(tf.strings.length(contents), 0), "empty"),
        (kind == headers.UNKNOWN, "not a JPEG, PNG, GIF, BMP or WebP image"),
        (
            (kind == headers.BMP) & ~image_bmp.is_supported(data),
            "a kind of BMP that is not supported (run lengths?); save it as PNG",
        ),
        (
            is_deep,
            f"{damaged}, or the upper 8 of its 16 bits are the same in every pixel; "
            "save it with 8",
        ),
        (True, damaged),
    )
    text = tf.constant("")
    for applies, reason in reversed(reasons):
        text = tf.where(applies, reason, text)
    return tf.where(is_good, "", text)


def _views(
    image_bytes: tf.Tensor, preprocessing: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of files, whatever is in them.

    An error in a graph ends the whole call, except inside of a dataset that is told
    to leave erroneous elements out: that is how one bad file leaves its neighbors
    alone.

    Args:
        image_bytes: Files, string `(batch,)`.
        preprocessing: What is done with their pixels.

    Returns:
        float32 `(batch, size_px, size_px, 3)`, black where a file is not an image, and
        bool `(batch,)`: whether it was one.
    """
    count = tf.size(image_bytes, out_type=tf.int64)
    side = preprocessing.size_px
    empty = tf.zeros([side, side, 3])

    def view(index: tf.Tensor, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, evaluation_view(decode(contents), preprocessing)

    files = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    good = files.map(view, num_parallel_calls=_DECODED_AT_ONCE).ignore_errors()
    # One element more, so that there is something to batch if every file is bad.
    last = tf.data.Dataset.from_tensors((count, empty))
    indices, views = good.concatenate(last).batch(count + 1).get_single_element()
    rows = indices[:, tf.newaxis]
    # Shapes in 64 bits, as the indices are.
    shape = tf.stack([count + 1, side, side, 3])
    spread = tf.scatter_nd(rows, views, tf.cast(shape, tf.int64))[:-1]
    is_good = tf.scatter_nd(rows, tf.ones_like(indices), [count + 1])[:-1] > 0
    return tf.ensure_shape(spread, (None, side, side, 3)), is_good


def require_images(batch: tf.Tensor) -> None:
    """Fails clearly where a batch has no image, or its images no pixel.

    Some kernels would fail on such shapes too, with words about their own insides.
    """
    tf.debugging.assert_positive(
        tf.size(batch, out_type=tf.int64), "The batch is empty."
    )


def _from_bytes(
    network: Network, preprocessing: Preprocessing, labels: Sequence[str], top: int
) -> Callable:
    names = tf.constant(list(labels))

    def classify(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        require_images(image_bytes)
        views, is_good = _views(image_bytes, preprocessing)
        scores = _score_of_each(network.probabilities(views), len(labels))
        scores, indices = tf.math.top_k(scores, top)
        row_is_good = is_good[:, tf.newaxis]
        status = tf.map_fn(
            lambda pair: status_of(*pair),
            (image_bytes, is_good),
            fn_output_signature=tf.string,
        )
        return {
            "classes": tf.where(row_is_good, tf.gather(names, indices), ""),
            "scores": tf.where(row_is_good, scores, 0.0),
            "status": status,
        }

    return classify


def _from_examples(classify: Callable) -> Callable:
    """Returns TensorFlow Serving's Classify signature, of serialized examples."""

    def classify_examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        image = {EXAMPLE_IMAGE: tf.io.FixedLenFeature([], tf.string)}
        found = classify(tf.io.parse_example(inputs, image)[EXAMPLE_IMAGE])
        # Two outputs are all that Classify takes.
        return {name: found[name] for name in ("classes", "scores")}

    return classify_examples


def _score_of_each(probabilities: tf.Tensor, names: int) -> tf.Tensor:
    """Returns a probability for each name, `(batch, names)`.

    One output tells two classes apart: it is the probability of the second.
    """
    if probabilities.shape[-1] == 1 and names == 2:
        return tf.concat([1 - probabilities, probabilities], axis=-1)
    return probabilities


def _from_images(network: Network, preprocessing: Preprocessing) -> Callable:
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        require_images(images)
        views = tf.map_fn(
            lambda image: evaluation_view(image, preprocessing),
            images,
            fn_output_signature=tf.TensorSpec(
                (network.size_px, network.size_px, 3), tf.float32
            ),
        )
        return {"probabilities": network.probabilities(views)}

    return classify


def make(
    network: Network,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    top: int,
    default: str = "bytes",
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns the signatures by name.

    Args:
        network: The forward pass.
        preprocessing: How an image becomes its input.
        labels: The class names; of a model with one output, those of 0 and 1, or that
            of 1 alone.
        top: How many classes are told for encoded images.
        default: Which of `DEFAULTS` is called `serving_default` too.

    Returns:
        `bytes` (`image_bytes` string `(batch,)` to `classes` string `(batch, top)`,
        `scores` float32 `(batch, top)`, `status` string `(batch,)`), `classify`
        (`inputs`, serialized `tf.train.Example`s `(batch,)`, to the first two),
        `images` (`images` uint8 `(batch, height, width, 3)`) and `tensors` (`tensors`
        float32 `(batch, size_px, size_px, 3)` in 0..255) to `probabilities` float32
        `(batch, outputs)`, and `features` (`tensors`) to `features` float32
        `(batch, channels)`. Of a model whose outputs are features, that one alone,
        which is the default then.
    """

    def from_tensors(tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network.probabilities(tensors)}

    def features(tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": network.features(tensors)}

    if network.meaning.kind == "features":
        alone = tf.function(features, autograph=False)
        signature = alone.get_concrete_function(network.spec(None))
        return {"serving_default": signature, "features": signature}
    specs = {
        "bytes": tf.TensorSpec((None,), tf.string, name="image_bytes"),
        "classify": tf.TensorSpec((None,), tf.string, name="inputs"),
        "images": tf.TensorSpec((None, None, None, 3), tf.uint8, name="images"),
        "tensors": network.spec(None),
        "features": network.spec(None),
    }
    # Traced once for both signatures.
    from_bytes = tf.function(
        _from_bytes(network, preprocessing, labels, top), autograph=False
    )
    functions = {
        "bytes": from_bytes,
        "classify": _from_examples(from_bytes),
        "images": _from_images(network, preprocessing),
        "tensors": from_tensors,
        "features": features,
    }
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(specs[name])
        for name, function in functions.items()
    }
    return {"serving_default": signatures[default], **signatures}
