"""`make install`, `uninstall`, `status`, `logs`, `restart`: Headstart as a service of its owner."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from deploy import health, managers
from deploy.commands import DeployError
from deploy.managers import ServiceManager
from deploy.place import Place, here, listens
from errors import ConfigError
from runtime.announcement import Running, announced
from runtime.port import PortTaken, check_free
from settings.model import Config
from telemetry.version import VERSION
from terminal.command import run_and_exit, say
from wire import JsonObject

START_S = 30.0  # how long it may take until it is not unhealthy: an embedded model has to be loaded
LOG_LINES = 8  # of the log, when a start failed
NOT_RUNNING = 3  # the exit status, as systemctl has it


def install(place: Place, manager: ServiceManager) -> None:
    """Write the service and start it now and with the machine. Raises DeployError, ConfigError."""
    if os.environ.get("SUDO_USER") and os.getuid() == 0:
        raise DeployError("the service is your own, not root's: run `make install` without sudo")
    config = place.config()
    manager.check()
    _refuse_a_second_server(place, manager, config)
    for line in _known_to_this_terminal_alone(place, config):
        say(line)
    former = manager.installed()
    if former and former.checkout != place.checkout:
        say(f"It takes the place of the service of {former.checkout}")
    log = place.service.log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch(mode=0o600)
    started(place, lambda: manager.install(place.service))
    say(f"Wrote {manager.file} ({manager.name}), which starts anew after a failure")
    if place.environment:
        kept = " ".join(f"{name}={value}" for name, value in place.environment.items())
        say(f"It keeps {kept} (`make uninstall` forgets them)")
    _tell_health(place, manager)
    say(f"Log: {log} (make logs)")
    reboot = manager.survives_reboots()
    say(f"After a reboot: {reboot or 'it is there before anybody logs in'}")


def uninstall(place: Place, manager: ServiceManager) -> None:
    if not manager.file.exists():
        say("No service is installed")
        return
    _refuse_what_is_not_ours(place, manager)
    manager.uninstall()
    say(f"Stopped, and removed {manager.file}; configuration and data stay in {place.data}")


def restart(place: Place, manager: ServiceManager) -> None:
    _refuse_what_is_not_ours(place, manager)
    place.config()
    started(place, manager.restart)
    _tell_health(place, manager)


def status(place: Place, manager: ServiceManager) -> int:
    """Say how the service is. Returns an exit status."""
    installed, state = manager.installed(), manager.state()
    if installed is None:
        say("service   not installed (make install)")
    elif installed.checkout != place.checkout:
        say(f"service   of another checkout: {installed.checkout}")
    else:
        since = f" since {state.since}" if state.since else ""
        say(f"service   {state.said}{since}" + (f", pid {state.pid}" if state.pid else ""))
        if manager.file.read_bytes() != manager.text(installed):
            say(f"          {manager.file} is not what this version writes: make install renews it")
    running = place.running() or next(
        (server for server in announced([place.checkout]) if listens(server.url)), None
    )
    if running and running.pid != state.pid:
        say(f"server    started by hand, pid {running.pid}, since {running.started_at}")
    try:
        url = running.url if running else place.url()
        say(f"health    {health.in_words(health.report_at(url))} at {url}")
    except ConfigError as error:
        say(f"health    not asked, since the configuration is faulty: {error}")
    older = running.version if running and running.version != VERSION else None
    say(f"version   {place.version()}" + (f", but {older} runs: make restart" if older else ""))
    say(f"data      {running.data if running else place.data}")
    for log in _logs(place):
        say(f"log       {log}")
    return 0 if state.running or running else NOT_RUNNING


def is_ours(place: Place, manager: ServiceManager) -> bool:
    """Whether a service of this checkout is installed."""
    installed = manager.installed()
    return installed is not None and installed.checkout == place.checkout


def logs(place: Place) -> int:
    """Follow the logs until Ctrl-C. Returns an exit status."""
    files = _logs(place)
    if not files:
        raise DeployError(f"there is no log in {place.data} yet")
    with suppress(KeyboardInterrupt):
        return subprocess.run(["tail", "-n", "30", "-F", *map(str, files)]).returncode
    return 0


def started(place: Place, start: Callable[[], None]) -> None:
    """Start it by a function, and say what its log has to say where that fails."""
    log = place.service.log
    before = log.stat().st_size if log.exists() else 0
    try:
        start()
    except DeployError as error:
        raise DeployError(f"{error}\n{tail(log, before)}".rstrip()) from error
    except ValueError as error:
        raise DeployError(str(error)) from error


def awaited_health(
    place: Place, manager: ServiceManager, at_least: JsonObject | None, patience_s: float
) -> JsonObject | None:
    """The service's health, as `health.awaited` gives it. Raises ConfigError."""
    return health.awaited(place.url(), at_least, patience_s, lambda: manager.state().running)


def tail(log: Path, start: int) -> str:
    """The last lines that a log got after a position, indented."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines)
    return ""


def _tell_health(place: Place, manager: ServiceManager) -> None:
    say("Waiting until it answers")
    report = awaited_health(place, manager, {"status": "degraded"}, START_S)
    if report is None:
        raise DeployError(f"it does not answer at {place.url()}: make logs\n{tail(place.service.log, 0)}")
    say(f"It answers at {place.url()}: {health.in_words(report)}")


def _refuse_a_second_server(place: Place, manager: ServiceManager, config: Config) -> None:
    """Another server would keep the port, so that the service would start for ever."""
    if manager.state().running:
        return
    running = place.running()
    if running:
        raise DeployError(f"{in_the_way(running)}: stop it, then `make install` again")
    try:
        check_free(config.server.host, config.server.port)
    except PortTaken as taken:
        raise DeployError(str(taken).replace("make run", "make install")) from taken


def in_the_way(running: Running) -> str:
    return f"a Headstart runs here already (pid {running.pid}, {running.url})"


def _refuse_what_is_not_ours(place: Place, manager: ServiceManager) -> None:
    installed = manager.installed()
    if installed is None:
        raise DeployError("no service is installed: make install")
    if installed.checkout != place.checkout:
        raise DeployError(f"the service is that of {installed.checkout}: run make there")


def _known_to_this_terminal_alone(place: Place, config: Config) -> Iterator[str]:
    """A line for each variable that the configuration has of this terminal, which a service never sees."""
    taken = {
        name for origin in config.origins.values() for name in origin.variables if name.startswith("env ")
    }
    for name in sorted(name.removeprefix("env ") for name in taken):
        if name not in place.environment:
            file = place.paths.dotenv
            yield f"{name} is set in this terminal only: the service has it once it stands in {file}"


def _logs(place: Place) -> list[Path]:
    """The log files that exist."""
    names = [place.service.log]
    with suppress(ConfigError):
        config = place.config()
        names.append(config.written(config.log.file))
    return [file for file in names if file.exists()]


def main() -> int:
    manager = managers.of_this_machine()
    command = sys.argv[1]
    place = here(manager.installed())
    if command == "status":
        return status(place, manager)
    if command == "logs":
        return logs(place)
    if command == "install":
        install(place, manager)
    else:
        {"uninstall": uninstall, "restart": restart}[command](place, manager)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
