"""A provider's admission queue: who may call it now, and who waits.

So many calls run at once. The others queue, first come, first served. A small engine serves one or two calls
well and eight of them badly, so those beyond its limit wait here instead of slowing each other down there.
Chat goes before META: a chat that comes to a full queue takes the place of the newest META call in it. Nobody
waits beyond the time limit, and a caller whose client goes leaves the queue at once.

It knows nothing of what the calls are. About races: every change of a ticket's fate happens under the one
lock, and its first fate stays. The one exception is a slot that was granted and not yet taken when its client
went; it is handed on under the same lock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Self

from errors import Cancelled, Unavailable
from upstream.cancellation import OnCancel

CHAT, META = "chat", "meta"


class _Fate(Enum):
    """What became of somebody who queued."""

    GRANTED = auto()
    CANCELLED = auto()
    TOO_LATE = auto()
    DISPLACED = auto()


class Overloaded(Unavailable):
    """The provider is as busy as it may be."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message, code=code)
        self.worth_retrying = True


class Slot:
    """A place at a provider, until it is released; as a context manager, until the end of its block.

    queued_ms: how long its caller waited for it.
    """

    def __init__(self, admission: "Admission", queued_ms: int) -> None:
        self.queued_ms = queued_ms
        self._admission = admission
        self._released = False

    def release(self) -> None:
        """Let the next one in. From any thread, more than once without harm."""
        with self._admission._lock:
            if not self._released:
                self._released = True
                self._admission._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class _Ticket:
    def __init__(self, priority: str) -> None:
        self.priority = priority
        self.fate: _Fate | None = None
        self.taken = False  # its caller has the slot in hand
        self.decided = threading.Event()


class Admission:
    """One provider's admission queue. Shared by all threads."""

    def __init__(
        self,
        provider: str,
        *,
        max_concurrent: int | None = None,
        max_queued: int = 32,
        queue_timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """provider: its name, for messages.

        max_concurrent: calls at once, None for any number. max_queued: 0 for no queue.
        """
        self.provider = provider
        self._max_concurrent = max_concurrent
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        # In the order in which they are served.
        self._queues: dict[str, deque[_Ticket]] = {CHAT: deque(), META: deque()}

    @property
    def running(self) -> int:
        """How many slots are out."""
        return self._running

    def try_enter(self) -> Slot | None:
        """A Slot if one is free now, else None: for a speculative call, which is not worth waiting for."""
        with self._lock:
            return self._slot()

    def enter(self, priority: str = CHAT, on_cancel: OnCancel | None = None) -> Slot:
        """Wait for a place and return its Slot.

        priority: CHAT or META. on_cancel: how to hear that the client goes; None when nobody can go.
        Raises Overloaded when the queue is full or the wait is over, Cancelled when the client went
        meanwhile.
        """
        arrived_at = self._clock()
        timeout_s = self._queue_timeout_s
        with self._lock:
            slot = self._slot()
            if slot:
                return slot
            ticket = self._queued(priority)
        try:
            if on_cancel is not None:
                on_cancel(lambda: self._cancel(ticket))
            ticket.decided.wait(timeout_s)
            fate = self._taken(ticket)
        except BaseException:
            # A signal, or whatever the caller's on_cancel may raise: a slot granted meanwhile must not be
            # lost.
            self._cancel(ticket)
            raise
        if fate is _Fate.CANCELLED:
            raise Cancelled("hung up")
        if fate is _Fate.DISPLACED:
            message = f"the queue of provider '{self.provider}' is full and chat goes first"
            raise Overloaded(message, code="provider_busy")
        if fate is _Fate.TOO_LATE:
            message = f"provider '{self.provider}' had no place within {timeout_s:g} s"
            raise Overloaded(message, code="provider_busy")
        return Slot(self, round((self._clock() - arrived_at) * 1000))

    def _taken(self, ticket: _Ticket) -> _Fate:
        """The fate of a ticket whose caller waits no longer."""
        with self._lock:
            if ticket.fate is None:
                self._queues[ticket.priority].remove(ticket)
                ticket.fate = _Fate.TOO_LATE
            ticket.taken = True
            return ticket.fate

    def _cancel(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket.taken or ticket.fate in (_Fate.TOO_LATE, _Fate.DISPLACED):
                return
            if ticket.fate is None:
                self._queues[ticket.priority].remove(ticket)
            elif ticket.fate is _Fate.GRANTED:
                self._leave()
            self._decide(ticket, _Fate.CANCELLED)

    # Below, the lock is held.

    def _slot(self) -> Slot | None:
        """A Slot if there is room.

        Nobody is overtaken: while somebody waits there is none, since a slot that becomes free is handed on.
        """
        if self._max_concurrent is not None and self._running >= self._max_concurrent:
            return None
        self._running += 1
        return Slot(self, 0)

    def _queued(self, priority: str) -> _Ticket:
        if sum(map(len, self._queues.values())) >= self._max_queued:
            if priority != CHAT or not self._queues[META]:
                message = f"provider '{self.provider}' is busy and its queue is full ({self._max_queued})"
                raise Overloaded(message, code="provider_busy")
            self._decide(self._queues[META].pop(), _Fate.DISPLACED)
        ticket = _Ticket(priority)
        self._queues[priority].append(ticket)
        return ticket

    def _leave(self) -> None:
        """A slot has become free: hand it to the one who is next."""
        for queue in self._queues.values():
            if queue:
                return self._decide(queue.popleft(), _Fate.GRANTED)
        self._running -= 1

    def _decide(self, ticket: _Ticket, fate: _Fate) -> None:
        ticket.fate = fate
        ticket.decided.set()
