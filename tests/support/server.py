"""A real Headstart for tests: gunicorn in a process of its own, with its own configuration and folder."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests
import yaml

from telemetry.log_values import pairs_in

ROOT = Path(__file__).resolve().parent.parent.parent
HANG_GUARD_S = 30
# Another one where the tests run beside client libraries that need packages of their own.
PYTHON = os.environ.get("HEADSTART_PYTHON") or sys.executable


class Server:
    def __init__(self, folder, config, *, own_group=False, **environment):
        """folder: where its config.yaml, app.log and sessions/ go. config: a dict, written as YAML.
        own_group: it has a process group of its own, as a shell gives to what runs in the foreground."""
        self.folder = Path(folder)
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        self._environment = {
            **os.environ,
            "PORT": str(self.port),
            "HEADSTART_CONFIG": str(self.folder / "config.yaml"),
            **environment,
        }
        self._own_group = own_group
        self.start()

    def start(self):
        """Start it, again if it was stopped, on the same port and with the same folder."""
        self.process = subprocess.Popen(
            [PYTHON, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=self._own_group,
        )

    def wait_until_up(self):
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"it did not start:\n{self.process.stdout.read()}")
            try:
                requests.get(self.url + "/livez", timeout=2)
                return self
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.05)
        raise AssertionError("it did not come up")

    def wait_until_known(self):
        """Wait until every provider has been probed once: a test then meets no first probe."""
        requests.get(self.url + "/health?fresh=1", timeout=HANG_GUARD_S)
        return self

    def stop(self):
        """End it as Ctrl-C would and return what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.communicate(timeout=HANG_GUARD_S)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def forget_grudges(self):
        """Start anew if a provider rests for what it did in an earlier test."""
        providers = requests.get(self.url + "/health", timeout=HANG_GUARD_S).json()["providers"].values()
        if any(one.get("breaker", "closed") != "closed" for one in providers):
            self.stop()
            self.start()
            self.wait_until_up()

    def descendants(self):
        """The pids of all processes below it."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        parents = dict(map(int, line.split()) for line in listed.splitlines())
        found = [self.process.pid]
        for parent in found:
            found += [pid for pid, above in parents.items() if above == parent]
        return found[1:]

    # Asking.

    def post(self, path, body, **kwargs):
        return requests.post(self.url + path, json=body, timeout=HANG_GUARD_S, **kwargs)

    def chat(self, text="hello", model="auto", stream=False, **more):
        """One chat request with a single user message; returns the requests.Response, read to its end."""
        messages = more.pop("messages", None) or [{"role": "user", "content": text}]
        headers = more.pop("headers", None)
        return self.post(
            "/v1/chat/completions",
            {"model": model, "messages": messages, "stream": stream, **more},
            headers=headers,
        )

    def connection(self, body, path="/v1/chat/completions"):
        """A raw socket on which the request has been sent and nothing has been read yet."""
        payload = json.dumps(body).encode()
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=HANG_GUARD_S)
        sock.sendall(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(payload), payload)
        )
        return sock

    # Its record.

    @property
    def log_file(self):
        return self.folder / "app.log"

    def log_line(self, pattern):
        """The first line of app.log that matches, awaited."""
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            text = self.log_file.read_text() if self.log_file.exists() else ""
            for line in text.splitlines()[: text.count("\n")]:  # the last may be half written
                if re.search(pattern, line):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line like {pattern!r} in\n{text[-3000:]}")

    def log_lines(self, pattern, count):
        """All lines of app.log that match, as soon as there are `count` of them."""
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            found = [line for line in self.log_text().splitlines() if re.search(pattern, line)]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{len(found)} lines like {pattern!r}, not {count}")

    def request_line(self, session):
        """The key=value pairs of a request's REQUEST line, awaited."""
        line = self.log_line(rf" REQUEST session={session} ")
        return pairs_in(line.split(" REQUEST ", 1)[1])

    def log_text(self):
        return self.log_file.read_text()

    def session(self, session):
        """A request's session file as a dict, awaited."""
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            for file in (self.folder / "sessions").glob(f"*_{session}.json"):
                return json.loads(file.read_text())
            time.sleep(0.01)
        raise AssertionError(f"no file of session {session}")


def unused_port():
    """A port for a server that starts later, or stops and starts again.

    It lies below the ports that the kernel itself hands out (32768 and up on Linux), so that no connection
    takes it meanwhile. It is chosen at random, since several test processes choose.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def sse_events(response):
    """The data of each event of a streamed reply: chunks as dicts, [DONE] as text."""
    data = [block[6:] for block in response.text.split("\n\n") if block.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def streamed_text(response):
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in sse_events(response)
        if chunk != "[DONE]"
        for choice in chunk.get("choices", ())
    )
