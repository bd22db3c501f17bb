"""Anthropic's Messages API, both ways: requests, answers and streams, judged by its SDK if there is one."""

import contextlib
import json
import random
import re

import pytest

from errors import BadRequest, StreamBroken, UpstreamError
from tests.support.anthropic_api import DOCUMENTED
from wire import anthropic, anthropic_stream, chat_search, openai_chat, sse

DOCUMENTED_CONTENT = [
    {"type": "thinking", "thinking": "They want the weather.", "signature": "EqQBCg=="},
    {"type": "text", "text": "Ich schaue nach – 🌦"},
    {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Köln"}},
    {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}},
]
DOCUMENTED_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 100,
    "output_tokens": 89,
    "output_tokens_details": {"thinking_tokens": 7},
}


def chat(*messages, **fields):
    return {"model": "claude-x", "messages": list(messages), **fields}


def user(content):
    return {"role": "user", "content": content}


def asked_of(body):
    return anthropic.request_of(body, 4096)


def refused(call, *args):
    with pytest.raises(BadRequest) as caught:
        call(*args)
    assert (
        caught.value.param in caught.value.message
        or caught.value.param.rsplit(".", 1)[0] in caught.value.message
    )
    return caught.value.param


def messages(*turns, **fields):
    return {"model": "auto", "max_tokens": 100, "messages": list(turns), **fields}


def chunks_of(events):
    stream = anthropic_stream.ChunkStream(1700000000)
    return [chunk for event in events for chunk in stream.chunks_of(event)]


def deltas_of(events):
    return [choice["delta"] for chunk in chunks_of(events) for choice in chunk["choices"]]


def assembled(chunks):
    assembly = openai_chat.Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.answer()


def test_a_search_of_its_own_is_passed_over_and_the_pages_it_cites_are_annotations():
    cited = {
        "type": "web_search_result_location",
        "url": "https://a.example/",
        "title": "A",
        "cited_text": "rain",
    }
    answer = assembled(
        chunks_of(
            [
                DOCUMENTED[0],
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {
                        "type": "server_tool_use",
                        "id": "s",
                        "name": "web_search",
                        "input": {},
                    },
                },
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": '{"query": "rain"}'},
                },
                {"type": "content_block_stop", "index": 0},
                {
                    "type": "content_block_start",
                    "index": 1,
                    "content_block": {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                },
                {"type": "content_block_stop", "index": 1},
                {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Rain."}},
                {
                    "type": "content_block_delta",
                    "index": 2,
                    "delta": {"type": "citations_delta", "citation": cited},
                },
                {
                    "type": "content_block_delta",
                    "index": 2,
                    "delta": {"type": "citations_delta", "citation": {"type": "page_location"}},
                },
                {"type": "content_block_stop", "index": 2},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": 9},
                },
                {"type": "message_stop"},
            ]
        )
    )

    message = answer["choices"][0]["message"]
    assert (message["content"], message.get("tool_calls")) == ("Rain.", None)
    assert chat_search.search_result(answer) == ("Rain.", ["https://a.example/"])


def sent_for(chunks):
    stream = anthropic_stream.EventStream("auto", "msg_1")
    return b"".join(stream.pass_on(None, chunk) for chunk in chunks) + stream.ending()


def events_in(data):
    """The events as a client reads them: each names itself twice, the same way."""
    events = []
    for event in sse.Parser().feed(data):
        name, _, rest = event.raw.partition(b"\n")
        parsed = json.loads(event.data)
        assert name == b"event: " + parsed["type"].encode()
        assert rest.startswith(b"data: ") and rest.endswith(b"\n\n") and rest.count(b"\n") == 2
        events.append(parsed)
    return events


def message_in(events):
    """A message put together as this API documents it, with the order of its events checked on the way."""
    assert (
        events[0]["type"] == "message_start"
        and events[-1]["type"] == "message_stop"
        and events[-2]["type"] == "message_delta"
    )
    message, pieces, is_open = json.loads(json.dumps(events[0]["message"])), {}, False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
            is_open = True
            continue
        assert is_open and event["index"] == len(message["content"]) - 1
        block = message["content"][-1]
        if event["type"] == "content_block_stop":
            is_open = False
            if event["index"] in pieces:
                block["input"] = json.loads(pieces[event["index"]])
            continue
        assert event["type"] == "content_block_delta"
        delta = event["delta"]
        if delta["type"] == "text_delta":
            block["text"] += delta["text"]
        elif delta["type"] == "thinking_delta":
            block["thinking"] += delta["thinking"]
        elif delta["type"] == "signature_delta":
            block["signature"] = delta["signature"]
        else:
            pieces[event["index"]] = pieces.get(event["index"], "") + delta["partial_json"]
    assert not is_open
    message.update(events[-2]["delta"])
    message["usage"] |= events[-2]["usage"]
    return message


# Requests out.


def test_a_plain_request_gets_the_limit_that_this_api_demands():
    request = asked_of(
        chat(
            {"role": "system", "content": "Be brief."},
            user("Hi"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert request == {
        "model": "claude-x",
        "stream": True,
        "max_tokens": 4096,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }


def test_the_clients_limit_counts_under_either_name():
    assert asked_of(chat(user("Hi"), max_tokens=7))["max_tokens"] == 7
    assert asked_of(chat(user("Hi"), max_tokens=7, max_completion_tokens=9))["max_tokens"] == 9
    assert asked_of(chat(user("Hi"), max_tokens=None))["max_tokens"] == 4096


def test_system_messages_stand_apart_and_neighbours_of_one_role_are_one_turn():
    request = asked_of(
        chat(
            {"role": "system", "content": "A"},
            user("1"),
            user("2"),
            {"role": "developer", "content": "B"},
            {"role": "assistant", "content": "3"},
        )
    )

    assert request["system"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert request["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
    ]


def test_texts_of_white_space_alone_are_left_out_since_the_api_refuses_them():
    request = asked_of(
        chat(
            {"role": "system", "content": ""},
            user("1"),
            {"role": "assistant", "content": " \n"},
            user([{"type": "text", "text": ""}]),
        )
    )

    assert "system" not in request
    assert request["messages"] == [{"role": "user", "content": [{"type": "text", "text": "1"}]}]
    assert refused(asked_of, chat({"role": "system", "content": "A"}, user(" "))) == "messages"


def test_images_and_documents_travel_as_data_or_by_address():
    request = asked_of(
        chat(
            user(
                [
                    {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/jpg;base64,/9j/4AA=", "detail": "high"},
                    },
                    {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                    },
                ]
            )
        )
    )

    assert request["messages"][0]["content"] == [
        {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AA="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
    ]


def test_parallel_tool_calls_and_their_results_become_two_turns_with_the_results_first():
    calls = [
        {
            "id": "functions.f:0",
            "type": "function",
            "function": {"name": "f", "arguments": '{"x": 12345678901234567890, "y": null, "z": "é"}'},
        },
        {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]

    request = asked_of(
        chat(
            user("go"),
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": ""},
            user("well?"),
            {"role": "tool", "tool_call_id": "call_b", "content": [{"type": "text", "text": "2"}]},
        )
    )

    assert request["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "functions_f_0",
                    "name": "f",
                    "input": {"x": 12345678901234567890, "y": None, "z": "é"},
                },
                {"type": "tool_use", "id": "call_b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "functions_f_0", "content": ""},
                {"type": "tool_result", "tool_use_id": "call_b", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "well?"},
            ],
        },
    ]


def test_tools_are_described_as_this_api_does():
    tools = [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "does f",
                "parameters": {"type": "object", "required": ["x"]},
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "g", "strict": False}},
    ]

    request = asked_of(chat(user("go"), tools=tools, parallel_tool_calls=False))

    assert request["tools"] == [
        {
            "name": "f",
            "description": "does f",
            "input_schema": {"type": "object", "required": ["x"]},
            "strict": True,
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert request["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("choice", "theirs"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_a_tool_choice_keeps_its_meaning(choice, theirs):
    tools = [{"type": "function", "function": {"name": "f"}}]

    assert asked_of(chat(user("go"), tools=tools, tool_choice=choice))["tool_choice"] == theirs


def test_a_tool_choice_without_tools_is_told_only_if_it_demands_one():
    assert "tool_choice" not in asked_of(chat(user("go"), tool_choice="auto", parallel_tool_calls=False))
    assert asked_of(chat(user("go"), tool_choice={"type": "function", "function": {"name": "f"}}))[
        "tool_choice"
    ] == {"type": "tool", "name": "f"}


def test_tools_that_may_not_be_called_are_not_called_one_by_one_either():
    tools = [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]

    request = asked_of(chat(user("go"), tools=tools, tool_choice="none", parallel_tool_calls=False))

    assert request["tool_choice"] == {"type": "none"}
    assert request["tools"][0]["cache_control"] == {"type": "ephemeral"}


def test_sampling_is_told_only_where_it_differs_from_the_default():
    assert asked_of(chat(user("Hi"), temperature=0, top_p=0.5, top_k=40)) | {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
    } == asked_of(chat(user("Hi"), temperature=0, top_p=0.5, top_k=40))
    default = asked_of(
        chat(user("Hi"), temperature=1.7, top_p=1, n=1, frequency_penalty=0, logit_bias={}, logprobs=False)
    )
    assert default.keys() == {"model", "messages", "max_tokens"}


def test_stops_user_effort_and_schema_are_told_in_this_apis_words():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }

    request = asked_of(
        chat(
            user("Hi"),
            stop="END",
            user="u-1",
            reasoning_effort="minimal",
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": schema, "strict": True},
            },
        )
    )

    assert request["stop_sequences"] == ["END"]
    assert request["metadata"] == {"user_id": "u-1"}
    assert asked_of(chat(user("Hi"), user="u-1", safety_identifier="hash"))["metadata"] == {"user_id": "hash"}
    assert request["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    assert asked_of(chat(user("Hi"), reasoning_effort="none"))["thinking"] == {"type": "disabled"}


def test_fields_of_this_api_that_a_chat_client_sends_arrive_as_written():
    own = {"thinking": {"type": "adaptive"}, "top_k": 5, "cache_control": {"type": "ephemeral"}}

    assert asked_of(chat(user("Hi"), **own)).items() >= own.items()


@pytest.mark.parametrize("field", anthropic.ADVISORY_IN_CHAT)
def test_advice_is_left_out(field):
    if "[]" not in field:
        assert asked_of(chat(user("Hi"), **{field: {}})) == asked_of(chat(user("Hi")))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"stop": ["ok", "\n"]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_what_this_api_cannot_do_is_refused_by_name(fields, param):
    assert refused(asked_of, chat(user("Hi"), **fields)) == param


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "1"}, "messages[1].role"),
        (user([{"type": "input_audio", "input_audio": {}}]), "messages[1].content[0].type"),
        (
            user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]),
            "messages[1].content[0].image_url.url",
        ),
        (
            user([{"type": "image_url", "image_url": {"url": "data:image/png,raw"}}]),
            "messages[1].content[0].image_url.url",
        ),
        (user([{"type": "image_url"}]), "messages[1].content[0].image_url.url"),
        (user([{"type": "file", "file": {"file_id": "file-1"}}]), "messages[1].content[0].file"),
        ({"role": "tool", "content": "1"}, "messages[1].tool_call_id"),
        ({"role": "assistant", "content": None, "audio": {"id": "a"}}, "messages[1].audio"),
        ({"role": "assistant", "content": None, "tool_calls": {}}, "messages[1].tool_calls"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "custom"}]},
            "messages[1].tool_calls[0]",
        ),
    ],
)
def test_a_message_this_api_cannot_take_is_refused_by_its_place(message, param):
    assert refused(asked_of, chat(user("Hi"), message)) == param


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "5", '{"a": NaN}', '{"a": 1e999}', "nonsense"])
def test_tool_arguments_that_are_no_object_are_refused(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}

    assert (
        refused(asked_of, chat({"role": "assistant", "tool_calls": [call]}))
        == "messages[0].tool_calls[0].function.arguments"
    )


# The provider's stream as chunks.


def test_a_documented_stream_becomes_the_chunks_of_a_chat_completion():
    chunks = chunks_of(DOCUMENTED)

    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "They want "},
        {"reasoning_content": "the weather."},
        {
            "thinking_blocks": [
                {"type": "thinking", "thinking": "They want the weather.", "signature": "EqQBCg=="}
            ]
        },
        {"content": "Ich schaue "},
        {"content": "nach – 🌦"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "toolu_01",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Kö'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ln"}'}}]},
        {
            "tool_calls": [
                {
                    "index": 1,
                    "id": "toolu_02",
                    "type": "function",
                    "function": {"name": "now", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None] * 11 + [
        "tool_calls"
    ]
    assert chunks[-1] == {
        "id": "msg_01A",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "claude-x",
        "choices": [],
        "usage": {
            "prompt_tokens": 132,
            "completion_tokens": 89,
            "total_tokens": 221,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }


def test_the_chunks_assemble_to_the_whole_answer():
    answer = assembled(chunks_of(DOCUMENTED))

    assert answer["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Ich schaue nach – 🌦",
                "reasoning_content": "They want the weather.",
                "thinking_blocks": [DOCUMENTED_CONTENT[0]],
                "tool_calls": [
                    {
                        "id": "toolu_01",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
                    },
                    {"id": "toolu_02", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]
    assert answer["usage"]["total_tokens"] == 221


@pytest.mark.parametrize("cut", range(len(DOCUMENTED)))
def test_a_stream_that_breaks_off_anywhere_is_known_as_unfinished(cut):
    stream = anthropic_stream.ChunkStream(0)
    chunks = [chunk for event in DOCUMENTED[:cut] for chunk in stream.chunks_of(event)]

    assert not stream.ended
    whole = chunks_of(DOCUMENTED)
    assert [chunk["choices"] for chunk in chunks] == [chunk["choices"] for chunk in whole[: len(chunks)]]
    assert (stream.usage is None) == (cut == 0)


def test_message_stop_is_the_end():
    stream = anthropic_stream.ChunkStream(0)
    for event in DOCUMENTED:
        assert not stream.ended
        stream.chunks_of(event)

    assert stream.ended


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_each_stop_reason_has_its_finish_reason(reason, finish):
    (chunk,) = chunks_of(
        [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}]
    )

    assert chunk["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish}]


def test_a_refusal_says_why_and_a_stop_sequence_which():
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    (chunk,) = chunks_of(
        [
            {
                "type": "message_delta",
                "delta": {"stop_reason": "refusal", "stop_details": details},
                "usage": {"output_tokens": 0},
            }
        ]
    )
    assert chunk["choices"][0]["delta"] == {"refusal": "Not this."}

    (chunk,) = chunks_of(
        [{"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}]
    )
    assert chunk["choices"][0]["stop_reason"] == "END"


def test_an_error_event_becomes_an_error_with_its_status():
    (chunk,) = chunks_of([{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}])

    assert openai_chat.error_of(chunk) == {
        "message": "Overloaded",
        "type": "overloaded_error",
        "param": None,
        "code": 529,
    }


def test_a_tool_input_that_comes_whole_is_told_once():
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "ü"}}
    start, stop = (
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
    )

    assert deltas_of([start, stop])[1] == {
        "tool_calls": [{"index": 0, "function": {"arguments": '{"a":"ü"}'}}]
    }


def test_a_text_that_begins_with_its_block_is_not_lost():
    assert deltas_of(
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "He"}}]
    ) == [{"content": "He"}]


def test_redacted_thinking_is_kept_to_be_handed_back():
    block = {"type": "redacted_thinking", "data": "EmwKAhgB"}
    start, stop = (
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
    )

    (delta,) = deltas_of([start, stop])
    assert asked_of(chat(user("Hi"), {"role": "assistant", "content": "", **delta}))["messages"][1][
        "content"
    ] == [block]


def test_events_and_blocks_of_new_kinds_are_passed_over():
    server_tool = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}

    assert (
        chunks_of(
            [
                {"type": "ping"},
                {"type": "a_new_event", "x": 1},
                {"type": "content_block_start", "index": 0, "content_block": server_tool},
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": "{}"},
                },
                {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta"}},
                {"type": "content_block_stop", "index": 0},
            ]
        )
        == []
    )


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "x",
        {},
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        {"type": "message_start", "message": None},
        {"type": "error", "error": "overloaded"},
        {"type": "message_delta", "delta": None},
    ],
)
def test_what_is_no_event_of_this_api_is_said_to_be_none(event):
    with pytest.raises(ValueError, match="not an event"):
        chunks_of([event])


# An Anthropic client's request.


def chat_of(body):
    anthropic.check_messages(body)
    made = anthropic.chat_request_of(body)
    openai_chat.check_chat(made)
    return made


def test_a_coding_agents_request_becomes_a_chat_request():
    body = messages(
        user(
            [
                {"type": "text", "text": "<system-reminder>"},
                {"type": "text", "text": "fix it", "cache_control": {"type": "ephemeral"}},
            ]
        ),
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Read first.", "signature": ""},
                {"type": "text", "text": "Reading."},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "Read",
                    "input": {"path": "ä.py", "limit": 10**30},
                },
                {"type": "tool_use", "id": "toolu_2", "name": "Now", "input": {}},
            ],
        },
        user(
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no clock", "is_error": True},
                {"type": "text", "text": "go on"},
            ]
        ),
        system=[
            {"type": "text", "text": "You code."},
            {"type": "text", "text": "Well.", "cache_control": {"type": "ephemeral"}},
        ],
        tools=[
            {
                "name": "Read",
                "description": "reads",
                "input_schema": {"type": "object"},
                "eager_input_streaming": True,
            }
        ],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2048},
        metadata={"user_id": "u"},
        stop_sequences=["END"],
        temperature=0,
        top_k=3,
        stream=True,
        output_config={"effort": "max"},
        context_management={"edits": []},
    )

    assert chat_of(body) == {
        "model": "auto",
        "max_tokens": 100,
        "stream": True,
        "temperature": 0,
        "top_k": 3,
        "stop": ["END"],
        "user": "u",
        "reasoning_effort": "high",
        "tools": [
            {
                "type": "function",
                "function": {"name": "Read", "description": "reads", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "messages": [
            {"role": "system", "content": "You code.\nWell."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>"},
                    {"type": "text", "text": "fix it"},
                ],
            },
            {
                "role": "assistant",
                "content": "Reading.",
                "reasoning_content": "Read first.",
                "tool_calls": [
                    {
                        "id": "toolu_1",
                        "type": "function",
                        "function": {
                            "name": "Read",
                            "arguments": '{"path":"ä.py","limit":' + str(10**30) + "}",
                        },
                    },
                    {"id": "toolu_2", "type": "function", "function": {"name": "Now", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "a\nb"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no clock"},
            {"role": "user", "content": "go on"},
        ],
    }


def test_a_turn_that_only_calls_tools_has_no_content():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}

    assert (
        chat_of(messages(user("Hi"), {"role": "assistant", "content": [call]}))["messages"][1]["content"]
        is None
    )


def test_what_a_tool_shows_follows_its_result():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}

    made = chat_of(
        messages(
            user(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "text", "text": "a cat"}, image],
                    }
                ]
            )
        )
    )

    assert made["messages"] == [
        {"role": "tool", "tool_call_id": "t", "content": "a cat"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
        },
    ]


def test_documents_become_files_or_text():
    pdf = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        "title": "a.pdf",
    }
    text = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "body"},
        "title": "T",
    }
    parts = {
        "type": "document",
        "source": {
            "type": "content",
            "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        },
    }
    found = {
        "type": "search_result",
        "title": "T",
        "source": "https://x",
        "content": [{"type": "text", "text": "hit"}],
    }

    made = chat_of(messages(user([pdf, text, parts, found])))

    assert made["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "T\nbody"},
        {"type": "text", "text": "one\ntwo"},
        {"type": "text", "text": "T\nhttps://x\nhit"},
    ]


def test_an_instruction_in_mid_conversation_joins_the_users_turn():
    told = {"role": "system", "content": [{"type": "text", "text": "Three agents\nare there."}]}
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    result = user([{"type": "tool_result", "tool_use_id": "t", "content": "1"}])

    made = chat_of(
        messages(
            user("Hi"), told, call, result, {"role": "system", "content": "Be brief."}, system="You code."
        )
    )

    assert [message["role"] for message in made["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert made["messages"][1]["content"] == [
        {"type": "text", "text": "Hi"},
        {"type": "text", "text": "<system-reminder>\nThree agents\nare there.\n</system-reminder>"},
    ]
    assert made["messages"][4]["content"] == [
        {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"}
    ]


def test_an_instruction_before_the_first_turn_stays_one():
    assert chat_of(messages({"role": "system", "content": "Be brief."}, user("Hi")))["messages"][0] == {
        "role": "system",
        "content": "Be brief.",
    }


def test_a_coding_agents_billing_label_does_not_reach_the_prompt():
    label = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.d7d; cc_entrypoint=cli;"}

    assert chat_of(messages(user("Hi"), system=[label, {"type": "text", "text": "You code."}]))["messages"][
        0
    ] == {"role": "system", "content": "You code."}
    assert chat_of(messages(user("Hi"), system=[label]))["messages"] == [user("Hi")]


def test_a_long_user_id_becomes_a_digest_that_every_provider_takes():
    agent = '{"device_id":"' + "a" * 64 + '","session_id":"34cccd8f"}'

    digest = chat_of(messages(user("Hi"), metadata={"user_id": agent}))["user"]

    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == chat_of(messages(user("Hi"), metadata={"user_id": agent}))["user"]
    assert digest != chat_of(messages(user("Hi"), metadata={"user_id": agent + "b"}))["user"]
    assert chat_of(messages(user("Hi"), metadata={"user_id": "u" * 64}))["user"] == "u" * 64


def test_an_empty_turn_stays_a_turn():
    made = chat_of(messages(user(""), {"role": "assistant", "content": []}, user([])))

    assert made["messages"] == [user(""), {"role": "assistant", "content": ""}, user("")]


@pytest.mark.parametrize(
    ("choice", "ours"),
    [("auto", "auto"), ("any", "required"), ("none", "none")],
)
def test_a_clients_tool_choice_keeps_its_meaning(choice, ours):
    assert chat_of(messages(user("Hi"), tool_choice={"type": choice}))["tool_choice"] == ours


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image", "source": {}}]}, "system[0].type"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [user([5])]}, "messages[0].content[0]"),
        ({"messages": [user([{"type": "text"}])]}, "messages[0].content[0].text"),
        (
            {"messages": [user([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [user([{"type": "tool_result", "content": "x"}])]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"messages": [user([{"type": "tool_result", "tool_use_id": "t", "content": 5}])]},
            "messages[0].content[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}],
                    }
                ]
            },
            "messages[0].content[0].input",
        ),
        (
            {"messages": [user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [user([{"type": "image", "source": {"type": "base64", "data": "x"}}])]},
            "messages[0].content[0].source.media_type",
        ),
        (
            {"messages": [user([{"type": "document", "source": {"type": "text"}}])]},
            "messages[0].content[0].source.data",
        ),
        ({"tools": "x"}, "tools"),
        ({"tools": [{"input_schema": {}}]}, "tools[0]"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.type"),
        ({"tool_choice": {"type": []}}, "tool_choice.type"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json"}}}, "output_config.format"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
    ],
)
def test_a_faulty_messages_request_is_refused_by_name(fields, param):
    assert refused(chat_of, {**messages(user("Hi")), **fields}) == param


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(BadRequest, match="object"):
        anthropic.check_messages([])


# What is encoded is decoded again.


TEXTS = ["a", "Grüße 你好 🌦\u200d", 'quote " and \\ and \n', "\ud83d", "null", " x ", "</tool>"]
VALUES = ["", None, True, 0, -1, 10**40, 0.1, 1e-7, [], {}, "é", [None, {"": ""}], {"ключ": [1.5, "\x00"]}]


def some_request(rng):
    """A Messages request with only what both APIs can say, in the form that `request_of` gives."""
    turns, asked = [], []
    for _ in range(rng.randint(1, 4)):
        blocks = [
            {"type": "tool_result", "tool_use_id": id, "content": rng.choice(["", *TEXTS])} for id in asked
        ]
        if not blocks or rng.random() < 0.5:
            blocks.append({"type": "text", "text": rng.choice(TEXTS)})
            if rng.random() < 0.5:
                blocks.append(
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
                )
        turns.append(user(blocks))
        asked = [f"toolu_{len(turns)}_{i}" for i in range(rng.randint(0, 3))]
        said = (
            [{"type": "thinking", "thinking": rng.choice(["", *TEXTS]), "signature": "sig"}]
            if rng.random() < 0.3
            else []
        )
        said += [{"type": "text", "text": rng.choice(TEXTS)}] if not asked or rng.random() < 0.5 else []
        said += [
            {"type": "tool_use", "id": id, "name": "f", "input": {str(i): rng.choice(VALUES)}}
            for i, id in enumerate(asked)
        ]
        turns.append({"role": "assistant", "content": said})
    fields = {
        "system": rng.choice(TEXTS),
        "stop_sequences": ["a", "é"],
        "temperature": rng.choice([0, 0.3]),
        "top_p": 0.9,
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "tools": [
            {
                "name": "f",
                "description": "d",
                "input_schema": {"type": "object", "properties": {"a": {}}},
                "strict": True,
            }
        ],
        "stream": rng.choice([True, False]),
        "output_config": {
            "effort": "medium",
            "format": {"type": "json_schema", "schema": {"type": "object"}},
        },
        "tool_choice": rng.choice(
            [
                {"type": "any"},
                {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
                {"type": "none"},
            ]
        ),
    }
    kept = {
        name: value
        for name, value in fields.items()
        if name in ("tools", "tool_choice") or rng.random() < 0.6
    }
    return messages(
        *turns,
        user(
            [{"type": "tool_result", "tool_use_id": id, "content": "1"} for id in asked]
            or [{"type": "text", "text": "?"}]
        ),
        **kept,
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_request_survives_the_way_through_chat_completions(seed):
    request = some_request(random.Random(seed))

    as_chat = json.loads(openai_chat.dumps(chat_of(request)))
    again = asked_of(as_chat)

    assert again == request
    assert chat_of(again) == as_chat


def some_events(rng):
    """A provider's stream of random blocks cut into random pieces, and the message it tells."""
    content = []
    for _ in range(rng.randint(0, 2)):
        redacted = rng.random() < 0.3
        content.append(
            {"type": "redacted_thinking", "data": "x"}
            if redacted
            else {"type": "thinking", "thinking": rng.choice(["", *TEXTS]), "signature": "s"}
        )
    if rng.random() < 0.7:
        content.append({"type": "text", "text": rng.choice(TEXTS) * rng.randint(1, 3)})
    for i in range(rng.randint(0, 3)):
        content.append(
            {
                "type": "tool_use",
                "id": f"t{i}",
                "name": "f",
                "input": {str(k): rng.choice(VALUES) for k in range(rng.randint(0, 2))},
            }
        )
    stop = {
        "stop_reason": rng.choice(["end_turn", "max_tokens", "refusal"]),
        "stop_sequence": None,
        "stop_details": None,
    }
    if any(block["type"] == "tool_use" for block in content):
        stop["stop_reason"] = "tool_use"
    elif rng.random() < 0.3:
        stop = {"stop_reason": "stop_sequence", "stop_sequence": rng.choice(["", "é"]), "stop_details": None}
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": rng.randint(0, 9),
        "output_tokens": rng.randint(0, 9),
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "auto",
        "content": content,
        **stop,
        "usage": usage,
    }
    events = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}]
    for index, block in enumerate(content):
        events += list(events_of_block(rng, index, block))
    return [
        *events,
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": usage["output_tokens"]}},
        {"type": "message_stop"},
    ], message


def events_of_block(rng, index, block):
    kind = block["type"]
    empty = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }.get(kind, {})
    yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
    pieces = {
        "text": ("text_delta", "text"),
        "thinking": ("thinking_delta", "thinking"),
        "tool_use": ("input_json_delta", "partial_json"),
    }
    name, field = pieces.get(kind, (None, None))
    rest = json.dumps(block["input"]) if kind == "tool_use" and block["input"] else block.get(field, "")
    while rest:
        cut = rng.randint(1, len(rest))
        yield {"type": "content_block_delta", "index": index, "delta": {"type": name, field: rest[:cut]}}
        rest = rest[cut:]
    if kind == "thinking":
        yield {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "signature_delta", "signature": block["signature"]},
        }
    yield {"type": "content_block_stop", "index": index}


@pytest.mark.parametrize("seed", range(80))
def test_a_stream_survives_the_way_through_chunks(seed):
    events, message = some_events(random.Random(seed))

    chunks = json.loads(openai_chat.dumps(chunks_of(events)))

    assert message_in(events_in(sent_for(chunks))) == message
    assert anthropic_stream.answer_of(assembled(chunks), "auto", "msg_1") == message


JUNK = [
    None,
    True,
    5,
    -1.5,
    "",
    "x",
    [],
    [5],
    {},
    {"type": 5},
    {"type": "text"},
    [{"type": "text"}],
    ["x", None],
]


def spoilt(rng, value):
    """A copy of a JSON value with one thing in it replaced by junk."""
    value = json.loads(json.dumps(value))
    holders = [(None, None)]
    at = [value]
    while at:
        holder = at.pop()
        for key in range(len(holder)) if isinstance(holder, list) else list(holder):
            holders.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                at.append(holder[key])
    holder, key = rng.choice(holders)
    if holder is None:
        return rng.choice(JUNK)
    holder[key] = rng.choice(JUNK)
    return value


def with_one_spoilt(rng, items):
    at = rng.randrange(len(items))
    return [*items[:at], spoilt(rng, items[at]), *items[at + 1 :]]


@pytest.mark.parametrize("seed", range(40))
def test_junk_in_a_clients_request_is_refused_by_name_or_harmless(seed):
    rng = random.Random(seed)
    body = some_request(rng)
    as_chat = {**chat_of(body), "reasoning_effort": "low", "user": "u", "stop": "x"}

    for _ in range(50):
        for check, translate, good in (
            (anthropic.check_messages, anthropic.chat_request_of, body),
            (openai_chat.check_chat, asked_of, as_chat),
        ):
            bad = spoilt(rng, good)
            try:
                check(bad)
                translate(bad)
            except BadRequest as error:
                assert error.param or not isinstance(bad, dict)


@pytest.mark.parametrize("seed", range(40))
def test_junk_from_a_provider_is_told_as_its_failure(seed):
    rng = random.Random(seed)
    events, _ = some_events(rng)
    chunks = chunks_of(events)

    for _ in range(50):
        with contextlib.suppress(ValueError):
            chunks_of(with_one_spoilt(rng, events))
        with contextlib.suppress(ValueError, UpstreamError):
            sent_for(
                [openai_chat.parse_chunk(openai_chat.dumps(chunk)) for chunk in with_one_spoilt(rng, chunks)]
            )
        with contextlib.suppress(UpstreamError):
            anthropic_stream.answer_of(spoilt(rng, assembled(chunks)), "auto", "msg_1")


# Answers to an Anthropic client.


def chunk(delta, finish_reason=None, **more):
    return {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, **more}],
    }


def test_the_events_of_a_plain_answer_are_these_bytes():
    stream = anthropic_stream.EventStream("auto", "msg_1")

    sent = [
        stream.pass_on(None, chunk({"role": "assistant", "content": ""})),
        stream.pass_on(None, chunk({"content": "é"})),
        stream.pass_on(None, chunk({}, "stop")),
        stream.pass_on(None, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
        stream.ending(),
    ]

    assert sent == [
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        b'"role":"assistant","model":"auto","content":[],'
        b'"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,'
        b'"cache_read_input_tokens":0,"output_tokens":0}}}\n\n',
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"\\u00e9"}}\n\n',
        b"",
        b"",
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta",'
        b'"delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null},'
        b'"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]


def test_a_ping_is_these_bytes():
    assert anthropic_stream.PING == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_reasoning_text_and_parallel_tools_become_blocks_in_order():
    call = {"type": "function"}

    message = message_in(
        events_in(
            sent_for(
                [
                    chunk({"reasoning": "hm"}),
                    chunk({"reasoning_content": "m"}),
                    chunk({"content": "ok"}),
                    chunk(
                        {
                            "tool_calls": [
                                {
                                    "index": 0,
                                    "id": "a",
                                    **call,
                                    "function": {"name": "f", "arguments": '{"x"'},
                                }
                            ]
                        }
                    ),
                    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
                    chunk(
                        {
                            "tool_calls": [
                                {"index": 1, "id": "b", **call, "function": {"name": "g", "arguments": "{}"}}
                            ]
                        }
                    ),
                    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}),
                    chunk({}, "stop"),
                ]
            )
        )
    )

    assert message["content"] == [
        {"type": "thinking", "thinking": "hmm", "signature": anthropic.UNSIGNED},
        {"type": "text", "text": "ok"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_without_a_number_or_all_with_the_same_are_told_apart_by_their_ids(index):
    calls = [{**index, "id": id, "function": {"name": id, "arguments": '{"a":1}'}} for id in "ab"]

    message = message_in(events_in(sent_for([chunk({"tool_calls": calls}), chunk({}, "tool_calls")])))

    assert [(block["id"], block["input"]) for block in message["content"]] == [
        ("a", {"a": 1}),
        ("b", {"a": 1}),
    ]


def test_a_call_without_an_id_gets_one_of_its_own():
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    chunks = [chunk({"tool_calls": [call]}), chunk({}, "tool_calls")]

    streamed = message_in(events_in(sent_for(chunks)))
    whole = anthropic_stream.answer_of(assembled(chunks), "auto", "msg_1")

    assert (
        streamed["content"]
        == whole["content"]
        == [{"type": "tool_use", "id": "toolu_msg_1_0", "name": "f", "input": {}}]
    )


def test_a_server_that_ends_twice_is_taken_at_its_first_word():
    message = message_in(events_in(sent_for([chunk({"content": "a"}, "length"), chunk({}, "stop")])))

    assert message["stop_reason"] == "max_tokens"


def test_mixed_up_pieces_of_tool_calls_end_the_stream():
    stream = anthropic_stream.EventStream("auto", "msg_1")
    for index in (0, 1):
        stream.pass_on(
            None,
            chunk(
                {
                    "tool_calls": [
                        {"index": index, "id": str(index), "function": {"name": "f", "arguments": "{"}}
                    ]
                }
            ),
        )

    with pytest.raises(StreamBroken):
        stream.pass_on(None, chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}))


def test_an_answer_without_any_word_is_still_a_message():
    message = message_in(events_in(anthropic_stream.EventStream("auto", "msg_1").ending()))

    assert (message["content"], message["stop_reason"]) == ([], "end_turn")


def test_only_the_first_choice_is_told():
    other = {"id": "c", "choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}

    message = message_in(events_in(sent_for([chunk({"content": "yes"}), other, chunk({}, "stop")])))

    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "yes"}], "end_turn")


def test_the_stream_knows_when_it_is_finished():
    stream = anthropic_stream.EventStream("auto", "msg_1")
    stream.pass_on(None, chunk({"content": "a"}))
    assert not stream.finished

    stream.pass_on(None, chunk({}, "length"))
    assert stream.finished


@pytest.mark.parametrize(
    ("finish", "more", "stop"),
    [
        ("stop", {}, ("end_turn", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 128009}, ("end_turn", None)),
        ("length", {}, ("max_tokens", None)),
        ("content_filter", {}, ("refusal", None)),
        ("tool_calls", {}, ("tool_use", None)),
        (None, {}, ("end_turn", None)),
    ],
)
def test_each_finish_reason_has_its_stop_reason(finish, more, stop):
    completion = {"choices": [{"message": {"content": "x"}, "finish_reason": finish, **more}]}

    message = anthropic_stream.answer_of(completion, "auto", "msg_1")

    assert (message["stop_reason"], message["stop_sequence"]) == stop


def test_a_refusal_is_told_where_this_api_tells_it():
    message = anthropic_stream.answer_of(
        {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]},
        "auto",
        "msg_1",
    )

    assert message["stop_reason"] == "refusal"
    assert message["stop_details"] == {"type": "refusal", "category": None, "explanation": "No."}
    assert message["content"] == []


def test_tool_arguments_that_are_no_object_are_the_providers_failure():
    call = {"id": "a", "function": {"name": "f", "arguments": '{"x": '}}
    completion = {
        "choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]
    }

    with pytest.raises(UpstreamError, match="'f'"):
        anthropic_stream.answer_of(completion, "auto", "msg_1")

    completion["choices"][0]["finish_reason"] = "length"
    message = anthropic_stream.answer_of(completion, "auto", "msg_1")
    assert (message["content"][0]["input"], message["stop_reason"]) == ({}, "max_tokens")


@pytest.mark.parametrize(
    ("status", "type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(status, type):
    assert anthropic.error_body("No.", status) == {"type": "error", "error": {"type": type, "message": "No."}}


def test_an_error_in_mid_stream_is_an_event_of_its_own():
    assert anthropic_stream.error_event("Lost.", 502, "dba46d38") == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Lost."},'
        b'"request_id":"dba46d38"}\n\n'
    )


# Anthropic's SDK as the judge.


@pytest.fixture
def sdk_reads():
    """A function: bytes of a stream in, the SDK's message out, through its own client."""
    sdk = pytest.importorskip("anthropic")
    http = pytest.importorskip("httpx2")

    def reads(data):
        def answer(request):
            return http.Response(200, headers={"content-type": "text/event-stream"}, content=data)

        client = sdk.Anthropic(
            api_key="k", max_retries=0, http_client=http.Client(transport=http.MockTransport(answer))
        )
        with client.messages.stream(model="auto", max_tokens=10, messages=[user("Hi")]) as stream:
            for _ in stream:
                pass
            return stream.get_final_message()

    return reads


def test_the_sdk_reads_our_events_as_the_same_message(sdk_reads):
    message = sdk_reads(sent_for(chunks_of(DOCUMENTED)) + anthropic_stream.PING)

    assert message.to_dict()["content"] == DOCUMENTED_CONTENT
    assert message.stop_reason == "tool_use"
    assert message.to_dict()["usage"] == DOCUMENTED_USAGE


@pytest.mark.parametrize("seed", range(20))
def test_the_sdk_accepts_every_event_and_every_whole_answer_by_its_types(seed, sdk_reads):
    types, pydantic = pytest.importorskip("anthropic.types"), pytest.importorskip("pydantic")
    events, message = some_events(random.Random(1000 + seed))
    chunks = chunks_of(events)

    answer = anthropic_stream.answer_of(assembled(chunks), "auto", "msg_1")

    types.Message.model_validate(answer)
    for event in events_in(sent_for(chunks)):
        pydantic.TypeAdapter(types.RawMessageStreamEvent).validate_python(event)
    read = sdk_reads(sent_for(chunks)).to_dict()
    assert (read["content"], read["stop_reason"]) == (message["content"], message["stop_reason"])


@pytest.mark.parametrize("cut", range(1, len(DOCUMENTED) + 3))
def test_the_sdk_raises_our_error_wherever_the_stream_breaks(cut, sdk_reads):
    anthropic_sdk = pytest.importorskip("anthropic")
    stream = anthropic_stream.EventStream("auto", "msg_1")
    sent = b"".join(stream.pass_on(None, chunk) for chunk in chunks_of(DOCUMENTED)[:cut])

    with pytest.raises(anthropic_sdk.APIError, match="broke off"):
        sdk_reads(sent + anthropic_stream.error_event("the provider broke off", 502))
