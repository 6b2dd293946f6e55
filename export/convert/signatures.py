"""The signatures of a SavedModel: encoded images, pixels, tensors, features.

What happens to an image on its way is inside of the graph, so that every client
gets what the training pipeline's evaluation got.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def status_of(files: tf.Tensor, are_good: tf.Tensor) -> tf.Tensor:
    """Returns the problem with each image's bytes, or an empty string."""
    return tf.map_fn(
        lambda pair: _status_of_one(*pair),
        (files, are_good),
        fn_output_signature=tf.string,
    )


def _status_of_one(contents: tf.Tensor, is_good: tf.Tensor) -> tf.Tensor:
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


def views_of_files(
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


def image_specs(tensors: tf.TensorSpec) -> dict[str, tf.TensorSpec]:
    """Returns what the signatures `DEFAULTS` take.

    Args:
        tensors: What the last of them takes.
    """
    return {
        "bytes": tf.TensorSpec((None,), tf.string, name="image_bytes"),
        "images": tf.TensorSpec((None, None, None, 3), tf.uint8, name="images"),
        "tensors": tensors,
    }


def trace(
    functions: Mapping[str, Callable], specs: Mapping[str, tf.TensorSpec], default: str
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns signatures by name, with `serving_default` before them.

    Args:
        functions: What each does.
        specs: What each takes.
        default: Which of them is the default one.
    """
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(specs[name])
        for name, function in functions.items()
    }
    return {"serving_default": signatures[default], **signatures}


def of_pixels(
    answer: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any],
    preprocessing: Preprocessing,
) -> Callable[[tf.Tensor], Any]:
    """Returns a function from an image of any size, traced once for all signatures.

    Args:
        answer: From what is seen of an image, its height and its width to the answer.
        preprocessing: In which size it sees an image.
    """
    pixels = tf.TensorSpec((None, None, 3), tf.uint8)

    @tf.function(autograph=False, input_signature=[pixels])
    def of_image(image: tf.Tensor) -> Any:
        shape = tf.shape(image)
        return answer(evaluation_view(image, preprocessing), shape[0], shape[1])

    return of_image


def decode_or_nothing(contents: tf.Tensor) -> tf.Tensor:
    """Returns a file's pixels, `(0, 0, 3)` where it is no image.

    An error in a graph ends the whole call, except inside of a dataset that is told to
    leave erroneous elements out: that is how a bad file leaves its neighbors alone.
    """
    file = tf.data.Dataset.from_tensors(contents).map(decode).ignore_errors()
    nothing = tf.data.Dataset.from_tensors(tf.zeros((0, 0, 3), tf.uint8))
    image = file.concatenate(nothing).take(1).get_single_element()
    return tf.ensure_shape(image, (None, None, 3))


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
        views, is_good = views_of_files(image_bytes, preprocessing)
        scores = _score_of_each(network.probabilities(views), len(labels))
        scores, indices = tf.math.top_k(scores, top)
        row_is_good = is_good[:, tf.newaxis]
        return {
            "classes": tf.where(row_is_good, tf.gather(names, indices), ""),
            "scores": tf.where(row_is_good, scores, 0.0),
            "status": status_of(image_bytes, is_good),
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


def views_of_images(images: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Returns what a model sees of images of one size.

    Args:
        images: uint8 `(batch, height, width, 3)`.
        preprocessing: What is done with them.

    Returns:
        float32 `(batch, size_px, size_px, 3)`.
    """
    require_images(images)
    side = preprocessing.size_px
    return tf.map_fn(
        lambda image: evaluation_view(image, preprocessing),
        images,
        fn_output_signature=tf.TensorSpec((side, side, 3), tf.float32),
    )


def _from_images(network: Network, preprocessing: Preprocessing) -> Callable:
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        views = views_of_images(images, preprocessing)
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
        **image_specs(network.spec(None)),
        "classify": tf.TensorSpec((None,), tf.string, name="inputs"),
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
    return trace(functions, specs, default)
