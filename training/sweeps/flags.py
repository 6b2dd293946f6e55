"""What the flags of a command mean that trains several runs of one recipe."""

from __future__ import annotations

from typing import Any

from ..recipes import flag_hints

suggest = flag_hints.suggest


def training_arguments(chosen: Any) -> list[str]:
    """Returns what `training.main` is told of every run.

    Args:
        chosen: The parsed flags, those of `Flags.several_runs` among them.
    """
    said = [f"--{name}={chosen[name].value}" for name in ("recipe", "data", "devices")]
    said += [f"--set={change}" for change in chosen.set]
    said += [f"--weights={chosen.weights}"] if chosen.weights else []
    return said + (["--skip_bad_images"] if chosen.skip_bad_images else [])
