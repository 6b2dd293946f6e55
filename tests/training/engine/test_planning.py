"""What recipes would take: figures by hand, and those that were measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from training import main
from training.engine import first_step, planning
from training.recipes.table import RECIPES

DOCS = Path(__file__).resolve().parents[3] / "docs"
GIB = 2**30
# A step's bytes of an image: 14 bfloat16 numbers for each of a block's, and its pixels,
# as bytes and twice as floats.
PIXELS = 224 * 224 * 3 * 9
TINY = 28 * (56**2 * 96 * 3 + 28**2 * 192 * 3 + 14**2 * 384 * 9 + 7**2 * 768 * 3)
XLARGE = 28 * (56**2 * 256 * 3 + 28**2 * 512 * 3 + 14**2 * 1024 * 27 + 7**2 * 2048 * 3)


def test_a_measured_recipe_has_the_measured_speed():
    found = planning.plan(RECIPES["v1_tiny_in1k"])
    assert found.is_measured
    assert found.speed == (4139, 4139)
    seconds = 1_281_167 * 300 / 4139
    assert found.seconds == pytest.approx((seconds, seconds))
    assert found.cores == 18  # 17.7 at 234 images a second each
    # 256 of the 4,096 images at once; weights, gradients, two moments and an average.
    expected = 256 * (TINY + PIXELS) + 28_589_128 * 4 * 5
    assert found.memory[2] == pytest.approx(expected, rel=1e-3)
    assert planning.cells(RECIPES["v1_tiny_in1k"])[1:3] == ("4,139", "measured")


def test_others_are_estimated_by_arithmetic_and_by_traffic():
    found = planning.plan(RECIPES["v1_xlarge_in22k"])
    assert not found.is_measured
    # 60.98 billion multiply-accumulates by timm's table; three passes, two operations.
    by_arithmetic = 0.112 * 989e12 / (6 * 60.98e9)
    by_traffic = 4139 * (TINY + PIXELS) / (XLARGE + PIXELS)
    assert found.speed == pytest.approx((by_arithmetic, by_traffic), rel=0.01)
    whole = 4096 * (XLARGE + PIXELS) + 350_196_968 * 4 * 4
    assert found.memory[0] == pytest.approx(whole, rel=0.01)
    row = planning.cells(RECIPES["v1_xlarge_in22k"])
    assert row[1:3] == ("300 to 970", "estimated")
    assert row[6:] == ("5", "15 to 49 d", "1 H200")


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("upernet_tiny_ade20k", 939e9 / 4),
        ("cascade_mask_rcnn_base_coco", 964e9),
        # Two fifths of 4.46, and a decoder of 4.1 million parameters at 49 places.
        ("v2_tiny_fcmae_in1k", 0.4 * 4.46e9 + 49 * 4.1e6),
    ],
)
def test_heads_are_in_the_arithmetic(name, work):
    speed = 0.112 * 989e12 / (6 * work)
    found = planning.estimate(replace(RECIPES[name], precision=planning.PRECISION), 150)
    assert found[1] == pytest.approx(speed, rel=0.01)


def test_a_teacher_takes_a_forward_pass_of_the_three_of_a_step():
    # timm's table: 15.38 billion multiply-accumulates of convnext_base, 0.55 of atto.
    recipe = replace(RECIPES["distill_small"], precision=planning.PRECISION)
    speed = 0.112 * 989e12 / (6 * 0.55e9 + 2 * 15.38e9)
    assert planning.estimate(recipe, 0) == pytest.approx((speed,), rel=0.01)


def test_the_memory_is_near_the_measured_one():
    recipe = replace(planning._MEASURED, ema_decay=None)
    image, fixed = first_step.bytes_of(recipe, classes=1000)
    assert 256 * image + fixed == pytest.approx(14.72e9, rel=0.15)


def test_a_smaller_batch_than_the_measured_one_makes_it_an_estimate():
    assert planning.cells(RECIPES["finetune_small"])[1:3] == ("4,100", "estimated")


def test_small_images_are_slower_than_any_estimate():
    recipe = replace(RECIPES["scratch_small"], precision=planning.PRECISION)
    assert min(planning.estimate(recipe, 10)) > 180_000
    assert planning.plan(recipe).speed == (40_000, 40_000)


def test_parts_that_a_batch_has_not_stay_empty_and_so_does_the_time_of_own_data():
    row = planning.cells(RECIPES["finetune_detect_small"])
    assert row[4] != row[5] == ""
    assert row[7] == ""


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("reference/measurements.md", "keras_convnext, JAX backend | 4,139 | 11.2%"),
        ("reference/measurements.md", "on one core: keras_convnext 234 img/s"),
        ("training.md", "at 40,000 images per second"),
        ("training.md", "`--recipe=demo --data=digits` | 98.59 % | 4:59"),
    ],
)
def test_what_is_measured_stands_on_its_page(page, words):
    assert words in (DOCS / page).read_text("utf-8")
    assert planning.IMAGES_A_CORE == 234
    assert planning._RUNS["demo"][0] == pytest.approx(25 * 1442 / 299, rel=0.01)


def test_the_command_prints_a_row_for_each_recipe(capsys):
    assert main.main(["train", "--recipe=help", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == list(RECIPES)
    assert "measured" in lines[3]
