"""Where a Headstart lives: its checkout, its data folder, its address, and whether it answers there."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from deploy.commands import run
from deploy.units import Service
from runtime.announcement import Running, announced, url_of
from runtime.session import local_session
from settings import loader
from settings.model import Config
from settings.paths import CHECKOUT, CONFIG_VARIABLE, DATA_VARIABLE, OwnerPaths, owner_paths
from telemetry.version import VERSION
from wire import JsonObject

SERVICE_LOG = "service.log"
# What the owner may set for a start, and what a service keeps of the terminal that installed it.
VARIABLES = (DATA_VARIABLE, CONFIG_VARIABLE, "HOST", "PORT")
NOTHING_ANSWERS = "nothing answers"
# From worst to best.
HEALTH = (NOTHING_ANSWERS, "unhealthy", "unknown", "degraded", "healthy")
CONNECT_S = 2.0
CHECK_S = 10.0  # how long /health may take when everybody is asked anew
POLL_S = 0.25
GONE_S = 2.0  # for how long a service that has ended is waited for: its manager may be about to start it


@dataclass(frozen=True)
class Place:
    """checkout: where the code lies. environment: those of VARIABLES that are set, paths made absolute."""

    checkout: Path
    environment: Mapping[str, str]

    @property
    def paths(self) -> OwnerPaths:
        return owner_paths(self.environment, checkout=self.checkout)

    @property
    def owners_file(self) -> Path:
        """The owner's configuration, which may not exist."""
        return self.paths.owner_file

    @property
    def data(self) -> Path:
        """The folder of everything that is written."""
        return self.paths.data

    @property
    def service(self) -> Service:
        """The service that would run it."""
        return Service(self.checkout, self.data / SERVICE_LOG, self.environment)

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a program that shall live here."""
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        return {**inherited, **self.environment, **more}

    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        return loader.load(environ=self.variables())

    def running(self) -> Running | None:
        """The server that runs with this data folder, whoever started it."""
        servers = announced([self.data])  # in a checkout also one that has its data elsewhere
        ours = (server for server in servers if Path(server.data) == self.data.resolve())
        return next((server for server in ours if listens(server.url)), None)

    def url(self) -> str:
        """Where it is asked on this machine, also when it does not run. Raises ConfigError."""
        running = self.running()
        if running:
            return running.url
        server = self.config().server
        return url_of(server.host, server.port)

    def version(self) -> str:
        """The version of the code."""
        told = run("git", "-C", str(self.checkout), "describe", "--tags", "--always", "--dirty")
        return told.output if told.ok else VERSION


def here(installed: Service | None = None, checkout: Path = CHECKOUT) -> Place:
    """The place that this terminal's variables name, completed by those of an installed service.

    installed: the service of this machine; one of another checkout counts for nothing.
    """
    theirs = installed.environment if installed and installed.checkout == checkout else {}
    named = {name: os.environ.get(name) or theirs.get(name) for name in VARIABLES}
    return Place(
        checkout,
        {
            name: str((checkout / Path(value).expanduser()).resolve())
            if name in (DATA_VARIABLE, CONFIG_VARIABLE)
            else value
            for name, value in named.items()
            if value
        },
    )


def listens(url: str) -> bool:
    """Whether somebody accepts connections there; the pid alone may be another process's after a reboot."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), CONNECT_S).close()
    except OSError:
        return False
    return True


# Health.


def health(url: str) -> JsonObject | None:
    """What its /health reports, with everybody asked anew; None where nothing of ours answers."""
    try:
        report = local_session().get(f"{url}/health?fresh=1", timeout=CHECK_S).json()
    except (requests.RequestException, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("status") in HEALTH else None


def word(report: JsonObject | None) -> str:
    """A report in a word of HEALTH."""
    return str(report["status"]) if report else NOTHING_ANSWERS


def is_worse(report: JsonObject | None, than: JsonObject | None) -> bool:
    return HEALTH.index(word(report)) < HEALTH.index(word(than))


def in_words(report: JsonObject | None) -> str:
    """A report in a line: the status, and what is not well and why."""
    if report is None:
        return NOTHING_ANSWERS
    everybody = {**report.get("providers", {}), "classifier": report.get("classifier") or {}}
    ill = [
        f"{name}: {one.get('error')}" for name, one in everybody.items() if one.get("status") == "unhealthy"
    ]
    replaced = [
        f"{one['decision']}: {one['missing']}" for one in report.get("decisions", ()) if one["degraded"]
    ]
    troubles = [*report.get("config", {}).get("rejected", ()), *(ill or replaced)]
    return f"{report['status']} ({'; '.join(troubles)})" if troubles else str(report["status"])


def awaited_health(
    url: str, at_least: JsonObject | None, patience_s: float, is_running: Callable[[], bool]
) -> JsonObject | None:
    """Its health as soon as it is as good as another was, else what it is in the end.

    Waits up to patience_s, and hardly where it has ended: is_running says so.
    """
    deadline = time.monotonic() + patience_s
    seen = time.monotonic()
    while True:
        runs = is_running()
        report = health(url)
        if report is not None and not is_worse(report, at_least):
            return report
        if runs or report:
            seen = time.monotonic()
        if time.monotonic() > min(deadline, seen + GONE_S):
            return report
        time.sleep(POLL_S)
