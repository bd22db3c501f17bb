"""One request: its identity, its clock, its cancel scope, and the recorders that are told what happens to it.

It knows nothing of plans, answers or formats. Times are whole milliseconds from arrival on the monotonic
clock; the timestamp is wall-clock.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from errors import ProxyError
from proxy.calls import Calls
from proxy.cancellation import CancelScope
from settings.model import ApiKey
from telemetry.events import Arrived, Event, Finished, Recorder, Recorders


class Exchange(CancelScope):
    """A request from its arrival until its response is closed. It is finished exactly once."""

    def __init__(
        self,
        client_ip: str | None,
        api: str,
        recorders: Iterable[Recorder] = (),
        provider_failed: Callable[[str], None] = lambda provider: None,
        *,
        key: ApiKey | None = None,
    ) -> None:
        """api: the name of what the client speaks, as the record has it.

        provider_failed: is called with the name of each provider that has failed this request. key: the
        client's, None for one that needs none.
        """
        super().__init__()
        self.id = f"{random.getrandbits(32):08x}"  # it names a record and is no secret
        self.arrived_at = time.monotonic()
        self.timestamp = datetime.now().astimezone()
        self.client_ip = client_ip
        self.api = api
        self.key = key
        self.calls = Calls(self.ms, self.notify, self.on_cancel, provider_failed)
        self._recorders = Recorders(recorders)
        self._finishing = threading.Lock()
        self._finished = False
        self.notify(Arrived(self.id, self.timestamp, client_ip, api, key.name if key else None))

    def ms(self, at: float | None = None) -> int:
        """Whole milliseconds from arrival to a monotonic time; None for now."""
        return round(((time.monotonic() if at is None else at) - self.arrived_at) * 1000)

    def notify(self, event: Event) -> None:
        """Tell the recorders what has happened. Never raises. To be called from the request's own thread."""
        self._recorders.notify(event)

    @property
    def status(self) -> int:
        """The HTTP status it has ended with; 499 for a client that left."""
        if self.gone or not (self.delivered or self.failure):
            return 499
        return self.failure.status if self.failure else 200

    def fail(self, error: ProxyError) -> ProxyError:
        """Note what it failed with, and return that. When the server is stopping, that reason stays."""
        self.failure = self.failure or error
        return self.failure

    def finish(self, *, worth_keeping: bool = True) -> None:
        """End it, however it ended; the first time counts. worth_keeping: whether a record is wanted."""
        with self._finishing:
            if self._finished:
                return
            self._finished = True
        self.calls.close()
        error = self.failure.message if self.failure else None
        self.notify(Finished(self.status, self.ms(), error, worth_keeping))
