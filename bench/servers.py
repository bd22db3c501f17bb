"""The processes that are measured and measured against: Headstart, the pass-through, scripted backends.

Each runs in a session of its own, so that a Ctrl-C at the terminal reaches only the benchmark, which then
ends them in order. Whatever is started here is stopped here.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, Self

from bench.client import JsonObject

ROOT = Path(__file__).resolve().parent.parent
START_S = 180.0  # a first start may still have models to load
STOP_S = 15.0
MS_PER_TICK = 1000 / os.sysconf("SC_CLK_TCK")


class CannotStart(Exception):
    """A process that did not come up, and what it printed."""


class Started(Protocol):
    """A process that was started and has to be stopped."""

    def terminate(self) -> None:
        """Ask it to end, without waiting for that."""

    def stop(self) -> None:
        """End it, wait for that and remove what it left."""


class Backends:
    """Scripted backends in one process: `ports` by name."""

    def __init__(self, **kinds: str) -> None:
        """kinds: name -> a kind of backends.py, with `:SCALE` if its times are to be shrunk."""
        named = [f"{name}={kind}" for name, kind in kinds.items()]
        # Their standard input is a pipe from here: when the benchmark ends, however it ends, they read an end
        # and go too.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.backends", *named],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout
        self._pipes = (self._process.stdin, self._process.stdout)
        line = self._process.stdout.readline()
        if not line:
            raise CannotStart("the scripted backends did not start")
        self.ports: dict[str, int] = json.loads(line)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/v1"

    def provider(self, name: str) -> JsonObject:
        """One of them as a provider in a configuration."""
        return {"kind": "openai", "base_url": self.url(name), "model": f"{name}-model"}

    def pause(self) -> None:
        """From now on connections are accepted (by the kernel) and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Nothing: they serve the others until these have ended."""

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()


class Gunicorn:
    """A gunicorn that serves on a free port of 127.0.0.1, with a temporary folder of its own."""

    def __init__(
        self,
        arguments: Callable[[int], list[str]],
        environment: Callable[[Path, int], dict[str, str]],
    ) -> None:
        """arguments: made of the port. environment: made of folder and port, added to this process's."""
        self.folder = Path(tempfile.mkdtemp(prefix="headstart-benchmark-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = open(self.folder / "output", "w")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments(self.port)],
            cwd=ROOT,
            env={**os.environ, **environment(self.folder, self.port)},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_up(self) -> Self:
        """Wait until /livez answers and return self. Raises CannotStart."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if answers(self.url):
                return self
            time.sleep(0.05)
        raise CannotStart("it did not start: " + (self.folder / "output").read_text()[-2000:])

    @property
    def pids(self) -> list[int]:
        return listeners(self.port)

    def terminate(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        self.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def headstart(config: JsonObject | None = None, prepare: Callable[[Path], None] | None = None) -> Gunicorn:
    """A Headstart. config: served from a folder of its own; None takes the checkout's config.yaml.

    prepare: called with that folder before the start.
    """
    checkouts = os.environ.get("HEADSTART_CONFIG") or str(ROOT / "config.yaml")

    def environment(folder: Path, port: int) -> dict[str, str]:
        if config is not None:
            (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
            if prepare:
                prepare(folder)
        return {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "HEADSTART_CONFIG": checkouts if config is None else str(folder / "config.yaml"),
            "LOG_FORMAT": "text",
        }

    return Gunicorn(lambda port: ["-c", str(ROOT / "gunicorn.conf.py")], environment)


def pass_through(upstream_url: str, threads: int) -> Gunicorn:
    """The ten-line proxy before `upstream_url`, with its number of threads and nothing else set."""
    options = f"-c {os.devnull} -k gthread -w 1 --threads {threads}".split()
    return Gunicorn(
        lambda port: [*options, "-b", f"127.0.0.1:{port}", "bench.passthrough:app"],
        lambda folder, port: {"UPSTREAM_URL": upstream_url},
    )


def answers(url: str) -> bool:
    """Whether a server that knows /livez is there."""
    with contextlib.suppress(OSError, ValueError):
        with urllib.request.urlopen(url + "/livez", timeout=5) as reply:
            return bool(reply.status == 200)
    return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# What processes cost.


def listeners(port: int) -> list[int]:
    """The processes that hold the listening socket of a port; empty when not to be known.

    Those are gunicorn's master and workers, and not the engine they call.
    """
    if not os.path.isdir("/proc/net"):
        return [int(pid) for pid in _output_of("lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN")]
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            rows = [row.split() for row in Path(table).read_text().splitlines()[1:]]
            listening = [row for row in rows if row[3] == "0A"]
            inodes |= {f"socket:[{row[9]}]" for row in listening if int(row[1].rsplit(":", 1)[1], 16) == port}
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _holds(pid, inodes)]


def _holds(pid: str, sockets: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for handle in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(handle.path) in sockets:
                    return True
    return False


def cpu_ms(pids: Iterable[int]) -> float:
    """CPU time used so far by these processes, user and system, in ms."""
    if os.path.isdir("/proc/self"):
        used = (Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids)
        return sum(int(fields[11]) + int(fields[12]) for fields in used) * MS_PER_TICK
    return sum(1000 * _seconds(word) for word in _output_of("ps", "-o", "cputime=", "-p", _joined(pids)))


def _seconds(clock: str) -> float:
    """Seconds of `[[H:]M:]S.s`, as ps on macOS prints CPU time."""
    seconds = 0.0
    for part in clock.replace("-", ":").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory of these processes in MB, what they share counted in each."""
    return sum(map(int, _output_of("ps", "-o", "rss=", "-p", _joined(pids)))) / 1024


def _joined(pids: Iterable[int]) -> str:
    return ",".join(map(str, pids))


def _output_of(*command: str) -> list[str]:
    """The words that a command prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout.split()
