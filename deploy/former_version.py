"""The version before an update, kept until the other one has proved to be as good."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from deploy import backup, health, service
from deploy.belongings import LEDGER
from deploy.checkout import VERSION, Checkout, Packages, set_up
from deploy.commands import DeployError
from deploy.managers import ServiceManager
from deploy.place import Place
from terminal.command import say
from wire import JsonObject

PATIENCE_S = 60.0  # how long a version has until it is as well as the one before


class FormerVersion:
    """What is checked out now. It is backed up, and its packages are kept, from here on until `forget`.

    before: how it was.
    """

    def __init__(
        self, place: Place, manager: ServiceManager, checkout: Checkout, before: JsonObject | None
    ) -> None:
        self.name = checkout.name()
        self._place = place
        self._manager = manager
        self._checkout = checkout
        self._before = before
        self._archive = backup.back_up(place)
        self._packages = Packages(place.checkout)
        self._packages.keep()

    @property
    def command(self) -> str:
        """What brings it back by hand."""
        by_tag = VERSION.fullmatch(self.name)
        return f"make update TAG={self.name}" if by_tag else self._by_hand

    @property
    def _by_hand(self) -> str:
        return f"git checkout {self.name} && make restart"

    def come_back(self, *, restart: bool) -> None:
        """Have it in the checkout again. restart: and running. Raises DeployError; nothing disturbs it."""
        with _undisturbed():
            try:
                self._checkout.switch(self.name, by_force=True)
                self._packages.put_back()
                set_up(self._place)
                if restart:
                    self._start()
            except Exception as trouble:
                raise DeployError(f"going back failed: {trouble}\nBy hand: {self._by_hand}") from trouble

    def forget(self) -> None:
        """Let go of its packages."""
        self._packages.forget()

    def _start(self) -> None:
        """Start the service again, with the configuration and the ledger that this version understands."""
        self._manager.stop()
        if self._archive:
            _put_back_what_changed(self._place, self._archive)
        self._manager.start()
        report = service.awaited_health(self._place, self._manager, self._before, PATIENCE_S)
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
