"""An update from one clone of another: taken when it is good, undone when it is not."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml

from deploy import checkout as checkouts
from deploy import service
from deploy.checkout import Checkout, Packages
from deploy.commands import DeployError
from deploy.managers import Systemd
from deploy.place import here
from deploy.update import update
from tests.support.server import HANG_GUARD_S, ROOT, unused_port

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="an update needs git")
LEFT_OUT = (".git", ".venv*", "models", "node_modules", "__pycache__", ".*_cache", "app.log*", "ledger.db*")
GOOD = "v1.10.0"  # newer than v1.4.0, and not before it
HANG = f"sleep {100_000 + os.getpid()}"
# Appended to a file, each makes a version of its own.
VERSIONS = {
    "v1.2.0": (
        "settings/loader.py",
        "\n\ndef load(*_, **__):\n    raise ConfigError('my.yaml', 3, 'meta', 'is unknown')\n",
    ),
    "v1.3.0": ("app.py", "\n\nraise RuntimeError('sorry, this version starts for nobody')\n"),
    "v1.4.0": (
        "upstream/health.py",
        "\n\nfrom settings import loader\nHealth._status = lambda *_: 'degraded'\n"
        "loader.load().path.open('a').write('# moved on')\n",
    ),
    "v1.5.0": ("Makefile", f"\nmodels: hang\nhang:\n\t@echo hanging; {HANG}\n"),
    GOOD: ("docs/DESIGN.md", "\n"),
    "v2.0.0-rc1": ("docs/DESIGN.md", "\n\n"),
}


def git(folder, *words):
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """A repository with this code as v1.0.0, and other versions of it."""
    folder = tmp_path_factory.mktemp("upstream") / "headstart"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    git(folder, "tag", "v1.0.0")
    for tag, (name, more) in VERSIONS.items():
        git(folder, "checkout", "--quiet", "--detach", "v1.0.0")
        with (folder / name).open("a") as file:
            file.write(more)
        git(folder, "commit", "--quiet", "--all", f"--message={tag}")
        git(folder, "tag", tag)
    git(folder, "checkout", "--quiet", "main")
    return folder


@pytest.fixture
def clone(upstream, home, prepared):
    """The owner's clone, at v1.0.0, set up by what is here already."""
    folder = home / "headstart"
    git(home, "clone", "--quiet", str(upstream), str(folder))
    git(folder, "checkout", "--quiet", "v1.0.0")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "models").symlink_to(ROOT / "models")
    for listed in folder.glob("requirements*"):
        os.utime(listed, (0, 0))  # older than .venv, so that nothing is installed
    return folder


@pytest.fixture
def data(home, one_provider, monkeypatch):
    """A data folder with a configuration whose one provider is well."""
    folder = home / "data"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(one_provider))
    monkeypatch.setenv("HEADSTART_CONFIG", str(folder / "config.yaml"))
    monkeypatch.setenv("PORT", str(unused_port()))
    return folder


@pytest.fixture
def installed(systemd, clone, data, monkeypatch, capsys):
    """The clone as a running service, and a terminal that knows nothing of its address."""
    service.install(here(checkout=clone), Systemd())
    for name in ("HEADSTART_CONFIG", "PORT"):
        monkeypatch.delenv(name)
    capsys.readouterr()
    return here(Systemd().installed(), clone)


def version_of(folder):
    return git(folder, "describe", "--tags")


def make_update(clone):
    """As the owner would; these tests may run under a make of their own."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(["make", "update"], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="make asks launchd there")
def test_the_newest_version_is_taken_and_served(installed, systemd, clone):
    before = systemd.pid

    done = make_update(clone)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"From v1.0.0 (healthy) to {GOOD}"
    assert lines[1].startswith("Backed up config.yaml: ")
    assert lines[2:] == [
        f"Setting up {GOOD}",
        "The configuration is valid",
        f"Starting {GOOD}",
        "It is healthy",
        f"This is {GOOD}; to go back: make update TAG=v1.0.0",
    ]
    assert version_of(clone) == GOOD
    assert systemd.pid not in (before, None)
    assert requests.get(f"{installed.url()}/health", timeout=5).json()["status"] == "healthy"

    again = make_update(clone)

    assert again.stdout == f"This is {GOOD} already, the newest version\n"


def test_what_is_worse_is_undone(installed, systemd, clone, data, capsys):
    untouched = (data / "config.yaml").read_text()
    first = systemd.pid

    def refused(tag):
        with pytest.raises(DeployError, match=f"^{tag} was not taken, v1.0.0 is there as before$"):
            update(installed, Systemd(), tag, patience_s=1)
        assert version_of(clone) == "v1.0.0"
        assert requests.get(f"{installed.url()}/health", timeout=5).json()["status"] == "healthy"
        assert (data / "config.yaml").read_text() == untouched
        assert not (clone / ".venv-before-update").exists()
        return capsys.readouterr().out

    said = refused("v1.2.0")
    assert "Going back to v1.0.0: its check of the configuration says: headstart: my.yaml:3: meta" in said
    assert systemd.pid == first, "the service has nothing to do with it"

    said = refused("v1.3.0")
    assert "Going back to v1.0.0: it was healthy, and with v1.3.0 it is: nothing answers" in said
    assert "sorry, this version starts for nobody" in said
    assert "Started again: healthy" in said

    said = refused("v1.4.0")
    assert "Going back to v1.0.0: it was healthy, and with v1.4.0 it is: degraded" in said
    assert "Putting back config.yaml, which was changed" in said
    assert "Started again: healthy" in said


def test_without_a_service_a_version_is_started_for_a_moment(clone, data, monkeypatch, capsys):
    (data / "config.yaml").rename(data / "headstart.yaml")
    monkeypatch.delenv("HEADSTART_CONFIG")
    monkeypatch.setenv("HEADSTART_DATA", str(data))
    place = here(checkout=clone)

    with pytest.raises(DeployError, match=r"v1\.3\.0 was not taken"):
        update(place, Systemd(), "v1.3.0", patience_s=5)

    assert version_of(clone) == "v1.0.0"
    said = capsys.readouterr().out
    assert "it was healthy, and with v1.3.0 it is: nothing answers\n  " in said
    assert "sorry, this version starts for nobody" in said
    assert sorted(file.name for file in data.iterdir()) == ["backups", "headstart.yaml"], "it wrote elsewhere"

    # Edits of shipped files go along.
    (clone / "prompts/primary.md").write_text("be kind")
    update(place, Systemd(), "")

    assert version_of(clone) == GOOD
    said = capsys.readouterr().out
    assert said.startswith("Carried over: your edits of prompts/primary.md")
    assert "No service runs here" in said
    assert (data / "my-prompts/primary.md").read_text() == "be kind"


def test_ctrl_c_goes_back_too(clone, data):
    command = [clone / ".venv/bin/python", "-m", "deploy.update", "v1.5.0"]
    process = subprocess.Popen(
        command,
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = list(iter(process.stdout.readline, "hanging\n"))
    assert version_of(clone) == "v1.5.0", "".join(said)

    os.killpg(process.pid, signal.SIGINT)

    rest = process.communicate(timeout=HANG_GUARD_S)[0]
    assert process.returncode == 130
    assert rest.endswith(
        "Going back to v1.0.0: it was interrupted\nv1.5.0 was not taken, v1.0.0 is there as before\n"
    )
    assert version_of(clone) == "v1.0.0"
    assert subprocess.run(["pgrep", "-f", f"^{HANG}"]).returncode == 1, "the set-up goes on"


# What stops an update before it begins.


def refused(clone, message, tag=""):
    with pytest.raises(DeployError, match=message):
        update(here(checkout=clone), Systemd(), tag)
    assert not (clone / "backups").exists()


def test_changed_files_are_named(clone):
    (clone / "engine/blas.py").write_text("changed")
    (clone / "app.py").unlink()
    (clone / "mine.txt").write_text("untracked")

    refused(clone, r"are changed: app\.py, engine/blas\.py\. `git stash` puts changes aside")
    assert (clone / "engine/blas.py").read_text() == "changed"


def test_a_version_that_is_not_there_is_answered_with_those_that_are(clone):
    refused(
        clone, r"no version v7\.0\.0; it has v1\.10\.0, v1\.5\.0, v1\.4\.0, v1\.3\.0, v1\.2\.0$", "v7.0.0"
    )


def test_without_a_remote_a_version_or_a_clone_it_says_so(clone, home, tmp_path):
    git(clone, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    refused(clone, "git ls-remote: .*nowhere")
    git(home, "init", "--quiet", "empty")
    git(clone, "remote", "set-url", "origin", str(home / "empty"))
    refused(clone, "has no version yet")
    git(clone, "remote", "remove", "origin")
    refused(clone, "has no remote 'origin'")
    shutil.rmtree(clone / ".git")
    refused(clone, "is no git clone")


def test_a_clone_ahead_of_the_newest_version_is_left_alone(clone, capsys):
    git(clone, "checkout", "--quiet", GOOD)
    git(clone, "commit", "--quiet", "--allow-empty", "--message=ours")

    update(here(checkout=clone), Systemd(), "")

    assert capsys.readouterr().out == f"This is ahead of {GOOD}, the newest version\n"


def test_a_branch_is_returned_to_by_its_name(clone):
    git(clone, "checkout", "--quiet", "main")

    assert Checkout(clone).name() == "main"
    git(clone, "commit", "--quiet", "--allow-empty", "--message=ours")
    commit = git(clone, "rev-parse", "HEAD")
    git(clone, "checkout", "--quiet", "--detach")
    assert Checkout(clone).name() == commit


# The packages.


def test_packages_are_as_before_after_going_back(tmp_path):
    site = tmp_path / ".venv/lib/site-packages"
    site.mkdir(parents=True)
    (site / "flask.py").write_text("old")
    (site / "gone.py").write_text("old")
    (tmp_path / ".venv/pyvenv.cfg").write_text("old")
    (tmp_path / ".venv/python").symlink_to("/usr/bin/python3")
    packages = Packages(tmp_path)

    packages.keep()
    # As pip does: a file is replaced and never written into.
    (site / "new.py").write_text("new")
    (site / "gone.py").unlink()
    (site / "partial").write_text("new")
    (site / "partial").replace(site / "flask.py")
    (tmp_path / ".venv/pyvenv.cfg").write_text("new")
    packages.put_back()
    packages.forget()

    assert {file.name: file.read_text() for file in site.iterdir()} == {"flask.py": "old", "gone.py": "old"}
    assert (tmp_path / ".venv/pyvenv.cfg").read_text() == "old"
    assert (tmp_path / ".venv/python").readlink() == Path("/usr/bin/python3")
    assert os.listdir(tmp_path) == [".venv"]


def test_versions_are_ordered_by_their_numbers():
    tags = ["v1.9.0", "v1.10.0", "1.2", "v1.2.1"]

    assert sorted(tags, key=checkouts._numbers) == ["1.2", "v1.2.1", "v1.9.0", "v1.10.0"]
