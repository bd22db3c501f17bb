"""`make version`: the version, and the commit where git knows. It needs no package."""

from pathlib import Path

from deploy.commands import run
from settings.paths import CHECKOUT
from telemetry.version import VERSION
from terminal.command import say


def described(checkout: Path) -> str:
    """The version of the code, as in `1.0.0` or `1.0.0 (v1.0.0-3-g1234567)`."""
    revision = git_revision(checkout)
    return f"{VERSION} ({revision})" if revision else VERSION


def git_revision(checkout: Path) -> str | None:
    """What git calls that which is checked out, as in `v1.0.0-3-g1234567`; None where it does not know."""
    ran = run("git", "-C", str(checkout), "describe", "--tags", "--always", "--dirty")
    return ran.output if ran.ok else None


if __name__ == "__main__":
    say(f"Headstart {described(CHECKOUT)}")
