"""sessions/: one JSON file per request, written whole or not at all, off the request's path.

A request hands its finished record to a queue and goes on; one thread writes, renames and cleans up. The
folder may hold any number of files: nothing on the request's path ever looks into it. It knows nothing of
requests: a record is a dict that somebody else makes.
"""

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from telemetry.call_timing import ms_since
from telemetry.logs import fields
from wire import raw_json

MAX_WAITING = 10_000  # records that wait for a disk that has stopped; beyond it they are dropped and logged
SAVED_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]+\.json")
# What comes within it is written together: waking this thread for each request would cost the requests the
# interpreter.
GATHER_S = 0.025
UNFINISHED = ".part"
UNFINISHED_S = 60.0  # a part file this old was left by a crash

log = logging.getLogger(__name__)


class Retention(Protocol):
    """What is kept and when it is cleaned up: the section `sessions` of the configuration."""

    @property
    def max_count(self) -> int: ...
    @property
    def max_age_days(self) -> float: ...
    @property
    def clean_every(self) -> int: ...
    @property
    def clean_period_s(self) -> float: ...


Record = dict[str, Any]  # what wire.raw_json takes
_Job = tuple[str, datetime, Callable[[], Record]]  # as `save` takes it


class SessionLogger:
    def __init__(self, folder: Path, settings: Retention) -> None:
        """folder: made if missing. Raises OSError when it cannot be made."""
        self._folder = folder
        self._settings = settings
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()  # None: close
        self._saves = 0
        self._cleaned_at = time.monotonic()
        self._cleanup_ms = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="sessions", daemon=True)
        self._thread.start()

    def save(self, session_id: str, timestamp: datetime, make_record: Callable[[], Record]) -> None:
        """Queue one record for writing and return at once.

        timestamp: of the request's arrival. make_record: called by the writing thread.
        """
        if self._waiting.qsize() >= MAX_WAITING:
            log.error("Session dropped, the disk does not keep up", extra=fields(session=session_id))
            return
        self._waiting.put((session_id, timestamp, make_record))

    def move(self, folder: Path, settings: Retention) -> None:
        """Go on in another folder, or with other settings; what waits to be written goes there too.

        Raises OSError when the folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, settings

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, then stop."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._clean_safely(first=True)
        while True:
            try:
                job = self._waiting.get(timeout=self._settings.clean_period_s)
            except queue.Empty:
                self._clean_safely()
                continue
            if job is not None:
                time.sleep(GATHER_S)
            for each in (job, *self._others_waiting()):
                if each is None:
                    return
                self._save(*each)

    def _others_waiting(self) -> Iterator[_Job | None]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._waiting.get_nowait()

    def _save(self, session_id: str, timestamp: datetime, make_record: Callable[[], Record]) -> None:
        started = time.monotonic()
        failure: Exception | None = None
        try:
            self._write(f"{timestamp:%Y-%m-%d_%H-%M-%S}_{session_id}.json", raw_json.dumps(make_record()))
        # The edge of a thread that must live on: a full disk costs a log line, never an answer.
        except Exception as error:
            failure = error
        write_ms = ms_since(started)
        self._saves += 1
        if self._is_clean_up_due():
            self._clean_safely()  # after a failure too: it may be what makes room
        if failure is None:
            times = fields(write_ms=write_ms, cleanup_ms=self._cleanup_ms)
            log.info("Session saved: %s", session_id, extra=times)
        else:
            # The system's words or the class alone, since the exception's own message may quote the record.
            reason = getattr(failure, "strerror", None) or type(failure).__name__
            log.error("Session not saved: %s", session_id, extra=fields(error=reason))
        self._cleanup_ms = 0

    def _write(self, name: str, text: str) -> None:
        whole = f"{self._folder}/{name}"
        part = whole + UNFINISHED
        try:
            with _opened(part, self._folder) as file:
                file.write(text.encode())
            os.replace(part, whole)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    def _is_clean_up_due(self) -> bool:
        if self._saves % self._settings.clean_every == 0:
            return True
        return time.monotonic() - self._cleaned_at >= self._settings.clean_period_s

    def _clean_safely(self, first: bool = False) -> None:
        started = time.monotonic()
        try:
            if first:
                remove_unfinished(self._folder)
            clean(self._folder, self._settings.max_count, self._settings.max_age_days)
        except OSError as error:
            log.error("Session clean-up failed: %s", error.strerror)
        self._cleaned_at = time.monotonic()
        self._cleanup_ms = round((self._cleaned_at - started) * 1000)


def _opened(part: str, folder: Path) -> BinaryIO:
    """A new file for its owner alone. Makes the folder again if somebody removed it to delete the records."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        handle = os.open(part, flags, 0o600)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, flags, 0o600)
    return os.fdopen(handle, "wb")


def clean(folder: Path, max_count: int, max_age_days: float, now: datetime | None = None) -> None:
    """Remove records older than max_age_days, then the oldest beyond max_count.

    The time in a record's name counts; other files stay. now: local wall-clock time, naive; None takes the
    present.
    """
    oldest = f"{(now or datetime.now()) - timedelta(days=max_age_days):%Y-%m-%d_%H-%M-%S}"
    names = [name for name in os.listdir(folder) if name.endswith(".json")]
    if len(names) <= max_count and min(names, default=oldest) >= oldest:
        return  # nearly always; the closer look below takes time that the requests' threads would miss
    names = sorted(filter(SAVED_NAME.fullmatch, names))
    too_many = max(0, len(names) - max_count)
    for i, name in enumerate(names):
        if i >= too_many and name >= oldest:
            break
        with contextlib.suppress(OSError):  # one that cannot be removed must not keep the others
            os.unlink(f"{folder}/{name}")
        if i % 100 == 99:
            # Let the requests' threads have the interpreter; a first clean-up can be tens of thousands of
            # files.
            time.sleep(0.001)


def remove_unfinished(folder: Path) -> None:
    """Remove what a crash in the middle of a write has left."""
    for entry in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - entry.stat().st_mtime > UNFINISHED_S:
                entry.unlink()
