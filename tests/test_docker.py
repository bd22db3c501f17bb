"""What the image gets: every room of the house, and nothing of the owner's."""

import pytest
import yaml

from tests.support.server import ROOT
from tests.test_house import FLOOR

ALLOWED = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_every_room_is_in_the_image():
    rooms = {room for room in FLOOR if (ROOT / room).is_dir()}

    assert rooms - set(ALLOWED) == set(), "add the room to .dockerignore"


def test_only_what_is_named_gets_into_the_image():
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    assert [name for name in ALLOWED if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("service", ["headstart", "open-webui"])
def test_ports_are_published_on_this_machine_alone_unless_the_owner_says_otherwise(service):
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    assert all("ADDRESS:-127.0.0.1}:" in port for port in services[service]["ports"])
    assert "ports" not in services["searxng"]
