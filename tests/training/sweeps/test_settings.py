"""What the runs of a sweep differ in."""

import numpy as np
import pytest

from training.sweeps import settings


def test_a_grid_has_every_combination_once():
    varied = [
        settings.parse("peak_lr=1e-3,3e-3,1e-3"),
        settings.parse("augmentation.crop_scale=0.3,1;0.5,1"),
    ]
    assert settings.grid(varied) == [
        ("peak_lr=1e-3", "augmentation.crop_scale=0.3,1"),
        ("peak_lr=1e-3", "augmentation.crop_scale=0.5,1"),
        ("peak_lr=3e-3", "augmentation.crop_scale=0.3,1"),
        ("peak_lr=3e-3", "augmentation.crop_scale=0.5,1"),
    ]


def test_more_samples_keep_the_earlier_ones():
    varied = [settings.parse("peak_lr=loguniform(1e-4, 1e-2)")]
    few, more = settings.sample(varied, 3, 7), settings.sample(varied, 6, 7)
    assert more[:3] == few
    assert len(set(more)) == 6
    assert settings.sample(varied, 3, 8) != few


def test_ranges_are_drawn_evenly_on_their_scale():
    varied = [
        settings.parse("peak_lr=loguniform(1e-4,1e-2)"),
        settings.parse("dropout_rate=uniform(0,0.5)"),
        settings.parse("schedule=cosine,linear"),
    ]
    drawn = settings.sample(varied, 400, seed=0)
    rates, dropout, schedules = (
        [change.partition("=")[2] for change in column]
        for column in zip(*drawn, strict=True)
    )
    logs, plain = np.log10([*map(float, rates)]), np.array([*map(float, dropout)])
    # The mean of 400 uniform draws is off by 4 standard deviations at most.
    assert abs(logs.mean() + 3) < 4 * 2 / np.sqrt(12 * 400)
    assert abs(plain.mean() - 0.25) < 4 * 0.5 / np.sqrt(12 * 400)
    assert logs.min() >= -4
    assert logs.max() <= -2
    assert 140 < schedules.count("cosine") < 260


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("peak_lr", "not of the form"),
        ("peak_lr=", "not of the form"),
        ("peak_lr=1,,2", "empty value"),
        ("peak_lr=loguniform(0,1)", "is no range"),
        ("peak_lr=uniform(2,1)", "is no range"),
        ("peak_lr=normal(0,1)", "is no range"),
    ],
)
def test_mistakes_are_told(text, words):
    with pytest.raises(ValueError, match=words):
        settings.parse(text)


def test_a_range_has_no_grid():
    with pytest.raises(ValueError, match="--samples"):
        settings.grid([settings.parse("peak_lr=uniform(0,1)")])


def test_folders_have_names_that_every_system_takes():
    name = settings.folder_name(["weights=runs/a b", "augmentation.flip=true"])
    assert name == "weights=runs-a-b,augmentation.flip=true"
