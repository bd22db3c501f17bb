"""What a Headstart has written down about its requests: REQUEST lines of app.log and session files."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from bench.client import JsonObject
from telemetry.log_values import pairs_in

PATIENCE_S = 5.0  # lines and files are written after the answer
_LINE = re.compile(r"\S+ \S+ \w+ (REQUEST|Session saved:) (.*)")

Found = TypeVar("Found")
Pairs = dict[str, str]  # the key=value pairs of a line


class Record:
    def __init__(self, log_file: Path, sessions_dir: Path) -> None:
        """Rotated logs are `log_file.1` and so on."""
        self._log_file = log_file
        self._sessions_dir = sessions_dir

    def request_lines(self, sessions: Iterable[str]) -> dict[str, Pairs]:
        """Session id -> the pairs of its REQUEST line, for those that are there in time."""
        wanted = set(sessions)
        found = _awaited(lambda: self._pairs("REQUEST"), lambda found: wanted <= found.keys())
        return {session: found[session] for session in wanted if session in found}

    def saved_lines(self, count: int) -> list[Pairs]:
        """The {write_ms, cleanup_ms} of all "Session saved" lines, as soon as there are `count`."""
        found = _awaited(lambda: self._pairs("Session saved:"), lambda found: len(found) >= count)
        return list(found.values())

    def session(self, session: str) -> JsonObject | None:
        """What a session file holds, None if there is none in time."""
        file = _awaited(lambda: next(self._sessions_dir.glob(f"*_{session}.json"), None), bool)
        return json.loads(file.read_text()) if file else None

    def _pairs(self, event: str) -> dict[str, Pairs]:
        """By session, the pairs of each line of this kind."""
        by_session = {}
        for file in sorted(self._log_file.parent.glob(self._log_file.name + "*"), reverse=True):
            with contextlib.suppress(OSError):
                for line in file.read_text(errors="replace").splitlines():
                    found = _LINE.match(line)
                    if found and found[1] == event:
                        pairs = pairs_in(found[2])
                        by_session[pairs.get("session") or found[2].split()[0]] = pairs
        return by_session


def _awaited(look: Callable[[], Found], enough: Callable[[Found], bool]) -> Found:
    """What look() finds once it is enough, or after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not enough(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
