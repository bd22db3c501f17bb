"""A stand-in for a user's systemd: it really starts and stops what the unit says.

`installed_in(folder)` makes executables `systemctl` and `loginctl` which act on the state in that folder and
remember what they were told. They know the few commands that Headstart gives, and wait for READY=1 as
Type=notify asks. There is no restarting: a service that ended is `failed`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HANG_GUARD_S = 30


class FakeSystemd:
    """The state in a folder, for the executables and for the test.

    Files there: `calls` (a line for each command), `pid`, `enabled`, `linger`; and those by which a test
    makes it fail: `offline`, `no-linger`.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def calls(self):
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def has(self, name):
        return (self.folder / name).exists()

    def set(self, name, value=""):
        (self.folder / name).write_text(value)

    @property
    def pid(self):
        """The main process of the service, None when it does not run."""
        file = self.folder / "pid"
        if not file.exists():
            return None
        pid = int(file.read_text())
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        ended = not state.strip() or state.startswith("Z")
        return None if ended else pid

    def start(self, unit):
        """Start a deploy.units.Service and wait until it is ready. Returns whether it is."""
        (self.folder / "notify").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, unit.log.open("ab") as log:
            notified.bind(str(self.folder / "notify"))
            notified.settimeout(0.05)
            environment = {
                **{name: os.environ[name] for name in ("HOME", "PATH")},
                **unit.environment,
                "NOTIFY_SOCKET": str(self.folder / "notify"),
            }
            process = subprocess.Popen(
                unit.command,
                cwd=unit.checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self.set("pid", str(process.pid))
            deadline = time.monotonic() + HANG_GUARD_S
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    return notified.recv(4096).startswith(b"READY=1")
                except TimeoutError:
                    continue
        return False

    def stop(self):
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + HANG_GUARD_S
            while self.pid and time.monotonic() < deadline:
                time.sleep(0.02)
        (self.folder / "pid").unlink(missing_ok=True)


def installed_in(folder):
    """Make the executables in a folder that a test puts on PATH. Returns the FakeSystemd."""
    for name in ("systemctl", "loginctl"):
        file = Path(folder) / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        file.chmod(0o755)
    return FakeSystemd(folder)


def systemctl(systemd, words):
    sys.path.insert(0, str(ROOT))
    from deploy import units

    file = Path(os.environ["HOME"], ".config/systemd/user", units.UNIT_NAME)
    if systemd.has("offline"):
        print("Failed to connect to bus: No medium found")
        return 1
    command, *names = (word for word in words if not word.startswith("-"))
    if command == "show":
        if names:
            active = "active" if systemd.pid else "failed" if systemd.has("pid") else "inactive"
            since = "Sat 2026-11-21 18:59:17 UTC" if systemd.pid else ""
            print(f"MainPID={systemd.pid or 0}\nActiveState={active}")
            print(f"SubState={'running' if systemd.pid else 'dead'}\nActiveEnterTimestamp={since}")
        return 0
    if command in ("daemon-reload", "reset-failed"):
        return 0
    if command == "enable":
        systemd.set("enabled")
        return 0
    if command in ("stop", "restart", "disable"):
        systemd.stop()
    if command == "disable":
        (systemd.folder / "enabled").unlink(missing_ok=True)
    if command in ("start", "restart") and not systemd.start(units.from_systemd_unit(file.read_text())):
        print(f"Job for {units.UNIT_NAME} failed because the control process exited with error code.")
        return 1
    return 0


def loginctl(systemd, words):
    if "show-user" in words:
        print(f"Linger={'yes' if systemd.has('linger') else 'no'}")
        return 0
    if systemd.has("no-linger"):
        print("Could not enable linger: Access denied")
        return 1
    systemd.set("linger")
    return 0


if __name__ == "__main__":
    state = FakeSystemd(Path(os.environ["FAKE_SYSTEMD"]))
    with (state.folder / "calls").open("a") as record:
        record.write(" ".join(sys.argv[1:]) + "\n")
    sys.exit({"systemctl": systemctl, "loginctl": loginctl}[sys.argv[1]](state, sys.argv[2:]))
