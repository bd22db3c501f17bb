"""What the commands of this room share: how they speak, what they run, how they end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from errors import ConfigError

STOP_S = 30.0  # how long a server has to end
COMMAND_S = 120.0  # how long a program that is asked something has


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


def run(
    *command: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_S,
    own_group: bool = False,
) -> Ran:
    """Run a program and read what it says. A missing one has status 127, one that takes too long 124.

    folder: where it runs. own_group: Ctrl-C does not reach it.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            process_group=0 if own_group else None,
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


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, gently, and what is left of its group after that."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError, PermissionError):  # the latter on macOS, when all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
