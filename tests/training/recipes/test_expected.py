"""What recipes reach, and the list that `--recipe=help` prints."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from training import main
from training.recipes.augmentation import Augmentation
from training.recipes.box_augmentation import BoxAugmentation
from training.recipes.expected import expect
from training.recipes.mask_augmentation import MaskAugmentation
from training.recipes.recipe import Recipe
from training.recipes.table import RECIPES

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text("utf-8")


# As arXiv:2201.03545 and arXiv:2301.00808 print them; ConvNeXt-T from 22k stands in the
# official README alone.
@pytest.mark.parametrize(
    ("recipe", "top1"),
    [
        ("v1_tiny_in1k", 82.1),
        ("v1_large_in1k", 84.3),
        ("v1_isotropic_small_in1k", 79.7),
        ("v1_base_in1k_384", 85.1),
        ("v1_tiny_in22k_ft_in1k_384", 84.1),
        ("v1_base_in22k_ft_in1k_384", 86.8),
        ("v1_xlarge_in22k_ft_in1k_224", 87.0),
        ("v2_atto_fcmae_ft_in1k", 76.7),
        ("v2_huge_fcmae_ft_in1k", 86.3),
        ("v2_base_fcmae_ft_in22k_in1k_224", 86.8),
        ("v2_huge_fcmae_ft_in22k_in1k_512", 88.9),
        ("v1_xlarge_in22k", None),
        ("v2_nano_fcmae_ft_in22k", None),
    ],
)
def test_the_papers_recipes_state_the_papers_accuracy(recipe, top1):
    assert expect(RECIPES[recipe]).top1 == top1


def test_every_recipe_says_what_it_reaches_and_who_measured_it():
    for recipe in RECIPES.values():
        expected = expect(recipe)
        assert expected.data
        assert expected.task == recipe.task
        figures = (expected.top1, expected.miou, expected.box_ap, expected.mask_ap)
        assert (set(figures) == {None}) == (not expected.source)
    for known in ("demo", "finetune_detect_small", "mask_rcnn_tiny_coco"):
        with pytest.raises(ValueError, match="what mine reaches is not said"):
            expect(replace(RECIPES[known], name="mine"))


@pytest.mark.parametrize("recipe", ["demo", "scratch_small"])
def test_what_was_measured_here_stands_with_its_command_on_the_page(recipe):
    expected = expect(RECIPES[recipe])
    [row] = re.findall(rf"^.*`--recipe={recipe} --data=(?!folder).*$", PAGE, re.M)
    assert f"{expected.top1:.2f} %" in row
    minutes, seconds = re.search(r"(\d+):(\d\d) \|$", row).groups()
    # A minute is how finely the list tells it.
    assert expected.minutes == pytest.approx(int(minutes) + int(seconds) / 60, abs=0.1)


def test_recipe_help_lists_every_recipe_and_every_field(capsys):
    assert main.main(["train", "--recipe=help"]) == 0
    text = capsys.readouterr().out
    for name in RECIPES:
        assert re.search(rf"^{name} +{RECIPES[name].task} ", text, re.M)
    assert re.search(r"^demo .* digits +98.59 % +0:05 h +2 busy CPU cores ", text, re.M)
    assert re.search(r"^upernet_tiny_ade20k .* ADE20K +46.0 % mIoU ", text, re.M)
    assert re.search(r"^finetune_small .* not measured$", text, re.M)
    assert re.search(r"^mask_rcnn_tiny_coco .* 46.2 % box AP, 41.7 % ", text, re.M)
    inner = {
        "augmentation": Augmentation,
        "mask_augmentation": MaskAugmentation,
        "box_augmentation": BoxAugmentation,
    }
    named = {field.name for field in fields(Recipe)} - {"name", *inner}
    for name, kind in inner.items():
        named |= {f"{name}.{field.name}" for field in fields(kind)}
    told = re.findall(r"^  ([\w.]+)(?:=\S*)?  [A-Z\"].*\.$", text, re.M)
    assert set(told) == named
