"""Scripted providers in a process of their own: one thread, one event loop, answers built beforehand.

They have to cost far less than what is measured with them, on cores that all share. So requests are not
parsed beyond what decides the answer, and tokens leave by a heap of times. What a request meets follows from
its text: `(no. C17)` is COMPLEX for the scripted classifier and draws the same latencies wherever it arrives,
so that modes compared with each other wait for the same backends.

Run as a program: its arguments are the kinds to serve, `name=KIND[:SCALE]`. It prints one JSON line, name ->
port, and ends when its standard input does.
"""

import heapq
import json
import random
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

# Measured at the system this descends from, in seconds and tokens per second; `scale` shrinks times.
CLASSIFIER_S = (0.95, 1.8)
PRIMARY_TTFT_S = 0.048
PRIMARY_TOKENS_PER_S = 233.0
COMPLEX_S = (7.3, 11.0)  # the whole call
WEB_CONTEXT_S = (11.0, 26.0)

ANSWER_TOKENS = 64  # of a scripted answer: a short paragraph
INSTANT_TOKENS = 16  # of the instant one: a sentence
# The paced one: streams that stay open for 1.3 s, as many at once as there are clients.
PACED_TTFT_S = 0.05
PACED_TOKENS_PER_S = 25.0
PACED_TOKENS = 32

# In the marker: what the scripted classifier decides.
LETTERS = {b"M": "MODERATE", b"C": "COMPLEX", b"E": "ENRICH"}
MARKER = re.compile(rb"\(no\. ([MCE])(\d+)\)")
_STREAM = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WORD = " tok"


JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """pieces: (seconds after the request, bytes), in order."""

    pieces: tuple[tuple[float, bytes], ...]


Answer = Callable[[bool, bytes, bytes], Reply]  # called with (stream, path, body)


def chunk(delta: JsonObject | None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream. delta: None for an event without choices."""
    value = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def usage(tokens: int) -> JsonObject:
    return {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}


def whole(words: list[str]) -> JsonObject:
    message = {"role": "assistant", "content": "".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [choice],
        "usage": usage(len(words)),
    }


def json_reply(value: JsonObject, after_s: float = 0.0) -> Reply:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return Reply(((after_s, head + body),))


def stream_reply(words: list[str], ttft_s: float = 0.0, gap_s: float = 0.0) -> Reply:
    """An answer in chunked SSE; what falls on the same moment leaves in one write."""
    timed = [(ttft_s, chunk({"role": "assistant", "content": ""}))]
    timed += [(ttft_s + i * gap_s, chunk({"content": word})) for i, word in enumerate(words)]
    end_s = timed[-1][0]
    last = (chunk({}, "stop"), chunk(None, usage=usage(len(words))), b"data: [DONE]\n\n")
    timed += [(end_s, event) for event in last]
    pieces: dict[float, bytes] = {}
    for at_s, event in timed:
        pieces[at_s] = pieces.get(at_s, b"") + b"%x\r\n%b\r\n" % (len(event), event)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces[ttft_s] = head + pieces[ttft_s]
    pieces[end_s] += b"0\r\n\r\n"
    return Reply(tuple(sorted(pieces.items())))


def drawn(limits: tuple[float, float], body: bytes, salt: str) -> float:
    """The latency a request draws, in seconds: uniform within limits, the same for the same number."""
    marker = MARKER.search(body)
    number = marker[2] if marker else random.random()
    return random.Random(f"{salt} {number!r}").uniform(*limits)


# Kinds. scale: what their times are multiplied by.


def instant(scale: float) -> Answer:
    words = [_WORD] * INSTANT_TOKENS
    replies = {False: json_reply(whole(words)), True: stream_reply(words)}
    return lambda stream, path, body: replies[stream]


def paced(scale: float) -> Answer:
    words = [_WORD] * PACED_TOKENS
    replies = {
        False: json_reply(whole(words), PACED_TTFT_S + (PACED_TOKENS - 1) / PACED_TOKENS_PER_S),
        True: stream_reply(words, PACED_TTFT_S, 1 / PACED_TOKENS_PER_S),
    }
    return lambda stream, path, body: replies[stream]


def classifier(scale: float) -> Answer:
    def answer(stream: bool, path: bytes, body: bytes) -> Reply:
        marker = MARKER.search(body)
        after_s = drawn(CLASSIFIER_S, body, "classifier") * scale
        word = LETTERS[marker[1]] if marker else "MODERATE"
        return stream_reply([word], after_s) if stream else json_reply(whole([word]), after_s)

    return answer


def primary(scale: float) -> Answer:
    return lambda stream, path, body: _answer(stream, PRIMARY_TTFT_S * scale, scale)


def cloud(scale: float) -> Answer:
    decode_s = (ANSWER_TOKENS - 1) / PRIMARY_TOKENS_PER_S

    def answer(stream: bool, path: bytes, body: bytes) -> Reply:
        if path.endswith(b"/responses"):
            return json_reply(_search_result(), drawn(WEB_CONTEXT_S, body, "web") * scale)
        return _answer(stream, (drawn(COMPLEX_S, body, "complex") - decode_s) * scale, scale)

    return answer


def _answer(stream: bool, ttft_s: float, scale: float) -> Reply:
    words, gap_s = [_WORD] * ANSWER_TOKENS, scale / PRIMARY_TOKENS_PER_S
    if stream:
        return stream_reply(words, ttft_s, gap_s)
    return json_reply(whole(words), ttft_s + (ANSWER_TOKENS - 1) * gap_s)


def _search_result() -> JsonObject:
    """A search result in the shape of /v1/responses, some 2,900 characters as seen there."""
    note = {
        "type": "url_citation",
        "url": "https://example.org/a",
        "start_index": 0,
        "end_index": 9,
        "title": "a",
    }
    content = [{"type": "output_text", "text": "A fact from the web. " * 140, "annotations": [note]}]
    message = {"type": "message", "role": "assistant", "status": "completed", "content": content}
    return {
        "id": "resp-scripted",
        "object": "response",
        "status": "completed",
        "model": "scripted",
        "output": [message],
    }


KINDS: dict[str, Callable[[float], Answer]] = {
    "instant": instant,
    "paced": paced,
    "classifier": classifier,
    "primary": primary,
    "cloud": cloud,
}
MODELS = json_reply({"object": "list", "data": []})


class Server:
    """All of them in one loop."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, socket.socket, bytes]] = []  # a heap by (time, order)
        self._order = 0

    def listen(self, answer: Answer) -> int:
        """Serve `answer` on a free port and return the port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener, answer))
        port: int = listener.getsockname()[1]
        return port

    def run(self, until: TextIO) -> None:
        """Serve until the file `until` ends."""
        self._selector.register(until, selectors.EVENT_READ, None)
        while True:
            left_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(left_s):
                if key.data is None:
                    return
                key.data()
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, sock, data = heapq.heappop(self._due)
                self._send(sock, data)

    def _accept(self, listener: socket.socket, answer: Answer) -> None:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        held = bytearray()
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._read(sock, held, answer))

    def _read(self, sock: socket.socket, held: bytearray, answer: Answer) -> None:
        try:
            data = sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(sock)
            return
        held += data
        while (head_end := held.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(held, 0, head_end)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if len(held) < end:
                return
            request = bytes(held[:end])
            del held[:end]
            self._begin(sock, request, head_end + 4, answer)

    def _begin(self, sock: socket.socket, request: bytes, body_at: int, answer: Answer) -> None:
        if request.startswith(b"GET"):
            reply = MODELS
        else:
            path = request.split(b" ", 2)[1]
            reply = answer(_STREAM.search(request, body_at) is not None, path, request[body_at:])
        now = time.monotonic()
        for after_s, data in reply.pieces:
            if after_s == 0:
                self._send(sock, data)
            else:
                self._order += 1
                heapq.heappush(self._due, (now + after_s, self._order, sock, data))

    def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            sock.sendall(data)
        except OSError:  # the caller has gone: what is due for it later comes here too and goes nowhere
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._selector.unregister(sock)
            sock.close()


def main(arguments: list[str]) -> None:
    server, ports = Server(), {}
    for argument in arguments:
        name, _, kind = argument.partition("=")
        kind, _, scale = kind.partition(":")
        ports[name] = server.listen(KINDS[kind](float(scale or 1)))
    print(json.dumps(ports), flush=True)
    server.run(sys.stdin)


if __name__ == "__main__":
    main(sys.argv[1:])
