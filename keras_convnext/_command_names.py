"""What the commands are called: by module in a checkout, by script where installed."""

from __future__ import annotations

from pathlib import Path

# By the modules of a checkout; setup.py installs them under these names.
INSTALLED = {
    "training.main": "keras-convnext-train",
    "training.evaluate_main": "keras-convnext-evaluate",
    "training.predict_main": "keras-convnext-predict",
    "training.calibrate_main": "keras-convnext-calibrate",
    "training.embed_main": "keras-convnext-embed",
    "training.explain_main": "keras-convnext-explain",
    "training.preview_main": "keras-convnext-preview",
    "training.average_main": "keras-convnext-average",
    "training.compare_main": "keras-convnext-compare",
    "training.cross_validate_main": "keras-convnext-cross-validate",
    "training.sweep_main": "keras-convnext-sweep",
    "export.main": "keras-convnext-export",
    "export.convert_main": "keras-convnext-convert",
    "export.serve_main": "keras-convnext-serve",
}


# Installed, the applications lie inside of this package.
IS_INSTALLED = (Path(__file__).parent / "training").is_dir()


def name_installed(text: str) -> str:
    """Returns a text with the commands of a checkout called as they are installed.

    Modules without a command of their own are run as modules of this package.

    Example:
        >>> name_installed("python -m export.serve_main --model_dir=runs/demo/export")
        'keras-convnext-serve --model_dir=runs/demo/export'
    """
    for module, command in INSTALLED.items():
        text = text.replace(f"python -m {module} ", f"{command} ")
    for application in ("training", "export"):
        text = text.replace(
            f"python -m {application}.", f"python -m keras_convnext.{application}."
        )
    return text
