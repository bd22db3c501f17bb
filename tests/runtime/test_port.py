"""A port that is taken is told at once: by whom, and which one is free."""

import os
import socket
import subprocess
import sys

import pytest
import yaml

from runtime import port
from runtime.port import PortTaken, check_free, holder
from tests.support.config_texts import MINIMAL
from tests.support.server import HANG_GUARD_S, PYTHON, ROOT


@pytest.fixture
def taken():
    """Makes listening sockets of this process; they end with the test."""
    made = []

    def make(host="127.0.0.1", number=0):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.append(sock)
        sock.bind((host, number))
        sock.listen()
        return sock.getsockname()[1]

    yield make
    for sock in made:
        sock.close()


def refused(host, number):
    with pytest.raises(PortTaken) as told:
        check_free(host, number)
    return str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "localhost"])
def test_a_free_port_and_port_0_are_free(taken, host):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free = sock.getsockname()[1]

    check_free(host, free)
    check_free(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_has_taken_it_and_what_is_free_stand_in_one_line(taken, host):
    number = taken(host)

    told = refused(host, number)

    free = int(told.rpartition("PORT=")[2].split()[0])
    assert told.startswith(f"port {number} is taken by pid {os.getpid()} (")
    assert told.endswith(f"); {free} is free: PORT={free} make run")
    assert free > number
    check_free(host, free)


def test_the_next_port_is_passed_over_where_it_is_taken_too(taken):
    number = taken()
    try:
        taken(number=number + 1)
    except (OSError, OverflowError):
        pytest.skip("somebody else has the next one")

    assert f"; {number + 1} is free" not in refused("127.0.0.1", number)


def test_the_server_is_named_and_not_a_worker_that_has_its_socket_too(taken):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        worker = subprocess.Popen(["sleep", "60"], pass_fds=[sock.fileno()])
        try:
            assert holder(sock.getsockname()[1]).startswith(f"pid {os.getpid()} (")
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.skipif(not port.PROC.is_dir(), reason="elsewhere lsof knows only one's own")
def test_of_another_user_s_process_its_user_is_told(tmp_path, monkeypatch):
    table = "  sl  local_address ...\n   0: 0100007F:1F42 00000000:0000 0A 0:0 00:0 0 %d 0 1596 1 0\n"
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(port, "PROC", tmp_path)

    (tmp_path / "net" / "tcp").write_text(table % (os.getuid() + 54321))
    assert holder(8002) == f"a process of user {os.getuid() + 54321}"
    (tmp_path / "net" / "tcp").write_text(table % os.getuid())
    assert holder(8002) == "another user's process"


def test_an_address_of_another_machine_is_named():
    assert refused("192.0.2.7", 8002) == "HOST 192.0.2.7 is no address of this machine"


def test_a_start_on_a_taken_port_ends_at_once_with_one_line(taken, tmp_path):
    number = taken()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load(MINIMAL)))

    ended = subprocess.run(
        [PYTHON, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
        cwd=ROOT,
        env={**os.environ, "PORT": str(number), "HEADSTART_CONFIG": str(tmp_path / "config.yaml")},
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
    )

    [line] = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith(f"headstart: port {number} is taken by pid {os.getpid()} (")
    assert ended.returncode == 1


if sys.platform == "darwin":  # what only such a machine can show

    def test_lsof_names_this_process(taken):
        assert port._pid_by_lsof(taken()) == os.getpid()
else:

    def test_what_lsof_says_is_understood(taken, tmp_path, monkeypatch):
        fake = tmp_path / "lsof"
        fake.write_text('#!/bin/sh\ntest "$*" = "-nP -iTCP:8002 -sTCP:LISTEN -t" && echo 4711 && echo 4712\n')
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

        assert port._pid_by_lsof(8002) == 4711
        assert port._pid_by_lsof(8003) is None
