"""A trained model on the Hugging Face hub: uploaded whole, and built again from there.

A repository holds `model.safetensors` in timm's names, `config.json` as timm reads it,
and a card. So it loads here with `create("hf_hub:owner/name")` and there with
`timm.create_model("hf_hub:owner/name")`; there not with a `patch_size` of its own,
which in timm is another network.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from keras_convnext._renamed import renamed_arguments
from keras_convnext.models import build
from keras_convnext.nested_layers import layers_by_name
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import find_variant
from keras_convnext.weights import save_weights_as
from keras_convnext.weights.errors import DownloadError

PREFIX = "hf_hub:"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


@renamed_arguments(licence="license")
def push_to_hub(
    model: keras.Model,
    repository: str,
    *,
    variant: str,
    labels: Sequence[str],
    license: str,
    preprocessing: Preprocessing | None = None,
    metrics: Mapping[str, float] | None = None,
    data: str = "",
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Uploads a classifier, in one commit; the repository is made where it is not.

    Args:
        model: A classifier of this library.
        repository: "owner/name".
        variant: What the model was built as, such as "convnext_tiny".
        labels: Class names in the order of the outputs.
        license: Of the weights, as the hub spells it ("apache-2.0", "cc-by-nc-4.0").
            Weights that were trained further keep the terms they came with.
        preprocessing: How an image becomes an input; ImageNet's at the model's size
            unless given.
        metrics: Figures by name, shares from 0 to 1, for the card.
        data: What it was trained on and measured with, in a few words.
        private: Whether a new repository is hidden from others.
        token: Of the hub; that of `hf auth login` unless given.
        endpoint: Another server that speaks as the hub does.

    Returns:
        Where the commit can be looked at.

    Raises:
        ValueError: The model is not of that variant, or the labels are not as many as
            its outputs; nothing is uploaded then.
        huggingface_hub.errors.HfHubHTTPError: The hub refuses.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext import hub
        >>> model = keras_convnext.create("convnext_atto", classes=2)
        >>> hub.push_to_hub(  # doctest: +SKIP
        ...     model,
        ...     "somebody/pets",
        ...     variant="convnext_atto",
        ...     labels=["cat", "dog"],
        ...     license="apache-2.0",
        ... )
    """
    from huggingface_hub import HfApi

    hub = HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as folder:
        write(
            model,
            folder,
            variant=variant,
            labels=labels,
            license=license,
            preprocessing=preprocessing,
            metrics=metrics,
            data=data,
            title=repository.rpartition("/")[2],
        )
        hub.create_repo(repository, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"{variant}, {len(labels)} classes",
        )
    return str(commit.commit_url)


def pull_from_hub(
    repository: str,
    *,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    endpoint: str | None = None,
) -> keras.Model:
    """Builds the model that `push_to_hub` has uploaded.

    Args:
        repository: "owner/name".
        revision: A branch, a tag or a commit; the newest unless given.
        cache: Folder for what is fetched; the hub's own cache unless given.
        endpoint: Another server that speaks as the hub does.

    Returns:
        The model with its weights, softmax included: images
        `(batch, height, width, channels)` in 0..255 in, probabilities
        `(batch, classes)` out. Its attribute `class_names` holds the labels.

    Raises:
        DownloadError: It could not be had.
        ValueError: The repository holds no model of this library.

    Example:
        >>> from keras_convnext import hub
        >>> model = hub.pull_from_hub("somebody/pets")  # doctest: +SKIP
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    paths = {}
    folder = None if cache is None else Path(cache)
    for name in (CONFIG, WEIGHTS):
        try:
            paths[name] = hf_hub_download(
                repository,
                name,
                revision=revision,
                cache_dir=folder,
                endpoint=endpoint,
            )
        except (HfHubHTTPError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DownloadError(f"{repository}/{name}: {reason}") from error
    return _build(Path(paths[CONFIG]), paths[WEIGHTS], repository)


@renamed_arguments(licence="license")
def write(
    model: keras.Model,
    folder: str | os.PathLike[str],
    *,
    variant: str,
    labels: Sequence[str],
    license: str,
    preprocessing: Preprocessing | None = None,
    metrics: Mapping[str, float] | None = None,
    data: str = "",
    title: str | None = None,
) -> Path:
    """Writes what `push_to_hub` uploads into a folder, and reads it back to be sure.

    Args:
        model: As in `push_to_hub`, like the arguments that are not named here.
        folder: Made where it is not there.
        variant: What the model was built as.
        labels: Class names.
        license: Of the weights.
        preprocessing: How an image becomes an input.
        metrics: Figures for the card.
        data: What it was trained on.
        title: Of the card; the variant unless given.

    Returns:
        The folder.

    Raises:
        ValueError: As in `push_to_hub`.
    """
    find_variant(variant)
    classes = model.output_shape[-1]
    if len(labels) != classes:
        raise ValueError(
            f"{len(labels)} labels for a model with {classes} outputs; give one each."
        )
    size_px = model.input_shape[1] or (preprocessing or Preprocessing()).size_px
    preprocessing = preprocessing or Preprocessing(size_px=size_px)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    config = _config(model, variant, labels, license, preprocessing)
    (place / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_weights_as(model, place / WEIGHTS, "timm")
    card = _card(title or variant, config, preprocessing, metrics or {}, data)
    (place / CARD).write_text(card, encoding="utf-8")
    try:
        read(place)
    except ValueError as error:
        raise ValueError(f"The model is no {variant}: {error}") from error
    return place


def read(folder: str | os.PathLike[str]) -> keras.Model:
    """Builds the model that lies in a folder as `write` leaves it.

    Raises:
        ValueError: There is none, or it is none of this library.
    """
    place = Path(folder)
    return _build(place / CONFIG, place / WEIGHTS, str(folder))


def _config(
    model: keras.Model,
    variant: str,
    labels: Sequence[str],
    license: str,
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    arguments = {}
    # Overlapping stems have several convolutions, and no patches.
    stem = layers_by_name(model).get("stem_conv")
    if stem is not None and stem.strides[0] != find_variant(variant).stem_stride_px:
        arguments["patch_size"] = stem.strides[0]
    fields = asdict(preprocessing)
    size_px = fields.pop("size_px")
    return {
        "architecture": variant,
        "num_classes": len(labels),
        "num_features": model.get_layer("head_dense").input.shape[-1],
        "model_args": arguments,
        "label_names": list(labels),
        # Not in pretrained_cfg, whose fields are timm's.
        "antialias": fields.pop("antialias"),
        "pretrained_cfg": {
            "license": license,
            "input_size": [3, size_px, size_px],
            "crop_pct": fields.pop("crop_fraction"),
            **fields,
            "num_classes": len(labels),
            "first_conv": "stem.0",
            "classifier": "head.fc",
        },
    }


def _build(config: Path, weights: str | Path, name: str) -> keras.Model:
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
        variant, labels = fields["architecture"], fields["label_names"]
        given = fields["pretrained_cfg"]
        preprocessing = Preprocessing(
            size_px=given["input_size"][-1],
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            crop_fraction=given["crop_pct"],
            crop_mode=given["crop_mode"],
            interpolation=given["interpolation"],
            antialias=fields.get("antialias", True),
        )
        arguments = {"patch_size": fields["model_args"].get("patch_size")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{name} holds no model that push_to_hub has written: {CONFIG} lacks or "
            f"garbles {error}."
        ) from error
    model = build(
        find_variant(variant),
        weights=str(weights),
        classes=len(labels),
        classifier_activation="softmax",
        input_shape=(preprocessing.size_px, preprocessing.size_px, 3),
        preprocessing=preprocessing,
        **arguments,
    )
    model.class_names = tuple(labels)
    return model


def _card(
    title: str,
    config: Mapping[str, Any],
    preprocessing: Preprocessing,
    metrics: Mapping[str, float],
    data: str,
) -> str:
    """Returns the repository's page: the head for the hub, then words for people."""
    labels = config["label_names"]
    head = {
        "license": config["pretrained_cfg"]["license"],
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "keras", "timm", "convnext"],
    }
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in head.items())]
    lines += ["---", "", f"# {title}", ""]
    lines += [
        f"A {config['architecture']} for {len(labels)} classes"
        + (f", trained on {data}." if data else "."),
        "",
        f"License of the weights: {head['license']}.",
        "",
        "```python",
        "import keras_convnext",
        "",
        'model = keras_convnext.create("hf_hub:OWNER/NAME")  # this repository',
        "probabilities = model(images)  # (batch, height, width, 3), 0 to 255",
        "```",
        "",
        "## Images",
        "",
        f"{preprocessing.size_px} x {preprocessing.size_px} pixels, "
        f"{preprocessing.interpolation}; crop mode {preprocessing.crop_mode}, crop "
        f"fraction {preprocessing.crop_fraction:g}. Here normalization is a layer of "
        f"the model; elsewhere it is mean {preprocessing.mean}, deviation "
        f"{preprocessing.std} on the scale 0 to 1.",
        "",
    ]
    if metrics:
        lines += ["## Figures", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
        lines += [""]
    lines += ["## Classes", "", *(f"{n}. {name}" for n, name in enumerate(labels)), ""]
    return "\n".join(lines)
