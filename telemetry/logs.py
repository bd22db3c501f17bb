"""app.log: one line per event, first words and then `key=value`, made for grep and awk.

An event is logged as `log.info("REQUEST", extra=fields(session=..., status=...))`; the text file gets `REQUEST session=... status=...`, and with
LOG_FORMAT=json stdout gets the same as a JSON line. Values come from strangers (a model's name, say), so each is kept to one word.
No secret and no message text is ever logged.
"""

import json
import logging
import logging.handlers
import os
import re
import sys
import traceback

from pythonjsonlogger.json import JsonFormatter

MAX_VALUE_CHARS = 200
_PLAIN = re.compile(r"[\w.,:;/@+*()\[\]{}<>!?&%$#~^|-]*", re.ASCII)


def fields(**values):
    """The `extra` of a log call: its key=value pairs, in this order; None stands as `-`."""
    return {"fields": values}


def word(value):
    """A value as one word: no blanks, no line ends, no quotes that would mislead a parser."""
    if value is None or value == "":
        return "-"
    text = str(value)
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "..."
    return text if _PLAIN.fullmatch(text) else json.dumps(text).replace(" ", "\\u0020")


class _Discreet:
    """Tracebacks without what the exceptions say, since that may quote a message."""

    def formatException(self, exc_info):
        parts, error = [], exc_info[1]
        while error is not None:
            parts.append(
                f"Traceback of {type(error).__name__}:\n"
                + "".join(traceback.format_tb(error.__traceback__)).rstrip()
            )
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nwhile handling\n".join(parts)


class TextFormatter(_Discreet, logging.Formatter):
    default_msec_format = "%s.%03d"

    def __init__(self):
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record):
        pairs = getattr(record, "fields", None)
        line = super().formatMessage(record)
        return line + "".join(f" {key}={word(value)}" for key, value in pairs.items()) if pairs else line


class JsonLines(_Discreet, JsonFormatter):
    def add_fields(self, log_data, record, message_dict):
        super().add_fields(log_data, record, message_dict)
        log_data.update(log_data.pop("fields", None) or {})


class RotatingFile(logging.handlers.RotatingFileHandler):
    """Formats a line once and counts what it wrote; the library's own asks the file system before each line and formats it twice."""

    def _open(self):
        stream = super()._open()
        self._written = stream.seek(0, 2)
        return stream

    def emit(self, record):
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


def set_up(config):
    """Send everything from INFO on to the configured file, and to stdout as JSON lines when LOG_FORMAT=json.

    Done again, it takes the place of what was set up before. Raises OSError when the file cannot be written; then nothing has changed.
    """
    file = config.resolve(config.log.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = RotatingFile(
        file,
        maxBytes=int(config.log.max_mb * 1e6),
        backupCount=config.log.backups,
        encoding="utf-8",
        errors="replace",
    )
    text.setFormatter(TextFormatter())
    handlers = [text]
    if os.environ.get("LOG_FORMAT") == "json":
        stdout = logging.StreamHandler(sys.stdout)
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        stdout.setFormatter(
            JsonLines("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=renamed)
        )
        handlers.append(stdout)
    # What no line of ours names need not be looked up for each (logging's documentation, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False
    root = logging.getLogger()
    before, root.handlers = root.handlers, handlers
    for handler in before:
        handler.close()
    root.setLevel(logging.INFO)
    # urllib3 names URLs and, on errors, exception texts; at WARNING it also reports every hang-up of ours as a full pool or a broken connection.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
