"""`make version`: the version, and the commit where git knows. It needs no package."""

from pathlib import Path

from deploy.commands import run, say
from telemetry.version import VERSION


def described(checkout: Path) -> str:
    """The version of the code, as in `1.0.0` or `1.0.0 (v1.0.0-3-g1234567)`."""
    told = run("git", "-C", str(checkout), "describe", "--tags", "--always", "--dirty")
    return f"{VERSION} ({told.output})" if told.ok else VERSION


if __name__ == "__main__":
    say(f"Headstart {described(Path(__file__).resolve().parent.parent)}")
