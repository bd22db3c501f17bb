"""Puts a changed configuration into effect while requests are served.

A thread looks at the files the configuration was made from, and a signal asks for the same at once. The new parts are made beside the old ones and take
their place in one step: a request goes on to its end with the parts it began with, which are closed when the last such request has ended. A faulty file
changes nothing; app.log tells its mistake, with line and key, and for a good one the keys that changed, never their values.

It does not know what the parts are made of: they bring along how to make their successor.
"""

import dataclasses
import logging
import os
import threading

from errors import ConfigError
from settings import model as settings
from telemetry.logs import fields

LOOK_S = 0.5  # between two looks at the files; a change counts when two looks agree on it, since an editor may still be writing

log = logging.getLogger(__name__)


class Reloader:
    """Holds the parts that serve now.

    Parts have `config`, `files()` (what to watch), `successor(config)` (raises ConfigError), `start()`, `stop()` (on being replaced) and
    `close(successor)` (when nobody uses them any more; None at the very end).
    """

    def __init__(self, parts):
        self._parts = parts
        self._lock = threading.Lock()
        self._in_flight = {parts: 0}
        self._successors = {}
        self._asked = threading.Event()
        self._engines = _engines(parts.config)
        self._seen = stamps(parts.files())

    @property
    def parts(self):
        return self._parts

    def take(self):
        """The parts for a request; they serve until it gives them back by `leave`."""
        with self._lock:
            self._in_flight[self._parts] += 1
            return self._parts

    def leave(self, parts):
        with self._lock:
            self._in_flight[parts] -= 1
        self._close_if_idle(parts)

    def start(self):
        """Begin to serve and to watch, on a thread of its own."""
        self._parts.start()
        threading.Thread(target=self._watch, name="reload", daemon=True).start()

    def ask(self):
        """Reload soon, whether a file has changed or not. Safe within a signal handler."""
        self._asked.set()

    def close(self):
        """Close all parts: the process ends."""
        with self._lock:
            left = [(parts, self._successors.get(parts)) for parts in self._in_flight]
        for parts, successor in left:
            parts.close(successor)

    def _watch(self):
        last = self._seen
        while True:
            asked = self._asked.wait(LOOK_S)
            self._asked.clear()
            now = stamps(self._parts.files())
            if asked or (now != self._seen and now == last):
                try:
                    self._reload(now)
                except Exception:  # the edge of a thread that must live on
                    log.exception("Config not reloaded")
            last = now

    def _reload(self, now):
        touched = sorted(
            {path.name for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)}
        )
        self._seen = now
        old = self._parts
        try:
            config, waiting = as_running(settings.load(old.config.path), old.config, self._engines)
            new = old.successor(config)
        except ConfigError as error:
            log.error("Config rejected: %s", " ".join(str(error).split()))
            return
        changed = [
            *changed_keys(old.config, config),
            *(name for name in touched if name not in (config.path.name, ".env")),
            *waiting,
        ]
        with self._lock:
            self._parts = new
            self._in_flight[new] = 0
            self._successors[old] = new
        old.stop()
        new.start()
        self._close_if_idle(old)
        self._seen = {path: now[path] if path in now else _stamp(path) for path in new.files()}
        log.info("Config reloaded:", extra=fields(changed=",".join(dict.fromkeys(changed))))
        if waiting:
            log.warning("Config restart needed for: %s", ",".join(waiting))

    def _close_if_idle(self, parts):
        with self._lock:
            if parts is self._parts or self._in_flight.get(parts) != 0:
                return
            del self._in_flight[parts]
            successor = self._successors.pop(parts)
        parts.close(successor)


def stamps(files):
    """What tells one state of the files from another: {path: (mtime in ns, size, inode)}, None for one that is not there."""
    return {path: _stamp(path) for path in files}


def _stamp(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def changed_keys(old, new, key=""):
    """The keys in which two configurations differ, as in `providers.xai.model`; what is new or gone as a whole is one key."""
    if old == new:
        return
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        pairs = {
            field.name: (getattr(old, field.name), getattr(new, field.name))
            for field in dataclasses.fields(old)
            if field.init
        }
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{key}.{name}" for name in [*old, *new] if name not in old or name not in new)
        pairs = {name: (old[name], new[name]) for name in old if name in new}
    else:
        yield key
        return
    for name, (before, after) in pairs.items():
        yield from changed_keys(before, after, f"{key}.{name}" if key else name)


def as_running(config, running, engines):
    """(the configuration as far as it can take effect now, the keys that wait for a restart).

    running: the configuration in effect. engines: {provider: model} of the embedded engines, which are started with the server and not later.
    """
    kept = {name: getattr(running.server, name) for name in ("host", "port", "threads")}
    waiting = [f"server.{name}" for name, value in kept.items() if getattr(config.server, name) != value]
    providers = dict(config.providers)
    for name, model in _engines(config).items():
        if name not in engines:
            providers[name] = settings.altered(
                providers[name], disabled="its engine starts with the next start of Headstart"
            )
            waiting.append(f"providers.{name}")
        elif model != engines[name]:
            providers[name] = settings.altered(providers[name], model=engines[name])
            waiting.append(f"providers.{name}.model")
    return settings.altered(
        config, server=settings.altered(config.server, **kept), providers=providers
    ), waiting


def _engines(config):
    return {
        name: provider.model
        for name, provider in config.providers.items()
        if provider.is_embedded and not provider.disabled
    }
