"""Numbers into tables, for eyes and for the README."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None
Row = dict[str, Cell]


@dataclass
class Table:
    """A title, rows with the same keys, and notes: sentences that belong to them."""

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Aligned columns for a terminal."""
        columns, cells = self._cells()
        widths = [max(len(row[i]) for row in [columns, *cells]) for i in range(len(columns))]
        lines = [_aligned(row, widths) for row in [columns, *cells]]
        return "\n".join([self.title, "", *lines, *(f"  {note}" for note in self.notes)])

    def markdown(self) -> str:
        columns, cells = self._cells()
        rule = ["---", *("---:" for _ in columns[1:])]
        return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *cells])

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        return columns, [[shown(row.get(column)) for column in columns] for row in self.rows]


def _aligned(row: list[str], widths: list[int]) -> str:
    """One line: the first cell to the left, the others to the right."""
    cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()


def shown(value: Cell) -> str:
    """A value as a cell: three digits that count, thousands separated."""
    if value is None:
        return "-"
    if isinstance(value, (bool, str)):
        return str(value)
    if value == 0 or isinstance(value, int):
        return f"{value:,}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 2)}f}"


def quantile(values: Sequence[float], q: float) -> float | None:
    """The q-quantile by nearest rank, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def median(values: Iterable[float | None]) -> float | None:
    """The middle value, or the mean of the two middle ones, None of nothing. Skips None among the values."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def less(value: float | None, base: float | None) -> float | None:
    """value - base, None when either is."""
    return None if value is None or base is None else value - base


def ratio(value: float | None, base: float | None) -> float | None:
    """value / base, None when either is or base is 0."""
    return None if value is None or not base else value / base
