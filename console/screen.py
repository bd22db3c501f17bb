"""How these commands speak: tables in colour on a terminal, the same as plain text in a pipe, JSON on demand.

A command that fails says so in one line. Its exit status is for scripts; `make` gets none, since it would add
error lines of its own.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from console.server import Unasked
from errors import ConfigError
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


def busy(words: str) -> None:
    """Say what is waited for, on a terminal, until the next line is printed over it."""
    if sys.stderr.isatty():
        print(f"{words} ...", end="\r", file=sys.stderr, flush=True)


def done() -> None:
    """What `busy` has said is over."""
    if sys.stderr.isatty():
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


def ended(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its status; what cannot be done is one line and not a traceback."""
    try:
        code = main()
        sys.stdout.flush()
    except (Unasked, ConfigError) as error:
        done()
        note(f"headstart: {error}")
        code = 1
    except KeyboardInterrupt:
        done()
        code = 130
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=None if terminal else PIPE_COLUMNS)
