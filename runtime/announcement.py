"""The small file by which commands find the server that runs: `server.json`, in the data folder.

It leads there whatever HOST, PORT and HEADSTART_CONFIG a terminal has. A server whose data lie elsewhere
leaves it in its checkout too, unless another one has. A file that a killed server left behind is no news: who
reads it looks whether the process lives, and asks at the address.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from runtime.files import write_whole
from settings.addresses import authority
from settings.paths import CHECKOUT, owner_paths

FILE = "server.json"
# Who listens everywhere is reached by loopback.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True)
class Running:
    """url: where this machine reaches it. started_at: wall clock, ISO 8601.

    config, data: its owner's file and its data folder, absolute.
    """

    pid: int
    url: str
    started_at: str
    config: str
    data: str
    version: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether there is a process of that pid."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        return True


def announce(config: Path, data: Path, url: str, version: str | None = None) -> None:
    """Say that this process serves, once it does. A folder that cannot be written to costs nothing."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    running = Running(os.getpid(), url, now, str(config.resolve()), str(data.resolve()), version)
    for folder in dict.fromkeys((data.resolve(), CHECKOUT)):
        known = read(folder)
        if known is None or not known.is_alive:
            with suppress(OSError):
                write_whole(folder / FILE, json.dumps(asdict(running)).encode())


def withdraw(data: Path) -> None:
    """Take back what this process has announced."""
    for folder in dict.fromkeys((data.resolve(), CHECKOUT)):
        known = read(folder)
        if known and known.pid == os.getpid():
            with suppress(OSError):
                (folder / FILE).unlink()


def read(folder: Path) -> Running | None:
    """What a server of that data folder has announced; None for nothing, or nothing that makes sense."""
    try:
        content = json.loads((folder / FILE).read_text())
        url, started_at, config, data = (
            str(content[name]) for name in ("url", "started_at", "config", "data")
        )
        return Running(int(content["pid"]), url, started_at, config, data, content.get("version"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def announced(folders: Iterable[Path]) -> list[Running]:
    """The servers announced in these folders whose processes live."""
    found = (read(folder) for folder in dict.fromkeys(folders))
    return [running for running in found if running and running.is_alive]


def likely_folders(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Where a server of this terminal's owner may have left it, also while the configuration is faulty."""
    environ = os.environ if environ is None else environ
    return list(dict.fromkeys((owner_paths(environ, checkout=CHECKOUT).data, CHECKOUT)))


def url_of(host: str, port: int) -> str:
    """Where this machine reaches a server that listens there."""
    return f"http://{authority(_REACHED_AT.get(host, host), port)}"
