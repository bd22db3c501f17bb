"""Every way a provider can fail, and what is seen of it.

It is seen by the client, in /health, in the ledger, in app.log and in the session file. Each failure meets a
chain of two and a chain of one, streamed and not, at providers of its own: what one test breaks does not rest
in the next.
`python -m tests.proxy.test_failures` prints what was seen as a Markdown table.
"""

import re
import ssl
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.support.fake_upstream import FakeUpstream
from tests.support.ledger import booked
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, ROOT, Server, sse_events, streamed_text

LOOPBACK_CERTIFICATE = ROOT / "tests/support/loopback.pem"
# Longer than any name in the DNS may be: the resolver says that it does not exist without asking anybody.
NO_SUCH_NAME = ".".join(["no-such-name-" * 4] * 6) + ".invalid"
GENEROUS = {"connect_s": 5, "first_byte_s": HANG_GUARD_S, "idle_s": HANG_GUARD_S}
HURRIED = {"connect_s": 5, "first_byte_s": 1.0, "idle_s": 0.5}
TEXT = "hello there"
MODES = ("whole", "streamed")


@dataclass(frozen=True)
class Failure:
    """One way to fail.

    reason: as the list of what was tried has it. breaker: (state, reason) in /health. error: its class, and
    status: both as app.log has them. degraded: as X-Degraded has it. after_head: it fails when the client's
    answer has begun. alone: the status of a chain of one. used: (input, output tokens) in the ledger.
    """

    told: str
    reason: str
    error: str
    breaks: object = None
    status: str = "-"
    alone: int = 503
    after_head: bool = False
    degraded: str = ""
    breaker: tuple = ("closed", None)
    used: tuple = (0, 0)
    timeouts: dict = field(default_factory=lambda: GENEROUS)
    url: object = None  # from the upstream to the address that is configured; such a provider was never well
    tls: bool = False


def is_switched_off(upstream):
    upstream.drops_kept_connections()
    upstream.close()


BROKE_OFF = "provider '{provider}' closed the connection before the answer was complete"
FAILURES = {
    "refused": Failure(
        "refused connection",
        "connection refused",
        "ConnectFailed",
        is_switched_off,
        breaker=("open", "connection refused"),
        degraded="unreachable",
    ),
    "dns": Failure(
        "name that does not exist",
        "its name could not be resolved",
        "ConnectFailed",
        breaker=("open", "its name could not be resolved"),
        url=lambda upstream: f"http://{NO_SUCH_NAME}/v1",
        degraded="unreachable",
    ),
    "black-hole": Failure(
        "black hole: accepts, never answers",
        "it stayed silent too long",
        "HeadTimeout",
        FakeUpstream.ignores_connections,
        used=(3, 0),
        timeouts=HURRIED,
        degraded="too slow",
    ),
    "tls-plain": Failure(
        "TLS error: https to a plain port",
        "the TLS handshake failed",
        "ConnectFailed",
        breaker=("open", "the TLS handshake failed"),
        url=lambda upstream: f"https://127.0.0.1:{upstream.port}/v1",
        degraded="unreachable",
    ),
    "tls-wrong": Failure(
        "TLS error: a certificate nobody trusts",
        "the TLS handshake failed",
        "ConnectFailed",
        breaker=("open", "the TLS handshake failed"),
        url=lambda upstream: upstream.url,
        tls=True,
        degraded="unreachable",
    ),
    "401": Failure(
        "401",
        "no such key",
        "UpstreamStatus",
        lambda upstream: upstream.refuses(401, "no such key"),
        status="401",
        breaker=("open", "misconfigured: answered 401, is its key right?"),
        degraded="answered 401",
    ),
    "429": Failure(
        "429 with Retry-After: 600",
        "slow down",
        "UpstreamStatus",
        lambda upstream: upstream.refuses(429, "slow down", headers={"Retry-After": "600"}),
        status="429",
        alone=429,
        breaker=("open", "answered 429, asked for 600 s of rest"),
        degraded="answered 429",
    ),
    "500": Failure(
        "500",
        "out of memory",
        "UpstreamStatus",
        lambda upstream: upstream.refuses(500, "out of memory"),
        status="500",
        degraded="answered 500",
    ),
    "slow": Failure(
        "slow first byte: headers and a role, then nothing",
        "it stayed silent too long",
        "HeadTimeout",
        lambda upstream: upstream.runs(("role",), ("stall",)),
        status="200",
        used=(3, 0),
        timeouts=HURRIED,
        degraded="too slow",
    ),
    "stall": Failure(
        "stall in mid-stream",
        "provider '{provider}' stayed silent too long",
        "HeadTimeout",
        lambda upstream: upstream.runs(("token", "forty"), ("stall",)),
        status="200",
        alone=504,
        after_head=True,
        used=(3, 1),
        timeouts={**HURRIED, "first_byte_s": HANG_GUARD_S},
    ),
    "cut": Failure(
        "cut in mid-stream",
        BROKE_OFF,
        "StreamBroken",
        lambda upstream: upstream.runs(("token", "forty"), ("cut",)),
        status="200",
        alone=502,
        after_head=True,
        used=(3, 1),
    ),
    "garbage": Failure(
        "garbage JSON",
        "it sent something that is no completion",
        "StreamBroken",
        lambda upstream: upstream.runs(("raw", b'data: {"choices": [{"del\n\n')),
        status="200",
        used=(3, 0),
        degraded="broke off its answer",
    ),
    "truncated": Failure(
        "truncated SSE: a clean end without finish_reason and [DONE]",
        "provider '{provider}' broke off its answer",
        "StreamBroken",
        lambda upstream: upstream.runs(("token", "forty"), ("close",)),
        status="200",
        alone=502,
        after_head=True,
        used=(3, 1),
    ),
}
BEFORE_HEAD = [name for name, failure in FAILURES.items() if not failure.after_head]
AFTER_HEAD = [name for name, failure in FAILURES.items() if failure.after_head]


@dataclass
class Seen:
    """What one request showed of one failure at the provider `provider`."""

    provider: str
    reply: object
    session: dict
    line: dict  # the REQUEST line
    failed: str  # the line of the failed call
    rows: dict  # the ledger's, by provider


class Scene:
    """Two Headstarts whose providers fail as scripted.

    The providers of one were well at first, those of the other never were.
    """

    def __init__(self, folder):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LOOPBACK_CERTIFICATE)
        self.upstreams = {
            name: FakeUpstream(name, tls=context if failure.tls else None)
            for name, failure in FAILURES.items()
        }
        self.resting = FakeUpstream("resting")
        self.next = FakeUpstream("next")
        self.next.streams("I am", " here")
        self._seen = {}
        self._health = {}
        self._folder = folder
        self.servers = []

    def start(self):
        # A provider that was well rests long after it has failed, so that it is found as its failure left it.
        # One that never was well is tried again and again.
        self._well = self._serve(
            "well", [name for name, failure in FAILURES.items() if not failure.url], rest_s=600
        )
        self._ill = self._serve(
            "ill", [name for name, failure in FAILURES.items() if failure.url], rest_s=0.1
        )
        known = (
            requests.get(self._well.url + "/health", params={"fresh": 1}, timeout=HANG_GUARD_S)
            .json()["providers"]
            .values()
        )
        assert all(one["available"] for one in known if one["status"] != "disabled"), known
        return self

    def _serve(self, folder, names, rest_s):
        config = scripted_config(**dict.fromkeys(("primary", "backup", "cloud", "judge"), self.next))
        config["breaker"] = {"failures": 5, "first_rest_s": rest_s, "longest_rest_s": rest_s}
        for name in names:
            for mode in MODES:
                for at in ("first", "alone"):
                    config["providers"][f"{name}-{mode}-{at}"] = self._provider(
                        self.upstreams[name], FAILURES[name]
                    )
                config["routes"][f"{name}-{mode}"] = {"chain": [f"{name}-{mode}-first", "backup"]}
        config["providers"]["resting"] = {
            "kind": "openai",
            "base_url": self.resting.url,
            "model": "resting",
            "timeouts": GENEROUS,
        }
        config["routes"]["after-a-rest"] = {"chain": ["resting", "backup"]}
        path = self._folder / folder
        path.mkdir()
        self.servers.append(Server(path, config).wait_until_up())
        return self.servers[-1]

    @staticmethod
    def _provider(upstream, failure):
        url = failure.url(upstream) if failure.url else upstream.url
        return {
            "kind": "openai",
            "base_url": url,
            "model": "m",
            "api_key": "key-that-nobody-may-see",
            "timeouts": failure.timeouts,
        }

    def stop(self):
        for server in self.servers:
            server.stop()
        for upstream in (*self.upstreams.values(), self.resting, self.next):
            upstream.close()

    def server_of(self, name):
        return self._ill if FAILURES[name].url else self._well

    def seen(self, name, mode, at):
        """What a request showed that met this failure.

        at: "first" for a chain of two, "alone" for a chain of one.
        """
        if name not in self._seen:
            if FAILURES[name].breaks:
                FAILURES[name].breaks(self.upstreams[name])
            cases = [(mode, at) for mode in MODES for at in ("first", "alone")]
            with ThreadPoolExecutor(len(cases)) as together:  # most of them wait for a time-out
                self._seen[name] = dict(
                    zip(cases, together.map(lambda case: self._request(name, *case), cases), strict=True)
                )
            # Now and not when a test asks for it: later, probes have failed too and changed what it tells.
            self._health[name] = {case: self._entry(name, *case) for case in cases}
        return self._seen[name][mode, at]

    def _request(self, name, mode, at):
        server, provider = self.server_of(name), f"{name}-{mode}-{at}"
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            reply = server.chat(
                TEXT, model=provider if at == "alone" else f"{name}-{mode}", stream=mode == "streamed"
            )
            session = server.session(reply.headers["X-Session-Id"])
            if any(step["provider"] == provider for step in session["steps"]):
                return self._told(server, provider, reply, session)
        raise AssertionError(f"{provider} rested all the time")

    @staticmethod
    def _told(server, provider, reply, session):
        line = server.request_line(session["id"])
        failed = server.log_line(rf"Provider failed: .*session={session['id']} provider={provider} ")
        rows = {row["provider"]: row for row in booked(server, session["id"], len(session["steps"]))}
        return Seen(provider, reply, session, line, failed, rows)

    def health(self, name, mode, at):
        """The provider's entry in /health, taken as soon as its breaker was as this failure leaves it."""
        self.seen(name, mode, at)
        return self._health[name][mode, at]

    def _entry(self, name, mode, at):
        deadline = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < deadline:
            # Probed anew where it never was well: otherwise a probe may be under way at this very moment,
            # which is half-open.
            fresh = {"fresh": 1} if FAILURES[name].url else {}
            told = requests.get(
                self.server_of(name).url + "/health", params=fresh, timeout=HANG_GUARD_S
            ).json()
            entry = told["providers"][f"{name}-{mode}-{at}"]
            if entry["breaker"] == FAILURES[name].breaker[0]:
                break
            time.sleep(0.05)
        return entry


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("failures"))
    try:
        yield scene.start()
    finally:
        scene.stop()


def whole_text(reply):
    return reply.json()["choices"][0]["message"]["content"]


def text_of(reply, mode):
    return streamed_text(reply) if mode == "streamed" else whole_text(reply)


both = pytest.mark.parametrize("mode", MODES)
each = pytest.mark.parametrize("name", FAILURES)
each_before_head = pytest.mark.parametrize("name", BEFORE_HEAD)
each_after_head = pytest.mark.parametrize("name", AFTER_HEAD)


@both
@each_before_head
def test_the_next_of_the_chain_answers_as_if_nothing_had_happened(scene, name, mode):
    seen = scene.seen(name, mode, "first")

    assert (seen.reply.status_code, text_of(seen.reply, mode)) == (200, "I am here")
    assert (seen.reply.headers["X-Provider"], seen.line["provider"], seen.line["status"]) == (
        "backup",
        "backup",
        "200",
    )
    assert seen.session["error"] is None
    assert seen.session["steps"][0]["error"] == FAILURES[name].reason
    assert seen.reply.headers["X-Degraded"] == f"{seen.provider}: {FAILURES[name].degraded}"


@both
@pytest.mark.parametrize("name", [name for name in BEFORE_HEAD if FAILURES[name].alone == 503])
def test_with_nobody_else_to_ask_it_is_a_503_that_says_why(scene, name, mode):
    seen = scene.seen(name, mode, "alone")

    repair = {
        "ConnectFailed": f"; start the server of '{seen.provider}' or correct its address, "
        "`make health` tells more",
        "HeadTimeout": f"; see how the server of '{seen.provider}' is, `make health` tells more",
        "UpstreamStatus": f"; correct the key of '{seen.provider}'" if name in ("401", "403") else "",
    }
    assert seen.reply.status_code == 503
    assert seen.reply.json()["error"] == {
        "message": f"no provider of route '{seen.provider}' could answer "
        f"({seen.provider}: {FAILURES[name].reason}){repair.get(FAILURES[name].error, '')}",
        "type": "service_unavailable",
        "param": None,
        "code": "no_provider_available",
    }
    assert seen.line["status"] == "503"


@both
def test_a_429_with_nobody_else_to_ask_is_passed_back(scene, mode):
    seen = scene.seen("429", mode, "alone")

    assert seen.reply.status_code == 429
    assert seen.reply.json()["error"] == {
        "message": "slow down",
        "type": "scripted",
        "param": None,
        "code": None,
    }
    assert seen.reply.headers["Retry-After"] == "600"
    assert seen.line["status"] == "429"


@pytest.mark.parametrize("at", ["first", "alone"])
@each_after_head
def test_a_stream_that_fails_after_its_beginning_ends_with_an_error_and_nobody_else_is_asked(scene, name, at):
    seen = scene.seen(name, "streamed", at)

    *answered, failure, done = sse_events(seen.reply)
    assert (seen.reply.status_code, streamed_text(seen.reply)) == (200, "forty")
    assert failure["error"]["message"] == FAILURES[name].reason.format(provider=seen.provider)
    assert failure["error"]["type"] == "upstream_error"
    assert done == "[DONE]"
    assert not any(choice["finish_reason"] for chunk in answered for choice in chunk["choices"])
    assert (seen.reply.headers["X-Provider"], seen.line["status"]) == (
        seen.provider,
        str(FAILURES[name].alone),
    )
    assert list(seen.rows) == [seen.provider]


@pytest.mark.parametrize("at", ["first", "alone"])
@each_after_head
def test_half_an_answer_is_no_answer(scene, name, at):
    seen = scene.seen(name, "whole", at)

    assert seen.reply.status_code == FAILURES[name].alone
    assert seen.reply.json()["error"]["message"] == FAILURES[name].reason.format(provider=seen.provider)
    assert (seen.reply.headers["X-Provider"], seen.line["status"]) == (
        seen.provider,
        str(FAILURES[name].alone),
    )


@both
@each
def test_the_ledger_has_the_failed_call_and_what_it_may_have_used(scene, name, mode):
    seen = scene.seen(name, mode, "first")

    row = seen.rows[seen.provider]
    assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("failed", *FAILURES[name].used)
    assert row["estimated"] == (FAILURES[name].used != (0, 0))
    assert {
        provider: other["outcome"] for provider, other in seen.rows.items() if provider != seen.provider
    } == ({} if FAILURES[name].after_head else {"backup": "answered"})


@both
@each
def test_the_log_names_the_provider_and_the_kind_of_failure_and_quotes_nobody(scene, name, mode):
    seen = scene.seen(name, mode, "first")

    assert seen.failed.endswith(
        f" provider={seen.provider} status={FAILURES[name].status} error={FAILURES[name].error}"
    )


@both
@each
def test_health_tells_what_became_of_the_provider(scene, name, mode):
    entry = scene.health(name, mode, "first")

    state, reason = FAILURES[name].breaker
    if name == "black-hole" and entry["reason"]:  # its probe has waited long enough for an answer to say so
        assert re.fullmatch(r"no answer (for|within) [\d.]+ s", entry["reason"])
        reason = entry["reason"]
    assert (entry["breaker"], entry["reason"]) == (state, reason)
    well = state == "closed" and reason is None
    standing = (True, "healthy") if well else (False, "unhealthy")
    # Whether it is just slow is not known as long as its silence is short.
    possible = [standing, (None, "unknown")] if name == "black-hole" and reason else [standing]
    assert (entry["available"], entry["status"]) in possible
    # A 401 and a Retry-After are obeyed at once and count as no failure in a row. What fails after its head
    # is a success for the breaker.
    at_least = 0 if name == "401" or FAILURES[name].after_head else 1
    assert entry["consecutive_failures"] >= at_least


def test_a_name_that_never_resolved_is_known_before_the_first_call(scene):
    line = scene.server_of("dns").log_line("Breaker: provider=dns-whole-first state=open ")

    assert "failures=1 " in line
    assert "resolved" in line


def test_no_key_and_no_word_of_the_client_stands_in_the_log(scene):
    for name in FAILURES:
        scene.seen(name, "streamed", "alone")

    for server in scene.servers:
        text = server.log_text()
        assert "nobody-may-see" not in text
        assert TEXT not in text


def test_retry_after_is_the_time_that_the_provider_rests_and_the_next_one_answers_meanwhile(scene):
    server = scene.server_of("429")
    scene.resting.then(status=429, headers={"Retry-After": "1"}, body={"error": {"message": "slow down"}})
    first = server.chat(TEXT, model="after-a-rest")
    meanwhile = server.chat(TEXT, model="after-a-rest")
    alone = server.chat(TEXT, model="resting")
    asked_meanwhile = len(scene.resting.requests)

    answered_by = []
    while len(scene.resting.requests) < 2:
        answered_by.append(server.chat(TEXT, model="after-a-rest").headers["X-Provider"])

    refused, again = scene.resting.requests
    assert (first.headers["X-Provider"], meanwhile.headers["X-Provider"], asked_meanwhile) == (
        "backup",
        "backup",
        1,
    )
    assert alone.status_code == 503
    assert alone.json()["error"]["message"].endswith(
        "(resting: resting, answered 429, asked for 1 s of rest)"
    )
    assert again.at - refused.at >= 1.0
    assert answered_by == ["backup"] * (len(answered_by) - 1) + ["resting"]
    assert "state=closed" in server.log_lines("Breaker: provider=resting ", 3)[-1]


# What was seen, as a table.


def table(scene):
    rows = [
        (
            "Failure",
            "Client, chain of two",
            "Client, chain of one",
            "Breaker in /health",
            "Ledger",
            "app.log",
        ),
        ("---",) * 6,
        *(
            (
                failure.told,
                _alike(_client(scene.seen(name, mode, "first"), mode) for mode in MODES),
                "the same"
                if failure.after_head
                else _alike(_client(scene.seen(name, mode, "alone"), mode) for mode in MODES),
                _alike(_breaker(scene.health(name, mode, "alone")) for mode in MODES),
                _alike(_ledger(scene.seen(name, mode, "first")) for mode in MODES),
                _alike(_log(scene.seen(name, mode, "first"), scene.server_of(name)) for mode in MODES),
            )
            for name, failure in FAILURES.items()
        ),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _alike(cells):
    whole, streamed = cells
    return whole if whole == streamed else f"whole: {whole}; streamed: {streamed}"


def _client(seen, mode):
    reply = seen.reply
    if reply.status_code != 200:
        return f"{reply.status_code} {_error(reply.json(), seen)}"
    last = sse_events(reply)[-2] if mode == "streamed" else {}
    if "error" in last:
        return f'200, "{streamed_text(reply)}", then the event {_error(last, seen)}, [DONE]'
    return f"200 from {reply.headers['X-Provider']}"


def _error(body, seen):
    error = body["error"]
    told = re.sub(r"^no provider of route '[^']*' could answer ", "", error["message"]).replace(
        seen.provider, "X"
    )
    return f"{error['code'] or error['type']}: {told}"


def _breaker(entry):
    return entry["breaker"] + (
        f": {entry['reason']}" if entry["reason"] else f", {entry['consecutive_failures']} in a row"
    )


def _ledger(seen):
    told = []
    for provider, row in seen.rows.items():
        tokens = f"{'~' if row['estimated'] else ''}{row['input_tokens']}+{row['output_tokens']} tokens"
        told.append(f"{'X' if provider == seen.provider else provider} {row['outcome']}, {tokens}")
    return "; ".join(told)


def _log(seen, server):
    failed = re.search(r"status=\S+ error=\S+", seen.failed).group()
    turned = re.search(rf"Breaker: provider={seen.provider} (state=\S+)", server.log_text())
    return (
        f"`Provider failed: {failed}`, "
        + (f"`Breaker: {turned[1]}`, " if turned else "")
        + f"`REQUEST status={seen.line['status']}`"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        try:
            print(table(scene.start()))
        finally:
            scene.stop()
