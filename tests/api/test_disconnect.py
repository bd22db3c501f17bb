"""The client's own Stop: the calls made for a client that leaves are cancelled, and it is recorded as 49."""

import re
import secrets
import socket
import statistics
import struct
import time

import pytest

from tests.support.fake_upstream import HANG_GUARD_S

# From the client's leaving until every provider has seen the hang-up (issue 2, "Speculation").
LATEST_S = 0.200
TRIES = 3  # of which the median counts: other programs share the cores


class Client:
    """One chat request on a raw socket, recognizable in the log by a model name nobody else uses."""

    def __init__(self, headstart, stream, model=None):
        self.headstart = headstart
        self.model = model or f"auto-{secrets.token_hex(4)}"
        body = {
            "model": self.model,
            "stream": stream,
            "messages": [{"role": "user", "content": "tell me everything"}],
        }
        self.sock = headstart.connection(body)

    def reads_until(self, words):
        """Read the answer until these bytes have come."""
        came = b""
        while words not in came:
            more = self.sock.recv(65536)
            assert more, came
            came += more
        return came

    def closes(self):
        self.sock.close()

    def resets(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    @property
    def session(self):
        return re.search(
            r"session=(\w+)", self.headstart.log_line(rf"Incoming request: .* model={self.model} ")
        ).group(1)


# The moments: each scripts the providers and returns a function. That one waits until the request has come so
# far and returns the calls that are then under way.


def during_classification(upstreams):
    upstreams["judge"].stalls_before_headers()
    upstreams["primary"].stalls_before_head()
    return lambda client: [upstreams["judge"].wait_asked(), upstreams["primary"].wait_asked()]


def during_classification_with_the_head_in_hand(upstreams):
    upstreams["judge"].stalls_before_headers()
    upstreams["primary"].streams_forever()
    return lambda client: [upstreams["judge"].wait_asked(), upstreams["primary"].wait_asked()]


def during_enrichment(upstreams):
    upstreams["judge"].streams("ENRICH")
    upstreams["cloud"].stalls_before_headers()
    return lambda client: [upstreams["cloud"].wait_asked()]


def after_enrichment(upstreams):
    upstreams["judge"].streams("ENRICH")
    upstreams["primary"].stalls_before_head()
    upstreams["cloud"].answers(
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "it rains"}]}]}
    )

    def enriched_call(client):
        client.headstart.log_line(rf"Enrichment context retrieved: session={client.session} ")
        # The body and not its messages: a speculation may be hung up between its headers and its body.
        speculative = "it rains" not in str(upstreams["primary"].wait_asked().body)
        return [upstreams["primary"].wait_asked(2 if speculative else 1)]

    return enriched_call


def before_the_headers(upstreams):
    upstreams["primary"].stalls_before_headers()
    return lambda client: [upstreams["primary"].wait_asked()]


def in_a_silent_prefill(upstreams):
    upstreams["primary"].stalls_before_head()
    return lambda client: [upstreams["primary"].wait_asked()]


def in_the_other_routes_prefill(upstreams):
    upstreams["judge"].streams("COMPLEX")
    upstreams["cloud"].stalls_before_head()
    return lambda client: [upstreams["cloud"].wait_asked()]


def among_the_tokens(upstreams):
    upstreams["primary"].streams_forever()

    def streaming(client):
        client.reads_until(b'"x"')
        return [upstreams["primary"].last]

    return streaming


def in_a_pause_among_the_tokens(upstreams):
    upstreams["primary"].runs(("token", "one"), ("stall",))

    def pausing(client):
        client.reads_until(b'"one"')
        return [upstreams["primary"].last]

    return pausing


def while_a_whole_answer_is_put_together(upstreams):
    upstreams["primary"].streams_forever()
    return lambda client: [upstreams["primary"].wait_asked()]


BEFORE_THE_HEAD = [
    during_classification,
    during_classification_with_the_head_in_hand,
    during_enrichment,
    after_enrichment,
    before_the_headers,
    in_a_silent_prefill,
    in_the_other_routes_prefill,
]
CASES = [(moment, stream) for moment in BEFORE_THE_HEAD for stream in (False, True)]
CASES += [
    (among_the_tokens, True),
    (in_a_pause_among_the_tokens, True),
    (while_a_whole_answer_is_put_together, False),
]


@pytest.mark.parametrize("leaves", [Client.closes, Client.resets], ids=lambda leaves: leaves.__name__)
@pytest.mark.parametrize(
    ("moment", "stream"),
    CASES,
    ids=lambda value: getattr(value, "__name__", "streamed" if value else "whole"),
)
def test_a_client_that_leaves_hangs_up_every_call_within_200_ms(
    headstart, upstreams, judge, moment, stream, leaves
):
    delays = []

    for _ in range(TRIES):
        for upstream in upstreams.values():
            upstream.reset()
        judge.streams("MODERATE")
        under_way = moment(upstreams)
        client = Client(headstart, stream)
        calls = under_way(client)
        left_at = time.monotonic()
        leaves(client)
        for call in calls:
            assert call.hung_up.wait(HANG_GUARD_S), f"{call.path} was never hung up"
            delays.append(call.hung_up_at - left_at)
            assert call.tokens_after_hang_up <= 1
        assert headstart.request_line(client.session)["status"] == "499"
        assert headstart.session(client.session)["status"] == 499
        assert len(re.findall(rf" REQUEST session={client.session} ", headstart.log_text())) == 1

    assert statistics.median(delays) <= LATEST_S, delays
    assert not upstreams["backup"].requests


def test_what_was_streamed_before_the_client_left_is_in_the_record(headstart, primary, judge):
    primary.runs(("token", "forty"), ("token", "-two"), ("stall",))
    client = Client(headstart, stream=True)
    client.reads_until(b"-two")

    client.closes()

    session = headstart.session(client.session)
    (call,) = [step for step in session["steps"] if step["step"] == "provider_call"]
    assert call["response_content"] == "forty-two"
    assert call["error"] == "hung up"
    assert session["ttft_ms"] is not None


@pytest.mark.parametrize(
    ("moment", "outcome"),
    [(during_classification, "cancelled"), (in_a_silent_prefill, "adopted")],
    ids=["before", "after"],
)
def test_leaving_before_or_after_the_decision_tells_what_became_of_the_speculation(
    headstart, upstreams, judge, moment, outcome
):
    decided = headstart.log_text().count("Classification completed")
    under_way = moment(upstreams)
    client = Client(headstart, stream=False)
    under_way(client)
    headstart.log_lines("Classification completed", decided + (outcome == "adopted"))

    client.closes()

    line = headstart.request_line(client.session)
    assert (line["status"], line["speculation"]) == ("499", outcome)


def test_a_patient_client_is_not_disturbed(headstart, primary, judge):
    primary.stalls_before_head()
    client = Client(headstart, stream=True)
    call = primary.wait_asked()

    assert not call.hung_up.wait(0.3)  # six looks at the client's socket
    primary.release.set()

    assert b"[DONE]" in client.reads_until(b"0\r\n\r\n")
    assert headstart.request_line(client.session)["status"] == "200"
    client.closes()


def test_a_client_that_sends_its_next_request_early_is_not_disturbed(headstart, primary, judge):
    primary.stalls_before_head()
    client = Client(headstart, stream=False)
    call = primary.wait_asked()

    client.sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not call.hung_up.wait(0.3)
    primary.release.set()

    assert headstart.request_line(client.session)["status"] == "200"
    client.reads_until(b"\r\n\r\nok\n")
    client.closes()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_closes_as_soon_as_it_has_its_answer_is_not_said_to_have_left(
    headstart, primary, judge, stream
):
    clients = []

    for _ in range(100):
        client = Client(headstart, stream, "primary")
        clients.append(client.reads_until(b"[DONE]" if stream else b'"finish_reason":"stop"'))
        client.closes()

    sessions = [re.search(rb"X-Session-Id: (\w+)", came).group(1).decode() for came in clients]
    assert {headstart.request_line(session)["status"] for session in sessions} == {"200"}
