"""Installs the locked packages into .venv: `python3 -m deploy.packages`, with `test` tests' too.

pip does the work. Its pages of output go into .venv/install.log; whoever waits sees one line with a bar. This
runs before anything is installed, so it has nothing but the standard library, and an older Python can load
it too and is refused in words. It may be interrupted anywhere and run again; a second one waits for the
first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from deploy.pip_output import PipOutput
from terminal.bar import Bar
from terminal.interruption import status_of_interruption

OLDEST = (3, 11)
CHECKOUT = Path(__file__).resolve().parent.parent


class Lock(NamedTuple):
    """file: the list. stamp: the file in .venv that holds the checksum of the one that was installed."""

    file: str
    stamp: str
    what: str


RUN = Lock("requirements.txt", ".installed", "packages")
TEST = Lock("requirements-test.txt", ".installed-test", "packages for tests")
POLL_S = 0.1
OPTIONS = (
    "--require-hashes",
    "--only-binary=:all:",
    "--no-compile",  # of all modules, which takes longer than installing; Python compiles those in use
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
)


class InstallFailed(Exception):
    """The packages could not be installed; the message says why, and what to do about it."""


class Environment:
    """The checkout's .venv."""

    def __init__(self, checkout: Path, bar: Bar) -> None:
        self._checkout = checkout
        self._bar = bar
        self._folder = checkout / ".venv"
        self._python = self._folder / "bin" / "python"
        self._downloads = self._folder / "downloads"
        self._log = self._folder / "install.log"

    def make(self) -> None:
        """Make it, unless it is there and works. Raises InstallFailed."""
        if self._works():
            return
        broken = self._python.is_symlink()
        self._bar.say("Making .venv anew, its Python or pip is gone" if broken else "Making .venv")
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if made.returncode:
            raise InstallFailed(f"python -m venv failed:\n{made.stdout.strip()}")

    def _works(self) -> bool:
        check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
        try:
            return subprocess.run([self._python, "-c", check], capture_output=True).returncode == 0
        except OSError:
            return False

    def install(self, lock: Lock, held: int) -> None:
        """Install what a lock names, unless that is done. held: a descriptor that pip keeps open as well.

        Raises InstallFailed.
        """
        requirements, stamp = self._checkout / lock.file, self._folder / lock.stamp
        text = requirements.read_text()
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != checksum:
            self._mend()
            self._run_pip(lock, PipOutput(text), held)
        stamp.write_text(checksum)

    def _mend(self) -> None:
        """Remove what an interrupted pip left half done, which the next one would take as installed.

        INSTALLER is the file that pip writes after all others of a package.
        """
        for info in self._folder.glob("lib/python*/site-packages/*.dist-info"):
            if not (info / "INSTALLER").exists():
                shutil.rmtree(info, ignore_errors=True)
        for old in self._folder.glob("lib/python*/site-packages/~*"):
            shutil.rmtree(old, ignore_errors=True)

    def _run_pip(self, lock: Lock, output: PipOutput, held: int) -> None:
        started = time.monotonic()
        shutil.rmtree(self._downloads, ignore_errors=True)
        self._downloads.mkdir()
        try:
            with self._pip(lock, held) as pip:
                self._watch(pip, output, f"Installing {lock.what}")
        finally:
            shutil.rmtree(self._downloads, ignore_errors=True)
            self._bar.clear()
        if pip.returncode:
            killed_by = signal.Signals(-pip.returncode).name if pip.returncode < 0 else ""
            log = f"All pip said is in {self._log}; the same command goes on from here."
            raise InstallFailed(f"{output.reason(killed_by)}\n{log}")
        count, took_s = output.installed_count, time.monotonic() - started
        self._bar.say(
            f"Installed {count} {lock.what} in {took_s:.0f} s" if count else f"All {lock.what} are there"
        )

    def _pip(self, lock: Lock, held: int) -> subprocess.Popen[bytes]:
        command = ["-m", "pip", "install", *OPTIONS, "--requirement", str(self._checkout / lock.file)]
        return subprocess.Popen(
            [self._python, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A download is seen growing there, and needs no room in a small /tmp.
            env={**os.environ, "TMPDIR": str(self._downloads), "PYTHONUNBUFFERED": "1"},
            pass_fds=[held],
        )

    def _watch(self, pip: subprocess.Popen[bytes], output: PipOutput, title: str) -> None:
        """Draw the bar until pip ends. Whatever breaks this off ends pip as well."""
        packages = next(self._folder.glob("lib/python*/site-packages"), None)
        try:
            with self._log.open("w", buffering=1) as file:
                for line in _lines(pip):
                    if line is not None:
                        file.write(line + "\n")
                        output.read(line)
                    self._bar.show(title, output.fraction(self._downloads, packages), output.note)
        except BaseException:
            pip.terminate()
            raise


def _lines(pip: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """The lines of its output as they come; None whenever nothing came for a moment."""
    assert pip.stdout is not None  # it is a pipe
    rest = b""
    while True:
        if not select.select([pip.stdout], [], [], POLL_S)[0]:
            yield None
            continue
        read = os.read(pip.stdout.fileno(), 1 << 16)
        *lines, rest = (rest + read).split(b"\n")
        for line in lines if read else [*lines, rest]:
            yield line.decode(errors="replace")
        if not read:
            return


@contextmanager
def alone(checkout: Path, bar: Bar) -> Iterator[int]:
    """Hold the checkout's lock and give its descriptor. It ends when all who have that one closed it."""
    held = os.open(checkout, os.O_RDONLY)  # the folder itself, so that no file is left behind
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            bar.say("Another set-up is at work here, waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield held
    finally:
        os.close(held)


def install(checkout: Path, locks: list[Lock], bar: Bar) -> None:
    """Make the environment and install what the locks name. Raises InstallFailed."""
    with alone(checkout, bar) as held:
        environment = Environment(checkout, bar)
        environment.make()
        for lock in locks:
            environment.install(lock, held)


def main() -> int:
    if sys.version_info < OLDEST:
        print(f"Headstart needs Python 3.11 or newer, this is {platform.python_version()}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        install(CHECKOUT, [RUN, TEST] if sys.argv[1:] == ["test"] else [RUN], Bar())
    except InstallFailed as error:
        print(f"headstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("headstart: interrupted; the same command goes on from here", file=sys.stderr)
        return status_of_interruption()
    return 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
