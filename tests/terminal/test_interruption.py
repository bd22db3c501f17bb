"""After Ctrl-C make prints no error line of its own, and its status says so all the same."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.server import ROOT

MAKEFILE = """\
{exported}
all: first
\t@echo went on
first:
\t@exec {python} -c 'import signal; from terminal.command import run_and_exit; \\
\t  run_and_exit(lambda: signal.raise_signal(signal.SIGINT))'
"""


@pytest.fixture
def make(tmp_path):
    def made(exported):
        (tmp_path / "Makefile").write_text(MAKEFILE.format(exported=exported, python=sys.executable))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("HEADSTART_MAKE", None)
        command = ["make", "--no-print-directory", "-C", str(tmp_path)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return made


def test_a_make_that_is_told_of_it_says_nothing(make):
    ended = make("first: export HEADSTART_MAKE = 1")

    assert ended.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert (ended.stdout, ended.stderr) == ("", "")


def test_any_other_gets_the_status(make):
    ended = make("")

    assert ended.returncode == 2
    assert "130" in ended.stderr
    assert "went on" not in ended.stdout
