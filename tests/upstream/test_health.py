"""/health asks everybody at once and waits for nobody beyond its limit.

/livez, /metrics and the model list touch nobody.
"""

import http.client
import queue
import re
import threading
import time

import pytest
import requests

from providers import OpenAIProvider
from routing.classifier import Classifier, MlxClassifier
from routing.router import Router
from settings import model as settings_of
from tests.support.black_hole import BlackHole
from tests.support.server import HANG_GUARD_S, Server
from upstream import health
from upstream.probes import Probes


def get(server, path):
    return requests.get(server.url + path, timeout=HANG_GUARD_S)


def config_of(**urls):
    """Providers by name and address; the first is the primary, the last is the classifier's."""
    *names, judge = urls
    return {
        "classifier": {"backend": "openai", "base_url": urls[judge], "model": "judge", "timeout_ms": 500},
        "decisions": dict.fromkeys(settings_of.DECISIONS, "primary"),
        "providers": {name: {"kind": "openai", "base_url": urls[name], "model": name} for name in names},
        "routes": {"primary": {"chain": names[:1]}},
    }


@pytest.fixture
def server_of(tmp_path):
    """Starts a Headstart over given addresses, and stops it."""
    started = []

    def start(**urls):
        started.append(Server(tmp_path, config_of(**urls)).wait_until_up())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def holes():
    """Makes black holes, and closes them."""
    made = []

    def make(**kwargs):
        made.append(BlackHole(**kwargs))
        return made[-1]

    yield make
    for hole in made:
        hole.close()


GONE = "http://127.0.0.1:1/v1"


def test_all_up_is_healthy(headstart):
    reply = get(headstart, "/health")

    report = reply.json()
    assert reply.status_code == 200
    assert list(report) == [
        "status",
        "duration_ms",
        "config",
        "decisions",
        "providers",
        "classifier",
        "version",
    ]
    assert (report["status"], report["classifier"]["status"]) == ("healthy", "healthy")
    assert {name: entry["status"] for name, entry in report["providers"].items()} == {
        "main": "healthy", "backup": "healthy", "cloud": "healthy", "off": "disabled",
    }  # fmt: skip
    assert report["providers"]["off"] == {
        "status": "disabled",
        "latency_ms": None,
        "error": "base_url is not set",
    }
    watched = {
        "status",
        "model",
        "latency_ms",
        "error",
        "available",
        "last_check",
        "breaker",
        "consecutive_failures",
        "reason",
    }
    assert all(set(entry) == watched for name, entry in report["providers"].items() if name != "off")
    assert isinstance(report["providers"]["main"]["latency_ms"], int)


def test_one_down_is_degraded_and_named(server_of, upstreams):
    server = server_of(main=upstreams["primary"].url, other=GONE, judge=upstreams["judge"].url)

    reply = get(server, "/health")

    assert reply.status_code == 200
    assert reply.json()["status"] == "degraded"
    assert reply.json()["providers"]["other"]["error"] == "connection refused"


def test_a_classifier_that_is_down_is_degraded(server_of, upstreams):
    server = server_of(main=upstreams["primary"].url, judge=GONE)

    report = get(server, "/health").json()

    assert (report["status"], report["classifier"]["status"]) == ("degraded", "unhealthy")
    assert server.chat().status_code == 200


def test_a_primary_that_is_down_is_unhealthy(server_of, upstreams):
    server = server_of(main=GONE, other=upstreams["cloud"].url, judge=upstreams["judge"].url)

    reply = get(server, "/health")

    assert reply.status_code == 503
    assert reply.json()["status"] == "unhealthy"
    assert reply.json()["providers"]["other"]["status"] == "healthy"


def test_all_down_is_told_at_once(server_of):
    server = server_of(main=GONE, other=GONE, judge=GONE)

    reply = get(server, "/health")

    assert reply.status_code == 503
    assert [
        entry["status"] for entry in [*reply.json()["providers"].values(), reply.json()["classifier"]]
    ] == ["unhealthy"] * 3


def test_a_server_that_answers_with_an_error_is_down(server_of, upstreams):
    server = server_of(
        main=f"{upstreams['primary'].url}/", other=upstreams["cloud"].url, judge=upstreams["judge"].url
    )
    upstreams["cloud"].probes(500)

    report = get(server, "/health").json()

    assert report["status"] == "degraded"
    assert report["providers"]["other"]["error"] == "answered 500"


def test_black_holes_are_told_within_one_limit_while_chats_go_on_and_probes_are_shared(
    server_of, upstreams, holes
):
    silent, mute, third, fourth = holes(), holes(mute=True), holes(), holes(mute=True)
    server = server_of(
        main=upstreams["primary"].url,
        silent=silent.url,
        mute=mute.url,
        third=third.url,
        fourth=fourth.url,
        judge=upstreams["judge"].url,
    )
    upstreams["judge"].streams("MODERATE")
    reports = queue.Queue()

    def check():
        reply = get(server, "/health")
        reports.put((time.monotonic(), reply))

    threading.Thread(target=check, daemon=True).start()
    asked = silent.taken.get(timeout=HANG_GUARD_S)
    begun = time.monotonic()
    for _ in range(3):
        threading.Thread(target=check, daemon=True).start()
    chats = [server.chat() for _ in range(5)]
    unfinished = reports.empty()

    answers = [reports.get(timeout=HANG_GUARD_S) for _ in range(4)]
    assert [chat.status_code for chat in chats] == [200] * 5
    assert unfinished, "the chats were to be answered while the check was still waiting"
    assert all(at - begun < health.CHECK_S + 2 for at, _ in answers)
    report = answers[0][1].json()
    assert {name: entry["status"] for name, entry in report["providers"].items()} == {
        "main": "healthy",
        **dict.fromkeys(("silent", "mute", "third", "fourth"), "unhealthy"),
    }
    assert health.CHECK_S * 1000 - 50 <= report["duration_ms"] < health.CHECK_S * 1000 + 2000
    assert silent.taken.qsize() <= 1, (
        "four callers, one question at a time: a second one when the first has been given up"
    )
    read_to_end(asked)


def read_to_end(sock):
    """The caller has hung up: all that is left can be read."""
    sock.settimeout(HANG_GUARD_S)
    while sock.recv(65536):
        pass


def test_a_backend_that_drips_is_hung_up_on(holes):
    hole = holes()
    provider = OpenAIProvider("drip", settings_of.Provider("openai", model="m", base_url=hole.url))
    checks = health.Health(["drip"], {"drip": provider}, Healthy(), watching(provider))
    reports = queue.Queue()
    threading.Thread(target=lambda: reports.put(checks.report()), daemon=True).start()
    sock = hole.taken.get(timeout=HANG_GUARD_S)
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    hung_up = threading.Event()

    def drip():
        try:
            while not hung_up.wait(0.2):
                sock.sendall(b"X-Drip: 1\r\n")
        except OSError:
            hung_up.set()

    threading.Thread(target=drip, daemon=True).start()

    assert reports.get(timeout=HANG_GUARD_S)["providers"]["drip"]["error"] == "no answer within 5 s"
    assert hung_up.wait(HANG_GUARD_S)


def watching(provider):
    probes = Probes({"drip": provider}, {"drip": provider.breaker})
    probes.start()
    return probes


class Healthy:
    def health(self, timeout_s, line):
        return {"status": "healthy", "latency_ms": 0, "error": None}


def settings_of_one(**routes):
    routes = routes or {"primary": settings_of.Route(chain=["drip"])}
    return settings_of.Config(
        decisions=dict.fromkeys(settings_of.DECISIONS, next(iter(routes))), routes=routes
    )


def test_a_classifier_that_cannot_even_be_asked_costs_the_others_nothing(upstreams):
    class Odd:
        def health(self, timeout_s, line):
            raise KeyError("odd")

    provider = OpenAIProvider(
        "drip", settings_of.Provider("openai", model="m", base_url=upstreams["primary"].url)
    )

    report = health.Health(["drip"], {"drip": provider}, Odd(), watching(provider)).report()

    assert report["classifier"] == {
        "status": "unhealthy",
        "latency_ms": None,
        "error": "KeyError while asking",
    }
    assert report["providers"]["drip"]["status"] == "healthy"


def test_who_falls_silent_is_unknown_at_first_and_what_is_asked_anew_is_waited_for(server_of, upstreams):
    server = server_of(
        main=upstreams["primary"].url, other=upstreams["cloud"].url, judge=upstreams["judge"].url
    )
    get(server, "/health")
    upstreams["cloud"].probes("stall")

    silent = get(server, "/health").json()
    asked = get(server, "/health?fresh=1").json()
    after = get(server, "/health").json()

    assert (silent["status"], silent["providers"]["other"]["status"]) == ("degraded", "unknown")
    assert re.fullmatch(r"no answer for 0\.\d+ s", silent["providers"]["other"]["error"])
    assert asked["providers"]["other"]["error"] == "no answer within 5 s"
    assert after["providers"]["other"]["status"] == "unhealthy"


def test_a_primary_route_that_is_an_enriched_one_is_judged_by_who_answers(upstreams):
    provider = OpenAIProvider(
        "drip", settings_of.Provider("openai", model="m", base_url=upstreams["primary"].url)
    )
    routes = {
        "searched": settings_of.Route(context="drip", answer="plain"),
        "plain": settings_of.Route(chain=["drip"]),
    }

    report = health.Health(
        Router(settings_of_one(**routes)).primary.chain, {"drip": provider}, Healthy(), watching(provider)
    ).report()

    assert report["status"] == "healthy"


def test_a_broken_embedded_classifier_is_degraded(upstreams):
    def load():
        raise FileNotFoundError("no weights")

    provider = OpenAIProvider(
        "drip", settings_of.Provider("openai", model="m", base_url=upstreams["primary"].url)
    )
    classifier = Classifier(settings_of.Classifier(), MlxClassifier(load))

    report = health.Health(["drip"], {"drip": provider}, classifier, watching(provider)).report()

    assert report["status"] == "degraded"
    assert report["classifier"]["error"] == "the model could not be loaded: no weights"


# What touches nobody.


def test_livez_and_the_models_are_told_while_every_backend_is_a_black_hole(server_of, holes):
    server = server_of(main=holes().url, other=holes(mute=True).url, judge=holes().url)

    assert get(server, "/livez").text == "ok\n"
    assert [model["id"] for model in get(server, "/v1/models").json()["data"]] == [
        "auto",
        "primary",
        "main",
        "other",
    ]


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_model_list_is_auto_then_routes_then_models(headstart, upstreams, path):
    listed = get(headstart, path).json()

    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [
        "auto",
        "primary",
        "cloud",
        "xai",
        "enrich",
        "p-model",
        "b-model",
        "c-model",
    ]
    for model in listed["data"]:
        assert isinstance(model["created"], int)
        assert model["object"] == "model"
        assert isinstance(model["owned_by"], str)


def test_a_model_is_told_by_its_name(headstart):
    assert get(headstart, "/v1/models/auto").json()["id"] == "auto"
    assert get(headstart, "/v1/models/p-model").json()["owned_by"] == "main"


@pytest.mark.parametrize("name", ["never", "meta", "nobody", "auto/", "p-model/x", "AUTO", "%00"])
def test_a_model_that_is_not_there_is_a_404(headstart, name):
    reply = get(headstart, f"/v1/models/{name}")

    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (404, "model", "model_not_found")


def test_models_with_slashes_and_models_of_two_providers(tmp_path, upstreams):
    config = config_of(
        main=upstreams["primary"].url,
        other=upstreams["cloud"].url,
        third=upstreams["backup"].url,
        judge=upstreams["judge"].url,
    )
    for name, model in (("main", "org/model:7b"), ("other", "org/model:7b"), ("third", "auto")):
        config["providers"][name]["model"] = model
    server = Server(tmp_path, config).wait_until_up()
    try:
        listed = [model["id"] for model in get(server, "/v1/models").json()["data"]]
        plain, escaped = (
            get(server, f"/v1/models/{name}").json() for name in ("org/model:7b", "org%2Fmodel%3A7b")
        )
    finally:
        server.stop()

    assert listed == ["auto", "primary", "org/model:7b"]
    assert plain["id"] == escaped["id"] == "org/model:7b"


def test_head_is_answered_like_get_without_a_body(headstart):
    connection = http.client.HTTPConnection("127.0.0.1", headstart.port, timeout=HANG_GUARD_S)
    for path in ("/livez", "/v1/models"):
        connection.request("HEAD", path)
        response = connection.getresponse()

        assert (response.status, response.read()) == (200, b"")
    connection.close()


def test_the_metrics_count_requests_by_how_they_went(headstart, judge):
    counter = re.compile(
        r'^headstart_requests_total\{decision="MODERATE",provider="main",route="primary",status="200"\} '
        r"([\d.]+)$",
        re.M,
    )
    headstart.request_line(headstart.chat().headers["X-Session-Id"])
    before = counter.search(get(headstart, "/metrics").text)

    headstart.request_line(headstart.chat(stream=True).headers["X-Session-Id"])
    headstart.request_line(headstart.post("/v1/chat/completions", {}).headers["X-Session-Id"])

    reply = get(headstart, "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert float(counter.search(reply.text)[1]) == float(before[1]) + 1
    assert re.search(
        r'^headstart_requests_total\{decision="none",provider="none",route="none",status="400"\} ',
        reply.text,
        re.M,
    )
    assert re.search(r'^headstart_speculations_total\{outcome="adopted"\} [1-9]', reply.text, re.M)
    assert re.search(r'^headstart_ttft_seconds_count\{route="primary"\} [1-9]', reply.text, re.M)
    assert re.search(r"^headstart_requests_in_flight 0\.0$", reply.text, re.M)
