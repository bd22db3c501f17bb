"""Notices a client that has gone, without writing to it.

A threaded worker learns of a hang-up at its next write: during a silent prefill that is when the first token comes. So one thread looks at the
sockets of all requests in flight, 20 times a second, by peeking: a closed or reset connection reads as an end, a patient one is not disturbed.
Portable where epoll's RDHUP is not. A client that only half-closes counts as gone; behind a reverse proxy it is the proxy's hang-up that is seen.
"""

import logging
import socket
import threading

PEEK_PERIOD_S = 0.05  # so that a client's Stop reaches the upstream well within 200 ms
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT

log = logging.getLogger(__name__)


class DisconnectWatcher:
    """Watches client sockets. One per process; its thread starts with the first request, thus after the fork."""

    def __init__(self):
        self._watched = {}
        self._changed = threading.Condition()
        self._thread = None

    def watch(self, sock, on_gone):
        """Call `on_gone()` once, from the watching thread, when the client at the other end of `sock` has gone. Returns a token.

        When it is the server that goes, `on_gone(stopping=True)` is called instead.
        """
        token = object()
        with self._changed:
            self._watched[token] = (sock, on_gone)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
                self._thread.start()
            elif len(self._watched) == 1:
                self._changed.notify()
        return token

    def forget(self, token):
        """Stop watching; to be called before the server takes the socket back."""
        with self._changed:
            self._watched.pop(token, None)

    def hang_up(self):
        """Tell everybody watched that the server stops. From any thread."""
        with self._changed:
            calls = [on_gone for _, on_gone in self._watched.values()]
            self._watched.clear()
        for on_gone in calls:
            on_gone(stopping=True)

    def _run(self):
        while True:
            with self._changed:
                while not self._watched:
                    self._changed.wait()
            threading.Event().wait(PEEK_PERIOD_S)
            with (
                self._changed
            ):  # held while peeking, so that forget() returns only when nobody touches the socket any more
                gone = [token for token, (sock, _) in self._watched.items() if _has_gone(sock)]
                calls = [self._watched.pop(token)[1] for token in gone]
            for on_gone in calls:
                try:
                    on_gone()
                except Exception:  # the edge of a thread that must live on
                    log.exception("Could not hang up for a client that has gone")


def _has_gone(sock):
    try:
        return sock.recv(1, _PEEK) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True
