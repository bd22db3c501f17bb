"""OpenAI's Responses API, both ways: requests, answers and streams, judged by its SDK over a connection."""

import contextlib
import copy
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pydantic
import pytest
from openai.types import responses as types

from errors import BadRequest, StreamBroken, UpstreamError
from wire import openai_chat, responses, responses_stream, sse

HANG_GUARD_S = 20
EVENTS = pydantic.TypeAdapter(types.ResponseStreamEvent)
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells it.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
WEATHER_IN_CHAT = {
    "type": "function",
    "function": {name: WEATHER[name] for name in ("name", "description", "parameters")},
}
NOW = {"type": "function", "name": "now", "parameters": None, "strict": False}


def asked(input="Hi", **fields):
    return {"model": "auto", "input": input, **fields}


def chat_of(body):
    responses.check_request(body)
    return responses.chat_request_of(body)


def messages_of(*items, **fields):
    return chat_of(asked(list(items), **fields))["messages"]


def user(content):
    return {"role": "user", "content": content}


def call_item(id, name="weather", arguments="{}"):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}


def result_item(id, output="1"):
    return {"type": "function_call_output", "call_id": id, "output": output}


def call_in_chat(id, name="weather", arguments="{}"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def refusal_of(body):
    with pytest.raises(BadRequest) as caught:
        chat_of(body)
    assert caught.value.param.removesuffix(".type") in caught.value.message
    return caught.value


# Requests.


def test_a_text_is_a_users_message():
    assert chat_of(asked("Hi", stream=True)) == {"model": "auto", "stream": True, "messages": [user("Hi")]}


def test_home_assistants_voice_turn_becomes_a_chat_request():
    body = {
        "model": "gpt-5-mini",
        "input": [
            {
                "type": "message",
                "role": "developer",
                "content": "You are a voice assistant for Home Assistant.",
            },
            {"type": "message", "role": "user", "content": "turn on the light"},
            {
                "type": "reasoning",
                "id": "rs_1_0",
                "summary": [{"type": "summary_text", "text": "the lamp"}],
                "encrypted_content": None,
            },
            {
                "type": "function_call",
                "name": "HassTurnOn",
                "arguments": '{"name": "Küche"}',
                "call_id": "call_1",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": '{"success": true}'},
            {"type": "message", "role": "assistant", "content": "Done."},
            {"type": "message", "role": "user", "content": "and off"},
        ],
        "max_output_tokens": 3000,
        "top_p": 1.0,
        "temperature": 1.0,
        "user": "01JABC",
        "store": False,
        "stream": True,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "low"},
        "tools": [
            {
                "type": "function",
                "name": "HassTurnOn",
                "parameters": {"type": "object"},
                "description": "Turns on",
                "strict": False,
            }
        ],
    }

    assert chat_of(body) == {
        "model": "gpt-5-mini",
        "messages": [
            {"role": "system", "content": "You are a voice assistant for Home Assistant."},
            {"role": "user", "content": "turn on the light"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "the lamp",
                "tool_calls": [call_in_chat("call_1", "HassTurnOn", '{"name": "Küche"}')],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": '{"success": true}'},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "and off"},
        ],
        "max_tokens": 3000,
        "top_p": 1.0,
        "temperature": 1.0,
        "user": "01JABC",
        "stream": True,
        "reasoning_effort": "low",
        "verbosity": "low",
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "HassTurnOn",
                    "description": "Turns on",
                    "parameters": {"type": "object"},
                    "strict": False,
                },
            }
        ],
    }


def test_what_stands_before_the_conversation_is_one_system_message_and_what_comes_later_keeps_its_place():
    developer = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "B"}]}
    later = {"role": "system", "content": "C"}

    assert messages_of(
        developer, {"role": "system", "content": "b"}, user("1"), later, user("2"), instructions="A"
    ) == [
        {"role": "system", "content": "A\n\nB\n\nb"},
        user("1"),
        {"role": "system", "content": "C"},
        user("2"),
    ]


def test_an_answer_in_several_items_is_one_assistant_message():
    said = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
    }
    told = [
        {"type": "output_text", "text": "I look ", "annotations": [], "logprobs": []},
        {"type": "output_text", "text": "it up.", "annotations": []},
    ]

    messages = messages_of(
        user("?"),
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
            "status": "completed",
        },
        {**said, "content": told},
        call_item("a", arguments='{"city":"Köln"}'),
        call_item("b", "now"),
        result_item("b", "12:00"),
        result_item("a", "rain"),
        {"role": "assistant", "content": "It rains."},
    )

    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "I look it up.",
            "reasoning_content": "hm",
            "tool_calls": [call_in_chat("a", arguments='{"city":"Köln"}'), call_in_chat("b", "now")],
        },
        {"role": "tool", "tool_call_id": "b", "content": "12:00"},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
    ]


def test_calls_made_one_after_the_other_stay_turns_of_their_own():
    messages = messages_of(user("?"), call_item("a"), result_item("a"), call_item("b"), result_item("b"))

    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "tool"]


def test_reasoning_that_follows_its_calls_belongs_to_the_same_turn():
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]

    messages = messages_of(user("?"), call_item("a"), {"type": "reasoning", "id": "rs_1", "summary": summary})

    assert messages[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call_in_chat("a")],
            "reasoning_content": "one\n\ntwo",
        }
    ]


def test_a_turn_of_nothing_but_thought_has_an_empty_content():
    assert messages_of(
        user("?"), {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAAAABo"}
    )[1:] == [{"role": "assistant", "content": ""}]


def test_a_refusal_stays_a_refusal():
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I won't."}]}

    assert messages_of(user("?"), refused)[1:] == [
        {"role": "assistant", "content": "", "refusal": "I won't."}
    ]


def test_images_files_and_sounds_travel_as_they_are():
    parts = [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "original"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low", "file_id": None},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,JVBE",
            "file_url": None,
        },
        {
            "type": "input_file",
            "file_data": "data:application/pdf;base64,JVBE",
            "file_url": "https://example.org/a.pdf",
        },
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]

    assert messages_of(user(parts)) == [
        user(
            [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                },
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            ]
        )
    ]


def test_a_single_text_needs_no_list_and_an_empty_one_stays():
    assert messages_of(user([{"type": "input_text", "text": "Hi 🌦"}])) == [user("Hi 🌦")]
    assert messages_of(user("")) == messages_of(user([])) == [user("")]


def test_what_tools_show_follows_the_last_of_their_results():
    shown = [
        {"type": "input_text", "text": "a map"},
        {"type": "input_image", "image_url": "https://example.org/m.png", "detail": "auto"},
    ]

    messages = messages_of(
        user("?"),
        call_item("a"),
        call_item("b"),
        result_item("a", shown),
        result_item("b", "2"),
        user("and?"),
    )

    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "a map"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        user([{"type": "image_url", "image_url": {"url": "https://example.org/m.png", "detail": "auto"}}]),
        user("and?"),
    ]


def test_what_the_last_of_all_results_shows_is_not_lost():
    messages = messages_of(
        user("?"),
        call_item("a"),
        result_item("a", [{"type": "input_image", "image_url": "https://example.org/m.png"}]),
    )

    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "a", "content": ""},
        user([{"type": "image_url", "image_url": {"url": "https://example.org/m.png"}}]),
    ]


def test_answers_to_different_questions_stay_apart():
    turns = [
        user("1"),
        {"role": "assistant", "content": "a"},
        user("2"),
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "s"},
        user("3"),
    ]

    assert messages_of(*turns) == turns


def test_tools_are_told_nested_with_only_what_chat_completions_know():
    chat = chat_of(
        asked(
            tools=[{**WEATHER, "strict": True, "defer_loading": False, "output_schema": {}}, NOW],
            parallel_tool_calls=False,
        )
    )

    assert chat["tools"] == [
        {"type": "function", "function": {**WEATHER_IN_CHAT["function"], "strict": True}},
        {"type": "function", "function": {"name": "now", "strict": False}},
    ]
    assert chat["parallel_tool_calls"] is False


def test_without_tools_nothing_is_said_about_them():
    chat = chat_of(asked(tools=[], tool_choice="auto", parallel_tool_calls=True))

    assert chat == {"model": "auto", "messages": [user("Hi")]}


@pytest.mark.parametrize(
    ("choice", "theirs", "offered"),
    [
        ("auto", "auto", ["weather", "now"]),
        ("required", "required", ["weather", "now"]),
        (
            {"type": "function", "name": "now"},
            {"type": "function", "function": {"name": "now"}},
            ["weather", "now"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]},
            "required",
            ["now"],
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
            "auto",
            ["weather"],
        ),
    ],
)
def test_a_tool_choice_keeps_its_meaning(choice, theirs, offered):
    chat = chat_of(asked(tools=[WEATHER, NOW], tool_choice=choice))

    assert (chat["tool_choice"], [tool["function"]["name"] for tool in chat["tools"]]) == (theirs, offered)


@pytest.mark.parametrize(
    ("text", "chat"),
    [
        ({"format": {"type": "text"}, "verbosity": "medium"}, {}),
        ({"format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        (
            {
                "format": {
                    "type": "json_schema",
                    "name": "a",
                    "schema": {"type": "object"},
                    "strict": True,
                    "description": None,
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"format": None, "verbosity": "high"}, {"verbosity": "high"}),
    ],
)
def test_the_form_of_the_text_is_asked_for_in_chats_words(text, chat):
    assert chat_of(asked(text=text)) == {"model": "auto", "messages": [user("Hi")], **chat}


def test_logprobs_come_when_they_are_to_be_included():
    assert (
        chat_of(asked(include=["message.output_text.logprobs"], top_logprobs=2)).items()
        >= {"logprobs": True, "top_logprobs": 2}.items()
    )
    assert chat_of(asked(include=["message.output_text.logprobs"]))["logprobs"] is True
    assert "logprobs" not in chat_of(asked(top_logprobs=0))


def test_sampling_and_fields_that_no_documentation_knows_arrive_as_written():
    fields = {
        "temperature": 0.1,
        "top_p": 1e-7,
        "seed": 10**20,
        "stop": ["é"],
        "min_p": 0.0,
        "chat_template_kwargs": {"enable_thinking": False},
    }

    assert chat_of(asked(**fields)) == {"model": "auto", "messages": [user("Hi")], **fields}


def test_null_means_absent():
    body = dict.fromkeys((*responses.REFUSED, *responses._TRANSLATED, "stream", "temperature", "user"))

    assert chat_of({**body, **asked()}) == {"model": "auto", "messages": [user("Hi")]}


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"metadata": {"a": "b"}},
        {"service_tier": "flex"},
        {
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "prompt_cache_options": {"mode": "implicit"},
        },
        {"stream_options": {"include_obfuscation": False}},
        {"truncation": "auto"},
        {"context_management": [{"type": "compaction"}]},
        {"max_tool_calls": 3},
        {"reasoning": {"summary": "detailed", "effort": None}},
        {"background": False},
        {"include": ["reasoning.encrypted_content", "message.input_image.image_url"]},
    ],
)
def test_advice_is_left_out(fields):
    assert chat_of(asked(**fields)) == {"model": "auto", "messages": [user("Hi")]}


@pytest.mark.parametrize(
    ("fields", "param", "advice"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "send the whole conversation as 'input'",
        ),
        ({"conversation": {"id": "conv_1"}}, "conversation", "send it whole"),
        ({"conversation": "conv_1"}, "conversation", "send it whole"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "send its text"),
        ({"background": True}, "background", "leave it out"),
        ({"moderation": {"model": "omni"}}, "moderation", "leave it out"),
        ({"truncation": "middle"}, "truncation", "disabled or auto"),
        ({"messages": [user("Hi")]}, "messages", "/v1/chat/completions"),
        ({"n": 2}, "n", "leave it out"),
        ({"include": ["web_search_call.action.sources"]}, "include[0]", "leave it out"),
        ({"tools": [WEATHER, {"type": "web_search"}]}, "tools[1].type", "leave it out"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].type", "function instead"),
        ({"tools": [{"type": "custom", "name": "patch"}]}, "tools[0].type", "function instead"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "image_generation"}},
            "tool_choice.type",
            "OpenAI's own",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "json_schema"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type", "store: false"),
        ({"input": [user("?"), {"type": "web_search_call", "id": "ws_1"}]}, "input[1].type", "leave it out"),
        (
            {"input": [user([{"type": "input_image", "file_id": "file-1"}])]},
            "input[0].content[0].file_id",
            "data: URL",
        ),
        (
            {"input": [user([{"type": "input_file", "file_url": "https://a/b.pdf"}])]},
            "input[0].content[0].file_url",
            "file_data",
        ),
        (
            {"input": [user([{"type": "input_video", "video": "x"}])]},
            "input[0].content[0].type",
            "cannot carry",
        ),
        (
            {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
            "only be text",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
            "only be text",
        ),
    ],
)
def test_what_chat_completions_cannot_say_is_refused_by_name_with_what_to_do_instead(fields, param, advice):
    refusal = refusal_of(asked(**fields))

    assert (refusal.param, refusal.code in openai_chat.BEYOND_CHAT) == (param, True)
    assert advice in refusal.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"input": [{"content": "Hi"}]}, "input[0]"),
        ({"input": [{"type": 3}]}, "input[0]"),
        ({"input": [{"role": "tool", "content": "1"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "1"}]}, "input[0].role"),
        ({"input": [user(5)]}, "input[0].content"),
        ({"input": [user(["Hi"])]}, "input[0].content[0]"),
        ({"input": [user([{"text": "Hi"}])]}, "input[0].content[0]"),
        ({"input": [user([{"type": "input_text"}])]}, "input[0].content[0].text"),
        (
            {"input": [user([{"type": "input_image", "image_url": {"url": "x"}}])]},
            "input[0].content[0].image_url",
        ),
        ({"input": [user([{"type": "input_file", "file_data": 1}])]}, "input[0].content[0].file_data"),
        ({"input": [user([{"type": "input_audio"}])]}, "input[0].content[0].input_audio"),
        ({"input": [{"role": "assistant", "content": [{"type": "refusal"}]}]}, "input[0].content[0].refusal"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input[0].arguments"),
        (
            {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}]},
            "input[0].arguments",
        ),
        ({"input": [{"type": "function_call_output", "output": "1"}]}, "input[0].call_id"),
        ({"input": [result_item("a", 5)]}, "input[0].output"),
        ({"input": [result_item("a", ["x"])]}, "input[0].output[0]"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary"),
        (
            {"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]},
            "input[0].summary[0].text",
        ),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"instructions": ["Be brief."]}, "instructions"),
        ({"tools": {"type": "function"}}, "tools"),
        ({"tools": ["weather"]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
        ({"tools": [{**WEATHER, "parameters": "none"}]}, "tools[0].parameters"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "f"}],
                },
            },
            "tool_choice.tools",
        ),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "tool_choice.tools",
        ),
        (
            {
                "tools": [NOW],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [NOW, "weather"]},
            },
            "tool_choice.tools",
        ),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"top_logprobs": "2"}, "top_logprobs"),
        ({"text": "json"}, "text"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"text": {"verbosity": 3}}, "text.verbosity"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"include": "logprobs"}, "include"),
        ({"include": [5]}, "include[0]"),
        ({"metadata": []}, "metadata"),
        ({"background": 0}, "background"),
    ],
)
def test_a_faulty_request_is_refused_by_name_whoever_would_answer(fields, param):
    refusal = refusal_of({**asked(), **fields})

    assert (refusal.param, refusal.code in openai_chat.BEYOND_CHAT) == (param, False)


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(BadRequest, match="JSON object"):
        responses.check_request([asked()])


def test_messages_in_place_of_input_are_pointed_to_their_endpoint():
    assert "/v1/chat/completions" in refusal_of({"model": "auto", "messages": [user("Hi")]}).message


def test_a_request_about_what_is_stored_is_sound_without_input():
    body = {"model": "auto", "previous_response_id": "resp_1"}

    responses.check_request(body)

    assert responses.words_of(body) == {"model": "auto", "messages": [user("")]}


def test_the_words_of_a_request_are_there_to_decide_by():
    items = [
        user([{"type": "input_text", "text": "a"}, {"type": "input_image", "file_id": "f"}]),
        {"type": "web_search_call"},
        {"role": "assistant", "content": "b"},
    ]
    body = asked(items, instructions="s", stream=True, temperature=1)
    responses.check_request(body)

    words = responses.words_of(body)

    assert words == {
        "model": "auto",
        "stream": True,
        "messages": [{"role": "system", "content": "s"}, user("a"), {"role": "assistant", "content": "b"}],
    }


def test_our_own_instructions_come_after_the_clients():
    assert responses.with_system(asked(), "ours") == asked(instructions="ours")
    assert responses.with_system(asked(instructions="theirs"), "ours") == asked(instructions="theirs\n\nours")


def spoilt(rng, value):
    """The value with one thing in it replaced by something that does not belong there."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.8:
        made = copy.copy(value)
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        made[key] = spoilt(rng, value[key])
        return made
    return rng.choice([None, 5, "x", [], {}, ["x"], [None], {"type": []}, True, [[]]])


@pytest.mark.parametrize("seed", range(300))
def test_junk_in_a_request_is_refused_by_name_or_harmless(seed):
    rng = random.Random(seed)
    items = [
        user(
            [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "x", "detail": "low"},
                {"type": "input_file", "file_data": "x"},
            ]
        ),
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "t"}],
            "content": None,
            "encrypted_content": responses.sealed([{"type": "thinking"}]),
        },
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "c"}],
        },
        call_item("a"),
        result_item("a", [{"type": "input_text", "text": "1"}]),
    ]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "now"}]}
    text = {"format": {"type": "json_schema", "name": "a", "schema": {}}, "verbosity": "low"}
    body = asked(
        items,
        tools=[WEATHER, NOW],
        tool_choice=choice,
        text=text,
        reasoning={"effort": "low"},
        include=[],
        top_logprobs=1,
    )
    for _ in range(rng.randint(1, 3)):
        body = {**body, **{name: spoilt(rng, value) for name, value in body.items() if rng.random() < 0.3}}

    with contextlib.suppress(BadRequest):
        responses.check_request(body)
        json.loads(openai_chat.dumps(responses.words_of(body)))
        json.loads(openai_chat.dumps(responses.chat_request_of(body)))


def test_reasoning_that_its_provider_signed_comes_back_to_it_word_for_word():
    blocks = [
        {"type": "thinking", "thinking": "Köln 🌦", "signature": "EqQ="},
        {"type": "redacted_thinking", "data": "x"},
    ]
    completion = {
        "choices": [
            {
                "message": {"content": "Rain.", "reasoning_content": "Köln 🌦", "thinking_blocks": blocks},
                "finish_reason": "stop",
            }
        ]
    }
    answer = responses_stream.answer_of(completion, asked(), "resp_1", 1)

    messages = messages_of(user("?"), *answer["output"])

    assert messages[1:] == [
        {"role": "assistant", "content": "Rain.", "reasoning_content": "Köln 🌦", "thinking_blocks": blocks}
    ]


def test_each_piece_of_signed_reasoning_stays_with_its_own_item():
    redacted, signed = (
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "b", "signature": "s"},
    )

    events = events_in(
        sent_for(
            [
                chunk({"thinking_blocks": [redacted]}),
                chunk({"content": "a"}),
                chunk({"thinking_blocks": [redacted]}),
                chunk({"reasoning_content": "b"}),
                chunk({"thinking_blocks": [signed]}),
            ]
        )
    )

    first, _, second = response_in(events)
    assert (first["summary"], responses.unsealed(first["encrypted_content"])) == ([], [redacted])
    assert responses.unsealed(second["encrypted_content"]) == [redacted, signed]


@pytest.mark.parametrize(
    "text", ["gAAAAABo", "headstart.", "headstart.!", "headstart.e30=", "headstart.W251bGxd", None, 5]
)
def test_what_another_server_sealed_is_left_alone(text):
    assert responses.unsealed(text) == []


# Answers.


def chunk(delta=None, finish_reason=None, **more):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}],
        **more,
    }


def usage_chunk(**usage):
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": usage}


def piece(arguments=None, **more):
    """A delta with a piece of a tool call."""
    function = {
        name: value
        for name, value in (("name", more.pop("name", None)), ("arguments", arguments))
        if value is not None
    }
    return {"tool_calls": [{**more, "function": function}]}


CHUNKS = [
    chunk({"role": "assistant"}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "for"}),
    chunk({"content": "ty"}),
    chunk({"refusal": "no"}),
    chunk(piece("{", index=0, id="a", name="f")),
    chunk(piece("}", index=0)),
]


def sent_for(chunks, request=None):
    stream = responses_stream.EventStream(request or asked(), "resp_1", 1700000000)
    return b"".join(stream.pass_on(None, chunk) for chunk in chunks) + stream.ending()


def events_in(data):
    """The events as a client reads them: each names itself twice, the same way, and they are numbered."""
    events = []
    for event in sse.Parser().feed(data):
        name, _, rest = event.raw.partition(b"\n")
        parsed = json.loads(event.data)
        assert name == b"event: " + parsed["type"].encode()
        assert rest.startswith(b"data: ") and rest.endswith(b"\n\n") and rest.count(b"\n") == 2
        assert parsed["sequence_number"] == len(events)
        events.append(parsed)
    return events


def response_in(events):
    """The response put together from a stream's pieces, in the order that this API documents."""
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    output, is_open = [], False
    for event in events[2:-1]:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert (
                not is_open
                and event["output_index"] == len(output)
                and event["item"]["status"] == "in_progress"
            )
            output.append(event["item"])
            is_open = True
            continue
        item = output[event["output_index"]]
        assert is_open and event["output_index"] == len(output) - 1
        if kind == "output_item.done":
            assert {**item, "status": event["item"]["status"], "encrypted_content": None} == {
                **event["item"],
                "encrypted_content": None,
            }
            output[-1] = event["item"]
            is_open = False
            continue
        assert event["item_id"] == item["id"]
        _add(item, kind, event)
    assert not is_open
    return output


def _add(item, kind, event):
    if kind == "function_call_arguments.delta":
        item["arguments"] += event["delta"]
    elif kind == "function_call_arguments.done":
        assert (event["arguments"], event["name"]) == (item["arguments"], item["name"])
    elif kind in ("content_part.added", "reasoning_summary_part.added"):
        parts = item["summary" if item["type"] == "reasoning" else "content"]
        assert event.get("content_index", event.get("summary_index")) == len(parts)
        parts.append(event["part"])
    else:
        part = item["summary" if item["type"] == "reasoning" else "content"][
            event.get("content_index", event.get("summary_index"))
        ]
        name = "refusal" if part["type"] == "refusal" else "text"
        if kind.endswith("_part.done"):
            assert part == event["part"]
        elif kind.endswith(".done"):
            assert event[name] == part[name]
        elif kind == "output_text.annotation.added":
            assert event["annotation_index"] == len(part["annotations"])
            part["annotations"].append(event["annotation"])
        else:
            part[name] += event["delta"]
            part.get("logprobs", []).extend(event.get("logprobs", []))


ENVELOPE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "status": "completed",
    "background": False,
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "model": "auto",
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "tool_choice": "auto",
    "metadata": {},
    "prompt_cache_key": None,
    "safety_identifier": None,
    "user": None,
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tools": [],
    "output": [],
    "previous_response_id": None,
    "service_tier": "default",
    "store": True,
    "truncation": "disabled",
    "usage": None,
}


def test_the_events_of_a_plain_answer_are_these():
    sent = sent_for(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hé"}),
            chunk({"content": "llo"}),
            chunk({}, "stop"),
        ]
    )

    part = {"type": "output_text", "text": "Héllo", "annotations": [], "logprobs": []}
    item = {"id": "msg_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    place = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    under_way = {**ENVELOPE, "status": "in_progress"}
    expected = [
        {"type": "response.created", "response": under_way},
        {"type": "response.in_progress", "response": under_way},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "Hé", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": "llo", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Héllo", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**ENVELOPE, "output": [item]}},
    ]
    assert events_in(sent) == [{**event, "sequence_number": i} for i, event in enumerate(expected)]


def test_an_event_is_these_bytes():
    stream = responses_stream.EventStream(asked(), "resp_1", 1)
    stream.pass_on(None, chunk({"content": "a"}))

    assert stream.pass_on(None, chunk({"content": "b"})) == (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"delta":"b","logprobs":[]}\n\n'
    )


def test_thought_words_and_parallel_calls_become_items_in_order():
    events = events_in(
        sent_for(
            [
                chunk({"reasoning_content": "They "}),
                chunk({"reasoning": "ask."}),
                chunk({"content": "I look."}),
                chunk(piece("", index=0, id="a", name="weather")),
                chunk(piece('{"city":', index=0)),
                chunk(piece('"Köln"}', index=0)),
                chunk(piece(index=1, id="b", name="now")),
                chunk({}, "tool_calls"),
            ]
        )
    )

    assert response_in(events) == events[-1]["response"]["output"]
    assert events[-1]["response"]["output"] == [
        {
            "id": "rs_1_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [{"type": "summary_text", "text": "They ask."}],
        },
        {
            "id": "msg_1_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
        },
        {
            "id": "fc_1_2",
            "type": "function_call",
            "status": "completed",
            "call_id": "a",
            "name": "weather",
            "arguments": '{"city":"Köln"}',
        },
        {
            "id": "fc_1_3",
            "type": "function_call",
            "status": "completed",
            "call_id": "b",
            "name": "now",
            "arguments": "{}",
        },
    ]
    assert [event["type"].removeprefix("response.") for event in events[2:8]] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]


@pytest.mark.parametrize("index", [None, 0])
def test_calls_without_a_number_or_all_with_the_same_are_told_apart_by_their_ids(index):
    number = {} if index is None else {"index": index}
    pieces = [("a", '{"x":'), (None, "1}"), ("b", "{}"), ("c", "")]

    events = events_in(
        sent_for(
            [chunk(piece(text, **number, **({"id": id, "name": "f"} if id else {}))) for id, text in pieces]
            + [chunk({}, "stop")]
        )
    )

    assert [(item["call_id"], item["arguments"]) for item in response_in(events)] == [
        ("a", '{"x":1}'),
        ("b", "{}"),
        ("c", "{}"),
    ]


def test_a_call_without_an_id_gets_one_of_its_own():
    (item,) = response_in(events_in(sent_for([chunk(piece("{}", index=0, name="f"))])))

    assert item["call_id"] == "call_1_0"


def test_a_call_that_comes_whole_and_as_an_object_is_told_as_text():
    (item,) = response_in(
        events_in(
            sent_for([chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"ä": 1}}}]})])
        )
    )

    assert item["arguments"] == '{"ä":1}'


def test_mixed_up_pieces_of_calls_end_the_stream():
    stream = responses_stream.EventStream(asked(), "resp_1", 1)
    stream.pass_on(None, chunk(piece("{", index=0, id="a", name="f")))
    stream.pass_on(None, chunk(piece("{", index=1, id="b", name="f")))

    with pytest.raises(StreamBroken, match="mixes"):
        stream.pass_on(None, chunk(piece("}", index=0)))


def test_a_refusal_is_a_part_of_its_own():
    events = events_in(
        sent_for(
            [
                chunk({"content": "Well, "}),
                chunk({"refusal": "I "}),
                chunk({"refusal": "won't."}),
                chunk({}, "stop"),
            ]
        )
    )

    (item,) = response_in(events)
    assert item["content"][1] == {"type": "refusal", "refusal": "I won't."}
    assert [event["type"] for event in events].count("response.refusal.delta") == 2


def test_cited_pages_are_annotations_of_the_text():
    cited = {"start_index": 0, "end_index": 4, "title": "Wetter", "url": "https://example.org/w"}
    annotations = [
        {"type": "url_citation", "url_citation": cited},
        {"type": "url_citation", "url_citation": {"url": "https://example.org/x"}},
    ]

    events = events_in(
        sent_for(
            [
                chunk({"content": "Rain"}),
                chunk({"content": "", "annotations": annotations}),
                chunk({}, "stop"),
            ]
        )
    )

    (item,) = response_in(events)
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", **cited},
        {
            "type": "url_citation",
            "start_index": 0,
            "end_index": 0,
            "title": "",
            "url": "https://example.org/x",
        },
    ]


def test_a_cited_page_may_come_before_the_text():
    cited = {"type": "url_citation", "url_citation": {"url": "https://example.org/w"}}

    (item,) = response_in(events_in(sent_for([chunk({"annotations": [cited]}), chunk({"content": "Rain"})])))

    assert (item["content"][0]["text"], len(item["content"][0]["annotations"])) == ("Rain", 1)


def test_annotations_that_cite_no_page_are_passed_over():
    annotations = [
        {"type": "file_citation", "file_citation": {"url": "x"}},
        {"type": "url_citation", "url_citation": {"title": "x"}},
        {"type": "url_citation"},
    ]

    (item,) = response_in(events_in(sent_for([chunk({"content": "Rain", "annotations": annotations})])))

    assert item["content"][0]["annotations"] == []


def test_logprobs_come_with_their_text():
    told = {
        "token": "é",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "a", "logprob": -1.5, "bytes": [97]}],
    }
    chunks = [
        chunk({"content": "é"}),
        chunk({"content": "é"}),
        chunk(),
        chunk(piece("{}", index=0, id="a", name="f")),
        chunk({"content": "b"}, "stop"),
    ]
    chunks[0]["choices"][0]["logprobs"] = chunks[1]["choices"][0]["logprobs"] = {"content": [told]}
    chunks[2]["choices"][0]["logprobs"] = {"content": [{"token": "<end>", "logprob": 0}]}

    events = events_in(sent_for(chunks))

    expected = {
        "token": "é",
        "bytes": [195, 169],
        "logprob": -0.5,
        "top_logprobs": [{"token": "a", "bytes": [97], "logprob": -1.5}],
    }
    assert [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"] == [
        [expected],
        [expected],
        [],
    ]
    first, _, second = (
        item.get("content", [{}])[0].get("logprobs") for item in events[-1]["response"]["output"]
    )
    assert second == []
    assert first == [
        expected,
        expected,
        {"token": "<end>", "bytes": list(b"<end>"), "logprob": 0, "top_logprobs": []},
    ]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_off_is_incomplete(finish, reason):
    events = events_in(sent_for([chunk({"content": "a"}), chunk({}, finish)]))

    response = events[-1]["response"]
    assert (events[-1]["type"], response["status"], response["incomplete_details"]) == (
        "response.incomplete",
        "incomplete",
        {"reason": reason},
    )
    assert response["output"][0]["status"] == "incomplete"


def test_a_call_that_was_cut_off_is_never_said_to_be_done():
    events = events_in(sent_for([chunk(piece('{"ci', index=0, id="a", name="f")), chunk({}, "length")]))

    assert events[-2]["item"] == {
        "id": "fc_1_0",
        "type": "function_call",
        "status": "incomplete",
        "call_id": "a",
        "name": "f",
        "arguments": '{"ci',
    }
    assert "response.function_call_arguments.done" not in [event["type"] for event in events]


@pytest.mark.parametrize(
    ("arguments", "finish", "is_done"),
    [("{}", "length", True), ('{"ci', "stop", True), ('{"ci', "content_filter", False)],
)
def test_a_call_is_said_to_be_done_when_the_model_or_its_arguments_say_so(arguments, finish, is_done):
    events = events_in(sent_for([chunk(piece(arguments, index=0, id="a", name="f")), chunk({}, finish)]))

    assert ("response.function_call_arguments.done" in [event["type"] for event in events]) == is_done


def test_usage_is_told_in_this_apis_words():
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    details = {"completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": None}}

    events = events_in(
        sent_for([chunk({"content": "a"}), chunk({}, "stop"), usage_chunk(**usage, **details)])
    )

    assert events[-1]["response"]["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 16,
    }
    assert responses_stream.usage_of({"prompt_tokens": 1, "completion_tokens": None})["total_tokens"] == 1
    assert responses_stream.usage_of(None) is responses_stream.usage_of({}) is None


def test_a_response_repeats_its_request():
    request = asked(
        instructions="Be brief.",
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        temperature=0.2,
        max_output_tokens=9,
        metadata={"a": "b"},
        reasoning={"effort": "low"},
        text={"format": {"type": "json_object"}, "verbosity": None},
        store=False,
        previous_response_id="resp_0",
        truncation="auto",
    )

    response = responses_stream.answer_of(
        {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}, request, "resp_1", 1
    )

    same = (
        "instructions",
        "tool_choice",
        "parallel_tool_calls",
        "temperature",
        "max_output_tokens",
        "metadata",
    )
    assert {name: response[name] for name in same} == {name: request[name] for name in same}
    assert response["tools"] == [{**WEATHER, "strict": None}]
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"format": {"type": "json_object"}, "verbosity": "medium"}
    assert (response["store"], response["previous_response_id"], response["truncation"]) == (
        False,
        "resp_0",
        "disabled",
    )


def test_an_answer_without_any_word_is_a_response_without_items():
    assert events_in(sent_for([]))[-1]["response"] == ENVELOPE
    assert responses_stream.answer_of({"choices": []}, asked(), "resp_1", 1700000000) == ENVELOPE


def test_only_the_first_choice_is_told():
    other = chunk({"content": "b"})
    other["choices"][0]["index"] = 1

    assert response_in(events_in(sent_for([other, chunk({"content": "a"})])))[0]["content"][0]["text"] == "a"


def test_a_server_that_ends_twice_is_taken_at_its_first_word():
    events = events_in(sent_for([chunk({"content": "a"}), chunk({}, "length"), chunk({}, "stop")]))

    assert events[-1]["type"] == "response.incomplete"


def test_a_comment_is_passed_on_and_what_only_looks_like_one_is_not():
    stream = responses_stream.EventStream(asked(), "resp_1", 1)

    assert stream.pass_on(sse.Event(b": keep-alive\n\n", None), None) == b": keep-alive\n\n"
    assert stream.pass_on(sse.Event(b"event: ping\n\n", None), None) == b""


def test_the_stream_knows_when_it_is_finished_and_what_it_used():
    stream = responses_stream.EventStream(asked(), "resp_1", 1)
    stream.pass_on(None, chunk({"content": "a"}))
    assert not stream.finished

    stream.pass_on(None, chunk({}, "stop", usage={"prompt_tokens": 1}))

    assert (stream.finished, stream.usage) == (True, {"prompt_tokens": 1})


@pytest.mark.parametrize(
    "junk",
    [
        {"choices": 5},
        {"choices": ["x"]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"tool_calls": [5]}}]},
    ],
)
def test_what_is_no_completion_is_the_providers_failure(junk):
    with pytest.raises(StreamBroken):
        responses_stream.EventStream(asked(), "resp_1", 1).pass_on(None, junk)
    with pytest.raises(UpstreamError):
        responses_stream.answer_of({"choices": [{"message": {"tool_calls": [5]}}]}, asked(), "resp_1", 1)


@pytest.mark.parametrize("seed", range(200))
def test_junk_from_a_provider_is_told_as_its_failure_and_leaves_a_stream_that_can_say_so(seed):
    rng = random.Random(seed)
    chunks = [
        *CHUNKS,
        chunk(
            {
                "content": "x",
                "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}],
            },
            "stop",
        ),
    ]
    chunks[-1]["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": 0}]}
    at = rng.randrange(len(chunks))
    stream = responses_stream.EventStream(asked(), "resp_1", 1)

    with contextlib.suppress(StreamBroken):
        for told in [
            *chunks[:at],
            {**chunks[at], "choices": spoilt(rng, chunks[at]["choices"])},
            *chunks[at + 1 :],
        ]:
            stream.pass_on(None, told)
        stream.ending()

    assert stream.error_event("x").endswith(b"\n\n")


# The SDK as the judge.


class Replies(ThreadingHTTPServer):
    """A server that answers every request with the same bytes, written in pieces."""

    daemon_threads = True

    def __init__(self):
        self.body, self.media_type, self.cuts, self.requests = b"", "text/event-stream", (), None
        super().__init__(("127.0.0.1", 0), Reply)

    def handle_error(self, request, client_address):
        pass  # a client that hears of a failure hangs up


class Reply(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        server = self.server
        server.requests = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", server.media_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start, end in zip((0, *server.cuts), (*server.cuts, len(server.body)), strict=True):
            if start < end:
                self.wfile.write(b"%x\r\n%b\r\n" % (end - start, server.body[start:end]))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with Replies() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(HANG_GUARD_S)


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
        api_key="k",
        max_retries=0,
        timeout=HANG_GUARD_S,
    ) as client:
        yield client


@pytest.fixture
def sdk(server, client):
    server.media_type, server.cuts = "text/event-stream", ()
    return client


def final_response(sdk, server, body, **fields):
    server.body = body
    with sdk.responses.stream(model="auto", input="Hi", **fields) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


TEXTS = ["a", "Grüße 你好 🌦\u200d", 'quote " and \\ and \n', "null", " x ", "</tool>", "event: x\n\ndata: y"]


def some_completion(rng):
    """(chunks of a completion cut into random pieces, the whole of it)."""
    message = {"role": "assistant", "content": None}
    if rng.random() < 0.4:
        message["reasoning_content"] = rng.choice(TEXTS) * 2
    if rng.random() < 0.7:
        message["content"] = rng.choice(TEXTS) * rng.randint(1, 3)
    if rng.random() < 0.2:
        message["refusal"] = rng.choice(TEXTS)
    calls = [
        call_in_chat(f"call_{i}", rng.choice("fg"), json.dumps({str(k): rng.choice(TEXTS) for k in range(2)}))
        for i in range(rng.choice([0, 0, 1, 3]))
    ]
    if calls:
        message["tool_calls"] = calls
    finish = rng.choice(["stop", "length", "content_filter"]) if not calls else "tool_calls"
    chunks = [chunk({"role": "assistant", "content": ""})] if rng.random() < 0.5 else []
    for name in ("reasoning_content", "content", "refusal"):
        chunks += [chunk({name: text}) for text in in_pieces(rng, message.get(name) or "")]
    has_index = rng.random() < 0.8
    for i, call in enumerate(calls):
        number = {"index": i} if has_index else {}
        chunks.append(chunk(piece("", **number, id=call["id"], name=call["function"]["name"])))
        chunks += [chunk(piece(text, **number)) for text in in_pieces(rng, call["function"]["arguments"])]
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12} if rng.random() < 0.6 else None
    chunks += [chunk({}, finish), *([usage_chunk(**usage)] if usage else [])]
    return chunks, {
        "id": "c1",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def in_pieces(rng, text):
    cuts = sorted(rng.randint(0, len(text)) for _ in range(rng.randint(0, 3)))
    return [text[start:end] for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True) if start < end]


@pytest.mark.parametrize("seed", range(60))
def test_the_sdk_accepts_every_event_and_the_whole_answer_and_they_say_the_same(seed, sdk, server):
    rng = random.Random(seed)
    chunks, completion = some_completion(rng)

    sent = sent_for(chunks, asked(tools=[WEATHER, NOW]))
    whole = responses_stream.answer_of(completion, asked(tools=[WEATHER, NOW]), "resp_1", 1700000000)

    events = events_in(sent)
    for event in events:
        EVENTS.validate_python(event)
    types.Response.model_validate(whole)
    assert events[-1]["response"] == whole
    assert response_in(events) == whole["output"]
    if whole["status"] == "completed":
        server.cuts = sorted(rng.randint(0, len(sent)) for _ in range(20))
        read = final_response(sdk, server, sent)
        assert read.output_text == (completion["choices"][0]["message"]["content"] or "")
        assert [
            item.to_dict() | {"parsed_arguments": None}
            for item in read.output
            if item.type == "function_call"
        ] == [
            item | {"parsed_arguments": None} for item in whole["output"] if item["type"] == "function_call"
        ]


@pytest.mark.parametrize("seed", range(60))
def test_an_answer_handed_back_is_the_message_it_was(seed):
    _, completion = some_completion(random.Random(seed))
    message = completion["choices"][0]["message"]
    answer = responses_stream.answer_of(completion, asked(), "resp_1", 1)

    messages = messages_of(user("?"), *json.loads(openai_chat.dumps(answer["output"])))

    said = {name: value for name, value in message.items() if value is not None}
    assert [
        {name: value for name, value in again.items() if value not in (None, "")} for again in messages[1:]
    ] == ([said] if len(said) > 1 else [])


def test_the_sdk_hands_a_tool_call_in_and_its_result_back(sdk, server):
    first = [chunk(piece('{"city":"Köln"}', index=0, id="call_9", name="weather")), chunk({}, "tool_calls")]
    response = final_response(sdk, server, sent_for(first), tools=[{**WEATHER, "strict": True}])
    (call,) = response.output
    assert call.parsed_arguments == {"city": "Köln"}
    server.body, server.media_type = openai_chat.dumps(ENVELOPE), "application/json"

    sdk.responses.create(
        model="auto",
        input=[{"role": "user", "content": "?"}, *response.output, {**result_item(call.call_id, "rain")}],
    )

    assert chat_of(server.requests)["messages"] == [
        user("?"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call_in_chat("call_9", arguments='{"city":"Köln"}')],
        },
        {"role": "tool", "tool_call_id": "call_9", "content": "rain"},
    ]


class Weather(pydantic.BaseModel):
    city: str


def test_the_sdk_parses_structured_output_from_either_form(sdk, server):
    completion = {"choices": [{"message": {"content": '{"city":"Köln"}'}, "finish_reason": "stop"}]}
    streamed = final_response(sdk, server, sent_for([openai_chat.chunk_of(completion)]), text_format=Weather)
    form = chat_of(server.requests)["response_format"]
    server.body, server.media_type = (
        openai_chat.dumps(responses_stream.answer_of(completion, asked(), "resp_1", 1)),
        "application/json",
    )

    whole = sdk.responses.parse(model="auto", input="Hi", text_format=Weather)

    assert streamed.output_parsed == whole.output_parsed == Weather(city="Köln")
    assert (form["json_schema"]["name"], form["json_schema"]["strict"]) == ("Weather", True)


@pytest.mark.parametrize("cut", range(len(CHUNKS) + 1))
def test_wherever_a_stream_breaks_the_sdk_is_told_that_the_response_failed_and_raises_why(cut, sdk, server):
    stream = responses_stream.EventStream(asked(), "resp_1", 1700000000)
    server.body = b"".join(stream.pass_on(None, chunk) for chunk in CHUNKS[:cut])

    server.body += stream.error_event("the provider broke off", "upstream_error", None, "gone")

    events = events_in(server.body)
    for event in events:
        EVENTS.validate_python(event)
    with (
        sdk.responses.stream(model="auto", input="Hi") as read,
        pytest.raises(openai.APIError, match=r"^the provider broke off$") as raised,
    ):
        seen = []
        for event in read:
            seen.append(event)
    assert (seen[-1].type, seen[-1].response.error.message) == ("response.failed", "the provider broke off")
    assert (raised.value.code, raised.value.type) == ("gone", "upstream_error")
    begun = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert [item["id"] for item in events[-2]["response"]["output"]] == begun
    assert events[-1]["message"] == events[-1]["error"]["message"] == "the provider broke off"


def test_what_was_said_before_a_failure_stands_in_the_failed_response():
    stream = responses_stream.EventStream(asked(), "resp_1", 1700000000)
    sent = b"".join(stream.pass_on(None, chunk) for chunk in CHUNKS[:4])

    failed = events_in(sent + stream.error_event("x"))[-2]["response"]

    assert (failed["status"], failed["error"]) == ("failed", {"code": "server_error", "message": "x"})
    assert [item["status"] for item in failed["output"]] == ["completed", "incomplete"]
    assert failed["output"][1]["content"][0]["text"] == "forty"


# A provider that speaks this API itself.


def native_events(*told, response_id="resp_P"):
    """A provider's stream: these events between the usual first and whatever is last."""
    response = {
        "id": response_id,
        "object": "response",
        "model": "gpt-x",
        "status": "in_progress",
        "output": [],
    }
    return [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
        *told,
    ]


def received(events):
    """The events as the parser hands them over."""
    parser, data = sse.Parser(), b""
    for i, event in enumerate(events):
        data += (
            f"event: {event.get('type')}\ndata: {json.dumps({**event, 'sequence_number': i})}\n\n".encode()
        )
    return parser.feed(data)


def decoded(events, decoder=None):
    decoder = decoder or responses_stream.NativeDecoder(1700000000)
    return [pair for event in received(events) for pair in decoder.decode(event)]


def read_along(events):
    """The completion that our books make of a provider's stream."""
    assembly = openai_chat.Assembly()
    for _, told in decoded(events):
        if told is not None:
            assembly.add(told)
    return assembly.answer()


REASONING_DONE = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "encrypted_content": "gAAAA",
}
MESSAGE_DONE = {
    "id": "m_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Köln", "annotations": []}],
}
CALL_DONE = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"a":1}',
    "status": "completed",
}
NATIVE_USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
    "cost_in_usd_ticks": 7,
}
NATIVE_DONE = {
    "id": "resp_P",
    "object": "response",
    "model": "gpt-x",
    "status": "completed",
    "output": [REASONING_DONE, MESSAGE_DONE, CALL_DONE],
    "usage": NATIVE_USAGE,
    "error": None,
}
NATIVE = native_events(
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {"id": "rs_1", "type": "reasoning", "summary": []},
    },
    {
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1",
        "output_index": 0,
        "summary_index": 0,
        "delta": "hm",
    },
    {"type": "response.output_item.done", "output_index": 0, "item": REASONING_DONE},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {**MESSAGE_DONE, "content": [], "status": "in_progress"},
    },
    {
        "type": "response.content_part.added",
        "output_index": 1,
        "content_index": 0,
        "part": {"type": "output_text", "text": ""},
    },
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Kö"},
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "ln"},
    {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Köln"},
    {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE_DONE},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALL_DONE, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
    {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": '{"a":1}'},
    {"type": "response.output_item.done", "output_index": 2, "item": CALL_DONE},
    {"type": "response.brand_new.event", "output_index": 2},
    {"type": "response.completed", "response": NATIVE_DONE},
)


def test_a_providers_stream_goes_through_byte_for_byte_with_its_end_marked():
    events = received(NATIVE)

    pairs = decoded(NATIVE)

    assert [event for event, _ in pairs[:-1]] == events
    assert pairs[-1][0].is_done and pairs[-1] == (sse.Event(b"", b"[DONE]"), None)


def test_our_books_know_what_a_providers_stream_says():
    decoder = responses_stream.NativeDecoder(1700000000)
    assert decoder.usage is decoder.answer is None
    chunks = [told for _, told in decoded(NATIVE, decoder) if told is not None]

    assert [openai_chat.first_choice(told)["delta"] for told in chunks[:4]] == [
        {"reasoning_content": "hm"},
        {"content": "Kö"},
        {"content": "ln"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        },
    ]
    assert all(map(openai_chat.has_content, chunks))
    assert read_along(NATIVE) == {
        "id": "resp_P",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Köln",
                    "reasoning_content": "hm",
                    "tool_calls": [call_in_chat("call_1", arguments='{"a":1}')],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
            "cost_in_usd_ticks": 7,
        },
    }
    assert decoder.answer == NATIVE_DONE
    assert decoder.usage["prompt_tokens"] == 10


def test_a_server_that_sends_no_pieces_is_read_from_its_items_or_its_end():
    from_items = [event for event in NATIVE if "delta" not in event["type"]]
    from_the_end = native_events(NATIVE[-1])
    expected = read_along(NATIVE)

    assert read_along(from_items) == read_along(from_the_end) == expected


def test_items_that_the_last_event_leaves_out_stand_in_the_answer():
    decoder = responses_stream.NativeDecoder(1)
    decoded(
        [*NATIVE[:-1], {"type": "response.completed", "response": {**NATIVE_DONE, "output": None}}], decoder
    )

    assert decoder.answer == NATIVE_DONE


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
        ("max_messages", "length"),
        (None, "length"),
    ],
)
def test_an_incomplete_answer_tells_why(reason, finish):
    response = {**NATIVE_DONE, "status": "incomplete", "incomplete_details": reason and {"reason": reason}}

    answer = read_along([*NATIVE[:-1], {"type": "response.incomplete", "response": response}])

    assert answer["choices"][0]["finish_reason"] == finish


def test_the_work_of_a_providers_own_tools_is_part_of_the_answer():
    search = {"id": "ws_1", "type": "web_search_call", "status": "in_progress"}
    pairs = decoded(native_events({"type": "response.output_item.added", "output_index": 0, "item": search}))

    assert openai_chat.has_content(pairs[-1][1])


def test_an_answer_without_items_is_an_answer():
    answer = read_along(
        native_events({"type": "response.completed", "response": {**NATIVE_DONE, "output": [], "usage": {}}})
    )

    assert (answer["choices"][0]["finish_reason"], "usage" in answer) == ("stop", False)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None},
            ("slow down", "server_error", 429),
        ),
        (
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "code": "bad", "message": "no", "param": "input"},
            },
            ("no", "invalid_request_error", 400),
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "gone"}}},
            ("gone", "server_error", "server_error"),
        ),
        ({"type": "response.failed", "response": {}}, ("the provider failed", "server_error", None)),
        ({"error": {"message": "broke"}}, ("broke", "server_error", None)),
    ],
)
def test_a_providers_error_becomes_an_error_with_its_status(event, told):
    ((_, chunk),) = decoded([event])

    error = openai_chat.error_of(chunk)
    assert (error["message"], error["type"], error["code"]) == told


@pytest.mark.parametrize(
    "event",
    [
        [],
        "x",
        {},
        {"type": 5},
        {"type": "response.created"},
        {"type": "response.output_text.delta", "output_index": 0},
        {"type": "response.output_text.delta", "output_index": 0, "delta": None},
        {"type": "response.output_item.added", "output_index": 0},
        {"type": "response.completed", "response": {"output": [5]}},
    ],
)
def test_what_is_no_event_of_this_api_is_said_to_be_none(event):
    with pytest.raises(ValueError, match="Responses API"):
        responses_stream.NativeDecoder(1).decode(sse.Event(b"", json.dumps(event).encode()))


def test_a_comment_goes_through_and_so_does_a_done():
    decoder = responses_stream.NativeDecoder(1)
    comment, done = sse.Event(b": hi\n\n", None), sse.Event(sse.DONE, b"[DONE]")

    assert (decoder.decode(comment), decoder.decode(done)) == ([(comment, None)], [(done, None)])


@pytest.mark.parametrize("seed", range(100))
def test_junk_in_a_providers_events_is_said_to_be_some_or_harmless(seed):
    rng = random.Random(seed)
    at = rng.randrange(len(NATIVE))
    events = [*NATIVE[:at], spoilt(rng, NATIVE[at]), *NATIVE[at + 1 :]]

    with contextlib.suppress(ValueError):
        for event in events:
            decoder = responses_stream.NativeDecoder(1)
            for _, told in decoder.decode(sse.Event(b"", json.dumps(event).encode())):
                assert told is None or isinstance(told, dict)


def test_the_sdk_reads_a_stream_that_was_passed_on(sdk, server):
    stream = responses_stream.NativeStream()
    server.body = b"".join(stream.pass_on(event, told) for event, told in decoded(NATIVE)) + stream.ending()

    with sdk.responses.create(model="auto", input="Hi", stream=True) as read:
        seen = [event.type for event in read]

    assert seen == [event["type"] for event in NATIVE]
    assert (stream.finished, stream.usage["total_tokens"]) == (True, 15)


@pytest.mark.parametrize("cut", range(1, len(NATIVE)))
def test_wherever_a_provider_breaks_off_its_stream_the_sdk_raises_why(cut, sdk, server):
    stream = responses_stream.NativeStream()
    server.body = b"".join(stream.pass_on(event, told) for event, told in decoded(NATIVE[:cut]))
    assert not stream.finished

    server.body += stream.error_event("the provider broke off")

    events = events_in(server.body)
    assert (events[-2]["type"], events[-2]["response"]["id"], events[-2]["response"]["status"]) == (
        "response.failed",
        "resp_P",
        "failed",
    )
    with pytest.raises(openai.APIError, match=r"^the provider broke off$"):
        for _ in sdk.responses.create(model="auto", input="Hi", stream=True):
            pass


def test_a_stream_that_broke_before_it_was_named_ends_in_an_error_alone():
    assert [event["type"] for event in events_in(responses_stream.NativeStream().error_event("x"))] == [
        "error"
    ]
