"""Headstart as Anthropic's own client library sees it.

Its providers speak chat completions; or one speaks the Messages API itself, and gets every request unchanged.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
import requests

from tests.support.anthropic_api import TOKENS, event, message
from tests.support.fake_upstream import HANG_GUARD_S
from wire.anthropic import UNSIGNED

QUESTION = [{"role": "user", "content": "what is six times seven?"}]
MULTIPLY = {
    "name": "multiply",
    "description": "Two numbers.",
    "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def sdk_of(server):
    return anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0, timeout=HANG_GUARD_S)


@pytest.fixture
def sdk(headstart):
    with sdk_of(headstart) as client:
        yield client


@pytest.fixture
def native_sdk(native):
    with sdk_of(native) as client:
        yield client


def ask(sdk, stream, messages=QUESTION, model="auto", max_tokens=100, **more):
    """The final message, however it came."""
    if not stream:
        return sdk.messages.create(model=model, max_tokens=max_tokens, messages=messages, **more)
    with sdk.messages.stream(model=model, max_tokens=max_tokens, messages=messages, **more) as stream:
        return stream.get_final_message()


# Over chat completions.


@both
def test_the_sdk_gets_a_message(sdk, primary, judge, stream):
    primary.streams("forty", "-two", usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})

    answer = ask(
        sdk,
        stream,
        model="claude-next",
        system="Be brief.",
        extra_body={"temperature": 0.5},
        stop_sequences=["END"],
    )

    assert (answer.content[0].text, answer.stop_reason, answer.role, answer.model) == (
        "forty-two",
        "end_turn",
        "assistant",
        "claude-next",
    )
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
    sent = primary.last.body
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["max_tokens"], sent["temperature"], sent["stop"], sent["model"]) == (
        100,
        0.5,
        ["END"],
        "p-model",
    )


@both
def test_no_two_answers_have_the_same_id_even_where_the_servers_do(sdk, primary, judge, stream):
    primary.streams("forty")

    first, second = ask(sdk, stream), ask(sdk, stream)

    assert first.id.startswith("msg_")
    assert first.id != second.id


@both
def test_a_tool_is_called_and_its_result_goes_back(sdk, primary, judge, stream):
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "multiply", "arguments": '{"a":'},
    }
    primary.runs(
        ("delta", {"tool_calls": [call]}),
        ("delta", {"tool_calls": [{"index": 0, "function": {"arguments": "6}"}}]}),
        ("finish", "tool_calls"),
    )

    answer = ask(sdk, stream, tools=[MULTIPLY], tool_choice={"type": "any"})

    (block,) = answer.content
    assert (answer.stop_reason, block.type, block.id, block.name, block.input) == (
        "tool_use",
        "tool_use",
        "call_1",
        "multiply",
        {"a": 6},
    )
    assert primary.last.body["tool_choice"] == "required"

    primary.streams("42")
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "42"}]}
    ask(
        sdk,
        stream,
        [
            *QUESTION,
            {"role": "assistant", "content": [block.model_dump()]},
            {"role": "user", "content": [result]},
        ],
        tools=[MULTIPLY],
    )

    told = primary.last.body["messages"]
    assert told[1]["tool_calls"][0]["function"] == {"name": "multiply", "arguments": '{"a":6}'}
    assert told[2] == {"role": "tool", "tool_call_id": "call_1", "content": "42"}


@both
def test_reasoning_comes_as_thinking(sdk, primary, judge, stream):
    primary.runs(("delta", {"reasoning_content": "six sevens"}), ("token", "42"), ("finish", "stop"))

    answer = ask(sdk, stream)

    assert [(block.type, getattr(block, block.type)) for block in answer.content] == [
        ("thinking", "six sevens"),
        ("text", "42"),
    ]

    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
    ask(sdk, stream, [*QUESTION, said, {"role": "user", "content": "sure?"}])

    assert answer.content[0].signature  # or some clients would not hand it back
    assert primary.last.messages[1] == {
        "role": "assistant",
        "content": "42",
        "reasoning_content": "six sevens",
    }


def test_a_picture_reaches_the_provider(sdk, primary, judge):
    primary.streams("a dot")

    ask(sdk, False, [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, PICTURE]}])

    assert primary.last.body["messages"][-1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
    }


def test_the_record_and_the_headers_are_those_of_any_request(sdk, headstart, primary, judge):
    judge.streams("MODERATE")
    primary.streams("42")

    raw = sdk.messages.with_raw_response.create(model="auto", max_tokens=10, messages=QUESTION)

    assert (raw.headers["x-decision"], raw.headers["x-route"], raw.headers["x-speculation"]) == (
        "MODERATE",
        "primary",
        "adopted",
    )
    session = headstart.session(raw.headers["x-session-id"])
    assert (session["api"], session["user_query"], session["status"]) == (
        "messages",
        QUESTION[0]["content"],
        200,
    )
    assert raw.headers["request-id"] == raw.headers["x-session-id"]
    assert headstart.request_line(raw.headers["x-session-id"])["status"] == "200"


def test_a_hard_one_goes_to_the_cloud_and_the_speculation_is_hung_up(sdk, primary, cloud, judge):
    judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    primary.stalls_before_head()
    cloud.streams("proved")

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(ask, sdk, False)
        call = primary.wait_asked()
        judge.release.set()

        assert answer.result(HANG_GUARD_S).content[0].text == "proved"
    assert call.hung_up.wait(HANG_GUARD_S)


def test_what_cannot_be_read_is_refused_in_its_envelope_naming_the_field(sdk):
    with pytest.raises(anthropic.BadRequestError) as raised:
        ask(sdk, False, [{"role": "user", "content": [{"type": "text", "text": 7}]}])

    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "invalid_request_error"
    assert "messages[0].content[0].text" in raised.value.body["error"]["message"]


def test_what_only_anthropics_servers_can_do_is_refused_by_name(sdk, judge):
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\]"):
        ask(sdk, False, tools=[{"type": "web_search_20250305", "name": "web_search"}])


@pytest.mark.parametrize(
    ("status", "kind"), [(400, anthropic.BadRequestError), (503, anthropic.InternalServerError)]
)
def test_a_refusal_keeps_its_status_in_its_envelope(sdk, primary, backup, judge, status, kind):
    primary.refuses(status, "the context is full")
    backup.refuses(status, "the context is full")

    with pytest.raises(kind, match="the context is full") as raised:
        ask(sdk, True)

    assert (raised.value.status_code, raised.value.body["type"]) == (status, "error")


def test_a_failure_in_mid_stream_is_an_error_event(sdk, primary, judge):
    primary.runs(("token", "forty"), ("cut",))
    came = []

    with pytest.raises(anthropic.APIStatusError) as raised:
        with sdk.messages.stream(model="auto", max_tokens=10, messages=QUESTION) as stream:
            came.extend(stream.text_stream)

    assert came == ["forty"]
    assert raised.value.body["error"]["type"] == "api_error"


def test_leaving_a_stream_hangs_up_the_primary(sdk, primary, judge):
    primary.streams_forever()

    with sdk.messages.stream(model="auto", max_tokens=10, messages=QUESTION) as stream:
        next(stream.text_stream)

    assert primary.last.hung_up.wait(HANG_GUARD_S)


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/v1/messages/count_tokens"])
def test_whatever_comes_the_envelope_is_anthropics(headstart, path):
    replies = [
        requests.post(headstart.url + path, data=body, timeout=HANG_GUARD_S) for body in (b"{", b"[]", b"{}")
    ]
    replies.append(requests.get(headstart.url + path, timeout=HANG_GUARD_S))

    assert [(reply.status_code, reply.json()["type"]) for reply in replies] == [(400, "error")] * 3 + [
        (405, "error")
    ]


def test_tokens_are_counted_by_an_estimate_where_the_tokenizer_is_not_known(sdk):
    few = sdk.messages.count_tokens(model="auto", messages=QUESTION).input_tokens
    many = sdk.messages.count_tokens(
        model="auto", messages=[{"role": "user", "content": "word " * 400}], system="Be brief."
    ).input_tokens

    offered = sdk.messages.count_tokens(
        model="auto", messages=QUESTION, tools=[{**MULTIPLY, "description": "word " * 400}]
    ).input_tokens
    shown = sdk.messages.count_tokens(
        model="auto", messages=[{"role": "user", "content": [PICTURE]}]
    ).input_tokens

    assert 5 < few < 20
    assert 300 < many < 700
    assert 300 < offered - few < 700
    assert 500 < shown < 2000


# Over the Messages API itself.


@both
def test_what_a_client_of_this_api_says_reaches_such_a_provider_untouched(native_sdk, claude, stream):
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, MULTIPLY]

    answer = ask(
        native_sdk,
        stream,
        model="claude-x",
        system=system,
        tools=tools,
        extra_body={"top_k": 5},
        extra_headers={"anthropic-beta": "context-1m"},
    )

    assert answer.content[0].text == "forty-two"
    assert answer.usage.cache_read_input_tokens == TOKENS["cache_read_input_tokens"]
    sent = claude.last.body
    assert {name: sent[name] for name in ("system", "tools", "top_k", "messages", "max_tokens")} == {
        "system": system,
        "tools": tools,
        "top_k": 5,
        "messages": QUESTION,
        "max_tokens": 100,
    }
    assert sent["stream"] is True
    assert claude.last.headers["anthropic-beta"] == "context-1m"


def test_its_events_pass_through_byte_for_byte(native, claude):
    unknown = event({"type": "something_new", "index": 9, "é": "ü"})
    steps = message("forty", "-two")
    claude.runs(*steps[:3], unknown, *steps[3:])

    body = {"model": "claude-x", "max_tokens": 10, "stream": True, "messages": QUESTION}
    reply = native.post("/v1/messages", body)

    assert reply.content == b"".join(
        step[1] for step in (*steps[:3], unknown, *steps[3:]) if step[0] == "raw"
    )


def test_a_whole_answer_has_every_block_of_the_stream(native_sdk, claude):
    start, ping, _, *_, closed, delta, stop, end = message("x")
    blocks = [
        event(
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            }
        ),
        event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}
        ),
        event(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "signature_delta", "signature": "sig"},
            }
        ),
        closed,
        event(
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "multiply", "input": {}},
            }
        ),
        event(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": ""},
            }
        ),
        event(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"a": '},
            }
        ),
        event(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "6}"},
            }
        ),
        event({"type": "content_block_stop", "index": 1}),
    ]
    claude.runs(start, ping, *blocks, delta, stop, end)

    answer = ask(native_sdk, False, model="claude-x")

    assert [block.type for block in answer.content] == ["thinking", "tool_use"]
    assert (answer.content[0].thinking, answer.content[0].signature, answer.content[1].input) == (
        "hm",
        "sig",
        {"a": 6},
    )
    assert (answer.id, answer.usage.output_tokens) == ("msg_1", 89)


def test_the_books_know_what_was_said_all_the_same(native, claude):
    reply = native.post("/v1/messages", {"model": "claude-x", "max_tokens": 10, "messages": QUESTION})

    session = native.session(reply.headers["X-Session-Id"])
    (call,) = (step for step in session["steps"] if step["step"] == "provider_call")
    assert (call["response_content"], call["finish_reason"], call["url"].endswith("/v1/messages")) == (
        "forty-two",
        "stop",
        True,
    )
    assert session["cost_usd"] > 0


@pytest.mark.parametrize("signature", ["", UNSIGNED])
def test_thinking_that_another_model_left_unsigned_is_not_handed_to_it(native_sdk, claude, signature):
    said = [{"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "41"}]

    ask(
        native_sdk,
        False,
        [*QUESTION, {"role": "assistant", "content": said}, {"role": "user", "content": "sure?"}],
        model="claude-x",
    )

    assert claude.last.body["messages"][1]["content"] == [{"type": "text", "text": "41"}]


def test_its_error_in_mid_stream_reaches_the_client(native_sdk, claude):
    start, ping, block, first, *_ = message("forty")
    claude.runs(
        start,
        ping,
        block,
        first,
        event({"type": "error", "error": {"type": "overloaded_error", "message": "too many"}}),
        ("close",),
    )

    with pytest.raises(anthropic.APIStatusError, match="too many"):
        ask(native_sdk, True, model="claude-x")


def test_such_a_provider_counts_the_tokens_itself(native_sdk, claude):
    claude.answers({"input_tokens": 2095})

    counted = native_sdk.messages.count_tokens(model="claude-x", messages=QUESTION, tools=[MULTIPLY])

    assert counted.input_tokens == 2095
    assert claude.last.path == "/v1/messages/count_tokens"
    assert json.loads(json.dumps(claude.last.body)) == {
        "model": "claude-x",
        "messages": QUESTION,
        "tools": [MULTIPLY],
        "thinking": {"type": "adaptive"},
    }
