"""A provider of Anthropic's Messages API behind the OpenAI API.

It is asked in its own format: in chains, pinned, and as the primary that answers ahead.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.anthropic_api import BLOCK, DOCUMENTED, END, START, event, piece
from tests.support.chats import answer_of
from tests.support.fake_upstream import HANG_GUARD_S
from tests.support.ledger import booked
from tests.support.server import sse_events, streamed_text

COST_USD = (12 + 100 + 20) * 3e-6 + 89 * 15e-6
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Of a city.",
        "parameters": {"properties": {"city": {"type": "string"}}},
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def error(type, text):
    return {"type": "error", "error": {"type": type, "message": text}}


@pytest.fixture
def asking():
    """Ask from other threads."""
    with ThreadPoolExecutor(4) as executor:
        yield executor.submit


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def text_of(reply, stream):
    return streamed_text(reply) if stream else answer_of(reply)


# What it is asked.


@both
def test_it_is_asked_in_its_own_words_with_its_own_headers(native, claude, stream):
    native.chat("hi", model="claude-x", stream=stream, temperature=0.5, stop="END")

    assert claude.last.path == "/v1/messages"
    headers = {name.lower(): value for name, value in claude.last.headers.items()}
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert "authorization" not in headers
    assert claude.last.body == {
        "model": "claude-x",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
    }


def test_the_system_message_goes_apart_and_images_and_limits_are_translated(native, claude):
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": "A pixel."},
        {"role": "user", "content": "Sure?"},
    ]

    native.chat(model="claude-x", messages=messages, max_completion_tokens=50)

    sent = claude.last.body
    assert (sent["system"], sent["max_tokens"]) == ("Be brief.", 50)
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][0]["content"][1] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
    }


def test_tools_and_what_came_of_them_are_translated(native, claude):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
    }
    messages = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "drizzle"},
    ]

    native.chat(model="claude-x", messages=messages, tools=[TOOL], tool_choice="required")

    sent = claude.last.body
    assert sent["tools"][0]["name"] == "weather"
    assert sent["tools"][0]["input_schema"]["properties"] == {"city": {"type": "string"}}
    assert sent["tool_choice"] == {"type": "any"}
    assert sent["messages"][1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Köln"}}
    ]
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "drizzle"}
    ]


@pytest.mark.parametrize("model", ["claude-x", "auto"])
def test_what_it_cannot_be_told_is_the_clients_to_leave_out(native, claude, judge, model):
    reply = native.chat(model=model, logit_bias={"50256": -100})

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "logit_bias")
    assert not claude.requests
    assert (
        requests.get(native.url + "/health", timeout=HANG_GUARD_S).json()["providers"]["main"][
            "consecutive_failures"
        ]
        == 0
    )


def test_it_has_no_legacy_completions(native, claude):
    reply = native.post("/v1/completions", {"model": "claude-x", "prompt": "Once"})

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")
    assert not claude.requests


# What it answers.


@both
def test_an_answer_of_its_looks_like_any_other(native, stream):
    reply = native.chat(model="claude-x", stream=stream)

    assert text_of(reply, stream) == "forty-two"
    assert (reply.headers["X-Provider"], reply.headers["X-Speculation"]) == ("main", "off")
    if stream:
        *chunks, done = sse_events(reply)
        assert done == "[DONE]"
        assert [
            choice["finish_reason"]
            for chunk in chunks
            for choice in chunk["choices"]
            if choice["finish_reason"]
        ] == ["stop"]
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert b"message_stop" not in reply.content
    else:
        assert (reply.json()["object"], reply.json()["choices"][0]["finish_reason"]) == (
            "chat.completion",
            "stop",
        )


@both
def test_thinking_tools_and_usage_come_through(native, claude, stream):
    claude.runs(*map(event, DOCUMENTED), END)

    reply = native.chat(
        model="claude-x",
        stream=stream,
        tools=[TOOL],
        stream_options={"include_usage": True} if stream else None,
    )

    if stream:
        deltas = [choice["delta"] for chunk in sse_events(reply)[:-1] for choice in chunk["choices"]]
        thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        names = [
            call["function"]["name"]
            for delta in deltas
            for call in delta.get("tool_calls", ())
            if call.get("id")
        ]
        usage = sse_events(reply)[-2]["usage"]
    else:
        said = reply.json()["choices"][0]["message"]
        thought, usage = said["reasoning_content"], reply.json()["usage"]
        names = [call["function"]["name"] for call in said["tool_calls"]]
        assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"city": "Köln"}
        assert reply.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert thought == "They want the weather."
    assert names == ["weather", "now"]
    assert (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
    ) == (132, 89, 100)


@both
def test_session_and_ledger_have_what_it_used_and_cost(native, stream):
    session = native.chat("hi", model="claude-x", stream=stream).headers["X-Session-Id"]

    record, [row] = native.session(session), booked(native, session, 1)
    [step] = record["steps"]
    assert (row["provider"], row["model"], row["outcome"], row["estimated"]) == (
        "main",
        "claude-x",
        "answered",
        0,
    )
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"]) == (132, 100, 89)
    assert row["cost_usd"] == pytest.approx(COST_USD)
    assert record["cost_usd"] == pytest.approx(COST_USD)
    assert (record["usage"]["prompt_tokens"], record["usage"]["completion_tokens"]) == (132, 89)
    assert (step["url"].rsplit("/", 1)[1], step["finish_reason"], step["response_content"]) == (
        "messages",
        "stop",
        "forty-two",
    )
    assert "sk-ant-1" not in json.dumps(record) + native.log_text()


# When it fails.


@both
def test_an_overloaded_one_gives_way_to_the_next(native, claude, backup, stream):
    claude.runs(status=529, body=error("overloaded_error", "Overloaded"))
    backup.streams("I am", " here")

    reply = native.chat(model="primary", stream=stream)

    assert text_of(reply, stream) == "I am here"
    assert reply.headers["X-Provider"] == "backup"
    assert (len(claude.requests), len(backup.requests)) == (1, 1)


def test_an_overloaded_one_alone_is_a_503_with_its_words(native, claude):
    claude.runs(status=529, body=error("overloaded_error", "Overloaded"))

    reply = native.chat(model="claude-x")

    assert reply.status_code == 503
    assert "main: Overloaded" in reply.json()["error"]["message"]


@both
def test_an_overload_told_in_the_stream_before_any_content_gives_way_as_well(native, claude, backup, stream):
    claude.runs(START, event(error("overloaded_error", "Overloaded")), END)

    reply = native.chat(model="primary", stream=stream)

    assert (text_of(reply, stream), reply.headers["X-Provider"]) == ("ok", "backup")


def test_an_error_event_among_the_tokens_ends_the_stream_in_our_shape(native, claude, backup):
    claude.runs(START, BLOCK, piece("forty"), event(error("overloaded_error", "Overloaded")), END)

    reply = native.chat(model="primary", stream=True)

    assert streamed_text(reply) == "forty"
    assert sse_events(reply)[-2] == {
        "error": {"message": "Overloaded", "type": "overloaded_error", "param": None, "code": 529}
    }
    assert sse_events(reply)[-1] == "[DONE]"
    assert not backup.requests
    [row] = booked(native, reply.headers["X-Session-Id"], 1)
    assert (row["outcome"], row["input_tokens"], row["output_tokens"], row["estimated"]) == (
        "failed",
        132,
        1,
        1,
    )


def test_an_error_event_in_an_answer_that_is_put_together_is_an_error(native, claude, backup):
    claude.runs(START, BLOCK, piece("forty"), event(error("api_error", "Internal server error")), END)

    reply = native.chat(model="primary")

    assert (reply.status_code, reply.json()["error"]["message"]) == (500, "Internal server error")
    assert not backup.requests


def test_an_answer_without_its_end_is_no_answer(native, claude):
    claude.runs(START, BLOCK, piece("forty"), END)

    assert native.chat(model="claude-x").status_code == 502


def test_silence_among_its_tokens_ends_the_stream_with_an_error(native, claude):
    claude.runs(START, BLOCK, piece("forty"), ("stall",))

    reply = native.chat(model="claude-hasty", stream=True)

    assert sse_events(reply)[-2]["error"]["message"] == "provider 'hasty' stayed silent too long"
    assert claude.last.hung_up.wait(HANG_GUARD_S)


@both
def test_its_own_refusal_is_passed_back_in_our_shape(native, claude, backup, stream):
    claude.runs(status=400, body=error("invalid_request_error", "max_tokens: 99999 > 64000"))

    reply = native.chat(model="primary", stream=stream)

    assert reply.status_code == 400
    assert reply.json()["error"] == {
        "message": "max_tokens: 99999 > 64000",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert not backup.requests


def test_it_answers_for_one_that_failed_before_it(native, claude, cloud):
    cloud.refuses(503)

    reply = native.chat(model="xai")

    assert (answer_of(reply), reply.headers["X-Provider"]) == ("forty-two", "main")


# Ahead of the decision.


@both
def test_its_answer_ahead_of_the_decision_is_adopted(native, claude, judge, asking, stream):
    judge.runs(("stall-before-headers",), ("token", "MODERATE"), ("finish", "stop"))
    asked = asking(native.chat, "hi", stream=stream)
    claude.wait_asked()
    judge.wait_asked()
    judge.release.set()

    reply = asked.result(HANG_GUARD_S)

    assert text_of(reply, stream) == "forty-two"
    assert (reply.headers["X-Decision"], reply.headers["X-Speculation"]) == ("MODERATE", "adopted")
    assert len(claude.requests) == 1


@pytest.mark.parametrize(
    "steps",
    [[("stall-before-headers",)], [START, ("stall",)], [START, BLOCK, piece("forty"), ("stall",)]],
    ids=["before its headers", "in a silent prefill", "among its tokens"],
)
def test_when_another_route_is_decided_it_is_hung_up(native, claude, cloud, judge, asking, steps):
    claude.runs(*steps)
    judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    asked = asking(native.chat, "prove it")
    call = claude.wait_asked()
    judge.wait_asked()
    judge.release.set()

    reply = asked.result(HANG_GUARD_S)

    assert (reply.headers["X-Provider"], reply.headers["X-Speculation"]) == ("cloud", "cancelled")
    assert call.hung_up.wait(HANG_GUARD_S)
    rows = {row["provider"]: row for row in booked(native, reply.headers["X-Session-Id"], 2)}
    assert (rows["main"]["outcome"], rows["cloud"]["outcome"]) == ("cancelled", "answered")
    assert rows["main"]["cost_usd"] > 0


def test_an_overloaded_speculation_walks_the_chain(native, claude, backup, judge):
    claude.runs(status=529, body=error("overloaded_error", "Overloaded"))

    reply = native.chat("hi")

    assert (reply.headers["X-Provider"], reply.headers["X-Speculation"]) == ("backup", "failed")


@pytest.mark.parametrize(
    "steps",
    [[("stall-before-headers",)], [START, BLOCK, piece("forty"), ("stall",)]],
    ids=["in its silence", "among its tokens"],
)
def test_the_clients_stop_reaches_it(native, claude, steps):
    claude.runs(*steps)
    connection = native.connection(
        {"model": "claude-x", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    )
    call = claude.wait_asked()
    if len(steps) > 1:
        read = b""
        while b"forty" not in read:
            read += connection.recv(4096)

    connection.close()

    assert call.hung_up.wait(HANG_GUARD_S)
    native.log_line(r" REQUEST .*provider=main .*status=499")
