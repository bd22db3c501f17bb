"""How a call is cancelled from another thread.

A call that blocks (connecting, in the TLS handshake, waiting for headers through a silent prefill, between
two tokens) cannot be ended by closing its response from elsewhere. Only shutting its socket down frees both
sides at once. So whoever dials keeps a second handle on the socket, and a `CancelToken` shuts it down.

This module knows nothing of HTTP.
"""

import socket
import threading
from collections.abc import Callable
from typing import Protocol

from errors import Cancelled

# Registers a callback that is called when the client goes, at once if it has gone.
OnCancel = Callable[[Callable[[], None]], None]


class SocketHandle:
    """A second handle on a socket, by which any thread may shut it down.

    It is a handle of its own since the TLS layer takes the first one away, and since a closing answer closes
    that one under us.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._duplicate: socket.socket | None = None

    def hold(self, sock: socket.socket) -> None:
        """Take a handle on this socket, instead of one held before."""
        with self._lock:
            self._close()
            self._duplicate = sock.dup()

    def shutdown(self) -> None:
        """Shut the socket down, both ways.

        The other side sees it at once, and so does the thread that blocks.
        """
        with self._lock:
            if self._duplicate is not None:
                try:
                    self._duplicate.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the other side was quicker, or it is not connected yet

    def release(self) -> None:
        """Give the handle back. More than once without harm."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None


class Cancellable(Protocol):
    """A connection that serves one call after the other.

    token_lock guards cancel_token, the call it serves now.
    """

    token_lock: threading.Lock
    cancel_token: "CancelToken | None"

    def shutdown_socket(self) -> None: ...


class CancelToken:
    """One call's hold on the connection it uses, from the first dial to the last byte.

    `cancel()` may come from any thread, at any time and more than once. `cancelled` then tells our own
    cancelling from the upstream's failure.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reused = False  # the connection had served another call before
        self.connected_at: float | None = None  # monotonic, when the connection was ready to take the request
        self._connection: Cancellable | None = None

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the call is cancelled, at most timeout_s; returns whether it was."""
        return self._event.wait(timeout_s)

    def take(self, connection: Cancellable) -> None:
        """Called by the connection when this call begins to use it.

        Raises Cancelled if the call is off already.
        """
        with connection.token_lock:
            connection.cancel_token = self
            self._connection = connection
        if self.cancelled:
            self.cancel()
            raise Cancelled("hung up")

    def cancel(self) -> None:
        """Shut the call's socket down."""
        self._event.set()
        connection = self._connection
        if connection is None:
            return
        with connection.token_lock:
            # Else the connection went back to the pool and serves somebody else.
            if connection.cancel_token is self:
                connection.shutdown_socket()
