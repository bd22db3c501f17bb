"""One request as a client sees it: when the first content came, when the last, and what it was."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GIVE_UP_S = 600.0  # a long context on a small CPU is silent for minutes

JsonObject = dict[str, Any]  # not from wire: --help works in a copy of this folder alone


@dataclass
class Reply:
    """Times are ms from before the connection was opened. error: None when all went well."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ttft_ms: float | None = None  # None where no content came
    last_ms: float | None = None
    total_ms: float = 0.0
    content: str = ""
    reasoning: str = ""
    usage: JsonObject | None = None
    body: JsonObject | None = None
    error: str | None = None

    @property
    def session(self) -> str | None:
        return self.headers.get("x-session-id")

    @property
    def completion_tokens(self) -> int | None:
        """By the provider's own count; None where it gave none."""
        return (self.usage or {}).get("completion_tokens")

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens after the first one over the time they took; None when that is not to be known."""
        tokens = self.completion_tokens or 0
        if tokens < 2 or self.ttft_ms is None or self.last_ms is None or self.last_ms <= self.ttft_ms:
            return None
        return (tokens - 1) / (self.last_ms - self.ttft_ms) * 1000


def request(url: str, body: JsonObject | None = None, headers: dict[str, str] | None = None) -> Reply:
    """POST a body as JSON (GET without one) and read the answer to its end.

    Never raises for what the other side does: see `error`.
    """
    reply, started = Reply(), time.perf_counter()

    def ms() -> float:
        return (time.perf_counter() - started) * 1000

    address = urllib.parse.urlsplit(url)
    connect = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = connect(address.hostname or "", address.port, timeout=GIVE_UP_S)
    try:
        method, payload = ("GET", None) if body is None else ("POST", json.dumps(body))
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, address.path, payload, all_headers)
        response = connection.getresponse()
        reply.status = response.status
        reply.headers = {name.lower(): value for name, value in response.getheaders()}
        if "event-stream" in reply.headers.get("content-type", ""):
            _read_stream(response, reply, ms)
        else:
            _read_whole(response, reply, ms)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reply.error = f"{type(error).__name__}: {error}"
    finally:
        reply.total_ms = ms()
        connection.close()
    if reply.error is None and reply.status != 200:
        reply.error = f"status {reply.status}"
    return reply


def _read_stream(response: http.client.HTTPResponse, reply: Reply, ms: Callable[[], float]) -> None:
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if chunk.get("error"):
            reply.error = str(chunk["error"].get("message"))
        reply.usage = chunk.get("usage") or reply.usage
        for choice in chunk.get("choices") or ():
            _add(reply, choice.get("delta") or {}, ms())


def _read_whole(response: http.client.HTTPResponse, reply: Reply, ms: Callable[[], float]) -> None:
    reply.body = json.loads(response.read() or b"null")
    if isinstance(reply.body, dict):
        reply.usage = reply.body.get("usage")
        for choice in reply.body.get("choices") or ():
            _add(reply, choice.get("message") or {}, ms())


def _add(reply: Reply, message: JsonObject, at_ms: float) -> None:
    """Add a message, or the part of one, that came at this time."""
    content = message.get("content") or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    if content or reasoning:
        reply.content += content
        reply.reasoning += reasoning
        reply.ttft_ms = at_ms if reply.ttft_ms is None else reply.ttft_ms
        reply.last_ms = at_ms
