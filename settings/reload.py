"""Puts a changed configuration into effect while requests are served.

A thread polls the files the configuration was made from, and a signal requests a reload at once. The new
parts are made beside the old ones and take their place in one step. A request goes on to its end with the
parts it began with; they are closed when the last such request has ended. A faulty file changes nothing.
app.log has its mistake with line and key, and for a good file the keys that changed, never their values.

It does not know what the parts are made of: they bring along how to make their successor.
"""

import dataclasses
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from errors import ConfigError
from settings import loader
from settings.fields import altered, fields_of
from settings.listening import check_listening
from settings.model import Config
from settings.nodes import below
from settings.paths import DOTENV, SHIPPED
from telemetry.logs import fields

# Between two polls of the files. A change counts when two polls agree on it: an editor may still be writing.
POLL_S = 0.5
FIXED_UNTIL_RESTART = ("host", "port", "threads")  # what gunicorn takes from `server` when it starts

Stamp = tuple[int, int, int]  # mtime in ns, size, inode

log = logging.getLogger(__name__)


class Parts(Protocol):
    """What serves under one configuration."""

    @property
    def config(self) -> Config: ...

    def files(self) -> Iterable[Path]:
        """The files they were made from, also those that are not there yet."""

    def successor(self, config: Config) -> Self:
        """The parts under another configuration. Raises ConfigError; then nothing has changed."""

    def rejected(self, mistake: str) -> None:
        """What was to take their place has mistakes, a line for each; they go on."""

    def start(self) -> None:
        """They begin to serve."""

    def stop(self) -> None:
        """Others have taken their place; requests may still be in flight under them."""

    def close(self, successor: Self | None) -> None:
        """Nobody uses them any more. successor: who has taken their place, None when the process ends."""


P = TypeVar("P", bound=Parts)


class Reloader(Generic[P]):
    """Holds the parts that serve now, and replaces them."""

    def __init__(self, parts: P) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._in_flight = {parts: 0}
        self._successors: dict[P, P] = {}
        self._requested = threading.Event()
        self._mistakes: tuple[str, ...] = ()
        self._engines = parts.config.engines
        self._seen = stamps(parts.files())

    @property
    def parts(self) -> P:
        return self._parts

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Why the configuration as it stands was rejected, each with file, line and key; () if not."""
        return self._mistakes

    def reject(self, error: ConfigError) -> None:
        """Note that a changed configuration cannot be used, and tell the owner; the one in use goes on."""
        self._mistakes = tuple(" ".join(str(mistake).split()) for mistake in error.mistakes)
        for mistake in self._mistakes:
            log.error("Config rejected: %s", mistake)
            print(f"Config rejected, the one before goes on: {mistake}", file=sys.stderr, flush=True)
        self._parts.rejected("\n".join(self._mistakes))

    def take(self) -> P:
        """The parts for a request; they serve until it gives them back by `leave`."""
        with self._lock:
            self._in_flight[self._parts] += 1
            return self._parts

    def leave(self, parts: P) -> None:
        with self._lock:
            self._in_flight[parts] -= 1
        self._close_if_idle(parts)

    def start(self) -> None:
        """Begin to serve and to watch, on a thread of its own."""
        self._parts.start()
        threading.Thread(target=self._watch, name="reload", daemon=True).start()

    def request_reload(self) -> None:
        """Reload in a moment, whether a file has changed or not. Safe within a signal handler."""
        self._requested.set()

    def close(self) -> None:
        """Close all parts: the process ends."""
        with self._lock:
            left = [(parts, self._successors.get(parts)) for parts in self._in_flight]
        for parts, successor in left:
            parts.close(successor)

    def _watch(self) -> None:
        last = self._seen
        while True:
            requested = self._requested.wait(POLL_S)
            self._requested.clear()
            now = stamps(self._parts.files())
            if requested or (now != self._seen and now == last):
                try:
                    self._reload(now)
                except Exception:  # the edge of a thread that must live on
                    log.exception("Config not reloaded")
            last = now

    def _reload(self, now: dict[Path, Stamp | None]) -> None:
        touched = _touched(self._seen, now)
        self._seen = now
        old = self._parts
        try:
            config, waiting = as_running(loader.load(old.config.path), old.config, self._engines)
            check_listening(config)
            new = old.successor(config)
        except ConfigError as error:
            self.reject(error)
            return
        self._mistakes = ()
        self._replace(old, new)
        self._seen = {path: now[path] if path in now else _stamp(path) for path in new.files()}
        others = [name for name in touched if name not in (SHIPPED.name, config.path.name, DOTENV)]
        changed = dict.fromkeys([*changed_keys(old.config, config), *others, *waiting])
        log.info("Config reloaded:", extra=fields(changed=",".join(changed)))
        if waiting:
            log.warning("Config restart needed for: %s", ",".join(waiting))

    def _replace(self, old: P, new: P) -> None:
        with self._lock:
            self._parts = new
            self._in_flight[new] = 0
            self._successors[old] = new
        old.stop()
        new.start()
        self._close_if_idle(old)

    def _close_if_idle(self, parts: P) -> None:
        with self._lock:
            if parts is self._parts or self._in_flight.get(parts) != 0:
                return
            del self._in_flight[parts]
            successor = self._successors.pop(parts)
        parts.close(successor)


def stamps(files: Iterable[Path]) -> dict[Path, Stamp | None]:
    """What distinguishes one state of the files from another; None for a file that is not there."""
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _touched(before: Mapping[Path, Stamp | None], now: Mapping[Path, Stamp | None]) -> list[str]:
    """The names of the files whose state has changed."""
    return sorted({path.name for path in now.keys() | before.keys() if now.get(path) != before.get(path)})


def changed_keys(old: object, new: object, key: str = "") -> Iterator[str]:
    """The keys in which two configurations differ, as in `providers.xai.model`.

    What is new or gone as a whole is one key.
    """
    if old == new:
        return
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        pairs = {field.name: (getattr(old, field.name), getattr(new, field.name)) for field in fields_of(old)}
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{key}.{name}" for name in [*old, *new] if name not in old or name not in new)
        pairs = {name: (old[name], new[name]) for name in old if name in new}
    else:
        yield key
        return
    for name, (before, after) in pairs.items():
        yield from changed_keys(before, after, below(key, name))


def as_running(config: Config, running: Config, engines: Mapping[str, str]) -> tuple[Config, list[str]]:
    """(the configuration as far as it can take effect now, the keys that wait for a restart).

    running: the configuration in effect. engines: provider -> model of the embedded engines that run.
    """
    kept = {name: getattr(running.server, name) for name in FIXED_UNTIL_RESTART}
    waiting = [f"server.{name}" for name, value in kept.items() if getattr(config.server, name) != value]
    providers = dict(config.providers)
    for name, model in config.engines.items():
        if name not in engines:
            reason = "its engine starts with the next start of Headstart"
            providers[name] = altered(providers[name], disabled=reason)
            waiting.append(f"providers.{name}")
        elif model != engines[name]:
            providers[name] = altered(providers[name], model=engines[name])
            waiting.append(f"providers.{name}.model")
    server = altered(config.server, **kept)
    return altered(config, server=server, providers=providers), waiting
