"""Background probes against servers on real sockets.

How each kind is probed, what the breaker hears of it, and that nobody waits for a black hole.
"""

import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.state import DOWN, READY, STARTING, Engine, report
from errors import HeadTimeout, UpstreamStatus
from providers import EmbeddedProvider, OpenAIProvider
from settings.model import Prices, Timeouts
from settings.model import Provider as Settings
from tests.support.waiting import await_that
from upstream import prober
from upstream.breaker import Breaker
from upstream.checks import Check
from upstream.prober import PAUSE_S, SILENT_S, Prober
from upstream.probes import Probes
from upstream.survey import is_at_home

HANG_GUARD_S = 20
PERIOD_S = 0.01  # where a test has the period pass; the clock stands still until it says so
TOKEN = (
    b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "k"}, "finish_reason": "length"}]}\n\n'
    b"data: [DONE]\n\n"
)
REFUSAL = (503, {"error": {"message": "no"}})


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


class Host:
    """A server whose every path is scripted: (status, JSON value or bytes), or the string "silent".

    Unknown paths are 404.
    """

    def __init__(self, **paths):
        self.paths = paths
        self.requests = []
        self.headers = []
        self.release = threading.Event()
        self._news = threading.Condition()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = host.hears(self)
                if answer == "silent":
                    host.release.wait(HANG_GUARD_S)
                    self.close_connection = True
                    return
                status, body = answer
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header(
                    "Content-Type", "text/event-stream" if isinstance(body, bytes) else "application/json"
                )
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a prober that hangs up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def hears(self, http):
        with self._news:
            self.requests.append(http.path)
            self.headers.append(dict(http.headers))
            self._news.notify_all()
        return self.paths.get(http.path.removeprefix("/v1"), (404, {"error": {"message": "no such path"}}))

    def wait_asked(self, path, times=1):
        with self._news:
            assert self._news.wait_for(lambda: self.requests.count(path) >= times, HANG_GUARD_S), (
                f"{path} was not asked {times} times: {self.requests}"
            )

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def host():
    hosts = []

    def made(paths=None):
        hosts.append(Host(**(paths or {"/models": (200, {"data": []}), "/chat/completions": (200, TOKEN)})))
        return hosts[-1]

    yield made
    for one in hosts:
        one.close()


@pytest.fixture
def probing(clock):
    """Start probes over providers; they are stopped, and their threads seen to end, after the test."""
    running = []

    def started(*providers, period_s=60.0, **more):
        breakers = {provider.name: Breaker(provider.name, clock=clock) for provider in providers}
        probes = Probes(
            {provider.name: provider for provider in providers}, breakers, period_s, clock, **more
        )
        probes.breakers = breakers
        before = set(threading.enumerate())
        probes.start()
        running.append((probes, set(threading.enumerate()) - before))
        return probes

    yield started
    for probes, threads in running:
        probes.stop()
        for thread in threads:
            if thread.name.startswith("probe-"):
                thread.join(HANG_GUARD_S)
                assert not thread.is_alive()


OLLAMA = {
    "/api/version": (200, {"version": "0.12.6"}),
    "/models": (200, {"data": []}),
    "/chat/completions": (200, TOKEN),
}
TIMEOUTS = Timeouts(connect_s=5, first_byte_s=HANG_GUARD_S)


def at(host_or_url, name="p", **settings):
    url = host_or_url if isinstance(host_or_url, str) else host_or_url.url
    return OpenAIProvider(
        name, Settings(**{"kind": "openai", "model": "m", "base_url": url, "timeouts": TIMEOUTS, **settings})
    )


def embedded(tmp_path, engine, **settings):
    report(tmp_path / "local.json", engine)
    return EmbeddedProvider(
        "local",
        Settings(**{"kind": "mlx", "model": "builtin", "timeouts": TIMEOUTS, **settings}),
        tmp_path / "local.json",
    )


def known(probes, name="p"):
    """What is known of a provider once it has been asked now."""
    return probes.fresh(HANG_GUARD_S)[name]


# How each kind is asked.


def test_a_provider_is_asked_for_its_models_at_once(host, probing):
    server = host()

    probes = probing(at(server, api_key="secret"))

    server.wait_asked("/v1/models")
    entry = known(probes)
    assert entry.pop("last_check").startswith("20")
    assert entry.pop("latency_ms") >= 0
    assert entry == {"available": True, "breaker": "closed", "consecutive_failures": 0, "reason": None}
    assert server.headers[-1]["Authorization"] == "Bearer secret"
    assert "/v1/chat/completions" not in server.requests


def test_its_health_path_is_asked_where_one_is_set(host, probing):
    server = host({**OLLAMA, "/health": (200, {})})

    known(probing(at(server, health_path="/health")))

    assert "/v1/health" in server.requests
    assert {"/v1/models", "/v1/chat/completions"}.isdisjoint(server.requests)


def test_a_server_without_a_list_of_models_is_well_nevertheless(host, probing):
    assert known(probing(at(host({"/x": REFUSAL}))))["available"]


def test_a_health_path_that_is_not_there_is_a_failure(host, probing):
    entry = known(probing(at(host(), health_path="/nowhere")))

    assert (entry["available"], entry["reason"]) == (False, "answered 404")


def test_an_ollama_at_home_has_to_produce_a_token(host, probing):
    server = host(OLLAMA)

    entry = known(probing(at(server)))

    assert entry["available"]
    assert "/v1/chat/completions" in server.requests
    assert "/v1/models" not in server.requests


def test_an_ollama_whose_model_is_stuck_is_not_available_although_it_listens(host, probing):
    server = host({**OLLAMA, "/chat/completions": "silent"})

    probes = probing(at(server, timeouts=replace(TIMEOUTS, first_byte_s=0.2)))

    entry = known(probes)
    assert (entry["available"], entry["breaker"], entry["reason"]) == (
        False,
        "open",
        "it stayed silent too long",
    )


def test_an_ollama_without_the_model_is_not_available(host, probing):
    entry = known(
        probing(
            at(host({**OLLAMA, "/chat/completions": (404, {"error": {"message": "model 'm' not found"}})}))
        )
    )

    assert (entry["available"], entry["reason"]) == (False, "does not have its model")


def test_a_model_for_embeddings_is_well_although_it_does_not_chat(host, probing):
    server = host({**OLLAMA, "/chat/completions": REFUSAL})
    probes = probing(at(server))
    assert not known(probes)["available"]

    server.paths["/chat/completions"] = (400, {"error": {"message": "does not support chat"}})

    assert known(probes)["available"]


@pytest.mark.parametrize(
    "settings",
    [{"model": "gpt-oss:120b-cloud"}, {"model": "gemma4:cloud"}, {"prices": Prices(input=0.2, output=0.5)}],
    ids=lambda one: next(iter(one)),
)
def test_what_costs_money_is_never_asked_for_a_token(host, probing, settings):
    server = host(OLLAMA)

    assert known(probing(at(server, **settings)))["available"]

    assert "/v1/chat/completions" not in server.requests


def test_a_server_at_a_public_address_is_not_at_home():
    assert [
        is_at_home(host)
        for host in ("127.0.0.1", "192.168.1.7", "100.64.0.9", "fd00::7", "8.8.8.8", "2606:4700::1")
    ] == [True] * 4 + [False] * 2


def test_a_server_behind_a_gateway_that_is_still_down_is_recognised_later(host, probing, clock):
    server = host({**OLLAMA, "/api/version": REFUSAL})
    probes = probing(at(server))
    known(probes)

    server.paths["/api/version"] = OLLAMA["/api/version"]
    known(probes)

    assert "/v1/chat/completions" in server.requests


def test_a_model_that_ollama_has_put_away_is_not_loaded_each_minute(host, probing, clock):
    server = host({**OLLAMA, "/api/ps": (200, {"models": [{"model": "another:latest"}]})})
    probes = probing(at(server), period_s=PERIOD_S)
    known(probes)
    tokens = server.requests.count("/v1/chat/completions")

    clock.passes(2 * PERIOD_S)

    server.wait_asked("/v1/models")
    assert server.requests.count("/v1/chat/completions") == tokens


def test_a_model_that_ollama_has_in_memory_is_asked_for_a_token_each_time(host, probing, clock):
    server = host({**OLLAMA, "/api/ps": (200, {"models": [{"model": "m:latest"}]})})
    probes = probing(at(server), period_s=PERIOD_S)
    known(probes)
    tokens = server.requests.count("/v1/chat/completions")
    looks = server.requests.count("/api/ps")

    clock.passes(2 * PERIOD_S)

    server.wait_asked("/v1/chat/completions", tokens + 1)
    assert server.requests.count("/api/ps") == looks + 1


def test_the_embedded_engine_has_to_produce_a_token(host, probing, tmp_path):
    server = host()

    probes = probing(embedded(tmp_path, Engine(READY, server.url, 1)))

    assert known(probes, "local")["available"]
    assert set(server.requests) == {"/v1/chat/completions"}


def test_an_engine_that_is_down_is_not_available_and_why_is_told(probing, tmp_path):
    probes = probing(embedded(tmp_path, Engine(DOWN, reason="out of memory")))

    assert known(probes, "local")["reason"] == "the engine is down: out of memory"


def test_an_engine_that_starts_is_neither_well_nor_skipped_until_it_has_started(host, probing, tmp_path):
    server = host()
    probes = probing(embedded(tmp_path, Engine(STARTING)))
    assert probes.snapshot()["local"]["available"] is None
    assert probes.breakers["local"].allows()

    report(tmp_path / "local.json", Engine(READY, server.url, 1))

    assert known(probes, "local")["available"]


def test_disabled_providers_are_left_alone(probing):
    probes = probing(at("", name="off"))

    assert probes.snapshot() == {}
    probes.trigger("off")


# When they ask.


def test_it_asks_again_when_the_period_has_passed(host, probing, clock):
    server = host()
    probes = probing(at(server), period_s=PERIOD_S)
    known(probes)
    asked = server.requests.count("/v1/models")

    clock.passes(2 * PERIOD_S)

    server.wait_asked("/v1/models", asked + 1)


def test_after_a_failure_it_asks_at_once(host, probing, clock):
    server = host()
    probes = probing(at(server))
    known(probes)
    asked = server.requests.count("/v1/models")
    clock.passes(PAUSE_S)

    probes.trigger("p")

    server.wait_asked("/v1/models", asked + 1)


def test_once_it_has_asked_the_period_is_as_long_as_before(host, probing, clock):
    probes = probing(at(host()))
    clock.passes(PAUSE_S)

    probes.trigger("p")
    known(probes)

    assert probes._probers["p"]._left_s() == 60


def test_however_many_fail_at_once_it_asks_once_more(host, probing, clock):
    server = host()
    probes = probing(at(server))
    known(probes)
    asked = server.requests.count("/v1/models")
    clock.passes(PAUSE_S)

    for _ in range(100):
        probes.trigger("p")
    server.wait_asked("/v1/models", asked + 1)
    known(probes)

    assert server.requests.count("/v1/models") == asked + 2  # the last one is that of known()


def test_an_engine_whose_calls_succeed_is_not_asked_for_a_token_on_top(host, clock, tmp_path):
    server = host()
    breaker = Breaker("local", clock=clock)
    prober = Prober(embedded(tmp_path, Engine(READY, server.url, 1)), breaker, 60, clock, busy=lambda: False)

    breaker.begin().succeeded()
    clock.passes(59)
    prober.probe(wanted=False)
    assert not server.requests
    assert prober.snapshot()["available"]

    clock.passes(1)
    prober.probe(wanted=False)
    assert len(server.requests) == 1


def test_an_engine_that_is_busy_is_asked_for_a_token_only_when_somebody_wants_to_know(host, clock, tmp_path):
    server = host()
    prober = Prober(
        embedded(tmp_path, Engine(READY, server.url, 1)),
        Breaker("local", clock=clock),
        60,
        clock,
        busy=lambda: True,
    )

    prober.probe(wanted=False)
    assert not server.requests

    prober.probe(wanted=True)
    assert len(server.requests) == 1


def test_an_engine_that_is_silent_while_it_is_busy_is_not_taken_for_dead(host, probing, tmp_path):
    server = host({"/chat/completions": "silent"})
    provider = embedded(tmp_path, Engine(READY, server.url, 1), timeouts=replace(TIMEOUTS, first_byte_s=0.1))

    probes = probing(provider, busy=lambda name: name == "local")
    known(probes, "local")

    assert probes.breakers["local"].allows()
    assert server.requests


# What comes of it.


def test_one_that_does_not_answer_is_down_and_chains_skip_it(probing):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        probes = probing(at(f"http://127.0.0.1:{unused.getsockname()[1]}/v1"))

        entry = known(probes)

    assert (entry["available"], entry["breaker"], entry["reason"]) == (False, "open", "connection refused")
    assert not probes.breakers["p"].allows()


def test_one_that_is_back_is_let_in_again_by_its_probe(host, probing, clock):
    server = host({"/models": REFUSAL})
    probes = probing(at(server))
    assert known(probes)["reason"] == "answered 503"

    server.paths["/models"] = (200, {"data": []})
    clock.passes(60)

    assert known(probes)["breaker"] == "closed"
    assert probes.breakers["p"].allows()


def test_one_that_is_down_is_asked_again_at_the_end_of_its_rest(host, clock):
    prober = Prober(at(host({"/models": REFUSAL})), Breaker("p", clock=clock), 60, clock, busy=lambda: False)
    thread = threading.Thread(target=prober.run)
    thread.start()
    assert prober.wait_answered(prober.request(), HANG_GUARD_S)

    left_s = prober._left_s()
    prober.stop()
    thread.join(HANG_GUARD_S)

    assert 0 < left_s <= 10


def test_a_refused_key_is_the_owner_s_to_mend(host, probing):
    probes = probing(at(host({"/models": (401, {"error": {"message": "bad key sk-secret"}})})))

    entry = known(probes)

    assert entry["reason"] == "misconfigured: answered 401, is its key right?"
    assert not probes.breakers["p"].allows()


def test_a_ping_that_is_rate_limited_says_nothing_against_the_provider(host, probing):
    assert known(probing(at(host({"/models": (429, {})}))))["available"]


def test_a_provider_that_asked_for_rest_is_left_in_peace(host, probing, clock):
    server = host()
    probes = probing(at(server))
    known(probes)
    asked = len(server.requests)
    probes.breakers["p"].begin().failed(UpstreamStatus(429, {}, "p"), retry_after_s=600)

    entry = known(probes)

    assert (entry["available"], entry["reason"]) == (False, "answered 429, asked for 600 s of rest")
    assert len(server.requests) == asked


# Falling silent.


def fallen_silent(server):
    server.paths.update({"/models": "silent", "/chat/completions": "silent"})


def test_one_that_falls_silent_is_unknown_until_it_counts_as_down(host, probing, clock):
    server = host()
    probes = probing(at(server))
    known(probes)
    fallen_silent(server)

    first = probes.refresh(0.0)["p"]
    clock.passes(SILENT_S / 2)
    second = probes.refresh(0.0)["p"]
    clock.passes(SILENT_S / 2)
    third = probes.refresh(0.0)["p"]

    assert [(entry["available"], entry["reason"]) for entry in (first, second, third)] == [
        (None, "no answer for 0.3 s"),
        (None, "no answer for 1.0 s"),
        (False, "no answer for 2 s"),
    ]


def test_one_that_was_silent_is_probed_again_at_once_and_then_left_alone(host, probing, monkeypatch):
    def silent(check, wanted):
        raise HeadTimeout("it stayed silent too long")

    monkeypatch.setattr(Check, "run", silent)
    monkeypatch.setattr(prober, "PAUSE_S", 0.0)

    probes = probing(at(host()), period_s=3600.0)

    await_that(lambda: not probes.breakers["p"].available, "calls still go to a server that is silent")


def test_one_that_answers_at_once_is_well_however_often_it_is_asked(host, probing):
    probes = probing(at(host()))
    known(probes)

    assert {probes.refresh(0.0)["p"]["available"] for _ in range(20)} == {True}


def test_one_that_usually_takes_its_time_is_not_doubted_before_that(host, probing, clock):
    server = host()
    probes = probing(at(server))
    known(probes)
    probes._probers["p"]._took_s.extend([0.3] * 5)
    fallen_silent(server)

    at_once = probes.refresh(0.0)["p"]
    server.wait_asked("/v1/models", 3)
    clock.passes(0.8)
    in_time = probes.snapshot()["p"]
    clock.passes(0.15)
    late = probes.snapshot()["p"]

    assert [entry["available"] for entry in (at_once, in_time, late)] == [True, True, None]


def test_one_that_is_silent_while_it_is_busy_is_unknown_until_a_call_brings_something(host, probing, clock):
    server, unheard_s = host(), [60.0]
    probes = probing(at(server), busy=lambda name: True, unheard_s=lambda name: unheard_s[0])
    known(probes)
    fallen_silent(server)

    silent = probes.refresh(0.0)["p"]
    server.wait_asked("/v1/models", 3)
    clock.passes(10)
    still = probes.refresh(0.0)["p"]
    unheard_s[0] = 0.1
    heard = probes.refresh(0.0)["p"]

    assert (silent["available"], still["available"], heard["available"]) == (None, None, True)
    assert still["reason"] == "no answer for 10 s, with calls under way"
    assert probes.breakers["p"].allows()


def test_the_log_has_one_line_for_everybody_each_period(host, probing, caplog):
    caplog.set_level(logging.INFO, "upstream.probes")

    probing(at(host()), at(host({"/models": REFUSAL}), name="my server"), period_s=0.05)
    lines = await_that(
        lambda: [one for one in caplog.records if one.name == "upstream.probes"][1:], "no more"
    )

    assert lines[0].getMessage() == "Probes:"
    assert lines[0].fields == {
        "p": "healthy",
        "my_server": "unhealthy (answered 503)",
        "period_s": "0.05",
    }


# Black holes.


def test_black_holes_hold_up_neither_the_others_nor_those_who_only_look(host, probing):
    holes = [host({"/models": "silent", "/api/version": "silent"}) for _ in range(3)]
    probes = probing(
        at(host(), name="well"), *(at(hole, name=f"hole{index}") for index, hole in enumerate(holes))
    )
    for hole in holes:
        hole.wait_asked("/api/version")

    snapshot = probes.fresh(0.2)

    assert snapshot["well"]["available"]
    assert [snapshot[f"hole{index}"]["reason"] for index in range(3)] == ["no answer within 0.2 s"] * 3
    assert not any(snapshot[f"hole{index}"]["available"] for index in range(3))
    assert probes.snapshot()["hole0"]["available"] is None


def test_however_often_somebody_asks_there_is_one_thread_and_one_question_per_provider(host, probing):
    hole = host({"/api/version": "silent"})
    probes = probing(at(hole))
    hole.wait_asked("/api/version")
    before = set(threading.enumerate())

    with ThreadPoolExecutor(20) as callers:
        for future in [callers.submit(probes.fresh, 0.05) for _ in range(20)]:
            assert future.result(HANG_GUARD_S)["p"]["reason"] == "no answer within 0.05 s"
        for _ in range(100):
            probes.trigger("p")

    assert set(threading.enumerate()) - before == set()
    assert hole.requests == ["/api/version"]


def test_all_who_ask_while_a_probe_is_under_way_share_the_next_one(host, probing):
    server = host({"/models": (200, {}), "/api/version": "silent"})
    prober = probing(at(server))._probers["p"]
    server.wait_asked("/api/version")

    asked = [prober.request() for _ in range(10)]
    server.paths["/api/version"] = (200, {})
    server.release.set()

    assert all(prober.wait_answered(number, HANG_GUARD_S) for number in asked)
    assert server.requests == ["/api/version", "/api/version", "/v1/models"]  # the first one broke off


def test_stopping_hangs_up_on_a_black_hole_and_counts_against_nobody(host, probing):
    hole = host({"/api/version": "silent"})
    probes = probing(at(hole))
    hole.wait_asked("/api/version")

    probes.stop()

    probes.fresh(HANG_GUARD_S)  # does not wait for a thread that has ended
    for thread in threading.enumerate():
        if thread.name == "probe-p":
            thread.join(HANG_GUARD_S)
    assert probes.breakers["p"].snapshot()["consecutive_failures"] == 0
