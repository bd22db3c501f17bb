"""Numbers into tables, for eyes and for the README. A table is a title, rows (flat dicts with the same keys) and notes."""

import dataclasses
import math


@dataclasses.dataclass
class Table:
    """rows: dicts, values text, numbers or None. notes: sentences that belong to them."""

    title: str
    rows: list
    notes: list = dataclasses.field(default_factory=list)

    def text(self):
        """Aligned columns for a terminal."""
        columns, cells = self._cells()
        widths = [max(len(row[i]) for row in [columns, *cells]) for i in range(len(columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [columns, *cells]
        ]
        return "\n".join([self.title, "", *lines, *(f"  {note}" for note in self.notes)])

    def markdown(self):
        columns, cells = self._cells()
        rule = ["---", *("---:" for _ in columns[1:])]
        return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *cells])

    def _cells(self):
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        return columns, [[shown(row.get(column)) for column in columns] for row in self.rows]


def shown(value):
    """A value as a cell: three digits that count, thousands separated."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value == 0 or isinstance(value, int):
        return f"{value:,}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 2)}f}"


def quantile(values, q):
    """The q-quantile by nearest rank, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def median(values):
    """The middle value, the mean of the two middle ones, None of nothing. None among the values is left out."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def less(value, base):
    """value - base, None when either is."""
    return None if value is None or base is None else value - base


def ratio(value, base):
    """value / base, None when either is or base is 0."""
    return None if value is None or not base else value / base
