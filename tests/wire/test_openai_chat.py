"""The formats: what is encoded decodes again, wherever the bytes are cut, and a stream keeps its promises."""

import json

import pytest

from errors import BadRequest
from wire import openai_chat, sse
from wire.envelope import Envelope
from wire.openai_chat import (
    Assembly,
    Relay,
    answer_text,
    chunk_of,
    dumps,
    error_of,
    first_choice,
    has_content,
    parse_chunk,
)


def chunk(delta, finish=None, index=0, **more):
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def usage_chunk(**more):
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": usage,
        **more,
    }


def assembled(*chunks):
    assembly = Assembly()
    for each in chunks:
        assembly.add(each)
    return assembly.answer()


def message_of(*deltas):
    return assembled(*(chunk(delta) for delta in deltas), chunk({}, "stop"))["choices"][0]["message"]


def parsed(stream, cuts=()):
    """The events of a byte stream fed in pieces cut at these places."""
    parser, events, start = sse.Parser(), [], 0
    for end in [*cuts, len(stream)]:
        events += parser.feed(stream[start:end])
        start = end
    last = parser.flush()
    return [*events, last] if last else events


# Events.

STREAMS = {
    "LF": b'data: {"a":1}\n\n: comment\n\n'
    b"event: x\nid: 7\ndata: one\ndata: two\n\ndata:tight\n\ndata: [DONE]\n\n",
    "CRLF": b'data: {"a":1}\r\n\r\n: comment\r\n\r\n'
    b"event: x\r\nid: 7\r\ndata: one\r\ndata: two\r\n\r\ndata:tight\r\n\r\ndata: [DONE]\r\n\r\n",
    "CR": b'data: {"a":1}\r\r: comment\r\r'
    b"event: x\rid: 7\rdata: one\rdata: two\r\rdata:tight\r\rdata: [DONE]\r\r",
    "mixed": b'data: {"a":1}\n\r\n: comment\r\n\n'
    b"event: x\rid: 7\ndata: one\r\ndata: two\n\ndata:tight\r\r\ndata: [DONE]\n\n\n",
}
SAID = [b'{"a":1}', None, b"one\ntwo", b"tight", b"[DONE]"]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_events_are_the_same_wherever_the_stream_is_cut(stream):
    for cut in range(len(stream) + 1):
        events = parsed(stream, [cut])

        assert [event.data for event in events] == SAID, cut
        assert events[-1].is_done


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_events_come_one_byte_at_a_time_too(stream):
    assert [event.data for event in parsed(stream, range(1, len(stream)))] == SAID


@pytest.mark.parametrize("kind", ["LF", "CRLF", "CR"])
def test_the_bytes_of_the_events_are_the_bytes_of_the_stream(kind):
    stream = STREAMS[kind]

    for cut in range(len(stream) + 1):
        assert b"".join(event.raw for event in parsed(stream, [cut])) == stream


@pytest.mark.parametrize("kind", ["LF", "CRLF", "CR"])
def test_an_event_is_given_out_as_soon_as_its_blank_line_is_there(kind):
    stream, parser = STREAMS[kind], sse.Parser()
    first = stream.index(b": comment")

    assert parser.feed(stream[: first - 1]) == []
    assert [event.raw for event in parser.feed(stream[first - 1 : first])] == [stream[:first]]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"])
def test_a_last_event_without_a_blank_line_is_not_lost(end):
    events = parsed(b"data: one\n\ndata: two" + end)

    assert [event.data for event in events] == [b"one", b"two"]


def test_a_stream_may_end_after_line_ends_only():
    assert [event.data for event in parsed(b"data: one\n\n\n")] == [b"one"]


@pytest.mark.parametrize(
    "empty", [b": ping\n\n", b"event: ping\n\n", b"data:\n\n", b"data: \n\n", b"retry: 5\n\n", b":\r\n\r\n"]
)
def test_an_event_that_says_nothing_has_no_data(empty):
    (event,) = parsed(empty)

    assert event == sse.Event(empty, None)


def test_an_event_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    parser = sse.Parser()
    parser.feed(b"data: " + b"x" * 90)

    with pytest.raises(ValueError, match="does not end"):
        parser.feed(b"x" * 90)


def test_done_may_stand_close_or_apart():
    assert all(event.is_done for event in parsed(b"data: [DONE]\n\ndata:[DONE]\n\ndata:  [DONE] \r\n\r\n"))


# Chunks.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"what?",
        b"42",
        b"[]",
        b'"x"',
        b'{"choices":5}',
        b'{"choices":["x"]}',
        b'{"choices":[{"delta":"x"}]}',
        b"\xff",
    ],
)
def test_what_is_no_chunk_is_refused(data):
    with pytest.raises(ValueError):
        parse_chunk(data)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"tool_calls": [{"index": 0}]},
        {"refusal": "no"},
    ],
)
def test_a_chunk_that_brings_something_is_content(delta):
    assert has_content(chunk(delta))


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"content": None, "tool_calls": []},
        None,
    ],
)
def test_a_chunk_that_brings_nothing_yet_is_no_content(delta):
    assert not has_content(chunk(delta))


def test_an_end_is_content_and_usage_is_none():
    assert has_content(chunk({}, "stop"))
    assert not has_content(usage_chunk())


def test_only_the_first_choice_is_spoken_of():
    assert [
        answer_text(first_choice(chunk({"content": word}, index=index)))
        for word, index in (("one", 0), ("two", 1))
    ] == [
        "one",
        "",
    ]


# Whole answers.


def test_content_and_reasoning_grow_piece_by_piece():
    message = message_of(
        {"role": "assistant", "content": ""},
        {"reasoning_content": "six "},
        {"reasoning_content": "sevens"},
        {"content": "forty"},
        {"content": "-two"},
    )

    assert message == {"role": "assistant", "content": "forty-two", "reasoning_content": "six sevens"}


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOL_STREAMS = {
    "with an index": [
        {"tool_calls": [{"index": 0, **call("a", "now", "")}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"tz":'}}]},
        {"tool_calls": [{"index": 1, **call("b", "sum", "[1")}]},
        {
            "tool_calls": [
                {"index": 0, "function": {"arguments": '"UTC"}'}},
                {"index": 1, "function": {"arguments": ",2]"}},
            ]
        },
    ],
    "repeating id, type and name": [
        {"tool_calls": [{"index": 0, **call("a", "now", '{"tz":')}]},
        {"tool_calls": [{"index": 0, **call("a", "now", '"UTC"}')}]},
        {"tool_calls": [{"index": 1, **call("b", "sum", "[1")}, {"index": 1, **call("b", "", ",2]")}]},
    ],
    "without an index": [
        {"tool_calls": [call("a", "now", '{"tz":')]},
        {"tool_calls": [{"function": {"arguments": '"UTC"}'}}]},
        {"tool_calls": [call("b", "sum", "[1")]},
        {"tool_calls": [{"function": {"arguments": ",2]"}}]},
    ],
    "without an index, repeating the id": [
        {"tool_calls": [call("a", "now", '{"tz":')]},
        {"tool_calls": [call("a", "now", '"UTC"}')]},
        {"tool_calls": [call("b", "sum", "[1")]},
        {"tool_calls": [call("b", "sum", ",2]")]},
    ],
    "whole, in one piece": [{"tool_calls": [call("a", "now", '{"tz":"UTC"}'), call("b", "sum", "[1,2]")]}],
    "whole, every index 0": [
        {"tool_calls": [{"index": 0, **call("a", "now", '{"tz":"UTC"}')}]},
        {"tool_calls": [{"index": 0, **call("b", "sum", "[1,2]")}]},
    ],
    "the id coming late": [
        {
            "tool_calls": [
                {"index": 0, "type": "function", "function": {"name": "now", "arguments": '{"tz":'}}
            ]
        },
        {"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": '"UTC"}'}}]},
        {"tool_calls": [{"index": 1, **call("b", "sum", "[1,2]")}]},
    ],
}


@pytest.mark.parametrize("deltas", TOOL_STREAMS.values(), ids=TOOL_STREAMS.keys())
def test_parallel_tool_calls_are_put_together(deltas):
    answer = assembled(*(chunk(delta) for delta in deltas), chunk({}, "tool_calls"))

    assert answer["choices"][0]["message"]["tool_calls"] == [
        call("a", "now", '{"tz":"UTC"}'),
        call("b", "sum", "[1,2]"),
    ]
    assert answer["choices"][0]["message"]["content"] is None
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_the_old_function_call_is_put_together():
    message = message_of(
        {"function_call": {"name": "now", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
        {"function_call": {"arguments": "}"}},
    )

    assert message["function_call"] == {"name": "now", "arguments": "{}"}


def test_logprobs_come_one_after_the_other():
    def told(word):
        return {
            "content": [
                {
                    "token": word,
                    "logprob": -0.5,
                    "bytes": [120],
                    "top_logprobs": [{"token": word, "logprob": -0.5}],
                }
            ],
            "refusal": None,
        }

    chunks = [chunk({"content": word}) for word in ("a", "b")]
    for each, word in zip(chunks, "ab", strict=True):
        each["choices"][0]["logprobs"] = told(word)
    end = chunk({}, "stop")
    end["choices"][0]["logprobs"] = None

    answer = assembled(*chunks, end)

    assert answer["choices"][0]["logprobs"] == {
        "content": told("a")["content"] + told("b")["content"],
        "refusal": None,
    }


def test_two_choices_are_kept_apart_and_come_in_order():
    answer = assembled(
        chunk({"content": "B"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "b"}, "stop"),
        chunk({"content": "C"}, "length", index=1),
    )

    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"])
        for choice in answer["choices"]
    ] == [
        (0, "ab", "stop"),
        (1, "BC", "length"),
    ]


def test_a_refusal_is_kept():
    assert message_of({"refusal": "I can"}, {"refusal": "not"}) == {
        "role": "assistant",
        "content": None,
        "refusal": "I cannot",
    }


def test_usage_citations_and_fields_nobody_knows_are_kept():
    answer = assembled(
        chunk({"content": "x", "surprise": {"a": [1], "b": "p"}}, system_fingerprint="fp", usage=None),
        chunk({"surprise": {"a": [2], "b": "q"}}, "stop", citations=["https://a.example"], cost={"usd": 1}),
        usage_chunk(),
    )

    assert answer == {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "system_fingerprint": "fp",
        "citations": ["https://a.example"],
        "cost": {"usd": 1},
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x", "surprise": {"a": [1, 2], "b": "pq"}},
                "finish_reason": "stop",
            }
        ],
    }


def test_an_answer_so_far_beside_each_piece_is_not_added_twice():
    chunks = [chunk({"content": word}) for word in ("forty", "-two")]
    for each, so_far in zip(chunks, ("forty", "forty-two"), strict=True):
        each["choices"][0]["message"] = {"role": "assistant", "content": so_far}

    assert assembled(*chunks)["choices"][0]["message"] == {"role": "assistant", "content": "forty-two"}


def test_a_text_completion_is_put_together():
    def piece(text, finish, tokens):
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [-1.0] * len(tokens),
            "top_logprobs": None,
            "text_offset": list(range(len(tokens))),
        }
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {"id": "t", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    answer = assembled(piece("Once", None, ["On", "ce"]), piece(" upon", "length", [" upon"]))

    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "text": "Once upon",
            "logprobs": {
                "tokens": ["On", "ce", " upon"],
                "token_logprobs": [-1.0] * 3,
                "top_logprobs": None,
                "text_offset": [0, 1, 0],
            },
            "finish_reason": "length",
        }
    ]


@pytest.mark.parametrize(
    ("delta", "finish"),
    [({"content": "x"}, "stop"), ({"tool_calls": [{"index": 0, **call("a", "f", "{}")}]}, "tool_calls")],
)
def test_an_answer_always_has_a_finish_reason(delta, finish):
    assert assembled(chunk(delta))["choices"][0]["finish_reason"] == finish


def test_an_answer_is_finished_when_every_choice_is():
    assembly = Assembly()
    seen = []

    for each in (
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({}, "stop"),
        chunk({}, "stop", index=1),
    ):
        assembly.add(each)
        seen.append(assembly.finished)

    assert seen == [False, False, False, True]
    assert not Assembly().finished


ANSWERS = {
    "text": {
        "message": {"role": "assistant", "content": "forty-two"},
        "finish_reason": "stop",
        "logprobs": None,
    },
    "reasoning": {
        "message": {"role": "assistant", "content": "42", "reasoning_content": "6 * 7"},
        "finish_reason": "length",
    },
    "tools": {
        "message": {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("a", "now", '{"tz":"UTC"}'), call("b", "sum", "[1,2]")],
        },
        "finish_reason": "tool_calls",
    },
    "refusal": {
        "message": {"role": "assistant", "content": None, "refusal": "no", "annotations": [{"type": "url"}]},
        "finish_reason": "content_filter",
    },
    "logprobs": {
        "message": {"role": "assistant", "content": "x"},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "x", "logprob": -1.5}]},
    },
}


@pytest.mark.parametrize("choice", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_made_a_chunk_is_the_same_answer_again(choice):
    answer = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, **choice}, {"index": 1, **choice}],
        "usage": {"total_tokens": 9},
        "citations": ["https://a.example"],
    }
    received = dumps(answer)

    streamed = chunk_of(json.loads(received))

    assert streamed["object"] == "chat.completion.chunk"
    assert assembled(streamed) == answer


def test_a_text_completion_made_a_chunk_is_the_same_again():
    answer = {
        "id": "t",
        "object": "text_completion",
        "model": "m",
        "choices": [{"index": 0, "text": "x", "logprobs": None, "finish_reason": "stop"}],
    }

    assert assembled(chunk_of(answer)) == answer


# Streams on their way to a client.


def relayed(*chunks, include_usage=False, is_text=False):
    """The bytes a client gets for these chunks, as (bytes, what was received)."""
    relay = Relay(include_usage, Envelope("chatcmpl-ours", 7, "our-model", is_text=is_text))
    events = [(sse.event(json.dumps(each).encode()), each) for each in chunks]
    sent = b"".join(relay.pass_on(sse.Event(raw, raw[6:-2]), json.loads(raw[6:-2])) for raw, _ in events)
    return sent + relay.ending(), b"".join(raw for raw, _ in events)


def events_in(sent):
    assert sent.endswith(sse.DONE) and sent.count(b"[DONE]") == 1
    return [json.loads(event.data) for event in parsed(sent) if not event.is_done]


def reasons(sent, index=0):
    return [
        c["finish_reason"]
        for each in events_in(sent)
        for c in each["choices"]
        if c["index"] == index and c["finish_reason"]
    ]


def test_a_proper_stream_is_passed_on_byte_for_byte():
    sent, received = relayed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "é \ud800", "x": 1e400}),
        chunk({}, "stop"),
        chunk({}, None),
    )

    assert sent == received + sse.DONE


def test_a_missing_finish_reason_is_filled_in_for_each_choice():
    sent, received = relayed(
        chunk({"role": "assistant", "content": "a"}),
        chunk({"role": "assistant", "tool_calls": [{"index": 0}]}, index=1),
        chunk({"role": "assistant", "content": "c"}, "length", index=2),
    )

    assert sent.startswith(received)
    assert (reasons(sent, 0), reasons(sent, 1), reasons(sent, 2)) == (["stop"], ["tool_calls"], ["length"])
    assert events_in(sent)[-1] == {**chunk({}, "tool_calls", index=1)}


def test_a_missing_finish_reason_of_a_text_completion_has_its_shape():
    sent, _ = relayed(
        {
            "id": "t",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "text": "x", "finish_reason": None}],
        },
        is_text=True,
    )

    assert events_in(sent)[-1] == {
        "id": "t",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "", "finish_reason": "stop"}],
    }


def test_a_second_finish_reason_is_taken_out_and_its_content_kept():
    sent, _ = relayed(
        chunk({"content": "a"}, "stop"),
        chunk({"content": "b"}, "stop"),
        chunk({"content": "c"}, "length", index=1),
    )

    assert (reasons(sent, 0), reasons(sent, 1)) == (["stop"], ["length"])
    assert "".join(each["choices"][0]["delta"]["content"] for each in events_in(sent)) == "abc"


def test_usage_is_sent_only_to_those_who_asked():
    stream = [chunk({"role": "assistant", "content": "a"}), chunk({}, "stop"), usage_chunk()]

    silent, received = relayed(*stream)
    told, _ = relayed(*stream, include_usage=True)

    assert told == received + sse.DONE
    assert events_in(silent) == stream[:2]


def test_what_comes_beside_the_usage_is_not_lost_with_it():
    sent, _ = relayed(chunk({"content": "a"}, "stop"), usage_chunk(citations=["https://a.example"]))

    last = events_in(sent)[-1]
    assert last["citations"] == ["https://a.example"]
    assert "usage" not in last


def test_a_stream_of_nothing_still_ends_properly():
    sent, _ = relayed()

    assert reasons(sent) == ["stop"]


# Values.


@pytest.mark.parametrize(
    "text",
    [
        '{"n":123456789012345678901234567890}',
        '{"n":NaN}',
        '{"n":[Infinity,-Infinity]}',
        '{"s":"\\ud800"}',
        '{"s":"\\u0000\\u2028"}',
    ],
)
def test_odd_values_survive(text):
    assert dumps(json.loads(text)).decode() == text


# Errors.


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"error": {"message": "m", "type": "t", "param": "p", "code": 400}}, "m"),
        ({"error": {"message": None}}, "unknown error"),
        ({"error": {}}, "unknown error"),
        ({"error": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc": ["body"], "msg": "m"}]'),
        ({"message": "m"}, "m"),
        ({"object": "error", "message": "m", "code": 40303}, "m"),
    ],
)
def test_an_error_is_found_in_every_shape(payload, message):
    assert error_of(payload)["message"] == message


def test_an_error_object_keeps_type_param_and_code():
    assert error_of({"error": {"message": "m", "type": "t", "param": "p", "code": "c", "more": 1}}) == {
        "message": "m",
        "type": "t",
        "param": "p",
        "code": "c",
    }


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        None,
        7,
        "error",
        {"error": None, "choices": []},
        chunk({"content": "x"}),
        {"choices": [], "message": "x"},
    ],
)
def test_what_is_no_error_is_not_taken_for_one(payload):
    assert error_of(payload) is None


# Requests.

FAULTS = {
    "messages": [{"messages": 5}, {"messages": []}, {}],
    "messages[0]": [{"messages": ["hi"]}],
    "messages[0].role": [
        {"messages": [{"role": "boss", "content": "x"}]},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": [], "content": "x"}]},
    ],
    "messages[1].content": [{"messages": [{"role": "user", "content": "x"}, {"role": "user"}]}],
    "messages[0].content": [
        {"messages": [{"role": "user", "content": content}]} for content in (None, 5, [], {})
    ],
    "messages[0].content[1]": [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]}
        for part in ("x", {}, {"type": 5})
    ],
    "messages[0].content[0].text": [{"messages": [{"role": "user", "content": [{"type": "text"}]}]}],
    "stream": [{"messages": [{"role": "user", "content": "x"}], "stream": "yes"}],
    "model": [{"messages": [{"role": "user", "content": "x"}], "model": 5}],
}


@pytest.mark.parametrize(
    ("field", "body"), [(field, body) for field, bodies in FAULTS.items() for body in bodies]
)
def test_a_faulty_request_is_refused_by_its_field(field, body):
    with pytest.raises(BadRequest) as refused:
        openai_chat.check_chat(body)

    assert refused.value.param == field
    assert field in refused.value.message


# Through a running Headstart.

RECEIVED = (
    b'data: {"id":"c1", "object":"chat.completion.chunk","created":1,"model":"p-model",'
    b'"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n'
    b": keep-alive\n\n"
    b'id: 7\nevent: message\ndata: {"model":"p-model","id":"c1","created":1,"object":"chat.completion.chunk",'
    b'"choices":[{"delta":{"content":"caf\\u00e9 \xe2\x98\x95 \\ud83d"},"index":0,"finish_reason":null}]}\n\n'
    b'data:{"id":"c1","object":"chat.completion.chunk","created":1,"model":"p-model",'
    b'"n":123456789012345678901234567890,"p":NaN,'
    b'"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\r\n\r\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"p-model",\n'
    b'data: "choices":[{"index":0,"delta":{"content":"y"},"finish_reason":null}]}\n\n'
    b": PROCESSING\r\n\r\n"
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"p-model",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"citations":["https://a.example"]}\n\n'
)


def raw_pieces(size):
    return [("raw", RECEIVED[at : at + size]) for at in range(0, len(RECEIVED), size)]


@pytest.mark.parametrize("size", [1, 7, 100, len(RECEIVED)])
def test_a_client_gets_the_providers_events_byte_for_byte(headstart, primary, judge, size):
    primary.runs(*raw_pieces(size))

    reply = headstart.chat(stream=True)

    assert reply.content == RECEIVED + b"data: [DONE]\n\n"
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Encoding" not in reply.headers


def test_a_client_that_wants_no_stream_gets_the_same_answer_in_one_piece(headstart, primary, judge):
    primary.runs(*raw_pieces(100))

    reply = headstart.chat()

    assert reply.json()["choices"][0]["message"] == {
        "role": "assistant",
        "content": "caf\u00e9 \u2615 \ud83dxy",
    }
    assert b'"n":123456789012345678901234567890' in reply.content
    assert reply.json()["citations"] == ["https://a.example"]


def test_events_are_passed_on_as_they_come(headstart, primary, judge):
    primary.runs(("token", "one"), ("stall",), ("token", "two"), ("finish", "stop"))
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with headstart.connection(body) as sock:
        came = b""
        while b'"one"' not in came:
            came += sock.recv(65536)

        primary.release.set()
        while b"[DONE]" not in came:
            came += sock.recv(65536)

    assert came.index(b'"one"') < came.index(b'"two"')


PLAIN_ANSWER = {
    "id": "c9",
    "object": "chat.completion",
    "created": 9,
    "model": "p-model",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "forty-two", "tool_calls": [call("a", "now", "{}")]},
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}


def test_a_provider_that_does_not_stream_answers_a_client_that_does_not_either(headstart, primary, judge):
    primary.answers(PLAIN_ANSWER)

    reply = headstart.chat()

    assert reply.json() == PLAIN_ANSWER
    session = headstart.session(reply.headers["X-Session-Id"])
    assert session["usage"] == PLAIN_ANSWER["usage"]
    assert {step["step"]: step["finish_reason"] for step in session["steps"]}["provider_call"] == "tool_calls"


def test_a_provider_that_does_not_stream_answers_a_client_that_does(headstart, primary, judge):
    primary.answers(PLAIN_ANSWER)

    reply = headstart.chat(stream=True)

    assert reply.headers["Content-Type"].startswith("text/event-stream")
    chunks = events_in(reply.content)
    assert assembled(*chunks) == PLAIN_ANSWER
    assert reasons(reply.content) == ["tool_calls"]


def test_a_large_answer_in_one_event_gets_through(headstart, primary, judge):
    image = "A" * 3_000_000
    primary.runs(
        (
            "delta",
            {"images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}]},
        ),
        ("finish", "stop"),
    )

    reply = headstart.chat()

    assert reply.json()["choices"][0]["message"]["images"][0]["image_url"]["url"].endswith(image)


def test_usage_reaches_the_record_though_the_client_did_not_ask(headstart, primary, judge):
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    primary.streams("x", usage=usage)

    silent = headstart.chat(stream=True)
    told = headstart.chat(stream=True, stream_options={"include_usage": True})

    assert not any(chunk.get("usage") for chunk in events_in(silent.content))
    assert events_in(told.content)[-1]["usage"] == usage
    assert headstart.session(silent.headers["X-Session-Id"])["usage"] == usage
    assert all(asked.body["stream_options"] == {"include_usage": True} for asked in primary.requests)


def test_two_choices_reach_the_client(headstart, primary, judge):
    pieces = [
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({}, "stop"),
        chunk({}, "length", index=1),
    ]
    primary.runs(*(("raw", sse.event(dumps(piece))) for piece in pieces))

    reply = headstart.chat(n=2)

    assert [(each["message"]["content"], each["finish_reason"]) for each in reply.json()["choices"]] == [
        ("a", "stop"),
        ("b", "length"),
    ]
