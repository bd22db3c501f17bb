"""A running Headstart over scripted providers: `headstart` to ask, `primary`, `backup`, `cloud` and `judge` to script.

`judge` is the classifier's chat model, so a test says `judge.streams("COMPLEX")` to have the next request decided so.
"""

import subprocess
import sys

import pytest

from tests.support.anthropic_api import claude, claude_upstream, native, running_native  # noqa: F401 - fixtures
from tests.support.fake_upstream import FakeUpstream
from tests.support.fake_web import FakeWeb
from tests.support.scripted import scripted_config
from tests.support.server import ROOT, Server


@pytest.fixture(scope="session")
def prepared():
    """The embedded models are there; made now if they are not."""
    subprocess.run([sys.executable, "-m", "engine.prepare"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def upstreams():
    made = {
        name: FakeUpstream(model)
        for name, model in (
            ("primary", "p-model"),
            ("backup", "b-model"),
            ("cloud", "c-model"),
            ("judge", "j-model"),
        )
    }
    yield made
    for upstream in made.values():
        upstream.close()


@pytest.fixture(scope="session")
def running(upstreams, tmp_path_factory):
    server = (
        Server(tmp_path_factory.mktemp("headstart"), scripted_config(**upstreams))
        .wait_until_up()
        .wait_until_known()
    )
    yield server
    server.stop()


@pytest.fixture
def headstart(running):
    running.forget_grudges()
    return running


@pytest.fixture(autouse=True)
def scripts_end_with_their_test(request):
    """What a provider was told to do, and what it was asked, ends with the test, whichever Headstart asked it."""
    used = request.getfixturevalue("upstreams").values() if "upstreams" in request.fixturenames else ()
    yield
    for upstream in used:
        upstream.reset()


@pytest.fixture
def primary(upstreams):
    return upstreams["primary"]


@pytest.fixture
def backup(upstreams):
    return upstreams["backup"]


@pytest.fixture
def cloud(upstreams):
    return upstreams["cloud"]


@pytest.fixture
def judge(upstreams):
    upstreams["judge"].streams("MODERATE")
    return upstreams["judge"]


@pytest.fixture(scope="module")
def corner():
    """A corner of the web: scripted pages."""
    web = FakeWeb()
    yield web
    web.close()


@pytest.fixture
def web(corner):
    yield corner
    corner.reset()
