"""`python -m training.roadmap_main`: trains the road from ResNet to ConvNeXt."""

from __future__ import annotations

from keras_convnext import _cli

from .recipes import flag_hints

COMMAND = "roadmap"
SUMMARY = """Trains the steps from ResNet to ConvNeXt, all alike, and draws them.

  python -m training.roadmap_main --data=array:cifar10.npz --workdir=runs/roadmap \\
      --seeds=2 --depth_factor=0.34 --width_factor=0.25

Run the same command to resume; more --steps and --seeds add to it."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("steps", "all", "all, or comma-separated names")
    flags.integer("seeds", 1, "runs of each step", 1)
    flags.text("regime", "resnet50", "resnet50 or resnet200")
    flags.data()
    flags.text("workdir", None, "folder for the results and the figure")
    flags.recipe("the recipe of all steps", "roadmap_small")
    flags.number("depth_factor", 1.0, "multiplies every step's blocks", most=1)
    flags.number("width_factor", 1.0, "multiplies every step's channels", most=1)
    flags.text("devices", "all", "as in training")
    return flags.values


def _roadmap(chosen: _cli.FlagValues) -> int:
    _cli.import_tensorflow()
    from .roadmap.train import train

    train(chosen)
    return 0


command = _cli.Command(
    COMMAND,
    SUMMARY,
    options,
    _roadmap,
    required=("data", "workdir"),
    suggest=flag_hints.suggest,
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
