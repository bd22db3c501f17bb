"""Who may call a provider now, and who waits: so many at once, the others in a queue, first come, first served.

A small engine serves one or two calls well and eight of them badly, so those beyond its limit wait here instead of slowing each other down there. Chat goes
before META: a chat that comes to a full queue takes the place of the newest META call in it. Nobody waits beyond the time limit, and whoever hangs up leaves
the queue at once.

It knows nothing of what the calls are. Whoever wonders about races: every change of a ticket's fate happens under the one lock, and its first fate stays, but
for a slot that was granted and not yet taken when its caller hung up; that one is handed on in the same breath.
"""

import threading
import time
from collections import deque

from errors import Cancelled, Unavailable

CHAT, META = "chat", "meta"
_GRANTED, _HUNG_UP, _TOO_LATE, _DISPLACED = "granted", "hung up", "too late", "displaced"


class Overloaded(Unavailable):
    """The provider is as busy as it may be."""

    def __init__(self, message, *, code):
        super().__init__(message, code=code)
        self.worth_retrying = True


class Slot:
    """A place at a provider, until it is released; as a context manager, until the end of its block. queued_ms: how long its caller waited for it."""

    def __init__(self, admission, queued_ms):
        self.queued_ms = queued_ms
        self._admission = admission
        self._released = False

    def release(self):
        """Let the next one in. From any thread, more than once without harm."""
        with self._admission._lock:
            if not self._released:
                self._released = True
                self._admission._leave()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.release()


class _Ticket:
    def __init__(self, priority):
        self.priority = priority
        self.fate = None
        self.taken = False  # its caller has the slot in hand
        self.settled = threading.Event()


class Admission:
    """One provider's door. Shared by all threads."""

    def __init__(
        self, provider, *, max_concurrent=None, max_queued=32, queue_timeout_s=30.0, clock=time.monotonic
    ):
        """provider: its name, for messages. max_concurrent: calls at once, None for any number. max_queued: 0 for no queue at all."""
        self.provider = provider
        self._max_concurrent = max_concurrent
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._queues = {CHAT: deque(), META: deque()}  # in the order in which they are served

    @property
    def running(self):
        """How many slots are out."""
        return self._running

    @property
    def waiting(self):
        """How many wait for one."""
        with self._lock:
            return sum(map(len, self._queues.values()))

    def try_enter(self):
        """A Slot if one is free now, else None: for a speculative call, which is not worth waiting for."""
        with self._lock:
            return self._slot()

    def enter(self, priority=CHAT, on_cancel=None, timeout_s=None):
        """Wait for a place and return its Slot.

        priority: CHAT or META. on_cancel: takes a callback and has it called when the client goes, at once if it has gone already (an exchange's
        `on_cancel`); None when nobody can hang up. timeout_s: how long this caller waits, None for the provider's `queue_timeout_s`.
        Raises Overloaded when the queue is full or the wait is over, Cancelled when the client went meanwhile.
        """
        arrived_at = self._clock()
        timeout_s = self._queue_timeout_s if timeout_s is None else timeout_s
        with self._lock:
            slot = self._slot()
            if slot:
                return slot
            ticket = self._queued(priority)
        try:
            if on_cancel is not None:
                on_cancel(lambda: self._hang_up(ticket))
            ticket.settled.wait(timeout_s)
            fate = self._taken(ticket)
        except BaseException:  # a signal, or whatever the caller's on_cancel may raise: a slot granted meanwhile must not be lost
            self._hang_up(ticket)
            raise
        if fate == _HUNG_UP:
            raise Cancelled("hung up")
        if fate == _DISPLACED:
            raise Overloaded(
                f"the queue of provider '{self.provider}' is full and chat goes first", code="provider_busy"
            )
        if fate == _TOO_LATE:
            raise Overloaded(
                f"provider '{self.provider}' had no place within {timeout_s:g} s", code="provider_busy"
            )
        return Slot(self, round((self._clock() - arrived_at) * 1000))

    def _taken(self, ticket):
        """The fate of a ticket whose caller waits no longer."""
        with self._lock:
            if ticket.fate is None:
                self._queues[ticket.priority].remove(ticket)
                ticket.fate = _TOO_LATE
            ticket.taken = True
            return ticket.fate

    def _hang_up(self, ticket):
        with self._lock:
            if ticket.taken or ticket.fate in (_TOO_LATE, _DISPLACED):
                return
            if ticket.fate is None:
                self._queues[ticket.priority].remove(ticket)
            elif ticket.fate == _GRANTED:
                self._leave()
            ticket.fate = _HUNG_UP
            ticket.settled.set()

    # Below, the lock is held.

    def _slot(self):
        """A Slot if there is room. Nobody is overtaken: while somebody waits there is none, since a slot that becomes free is handed on."""
        if self._max_concurrent is not None and self._running >= self._max_concurrent:
            return None
        self._running += 1
        return Slot(self, 0)

    def _queued(self, priority):
        if sum(map(len, self._queues.values())) >= self._max_queued:
            if priority != CHAT or not self._queues[META]:
                raise Overloaded(
                    f"provider '{self.provider}' is busy and its queue is full ({self._max_queued})",
                    code="provider_busy",
                )
            self._settle(self._queues[META].pop(), _DISPLACED)
        ticket = _Ticket(priority)
        self._queues[priority].append(ticket)
        return ticket

    def _leave(self):
        """A slot has become free: hand it to the one who is next."""
        for queue in self._queues.values():
            if queue:
                return self._settle(queue.popleft(), _GRANTED)
        self._running -= 1

    def _settle(self, ticket, fate):
        ticket.fate = fate
        ticket.settled.set()
