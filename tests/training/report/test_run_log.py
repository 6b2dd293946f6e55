"""What a run says at its beginning."""

from training.recipes import table
from training.report import run_log


def test_a_recipe_is_told_in_words_and_in_full():
    recipe = table.resolve("finetune_small", ["epochs=5", "augmentation.mixup=0.2"])
    words, *lines = run_log.of_recipe(recipe).splitlines()
    assert words.startswith("recipe: finetune_small from imagenet, 5 epochs (only")
    assert all(line.startswith("  ") and len(line) <= 88 for line in lines)
    told = " ".join(lines).split()
    # Every one of them is what `--set` takes, and together they are the recipe.
    assert {"epochs=5", "augmentation.mixup=0.2", "layer_decay=0.8"} <= set(told)
    assert table.resolve("finetune_small", told) == recipe


def test_one_epoch_is_not_told_as_several():
    recipe = table.resolve("scratch_small", ["epochs=1", "warmup_epochs=0"])
    assert "scratch_small, 1 epoch at 32 px" in run_log.of_recipe(recipe)
