"""By tier: who waits for a busy provider and in which order.

And when a provider that fails is left alone, and when it is tried again.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.chats import TITLE_PROMPT, answer_of
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server

FAILURES = 3
NARROW, HASTY, FULL = "narrow", "hasty", "full"


@pytest.fixture(scope="module")
def busy(upstreams, tmp_path_factory):
    """A Headstart whose primary serves one call at a time. `hasty` waits a moment, `full` has no queue."""
    config = scripted_config(**upstreams)
    main = {**config["providers"]["main"], "timeouts": {"first_byte_s": HANG_GUARD_S, "idle_s": HANG_GUARD_S}}
    config["providers"]["main"] = {**main, "max_concurrent": 1, "queue_timeout_s": HANG_GUARD_S}
    config["providers"][HASTY] = {**main, "max_concurrent": 1, "queue_timeout_s": 0.3}
    config["providers"][FULL] = {**main, "max_concurrent": 1, "max_queued": 0}
    config["routes"][NARROW] = {"chain": ["main"]}
    config["routes"]["hasty-then-backup"] = {"chain": [HASTY, "backup"]}
    config["routes"]["full-then-backup"] = {"chain": [FULL, "backup"]}
    server = Server(tmp_path_factory.mktemp("busy"), config).wait_until_up()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def failing(upstreams, tmp_path_factory):
    """A Headstart whose breakers open after three failures, and whose rests are short."""
    config = scripted_config(**upstreams)
    config["breaker"] = {"failures": FAILURES, "first_rest_s": 0.1, "longest_rest_s": 0.1}
    server = Server(tmp_path_factory.mktemp("failing"), config).wait_until_up()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def nobody_classifies_but_the_judge(judge):
    """And that says MODERATE unless it is told otherwise."""


@pytest.fixture
def asking():
    """Ask from other threads."""
    with ThreadPoolExecutor(16) as executor:
        yield executor.submit


class Queue:
    """The one place of a provider, taken by a call that stays until `opens()`.

    `joins` has others come, one after the other.
    """

    def __init__(self, server, upstream, asking, holder="p-model"):
        self._server, self._upstream, self._asking = server, upstream, asking
        upstream.then(("stall-before-headers",), ("token", "holder"), ("finish", "stop"))
        self.holder = asking(server.chat, "holder", model=holder)
        upstream.wait_asked(1)
        self.coming = []

    def joins(self, text, **more):
        """Have a request come that has to wait; returns its future once it does."""
        came = len(self._server.log_lines("Incoming request: ", 1))
        self.coming.append(self._asking(self._server.chat, text, **more))
        self._server.log_lines("Incoming request: ", came + 1)
        for _ in range(10):  # it has only a few instructions more to go than any of these
            requests.get(self._server.url + "/livez", timeout=HANG_GUARD_S)
        assert not self.coming[-1].done()
        return self.coming[-1]

    def opens(self):
        self._upstream.release.set()
        return [future.result(HANG_GUARD_S) for future in (self.holder, *self.coming)]


# The admission queue.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_who_comes_first_is_served_first(busy, primary, asking, stream):
    queue = Queue(busy, primary, asking)
    for text in ("one", "two", "three", "four"):
        queue.joins(text, model="p-model", stream=stream)
    asked_before = len(primary.requests)

    replies = queue.opens()

    assert asked_before == 1
    assert [reply.status_code for reply in replies] == [200] * 5
    assert [asked.messages[-1]["content"] for asked in primary.requests] == [
        "holder",
        "one",
        "two",
        "three",
        "four",
    ]


def test_the_session_shows_the_time_spent_queued(busy, primary, asking):
    queue = Queue(busy, primary, asking)
    queue.joins("second", model="p-model")

    holder, second = queue.opens()

    [step] = busy.session(second.headers["X-Session-Id"])["steps"]
    assert step["queued_ms"] > 0
    assert busy.session(holder.headers["X-Session-Id"])["steps"][0].get("queued_ms") is None


def test_housekeeping_lets_every_chat_go_first(busy, primary, asking):
    queue = Queue(busy, primary, asking)
    for text, more in (
        (TITLE_PROMPT, {}),
        ("chat one", {"model": "p-model"}),
        (TITLE_PROMPT, {}),
        ("chat two", {"model": "p-model"}),
    ):
        queue.joins(text, **more)

    replies = queue.opens()

    assert [reply.headers["X-Decision"] for reply in replies] == [
        "PINNED",
        "META",
        "PINNED",
        "META",
        "PINNED",
    ]
    assert [asked.messages[-1]["content"] for asked in primary.requests] == [
        "holder",
        "chat one",
        "chat two",
        TITLE_PROMPT,
        TITLE_PROMPT,
    ]


def test_one_who_hangs_up_leaves_the_queue_and_nobody_is_asked_for_them(busy, primary, asking):
    queue = Queue(busy, primary, asking)
    incoming = len(busy.log_lines("Incoming request: ", 1))
    connection = busy.connection({"model": "p-model", "messages": [{"role": "user", "content": "impatient"}]})
    busy.log_lines("Incoming request: ", incoming + 1)

    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    gone = busy.log_lines("REQUEST .* status=499", 1)
    queue.joins("patient", model="p-model")
    queue.opens()

    assert gone
    assert [asked.messages[-1]["content"] for asked in primary.requests] == ["holder", "patient"]


def test_who_waits_too_long_goes_on_to_the_next(busy, primary, backup, asking):
    queue = Queue(busy, primary, asking, holder=HASTY)

    reply = busy.chat("second", model="hasty-then-backup")

    assert (reply.headers["X-Provider"], len(primary.requests), len(backup.requests)) == ("backup", 1, 1)
    queue.opens()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_who_waits_too_long_with_nobody_else_to_ask_gets_a_503_that_says_so(busy, primary, asking, stream):
    queue = Queue(busy, primary, asking, holder=HASTY)

    reply = busy.chat("second", model=HASTY, stream=stream)

    assert reply.status_code == 503
    assert "hasty: provider 'hasty' had no place within 0.3 s" in reply.json()["error"]["message"]
    assert reply.json()["error"]["code"] == "no_provider_available"
    queue.opens()


def test_a_full_queue_is_not_waited_for(busy, primary, backup, asking):
    queue = Queue(busy, primary, asking, holder=FULL)

    in_a_chain, alone = busy.chat("second", model="full-then-backup"), busy.chat("third", model=FULL)

    assert (in_a_chain.headers["X-Provider"], in_a_chain.headers["X-Degraded"]) == ("backup", "full: busy")
    assert alone.status_code == 503
    assert "its queue is full (0)" in alone.json()["error"]["message"]
    queue.opens()


def test_a_provider_that_is_busy_has_not_failed(busy, primary, asking):
    queue = Queue(busy, primary, asking, holder=HASTY)

    for _ in range(FAILURES):
        busy.chat("second", model=HASTY)

    entry = requests.get(busy.url + "/health", timeout=HANG_GUARD_S).json()["providers"][HASTY]
    assert (entry["breaker"], entry["consecutive_failures"]) == ("closed", 0)
    queue.opens()


@pytest.mark.parametrize(("decision", "provider"), [("MODERATE", "main"), ("COMPLEX", "cloud")])
def test_speculation_is_off_while_the_primarys_door_is_full(busy, primary, judge, asking, decision, provider):
    queue = Queue(busy, primary, asking)
    judge.streams(decision)
    coming = asking(busy.chat, "second")
    judge.wait_asked(1)
    asked_before = len(primary.requests)
    if decision == "COMPLEX":
        coming.result(HANG_GUARD_S)  # nothing of it has to do with the primary
    queue.opens()

    reply = coming.result(HANG_GUARD_S)

    assert asked_before == 1
    assert (reply.headers["X-Decision"], reply.headers["X-Speculation"], reply.headers["X-Provider"]) == (
        decision,
        "off",
        provider,
    )


def test_a_place_taken_by_a_speculation_is_free_again_once_it_is_cancelled(busy, primary, judge):
    judge.streams("COMPLEX")
    primary.stalls_before_head()
    cancelled = busy.chat("hard")
    primary.streams("free", " again")

    reply = busy.chat("easy", model="p-model")

    assert cancelled.headers["X-Speculation"] == "cancelled"
    assert answer_of(reply) == "free again"


# The breaker.


def entry_of(server, provider):
    return requests.get(server.url + "/health", timeout=HANG_GUARD_S).json()["providers"][provider]


def known_to_be_well(server, provider):
    """Wait until the background has asked a provider and found it well."""
    deadline = time.monotonic() + HANG_GUARD_S
    while time.monotonic() < deadline:
        if (entry := entry_of(server, provider))["available"] and entry["consecutive_failures"] == 0:
            return
        time.sleep(0.02)
    raise AssertionError(entry)


def turns_of(server, provider):
    """The lines in which a provider's breaker has changed its state so far."""
    return [line for line in server.log_text().splitlines() if f"Breaker: provider={provider} " in line]


def test_a_breaker_opens_lets_exactly_one_call_through_and_closes(failing, primary, backup, asking):
    known_to_be_well(failing, "main")
    primary.refuses(500, "out of memory")
    for _ in range(FAILURES):
        assert failing.chat("hello", model="primary").headers["X-Provider"] == "backup"
    failing.log_line(f'Breaker: provider=main state=open failures={FAILURES} reason="?answered')
    primary.probes(500)  # else the background may be the one that finds out that it is well again
    primary.runs(("stall-before-headers",), ("token", "well again"), ("finish", "stop"))

    trials = []
    while len(primary.requests) == FAILURES:  # until the rest is over
        trials.append(asking(failing.chat, "trial", model="primary"))
        while len(primary.requests) == FAILURES and not trials[-1].done():
            time.sleep(0.005)
    others = [asking(failing.chat, "others", model="primary") for _ in range(8)]
    answered_by = [other.result(HANG_GUARD_S).headers["X-Provider"] for other in others]
    half_open, asked = entry_of(failing, "main"), len(primary.requests)
    primary.probes(200)
    primary.release.set()

    assert answered_by == ["backup"] * 8
    assert (half_open["breaker"], half_open["available"], asked) == ("half-open", False, FAILURES + 1)
    assert answer_of(trials[-1].result(HANG_GUARD_S)) == "well again"
    failing.log_line("Breaker: provider=main state=closed")
    closed = entry_of(failing, "main")
    assert (closed["status"], closed["breaker"], closed["consecutive_failures"], closed["reason"]) == (
        "healthy",
        "closed",
        0,
        None,
    )
    assert failing.chat("hello", model="primary").headers["X-Provider"] == "main"


def test_a_trial_that_fails_opens_it_again(failing, primary, backup):
    known_to_be_well(failing, "main")
    primary.refuses(500, "out of memory")
    for _ in range(FAILURES):
        failing.chat("hello", model="primary")
    primary.probes(500)  # else the background may find it well, since it lists its models
    turned_before = len(failing.log_lines("Breaker: provider=main state=open", 1))

    while len(primary.requests) == FAILURES:  # until the rest is over
        assert failing.chat("hello", model="primary").headers["X-Provider"] == "backup"

    failing.log_lines("Breaker: provider=main state=open", turned_before + 1)
    entry = entry_of(failing, "main")
    assert not entry["available"]
    assert entry["consecutive_failures"] > FAILURES
    primary.probes(200)
    known_to_be_well(failing, "main")


@pytest.mark.parametrize("stalls", ["stalls_before_headers", "stalls_before_head", "streams_forever"])
def test_our_hang_ups_are_held_against_nobody(failing, primary, cloud, judge, stalls):
    known_to_be_well(failing, "main")
    judge.streams("COMPLEX")
    getattr(primary, stalls)()
    turned_before = turns_of(failing, "main")

    outcomes = [failing.chat("hard").headers["X-Speculation"] for _ in range(20)]

    entry = entry_of(failing, "main")
    assert outcomes == ["cancelled"] * 20
    assert (entry["breaker"], entry["consecutive_failures"]) == ("closed", 0)
    assert turns_of(failing, "main") == turned_before


def test_a_clients_hang_ups_are_held_against_nobody(failing, primary):
    known_to_be_well(failing, "main")
    primary.stalls_before_headers()
    turned_before = turns_of(failing, "main")

    for count in range(1, FAILURES + 2):
        connection = failing.connection(
            {"model": "p-model", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        )
        asked = primary.wait_asked(count)
        connection.close()
        assert asked.hung_up.wait(HANG_GUARD_S)

    entry = entry_of(failing, "main")
    assert (entry["breaker"], entry["consecutive_failures"]) == ("closed", 0)
    assert turns_of(failing, "main") == turned_before


def test_a_refused_key_is_misconfigured_until_a_restart(upstreams, tmp_path, primary, backup):
    server = Server(tmp_path, scripted_config(**upstreams)).wait_until_up()
    primary.refuses(401, "no such key")
    refused = server.chat("hello", model="primary")
    primary.streams("well again")

    again = [server.chat("hello", model="primary") for _ in range(3)]
    report = requests.get(server.url + "/health", params={"fresh": 1}, timeout=HANG_GUARD_S).json()
    asked_before = len(primary.requests)
    server.stop()
    server.start()
    server.wait_until_up()
    restarted = server.chat("hello", model="primary")
    server.stop()

    assert [reply.headers["X-Provider"] for reply in (refused, *again)] == ["backup"] * 4
    assert (report["status"], report["providers"]["main"]["status"]) == ("degraded", "unhealthy")
    assert report["providers"]["main"]["reason"] == "misconfigured: answered 401, is its key right?"
    assert asked_before == 1
    assert (restarted.headers["X-Provider"], answer_of(restarted)) == ("main", "well again")
