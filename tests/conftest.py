"""A running Headstart over scripted providers: send requests to `headstart`, script the providers.

`primary`, `backup` and `cloud` are providers. `judge` is the classifier's chat model: after
`judge.streams("COMPLEX")` the next requests are decided so.

The suite may run in several processes at once (`pytest -n 3 --dist loadscope --no-loadscope-reorder`). Each
process has its own `running` server and its own providers; the tests of a module stay in one process.
"""

import contextlib
import fcntl
import signal
import subprocess
import sys

import pytest

from tests.support.anthropic_api import claude, claude_upstream, native, running_native  # noqa: F401 - fixtures
from tests.support.fake_upstream import FakeUpstream
from tests.support.fake_web import FakeWeb
from tests.support.scripted import scripted_config
from tests.support.server import ROOT, Server

# Modules that take longest. They come first, so that no process still runs one when the others have finished.
LONGEST = (
    "tests/engine/test_label_model.py",
    "tests/engine/test_embedder.py",
    "tests/test_lifecycle.py",
    "tests/engine/test_structured.py",
    "tests/bench/test_benchmark.py",
    "tests/engine/test_real.py",
)


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: it measures time or load; no other test runs beside it")
    config.stash[QUIET] = Quiet(config)
    # A shell that starts the suite in the background has it ignore SIGINT, and its children would inherit it.
    # A signal that is handled, even by doing nothing, has its default disposition in a child.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    with item.config.stash[QUIET].kept(item):
        return (yield)


class Quiet:
    """Keeps other test processes waiting while a test marked `alone` runs.

    Every test holds the lock `room`, shared with others; a test marked `alone` holds it for itself. Who wants
    it first takes the lock `turn`: a test that waits to be alone is then overtaken by nobody.
    """

    def __init__(self, config):
        self._files = None
        if hasattr(config, "workerinput"):  # one of several processes
            folder = config.cache.mkdir("quiet")
            self._files = [(folder / name).open("w") for name in ("turn", "room")]

    @contextlib.contextmanager
    def kept(self, item):
        if self._files is None:
            yield
            return
        turn, room = self._files
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)


QUIET = pytest.StashKey[Quiet]()


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
    """A provider's script, and its list of requests, end with the test, whichever Headstart sent them."""
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
