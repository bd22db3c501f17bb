"""The first start on a terminal: offers the set-up once, and gets out of the way.

`make run` calls it before each start from a terminal, so it loads nothing heavy until the answer is yes.
"""

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from settings.environment import SET_UP_BY, Variables
from settings.paths import CONFIG_VARIABLE, DOTENV, OWNER_FILE, owner_paths
from terminal.command import run_and_exit
from terminal.interruption import status_of_interruption

MARK = ".setup-offered"  # in the data folder, once somebody has answered
PATIENCE_S = 60.0  # how long the start waits for an answer


def is_wanted(data: Path) -> bool:
    """Whether to ask: on a terminal, with nothing set up, and only once. data: the data folder."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if os.environ.get(CONFIG_VARIABLE) or any((data / name).exists() for name in (MARK, OWNER_FILE)):
        return False
    variables = Variables(os.environ, [data / DOTENV])
    return not any(variables.get(name) for name in SET_UP_BY)


def offer(data: Path, patience_s: float = PATIENCE_S) -> bool:
    """Whether the owner wants to set up now. False after patience_s, or at the end of the input."""
    print(
        "Nothing is set up yet, so the small demo model will answer.\n"
        f"Set up now? It takes a minute. [Y/n] (the start goes on in {patience_s:.0f} s) ",
        end="",
        flush=True,
    )
    if not select.select([sys.stdin], [], [], patience_s)[0]:
        print("\nGoing on with the demo model; `make setup` sets up later.")
        return False
    answer = sys.stdin.readline()
    if answer.strip().lower() in ("", "y", "yes") and answer:
        return True
    if not answer:
        print()
    with suppress(OSError):  # then it is offered again
        data.mkdir(parents=True, exist_ok=True)
        (data / MARK).touch()
    print("Going on with the demo model; `make setup` sets up later.")
    return False


def main() -> int:
    """Offer the set-up where it is wanted. Returns an exit status: 0 to go on with the start."""
    data = owner_paths(os.environ).data
    try:
        if not is_wanted(data) or not offer(data):
            return 0
    except KeyboardInterrupt:
        print()
        return status_of_interruption()
    from deploy import setup  # heavy: all that a server is made of

    run_and_exit(setup.main)


if __name__ == "__main__":
    sys.exit(main())
