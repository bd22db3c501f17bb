"""What a worker knows of an embedded engine: the small file that the supervisor keeps, read again only when it has changed.

On the request's path, so it costs one stat. It starts nothing, probes nothing and imports nothing heavy.
"""

import json
import os
import threading
import time
from dataclasses import dataclass

POLL_S = 0.025  # between looks at the file while an engine starts; a start takes seconds

STARTING, READY, DOWN = "starting", "ready", "down"


class EngineDown(Exception):
    """The engine cannot answer now; the message says why. The supervisor goes on trying."""


@dataclass(frozen=True)
class Engine:
    """state: `starting`, `ready` or `down`. base_url, pid: None unless ready. since: wall clock, s, of entering the state."""

    state: str
    base_url: str | None = None
    pid: int | None = None
    since: float = 0.0
    reason: str | None = None


UNREPORTED = Engine(DOWN, reason="the supervisor has not reported yet")


class EngineState:
    """Reads one engine's state file; may be shared by threads."""

    def __init__(self, path):
        self._path = os.fspath(path)
        self._seen = (None, UNREPORTED)

    def read(self) -> Engine:
        """The engine as last reported; `down` while there is no report. Some 2 µs when nothing has changed."""
        seen, engine = self._seen
        try:
            status = os.stat(self._path)
            version = (status.st_mtime_ns, status.st_ino)
            if version == seen:
                return engine
            with open(self._path, "rb") as file:
                engine = Engine(**json.load(file))
        except FileNotFoundError:
            return UNREPORTED
        # One assignment, so that no thread pairs one report with another's version.
        self._seen = (version, engine)
        return engine

    def wait_ready(self, timeout_s: float, cancelled: threading.Event | None = None) -> Engine:
        """Wait while the engine is starting and return it ready.

        Raises EngineDown when it is down, or not ready within timeout_s, or when `cancelled` is set meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        cancelled = cancelled or threading.Event()
        while (engine := self.read()).state == STARTING:
            if time.monotonic() >= deadline:
                raise EngineDown(f"still starting after {timeout_s:g} s")
            if cancelled.wait(POLL_S):
                raise EngineDown("the wait was cancelled")
        if engine.state == DOWN:
            raise EngineDown(engine.reason)
        return engine


def report(path, engine: Engine) -> None:
    """Write an engine's state file, whole or not at all. The supervisor's side."""
    new = f"{os.fspath(path)}.new"
    with open(new, "w") as file:
        json.dump(vars(engine), file)
    os.replace(new, path)
