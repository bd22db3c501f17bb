"""How a command ends that Ctrl-C broke off.

It is used before any package is installed and by any Python, which it must not fail to load in.
"""

import os
import signal

INTERRUPTED = 130  # the status that a shell gives it
BY_MAKE = "HEADSTART_MAKE"  # set by the Makefile where it runs nothing but the command


def status_of_interruption() -> int:
    """The status to exit with. A make above ends by the signal itself, and so adds no error line."""
    if not os.environ.get(BY_MAKE):
        return INTERRUPTED
    os.kill(os.getppid(), signal.SIGINT)
    return 0
