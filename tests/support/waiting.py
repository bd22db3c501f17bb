"""Waiting for something to become true, with a guard against waiting for ever."""

import threading
import time

from tests.support.server import HANG_GUARD_S


def await_that(condition, what, within_s=HANG_GUARD_S):
    """Wait until `condition()` holds, and return what it returned.

    what: the complaint when it never does, or a function that makes it then.
    """
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        threading.Event().wait(0.01)
    return found
