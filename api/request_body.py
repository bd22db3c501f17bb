"""The body of the current request, read within its limits and parsed as strict JSON."""

import json
import time
from typing import Any, BinaryIO

from flask import request as http
from gunicorn.http.errors import ParseException

from errors import BadRequest, Cancelled, TooLarge
from wire import strict_json

MAX_NESTING = 128  # far beyond any tool's schema, and well within what Python's own JSON writer takes
# How long the rest of a refused upload is read, so that the client sees the refusal and no reset.
DRAIN_S = 10.0
DRAIN_BYTES = 1024 * 1024


def read_json(max_bytes: int) -> Any:
    """The body as JSON has it; None for an empty one.

    Raises TooLarge, BadRequest, Cancelled when the client leaves.
    """
    raw = _read(max_bytes) or b"null"
    try:
        body = strict_json.loads(raw)
    except (ValueError, RecursionError) as error:
        detail = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadRequest(f"the request body is not valid JSON{detail}", code="invalid_json") from error
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _nested_beyond(body, MAX_NESTING):
        raise BadRequest(
            f"the request body is nested more than {MAX_NESTING} levels deep", code="invalid_json"
        )
    return body


def _read(max_bytes: int) -> bytes:
    """The bytes of the body. Raises TooLarge, BadRequest for broken chunks, Cancelled."""
    try:
        return _read_stream(http.environ["wsgi.input"], http.content_length, max_bytes)
    except OSError as error:
        raise Cancelled("the client left in the middle of its request") from error
    except ParseException as error:
        raise BadRequest("the chunks of the request body are broken", code="invalid_body") from error


def _read_stream(stream: BinaryIO, length: int | None, max_bytes: int) -> bytes:
    """length: as the client declares it, None for a body in chunks."""
    if length is None or length <= max_bytes:
        body = stream.read(length if length is not None else max_bytes + 1)
        if length is not None and len(body) < length:
            raise Cancelled("the client left in the middle of its request")
        if len(body) <= max_bytes:
            return body
    deadline = time.monotonic() + DRAIN_S
    while stream.read(DRAIN_BYTES) and time.monotonic() < deadline:
        pass
    message = f"the request body is larger than {max_bytes // (1024 * 1024)} MB"
    raise TooLarge(message, code="request_too_large")


def _nested_beyond(value: Any, levels: int) -> bool:
    """Whether a JSON value holds more than `levels` objects and lists within each other."""
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return True
