"""Rules that say what another project calls each tensor."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from keras_convnext.weights.layouts import Layout, kind_of
from keras_convnext.weights.tensor_file import TensorInfo

STAGES = 4
STEM = "stem_conv/kernel"
_WORD = re.compile(r"[a-zA-Z]*")
_NUMBER = re.compile(r"[0-9]+")
# What stands for a number in a rule.
_FIELD = re.compile(r"\{\w+\}|[0-9]+")
_MOST_DIGITS = 4
# Each is factor * stage + offset; the last number is the first stage that has it.
_STAGE_FIELDS = {
    "{s}": (1, 0, 0),
    "{d}": (1, 0, 1),
    "{odd}": (2, 1, 0),
    "{even}": (2, 0, 1),
    "{before}": (1, -1, 1),
}
Form = tuple[int, ...] | None
# torch's wrappers put their own attribute names in front.
TORCH_WRAPPERS = ((r"^(module\.|_orig_mod\.|model\.)+", ""),)


@dataclass(frozen=True)
class Row:
    """One rule: a pattern of names here and the same pattern elsewhere.

    Attributes:
        ours: "<layer>/<variable>" with {s} for a stage, {d} for a stage that has a
            downsampling before it (from 1 on), and {b} for a block.
        theirs: The other name, which may also use {odd} = 2 * stage + 1,
            {even} = 2 * stage and {before} = stage - 1.
        form: Axes of length one that the other side adds (see `Layout.write`).
    """

    ours: str
    theirs: str
    form: Form = None


def linear(ours: str, theirs: str, form: Form = None) -> list[Row]:
    """Returns the rules of a convolution or a dense layer in torch's words."""
    return [
        Row(f"{ours}/kernel", f"{theirs}.weight", form),
        Row(f"{ours}/bias", f"{theirs}.bias"),
    ]


def norm(ours: str, theirs: str) -> list[Row]:
    """Returns the rules of a norm in torch's words."""
    return [
        Row(f"{ours}/gamma", f"{theirs}.weight"),
        Row(f"{ours}/beta", f"{theirs}.bias"),
    ]


@dataclass(frozen=True)
class Match:
    """Which tensors of a file a table knows.

    Attributes:
        table: The table.
        found: Our name to the file's.
        ignored: The file's name to the reason why it is not needed.
        unknown: Names that the table has no rule for, inside of the network.
        beside: Those that are not part of the network: a head of somebody's own,
            a loss, another network.
        prefix: What stands before the names of the network.
    """

    table: Table
    found: Mapping[str, str]
    ignored: Mapping[str, str]
    unknown: tuple[str, ...]
    beside: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def has_stem(self) -> bool:
        """Whether a network begins in the file, and not only something alike."""
        return STEM in self.found

    def within(self, prefix: str, tensors: Collection[str]) -> Match:
        """Returns this match of names behind a prefix as one of the whole names."""
        found = {ours: f"{prefix}{theirs}" for ours, theirs in self.found.items()}
        ignored = {f"{prefix}{name}": reason for name, reason in self.ignored.items()}
        unknown = tuple(f"{prefix}{name}" for name in self.unknown)
        known = {*found.values(), *ignored, *unknown}
        beside = tuple(name for name in tensors if name not in known)
        return Match(self.table, found, ignored, unknown, beside, prefix)


@dataclass(frozen=True, eq=False)
class Table:
    """What one project, or one release of it, calls the tensors.

    Attributes:
        dialect: The project's word, as in `save_weights_as(dialect=...)`.
        rows: The rules.
        layout: How its tensors lie in memory.
        cleaning: Patterns and replacements, applied in this order to a file's names
            before the rules see them.
        ignored: Patterns of names that no model needs, with the reason.
        zeros: Our names of tensors that the files may leave out, meaning zero.
        norm_first: Whether the last norm stands before the pooling.
        last_widths: Widths of the last stage that the project writes this way;
            None for any.
    """

    dialect: str
    rows: tuple[Row, ...]
    layout: Layout
    cleaning: tuple[tuple[str, str], ...] = TORCH_WRAPPERS
    ignored: tuple[tuple[str, str], ...] = ()
    zeros: frozenset[str] = frozenset()
    norm_first: bool = False
    last_widths: frozenset[int] | None = None

    def match(self, tensors: Mapping[str, TensorInfo]) -> Match:
        """Finds the rule for every tensor of a file.

        A name only counts if its shape can be that of the tensor it would be; of
        several names for one tensor the first in the file counts.
        """
        found: dict[str, str] = {}
        ignored: dict[str, str] = {}
        unknown: list[str] = []
        beside: list[str] = []
        for name, info in tensors.items():
            clean = self._clean(name)
            ours = self._ours_of(clean)
            reason = self._reason_to_ignore(name)
            if ours and ours not in found and self._fits(ours, info):
                found[ours] = name
            elif reason:
                ignored[name] = reason
            elif _first_word(clean) in self._words_of_body:
                unknown.append(name)
            else:
                beside.append(name)
        return Match(self, found, ignored, tuple(unknown), tuple(beside))

    def write_names(self, paths: Collection[str]) -> dict[str, tuple[str, Form]]:
        """Returns the table's names for our tensors, and the axes that it adds.

        Args:
            paths: Our names. Those that the table has no rule for are left out of
                the result.
        """
        names: dict[str, tuple[str, Form]] = {}
        for ours in paths:
            for row in self._rows_by_ours.get(_NUMBER.sub("#", ours), ()):
                places = _places(row.ours, ours)
                if places is not None:
                    # Where several names mean one tensor, the first is to be written.
                    names[ours] = row.theirs.format(**places), row.form
                    break
        return names

    def _ours_of(self, theirs: str) -> str | None:
        """Returns our name of a tensor, None if there is no rule for it."""
        for row in self._rows_by_theirs.get(_NUMBER.sub("#", theirs), ()):
            places = _places(row.theirs, theirs)
            if places is not None:
                return row.ours.format(**places)
        return None

    @cached_property
    def stem_name(self) -> str:
        """What it calls the first kernel of a network."""
        return next(row.theirs for row in self.rows if row.ours == STEM)

    @cached_property
    def _words_of_body(self) -> Collection[str]:
        """The first words of all names but those of the head."""
        return {
            _first_word(row.theirs)
            for row in self.rows
            if not row.ours.startswith("head_")
        }

    @cached_property
    def _rows_by_ours(self) -> Mapping[str, list[Row]]:
        return _by_template(self.rows, lambda row: row.ours)

    @cached_property
    def _rows_by_theirs(self) -> Mapping[str, list[Row]]:
        return _by_template(self.rows, lambda row: row.theirs)

    def _clean(self, name: str) -> str:
        for pattern, replacement in self.cleaning:
            name = re.sub(pattern, replacement, name)
        return name

    def _fits(self, ours: str, info: TensorInfo) -> bool:
        return self.layout.shape(kind_of(ours), info.shape) is not None

    def _reason_to_ignore(self, name: str) -> str | None:
        for pattern, reason in self.ignored:
            if re.fullmatch(pattern, name):
                return reason
        return None


def _first_word(name: str) -> str:
    """Returns the letters that a name begins with: "stage" of "stage0_block0_norm"."""
    return _WORD.match(name)[0]  # type: ignore[index]  # it may be empty


def _by_template(
    rows: Iterable[Row], pattern_of: Callable[[Row], str]
) -> dict[str, list[Row]]:
    """Returns the rules by their names here or there, with "#" for each number."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(_FIELD.sub("#", pattern_of(row)), []).append(row)
    return found


def _places(pattern: str, name: str) -> dict[str, int] | None:
    """Returns the values of {s}, {d}, {b} and what follows from them.

    Args:
        pattern: Names of a rule, as `Row` has them.
        name: A name that differs from them in its numbers alone.

    Returns:
        None if the name is none of the pattern's.
    """
    stage, block = 0, 0
    for field, number in zip(
        _FIELD.findall(pattern), _NUMBER.findall(name), strict=True
    ):
        if field.isdigit():
            if field != number:
                return None
        elif len(number) > _MOST_DIGITS or str(int(number)) != number:
            return None
        elif field == "{b}":
            block = int(number)
        else:
            factor, offset, first = _STAGE_FIELDS[field]
            stage, rest = divmod(int(number) - offset, factor)
            if rest or not first <= stage < STAGES:
                return None
    return {
        "s": stage,
        "d": stage,
        "b": block,
        "odd": 2 * stage + 1,
        "even": 2 * stage,
        "before": stage - 1,
    }
