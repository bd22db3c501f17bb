"""`make version` says which Headstart this is, before anything is installed."""

import re
import subprocess
import sys

from deploy.version import described
from telemetry.version import VERSION
from tests.support.server import ROOT


def test_it_needs_no_package():
    said = subprocess.run(
        [sys.executable, "-S", "-m", "deploy.version"], cwd=ROOT, capture_output=True, text=True
    )

    assert re.fullmatch(rf"Headstart {re.escape(VERSION)}( \(\S+\))?\n", said.stdout), said.stderr


def test_the_commit_is_named_where_git_knows(tmp_path):
    plain = described(tmp_path)
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"], ["tag", "v9"]):
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True)

    assert plain == VERSION
    assert described(tmp_path) == f"{VERSION} (v9)"
