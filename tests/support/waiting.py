"""Waiting for something to become true, with a guard against waiting for ever."""

import threading
import time

from tests.support.server import HANG_GUARD_S


def await_that(condition, what):
    """Wait until `condition()` holds. what: the complaint when it never does."""
    deadline = time.monotonic() + HANG_GUARD_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)
