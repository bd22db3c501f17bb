"""What the commands of this room share: how they speak, what they run, how they end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from errors import ConfigError

COMMAND_S = 120  # how long a program that is asked something has


class DeployError(Exception):
    """What was wanted cannot be done; the message says why, and what to do about it."""


class Interrupted(DeployError):
    """A signal ended it."""


@dataclass(frozen=True)
class Ran:
    """How a program ended. output: stdout and stderr together, without blanks at the ends."""

    status: int
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0


Run = Callable[..., Ran]


def run(*command: str, environment: Mapping[str, str] | None = None, timeout_s: float = COMMAND_S) -> Ran:
    """Run a program and read what it says. A missing one has status 127, one that takes too long 124."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except FileNotFoundError:
        return Ran(127, f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return Ran(124, f"{command[0]} did not end within {timeout_s:g} s")
    return Ran(done.returncode, done.stdout.strip())


def say(line: str) -> None:
    """Print a line. A terminal that is gone must not break off what is half done."""
    with suppress(OSError):
        print(line, flush=True)


def ended(main: Callable[[], int | None]) -> NoReturn:
    """Run a command to its end and exit with its status; a failure is one line and not a traceback."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        status = main() or 0
    except (DeployError, ConfigError) as error:
        with suppress(OSError):
            print(f"headstart: {error}", file=sys.stderr, flush=True)
        status = 1
    except (KeyboardInterrupt, BrokenPipeError):
        status = 130
    sys.exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}")
