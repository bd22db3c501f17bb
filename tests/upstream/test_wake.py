"""A home server that went to sleep is woken by the request that wants it, and by nothing else.

The magic packet arrives at a real UDP socket.
"""

import socket
import threading

import pytest

from errors import ConnectFailed, HeadTimeout, UpstreamStatus
from settings.model import Wake
from tests.support.black_hole import BlackHole
from tests.support.fake_upstream import FakeUpstream
from tests.support.in_process import serving
from tests.support.server import HANG_GUARD_S, unused_port
from tests.support.waiting import await_that
from upstream.breaker import Breaker
from upstream.wake import Rhythm, Waker, magic_packet

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
MAC = "a1:b2:c3:D4-e5-f6"
QUICK = Rhythm(between_packets_s=0.05, between_probes_s=0.02, give_up_s=HANG_GUARD_S)


@pytest.fixture
def card():
    """What listens for magic packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(HANG_GUARD_S)
        yield sock


@pytest.fixture
def waking(card):
    """Makes a breaker and its waker, which is stopped after the test."""
    made = []

    def make(rhythm=QUICK, probe=lambda: None):
        breaker = Breaker("home")
        settings = Wake(MAC, "127.0.0.1", card.getsockname()[1])
        waker = Waker("home", settings, unreached=lambda: breaker.unreached, probe=probe, rhythm=rhythm)
        breaker.on_missed = waker.wanted
        made.append(waker)
        return breaker, waker

    yield make
    for waker in made:
        waker.stop()
        await_that(lambda waker=waker: waker.waking_s() is None, "it goes on")


def got_nothing(card):
    card.setblocking(False)
    with pytest.raises(BlockingIOError):
        card.recv(200)


def test_a_magic_packet_is_six_ff_and_the_address_sixteen_times():
    assert magic_packet(MAC) == bytes.fromhex("ffffffffffff" + "a1b2c3d4e5f6" * 16)


def test_a_call_that_reached_nobody_wakes_it_and_it_is_probed_until_it_is_up(card, waking, caplog):
    caplog.set_level("INFO", "upstream.wake")
    probes = threading.Semaphore(0)
    breaker, waker = waking(probe=probes.release)

    breaker.begin().failed(ConnectFailed("no connection in time"))

    assert card.recv(200) == card.recv(200) == magic_packet(MAC), "it is repeated, since one may be lost"
    for _ in range(5):
        assert probes.acquire(timeout=HANG_GUARD_S)
    breaker.begin_probe(deep=False).succeeded()
    await_that(lambda: waker.waking_s() is None, "it goes on although somebody is there")
    assert [(record.getMessage(), record.fields) for record in caplog.records] == [
        ("Wake-on-LAN sent:", {"provider": "home"}),
        ("Wake-on-LAN worked:", {"provider": "home", "after_s": 0}),
    ]


def test_a_request_that_passed_it_over_wakes_it_and_a_probe_does_not(card, waking):
    breaker, waker = waking()

    breaker.begin_probe(deep=False).failed(ConnectFailed("no connection in time"))
    assert not breaker.allows()
    assert waker.waking_s() is None
    breaker.missed()

    assert card.recv(200) == magic_packet(MAC)


@pytest.mark.parametrize("error", [UpstreamStatus(500, {}, "home"), HeadTimeout("silent")])
def test_one_that_is_there_is_not_woken(card, waking, error):
    breaker, waker = waking()

    breaker.begin().failed(error)
    breaker.missed()

    assert waker.waking_s() is None
    got_nothing(card)


def test_it_is_given_up_and_the_next_request_tries_again(card, waking, caplog):
    breaker, waker = waking(Rhythm(between_packets_s=1, between_probes_s=0.01, give_up_s=0.05))
    breaker.begin().failed(ConnectFailed("no connection in time"))
    await_that(lambda: waker.waking_s() is None, "it is never given up")
    assert card.recv(200)
    got_nothing(card)

    breaker.missed()

    card.settimeout(HANG_GUARD_S)
    assert card.recv(200) == magic_packet(MAC)
    assert caplog.records[0].getMessage() == "Wake-on-LAN gave up:"


def test_a_network_that_takes_no_packet_is_told_and_costs_nobody_anything(waking, caplog):
    breaker, waker = waking()
    waker._settings = Wake(MAC, "127.0.0.1", 0)  # which no datagram can go to

    breaker.begin().failed(ConnectFailed("no connection in time"))

    record = await_that(lambda: caplog.records and caplog.records[0], "nothing is said")
    assert (record.getMessage(), record.fields["provider"]) == ("Wake-on-LAN not sent:", "home")


def test_a_chat_wakes_the_home_server_and_the_chain_goes_on_until_it_is_up(tmp_path, card):
    port, cloud = unused_port(), FakeUpstream("c-model")
    wake = {"mac": MAC, "broadcast": "127.0.0.1", "port": card.getsockname()[1]}
    provider = {"kind": "openai", "model": "m"}
    config = {
        "classifier": {"backend": "openai", "base_url": cloud.url, "model": "judge"},
        "decisions": dict.fromkeys(("SIMPLE", "MODERATE", "COMPLEX", "ENRICH", "META"), "primary"),
        "providers": {
            "home": {**provider, "base_url": f"http://127.0.0.1:{port}/v1", "wake": wake},
            "cloud": {**provider, "base_url": cloud.url},
        },
        "routes": {"primary": {"chain": ["home", "cloud"]}},
    }
    with serving(tmp_path, config) as headstart:

        def answered_by():
            reply = headstart.post("/v1/chat/completions", HELLO)
            return reply.status_code, reply.headers["X-Provider"]

        assert answered_by() == (200, "cloud")
        assert card.recv(200) == magic_packet(MAC)
        assert answered_by() == (200, "cloud")
        home = FakeUpstream("h-model", port=port)
        await_that(lambda: answered_by() == (200, "home"), "it is not used although it is up")
        await_that(lambda: "Wake-on-LAN worked: provider=home" in headstart.log_text(), "no word of it")
        sent = headstart.log_text().count("Wake-on-LAN sent: provider=home\n")
        home.close()
    cloud.close()
    assert sent == 1


def test_a_machine_that_sleeps_costs_a_request_one_wait_for_a_connection(tmp_path):
    asleep, spare = BlackHole(mute=True), FakeUpstream("s-model")
    provider = {"kind": "openai", "model": "m"}
    config = {
        "classifier": {"backend": "openai", "base_url": spare.url, "model": "judge"},
        "providers": {
            "home": {**provider, "base_url": asleep.url, "timeouts": {"connect_s": 1.2}},
            "spare": {**provider, "base_url": spare.url},
        },
    }
    with serving(tmp_path, config) as headstart:
        reply = headstart.post("/v1/chat/completions", HELLO)
        await_that(lambda: " REQUEST " in headstart.log_text(), "no line of the request")
        failed = headstart.log_text().count("Provider failed: ")
    asleep.close()
    spare.close()

    assert (reply.headers["X-Provider"], reply.headers["X-Speculation"]) == ("spare", "failed")
    assert failed == 1


def test_nobody_waits_for_the_waking(waking):
    release = threading.Event()
    breaker, waker = waking(probe=lambda: release.wait(HANG_GUARD_S))

    breaker.begin().failed(ConnectFailed("no connection in time"))

    assert waker.waking_s() is not None, "the probe still hangs"
    release.set()
