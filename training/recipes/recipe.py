"""What a recipe is: everything that decides how a training run goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any

from .augmentation import Augmentation
from .box_augmentation import BoxAugmentation
from .limits import LIMITS
from .mask_augmentation import MaskAugmentation
from .task_fields import fields_of_other_tasks

_WITHOUT_LABELS = ("masked_autoencoding", "feature_distillation")
NO_AUGMENTATION = Augmentation()
NO_MASK_AUGMENTATION = MaskAugmentation()
NO_BOX_AUGMENTATION = BoxAugmentation()


@dataclass(frozen=True)
class Recipe:
    """One training run's numbers.

    Attributes:
        name: Key in `RECIPES`.
        variant: Name in `keras_convnext.list_variants()`.
        task: The kind of work, one of `limits.KINDS`.
        weights: What training starts from, as the builders take it ("imagenet", a
            tag, a path); None starts from random weights.
        size_px: Side of the square images, training and evaluation alike; of label maps
            and objects the side of the crops, and the shorter side in evaluation.
        patch_size: Side of the stem's patches in pixels; None is the variant's.
        stochastic_depth_rate: Of the last block; rises linearly from the first.
        layer_scale_init_value: None takes the variant's.
        head_init_scale: Factor on the classifier's initial kernel.
        dropout_rate: Before the classifier; detectors and pre-training have none.
        epochs: Passes over the training images.
        warmup_epochs: Linear rise of the learning rate, in epochs.
        frozen_epochs: Epochs at the start in which the head alone learns; the
            backbone's weights stay as they were loaded, and the rise of the learning
            rate comes after them.
        frozen_lr: Learning rate of these epochs.
        global_batch: Images a step, over all devices.
        warmup_start: Where that rise begins, as a share of the highest learning rate.
        schedule: How the learning rate falls after it: "cosine" for half a cosine,
            "linear" for a straight line, "step" to a tenth after three quarters and to
            a hundredth after eleven twelfths of the run.
        peak_lr: Highest learning rate.
        lr_batch: The batch that `peak_lr` is meant for: with another `global_batch`
            it is scaled in proportion. None: it is never scaled.
        min_lr: What the fall ends at.
        optimizer: "adamw", or one of Keras' own: "sgd", "lion", "lamb", "adafactor" or
            "muon", which has AdamW for what is no matrix inside the network.
        weight_decay: Decoupled, whatever the optimizer; not on biases, norms, layer
            scale and GRN.
        beta_1: Decay of the first moment; of SGD the momentum.
        beta_2: Decay of the second moment.
        layer_decay: Factor on the learning rate from each layer to the one before it;
            None for one rate everywhere.
        layer_assignment: What counts as a layer there, "group", "single" or "stage";
            see `keras_convnext.layer_decay`.
        accumulation_steps: Parts that each device takes its share of a batch in, one
            after another, to save memory.
        clip_norm: Largest norm of all gradients together, after they are summed
            over the devices; None for no limit.
        label_smoothing: Share of the target spread over all classes.
        target: What an image is labeled with: "label" for one class, "ordered" for
            one of classes that have an order, "labels" for several or none, "number"
            for a number; lists have the last two (`--data=files:LIST.csv`).
        class_order: Of "ordered" classes all names, the lowest first, divided by
            commas; None sorts them by the numbers in their names, or as text.
        loss: "softmax" for cross-entropy, "sigmoid" for binary cross-entropy of each
            class on its own, averaged over the classes. Source: arXiv:2110.00476. With
            several labels "sigmoid", "focal" (arXiv:1708.02002) or "asymmetric"
            (arXiv:2009.14119), with numbers "huber" or "mse", in units of the training
            images' standard deviation. With ordered classes "cumulative", "emd"
            (arXiv:1611.05916) or "softmax"; see `tasks.losses`.
        target_threshold: With "sigmoid", targets above it become 1 and others 0;
            None leaves them soft.
        class_balance: What makes up for uneven classes: "weights" for a factor on the
            loss of each class's images, "sampling" for equally many images of each
            class in an epoch, or "none". With several labels "weights" is a factor on
            each label where it applies.
        teacher: A trained model whose answers for the same images are learned, too: a
            .keras file, a workdir, a published name, for features also a KerasHub
            preset ("keras_hub:NAME").
        distillation: What is learned from it: its "logits", then it tells the same
            classes, or its "features".
        distillation_weight: Share of what is learned from the teacher in the loss.
            The rest is that of the labels.
        distillation_temperature: What both logits are divided by there.
            Source: arXiv:1503.02531.
        ema_decay: Decay of the moving average of the weights, which is then what is
            evaluated and kept; None for no average.
        augmentation: What happens to the training images.
        mask_augmentation: What happens to training images with masks.
        reduce_zero_label: Whether 0 in masks means no label and the classes begin with
            1, where the data do not say so themselves.
        head_channels: Channels inside the heads of segmentation.
        auxiliary_weight: Factor on the loss of the auxiliary head of segmentation.
        loss_over: What the loss of a label map is divided by: "all" its pixels, or the
            "valid" ones, which have a label.
        detector: The network of detection, one of `limits.DETECTORS`.
        box_augmentation: What happens to training images with boxes.
        pyramid_channels: Channels of the maps that a detector's heads read.
        head_units: Of the dense layers in a detector's box heads.
        training_proposals: Boxes of an image that a detector's heads may learn from.
        sampled_boxes: How many of these they learn from in a step, a quarter of them
            objects at most.
        mask_ratio: Share of an image's patches that pre-training masks.
        probe_data: Labeled images, as `--data` takes them, on which pre-training
            measures its features: the accuracy of their nearest neighbors.
        probe_epochs: Epochs from one such measurement to the next.
        evaluation_crop: How evaluation makes images square, "center" or "squash".
            None: as the starting weights' record says where it is for this size, else
            as the kind of data says.
        steps_per_call: Steps that the devices take before Python looks at the results.
            The weights do not depend on it.
        precision: "float32", "mixed_bfloat16", or "mixed_float16" with loss scaling.
        validation_share: Share for validation if the data has no split of its own.
        folds: Parts that all labeled images are divided into for cross-validation, each
            with its share of every class. None: `validation_share` divides them.
        fold: The part that is for validation, from 1; all others are for training.
        keep: Which epoch's weights are the run's result, "last" or "best" by
            `best_metric`.
        best_metric: The column of history.csv that decides the best epoch ("val_loss");
            None for the task's own.
        patience: Epochs without a better one after which a run ends. None: it goes on
            to its last epoch. Only with `keep="best"`.
        keep_checkpoints: How many of the newest checkpoints stay, beside the best.
        seed: Of the initial weights, the order, the augmentation and the split.
    """

    name: str
    variant: str
    size_px: int
    epochs: int
    global_batch: int
    peak_lr: float
    task: str = "classification"
    lr_batch: int | None = None
    weights: str | None = None
    patch_size: int | None = None
    stochastic_depth_rate: float = 0.0
    layer_scale_init_value: float | None = None
    head_init_scale: float = 1.0
    dropout_rate: float = 0.0
    warmup_epochs: float = 0.0
    warmup_start: float = 0.0
    schedule: str = "cosine"
    frozen_epochs: int = 0
    frozen_lr: float = 1e-3
    min_lr: float = 1e-6
    optimizer: str = "adamw"
    weight_decay: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.999
    layer_decay: float | None = None
    layer_assignment: str = "group"
    accumulation_steps: int = 1
    clip_norm: float | None = None
    label_smoothing: float = 0.1
    target: str = "label"
    class_order: str | None = None
    loss: str = "softmax"
    target_threshold: float | None = None
    class_balance: str = "none"
    teacher: str | None = None
    distillation: str = "logits"
    distillation_weight: float = 0.5
    distillation_temperature: float = 2.0
    ema_decay: float | None = None
    augmentation: Augmentation = NO_AUGMENTATION
    mask_augmentation: MaskAugmentation = NO_MASK_AUGMENTATION
    reduce_zero_label: bool = False
    head_channels: int = 512
    auxiliary_weight: float = 0.4
    loss_over: str = "all"
    detector: str = "mask_rcnn"
    box_augmentation: BoxAugmentation = NO_BOX_AUGMENTATION
    pyramid_channels: int = 256
    head_units: int = 1024
    training_proposals: int = 1000
    sampled_boxes: int = 512
    mask_ratio: float = 0.6
    probe_data: str | None = None
    probe_epochs: int = 10
    evaluation_crop: str | None = None
    steps_per_call: int = 1
    precision: str = "float32"
    validation_share: float = 0.2
    folds: int | None = None
    fold: int | None = None
    keep: str = "last"
    best_metric: str | None = None
    patience: int | None = None
    keep_checkpoints: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}, not {wanted}"
            for name, (holds, wanted) in LIMITS.items()
            if not holds(self, getattr(self, name))
        ]
        problems += [
            f"{name} is of {task} alone, and this recipe is of {self.task}"
            for name, task in fields_of_other_tasks(self.task).items()
            if getattr(self, name) != _DEFAULT_OF[name]
        ]
        if self.task in _WITHOUT_LABELS and self.augmentation.mixes:
            problems.append("augmentation.mixup and cutmix are not for pre-training")
        if problems:
            raise ValueError(f"Not a recipe: {'; '.join(problems)}.")

    @property
    def scaled_lr(self) -> float:
        """The highest learning rate, for this batch."""
        return self.peak_lr * self.global_batch / (self.lr_batch or self.global_batch)


_DEFAULT_OF = {field.name: field.default for field in fields(Recipe)}


def from_json(values: Mapping[str, Any]) -> Recipe:
    """Returns the recipe that a workdir's recipe.json holds.

    Args:
        values: The file's; what else it says of the run is passed over, and a field
            that is younger than the file has its default.

    Raises:
        ValueError: They are no recipe's.
    """
    known = {field.name for field in fields(Recipe)}
    given = {name: _tuples(value) for name, value in values.items() if name in known}
    try:
        for name, kind in _INNER.items():
            inner = {k: _tuples(v) for k, v in values.get(name, {}).items()}
            given[name] = kind(**inner)
        return Recipe(**given)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"Not a recipe: {error}.") from error


_INNER = {
    "augmentation": Augmentation,
    "mask_augmentation": MaskAugmentation,
    "box_augmentation": BoxAugmentation,
}


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# As JSON has them. A run that is older than a field had what is now its default.
DEFAULTS: dict[str, Any] = {
    field.name: (
        json.loads(json.dumps(asdict(field.default)))
        if is_dataclass(field.default) and not isinstance(field.default, type)
        else field.default
    )
    for field in fields(Recipe)
    if field.default is not MISSING
}
