"""Flags that do not exist, fewer epochs, and workdirs that say what was not given."""

import dataclasses
import json

import pytest

from keras_convnext import _cli
from keras_convnext._messages import UsageError
from training import main, preview_main
from training.recipes import flag_hints, overrides, recipe, table
from training.report import finished
from training.tasks import CLASSIFICATION
from training.workdir.layout import Workdir, identity

METRIC = CLASSIFICATION.metric


def parse(argv):
    return _cli.parse(main.options(), argv, flag_hints.suggest)


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--epochs=3", "--set epochs=3"),
        ("--lr=1e-3", "--set peak_lr=1e-3"),
        ("--learning-rate=1e-3", "--set peak_lr=1e-3"),
        ("--batch=8", "--set global_batch=8"),
        ("--batch_size=8", "--set global_batch=8"),
        ("--imgsz=64", "--set size_px=64"),
        ("--mixup=0.2", "--set augmentation.mixup=0.2"),
        ("--augmentation.mixup=0.2", "--set augmentation.mixup=0.2"),
        ("--variant=convnext_tiny", "--set variant=convnext_tiny"),
        ("--epochs", "--set epochs=..."),
        ("--output_dir=runs/a", "--workdir=runs/a"),
        ("--pretrained=x.pth", "--weights=x.pth"),
        ("--dataset=folder:a", "--data=folder:a"),
        ("--gpus=1", "--devices=1"),
    ],
)
def test_a_flag_that_others_have_says_what_it_is_here(flag, meant):
    with pytest.raises(UsageError) as raised:
        parse(["train", flag])
    assert str(raised.value).endswith(f"; give {meant}")


def test_every_field_of_the_recipe_is_told_by_its_name():
    for field in dataclasses.fields(recipe.Recipe):
        if field.name not in ("name", "augmentation", "weights"):
            with pytest.raises(UsageError, match=f"give --set {field.name}=7$"):
                parse(["train", f"--{field.name}=7"])


@pytest.mark.parametrize(
    ("command", "argv", "words"),
    [
        (main, ["train", "--lr=3"], "there is no flag --lr; give --set peak_lr=3"),
        (preview_main, ["preview", "--size=3"], "give --set size_px=3"),
        (main, ["train", "--nonsense=3"], "Unknown command line flag 'nonsense'"),
    ],
)
def test_the_commands_say_so_in_one_line(capsys, command, argv, words):
    assert command.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize("name", table.RECIPES)
def test_every_recipe_can_be_tried_for_a_few_epochs(name):
    whole = table.RECIPES[name]
    for epochs in range(1, min(whole.epochs, 40)):
        short = table.resolve(name, [f"epochs={epochs}"])
        assert short.frozen_epochs + short.warmup_epochs < epochs
        # No longer than in the whole run, and what fits stays.
        assert short.frozen_epochs <= whole.frozen_epochs
        if whole.frozen_epochs + whole.warmup_epochs < epochs:
            assert short == dataclasses.replace(whole, epochs=epochs)


def test_what_is_said_of_the_warm_up_stays():
    changes = ["epochs=3", "warmup_epochs=2"]
    short = table.resolve("finetune_small", changes)
    assert (short.frozen_epochs, short.warmup_epochs) == (0, 2.0)
    with pytest.raises(ValueError, match=r"warmup_epochs is 3\.0, not from 0"):
        table.resolve("finetune_small", ["epochs=3", "warmup_epochs=3"])


def test_a_stored_recipe_comes_back_the_same():
    for whole in table.RECIPES.values():
        there = json.loads(json.dumps({**identity(whole, "digits"), "classes": 10}))
        assert recipe.from_json(there) == whole


@pytest.mark.parametrize("values", [{}, {"name": 3}, {"augmentation": 3}])
def test_a_file_that_is_no_recipe_makes_none(values):
    with pytest.raises(ValueError, match="Not a recipe"):
        recipe.from_json(values)


def test_the_command_that_trains_on_has_all_that_was_changed(tmp_path):
    whole = table.resolve("demo", ["ema_decay=none", "size_px=48", "epochs=4"])
    run = Workdir(tmp_path / "a run")
    run.claim(identity(whole, "folder:my photos"))
    run.metrics.write_text('{"top1": 0.5}')
    longer = dataclasses.replace(whole, epochs=20, warmup_epochs=3)
    with pytest.raises(UsageError, match="is finished") as raised:
        finished.words(run, identity(longer, "folder:my photos"), METRIC)
    said = str(raised.value)
    assert "'--data=folder:my photos'" in said
    assert f"'--weights={tmp_path}/a run' '--workdir={tmp_path}/a run-2'" in said
    sets = [word[6:] for word in said.split() if word.startswith("--set=")]
    assert sorted(sets) == ["ema_decay=none", "epochs=20", "size_px=48"]
    with pytest.raises(UsageError, match=r"holds another run .seed=0 there"):
        finished.words(
            run,
            identity(dataclasses.replace(longer, seed=1), "folder:my photos"),
            METRIC,
        )


def test_what_differs_from_another_recipe_is_told():
    base = table.RECIPES["demo"]
    changes = ["augmentation.shift_px=0", "ema_decay=none", "epochs=30"]
    changed = overrides.apply_overrides(base, changes)
    told = overrides.format_overrides(changed, base=base)
    assert sorted(told) == changes
    assert overrides.apply_overrides(base, told) == changed
