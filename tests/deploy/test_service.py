"""A service of the owner's: installed, asked, started anew, removed; on systemd for real but for systemd, on
launchd by what it is told."""

import os
import pwd
import signal
import socket
import stat

import pytest
import requests
import yaml

from deploy import service, units
from deploy.commands import DeployError, Ran
from deploy.health import in_words
from deploy.managers import Launchd, Systemd
from deploy.place import here
from errors import ConfigError
from tests.support.server import ROOT, unused_port
from tests.support.waiting import await_that

USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def data(home, one_provider, monkeypatch):
    """A data folder with a blank in its name, a configuration in it and a port of its own."""
    folder = home / "my data"
    folder.mkdir()
    one_provider["providers"]["near"]["api_key"] = "${NEAR_KEY:-x}"
    (folder / "config.yaml").write_text(yaml.safe_dump(one_provider))
    monkeypatch.setenv("HEADSTART_CONFIG", str(folder / "config.yaml"))
    monkeypatch.setenv("PORT", str(unused_port()))
    return folder


@pytest.fixture
def nobody_else(monkeypatch):
    """The servers of other tests, which announce themselves in this checkout too, are out of sight."""
    monkeypatch.setattr(service, "announced", lambda folders: [])


def forget_the_terminal(monkeypatch):
    for name in ("HEADSTART_CONFIG", "PORT"):
        monkeypatch.delenv(name)


def test_a_service_from_installation_to_removal(systemd, data, nobody_else, monkeypatch, capsys):
    manager = Systemd()
    service.install(here(), manager)

    said = capsys.readouterr().out
    url = here().url()
    unit = manager.file.read_text()
    assert manager.file == data.parent / ".config/systemd/user/headstart.service"
    assert units.from_systemd_unit(unit) == here().service
    assert systemd.calls()[-2:] == [
        f"loginctl show-user {USER} --property=Linger",
        f"loginctl --no-ask-password enable-linger {USER}",
    ]
    assert systemd.has("enabled") and systemd.has("linger")
    for told in (str(manager.file), url, str(data / "service.log"), "there before anybody logs in"):
        assert told in said
    assert stat.S_IMODE((data / "service.log").stat().st_mode) == 0o600
    assert requests.get(f"{url}/livez", timeout=5).ok

    # What the terminal named at the installation is known from then on.
    forget_the_terminal(monkeypatch)
    place = here(manager.installed())
    assert (place.url(), place.data) == (url, data)
    service.install(place, manager)
    assert manager.installed() == place.service, "they are kept when it is installed again"
    capsys.readouterr()
    first = systemd.pid
    service.restart(place, manager)
    assert systemd.pid != first
    assert f"It answers at {url}: healthy\n" in capsys.readouterr().out

    assert service.status(place, manager) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"service   active (running) since Sat 2026-11-21 18:59:17 UTC, pid {systemd.pid}"
    assert lines[1] == f"health    healthy at {url}"
    assert f"data      {data}" in lines
    assert f"log       {data / 'service.log'}" in lines
    assert "renews" not in "".join(lines)
    manager.file.write_text(unit.replace("RestartSec", "# RestartSec"))
    service.status(place, manager)
    assert (
        f"{manager.file} is not what this version writes: make install renews it" in capsys.readouterr().out
    )

    service.uninstall(place, manager)
    assert not manager.file.exists()
    assert not systemd.has("enabled")
    assert not answers(url)
    assert f"removed {manager.file}" in capsys.readouterr().out
    assert (data / "config.yaml").exists()
    assert service.status(place, manager) == service.NOT_RUNNING
    assert capsys.readouterr().out.startswith("service   not installed")


def test_a_service_that_ended_is_not_running(systemd, data, nobody_else, capsys):
    manager = Systemd()
    service.install(here(), manager)
    os.killpg(systemd.pid, signal.SIGKILL)
    await_that(lambda: systemd.pid is None, "it lives on")
    capsys.readouterr()

    assert service.status(here(), manager) == service.NOT_RUNNING
    assert capsys.readouterr().out.startswith("service   failed (dead)\nhealth    nothing answers at http")


def test_without_permission_to_linger_the_owner_is_told_the_command(systemd, data):
    systemd.set("no-linger")

    assert Systemd().survives_reboots().endswith(f"sudo loginctl enable-linger {USER}")


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_running_systemd_nothing_is_written(systemd, data, monkeypatch, missing):
    systemd.set("offline")
    if missing:
        monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(
        DeployError, match=r"no systemd" if missing else r"does not run for this user .*No medium"
    ):
        service.install(here(), Systemd())

    assert list(data.parent.iterdir()) == [data]


def test_a_faulty_configuration_stops_the_installation(systemd, data):
    (data / "config.yaml").write_text("providers: {near: {kind: openai, modle: x}}\n")

    with pytest.raises(ConfigError, match="modle"):
        service.install(here(), Systemd())

    assert not Systemd().file.exists()


def test_a_start_that_fails_leaves_all_as_it_was_and_shows_the_log(systemd, data, monkeypatch):
    manager = Systemd()
    manager.file.parent.mkdir(parents=True)
    manager.file.write_text("before")
    (data / "service.log").write_text("of yesterday\n")
    (data / "config.yaml").write_text("providers: {near: {modle: x}}\n")  # after it was checked
    place = here()

    with pytest.raises(
        DeployError, match=r"failed because the control process(?s:.*)\n  headstart: .*modle"
    ) as told:
        service.started(place, lambda: manager.install(place.service))

    assert "yesterday" not in str(told.value)
    assert manager.file.read_text() == "before"


def test_a_server_that_runs_by_hand_is_not_displaced(systemd, data, capsys):
    by_hand = here().service
    (data / "service.log").touch()
    systemd.start(by_hand)
    await_that(lambda: answers(here().url()), "it does not answer")
    pid_file = systemd.folder / "pid"
    pid = pid_file.read_text()
    pid_file.unlink()  # systemd knows nothing of it
    try:
        with pytest.raises(
            DeployError, match=r"a Headstart runs here already \(pid \d+, http://.*\): stop it"
        ):
            service.install(here(), Systemd())
        assert not Systemd().file.exists()
        assert service.status(here(), Systemd()) == 0
        said = capsys.readouterr().out
        assert said.startswith(
            f"service   not installed (make install)\nserver    started by hand, pid {pid}, "
        )
    finally:
        pid_file.write_text(pid)


def test_a_taken_port_stops_the_installation(systemd, data, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))
        with pytest.raises(DeployError, match=r"is taken by pid .*; \d+ is free: PORT=\d+ make install"):
            service.install(here(), Systemd())

    assert not Systemd().file.exists()


def test_a_variable_of_this_terminal_alone_is_named(systemd, data, monkeypatch):
    monkeypatch.setenv("NEAR_KEY", "secret")
    place = here()

    lines = list(service._known_to_this_terminal_alone(place, place.config()))

    assert lines == [
        f"NEAR_KEY is set in this terminal only: the service has it once it stands in {data}/.env"
    ]


def test_the_service_of_another_checkout_is_left_alone(systemd, data, tmp_path):
    manager = Systemd()
    theirs = units.Service(tmp_path / "other", tmp_path / "log", {"PORT": "1"})
    manager.file.parent.mkdir(parents=True)
    manager.file.write_text(units.systemd_unit(theirs))

    for command in (service.restart, service.uninstall):
        with pytest.raises(DeployError, match="other: run make there"):
            command(here(manager.installed()), manager)

    assert here(manager.installed()).environment["PORT"] != "1"
    assert manager.file.exists()


ILL = {"near": {"status": "unhealthy", "error": "it refuses"}, "far": {"status": "healthy"}}
REPLACED = [{"decision": "COMPLEX", "missing": "no cloud key", "degraded": True}]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (None, "nothing answers"),
        ({"status": "healthy", "providers": {}}, "healthy"),
        ({"status": "unhealthy", "providers": ILL, "decisions": REPLACED}, "unhealthy (near: it refuses)"),
        ({"status": "degraded", "decisions": REPLACED}, "degraded (COMPLEX: no cloud key)"),
        ({"status": "degraded", "config": {"rejected": ["my.yaml:3: x: y"]}}, "degraded (my.yaml:3: x: y)"),
    ],
)
def test_health_in_a_line(report, words):
    assert in_words(report) == words


# launchd.


class FakeLaunchd:
    """Remembers what launchctl was told and answers from a table of (words, Ran)."""

    def __init__(self, **answers):
        self.answers = answers
        self.told = []

    def __call__(self, *command, **_):
        assert command[0] == "launchctl"
        self.told.append(" ".join(command[1:]))
        answer = self.answers.get(command[1], Ran(0, ""))
        return answer.pop(0) if isinstance(answer, list) else answer


DOMAIN = f"gui/{os.getuid()}"
TARGET = f"{DOMAIN}/local.headstart"


def test_an_agent_is_bootstrapped_anew(home):
    # It is refused for as long as the former agent is being let go of.
    told = FakeLaunchd(
        bootstrap=[Ran(5, "Bootstrap failed: 5: Input/output error"), Ran(0, "")], print=Ran(113, "")
    )
    manager = Launchd(told, settle_s=0)

    manager.install(here().service)

    assert manager.file == home / "Library/LaunchAgents/local.headstart.plist"
    assert manager.installed() == here().service
    boot = f"bootstrap {DOMAIN} {manager.file}"
    assert told.told == [f"bootout {TARGET}", f"enable {TARGET}", boot, f"print {TARGET}", boot]


def test_an_agent_is_asked_restarted_and_removed(home):
    printed = f"{TARGET} = {{\n\tactive count = 1\n\tstate = running\n\n\tpid = 4711\n\tstate = active\n}}"
    told = FakeLaunchd(print=Ran(0, printed))
    manager = Launchd(told)
    manager.install(here().service)
    told.told.clear()

    state = manager.state()
    manager.restart()
    manager.uninstall()

    assert (state.running, state.said, state.pid) == (True, "running", 4711)
    assert told.told == [f"print {TARGET}", f"kickstart -k {TARGET}", f"bootout {TARGET}"]
    assert not manager.file.exists()


def test_without_a_session_on_the_mac_nothing_is_written(home):
    with pytest.raises(DeployError, match="log in on the Mac's screen"):
        Launchd(FakeLaunchd(print=Ran(113, "Could not find domain"))).check()


def test_an_agent_that_cannot_be_loaded_is_not_left_behind(home):
    told = FakeLaunchd(bootstrap=Ran(5, "Bootstrap failed: 5"), print=Ran(113, ""))

    with pytest.raises(DeployError, match="Bootstrap failed: 5"):
        Launchd(told, settle_s=0).install(here().service)

    assert not Launchd(told).file.exists()


def answers(url):
    try:
        return requests.get(f"{url}/livez", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_the_checkout_is_the_one_these_tests_run_in(home):
    assert here().checkout == ROOT
