"""How these commands speak: tables in colour on a terminal, plain text in a pipe, JSON on demand."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from wire import JsonObject

PIPE_COLUMNS = 1000  # nothing is wrapped or cut in a pipe
STYLES = {
    "healthy": "green",
    "degraded": "yellow",
    "unknown": "yellow",
    "unhealthy": "red",
    "disabled": "dim",
}


def options(prog: str, does: str) -> argparse.ArgumentParser:
    """The options that all commands have."""
    parser = argparse.ArgumentParser(prog=f"make {prog}", description=does)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser


def show(parts: Iterable[RenderableType]) -> None:
    """Print tables and lines, one after the other. NO_COLOR is respected."""
    console = _console()
    if console.is_terminal:
        for part in parts:
            console.print(part)
        return
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    # Cells are padded, which is of no use at the end of a line.
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def show_json(value: JsonObject) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def busy(words: str) -> Iterator[None]:
    """Say on a terminal what is waited for, for as long as this lasts."""
    if not sys.stderr.isatty():
        yield
        return
    print(f"{words} ...", end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\x1b[K", end="", file=sys.stderr, flush=True)


def note(line: str) -> None:
    """Say something beside the answer, which a pipe does not get."""
    print(line, file=sys.stderr)


def table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """An empty table. numbers: the columns that are aligned to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    right = set(numbers)
    for column in columns:
        is_number = column in right
        # Where it is narrow, words are wrapped and figures stay whole.
        made.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return made


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=None if terminal else PIPE_COLUMNS)
