"""A machine of the owner's: a home folder, a systemd that obeys, and an environment that names both."""

import os

import pytest

from tests.support import fake_systemd
from tests.support.fake_upstream import FakeUpstream


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The owner's home folder; nothing of the real one is seen, and nothing set of Headstart's."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("HEADSTART_DATA", "HEADSTART_CONFIG", "HOST", "PORT", "XDG_CONFIG_HOME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def systemd(home, monkeypatch):
    """The FakeSystemd that `systemctl` and `loginctl` talk to."""
    folder = home.parent / "systemd"
    folder.mkdir()
    fake = fake_systemd.installed_in(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SYSTEMD", str(folder))
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def provider():
    made = FakeUpstream("small")
    made.streams("MODERATE")
    yield made
    made.close()


@pytest.fixture
def one_provider(provider):
    """A whole configuration, as a dict, whose one provider is well."""
    near = {"base_url": provider.url, "model": "small"}
    return {
        "classifier": {"backend": "openai", **near},
        "decisions": dict.fromkeys(("SIMPLE", "MODERATE", "COMPLEX", "ENRICH", "META"), "a"),
        "providers": {"near": {"kind": "openai", **near}},
        "routes": {"a": {"chain": ["near"]}},
    }
