"""Speculation: when there is none, when it fails, and what the client sees of the chain behind it."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.chats import TITLE_PROMPT, answer_of
from tests.support.fake_upstream import HANG_GUARD_S, data_event
from tests.support.scripted import scripted_config
from tests.support.server import Server, sse_events, streamed_text

GARBAGE = data_event({"choices": 5})


@pytest.fixture(scope="module")
def another(upstreams, tmp_path_factory):
    """Starts further Headstarts over the same providers, their configuration changed by a function."""
    started = []

    def start(change, **environment):
        config = scripted_config(**upstreams)
        change(config)
        started.append(Server(tmp_path_factory.mktemp("another"), config, **environment).wait_until_up())
        return started[-1]

    yield start
    for server in started:
        server.stop()


# None at all.


@pytest.fixture(scope="module")
def running_one_at_a_time(another):
    return another(lambda config: config.update(speculation={"enabled": True, "max_in_flight": 1}))


@pytest.fixture
def one_at_a_time(running_one_at_a_time, headstart):
    return running_one_at_a_time


@pytest.fixture(scope="module")
def running_impatient(another):
    def change(config):
        config["classifier"]["timeout_ms"] = 300
        config["providers"]["main"]["timeouts"] = {"connect_s": 2, "first_byte_s": 0.6, "idle_s": 0.3}

    return another(change)


@pytest.fixture
def impatient(running_impatient, headstart):
    return running_impatient


@pytest.fixture
def asking():
    """Ask from other threads."""
    with ThreadPoolExecutor(8) as executor:
        yield executor.submit


def test_beyond_max_in_flight_speculation_is_off_and_nothing_queues(one_at_a_time, asking, primary, judge):
    judge.runs(("stall-before-headers",), ("token", "MODERATE"), ("finish", "stop"))
    first = asking(one_at_a_time.chat, "first")
    judge.wait_asked(1)
    primary.wait_asked(1)

    second = asking(one_at_a_time.chat, "second")
    judge.wait_asked(2)
    judge.release.set()

    assert first.result(HANG_GUARD_S).headers["X-Speculation"] == "adopted"
    assert second.result(HANG_GUARD_S).headers["X-Speculation"] == "off"
    assert answer_of(second.result()) == "ok"
    assert len(primary.requests) == 2


def test_after_a_decision_the_next_request_may_speculate_again(one_at_a_time, primary, cloud, judge):
    for decision, outcome in (("COMPLEX", "cancelled"), ("MODERATE", "adopted"), ("nonsense", "adopted")):
        judge.streams(decision)

        assert one_at_a_time.chat().headers["X-Speculation"] == outcome


def test_speculation_can_be_switched_off(another, headstart, primary, judge):
    server = another(lambda config: config.update(speculation={"enabled": False}))
    primary.streams("after", " all")

    reply = server.chat()

    assert reply.headers["X-Speculation"] == "off"
    assert answer_of(reply) == "after all"
    assert len(primary.requests) == len(judge.requests) == 1


@pytest.mark.parametrize("model", ["primary", "main", "p-model"])
def test_a_pinned_model_is_not_classified_and_called_once(headstart, primary, judge, model):
    reply = headstart.chat(model=model)

    assert answer_of(reply) == "ok"
    assert reply.headers["X-Speculation"] == "off"
    assert "X-Decision" not in reply.headers or reply.headers["X-Decision"] == "PINNED"
    assert (len(primary.requests), len(judge.requests)) == (1, 0)


def test_a_pinned_cloud_does_not_disturb_the_primary(headstart, primary, cloud, judge):
    reply = headstart.chat(model="xai")

    assert (reply.headers["X-Route"], reply.headers["X-Provider"], reply.headers["X-Speculation"]) == (
        "cloud",
        "cloud",
        "off",
    )
    assert (len(cloud.requests), len(primary.requests), len(judge.requests)) == (1, 0, 0)


def test_housekeeping_is_not_classified_and_called_once(headstart, primary, judge):
    reply = headstart.chat(TITLE_PROMPT)

    assert (reply.headers["X-Decision"], reply.headers["X-Route"], reply.headers["X-Speculation"]) == (
        "META",
        "meta",
        "off",
    )
    assert (len(primary.requests), len(judge.requests)) == (1, 0)


# One that fails is no error.

FAILURES = {
    "a 500": lambda upstream: upstream.refuses(500, "out of memory"),
    "a 429": lambda upstream: upstream.refuses(429, "too many"),
    "an HTML page": lambda upstream: upstream.answers(b"<html>nginx</html>", status=502),
    "a connection closed before the headers": lambda upstream: (
        upstream.drops_kept_connections(),
        upstream.runs(("cut",)),
    ),
    "a connection closed before the head": lambda upstream: upstream.runs(("role",), ("cut",)),
    "an end before any content": lambda upstream: upstream.runs(("role",), ("close",)),
    "something that is not JSON": lambda upstream: upstream.runs(("raw", b"data: what?\n\n")),
    "JSON that is no completion": lambda upstream: upstream.runs(("raw", GARBAGE)),
    "a body that is no completion": lambda upstream: upstream.answers({"hello": "world"}),
    "an error told as an event": lambda upstream: upstream.runs(
        ("raw", data_event({"error": {"message": "model crashed", "code": 500}}))
    ),
    "a success without an answer": lambda upstream: upstream.answers(b"", status=204),
    "a redirection": lambda upstream: upstream.runs(
        status=302, headers={"Location": "http://127.0.0.1:1/"}, body=b""
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_a_speculation_that_fails_walks_the_chain_as_if_there_had_been_none(
    headstart, primary, backup, judge, failure, stream
):
    failure(primary)
    backup.streams("I am", " here")

    reply = headstart.chat(stream=stream)

    assert (streamed_text(reply) if stream else answer_of(reply)) == "I am here"
    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("failed", "backup")
    assert (len(primary.requests), len(backup.requests)) == (2, 1)
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "200"


def test_a_speculation_that_is_refused_a_key_is_not_tried_again(headstart, primary, backup, judge):
    primary.refuses(401, "no such key")
    backup.streams("I am", " here")

    first, second = headstart.chat(), headstart.chat()

    assert (first.headers["X-Speculation"], first.headers["X-Provider"], answer_of(first)) == (
        "failed",
        "backup",
        "I am here",
    )
    assert (second.headers["X-Speculation"], second.headers["X-Provider"]) == ("adopted", "backup")
    assert len(primary.requests) == 1


def test_a_credit_that_is_used_up_is_not_the_clients_mistake(headstart, primary, backup, judge):
    primary.refuses(402, "insufficient credits")
    backup.streams("I am", " here")

    reply = headstart.chat()

    assert (reply.headers["X-Provider"], answer_of(reply)) == ("backup", "I am here")


def test_a_primary_that_refuses_connections_is_known_to_be_down_and_passed_over(
    another, headstart, upstreams, backup, judge
):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    server = another(
        lambda config: config["providers"]["main"].update(base_url=f"http://127.0.0.1:{port}/v1")
    )
    server.log_line("Breaker: provider=main state=open")

    reply = server.chat()

    assert answer_of(reply) == "ok"
    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("adopted", "backup")


def test_a_speculation_that_has_failed_when_another_route_is_decided_is_said_to_have_failed(
    headstart, asking, primary, cloud, judge
):
    primary.runs(("cut",))
    primary.drops_kept_connections()
    judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    asked = asking(headstart.chat)
    assert primary.wait_asked().ended.wait(HANG_GUARD_S)
    judge.wait_asked().hung_up.wait(0.2)  # never: the time in which the speculation sees its end

    judge.release.set()
    reply = asked.result(HANG_GUARD_S)

    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("failed", "cloud")


def test_a_provider_that_passes_its_time_gives_way_to_the_next(impatient, primary, backup, judge):
    primary.runs(("role",), ("stall",))
    backup.streams("in time")

    reply = impatient.chat()

    assert answer_of(reply) == "in time"
    assert reply.headers["X-Speculation"] == "failed"


# The client's own doing.


@pytest.mark.parametrize("model", ["auto", "primary"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_upstreams_own_refusal_is_passed_back(headstart, primary, backup, judge, model, stream):
    primary.refuses(400, "temperature must be at most 2", param="temperature", code="invalid_value")

    reply = headstart.chat(model=model, stream=stream)

    assert reply.status_code == 400
    assert reply.json() == {
        "error": {
            "message": "temperature must be at most 2",
            "type": "scripted",
            "param": "temperature",
            "code": "invalid_value",
        }
    }
    assert reply.headers["X-Provider"] == "main"
    assert (len(primary.requests), len(backup.requests)) == (1, 0)
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "400"
    assert headstart.session(reply.headers["X-Session-Id"])["error"] == "temperature must be at most 2"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "not found here"}, "not found here"),
        ({"message": "bad field"}, "bad field"),
        ({"error": "plain"}, "plain"),
        (b"no JSON", "provider 'main'"),
    ],
)
def test_a_refusal_in_another_shape_keeps_its_words(headstart, primary, judge, body, message):
    primary.answers(body, status=422)

    reply = headstart.chat()

    assert reply.status_code == 422
    assert message in reply.json()["error"]["message"]


# The chain.


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_a_status_that_another_provider_may_mend_goes_on_in_the_chain(headstart, primary, backup, status):
    primary.refuses(status)

    reply = headstart.chat(model="primary")

    assert answer_of(reply) == "ok"
    assert reply.headers["X-Provider"] == "backup"
    assert (len(primary.requests), len(backup.requests)) == (1, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_when_nobody_can_serve_the_answer_lists_what_was_tried(headstart, primary, backup, judge, stream):
    primary.refuses(503, "loading the model")
    backup.runs(("cut",))

    reply = headstart.chat(stream=stream)

    assert reply.status_code == 503
    error = reply.json()["error"]
    assert error["message"] == (
        "no provider of route 'primary' could answer ("
        "main: loading the model; backup: it closed the connection before the answer was complete)"
    )
    assert (error["type"], error["code"]) == ("service_unavailable", "no_provider_available")
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "503"


def test_after_the_first_content_nobody_else_is_asked(headstart, primary, backup, judge):
    primary.runs(("token", "forty"), ("cut",))

    reply = headstart.chat(stream=True)

    events = sse_events(reply)
    assert reply.status_code == 200
    assert streamed_text(reply) == "forty"
    assert events[-2]["error"]["type"] == "upstream_error"
    assert events[-1] == "[DONE]"
    assert not any(
        choice.get("finish_reason") for chunk in events[:-1] for choice in chunk.get("choices", ())
    )
    assert not backup.requests
    line = headstart.request_line(reply.headers["X-Session-Id"])
    assert (line["status"], line["provider"]) == ("502", "main")


MID_STREAM = {
    "not JSON": b"data: what?\n\n",
    "choices that are a number": GARBAGE,
    "a delta that is a text": data_event({"choices": [{"index": 0, "delta": "two"}]}),
    "an index that is a list": data_event({"choices": [{"index": [1], "delta": {"content": "two"}}]}),
    "usage that is a number": data_event({"choices": [], "usage": 7}),
    "a number": b"data: 42\n\n",
    "far too deep": b"data: " + b"[" * 100000 + b"\n\n",
}


@pytest.mark.parametrize("garbage", MID_STREAM.values(), ids=MID_STREAM.keys())
def test_garbage_among_the_tokens_is_told_as_an_error(headstart, primary, judge, garbage):
    primary.runs(("token", "one"), ("raw", garbage), ("token", "three"), ("finish", "stop"))

    reply = headstart.chat(stream=True)

    events = sse_events(reply)
    assert events[-1] == "[DONE]"
    assert "error" in events[-2]
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "502"


@pytest.mark.parametrize("garbage", MID_STREAM.values(), ids=MID_STREAM.keys())
def test_garbage_in_an_answer_that_is_put_together_is_an_error(headstart, primary, judge, garbage):
    primary.runs(("token", "one"), ("raw", garbage), ("token", "three"), ("finish", "stop"))

    reply = headstart.chat()

    assert reply.status_code == 502
    assert reply.json()["error"]["type"] == "upstream_error"
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "502"


def test_an_error_event_among_the_tokens_is_passed_on_with_its_words(headstart, primary, backup, judge):
    primary.runs(
        ("token", "one"),
        ("raw", data_event({"error": {"message": "CUDA out of memory", "type": "oom", "code": 500}})),
    )

    reply = headstart.chat(stream=True)

    assert sse_events(reply)[-2]["error"] == {
        "message": "CUDA out of memory",
        "type": "oom",
        "param": None,
        "code": 500,
    }
    assert sse_events(reply)[-1] == "[DONE]"
    assert not backup.requests


def test_an_answer_put_together_is_whole_or_an_error(headstart, primary, backup, judge):
    primary.runs(("token", "forty"), ("cut",))

    reply = headstart.chat()

    assert reply.status_code == 502
    assert (
        "broke off" in reply.json()["error"]["message"]
        or "closed the connection" in reply.json()["error"]["message"]
    )
    assert not backup.requests


def test_silence_among_the_tokens_ends_the_stream_with_an_error(impatient, primary, judge):
    primary.runs(("token", "one"), ("stall",))

    reply = impatient.chat(stream=True)

    assert sse_events(reply)[-2]["error"]["message"] == "provider 'main' stayed silent too long"
    assert impatient.request_line(reply.headers["X-Session-Id"])["status"] == "504"
    assert primary.last.hung_up.wait(HANG_GUARD_S)


def test_what_is_no_content_is_held_back_until_there_is_some(headstart, primary, judge):
    primary.runs(("role",), ("raw", b": PROCESSING\n\n"), ("cut",))

    reply = headstart.chat(stream=True, model="p-model")

    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "no_provider_available"


def test_what_was_held_back_comes_first_and_in_order(headstart, primary, judge):
    primary.runs(("role",), ("raw", b": PROCESSING\n\n"), ("token", "ok"), ("finish", "stop"))

    reply = headstart.chat(stream=True)

    role, comment, token = reply.content.split(b"\n\n")[:3]
    assert b'"role": "assistant"' in role
    assert comment == b": PROCESSING"
    assert b'"ok"' in token


# The classifier.


BROKEN_JUDGES = {
    "refuses": lambda judge: judge.refuses(500),
    "breaks off": lambda judge: judge.runs(("token", "COM"), ("cut",)),
    "talks nonsense": lambda judge: judge.streams("I would say", " it depends"),
    "says nothing": lambda judge: judge.streams(),
    "never stops thinking": lambda judge: judge.streams("<think>", "this is COMPLEX"),
    "sends garbage": lambda judge: judge.runs(("raw", GARBAGE)),
}


@pytest.mark.parametrize("breaks", BROKEN_JUDGES.values(), ids=BROKEN_JUDGES.keys())
def test_a_classifier_that_fails_means_on_failure_and_the_speculation_is_used(
    headstart, primary, judge, breaks
):
    breaks(judge)

    reply = headstart.chat()

    assert answer_of(reply) == "ok"
    assert (reply.headers["X-Decision"], reply.headers["X-Speculation"]) == ("MODERATE", "adopted")
    assert len(primary.requests) == 1
    steps = {step["step"]: step for step in headstart.session(reply.headers["X-Session-Id"])["steps"]}
    assert steps["classification"]["error"]


@pytest.mark.parametrize("late", [("stall-before-headers",), ("stall",)], ids=lambda step: step[0])
def test_a_classifier_that_is_late_means_on_failure_and_the_speculation_is_used(
    impatient, primary, judge, late
):
    judge.runs(late)

    reply = impatient.chat()

    assert answer_of(reply) == "ok"
    assert (reply.headers["X-Decision"], reply.headers["X-Speculation"]) == ("MODERATE", "adopted")
    assert judge.last.hung_up.wait(HANG_GUARD_S)


def test_a_classifier_that_trickles_is_not_waited_for_longer_than_its_time(impatient, primary, judge):
    judge.streams_forever(0.02)

    reply = impatient.chat()

    assert answer_of(reply) == "ok"
    assert (reply.headers["X-Decision"], reply.headers["X-Speculation"]) == ("MODERATE", "adopted")
    assert judge.last.hung_up.wait(HANG_GUARD_S)


def test_a_classifier_may_think_aloud_first(headstart, cloud, primary, judge):
    judge.streams("<think>MODERATE? No.", "</think>\n", "COMPLEX")

    assert headstart.chat().headers["X-Decision"] == "COMPLEX"
