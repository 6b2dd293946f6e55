"""Rules that say what another project calls each tensor."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from keras_convnext.weights.layouts import Layout, kind_of
from keras_convnext.weights.tensor_file import TensorInfo

STAGES = 4
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
        unknown: Names that the table has no rule for.
    """

    table: Table
    found: Mapping[str, str]
    ignored: Mapping[str, str]
    unknown: tuple[str, ...]


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
        ours_of = {
            theirs: ours for ours, theirs, _ in self._rules(_largest_number(tensors))
        }
        found: dict[str, str] = {}
        ignored: dict[str, str] = {}
        unknown: list[str] = []
        for name, info in tensors.items():
            ours = ours_of.get(self._clean(name))
            reason = self._reason_to_ignore(name)
            if ours and ours not in found and self._fits(ours, info):
                found[ours] = name
            elif reason:
                ignored[name] = reason
            else:
                unknown.append(name)
        return Match(self, found, ignored, tuple(unknown))

    def write_names(self, paths: Collection[str]) -> dict[str, tuple[str, Form]]:
        """Returns what the table calls our tensors, and the axes that it adds.

        Args:
            paths: Our names. Those that the table has no rule for are left out of
                the result.
        """
        wanted = set(paths)
        names: dict[str, tuple[str, Form]] = {}
        for ours, theirs, form in self._rules(_largest_number(paths)):
            # Where several names mean one tensor, the first is the one to write.
            if ours in wanted and ours not in names:
                names[ours] = theirs, form
        return names

    def _rules(self, largest: int) -> Iterator[tuple[str, str, Form]]:
        """Yields (ours, theirs, form) for every place that a file may have."""
        for row in self.rows:
            for places in _places(row.ours, largest):
                yield row.ours.format(**places), row.theirs.format(**places), row.form

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


def _largest_number(names: Collection[str]) -> int:
    """Returns the largest block number that the names may hold."""
    numbers = [int(n) for name in names for n in re.findall(r"\d{1,4}", name)]
    # A file cannot have more blocks than tensors, whatever its names claim.
    return min(max(numbers, default=0), len(names))


def _places(pattern: str, largest: int) -> Iterator[dict[str, int]]:
    """Yields the values of {s}, {d}, {b} and what follows from them."""
    stages = {"{s}": range(STAGES), "{d}": range(1, STAGES)}
    numbers = next((stages[key] for key in stages if key in pattern), range(1))
    blocks = range(largest + 1) if "{b}" in pattern else range(1)
    for stage in numbers:
        for block in blocks:
            yield {
                "s": stage,
                "d": stage,
                "b": block,
                "odd": 2 * stage + 1,
                "even": 2 * stage,
                "before": stage - 1,
            }
