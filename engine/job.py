"""A piece of work for the one thread that owns a model, and its result for whoever waits.

It knows nothing of models, queues or limits: its kinds add what they want computed and what came out.
"""

import threading

from errors import Cancelled


class Job:
    """The owner thread ends it by `finish` or `fail`; whoever waits for it may `abandon` it before."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.abandoned = False
        self.error: Exception | None = None  # why nothing came out

    def abandon(self) -> None:
        """End the waiting, from any thread: nobody wants the result any more."""
        self.abandoned = True
        self.done.set()

    def finish(self) -> None:
        self.done.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.done.set()

    def raise_failure(self) -> None:
        """Nothing for a job that was finished. Raises Cancelled for an abandoned one, else its error."""
        if self.abandoned:
            raise Cancelled("hung up")
        if self.error:
            raise self.error
