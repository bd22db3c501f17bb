"""The cancel scope of one request: every call made for it is cancelled when its client goes.

Three endings stay apart: the client has gone, the server stops and tells the client so, and the answer is
already on its way, which nothing may cancel any more.
"""

import threading
from collections.abc import Callable

from errors import ProxyError

STOPPING = "the proxy is being stopped; try again in a moment"


class CancelScope:
    """Holds what to cancel. From any thread."""

    def __init__(self) -> None:
        self.gone = False  # the client left before it had its answer
        self.delivered = False  # the last of the answer is on its way to the client, or has been sent
        self.failure: ProxyError | None = None  # what the request ended with, before the first byte or later
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called when the client goes; at once if it has gone already."""
        with self._lock:
            if not self.gone and self.failure is None:
                self._callbacks.append(callback)
                return
        callback()

    def cancel(self, stopping: bool = False) -> None:
        """The client has gone, or the server is stopping: cancel every call made for the request.

        A client that goes because it has its answer has not gone. One that we leave gets an error that says
        so.
        """
        with self._lock:
            if self.delivered or self.failure is not None:
                return
            if stopping:
                self.failure = ProxyError(STOPPING, code="shutting_down")
                self.failure.status, self.failure.worth_retrying = 503, True
            self.gone = not stopping
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
