"""What a worker knows of an embedded engine: the small state file that the supervisor keeps.

On the request's path, so a read costs one stat, and the file is parsed again only when it has changed.
It starts nothing, probes nothing and imports nothing heavy.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import Protocol

POLL_S = 0.025  # between reads of the file while an engine starts; a start takes seconds

STARTING, READY, DOWN = "starting", "ready", "down"


class EngineDown(Exception):
    """The engine cannot answer now; the message says why. The supervisor goes on trying."""


class Cancellation(Protocol):
    """What can end a wait early: a request's cancel token, or a threading.Event."""

    def wait(self, timeout_s: float, /) -> bool:
        """Wait until cancelled, at most timeout_s, and return whether it was."""


@dataclass(frozen=True)
class Engine:
    """One engine, as last reported.

    state: `starting`, `ready` or `down`. base_url, pid: None unless ready. since: when it entered the state,
    wall clock, s. reason: why it is not ready, where that is known.
    """

    state: str
    base_url: str | None = None
    pid: int | None = None
    since: float = 0.0
    reason: str | None = None


UNREPORTED = Engine(DOWN, reason="the supervisor has not reported yet")


class EngineState:
    """Reads one engine's state file; may be shared by threads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._last_read: tuple[tuple[int, int] | None, Engine] = (None, UNREPORTED)

    def read(self) -> Engine:
        """The engine as last reported; `down` while there is no report.

        Some 2 µs when nothing has changed.
        """
        last_version, engine = self._last_read
        try:
            status = os.stat(self._path)
            version = (status.st_mtime_ns, status.st_ino)
            if version == last_version:
                return engine
            with open(self._path, "rb") as file:
                engine = Engine(**json.load(file))
        except FileNotFoundError:
            return UNREPORTED
        # One assignment, so that no thread pairs one report with another's version.
        self._last_read = (version, engine)
        return engine

    def wait_ready(self, timeout_s: float, cancel_token: Cancellation | None = None) -> Engine:
        """Wait while the engine is starting and return it ready.

        Raises EngineDown when it is down, when it is not ready within timeout_s, and when cancel_token is
        cancelled meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        cancel_token = cancel_token or threading.Event()
        while (engine := self.read()).state == STARTING:
            if time.monotonic() >= deadline:
                raise EngineDown(f"still starting after {timeout_s:g} s")
            if cancel_token.wait(POLL_S):
                raise EngineDown("the wait was cancelled")
        if engine.state == DOWN:
            raise EngineDown(engine.reason)
        return engine


def report(path: str | os.PathLike[str], engine: Engine) -> None:
    """Write an engine's state file, whole or not at all. The supervisor's side."""
    new = f"{os.fspath(path)}.new"
    with open(new, "w") as file:
        json.dump(vars(engine), file)
    os.replace(new, path)
