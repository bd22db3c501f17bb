"""Whose health tells whether a version is good: the service, or a server started only to be compared."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from deploy import health, service
from deploy.commands import end
from deploy.managers import ServiceManager
from deploy.place import SERVICE_LOG, Place
from settings.paths import CONFIG_VARIABLE, DOTENV
from wire import JsonObject

SETTLE_S = 20.0  # how long the former version has until it is healthy, where it is started to be compared


class Subject(Protocol):
    """Whose health tells whether a version is good."""

    def before(self) -> JsonObject | None:
        """The health of the version that is checked out."""

    def after(self, at_least: JsonObject | None) -> JsonObject | None:
        """The health of the version that has been checked out since: as good as another, or what it is in
        the end. Raises DeployError where it does not start."""

    def log(self) -> str:
        """What it last had to say."""


class InstalledService:
    """The service: it is what the owner uses."""

    def __init__(self, place: Place, manager: ServiceManager, patience_s: float) -> None:
        self._place = place
        self._manager = manager
        self._patience_s = patience_s
        self._log_start = 0

    def before(self) -> JsonObject | None:
        return health.report_at(self._place.url())

    def after(self, at_least: JsonObject | None) -> JsonObject | None:
        log = self._place.service.log
        self._log_start = log.stat().st_size if log.exists() else 0
        service.started(self._place, self._manager.restart)
        return service.awaited_health(self._place, self._manager, at_least, self._patience_s)

    def log(self) -> str:
        return service.tail(self._place.service.log, self._log_start)


class TemporaryServer:
    """A server on a free port, for as long as it takes to ask: no service runs that could be asked.

    It has the owner's configuration, and a data folder of its own.
    """

    def __init__(self, place: Place, patience_s: float) -> None:
        self._place = place
        self._patience_s = patience_s
        self._log = ""

    def before(self) -> JsonObject | None:
        return self._health(SETTLE_S, {"status": "healthy"})

    def after(self, at_least: JsonObject | None) -> JsonObject | None:
        return self._health(self._patience_s, at_least)

    def log(self) -> str:
        return self._log

    def _health(self, patience_s: float, at_least: JsonObject | None) -> JsonObject | None:
        with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
            log = Path(folder, SERVICE_LOG)
            port = _free_port()
            with (
                log.open("wb") as output,
                _served(self._place, self._variables(Path(folder), port), output) as server,
            ):
                report = health.awaited(
                    f"http://127.0.0.1:{port}", at_least, patience_s, lambda: server.poll() is None
                )
            self._log = service.tail(log, 0)
        return report

    def _variables(self, folder: Path, port: int) -> dict[str, str]:
        owners, more = self._place.owners_file, {}
        if owners.exists():
            more[CONFIG_VARIABLE] = str(owners)  # and the .env beside it
        elif (dotenv := self._place.data / DOTENV).exists():
            shutil.copy(dotenv, folder)
        return self._place.variables(HEADSTART_DATA=str(folder), HOST="127.0.0.1", PORT=str(port), **more)


@contextmanager
def _served(place: Place, variables: dict[str, str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the version that is checked out."""
    process = subprocess.Popen(
        place.service.command,
        cwd=place.checkout,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
    )
    try:
        yield process
    finally:
        end(process)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
