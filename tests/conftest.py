"""A running Headstart over scripted providers: `headstart` to ask, `primary`, `backup`, `cloud` and `judge` to script.

`judge` is the classifier's chat model, so a test says `judge.streams("COMPLEX")` to have the next request decided so.
"""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from fake_upstream import FakeUpstream
from fake_web import FakeWeb
from server import Server


def scripted_config(primary, backup, cloud, judge):
    """A configuration over four scripted providers."""
    timeouts = {"connect_s": 2, "first_byte_s": 10, "idle_s": 10}

    def provider(upstream, **more):
        return {"kind": "openai", "base_url": upstream.url, "model": upstream.model, "api_key": f"key-of-{upstream.model}", "timeouts": timeouts, **more}

    return {
        "breaker": {"failures": 1_000_000},  # one server serves many tests, and what one breaks must not rest in the next
        "classifier": {"backend": "openai", "base_url": judge.url, "model": judge.model, "timeout_ms": 4000},
        "decisions": {"SIMPLE": "primary", "MODERATE": "primary", "COMPLEX": "xai", "ENRICH": "enrich", "META": "meta"},
        "providers": {
            "main": provider(primary),
            "backup": provider(backup),
            "cloud": provider(cloud, prices={"input": 2.0, "output": 10.0}),
            "off": {"kind": "openai", "base_url": "", "model": "never"},
        },
        "routes": {
            "primary": {"chain": ["off", "main", "backup"]},
            "meta": {"chain": ["main", "backup"]},
            "xai": {"chain": ["cloud", "main"]},
            "enrich": {"context": "cloud", "answer": "primary", "tools": ["web_search", "x_search"]},
        },
    }


@pytest.fixture(scope="session")
def prepared():
    """The embedded models are there; made now if they are not."""
    subprocess.run([sys.executable, "-m", "engine.prepare"], cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def upstreams():
    made = {name: FakeUpstream(model) for name, model in (("primary", "p-model"), ("backup", "b-model"), ("cloud", "c-model"), ("judge", "j-model"))}
    yield made
    for upstream in made.values():
        upstream.close()


@pytest.fixture(scope="session")
def running(upstreams, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("headstart"), scripted_config(**upstreams)).wait_until_up().wait_until_known()
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
