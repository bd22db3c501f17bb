"""sessions/: one JSON file per request, written whole or not at all, off the request's path.

A request hands its finished record to a queue and is done with it; one thread writes, renames and cleans up. The folder may hold
any number of files: nothing on the request's path ever looks into it.
"""

import contextlib
import json
import logging
import os
import queue
import re
import secrets
import threading
import time
from datetime import datetime, timedelta

from telemetry.logs import fields

MAX_WAITING = 10_000  # records that wait for a disk that has stopped; beyond it they are dropped, and said so
SAVED_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]+\.json")
GATHER_S = 0.025  # what comes within it is written in one go: waking this thread for each request would cost the requests the interpreter
UNFINISHED = ".part"
UNFINISHED_S = 60.0  # a part file this old was left by a crash
_CLOSE = object()
_PLACEHOLDER = secrets.token_hex(16)  # nobody outside can know it, so no content can hold it

log = logging.getLogger(__name__)


class RawJSON:
    """Text that is JSON already and goes into the file as it is."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text


class SessionLogger:
    def __init__(self, folder, settings):
        """folder: a pathlib.Path, made if missing. settings: config.Sessions."""
        self._folder = folder
        self._settings = settings
        self._waiting = queue.SimpleQueue()
        self._saves = 0
        self._cleaned_at = time.monotonic()
        self._cleanup_ms = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="sessions", daemon=True)
        self._thread.start()

    def save(self, session_id, timestamp, make_record):
        """Queue one record for writing and return at once.

        timestamp: datetime of the request's arrival. make_record: called by the writing thread, returns the record as a dict, which may hold RawJSON.
        """
        if self._waiting.qsize() >= MAX_WAITING:
            log.error("Session dropped, the disk does not keep up", extra=fields(session=session_id))
            return
        self._waiting.put((session_id, timestamp, make_record))

    def move(self, folder, settings):
        """Go on in another folder, or with other settings; what waits to be written goes there too. Raises OSError when the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, settings

    def close(self, timeout_s=5.0):
        """Write what waits, then stop."""
        self._waiting.put(_CLOSE)
        self._thread.join(timeout_s)

    def _run(self):
        self._clean_safely(first=True)
        while True:
            try:
                item = self._waiting.get(timeout=self._settings.clean_period_s)
            except queue.Empty:
                self._clean_safely()
                continue
            if item is not _CLOSE:
                time.sleep(GATHER_S)
            for each in (item, *self._rest()):
                if each is _CLOSE:
                    return
                self._save(*each)

    def _rest(self):
        """What else waits now."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._waiting.get_nowait()

    def _save(self, session_id, timestamp, make_record):
        started = time.monotonic()
        failure = None
        try:
            self._write(f"{timestamp:%Y-%m-%d_%H-%M-%S}_{session_id}.json", to_json(make_record()))
        except (
            Exception
        ) as error:  # the edge of a thread that must live on: a full disk costs a line, never an answer
            failure = error
        write_ms = round((time.monotonic() - started) * 1000)
        self._saves += 1
        if (
            self._saves % self._settings.clean_every == 0
            or time.monotonic() - self._cleaned_at >= self._settings.clean_period_s
        ):
            self._clean_safely()  # after a failure too: it may be what makes room
        if failure is None:
            log.info(
                "Session saved: %s", session_id, extra=fields(write_ms=write_ms, cleanup_ms=self._cleanup_ms)
            )
        else:
            told = (
                getattr(failure, "strerror", None) or type(failure).__name__
            )  # its text may quote the record
            log.error("Session not saved: %s", session_id, extra=fields(error=told))
        self._cleanup_ms = 0

    def _write(self, name, text):
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

    def _clean_safely(self, first=False):
        started = time.monotonic()
        try:
            if first:
                remove_unfinished(self._folder)
            clean(self._folder, self._settings.max_count, self._settings.max_age_days)
        except OSError as error:
            log.error("Session clean-up failed: %s", error.strerror)
        self._cleaned_at = time.monotonic()
        self._cleanup_ms = round((self._cleaned_at - started) * 1000)


def _opened(part, folder):
    """A new file for its owner alone. The folder is made again if somebody has removed it to be rid of the records."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        handle = os.open(part, flags, 0o600)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, flags, 0o600)
    return os.fdopen(handle, "wb")


def clean(folder, max_count, max_age_days, now=None):
    """Remove records older than max_age_days, then the oldest beyond max_count. Goes by the time in their names; other files stay.

    now: local wall-clock time, a naive datetime; None takes the present.
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
            time.sleep(
                0.001
            )  # let the requests' threads have the interpreter; a first clean-up can be tens of thousands of files


def remove_unfinished(folder):
    """Remove what a crash in the middle of a write has left."""
    for entry in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - entry.stat().st_mtime > UNFINISHED_S:
                entry.unlink()


def to_json(record):
    """JSON of a record; its RawJSON parts stand in it as they are."""
    raw = []

    def placeholder(value):
        raw.append(value.text)
        return _PLACEHOLDER

    pieces = json.dumps(record, default=placeholder).split(f'"{_PLACEHOLDER}"')
    return pieces[0] + "".join(text + piece for text, piece in zip(raw, pieces[1:], strict=True))
