"""One request as a client sees it: when the first content came, when the last, and what it was."""

import http.client
import json
import time
import urllib.parse
from dataclasses import dataclass, field

GIVE_UP_S = 600.0  # a long context on a small CPU is silent for minutes


@dataclass
class Reply:
    """Times are ms from before the connection was opened; ttft_ms is None where no content came. error: None when all went well."""

    status: int | None = None
    headers: dict = field(default_factory=dict)
    ttft_ms: float | None = None
    last_ms: float | None = None
    total_ms: float = 0.0
    content: str = ""
    reasoning: str = ""
    usage: dict | None = None
    body: dict | None = None
    error: str | None = None

    @property
    def session(self):
        return self.headers.get("x-session-id")

    @property
    def tokens_per_s(self):
        """Tokens after the first one, by the provider's own count, over the time they took; None when that is not to be known."""
        tokens = (self.usage or {}).get("completion_tokens") or 0
        if tokens < 2 or self.last_ms is None or self.last_ms <= self.ttft_ms:
            return None
        return (tokens - 1) / (self.last_ms - self.ttft_ms) * 1000


def ask(url, body=None, headers=None):
    """POST a dict as JSON (GET without one) and read the answer to its end. Never raises for what the other side does: see `error`."""
    reply, started = Reply(), time.perf_counter()
    ms = lambda: (time.perf_counter() - started) * 1000
    where = urllib.parse.urlsplit(url)
    connect = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = connect(where.hostname, where.port, timeout=GIVE_UP_S)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(
            "POST" if body is not None else "GET",
            where.path,
            payload,
            {"Content-Type": "application/json", **(headers or {})},
        )
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


def _read_stream(response, reply, ms):
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if chunk.get("error"):
            reply.error = str(chunk["error"].get("message"))
        reply.usage = chunk.get("usage") or reply.usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            _note(reply, delta, ms())


def _read_whole(response, reply, ms):
    reply.body = json.loads(response.read() or b"null")
    if isinstance(reply.body, dict):
        reply.usage = reply.body.get("usage")
        for choice in reply.body.get("choices") or ():
            _note(reply, choice.get("message") or {}, ms())


def _note(reply, said, at_ms):
    content, reasoning = (
        said.get("content") or "",
        said.get("reasoning_content") or said.get("reasoning") or "",
    )
    if content or reasoning:
        reply.content += content
        reply.reasoning += reasoning
        reply.ttft_ms = at_ms if reply.ttft_ms is None else reply.ttft_ms
        reply.last_ms = at_ms
