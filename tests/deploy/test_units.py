"""What service managers are told: systemd and plistlib read it as it was meant."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import units
from deploy.units import Service
from tests.support.server import ROOT

ODD = "a b $HOME ${x} 100% é;#'"
SERVICES = {
    "plain": Service(Path("/opt/headstart"), Path("/opt/headstart/service.log")),
    "with an environment": Service(
        Path("/opt/headstart"), Path("/data/service.log"), {"HEADSTART_DATA": "/data", "PORT": "9000"}
    ),
    "with odd characters": Service(
        Path("/opt") / ODD.replace("'", ""),
        Path("/data", ODD, "service.log"),
        {"HEADSTART_DATA": f'/data/{ODD}"\\%h\\n'},
    ),
}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_unit_tells_what_it_was_made_of(service):
    assert units.from_systemd_unit(units.systemd_unit(service)) == service


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_an_agent_tells_what_it_was_made_of(service):
    assert units.from_launchd_agent(units.launchd_agent(service)) == service


@pytest.fixture
def verified(tmp_path):
    """systemd's opinion of a unit's text: what it complains of."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine")
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}

    def verify(text):
        file = tmp_path / units.UNIT_NAME
        file.write_text(text)
        command = ["systemd-analyze", "--user", "--man=no", "verify", str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    return verify


@pytest.mark.parametrize("folder", ["headstart", ODD.replace("'", "")])
def test_systemd_verifies_the_unit(verified, tmp_path, folder):
    checkout = tmp_path / folder
    checkout.mkdir()
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    environment = {"HEADSTART_DATA": f'{checkout}/"\\', "PORT": "9000"}

    assert verified(units.systemd_unit(Service(checkout, checkout / "service.log", environment))) == ""


def test_systemd_would_say_what_is_wrong_with_a_unit(verified):
    unit = units.systemd_unit(Service(ROOT, ROOT / "service.log"))

    assert "RestartSex" in verified(unit.replace("RestartSec", "RestartSex"))
    assert "executable" in verified(unit.replace("bin/python", "bin/no-python"))


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (Service(Path('/opt/the "best"'), Path("/log")), r'folder with " in its name: /opt/the "best"'),
        (Service(Path("/opt"), Path("/log"), {"PORT": "1\nExecStart=/bin/sh"}), "control characters"),
    ],
)
def test_what_systemd_cannot_take_is_refused(service, message):
    with pytest.raises(ValueError, match=message):
        units.systemd_unit(service)


def test_the_unit_waits_for_the_drain_and_asks_the_master_alone():
    unit = units.systemd_unit(SERVICES["plain"])

    settings = (ROOT / "gunicorn.conf.py").read_text()
    graceful = int(settings.split("graceful_timeout = ")[1].split()[0])
    assert graceful + 10 < units.STOP_S
    assert "KillMode=mixed" in unit
    assert "Restart=on-failure" in unit
    assert "WantedBy=default.target" in unit


def test_the_agent_is_started_at_login_and_after_a_failure():
    agent = plistlib.loads(units.launchd_agent(SERVICES["with an environment"]))

    assert agent["ProgramArguments"] == [
        "/opt/headstart/.venv/bin/python",
        "-m",
        "gunicorn",
        "-c",
        "/opt/headstart/gunicorn.conf.py",
    ]
    assert agent["EnvironmentVariables"] == {"HEADSTART_DATA": "/data", "PORT": "9000"}
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert agent["StandardOutPath"] == agent["StandardErrorPath"] == "/data/service.log"


@pytest.mark.parametrize("text", ["", "[Service]\nExecStart=/bin/true\n", "<plist>"])
def test_other_texts_are_no_service_of_ours(text):
    with pytest.raises(ValueError):
        units.from_systemd_unit(text)
    with pytest.raises(ValueError):
        units.from_launchd_agent(text.encode())
