"""One run: its extent, what was started for it, what it measures and what came out."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from bench.client import Reply
from bench.servers import Started
from bench.tables import Table
from bench.targets import Direct, Target

DEFAULT_REQUESTS = 10
FEWEST = 16  # requests of a measurement, so that each of proxy.py's many clients sends one

Server = TypeVar("Server", bound=Started)


@dataclass
class Took:
    """Replies of one route: target's name -> replies, "direct" among them, in step with each other."""

    route: str
    replies: dict[str, list[Reply]]


class Run:
    """What the sections share. Leaving it stops everything it started."""

    def __init__(self, *, requests: int, scripted: bool, scale: float) -> None:
        """requests: per measurement. scale: what the times of scripted backends are multiplied by."""
        self.requests = requests
        self.scripted = scripted
        self.scale = scale
        self.began = datetime.now().astimezone()
        self.targets: list[Target] = []
        self.direct = Direct(lambda provider: {})
        self.tables: dict[str, list[Table]] = {}  # by section
        self.notes: list[str] = []
        self.misjudged: list[str] = []  # a note for each text that a target does not decide as meant
        self.taken: list[Took] | None = None  # what requests on each route took, once measured
        self._started: list[Started] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _undisturbed():
            for server in self._started:  # all at once: each may take its time for what is in flight
                server.terminate()
            for server in reversed(self._started):
                server.stop()

    def keep(self, server: Server) -> Server:
        """Note a started process, to be stopped at the latest when the run ends."""
        self._started.append(server)
        return server

    def stop(self, *servers: Started) -> None:
        for server in servers:
            self._started.remove(server)
            server.stop()

    def count(self, usual: int) -> int:
        """A usual number of requests, shrunk or enlarged by --requests."""
        return max(FEWEST, usual * self.requests // DEFAULT_REQUESTS)

    def progress(self, step: str) -> None:
        print(f"{datetime.now():%H:%M:%S} {step}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No second Ctrl-C while things are being stopped."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
