"""Random changes of training images in JAX, for a whole batch at once on its device.

They are those of `augment` and `mixing`; what a recipe may ask for beyond them is in
`NOT_HERE`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..recipes.augmentation import Augmentation

# Fields that must stay at their defaults.
NOT_HERE = ("crop_scale", "rand_augment", "color_jitter", "random_erasing", "repeats")


def augment(images: Any, key: Any, augmentation: Augmentation) -> Any:
    """Returns one training view of each image.

    Args:
        images: uint8 `(batch, size, size, 3)`.
        key: Of JAX; the same key gives the same views.
        augmentation: Its `flip` and `shift_px` are used.

    Returns:
        uint8 `(batch, size, size, 3)`.
    """
    flip_key, shift_key = jax.random.split(key)
    if augmentation.flip:
        mirrored = jax.random.bernoulli(flip_key, 0.5, (len(images), 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    if augmentation.shift_px:
        images = shift(images, shift_key, augmentation.shift_px)
    return images


def shift(images: Any, key: Any, shift_px: int) -> Any:
    """Moves each image by up to `shift_px`; its reflection comes in at the border."""
    around = [(0, 0), (shift_px, shift_px), (shift_px, shift_px), (0, 0)]
    padded = jnp.pad(images, around, mode="reflect")
    offsets = jax.random.randint(key, (len(images), 2), 0, 2 * shift_px + 1)

    def cut(image: Any, offset: Any) -> Any:
        start = (offset[0], offset[1], 0)
        return jax.lax.dynamic_slice(image, start, images.shape[1:])

    return jax.vmap(cut)(padded, offsets)


def mixup_cutmix(
    images: Any, labels: Any, key: Any, classes: int, augmentation: Augmentation
) -> tuple[Any, Any]:
    """Returns a batch mixed with itself in reverse order; one draw serves all of it.

    Args:
        images: uint8 `(batch, height, width, 3)`.
        labels: Class numbers `(batch,)`.
        key: Of JAX; the same key mixes the same way.
        classes: How many there are.
        augmentation: Its `mixup`, `cutmix` and two probabilities are used.

    Returns:
        (images uint8, labels float32 `(batch, classes)`, each row summing to 1), or
        both as they are where nothing is to be mixed.
    """
    if not augmentation.mixes:
        return images, labels
    targets = jax.nn.one_hot(labels, classes)
    whether, which, share_key, place_key = jax.random.split(key, 4)
    cuts = jnp.asarray(augmentation.cutmix > 0)
    if augmentation.mixup > 0 and augmentation.cutmix > 0:
        cuts = jax.random.uniform(which) < augmentation.mix_switch_probability
    alpha = jnp.where(cuts, augmentation.cutmix, augmentation.mixup)
    share = jax.random.beta(share_key, alpha, alpha)
    mixes = jax.random.uniform(whether) < augmentation.mix_probability
    share = jnp.where(mixes, share, 1.0)
    size = jnp.array(images.shape[1:3])
    middle = jnp.floor(jax.random.uniform(place_key, (2,)) * size).astype(jnp.int32)
    pasted, kept = paste_around(images, share, middle)
    images = jnp.where(cuts, pasted, mixup(images, share))
    share = jnp.where(cuts, kept, share)
    return images, share * targets + (1.0 - share) * targets[::-1]


def mixup(images: Any, share: Any) -> Any:
    """Returns `share` of each image plus the rest of its mirror in the batch."""
    own, other = (each.astype(jnp.float32) for each in (images, images[::-1]))
    return jnp.round(share * own + (1.0 - share) * other).astype(jnp.uint8)


def paste_around(images: Any, share: Any, middle: Any) -> tuple[Any, Any]:
    """Pastes a box of each image's mirror in the batch over it.

    The box has the image's aspect and 1 - share of its area; what sticks out is
    cut off.

    Args:
        images: uint8 `(batch, height, width, 3)`.
        share: What each image is meant to keep of its own, scalar.
        middle: Row and column of the box's middle, int32 `(2,)`.

    Returns:
        (images, the share of the area that each image kept of its own).
    """
    size = jnp.array(images.shape[1:3])
    side = (size.astype(jnp.float32) * jnp.sqrt(1.0 - share)).astype(jnp.int32)
    top, left = jnp.clip(middle - side // 2, 0, size)
    bottom, right = jnp.clip(middle + (side + 1) // 2, 0, size)
    rows, columns = (jnp.arange(length) for length in images.shape[1:3])
    inside = ((rows >= top) & (rows < bottom))[:, None]
    inside = inside & (columns >= left) & (columns < right)
    pasted = jnp.where(inside[..., None], images[::-1], images)
    return pasted, 1.0 - jnp.mean(inside, dtype=jnp.float32)
