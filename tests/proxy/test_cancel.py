"""Cancelling as the provider sees it: how soon, at which moment of its answer, and what is left behind."""

import ssl
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fake_upstream import HANG_GUARD_S, FakeUpstream
from tests.support.scripted import scripted_config
from tests.support.server import ROOT, Server, streamed_text
from tests.support.waiting import await_that

# For 127.0.0.1 until 2126, made by openssl req -x509; its key is no secret.
CERTIFICATE = ROOT / "tests/support/loopback.pem"
LATEST_S = 0.050  # from the decision until the provider has seen the hang-up (issue 2, "Speculation")
NEVER = "it never came to that"
TRIES = 5  # of which the median counts: other programs share the cores
linux_only = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="counts what a process holds in /proc"
)


class Scene:
    """A Headstart whose primary speaks plain HTTP or TLS."""

    def __init__(self, folder, tls):
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
        self.primary = FakeUpstream("p-model", context)
        self.backup, self.cloud, self.judge = (
            FakeUpstream("b-model"),
            FakeUpstream("c-model"),
            FakeUpstream("j-model"),
        )
        config = scripted_config(self.primary, self.backup, self.cloud, self.judge)
        self.server = (
            Server(folder, config, REQUESTS_CA_BUNDLE=str(CERTIFICATE)).wait_until_up().wait_until_known()
        )
        self.caller = ThreadPoolExecutor(32)

    def reset(self):
        for upstream in (self.primary, self.backup, self.cloud, self.judge):
            upstream.reset()

    def close(self):
        self.caller.shutdown()
        self.server.stop()
        for upstream in (self.primary, self.backup, self.cloud, self.judge):
            upstream.close()

    def asks(self, stream=False, **more):
        """Send a chat request on another thread; returns its future."""
        return self.caller.submit(self.server.chat, "prove it", stream=stream, **more)

    def cancelled_at(self, moment, stream):
        """Have the primary's call cancelled at a moment of it. Returns (that call, the client's reply)."""
        self.reset()
        self.judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
        self.cloud.streams("forty", "-two")
        in_that_moment = moment(self.primary)
        reply = self.asks(stream)
        in_that_moment()
        self.judge.release.set()
        if moment is before_it_is_accepted:
            self.cloud.wait_asked()
            self.primary.accepts_again()
        call = (
            self.primary.wait_ignored()
            if moment in (before_it_is_accepted, before_it_is_read)
            else self.primary.last
        )
        assert call.hung_up.wait(HANG_GUARD_S), "the provider was never hung up"
        return call, reply.result(HANG_GUARD_S)


@pytest.fixture(scope="module", params=["plain", "tls"])
def running_scene(request, tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp(request.param), tls=request.param == "tls")
    yield scene
    scene.close()


@pytest.fixture
def scene(running_scene):
    running_scene.reset()
    yield running_scene
    running_scene.reset()


# The moments: each has the provider bring itself there, and returns what waits until it is.


def before_it_is_accepted(primary):
    primary.ignores_connections()
    primary.stops_accepting()
    return primary.wait_dialled


def before_it_is_read(primary):
    """Over TLS that is in the handshake."""
    primary.ignores_connections()
    return primary.wait_ignored


def before_its_headers(primary):
    primary.stalls_before_headers()
    return primary.wait_asked


def in_a_silent_prefill(primary):
    primary.stalls_before_head()
    return primary.wait_asked


def after_a_role_and_comments(primary):
    primary.runs(("role",), ("raw", b": still thinking\n\n"), ("stall",))
    return primary.wait_asked


def among_its_tokens(primary):
    primary.streams_forever()
    return lambda: await_that(lambda: primary.requests and primary.last.tokens_sent > 3, NEVER, HANG_GUARD_S)


def among_tokens_until_the_connection_closes(primary):
    primary.streams_forever(until_close=True)
    return lambda: await_that(lambda: primary.requests and primary.last.tokens_sent > 3, NEVER, HANG_GUARD_S)


def silent_until_the_connection_closes(primary):
    primary.runs(("headers",), ("stall",), until_close=True)
    return primary.wait_asked


MOMENTS = [
    before_it_is_accepted,
    before_it_is_read,
    before_its_headers,
    in_a_silent_prefill,
    after_a_role_and_comments,
    among_its_tokens,
    among_tokens_until_the_connection_closes,
    silent_until_the_connection_closes,
]


@pytest.mark.alone
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_the_provider_sees_the_hang_up_within_50_ms_of_the_decision(scene, moment, stream):
    delays = []

    for _ in range(TRIES):
        call, reply = scene.cancelled_at(moment, stream)
        delays.append(call.hung_up_at - scene.judge.last.answered_at)
        assert call.tokens_after_hang_up <= 1
        assert reply.headers["X-Speculation"] == "cancelled"
        assert (
            streamed_text(reply) if stream else reply.json()["choices"][0]["message"]["content"]
        ) == "forty-two"

    assert statistics.median(delays) <= LATEST_S, delays


def test_an_answer_does_not_wait_for_a_primary_that_stalls_for_ever(scene):
    scene.judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    scene.primary.runs(("deaf",))
    scene.cloud.streams("forty", "-two")
    reply = scene.asks()
    stalling = scene.primary.wait_asked()

    scene.judge.release.set()

    assert reply.result(HANG_GUARD_S / 2).json()["choices"][0]["message"]["content"] == "forty-two"
    assert not stalling.ended.is_set()


def test_a_cancelled_call_is_told_in_the_log_and_the_record(scene):
    _, reply = scene.cancelled_at(in_a_silent_prefill, stream=False)

    session = scene.server.session(reply.headers["X-Session-Id"])

    assert session["speculation"]["outcome"] == "cancelled"
    assert session["speculation"]["provider"] == "main"
    assert isinstance(session["speculation"]["cancel_ms"], int)
    assert {step["provider"]: step["error"] for step in session["steps"]} == {
        "j-model": None,
        "main": "hung up",
        "cloud": None,
    }
    assert scene.server.log_line(
        rf"Cancelled speculative primary: session={session['id']} route=cloud cancel_ms=\d+$"
    )


@linux_only
def test_cancellations_leave_no_thread_and_no_descriptor_behind(scene):
    def many_at_once():
        scene.reset()
        scene.judge.streams("COMPLEX")
        scene.primary.streams_forever()
        for reply in [scene.asks(stream) for stream in (False, True) * 4]:
            assert reply.result(HANG_GUARD_S).headers["X-Speculation"] == "cancelled"
        await_that(lambda: all(call.ended.is_set() for call in scene.primary.requests), NEVER, HANG_GUARD_S)

    many_at_once()
    descriptors, threads = held(scene.server)

    for _ in range(12):
        many_at_once()

    # 96 calls were cancelled. The pools of the others may still grow to eight connections each, with two
    # descriptors for each connection.
    await_that(
        lambda: held(scene.server)[0] <= descriptors + 32,
        lambda: f"{held(scene.server)[0]} descriptors, {descriptors} before",
        HANG_GUARD_S,
    )
    assert held(scene.server)[1] <= threads + 24


@linux_only
def test_sequential_cancellations_at_every_moment_leave_no_descriptor_behind(scene):
    def each_moment():
        for moment in MOMENTS:
            scene.cancelled_at(moment, stream=False)
        scene.reset()

    each_moment()
    descriptors, _ = held(scene.server)

    for _ in range(3):
        each_moment()

    await_that(
        lambda: held(scene.server)[0] <= descriptors + 2,
        lambda: f"{held(scene.server)[0]} descriptors, {descriptors} before",
        HANG_GUARD_S,
    )


def held(server):
    """(open descriptors, threads) of a Headstart's worker process."""
    master = server.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return len(list(Path(f"/proc/{worker}/fd").iterdir())), len(list(Path(f"/proc/{worker}/task").iterdir()))
