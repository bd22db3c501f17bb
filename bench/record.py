"""What a Headstart has written down about its requests: the REQUEST lines of app.log and the session files, where they are to be had."""

import contextlib
import json
import re
import time

PATIENCE_S = 5.0  # lines and files are written after the answer
_LINE = re.compile(r" (REQUEST|Session saved:) (.*)")


class Record:
    def __init__(self, log_file, sessions_dir):
        """Both pathlib.Paths; rotated logs are `log_file.1` and so on."""
        self._log_file = log_file
        self._sessions_dir = sessions_dir

    def request_lines(self, sessions):
        """Session id -> the key=value pairs of its REQUEST line, for those that are there in time."""
        found = _awaited(
            lambda: self._pairs("REQUEST"), lambda found: all(session in found for session in sessions)
        )
        return {session: found[session] for session in sessions if session in found}

    def saved_lines(self, count):
        """The {write_ms, cleanup_ms} of all "Session saved" lines, as soon as there are `count`."""
        return list(
            _awaited(lambda: self._pairs("Session saved:"), lambda found: len(found) >= count).values()
        )

    def file(self, session):
        """A session file as a dict, None if there is none in time."""
        file = _awaited(lambda: next(self._sessions_dir.glob(f"*_{session}.json"), None), bool)
        return file and json.loads(file.read_text())

    def _pairs(self, event):
        pairs = {}
        for file in sorted(self._log_file.parent.glob(self._log_file.name + "*"), reverse=True):
            with contextlib.suppress(OSError):
                for line in file.read_text(errors="replace").splitlines():
                    found = _LINE.search(line)
                    if found and found[1] == event:
                        words = found[2].split()
                        told = dict(word.split("=", 1) for word in words if "=" in word)
                        pairs[told.get("session") or words[0]] = told
        return pairs


def _awaited(look, enough):
    """What look() finds once it is enough, or after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not enough(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
