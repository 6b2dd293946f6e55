"""A weights file or a workdir of one's own: which variant and patch size it is of."""

from __future__ import annotations

import json
from pathlib import Path

from keras_convnext.weights.identify import identify

_MODEL = "model.keras"
_RECIPE = "recipe.json"
# Fields of a recipe that say what a task's network looks like.
_OF_TASKS = {
    "segmentation": ("head_channels",),
    "detection": ("detector", "pyramid_channels", "head_units"),
}


def file_of(named: str) -> Path | None:
    """Returns the weights file that a path names; None where it names none.

    Args:
        named: A file, or the workdir of a finished run.

    Raises:
        ValueError: It is a folder without a model.
    """
    path = Path(named).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        return None
    if not (path / _MODEL).is_file():
        raise ValueError(
            f"--weights={named} is a folder without {_MODEL}; give a weights file, or "
            "the workdir of a finished run"
        )
    return path / _MODEL


def changes(file: Path, variant: str) -> list[str]:
    """Returns the recipe fields that a weights file decides, as `--set` takes them.

    Args:
        file: The file. What a run left is asked by the `recipe.json` beside it, others
            by the shapes of their tensors.
        variant: The recipe's, which stays where the file fits it as well as another.
    """
    recipe = file.parent / _RECIPE
    if file.name == _MODEL and recipe.is_file():
        fields = json.loads(recipe.read_text(encoding="utf-8"))
        names = ["variant", "patch_size", *_OF_TASKS.get(fields.get("task"), ())]
        known = {name: fields.get(name) for name in names}
        return [f"{name}={value}" for name, value in known.items() if value]
    try:
        found = identify(file, preferred=variant)
    except (OSError, ValueError):
        # Loading it says in full what is wrong.
        return []
    if found is None:
        return []
    patch_size = [f"patch_size={found.patch_size}"] if found.patch_size else []
    return [f"variant={found.variant}", *patch_size]
