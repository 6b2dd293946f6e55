"""`--set field=value`, typed and strict."""

import re
from dataclasses import dataclass

import pytest

from training.recipes import overrides


@dataclass(frozen=True)
class Inner:
    flip: bool = False
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Outer:
    name: str = "here"
    epochs: int = 3
    rate: float = 0.5
    decay: float | None = None
    word: str | None = None
    inner: Inner = Inner()

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}, not 1 or more")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("epochs=30", Outer(epochs=30)),
        ("rate=1e-3", Outer(rate=0.001)),
        ("rate=2", Outer(rate=2.0)),
        ("decay=0.99", Outer(decay=0.99)),
        ("decay=none", Outer()),
        ("word=a=b", Outer(word="a=b")),
        ("inner.flip=True", Outer(inner=Inner(flip=True))),
        ("inner.scale=0.08,1", Outer(inner=Inner(scale=(0.08, 1.0)))),
        ("inner.scale=(0.5, 0.75)", Outer(inner=Inner(scale=(0.5, 0.75)))),
    ],
)
def test_a_text_becomes_a_value_of_the_fields_type(change, expected):
    assert overrides.apply_overrides(Outer(), [change]) == expected


def test_several_changes_apply_together():
    changed = overrides.apply_overrides(
        Outer(), ["epochs=4", "inner.flip=true", "rate=0"]
    )
    assert changed == Outer(epochs=4, rate=0.0, inner=Inner(flip=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs=2.5", "epochs takes a whole number, not '2.5'"),
        ("epochs=", "epochs takes a whole number, not ''"),
        ("epochs=none", "epochs takes a whole number, not 'none'"),
        ("rate=fast", "rate takes a number, not 'fast'"),
        ("rate=nan", "rate takes a number, not 'nan'"),
        ("rate=inf", "rate takes a number, not 'inf'"),
        ("decay=x", "decay takes a number or none, not 'x'"),
        ("inner.flip=1", "inner.flip takes true or false, not '1'"),
        (
            "inner.scale=0.5",
            "inner.scale takes a number and a number or none, not '0.5'",
        ),
        ("epochs", "'epochs' is not of the form field=value"),
        ("name=there", "there is no field 'name'"),
        ("inner=3", "there is no field 'inner'"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_in_words(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        overrides.apply_overrides(Outer(), [change], fixed=("name",))


def test_an_unknown_field_is_answered_with_the_fields():
    words = (
        "there is no field 'epoch' (did you mean epochs?); the fields are "
        "epochs, rate, decay, word, inner.flip, inner.scale"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        overrides.apply_overrides(Outer(), ["epoch=2"], fixed=("name",))


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"epochs takes .*; .*rate takes "):
        overrides.apply_overrides(Outer(), ["epochs=x", "rate=y"])


def test_the_records_own_limits_hold():
    with pytest.raises(ValueError, match="epochs is 0, not 1 or more"):
        overrides.apply_overrides(Outer(), ["epochs=0"])
