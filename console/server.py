"""Finds the server that runs on this machine, and asks it with its owner's key.

The address that HOST and PORT name goes first where they are set and something of ours answers there. Then
come the files that servers leave in their data folders, and last the address in the configuration.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from errors import ConfigError
from routing import markers
from runtime import announcement
from runtime.announcement import Running
from runtime.session import local_session
from settings import loader
from settings.model import Config
from settings.paths import CONFIG_VARIABLE, DATA_VARIABLE, owner_paths
from terminal.command import CommandFailed
from wire import JsonObject

PING_S = 3.0  # how long a server has to say that it is there
ANSWER_S = 15.0  # and to answer: a fresh check of everybody takes up to 5 s, and waits twice where it is new
ALIVE = "ok\n"  # what /livez says


class Unasked(CommandFailed):
    """The server could not be asked."""


class NotRunning(Unasked):
    """No server was found."""


@dataclass(frozen=True)
class Setting:
    """A configuration, which may be faulty; then there is none but the mistake."""

    config: Config | None = None
    mistake: ConfigError | None = None

    @property
    def known(self) -> Config:
        """The configuration. Raises the ConfigError."""
        if self.config is None:
            raise self.mistake or RuntimeError("neither a configuration nor a mistake")
        return self.config


class Server:
    """A server that answers at a URL. announced: what it has left in its data folder, if it was found so."""

    def __init__(self, url: str, setting: Setting, announced: Running | None = None) -> None:
        self.url = url
        self.setting = setting
        self.announced = announced

    def get(self, path: str, **query: str | None) -> JsonObject:
        """The JSON object at a path, whatever its status says of it. Raises Unasked where there is none."""
        config = self.setting.config
        key = next((key.key for key in config.server.keys), None) if config else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            reply = local_session().get(self.url + path, params=query, headers=headers, timeout=ANSWER_S)
            answer = reply.json()
        except requests.Timeout as error:
            raise Unasked(f"the server at {self.url} does not answer within {ANSWER_S:g} s") from error
        except (requests.RequestException, ValueError) as error:
            raise Unasked(f"the server at {self.url} gave no answer that makes sense") from error
        if reply.status_code == 401:
            raise Unasked(f"the server at {self.url} refuses the key of {self._whose_key()}")
        if not isinstance(answer, dict) or "error" in answer:
            raise Unasked(f"the server at {self.url} has no {path}: is it of another version?")
        return answer

    def _whose_key(self) -> str:
        config = self.setting.config
        return str(config.path) if config else f"a configuration that is faulty ({self.setting.mistake})"


def find(*, named: bool = False) -> Server:
    """The server that runs. Raises NotRunning.

    named: only one with the configuration and the data that HEADSTART_CONFIG and HEADSTART_DATA name here,
    where they do: it is those that are asked about.
    """
    here = configuration()
    announced = announcement.announced(_folders(here))
    strangers = [one for one in announced if named and not _is_named(one)]
    addresses = {one.url for one in strangers}
    announced = [one for one in announced if one not in strangers]
    tried = [server for server in _candidates(here, announced) if server.url not in addresses]
    for server in tried:
        if _answers(server.url):
            return server
    for known in announced:
        raise NotRunning(f"the server (pid {known.pid}) runs, but nothing answers at {known.url}")
    for other in strangers:
        raise NotRunning(f"the server at {other.url} runs with {other.config}")
    where = f": nothing answers at {tried[-1].url}" if tried else ""
    raise NotRunning(f"no server runs{where} (start it with make run)")


def _is_named(announced: Running) -> bool:
    """Whether a server has what this terminal's variables name."""
    paths = owner_paths(os.environ)
    named = {
        CONFIG_VARIABLE: (paths.owner_file, announced.config),
        DATA_VARIABLE: (paths.data, announced.data),
    }
    return all(ours == Path(its) for name, (ours, its) in named.items() if os.environ.get(name))


def configuration(announced: Running | None = None) -> Setting:
    """The configuration that this terminal names, or that of a server."""
    environ = dict(os.environ)
    if announced:
        environ |= {DATA_VARIABLE: announced.data, CONFIG_VARIABLE: announced.config}
        # The shipped one alone needs no file.
        if not Path(announced.config).exists():
            del environ[CONFIG_VARIABLE]
    try:
        return Setting(loader.load(environ=environ, beside=markers.mistakes_in))
    except ConfigError as mistake:
        return Setting(mistake=mistake)


def _folders(here: Setting) -> Iterator[Path]:
    if here.config:
        yield here.config.data
    yield from announcement.likely_folders()


def _candidates(here: Setting, announced: list[Running]) -> Iterator[Server]:
    """Where a server may be, in the order in which they are tried."""
    configured = (
        announcement.url_of(here.config.server.host, here.config.server.port) if here.config else None
    )
    known = {one.url: Server(one.url, configuration(one), one) for one in announced}
    if configured and (os.environ.get("HOST") or os.environ.get("PORT")):
        yield known.get(configured) or Server(configured, here)
    yield from known.values()
    if configured and configured not in known:
        yield Server(configured, here)


def _answers(url: str) -> bool:
    try:
        return local_session().get(f"{url}/livez", timeout=PING_S).text == ALIVE
    except requests.RequestException:
        return False
