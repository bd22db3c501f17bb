"""Notices a client that has gone, without writing to it.

A threaded worker learns of it at its next write: during a silent prefill that is when the first token comes.
So one thread looks at the sockets of all requests in flight, 20 times a second, by peeking: a closed or reset
connection reads as an end, a patient one is not disturbed. This is portable where epoll's RDHUP is not. A
client that only half-closes counts as gone; behind a reverse proxy it is the proxy's closing that is seen.
"""

import logging
import socket
import threading
from typing import Protocol

PEEK_PERIOD_S = 0.05  # so that a client's Stop reaches the upstream well within 200 ms
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT

log = logging.getLogger(__name__)


class OnGone(Protocol):
    """Called when the client has gone; with stopping=True when it is the server that goes."""

    def __call__(self, stopping: bool = False) -> None: ...


class DisconnectWatcher:
    """Watches client sockets. One per process.

    Its thread starts with the first request, thus after the fork.
    """

    def __init__(self) -> None:
        self._watched: dict[object, tuple[socket.socket, OnGone]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, on_gone: OnGone) -> object:
        """Call `on_gone()` once, from the watching thread, when the client at the other end has gone.

        When it is the server that goes, `on_gone(stopping=True)` is called instead. Returns a token for
        `unwatch`.
        """
        token = object()
        with self._changed:
            self._watched[token] = (sock, on_gone)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="disconnects", daemon=True)
                self._thread.start()
            elif len(self._watched) == 1:
                self._changed.notify()
        return token

    def unwatch(self, token: object) -> None:
        """Stop watching; to be called before the server takes the socket back."""
        with self._changed:
            self._watched.pop(token, None)

    def cancel_all(self) -> None:
        """Cancel every request that is watched: the server stops. From any thread."""
        with self._changed:
            callbacks = [on_gone for _, on_gone in self._watched.values()]
            self._watched.clear()
        for on_gone in callbacks:
            on_gone(stopping=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._watched:
                    self._changed.wait()
            threading.Event().wait(PEEK_PERIOD_S)
            with (
                self._changed
            ):  # held while peeking: unwatch() returns only when nobody touches the socket any more
                gone = [token for token, (sock, _) in self._watched.items() if _has_gone(sock)]
                callbacks = [self._watched.pop(token)[1] for token in gone]
            for on_gone in callbacks:
                try:
                    on_gone()
                except Exception:  # the edge of a thread that must live on
                    log.exception("Could not hang up for a client that has gone")


def _has_gone(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, _PEEK) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True
