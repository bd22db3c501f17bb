"""The file by which commands find the server that runs."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from runtime import announcement
from runtime.announcement import announce, announced, likely_folders, read, url_of, withdraw

OWN = Path("/etc/mine/headstart.yaml")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Another checkout than the one that these tests stand in."""
    monkeypatch.setattr(announcement, "CHECKOUT", tmp_path / "checkout")
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def gone_pid():
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def left_by(folder, pid):
    told = {"pid": pid, "url": "http://127.0.0.1:1", "started_at": "2026-01-01T00:00:00+00:00"}
    told |= {"config": str(OWN), "data": str(folder)}
    (folder / announcement.FILE).write_text(json.dumps(told))


def test_a_server_is_found_from_its_data_folder_and_from_its_checkout(checkout, data):
    announce(OWN, data, "http://127.0.0.1:9000", "1.2.0")

    found = announced([data])
    assert found == announced([checkout])
    assert (found[0].pid, found[0].url, found[0].version) == (os.getpid(), "http://127.0.0.1:9000", "1.2.0")
    assert (found[0].config, found[0].data) == (str(OWN), str(data))
    assert stat.S_IMODE((data / announcement.FILE).stat().st_mode) == 0o600

    withdraw(data)
    assert announced([data, checkout]) == []
    assert os.listdir(data) == os.listdir(checkout) == []


def test_a_second_server_leaves_the_first_one_s_file_alone(checkout, data):
    left_by(checkout, os.getppid())

    announce(OWN, data, "http://127.0.0.1:9000")
    withdraw(data)

    assert read(checkout).pid == os.getppid()


def test_what_a_killed_server_left_is_no_news_and_is_written_over(checkout, data):
    left_by(data, gone_pid())
    assert announced([data]) == []

    announce(OWN, data, "http://127.0.0.1:9000")

    assert announced([data])[0].pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"pid": "x", "url": 1}', "\xff"])
def test_a_file_that_makes_no_sense_is_none(data, text):
    (data / announcement.FILE).write_text(text, encoding="latin-1")

    assert read(data) is None


def test_a_folder_that_cannot_be_written_to_costs_nothing(checkout, tmp_path):
    announce(OWN, tmp_path / "nowhere", "http://127.0.0.1:9000")
    withdraw(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, None),
        ({"HEADSTART_CONFIG": "/etc/mine/headstart.yaml"}, "/etc/mine"),
        ({"HEADSTART_CONFIG": "/etc/mine/headstart.yaml", "HEADSTART_DATA": "/var/mine"}, "/var/mine"),
    ],
)
def test_it_is_looked_for_where_the_data_are_and_then_in_the_checkout(checkout, environ, first):
    assert [str(folder) for folder in likely_folders(environ)] == [*([first] if first else []), str(checkout)]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("home.lan", "http://home.lan:9000"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_by_loopback(host, url):
    assert url_of(host, 9000) == url


def test_the_running_server_has_left_one(headstart):
    found = read(headstart.folder)
    assert (found.pid, found.url, found.is_alive) == (headstart.process.pid, headstart.url, True)
