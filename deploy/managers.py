"""The service managers of this machine: systemd for the user (Linux), launchd for the user (macOS).

Each knows one file, and how to have it read, started, stopped and asked. launchd has been written from its
manual and was not run on a Mac.
"""

import os
import pwd
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy import units
from deploy.commands import DeployError, Ran, Run, run
from deploy.units import Service
from runtime.files import write_whole

READABLE = 0o644  # as managers expect of their files
BY_HAND = "`make run` serves in this terminal; `nohup make run &` goes on without it"


@dataclass(frozen=True)
class State:
    """What a service does now.

    said: the manager's own words. is_on: it runs or is about to. since: a time in the manager's words, where
    it runs.
    """

    running: bool
    said: str
    is_on: bool
    since: str | None = None
    pid: int | None = None


class ServiceManager(Protocol):
    name: str
    file: Path

    def check(self) -> None:
        """Raises DeployError where it cannot be spoken to."""

    def installed(self) -> Service | None:
        """What is installed; None for nothing of ours."""

    def text(self, service: Service) -> bytes:
        """What its file shall hold. Raises ValueError, with a message for the owner, for an odd folder."""

    def install(self, service: Service) -> None:
        """Write the file, have it started now and from now on. Raises DeployError; then all is as before."""

    def uninstall(self) -> None:
        """Stop it and remove the file."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def restart(self) -> None: ...

    def state(self) -> State: ...

    def survives_reboots(self) -> str | None:
        """See to it that it starts with the machine. Returns None, or what the owner has to do for that."""


class Systemd:
    name = "systemd user unit"

    def __init__(self, run: Run = run, home: Path | None = None) -> None:
        self._run = run
        home = home or Path.home()
        self.file = Path(
            os.environ.get("XDG_CONFIG_HOME") or home / ".config", "systemd/user", units.UNIT_NAME
        )

    def check(self) -> None:
        ran = self._ask("show", "--property=Version")
        if ran.status == 127:
            raise DeployError(f"this machine has no systemd, so there is nothing to install into; {BY_HAND}")
        if not ran.ok:
            raise DeployError(
                f"systemd does not run for this user ({_last_line(ran)}), as in a container, in WSL "
                f"without systemd or under sudo and su; log in as the user it shall run as, or {BY_HAND}"
            )

    def installed(self) -> Service | None:
        with suppress(OSError, ValueError):
            return units.from_systemd_unit(self.file.read_text())
        return None

    def install(self, service: Service) -> None:
        text = self.text(service)
        with _undone_on_failure(self, self._take_up):
            write_whole(self.file, text, READABLE)
            self._take_up()

    def uninstall(self) -> None:
        self._ask("disable", "--now", units.UNIT_NAME)
        self.file.unlink(missing_ok=True)
        self._ask("daemon-reload")
        self._ask("reset-failed", units.UNIT_NAME)

    def start(self) -> None:
        self._do("start", units.UNIT_NAME)

    def stop(self) -> None:
        self._do("stop", units.UNIT_NAME)

    def restart(self) -> None:
        self._do("restart", units.UNIT_NAME)

    def state(self) -> State:
        wanted = "ActiveState,SubState,ActiveEnterTimestamp,MainPID"
        shown = self._ask("show", units.UNIT_NAME, f"--property={wanted}").output
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        running = found.get("ActiveState") == "active"
        said = " ".join(filter(None, (found.get("ActiveState"), f"({found.get('SubState')})")))
        pid = found.get("MainPID", "")
        return State(
            running,
            said if found else shown,
            found.get("ActiveState", "inactive") not in ("inactive", "failed"),
            found.get("ActiveEnterTimestamp") if running else None,
            int(pid) if running and pid.isdecimal() else None,
        )

    def survives_reboots(self) -> str | None:
        # By name: without one, loginctl takes the user of the session, and there may be none.
        user = _user()
        if self._run("loginctl", "show-user", user, "--property=Linger").output == "Linger=yes":
            return None
        if self._run("loginctl", "--no-ask-password", "enable-linger", user).ok:
            return None
        return (
            f"it starts when you log in; to have it there after a reboot: sudo loginctl enable-linger {user}"
        )

    def text(self, service: Service) -> bytes:
        return units.systemd_unit(service).encode()

    def _take_up(self) -> None:
        self._do("daemon-reload")
        self._do("enable", units.UNIT_NAME)
        self._do("restart", units.UNIT_NAME)

    def _do(self, *command: str) -> None:
        ran = self._ask(*command)
        if not ran.ok:
            raise DeployError(f"systemctl --user {' '.join(command)}: {_last_line(ran)}")

    def _ask(self, *command: str) -> Ran:
        environment = dict(os.environ)
        own = Path(f"/run/user/{os.getuid()}")  # which su and cron do not name
        if not environment.get("XDG_RUNTIME_DIR") and own.is_dir():
            environment["XDG_RUNTIME_DIR"] = str(own)
        return self._run("systemctl", "--user", *command, environment=environment)


class Launchd:
    name = "launchd agent"

    def __init__(self, run: Run = run, home: Path | None = None, settle_s: float = 1.0) -> None:
        """settle_s: how long to wait before bootstrapping anew while an agent is still being let go of."""
        self._run = run
        self._settle_s = settle_s
        self._domain = f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{units.AGENT_LABEL}"
        self.file = (home or Path.home()) / "Library/LaunchAgents" / f"{units.AGENT_LABEL}.plist"

    def check(self) -> None:
        if not self._run("launchctl", "print", self._domain).ok:
            raise DeployError(
                f"launchd has no session of this user: log in on the Mac's screen, or {BY_HAND}"
            )

    def installed(self) -> Service | None:
        with suppress(OSError, ValueError):
            return units.from_launchd_agent(self.file.read_bytes())
        return None

    def install(self, service: Service) -> None:
        with _undone_on_failure(self, self.start):
            self._let_go()
            write_whole(self.file, self.text(service), READABLE)
            self._run("launchctl", "enable", self._target)
            self.start()

    def uninstall(self) -> None:
        self._let_go()
        self.file.unlink(missing_ok=True)

    def start(self) -> None:
        for _ in range(units.STOP_S):
            started = self._run("launchctl", "bootstrap", self._domain, str(self.file))
            if started.ok or self._run("launchctl", "print", self._target).ok:
                return
            time.sleep(self._settle_s)
        raise DeployError(f"launchctl bootstrap {self._domain} {self.file}: {_last_line(started)}")

    def stop(self) -> None:
        self._let_go()

    def restart(self) -> None:
        restarted = self._run("launchctl", "kickstart", "-k", self._target)
        if not restarted.ok:  # it was let go of
            self.start()

    def state(self) -> State:
        shown = self._run("launchctl", "print", self._target)
        if not shown.ok:
            return State(False, "not loaded", is_on=False)
        state = re.search(r"^\s*state = (.+)$", shown.output, re.MULTILINE)
        pid = re.search(r"^\s*pid = (\d+)$", shown.output, re.MULTILINE)
        said = state[1] if state else "loaded"
        return State(said == "running", said, is_on=True, pid=int(pid[1]) if pid else None)

    def survives_reboots(self) -> str | None:
        return "it starts when you log in; a Mac that nobody logs in to needs automatic login"

    def text(self, service: Service) -> bytes:
        return units.launchd_agent(service)

    def _let_go(self) -> None:
        self._run("launchctl", "bootout", self._target)


def of_this_machine() -> ServiceManager:
    return Launchd() if sys.platform == "darwin" else Systemd()


@contextmanager
def _undone_on_failure(manager: ServiceManager, take_up: Callable[[], None]) -> Iterator[None]:
    """Have the former file back, and what it describes running, when an installation fails."""
    former = manager.file.read_bytes() if manager.file.exists() else None
    try:
        yield
    except BaseException:
        with suppress(DeployError):
            manager.uninstall()
            if former is not None:
                write_whole(manager.file, former, READABLE)
                take_up()
        raise


def _user() -> str:
    """The user's name, or the number where there is no name, as in some containers."""
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _last_line(ran: Ran) -> str:
    return ran.output.splitlines()[-1] if ran.output else f"exit status {ran.status}"
