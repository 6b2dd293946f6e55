"""Whether the first step can be taken: the batch against the data and the memory."""

from __future__ import annotations

from pathlib import Path

from keras_convnext._messages import UsageError
from keras_convnext.variants import VARIANTS, StemConv

from ..recipes.recipe import Recipe
from .head_sizes import HEADS, no_heads

# A batch that needs each image so often is a mistake, not a small data set.
_MOST_REPEATS = 4
# Tensors as wide as a block that its backward pass needs, the four times wider inside
# counted four times: measured on convnext_atto and convnext_tiny.
_KEPT_WIDTHS = 14
_KEPT_WIDTHS_OF_GRN = 8
_OF_WHOLE_MAPS = 0.1
# Of each parameter: the weight, its gradient and AdamW's two moments.
_COPIES = 4
# An estimate is no measurement: what needs up to so many times the free memory may run.
_CERTAIN = 2.0
_GIB = 2**30
_MEMINFO = Path("/proc/meminfo")
# What a container may have and has: cgroup version 2, then version 1.
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def check_batch(recipe: Recipe, train_examples: int, replicas: int) -> str | None:
    """Returns a line where a batch is larger than the data; None where it is not.

    Args:
        recipe: The run's.
        train_examples: Images to train on.
        replicas: Devices that share a batch.

    Raises:
        UsageError: It is so many times larger that it must be a mistake, or cannot be
            shared evenly.
    """
    parts = replicas * recipe.accumulation_steps
    if recipe.global_batch % parts:
        way = f"--set global_batch={max(recipe.global_batch // parts, 1) * parts}"
        if parts > recipe.global_batch:
            way = f"--set accumulation_steps={max(recipe.global_batch // replicas, 1)}"
        raise UsageError(
            f"global_batch={recipe.global_batch} cannot be shared evenly: devices "
            f"{replicas}, accumulation_steps {recipe.accumulation_steps}; {way}"
        )
    if recipe.global_batch <= train_examples:
        return None
    fitting = 1
    while fitting * 2 * max(replicas, 4) <= train_examples:
        fitting *= 2
    words = (
        f"global_batch={recipe.global_batch} is more than the {train_examples:,} "
        "images to train on, so that a step repeats them: --set "
        f"global_batch={fitting * replicas}"
    )
    if recipe.accumulation_steps > 1:
        words += " --set accumulation_steps=1"
    if recipe.global_batch > _MOST_REPEATS * train_examples:
        raise UsageError(words)
    return words


def check_memory(recipe: Recipe, replicas: int, classes: int = 0) -> str | None:
    """Returns a line where the first step may not fit into the memory, None if it will.

    For processors, whose memory TensorFlow takes until the system ends the process.

    Args:
        recipe: The run's.
        replicas: Logical processors that share a batch and the memory.
        classes: Of the data; 0 as long as they are not known.

    Raises:
        UsageError: It needs more than twice the memory that is free.
    """
    free = free_bytes()
    if free is None or recipe.variant not in VARIANTS:
        return None
    image, fixed = bytes_of(recipe, replicas, classes)
    at_once = -(-recipe.global_batch // recipe.accumulation_steps)
    needed = at_once * image + fixed
    if needed <= free:
        return None
    room = max((free - fixed) // image, 1)
    parts = 1
    while recipe.global_batch > parts * room and parts * replicas < recipe.global_batch:
        parts *= 2
    fitting = max(recipe.global_batch // parts // replicas, 1) * replicas
    words = (
        f"a step needs about {needed / _GIB:,.1f} GiB and {free / _GIB:,.1f} GiB are "
        f"free: {image / 2**20:,.0f} MiB for each of {at_once:,} images at once "
        f"(estimated from the widths of {recipe.variant} at {recipe.size_px} px in "
        f"{recipe.precision}), {fixed / _GIB:,.1f} GiB for weights and optimizer; "
        f"--set global_batch={fitting}, or --set accumulation_steps={parts} to keep "
        "the batch"
    )
    if needed > _CERTAIN * free:
        raise UsageError(words)
    return f"{words} if it is ended by the system"


def out_of_memory(recipe: Recipe) -> str:
    """Returns what is said where the memory of the devices is full in a step."""
    return (
        f"the memory of the devices is full in a step of {recipe.global_batch} "
        f"images of {recipe.size_px} px; in a new --workdir, --set "
        f"accumulation_steps={2 * recipe.accumulation_steps} takes a batch in "
        "more parts, and a smaller --set global_batch= or size_px= needs less"
    )


def bytes_of(recipe: Recipe, replicas: int = 1, classes: int = 0) -> tuple[int, int]:
    """Returns the memory that a step needs for each image, and besides.

    Args:
        recipe: The run's; its variant is one of the table.
        replicas: Copies of the variables.
        classes: Of the data.
    """
    variant = VARIANTS[recipe.variant]
    convolutions = [part for part in variant.stem if isinstance(part, StemConv)]
    stride = variant.stem_stride_px
    if recipe.patch_size and len(convolutions) == 1:
        stride = recipe.patch_size
    kept = _KEPT_WIDTHS + (_KEPT_WIDTHS_OF_GRN if variant.grn else 0)
    widths = variant.widths
    sides = [recipe.size_px // (stride * 2**stage) for stage in range(len(widths))]
    stretch = 1.0
    if recipe.task == "detection":
        stretch = recipe.box_augmentation.largest_area
    visible = 1.0
    if recipe.task == "masked_autoencoding":
        # Visible positions, and depthwise convolutions, which take whole maps.
        visible = 1 - recipe.mask_ratio + _OF_WHOLE_MAPS
    areas = [int(stretch * visible * max(side, 1) ** 2) for side in sides]
    blocks = zip(areas, widths, variant.depths, strict=True)
    numbers = kept * sum(area * width * depth for area, width, depth in blocks)
    heads = HEADS.get(recipe.task, no_heads)(recipe, widths, areas, classes)
    size = 4 if recipe.precision == "float32" else 2
    pixels = int(stretch * recipe.size_px**2) * 3
    # The image as bytes in the pipeline, and as floats, normalized and not.
    image = (numbers + heads.maps) * size + heads.pixels * 4 + pixels * (1 + 4 + 4)
    copies = _COPIES + (recipe.ema_decay is not None)
    parameters = variant.parameters + heads.parameters
    return image, parameters * 4 * copies * replicas


def free_bytes() -> int | None:
    """Returns the memory that this process may still take; None where nobody says."""
    found = [_meminfo(), *(_cgroup(*files) for files in _CGROUPS)]
    known = [value for value in found if value is not None]
    return min(known) if known else None


def _meminfo() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _cgroup(limit: Path, used: Path) -> int | None:
    """Returns the free memory of a container; None without a limit."""
    try:
        most, now = (file.read_text(encoding="ascii").strip() for file in (limit, used))
    except OSError:
        return None
    if not (most.isdecimal() and now.isdecimal()):
        return None
    return max(int(most) - int(now), 0)
