"""What the commands of this room share: how they fail, and the programs that they run."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from terminal.command import CommandFailed

STOP_S = 30.0  # how long a server has to end
COMMAND_S = 120.0  # how long a program that is asked something has


class DeployError(CommandFailed):
    """Headstart cannot be set up, installed, updated or restored as wanted."""


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


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, gently, and what is left of its group after that."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError, PermissionError):  # the latter on macOS, when all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
