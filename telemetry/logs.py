"""app.log: one line per event, first words and then `key=value`, made for grep and awk.

An event is logged as `log.info("REQUEST", extra=fields(session=..., status=...))`. The text file gets
`REQUEST session=... status=...`; with LOG_FORMAT=json, stdout gets the same as a JSON line. No secret and
no message text is ever logged.
"""

import logging
import logging.handlers
import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from pythonjsonlogger.json import JsonFormatter

from telemetry.log_values import as_value, printable

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogSettings(Protocol):
    """The section `log` of the configuration."""

    @property
    def file(self) -> str: ...
    @property
    def max_mb(self) -> float: ...
    @property
    def backups(self) -> int: ...


class LoggingConfig(Protocol):
    """What `set_up` needs of the configuration. written: makes the path of what is written absolute."""

    @property
    def log(self) -> LogSettings: ...
    def written(self, name: str) -> Path: ...


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The `extra` of a log call: its key=value pairs, in this order; None is written as `-`."""
    return {"fields": values}


class _RedactedTracebacks(logging.Formatter):
    """Tracebacks without the exceptions' messages, since those may quote the text of a chat."""

    def formatException(self, ei: _ExcInfo) -> str:
        parts, error = [], ei[1]
        while error is not None:
            frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            parts.append(f"Traceback of {type(error).__name__}:\n{frames}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nwhile handling\n".join(parts)


class TextFormatter(_RedactedTracebacks):
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs: dict[str, object] | None = getattr(record, "fields", None)
        line = printable(super().formatMessage(record))
        return line + "".join(f" {key}={as_value(value)}" for key, value in pairs.items()) if pairs else line


class JsonLines(_RedactedTracebacks, JsonFormatter):
    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data.update(log_data.pop("fields", None) or {})


class RotatingFile(logging.handlers.RotatingFileHandler):
    """Formats a line once and counts what it has written.

    The library's own handler asks the file system before each line and formats each line twice.
    """

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        self._written = stream.seek(0, os.SEEK_END)
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.stream is None:  # closed by a new configuration just as this thread was about to write
                self.stream = self._open()
            line = self.format(record) + self.terminator
            if self._written + len(line) > self.maxBytes:
                self.doRollover()
            self.stream.write(line)
            self.stream.flush()
            self._written += len(line)
        except Exception:
            self.handleError(record)


def is_json() -> bool:
    """Whether stdout gets each event as a JSON line."""
    return os.environ.get("LOG_FORMAT") == "json"


def set_up(config: LoggingConfig) -> None:
    """Send everything from INFO on to the configured file, and to stdout as JSON lines when LOG_FORMAT=json.

    A second call replaces what the first one set up. Raises OSError when the file cannot be written; then
    nothing has changed.
    """
    handlers: list[logging.Handler] = [_text_file(config)]
    if is_json():
        handlers.append(_json_on_stdout())
    # No line of ours names these, so no record pays for looking them up (logging's documentation,
    # "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # from Python 3.12 on
    root = logging.getLogger()
    before, root.handlers = root.handlers, handlers
    for handler in before:
        handler.close()
    root.setLevel(logging.INFO)
    # urllib3 names URLs and, on errors, exception texts. At WARNING it also reports every call that we
    # cancel, as a full pool or a broken connection.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _text_file(config: LoggingConfig) -> RotatingFile:
    file = config.written(config.log.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFile(
        file,
        maxBytes=int(config.log.max_mb * 1e6),
        backupCount=config.log.backups,
        encoding="utf-8",
        errors="replace",
    )
    handler.setFormatter(TextFormatter())
    return handler


def _json_on_stdout() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
    handler.setFormatter(JsonLines("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=renamed))
    return handler
