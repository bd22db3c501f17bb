"""The processes that are measured and measured against: Headstart, the pass-through, scripted backends. Whatever is started here is stopped here.

Each runs in a session of its own, so that a Ctrl-C at the terminal reaches only the benchmark, which then ends them in order.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 180.0  # a first start may still have models to load
STOP_S = 15.0
MS_PER_TICK = 1000 / os.sysconf("SC_CLK_TCK")


class CannotStart(Exception):
    """A process that did not come up, and what it said."""


class Backends:
    """Scripted backends in one process: `ports` by name."""

    def __init__(self, **kinds):
        """kinds: name -> a kind of backends.py, with `:SCALE` if its times are to be shrunk."""
        named = [f"{name}={kind}" for name, kind in kinds.items()]
        # Their standard input is a pipe from here: when the benchmark ends, however it ends, they read an end and go too.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.backends", *named],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        line = self._process.stdout.readline()
        if not line:
            raise CannotStart("the scripted backends did not start")
        self.ports = json.loads(line)

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}/v1"

    def fall_silent(self):
        """From now on connections are accepted (by the kernel) and nothing is ever answered."""
        self._process.send_signal(signal.SIGSTOP)

    def speak_again(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class Gunicorn:
    """A gunicorn that serves on a free port of 127.0.0.1, with a temporary folder of its own."""

    def __init__(self, arguments, environment):
        """arguments, environment: functions of (folder, port) that return gunicorn's."""
        self.folder = Path(tempfile.mkdtemp(prefix="headstart-benchmark-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = open(self.folder / "output", "w")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments(self.folder, self.port)],
            cwd=ROOT,
            env={**os.environ, **environment(self.folder, self.port)},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_up(self):
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
    def pids(self):
        return listeners(self.port)

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def headstart(config=None, prepare=None):
    """A Headstart. config: a dict, served from a folder of its own; None takes the checkout's config.yaml.

    prepare: called with that folder before the start.
    """
    given = os.environ.get("HEADSTART_CONFIG") or str(ROOT / "config.yaml")

    def environment(folder, port):
        if config is not None:
            (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
            if prepare:
                prepare(folder)
        return {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "HEADSTART_CONFIG": given if config is None else str(folder / "config.yaml"),
            "LOG_FORMAT": "text",
        }

    return Gunicorn(lambda folder, port: ["-c", str(ROOT / "gunicorn.conf.py")], environment)


def pass_through(upstream_url, threads):
    """The ten-line proxy before `upstream_url`, with as many threads as Headstart has and nothing else set."""
    return Gunicorn(
        lambda folder, port: [
            "-c",
            os.devnull,
            "-k",
            "gthread",
            "-w",
            "1",
            "--threads",
            str(threads),
            "-b",
            f"127.0.0.1:{port}",
            "bench.passthrough:app",
        ],
        lambda folder, port: {"UPSTREAM_URL": upstream_url},
    )


def answers(url):
    """Whether a server that knows /livez is there."""
    with contextlib.suppress(OSError, ValueError):
        with urllib.request.urlopen(url + "/livez", timeout=5) as reply:
            return reply.status == 200
    return False


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# What processes cost.


def listeners(port):
    """The processes that hold the listening socket of a port: gunicorn's master and workers, and not the engine they call. Empty when not to be known."""
    if not os.path.isdir("/proc/net"):
        told = subprocess.run(
            ["lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"], capture_output=True, text=True
        )
        return [int(pid) for pid in told.stdout.split()]
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            rows = [row.split() for row in Path(table).read_text().splitlines()[1:]]
            inodes |= {
                f"socket:[{row[9]}]"
                for row in rows
                if row[3] == "0A" and int(row[1].rsplit(":", 1)[1], 16) == port
            }
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _holds(pid, inodes)]


def _holds(pid, sockets):
    with contextlib.suppress(OSError):
        for handle in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(handle.path) in sockets:
                    return True
    return False


def cpu_ms(pids):
    """CPU time used so far by these processes, user and system, in ms."""
    if os.path.isdir("/proc/self"):
        used = (Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids)
        return sum(int(fields[11]) + int(fields[12]) for fields in used) * MS_PER_TICK
    told = subprocess.run(
        ["ps", "-o", "cputime=", "-p", ",".join(map(str, pids))], capture_output=True, text=True
    )
    return sum(1000 * _seconds(word) for word in told.stdout.split())


def _seconds(clock):
    """Seconds of `[[H:]M:]S.s`, as ps on macOS prints CPU time."""
    seconds = 0.0
    for part in clock.replace("-", ":").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def rss_mb(pids):
    """Resident memory of these processes in MB, what they share counted in each."""
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", ",".join(map(str, pids))], capture_output=True, text=True
    )
    return sum(map(int, told.stdout.split())) / 1024
