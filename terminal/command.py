"""How a command speaks and ends: what cannot be done is one line and no traceback."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from errors import ConfigError
from terminal.interruption import status_of_interruption


class CommandFailed(Exception):
    """What was wanted cannot be done; the message says why, and what to do about it."""


class Interrupted(CommandFailed):
    """A signal ended it."""


def say(line: str) -> None:
    """Print a line. A terminal that is gone must not break off what is half done."""
    with suppress(OSError):
        print(line, flush=True)


def run_and_exit(main: Callable[[], int | None]) -> NoReturn:
    """Run a command to its end and exit with its status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        status = main() or 0
        sys.stdout.flush()
    except (CommandFailed, ConfigError) as error:
        with suppress(OSError):
            print(f"headstart: {error}", file=sys.stderr, flush=True)
        status = 1
    except KeyboardInterrupt:
        status = status_of_interruption()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        if error.filename is None:
            raise
        with suppress(OSError):
            print(f"headstart: {error.filename}: {error.strerror}", file=sys.stderr, flush=True)
        status = 1
    sys.exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}")
