"""`make update`: to another version and, where that does worse, back.

Back up, fetch, check out, set up, check the configuration, start, compare the health with that before. This
is the old version's code all the while: it asks the new one for nothing but `make models` and
`python -m deploy.check`.
"""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from deploy import backup, health, managers, service
from deploy.belongings import LEDGER
from deploy.carry_over import carry_over
from deploy.checkout import REMOTE, SHOWN, VERSION, Checkout, Packages
from deploy.commands import DeployError, end, run
from deploy.managers import ServiceManager
from deploy.place import Place, here
from deploy.trial import ForAMoment, Installed, Subject
from terminal.command import run_and_exit, say
from wire import JsonObject

PATIENCE_S = 60.0  # how long a version has until it is as well as the one before


def update(place: Place, manager: ServiceManager, tag: str, patience_s: float = PATIENCE_S) -> None:
    """Go to a version. Raises DeployError where that fails; then the former version is there as before.

    tag: of the remote; "" for its newest version.
    """
    checkout = Checkout(place.checkout)
    checkout.refuse_unless_clone()
    if carried := carry_over(place.checkout, place.variables()):
        say(carried)
    checkout.refuse_unless_clean()
    wanted = _wanted(checkout, tag)
    if wanted is None:
        return
    runs = service.is_ours(place, manager) and manager.state().running
    subject: Subject = Installed(place, manager, patience_s) if runs else ForAMoment(place, patience_s)
    if not runs:
        say("No service runs here: both versions are started for a moment, to be compared")
    before = subject.before()
    former = checkout.name()
    say(f"From {place.version()} ({health.status_of(before)}) to {wanted}")
    archive = backup.back_up(place)
    packages = Packages(place.checkout)
    packages.keep()
    attempt = _Attempt(place, checkout, subject, before)
    try:
        attempt.go_to(wanted)
    except (Exception, KeyboardInterrupt) as error:  # whatever it is, the owner shall not be left half-way
        reason = str(error) or "it was interrupted"
        say(f"Going back to {former}: {reason}")
        with _undisturbed():
            try:
                _go_back(place, checkout, former, packages)
                if attempt.started and runs:
                    _start_former(place, manager, archive, before)
            except Exception as trouble:
                by_hand = f"git checkout {former} && make restart"
                raise DeployError(
                    f"{wanted} was not taken, and going back failed: {trouble}\nBy hand: {by_hand}"
                )
        raise DeployError(f"{wanted} was not taken, {former} is there as before") from error
    finally:
        packages.forget()
    back = (
        f"make update TAG={former}" if VERSION.fullmatch(former) else f"git checkout {former} && make restart"
    )
    say(f"This is {wanted}; to go back: {back}")
    running = place.running()
    if running and not runs:
        say(f"The server that you started (pid {running.pid}) has the former version until its end")


def _wanted(checkout: Checkout, tag: str) -> str | None:
    """The tag to go to, fetched; None, and a line, where there is nothing to do."""
    tags = checkout.tags()
    if not tags:
        raise DeployError(f"the remote '{REMOTE}' has no version yet (a tag such as v1.2.3)")
    if tag and tag not in tags:
        raise DeployError(f"the remote has no version {tag}; it has {', '.join(tags[:SHOWN])}")
    wanted = tag or tags[0]
    commit = checkout.fetched(wanted)
    if commit == checkout.commit():
        say(f"This is {wanted} already" + ("" if tag else ", the newest version"))
        return None
    if not tag and checkout.has(commit):
        say(f"This is ahead of {wanted}, the newest version")
        return None
    return wanted


class _Attempt:
    """The way to another version. started: whether it was tried on what the owner uses."""

    def __init__(self, place: Place, checkout: Checkout, subject: Subject, before: JsonObject | None) -> None:
        self._place = place
        self._checkout = checkout
        self._subject = subject
        self._before = before
        self.started = False

    def go_to(self, wanted: str) -> None:
        self._checkout.switch(wanted)
        say(f"Setting up {wanted}")
        set_up(self._place)
        python = self._place.service.command[0]
        folder, variables = self._place.checkout, self._place.variables()
        checked = run(python, "-m", "deploy.check", folder=folder, environment=variables)
        if not checked.ok:
            raise DeployError(f"its check of the configuration says: {checked.output}")
        say("The configuration is valid")
        self.started = True
        say(f"Starting {wanted}")
        after = self._subject.after(self._before)
        if health.is_worse(after, self._before):
            compared = (
                f"it was {health.status_of(self._before)}, and with {wanted} it is: {health.in_words(after)}"
            )
            raise DeployError(f"{compared}\n{self._subject.log()}".rstrip())
        say(f"It is {health.in_words(after)}")


def set_up(place: Place) -> None:
    """Install packages and models as `make run` would. Raises DeployError."""
    inherited = {
        name: value
        for name, value in place.variables().items()
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    }
    # A group of its own, so that its children end with it, and Ctrl-C reaches them only through us.
    process = subprocess.Popen(
        ["make", "--no-print-directory", "models"],
        cwd=place.checkout,
        env=inherited,
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        status = process.wait()
    except BaseException:
        end(process)
        raise
    if status:
        raise DeployError("setting it up failed")


# Going back.


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Neither Ctrl-C nor a terminal that is gone ends what is done meanwhile."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, _go_on) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def _go_on(number: int, frame: FrameType | None) -> None:
    """What a signal does meanwhile. Not SIG_IGN, which every server started then would inherit."""


def _go_back(place: Place, checkout: Checkout, former: str, packages: Packages) -> None:
    """Have the former version in the checkout again. Raises DeployError, OSError."""
    checkout.switch(former, by_force=True)
    packages.put_back()
    set_up(place)


def _start_former(
    place: Place, manager: ServiceManager, archive: Path | None, before: JsonObject | None
) -> None:
    """Start the service again, with the configuration and the ledger that the former version understands."""
    manager.stop()
    if archive:
        _put_back_what_changed(place, archive)
    manager.start()
    report = service.awaited_health(place, manager, before, PATIENCE_S)
    say(f"Started again: {health.in_words(report)}")


def _put_back_what_changed(place: Place, archive: Path) -> None:
    """Undo what the other version did to the configuration, and to the ledger where its schema is another."""
    with backup.unpacked(place, archive) as files:
        changed = backup.changed(place, files)
        ledger = changed.pop(LEDGER, None)
        if ledger and _schema(files[LEDGER]) != _schema(ledger):
            changed[LEDGER] = ledger
        for name in changed:
            say(f"Putting back {name}, which was changed")
        backup.put_back({target: files[name] for name, target in changed.items()})


def _schema(ledger: Path) -> list[tuple[str, ...]]:
    """What a ledger's tables look like, and the version it names."""
    with closing(sqlite3.connect(ledger)) as database:
        tables = database.execute("select name, sql from sqlite_master order by name").fetchall()
        versions = (
            database.execute("select version from ledger_schema") if "ledger_schema" in dict(tables) else ()
        )
        return [*tables, *versions]


def main() -> int:
    manager = managers.of_this_machine()
    update(here(manager.installed()), manager, sys.argv[1] if len(sys.argv) > 1 else "")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
