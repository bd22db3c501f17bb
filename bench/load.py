"""A load generator that costs little: raw sockets kept alive, requests built beforehand, one thread, a process of its own.

Run as a program: a job as JSON on standard input (the keyword arguments of `run`), its result as JSON on standard output.
"""

import gc
import json
import selectors
import socket
import subprocess
import sys
import time

SILENT_S = 60.0  # without any byte for so long, the measurement is given up


def http_request(path, body, headers=None):
    """The bytes of a POST. body: a dict."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    named = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": len(payload),
        **(headers or {}),
    }
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (
        path.encode(),
        "".join(f"{k}: {v}\r\n" for k, v in named.items()).encode(),
        payload,
    )


class _Client:
    """One connection that asks again as soon as it has been answered."""

    def __init__(self, port, request, head):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SILENT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._head = (
            head  # bytes in the answer that mark the first content; None: the time to it is not asked for
        )
        self.asked_at = None

    def ask(self):
        self._got, self._end, self.head_at = b"", None, None
        self.asked_at = time.perf_counter()
        self.sock.sendall(self._request)

    def read(self):
        """Take what has come; True when the answer is complete. Raises ConnectionError."""
        data = self.sock.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._got += data
        if self._head is not None and self.head_at is None and self._head in self._got:
            self.head_at = time.perf_counter()
        if self._end is None:
            self._find_end()
        return (
            self._got.endswith(b"\r\n0\r\n\r\n")
            if self._end == 0
            else self._end is not None and len(self._got) >= self._end
        )

    def _find_end(self):
        """Where the answer ends: its length once known, 0 when it comes in chunks."""
        at = self._got.find(b"\r\n\r\n")
        if at < 0:
            return
        head = self._got[:at].lower()
        if b"content-length:" in head:
            self._end = at + 4 + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        else:
            self._end = 0

    @property
    def ok(self):
        return self._got.startswith(b"HTTP/1.1 200")


def run(port, request, clients, count, head=None, spread_s=0.0):
    """Send `count` requests from `clients` connections, each one as soon as its last was answered.

    request: the whole request as text. head: text that marks the first content, for times to it. spread_s: the first requests are spread over so long.
    Returns {"total_ms": [...], "ttft_ms": [...], "wall_s", "failed"}. Raises TimeoutError after SILENT_S without a byte.
    """
    selector = selectors.DefaultSelector()
    waiting = [_Client(port, request.encode(), head.encode() if head else None) for _ in range(clients)]
    total_ms, ttft_ms, failed, asked = [], [], 0, 0
    gc.disable()
    started = time.perf_counter()
    starts = [started + i * spread_s / clients for i in range(clients)]
    while len(total_ms) + failed < count:
        while waiting and asked < count and time.perf_counter() >= starts[clients - len(waiting)]:
            client = waiting.pop(0)
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.ask()
            asked += 1
        ready = selector.select(0.001 if waiting and asked < count else SILENT_S)
        if not ready and not waiting:
            raise TimeoutError(f"no answer for {SILENT_S:g} s")
        for key, _ in ready:
            client = key.data
            if not client.read():
                continue
            now = time.perf_counter()
            if client.ok:
                total_ms.append((now - client.asked_at) * 1000)
                if client.head_at is not None:
                    ttft_ms.append((client.head_at - client.asked_at) * 1000)
            else:
                failed += 1
            if asked < count:
                client.ask()
                asked += 1
    return {
        "total_ms": total_ms,
        "ttft_ms": ttft_ms,
        "wall_s": time.perf_counter() - started,
        "failed": failed,
    }


def elsewhere(**job):
    """`run` in a process of its own. Raises RuntimeError with what it said when it failed."""
    job["request"] = job["request"].decode()
    done = subprocess.run([sys.executable, __file__], input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    json.dump(run(**json.load(sys.stdin)), sys.stdout)
