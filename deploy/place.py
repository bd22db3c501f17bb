"""Where a Headstart lives: its checkout, its data folder, its address."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.units import Service
from deploy.version import git_revision
from routing import markers
from runtime.announcement import Running, announced, url_of
from settings import loader
from settings.model import Config
from settings.paths import CHECKOUT, CONFIG_VARIABLE, DATA_VARIABLE, OwnerPaths, owner_paths
from telemetry.version import VERSION

SERVICE_LOG = "service.log"
# What the owner may set for a start, and what a service keeps of the terminal that installed it.
VARIABLES = (DATA_VARIABLE, CONFIG_VARIABLE, "HOST", "PORT")
CONNECT_S = 2.0


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
        return loader.load(environ=self.variables(), beside=markers.mistakes_in)

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
        return git_revision(self.checkout) or VERSION


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
