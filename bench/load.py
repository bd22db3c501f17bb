"""A load generator that costs little: raw sockets kept alive, requests built beforehand, one thread.

It runs in a process of its own. As a program it reads a job as JSON from standard input (the keyword
arguments of `run`) and writes its result as JSON to standard output.
"""

import gc
import json
import selectors
import socket
import subprocess
import sys
import time
from typing import Any, TypedDict, cast

SILENT_S = 60.0  # without any byte for so long, the measurement is given up


class Result(TypedDict):
    """Times of the requests that were answered with 200, in ms; ttft_ms only where a head was asked for."""

    total_ms: list[float]
    ttft_ms: list[float]
    wall_s: float
    failed: int


def http_request(path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a POST."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    all_headers = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": len(payload),
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (path.encode(), lines.encode(), payload)


class _Client:
    """One connection that sends the next request as soon as its last was answered."""

    def __init__(self, port: int, request: bytes, head: bytes | None) -> None:
        """head: bytes in the answer that mark the first content; None when the time to it is not wanted."""
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SILENT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.head_at: float | None = None
        self._request = request
        self._head = head
        self._answer = b""
        self._end: int | None = None  # where the answer ends once known, 0 when it comes in chunks

    def send(self) -> None:
        self._answer, self._end, self.head_at = b"", None, None
        self.sent_at = time.perf_counter()
        self.sock.sendall(self._request)

    def read(self) -> bool:
        """Take what has come; True when the answer is complete. Raises ConnectionError."""
        data = self.sock.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._answer += data
        if self._head is not None and self.head_at is None and self._head in self._answer:
            self.head_at = time.perf_counter()
        if self._end is None:
            self._find_end()
        if self._end == 0:
            return self._answer.endswith(b"\r\n0\r\n\r\n")
        return self._end is not None and len(self._answer) >= self._end

    def _find_end(self) -> None:
        at = self._answer.find(b"\r\n\r\n")
        if at < 0:
            return
        head = self._answer[:at].lower()
        if b"content-length:" in head:
            self._end = at + 4 + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        else:
            self._end = 0

    @property
    def ok(self) -> bool:
        return self._answer.startswith(b"HTTP/1.1 200")


def run(
    port: int, request: str, clients: int, count: int, head: str | None = None, spread_s: float = 0.0
) -> Result:
    """Send `count` requests from `clients` connections, each one as soon as its last was answered.

    request: the whole request as text. head: text that marks the first content, for times to it.
    spread_s: the first requests are spread over so long. Raises TimeoutError after SILENT_S without a byte.
    """
    selector = selectors.DefaultSelector()
    marker = head.encode() if head else None
    waiting = [_Client(port, request.encode(), marker) for _ in range(clients)]
    total_ms: list[float] = []
    ttft_ms: list[float] = []
    failed = sent = 0
    gc.disable()
    started = time.perf_counter()
    starts = [started + i * spread_s / clients for i in range(clients)]
    while len(total_ms) + failed < count:
        while waiting and sent < count and time.perf_counter() >= starts[clients - len(waiting)]:
            client = waiting.pop(0)
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.send()
            sent += 1
        ready = selector.select(0.001 if waiting and sent < count else SILENT_S)
        if not ready and not waiting:
            raise TimeoutError(f"no answer for {SILENT_S:g} s")
        for key, _ in ready:
            client = key.data
            if not client.read():
                continue
            now = time.perf_counter()
            if client.ok:
                total_ms.append((now - client.sent_at) * 1000)
                if client.head_at is not None:
                    ttft_ms.append((client.head_at - client.sent_at) * 1000)
            else:
                failed += 1
            if sent < count:
                client.send()
                sent += 1
    wall_s = time.perf_counter() - started
    return {"total_ms": total_ms, "ttft_ms": ttft_ms, "wall_s": wall_s, "failed": failed}


def elsewhere(
    *,
    port: int,
    request: bytes,
    clients: int,
    count: int,
    head: str | None = None,
    spread_s: float = 0.0,
) -> Result:
    """`run` in a process of its own. Raises RuntimeError with its last line when it failed."""
    job = {"port": port, "request": request.decode(), "clients": clients, "count": count}
    job |= {"head": head, "spread_s": spread_s}
    done = subprocess.run([sys.executable, __file__], input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.strip().splitlines()[-1:]}")
    return cast(Result, json.loads(done.stdout))


if __name__ == "__main__":
    json.dump(run(**json.load(sys.stdin)), sys.stdout)
