"""`make health`, `make costs`, `make config`, as they are typed, with a server and without one."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
import yaml

from console import health
from runtime import announcement
from settings import loader, report
from terminal.command import run_and_exit
from tests.support.config_texts import GOOD
from tests.support.server import HANG_GUARD_S, ROOT, unused_port

NAMED = ("HEADSTART_CONFIG", "HEADSTART_DATA", "HOST", "PORT", "NO_COLOR", "COLUMNS", "FORCE_COLOR")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def environment(**variables):
    return {**{name: value for name, value in os.environ.items() if name not in NAMED}, **variables}


def typed(command, *arguments, **variables):
    """What a command prints into a pipe, under these variables alone."""
    return subprocess.run(
        [sys.executable, "-m", f"console.{command}", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
    )


@pytest.fixture
def at_home(headstart):
    """The variables by which a terminal finds the running server's data folder, and no more."""
    return {"HEADSTART_DATA": str(headstart.folder), "HEADSTART_CONFIG": "", "PORT": ""}


@pytest.fixture
def alone(tmp_path):
    """The variables of a terminal whose server does not run."""
    (tmp_path / "headstart.yaml").write_text(GOOD)
    return {"HEADSTART_CONFIG": str(tmp_path / "headstart.yaml"), "PORT": str(unused_port())}


# With a server.


def test_health_is_told_as_tables_whatever_the_terminal_s_port(headstart, at_home):
    told = typed("health", **at_home | {"PORT": "1"})

    lines = told.stdout.splitlines()
    assert (told.returncode, told.stderr) == (0, "")
    assert re.fullmatch(rf"healthy  {headstart.url}  version \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d", lines[0])
    table = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert (table["SIMPLE"], table["COMPLEX"]) == (["main"], ["cloud"])
    assert (table["main"][0], table["main"][2]) == ("healthy", "p-model")
    assert table["classifier"][0] == "healthy"
    assert "off (base_url is not set)" in lines[-1]
    assert [line for line in lines if line != line.rstrip()] == []
    assert not ANSI.search(told.stdout)


def test_on_a_terminal_it_has_colours_and_no_more_words(headstart, at_home):
    ours, theirs = pty.openpty()
    told = subprocess.Popen(
        [sys.executable, "-m", "console.health"],
        cwd=ROOT,
        env=environment(**at_home, TERM="xterm-256color", COLUMNS="200"),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    printed = b""
    try:
        while more := os.read(ours, 4096):
            printed += more
    except OSError:
        pass  # Linux says so when the other end is gone
    os.close(ours)

    assert told.wait(HANG_GUARD_S) == 0
    assert b"\x1b[32mhealthy" in printed
    plain = ANSI.sub("", printed.decode()).split()
    assert "main" in plain and "classifier" in plain


def test_health_is_told_as_json_too(at_home):
    told = typed("health", "--json", **at_home)

    report = json.loads(told.stdout)
    assert (told.returncode, report["status"]) == (0, "healthy")
    assert report["providers"]["main"]["model"] == "p-model"


def test_somebody_unwell_is_named_and_the_exit_status_tells(at_home, backup):
    backup.probes(500)

    told = typed("health", **at_home)

    assert told.returncode == 1
    assert told.stdout.startswith("degraded  http://127.0.0.1:")
    assert re.search(r"^backup +unhealthy +\d+ +b-model +answered 500$", told.stdout, re.M)


def test_costs_are_those_of_the_server(headstart, at_home):
    headstart.request_line(headstart.chat().headers["X-Session-Id"])

    table, told = typed("costs", **at_home), typed("costs", "--json", **at_home)

    assert table.stdout.splitlines()[0].split() == ["calls", "input", "cached", "output", "reasoning", "USD"]
    assert re.search(r"^provider +main ", table.stdout, re.M)
    assert json.loads(told.stdout).keys() == {"today", "week"}
    assert (table.returncode, table.stderr) == (0, "")


def test_the_settings_in_effect_are_the_server_s(headstart, at_home):
    told, as_json = typed("config", **at_home), typed("config", "--json", **at_home)

    settings = yaml.safe_load(told.stdout)
    assert settings["server"]["port"] == headstart.port
    assert settings["providers"]["main"]["api_key"] == "***"
    assert json.loads(as_json.stdout)["settings"] == settings
    assert "key-of" not in told.stdout + as_json.stdout
    assert told.stderr == f"# {headstart.folder}/config.yaml, in effect at {headstart.url}\n"


def test_while_the_file_is_faulty_it_is_the_server_that_is_told_and_the_mistake(headstart, at_home):
    file = headstart.folder / "config.yaml"
    kept = file.read_text()
    file.write_text(kept.replace("classifier:", "clasifier:"))
    try:
        headstart.log_line("Config rejected: .* clasifier")
        told, health = typed("config", **at_home), typed("health", **at_home)
    finally:
        file.write_text(kept)

    assert told.returncode == 1
    for one in (told.stderr, health.stdout):
        assert re.search(r"not in effect, since it is faulty: config.yaml:\d+: clasifier: unknown key", one)
    assert yaml.safe_load(told.stdout)["server"]["port"] == headstart.port


# Without one.


@pytest.fixture
def deserted(alone, tmp_path, monkeypatch):
    """A terminal, this process, whose checkout has no server either. Gives what a command prints."""
    monkeypatch.setattr(announcement, "CHECKOUT", tmp_path)
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    for name, value in alone.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["health"])


def test_without_a_server_health_is_one_line(deserted, alone, capsys):
    with pytest.raises(SystemExit) as ended:
        run_and_exit(health.main)

    told = capsys.readouterr()
    address = f"http://127.0.0.1:{alone['PORT']}"
    assert (ended.value.code, told.out) == (1, "")
    assert told.err == f"headstart: no server runs: nothing answers at {address} (start it with make run)\n"


def test_a_server_that_lives_and_does_not_answer_is_named(deserted, alone, tmp_path, capsys):
    announced(tmp_path, nowhere := f"http://127.0.0.1:{unused_port()}", alone["HEADSTART_CONFIG"])

    with pytest.raises(SystemExit):
        run_and_exit(health.main)

    told = f"headstart: the server (pid {os.getpid()}) runs, but nothing answers at {nowhere}\n"
    assert capsys.readouterr().err == told


def announced(folder, url, config):
    told = {"pid": os.getpid(), "url": url, "started_at": "2026-01-01T00:00:00+00:00"}
    (folder / announcement.FILE).write_text(json.dumps(told | {"config": config, "data": str(folder)}))


def test_without_a_server_the_settings_are_those_of_the_next_start(alone):
    told = typed("config", **alone)

    config = loader.load(alone["HEADSTART_CONFIG"], {"PORT": alone["PORT"]})
    assert (told.returncode, told.stdout) == (0, report.report(config))
    assert told.stderr.startswith(f"# {alone['HEADSTART_CONFIG']}, as the next start will have it (")


def test_without_a_server_the_costs_are_read_from_the_ledger(alone, tmp_path):
    told = typed("costs", **alone)

    assert told.returncode == 0
    assert told.stdout.splitlines()[1].split() == ["today", "0", "0", "0", "0", "0", "0.0000"]
    assert told.stderr.startswith("Read from the ledger: ")


@pytest.mark.parametrize("command", ["config", "costs"])
def test_without_a_server_a_faulty_file_is_the_answer(command, tmp_path):
    (tmp_path / "headstart.yaml").write_text("server: {prot: 1}\n")

    told = typed(command, HEADSTART_CONFIG=str(tmp_path / "headstart.yaml"), PORT=str(unused_port()))

    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "headstart: headstart.yaml:1: server.prot: unknown key, did you mean port?\n"


def test_another_configuration_is_not_answered_by_the_server_that_runs(headstart, tmp_path):
    candidate = headstart.folder / "candidate.yaml"
    candidate.write_text(GOOD.replace("port: 9000", f"port: {headstart.port}"))
    try:
        told = typed("config", HEADSTART_CONFIG=str(candidate))
    finally:
        candidate.unlink()

    assert "near" in yaml.safe_load(told.stdout)["providers"]
    assert "as the next start will have it" in told.stderr


@pytest.mark.parametrize("command", ["health", "config", "costs"])
def test_make_adds_no_error_lines_of_its_own(command, tmp_path):
    (tmp_path / "headstart.yaml").write_text("server: {prot: 1}\n")

    told = subprocess.run(
        ["make", "-o", ".venv/.installed", command, f"BIN={os.path.dirname(sys.executable)}", "JSON=1"],
        cwd=ROOT,
        env=environment(HEADSTART_CONFIG=str(tmp_path / "headstart.yaml"), PORT=str(unused_port())),
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
    )

    assert told.returncode == 0
    assert "make" not in told.stderr.replace("make run", "")
    assert "headstart.yaml:1: server.prot: unknown key" in told.stderr or command == "health"
