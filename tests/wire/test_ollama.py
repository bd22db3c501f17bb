"""Ollama's API: requests, answers, streams and lists, judged by its own Python library over a real socket."""

import base64
import http.server
import json
import threading
from datetime import UTC, datetime

import pytest

from errors import BadRequest, ProxyError, StreamBroken, UpstreamError
from wire import ollama, ollama_stream, openai_chat, sse

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
NOON_S = 1700000000.25  # 2023-11-14T22:13:20.250000Z
USAGE = {"prompt_tokens": 26, "completion_tokens": 9, "total_tokens": 35}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
MODELS = [
    ("auto", "headstart", None),
    ("grok-4", "cloud", None),
    ("builtin", "local", "builtin (local)"),
    ("qwen3:8b", "box", None),
]


def chat(*messages, **fields):
    return {"model": "auto:latest", "messages": list(messages), **fields}


def generate(prompt="why?", **fields):
    return {"model": "auto", "prompt": prompt, **fields}


def user(content, **fields):
    return {"role": "user", "content": content, **fields}


def called(*functions, **fields):
    """An assistant's message with calls. functions: (name, arguments) of each."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": name, "arguments": given}} for name, given in functions],
        **fields,
    }


def asked_of(body):
    ollama.check_chat(body)
    return ollama.chat_request_of(body)


def asked_of_generate(body):
    ollama.check_generate(body)
    return (
        ollama.completion_request_of(body)
        if ollama.is_completion(body)
        else ollama.chat_request_of_generate(body)
    )


def refused(call, *args):
    """The field that a call refuses, which its message names."""
    with pytest.raises(BadRequest) as caught:
        call(*args)
    assert caught.value.param in caught.value.message
    return caught.value.param


def chunk(delta=None, finish_reason=None, **fields):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason, **fields}],
    }


def text_chunk(text, finish_reason=None, **fields):
    return {
        "id": "c1",
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": finish_reason, **fields}],
    }


def call_piece(arguments, index=0, id=None, name=None):
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, **({"id": id, "type": "function"} if id else {}), "function": function}


def call_chunk(*pieces):
    return chunk({"tool_calls": list(pieces)})


ROLE = chunk({"role": "assistant", "content": ""})
USED = {"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
# A provider's stream with everything in it: reasoning, text, two tools in parallel whose arguments come in
# pieces, usage last.
EVERYTHING = [
    ROLE,
    chunk({"reasoning_content": "They want "}),
    chunk({"reasoning_content": "the weather."}),
    chunk({"content": "Ich schaue "}),
    chunk({"content": "nach – 🌦"}),
    call_chunk(call_piece("", 0, "call_a", "weather")),
    call_chunk(call_piece('{"city": "Kö', 0)),
    call_chunk(call_piece('ln"}', 0)),
    call_chunk(call_piece("", 1, "call_b", "now")),
    chunk({}, "tool_calls"),
    USED,
]
EVERY_CALL = [
    {"id": "call_a", "function": {"index": 0, "name": "weather", "arguments": {"city": "Köln"}}},
    {"id": "call_b", "function": {"index": 1, "name": "now", "arguments": {}}},
]


class Clock:
    """A clock that goes on by 100 ms whenever it is asked."""

    def __init__(self):
        self.ms = 0

    def __call__(self):
        self.ms += 100
        return ollama_stream.Moment(NOON_S + self.ms / 1000, self.ms)


def lines_for(chunks, kind=ollama_stream.ChatLines):
    lines = kind("auto:latest", Clock())
    sent = b"".join(lines.pass_on(None, piece) for piece in chunks) + lines.ending()
    assert sent.endswith(b"\n") and b"\n\n" not in sent
    return [json.loads(line) for line in sent.splitlines()]


def assembled(chunks):
    assembly = openai_chat.Assembly()
    for piece in json.loads(json.dumps(chunks)):
        assembly.add(piece)
    return assembly.answer()


def chat_answer(completion, times=None):
    return ollama.chat_answer_of(completion, "auto:latest", NOON_S, times or ollama.Times(500, 200))


# Requests.


def test_a_chat_request_becomes_one_of_chat_completions():
    body = chat(
        {"role": "developer", "content": "Be brief."},
        user("why?"),
        {"role": "Assistant", "content": "so", "thinking": "hm"},
        user("and?"),
    )

    asked = asked_of(body)

    assert asked == {
        "model": "auto",
        "stream": True,
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "why?"},
            {"role": "assistant", "content": "so", "reasoning_content": "hm"},
            {"role": "user", "content": "and?"},
        ],
    }


@pytest.mark.parametrize(
    ("stream", "asked"),
    [({}, True), ({"stream": None}, True), ({"stream": True}, True), ({"stream": False}, False)],
)
def test_a_stream_is_what_a_client_gets_unless_it_says_no(stream, asked):
    body = chat(user("hi"), **stream)

    assert asked_of(body)["stream"] is asked
    assert ollama.streams(body) is asked


@pytest.mark.parametrize(
    ("name", "known", "listed"),
    [
        ("auto:latest", "auto", "auto:latest"),
        ("auto", "auto", "auto:latest"),
        ("qwen3:8b", "qwen3:8b", "qwen3:8b"),
        ("hf.co/org/Model-GGUF:Q4_K_M", "hf.co/org/Model-GGUF:Q4_K_M", "hf.co/org/Model-GGUF:Q4_K_M"),
        ("host:5000/org/model", "host:5000/org/model", "host:5000/org/model:latest"),
        ("latest", "latest", "latest:latest"),
        (":latest:latest", ":latest", ":latest:latest"),
    ],
)
def test_exactly_the_tag_latest_is_taken_off_and_put_on(name, known, listed):
    assert ollama.model_name(name) == known
    assert ollama.tagged(name) == listed


def test_options_become_the_fields_that_say_the_same():
    options = {
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40.0,
        "min_p": 0.05,
        "seed": 7,
        "stop": ["\n", "user:"],
        "num_predict": 100,
        "repeat_penalty": 1.2,
        "presence_penalty": 1.5,
        "frequency_penalty": -1,
        "num_ctx": 8192,
        "num_gpu": 99,
        "mirostat": 0,
        "mirostat_tau": 5.0,
        "typical_p": 1.0,
        "numa": None,
        "xtc_probability": 0.5,
    }

    asked = asked_of(chat(user("hi"), options=options, keep_alive="5m"))

    assert {name: value for name, value in asked.items() if name not in ("model", "messages", "stream")} == {
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "stop": ["\n", "user:"],
        "max_tokens": 100,
        "repetition_penalty": 1.2,
        "presence_penalty": 1.5,
        "frequency_penalty": -1,
        "xtc_probability": 0.5,
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_predict": -1}, {}),
        ({"num_predict": -2}, {}),
        ({"num_predict": 0}, {}),
        ({"seed": -1}, {}),
        ({"seed": 0}, {"seed": 0}),
        ({"seed": 10**400}, {"seed": 10**400}),
        ({"top_k": 0}, {"top_k": -1}),
        ({"stop": []}, {}),
        ({"n": 1, "tfs_z": 1.0, "vocab_only": False, "embedding_only": False}, {}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"repeat_penalty": 1.1, "repeat_last_n": 0}, {}),
        ({"repeat_penalty": 1.1, "repeat_last_n": 64}, {"repetition_penalty": 1.1}),
    ],
)
def test_numbers_with_a_meaning_of_their_own_keep_it(options, told):
    asked = asked_of(chat(user("hi"), options=options))

    assert {
        name: value for name, value in asked.items() if name not in ("model", "messages", "stream")
    } == told


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mirostat": 2}, "options.mirostat"),
        ({"tfs_z": 0.5}, "options.tfs_z"),
        ({"typical_p": 0.7}, "options.typical_p"),
        ({"n": 2}, "options.n"),
        ({"messages": []}, "options.messages"),
        ({"stream": False}, "options.stream"),
        ({"temperature": "hot"}, "options.temperature"),
        ({"temperature": True}, "options.temperature"),
        ({"num_predict": 1.5}, "options.num_predict"),
        ({"top_k": float("inf")}, "options.top_k"),
        ({"stop": [1]}, "options.stop"),
        ({"stop": {"a": 1}}, "options.stop"),
    ],
)
def test_an_option_that_cannot_be_kept_is_refused_by_name(options, field):
    assert refused(asked_of, chat(user("hi"), options=options)) == field


@pytest.mark.parametrize(
    ("think", "asked"),
    [
        (None, {}),
        (False, {"chat_template_kwargs": {"enable_thinking": False}}),
        (True, {"chat_template_kwargs": {"enable_thinking": True}}),
        (
            "low",
            {
                "reasoning_effort": "low",
                "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"},
            },
        ),
        (
            "medium",
            {
                "reasoning_effort": "medium",
                "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "medium"},
            },
        ),
        (
            "high",
            {
                "reasoning_effort": "high",
                "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"},
            },
        ),
        (
            "max",
            {
                "reasoning_effort": "high",
                "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"},
            },
        ),
    ],
)
def test_think_becomes_the_templates_switch_and_a_level_an_effort_too(think, asked):
    for body in (asked_of(chat(user("hi"), think=think)), asked_of_generate(generate(think=think))):
        assert {
            name: body[name] for name in ("reasoning_effort", "chat_template_kwargs") if name in body
        } == asked


def test_think_leaves_a_clients_other_template_switches_as_they_are():
    asked = asked_of(chat(user("hi"), think=False, chat_template_kwargs={"documents": 1}))

    assert asked["chat_template_kwargs"] == {"documents": 1, "enable_thinking": False}


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        (None, None),
        ("", None),
        ("json", {"type": "json_object"}),
        (
            {"type": "object"},
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        ),
    ],
)
def test_format_becomes_a_response_format(form, asked):
    assert asked_of(chat(user("hi"), format=form)).get("response_format") == asked
    assert asked_of_generate(generate(format=form)).get("response_format") == asked


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM\x36\x00", "image/bmp"),
    ],
)
def test_an_image_is_told_by_its_first_bytes(data, media_type):
    image = base64.b64encode(data + bytes(30)).decode()

    (message,) = asked_of(chat(user("what is it?", images=[image[:20] + "\n" + image[20:]])))["messages"]

    assert message["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{image}"}},
    ]


def test_images_without_words_are_only_images():
    assert [
        part["type"]
        for part in asked_of(chat({"role": "user", "images": [PNG, PNG]}))["messages"][0]["content"]
    ] == ["image_url", "image_url"]
    assert [
        part["type"] for part in asked_of_generate(generate("what?", images=[PNG]))["messages"][0]["content"]
    ] == ["text", "image_url"]


@pytest.mark.parametrize(
    "image",
    [
        "",
        "AAAA",
        "no base64 at all",
        "größe",
        f"data:image/png;base64,{PNG}",
        base64.b64encode(b"<svg xmlns=''></svg>").decode(),
    ],
)
def test_what_is_no_image_is_refused_by_its_place(image):
    assert refused(asked_of, chat(user("hm"), user("what?", images=[PNG, image]))) == "messages[1].images[1]"
    assert refused(asked_of_generate, generate(images=[image])) == "images[0]"


def test_tool_calls_get_ids_and_results_find_them_by_name_in_any_order():
    calls = called(("weather", {"city": "Köln"}), ("now", None), ("weather", {"city": "Bonn"}))
    results = [
        {"role": "tool", "content": text, "tool_name": name}
        for name, text in (("now", "noon"), ("weather", "rain"), ("weather", "sun"))
    ]

    asked = asked_of(chat(user("weather?"), calls, *results))["messages"]

    assert asked[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call00000",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Köln"}'},
            },
            {"id": "call00001", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            {
                "id": "call00002",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
            },
        ],
    }
    assert asked[2:] == [
        {"role": "tool", "tool_call_id": "call00001", "content": "noon"},
        {"role": "tool", "tool_call_id": "call00000", "content": "rain"},
        {"role": "tool", "tool_call_id": "call00002", "content": "sun"},
    ]


def test_results_that_name_nothing_belong_to_the_calls_in_order():
    calls, again = called(("on", {"light": "a"}), ("on", {"light": "b"})), called(("off", {}))
    result = {"role": "tool", "content": '{"data": "ok"}'}

    asked = asked_of(chat(user("lights"), calls, result, result, again, result, user("thanks")))["messages"]

    assert [message["tool_call_id"] for message in asked if message["role"] == "tool"] == [
        "call00000",
        "call00001",
        "call00002",
    ]


def test_ids_that_a_client_knows_are_kept():
    calls = {
        "role": "assistant",
        "tool_calls": [
            {"id": "call_x", "function": {"name": "a"}},
            {"id": "call_y", "function": {"name": "a"}},
        ],
    }
    results = [
        {"role": "tool", "content": "y", "tool_call_id": "call_y", "tool_name": "a"},
        {"role": "tool", "content": "x"},
    ]

    asked = asked_of(chat(user("go"), calls, *results))["messages"]

    assert [message["tool_call_id"] for message in asked[2:]] == ["call_y", "call_x"]


def test_ids_that_only_the_results_know_belong_to_the_calls_without():
    results = [
        {"role": "tool", "content": text, "tool_call_id": id}
        for text, id in (("a", "call_1"), ("b", "call_2"))
    ]

    asked = asked_of(chat(user("lights"), called(("on", {"light": "a"}), ("on", {"light": "b"})), *results))[
        "messages"
    ]

    assert [(message["tool_call_id"], message["content"]) for message in asked[2:]] == [
        ("call00000", "a"),
        ("call00001", "b"),
    ]


def test_an_id_that_no_call_has_is_kept_where_all_calls_have_their_own():
    calls = {"role": "assistant", "tool_calls": [{"id": "call_x", "function": {"name": "a"}}]}

    asked = asked_of(chat(user("go"), calls, {"role": "tool", "content": "z", "tool_call_id": "call_z"}))[
        "messages"
    ]

    assert asked[2]["tool_call_id"] == "call_z"


def test_a_result_whose_call_was_trimmed_away_gets_an_id_of_its_own():
    results = [{"role": "tool", "content": "late", "name": "gone"}, {"role": "tool", "content": "later"}]

    asked = asked_of(
        chat(
            {"role": "system", "content": "s"},
            *results,
            user("and?"),
            called(("now", {})),
            {"role": "tool", "content": "noon"},
        )
    )["messages"]

    assert [message["tool_call_id"] for message in asked if message["role"] == "tool"] == [
        "call00000",
        "call00001",
        "call00002",
    ]
    assert asked[4]["tool_calls"][0]["id"] == "call00002"


def test_numbers_unicode_and_nulls_survive_in_a_calls_arguments():
    arguments = {"n": 10**30, "f": 0.1, "s": "ä\u2028\ud83d", "none": None, "deep": [{"": []}]}

    (call,) = asked_of(chat(user("go"), called(("f", arguments))))["messages"][1]["tool_calls"]

    assert json.loads(call["function"]["arguments"]) == arguments


def test_tools_go_on_as_they_are():
    bare = {"function": {"name": "now", "description": None}}

    asked = asked_of(chat(user("weather?"), tools=[WEATHER, bare]))

    assert asked["tools"] == [WEATHER, {"type": "function", **bare}]
    assert "tools" not in asked_of(chat(user("hi"), tools=[]))


def test_logprobs_go_on_and_a_number_of_them_without_any_does_not():
    assert (
        asked_of(chat(user("hi"), logprobs=True, top_logprobs=3)).items()
        >= {"logprobs": True, "top_logprobs": 3}.items()
    )
    assert asked_of(chat(user("hi"), logprobs=False, top_logprobs=3)).keys() == {
        "model",
        "messages",
        "stream",
    }


def test_what_neither_api_knows_goes_on_as_it_is_and_null_is_absent():
    body = chat(
        user("hi", foo=1, bar=None), tool_choice="auto", user=None, options=None, tools=None, format=None
    )

    asked = asked_of(body)

    assert asked == {
        "model": "auto",
        "stream": True,
        "messages": [{"role": "user", "content": "hi", "foo": 1}],
        "tool_choice": "auto",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "hi"),
        ("suffix", "end"),
        ("system", "Be brief."),
        ("raw", True),
        ("images", [PNG]),
        ("template", "{{ .Prompt }}"),
        ("context", [1, 2]),
        ("n", 2),
        ("_debug_render_only", True),
    ],
)
def test_what_a_chat_cannot_say_is_refused_by_name(field, value):
    assert refused(asked_of, chat(user("hi"), **{field: value})) == field


def test_what_only_advises_is_left_out():
    advice = {
        "keep_alive": -1,
        "truncate": False,
        "shift": True,
        "runner": "mlx",
        "options": dict.fromkeys(ollama.ADVISORY_OPTIONS, 1),
    }

    assert asked_of(chat(user("hi"), **advice)).keys() == {"model", "messages", "stream"}
    assert asked_of_generate(generate(**advice)).keys() == {"model", "messages", "stream"}


def test_the_values_that_ask_for_nothing_are_no_refusal():
    empty = {
        "suffix": "",
        "system": "",
        "template": "",
        "context": [],
        "raw": False,
        "images": [],
        "width": 0,
        "height": 0,
        "steps": 0,
        "n": 1,
    }

    assert asked_of(chat(user("hi"), prompt="", **empty)).keys() == {"model", "messages", "stream"}
    assert asked_of_generate(generate(messages=[], tools=[], **empty)).keys() == {
        "model",
        "messages",
        "stream",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": []}, "model"),
        ({"model": "", "messages": []}, "model"),
        ({"model": 7, "messages": []}, "model"),
        (chat(user("hi"), stream="yes"), "stream"),
        ({"model": "m", "messages": "hi"}, "messages"),
        (chat("hi"), "messages[0].role"),
        (chat({"content": "hi"}), "messages[0].role"),
        (chat({"role": "robot", "content": "hi"}), "messages[0].role"),
        (chat({"role": ["user"], "content": "hi"}), "messages[0].role"),
        (chat(user([{"type": "text", "text": "hi"}])), "messages[0].content"),
        (chat(user("hi", images="AAAA")), "messages[0].images"),
        (chat(user("hi", images=[1])), "messages[0].images[0]"),
        (chat({"role": "system", "content": "s", "images": [PNG]}), "messages[0].images"),
        (chat(user("hi", thinking="hm")), "messages[0].thinking"),
        (chat(user("hi", tool_calls=[{}])), "messages[0].tool_calls"),
        (chat({"role": "assistant", "tool_calls": {}}), "messages[0].tool_calls"),
        (chat({"role": "assistant", "tool_calls": [{"function": {}}]}), "messages[0].tool_calls[0]"),
        (chat(called(("f", '{"a": 1}'))), "messages[0].tool_calls[0].function.arguments"),
        (chat(called(("f", [1]))), "messages[0].tool_calls[0].function.arguments"),
        (
            chat({"role": "assistant", "tool_calls": [{"id": 1, "function": {"name": "f"}}]}),
            "messages[0].tool_calls[0].id",
        ),
        (chat(user("hi"), tools={}), "tools"),
        (chat(user("hi"), tools=[{"type": "function"}]), "tools[0]"),
        (chat(user("hi"), options=[]), "options"),
        (chat(user("hi"), format="yaml"), "format"),
        (chat(user("hi"), format=["json"]), "format"),
        (chat(user("hi"), think="hard"), "think"),
        (chat(user("hi"), think=75), "think"),
        (chat(user("hi"), think=[]), "think"),
        (chat(user("hi"), keep_alive=True), "keep_alive"),
        (chat(user("hi"), logprobs=1), "logprobs"),
        (chat(user("hi"), top_logprobs=21), "top_logprobs"),
        (chat(user("hi"), top_logprobs=-1), "top_logprobs"),
    ],
)
def test_a_faulty_chat_request_is_refused_by_its_field(body, field):
    assert refused(ollama.check_chat, body) == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "hi"}, "model"),
        (generate(7), "prompt"),
        (generate(images="AAAA"), "images"),
        (generate(raw=1), "raw"),
        (generate(raw=True, system="s"), "raw"),
        (generate(raw=True, template="t"), "raw"),
        (generate(raw=True, context=[1]), "raw"),
        (generate(context=[1, 2]), "context"),
        (generate(template="{{ .Prompt }}"), "template"),
        (generate(messages=[user("hi")]), "messages"),
        (generate(tools=[WEATHER]), "tools"),
        (generate(width=512), "width"),
        (generate(suffix="end", system="s"), "system"),
        (generate(suffix="end", images=[PNG]), "images"),
        (generate(raw=True, think=True), "think"),
    ],
)
def test_a_faulty_generate_request_is_refused_by_its_field(body, field):
    assert refused(asked_of_generate, body) == field


@pytest.mark.parametrize("body", [None, [], "hi", 7])
def test_a_body_that_is_no_object_is_refused(body):
    for check in (ollama.check_chat, ollama.check_generate, ollama.check_embed, ollama.check_show):
        with pytest.raises(BadRequest):
            check(body)


def test_a_generate_request_becomes_a_chat():
    asked = asked_of_generate(generate("why?", system="Be brief.", stream=False, options={"num_predict": 5}))

    assert asked == {
        "model": "auto",
        "stream": False,
        "max_tokens": 5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}],
    }


def test_a_raw_prompt_and_one_with_a_suffix_become_legacy_completions():
    raw = asked_of_generate(generate("[INST] hi [/INST]", raw=True, logprobs=True, options={"seed": 1}))
    filled = asked_of_generate(
        generate("def f(", suffix="return x", logprobs=True, top_logprobs=3, think=False)
    )

    assert raw == {"model": "auto", "stream": True, "seed": 1, "prompt": "[INST] hi [/INST]", "logprobs": 1}
    assert filled == {
        "model": "auto",
        "stream": True,
        "prompt": "def f(",
        "suffix": "return x",
        "logprobs": 3,
    }
    assert not ollama.is_completion(generate(raw=False, suffix=""))


@pytest.mark.parametrize(
    ("keep_alive", "reason"),
    [
        (None, "load"),
        (0, "unload"),
        (0.0, "unload"),
        ("0", "unload"),
        ("0m0s", "unload"),
        ("", "load"),
        ("5m", "load"),
        (300, "load"),
        (-1, "load"),
        ("10s", "load"),
    ],
)
def test_nothing_to_answer_only_loads_or_unloads_the_model(keep_alive, reason):
    body, prompt = chat(keep_alive=keep_alive), {"model": "auto", "keep_alive": keep_alive}

    ollama.check_chat(body)
    ollama.check_generate(prompt)

    assert (
        ollama.is_load(body)
        and ollama.is_load({"model": "auto"})
        and ollama.is_load(generate(""))
        and ollama.is_load(prompt)
    )
    top = {"created_at": "2023-11-14T22:13:20.250000Z", "done": True, "done_reason": reason}
    assert ollama.load_answer(body, NOON_S, ollama.chat_words) == {
        "model": "auto:latest",
        "message": {"role": "assistant", "content": ""},
        **top,
    }
    assert ollama.load_answer(prompt, NOON_S, ollama.generate_words) == {
        "model": "auto",
        "response": "",
        **top,
    }
    assert not ollama.is_load(chat(user("hi"))) and not ollama.is_load(generate("hi"))


def test_the_name_to_show_may_stand_in_either_field():
    assert ollama.check_show({"model": "auto:latest", "verbose": True}) == "auto:latest"
    assert ollama.check_show({"name": "auto"}) == "auto"
    assert refused(ollama.check_show, {}) == "model"
    assert refused(ollama.check_show, {"model": ["auto"]}) == "model"


def test_both_kinds_of_embedding_requests_become_one():
    new = {
        "model": "minilm:latest",
        "input": ["a", "b"],
        "truncate": True,
        "dimensions": 64,
        "options": {"num_ctx": 512},
        "keep_alive": "1h",
    }
    old = {"model": "minilm", "prompt": "a"}

    for body in (new, old):
        ollama.check_embed(body)

    assert ollama.embedding_request_of(new) == {
        "model": "minilm",
        "input": ["a", "b"],
        "dimensions": 64,
        "encoding_format": "float",
    }
    assert ollama.embedding_request_of(old) == {"model": "minilm", "input": "a", "encoding_format": "float"}
    assert [
        ollama.is_empty(body)
        for body in (new, old, {"model": "m"}, {"model": "m", "input": []}, {"model": "m", "prompt": ""})
    ] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert refused(ollama.check_embed, {"model": "m", "input": [1, 2]}) == "input"
    assert refused(ollama.check_embed, {"model": "m", "input": {}}) == "input"
    assert refused(ollama.check_embed, {"model": "m", "prompt": 1}) == "prompt"
    assert refused(ollama.check_embed, {"input": "a"}) == "model"


# Whole answers.


def test_a_whole_chat_answer_tells_all_that_was_said():
    assert chat_answer(assembled(EVERYTHING)) == {
        "model": "auto:latest",
        "created_at": "2023-11-14T22:13:20.250000Z",
        "message": {
            "role": "assistant",
            "content": "Ich schaue nach – 🌦",
            "thinking": "They want the weather.",
            "tool_calls": EVERY_CALL,
        },
        "done": True,
        "done_reason": "stop",
        "total_duration": 500_000_000,
        "load_duration": 0,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 200_000_000,
        "eval_count": 9,
        "eval_duration": 300_000_000,
    }


def test_a_whole_generate_answer_comes_from_a_chat_or_a_legacy_completion():
    said = {"reasoning": "hm", "content": "so"}
    of_chat = ollama.generate_answer_of(
        {"choices": [{"message": said, "finish_reason": "length"}]}, "auto", NOON_S, ollama.Times(10)
    )
    of_text = ollama.generate_answer_of(
        {"choices": [{"text": " so", "finish_reason": "stop"}], "usage": USAGE},
        "auto",
        NOON_S,
        ollama.Times(10),
    )

    assert (of_chat["response"], of_chat["thinking"], of_chat["done_reason"]) == ("so", "hm", "length")
    assert (of_text["response"], of_text["eval_count"]) == (" so", 9) and "thinking" not in of_text


def test_what_nobody_told_is_absent_and_no_duration_is_nothing():
    answer = chat_answer(
        {"choices": [{"message": {"content": None}, "finish_reason": None}], "usage": None}, ollama.Times(0)
    )

    assert answer["message"] == {"role": "assistant", "content": ""}
    assert answer["done_reason"] == "stop"
    assert not answer.keys() & {"prompt_eval_count", "eval_count", "prompt_eval_duration", "logprobs"}
    assert answer["total_duration"] == answer["eval_duration"] == 1


@pytest.mark.parametrize("arguments", ['{"city": "Kö', "[1]", "weather", '{"a": NaN}'])
def test_a_broken_call_is_an_error_and_one_that_was_cut_off_is_not_made(arguments):
    calls = [
        {"id": "a", "function": {"name": "now", "arguments": "{}"}},
        {"id": "b", "function": {"name": "weather", "arguments": arguments}},
    ]
    completion = {"choices": [{"message": {"content": "hm", "tool_calls": calls}, "finish_reason": "length"}]}

    answer = chat_answer(completion)

    assert answer["done_reason"] == "length"
    assert [call["function"]["name"] for call in answer["message"]["tool_calls"]] == ["now"]
    completion["choices"][0]["finish_reason"] = "tool_calls"
    with pytest.raises(UpstreamError, match="weather"):
        chat_answer(completion)


@pytest.mark.parametrize(
    "completion",
    [
        {"choices": [7]},
        {"choices": [{"message": 7}]},
        {"choices": [{"message": {"tool_calls": 7}}]},
        {"choices": 7},
    ],
)
def test_what_is_no_completion_is_the_providers_fault(completion):
    with pytest.raises(UpstreamError):
        chat_answer(completion)


def test_log_probabilities_of_chats_and_of_legacy_completions_have_one_shape():
    told = [
        {
            "token": "so",
            "logprob": -0.1,
            "bytes": [115, 111],
            "top_logprobs": [{"token": "so", "logprob": -0.1, "bytes": [115, 111]}],
        }
    ]
    of_chat = chat_answer({"choices": [{"message": {"content": "so"}, "logprobs": {"content": told}}]})
    legacy = {
        "tokens": ["so", "!"],
        "token_logprobs": [-0.1, -2.0],
        "top_logprobs": [{"so": -0.1, "hm": -3.0}, None],
    }
    of_text = ollama.generate_answer_of(
        {"choices": [{"text": "so!", "logprobs": legacy}]}, "auto", NOON_S, ollama.Times(1)
    )

    assert of_chat["logprobs"] == told
    assert of_text["logprobs"] == [
        {
            "token": "so",
            "logprob": -0.1,
            "top_logprobs": [{"token": "so", "logprob": -0.1}, {"token": "hm", "logprob": -3.0}],
        },
        {"token": "!", "logprob": -2.0},
    ]


def test_a_refusal_in_words_is_said():
    assert (
        chat_answer(
            {"choices": [{"message": {"content": None, "refusal": "I won't."}, "finish_reason": "stop"}]}
        )["message"]["content"]
        == "I won't."
    )


# Streams.


def test_a_stream_tells_the_same_as_the_whole_answer():
    lines = lines_for(EVERYTHING)

    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": "", "thinking": "They want "},
        {"role": "assistant", "content": "", "thinking": "the weather."},
        {"role": "assistant", "content": "Ich schaue "},
        {"role": "assistant", "content": "nach – 🌦"},
        {"role": "assistant", "content": "", "tool_calls": EVERY_CALL},
        {"role": "assistant", "content": ""},
    ]
    assert [line["done"] for line in lines] == [False] * 5 + [True]
    assert all(line["model"] == "auto:latest" and line["created_at"].endswith("Z") for line in lines)
    assert {name: lines[-1][name] for name in ("done_reason", "prompt_eval_count", "eval_count")} == {
        "done_reason": "stop",
        "prompt_eval_count": 26,
        "eval_count": 9,
    }
    assert lines[-1]["prompt_eval_duration"] + lines[-1]["eval_duration"] == lines[-1]["total_duration"]
    assert (
        lines[-1]["prompt_eval_duration"] == 100_000_000
    )  # the clock's first tick: when the first word came


def test_a_generate_stream_comes_from_a_chat_or_a_legacy_completion():
    of_chat = lines_for(
        [ROLE, chunk({"reasoning": "hm"}), chunk({"content": "so"}), chunk({}, "length")],
        ollama_stream.GenerateLines,
    )
    of_text = lines_for([text_chunk("def "), text_chunk("f", "stop")], ollama_stream.GenerateLines)

    assert [(line["response"], line.get("thinking"), line["done"]) for line in of_chat] == [
        ("", "hm", False),
        ("so", None, False),
        ("", None, True),
    ]
    assert of_chat[-1]["done_reason"] == "length"
    assert [line["response"] for line in of_text] == ["def ", "f", ""]
    assert all("message" not in line for line in of_chat + of_text)


def test_comments_and_chunks_without_words_send_nothing():
    lines = ollama_stream.ChatLines("auto", Clock())

    assert lines.pass_on(sse.Event(b": keep-alive\n\n", None), None) == b""
    assert lines.pass_on(None, ROLE) == b""
    assert lines.pass_on(None, USED) == b""
    assert not lines.finished
    assert lines.usage == USAGE
    assert lines.pass_on(None, chunk({}, "stop")) == b""
    assert lines.finished


def test_a_stream_without_usage_and_finish_reason_still_ends():
    (said, over) = lines_for([chunk({"content": "so"})])

    assert said["message"]["content"] == "so"
    assert over["done"] and over["done_reason"] == "stop" and "eval_count" not in over


def test_only_the_first_choice_and_the_first_finish_reason_count():
    other = {"choices": [{"index": 1, "delta": {"content": "another"}, "finish_reason": "stop"}]}

    lines = lines_for([chunk({"content": "so"}), other, chunk({}, "length"), chunk({}, "stop")])

    assert [line["message"]["content"] for line in lines] == ["so", ""]
    assert lines[-1]["done_reason"] == "length"


@pytest.mark.parametrize(
    "pieces",
    [
        [
            call_piece('{"a"', 0, "x", "f"),
            call_piece('{"b"', 1, "y", "g"),
            call_piece(":1}", 0),
            call_piece(":2}", 1),
        ],  # mixed, by index
        [
            call_piece('{"a":1}', 0, "x", "f"),
            call_piece('{"b":2}', 0, "y", "g"),
        ],  # Gemini numbers every call 0
        [
            {"id": "x", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "y", "function": {"name": "g", "arguments": '{"b":2}'}},
        ],  # no index
        [
            {"index": 0, "id": "x", "function": {"name": "f", "arguments": {"a": 1}}},
            call_piece('{"b":2}', 1, "y", "g"),
        ],  # arguments as an object
    ],
)
@pytest.mark.parametrize("ends", [[chunk({}, "tool_calls")], [chunk({}, "stop")], []])
def test_parallel_calls_are_gathered_however_they_come(pieces, ends):
    lines = lines_for([ROLE, *(call_chunk(piece) for piece in pieces), *ends, USED])

    assert [line["message"].get("tool_calls") for line in lines] == [
        [
            {"id": "x", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
            {"id": "y", "function": {"index": 1, "name": "g", "arguments": {"b": 2}}},
        ],
        None,
    ]


def test_a_call_that_was_cut_off_is_not_made_and_a_broken_one_breaks_the_stream():
    begun = [call_chunk(call_piece('{"city": "Kö', 0, "a", "weather"))]

    (over,) = lines_for([*begun, chunk({}, "length")])
    assert over["done_reason"] == "length" and "tool_calls" not in over["message"]

    lines = ollama_stream.ChatLines("auto", Clock())
    lines.pass_on(None, begun[0])
    with pytest.raises(StreamBroken, match="weather"):
        lines.pass_on(None, chunk({}, "tool_calls"))

    lines = ollama_stream.ChatLines("auto", Clock())
    lines.pass_on(None, begun[0])
    with pytest.raises(StreamBroken, match="weather"):
        lines.ending()


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [7]},
        {"choices": [{"delta": 7}]},
        {"choices": [{"delta": {"content": "a", "refusal": 7}}]},
        {"choices": 7},
    ],
)
def test_what_is_no_chunk_breaks_the_stream(odd):
    with pytest.raises(StreamBroken):
        ollama_stream.ChatLines("auto", Clock()).pass_on(None, odd)


def test_words_with_line_breaks_and_half_characters_stay_on_one_line():
    words = ["a\nb\r\n", "\u2028\u2029\x85", "\ud83d", "🌦", '"\\']

    lines = lines_for([chunk({"content": word}) for word in words])

    assert [line["message"]["content"] for line in lines] == [*words, ""]


def test_log_probabilities_come_with_their_words():
    told = [{"token": "so", "logprob": -0.1, "bytes": [115, 111], "top_logprobs": []}]

    lines = lines_for(
        [chunk({"content": "so"}, logprobs={"content": told}), chunk({}, "stop", logprobs=None)]
    )

    assert [line.get("logprobs") for line in lines] == [told, None]


def test_the_lines_do_not_depend_on_where_the_providers_stream_was_cut():
    received = b"".join(sse.event(openai_chat.dumps(piece)) for piece in EVERYTHING)
    expected = lines_for(EVERYTHING)

    for cut in range(len(received) + 1):
        parser = sse.Parser()
        events = [*parser.feed(received[:cut]), *parser.feed(received[cut:])]
        assert lines_for([openai_chat.parse_chunk(event.data) for event in events]) == expected


def test_a_stream_that_breaks_off_anywhere_has_sent_whole_lines_that_are_not_done():
    for end in range(len(EVERYTHING)):
        lines = ollama_stream.ChatLines("auto", Clock())
        sent = b"".join(lines.pass_on(None, piece) for piece in EVERYTHING[:end]) + ollama_stream.error_line(
            "it broke"
        )

        *said, error = [json.loads(line) for line in sent.splitlines()]

        assert error == {"error": "it broke"}
        assert not any(line["done"] for line in said)


# The models.


def test_the_models_are_listed_with_tags_and_stable_digests():
    listed = ollama.tags(MODELS, NOON_S)["models"]

    assert (
        [model["name"] for model in listed]
        == [model["model"] for model in listed]
        == ["auto:latest", "grok-4:latest", "builtin:latest", "qwen3:8b"]
    )
    assert listed[0] == {
        "name": "auto:latest",
        "model": "auto:latest",
        "digest": "41cc3878f90686967cbf3b95cd853dcffa773ec666b93dc9cd95c0443d9392e9",
        "details": {
            "parent_model": "",
            "format": "",
            "family": "headstart",
            "families": ["headstart"],
            "parameter_size": "",
            "quantization_level": "",
        },
        "modified_at": "2023-11-14T22:13:20Z",
        "size": 0,
    }
    assert [model["digest"] for model in ollama.ps(MODELS)["models"]] == [model["digest"] for model in listed]
    assert len({model["digest"] for model in listed}) == 4


def test_a_model_shows_what_its_clients_look_for():
    shown = ollama.show(
        "builtin", "local", NOON_S, capabilities=("completion", "tools", "thinking"), context_length=4096
    )

    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert shown["model_info"] == {
        "general.architecture": "local",
        "general.basename": "builtin:latest",
        "local.context_length": 4096,
    }
    assert shown["details"]["family"] == "local"
    assert ollama.show("auto", "headstart", NOON_S)["model_info"] == {
        "general.architecture": "headstart",
        "general.basename": "auto:latest",
    }


def test_the_version_is_one_that_clients_can_compare():
    assert tuple(map(int, ollama.version()["version"].split("."))) >= (
        0,
        12,
        11,
    )  # the first with log probabilities


# Ollama's own library, over a real socket.


class Handler(http.server.BaseHTTPRequestHandler):
    """A tiny server of this API over scripted chunks of chat completions: the proxy without its road."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answers = {
            "/api/tags": lambda: ollama.tags(MODELS, NOON_S),
            "/api/ps": lambda: ollama.ps(MODELS[2:3], 4096),
        }
        self._answer(answers[self.path]())

    def do_POST(self):
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            getattr(self, "_" + self.path.removeprefix("/api/"))(body)
        except ProxyError as error:
            self._answer(ollama.error_body(error.message), error.status)

    def _show(self, body):
        self._answer(
            ollama.show(ollama.model_name(ollama.check_show(body)), "headstart", NOON_S, context_length=8192)
        )

    def _chat(self, body):
        ollama.check_chat(body)
        if ollama.is_load(body):
            return self._answer(ollama.load_answer(body, NOON_S, ollama.chat_words))
        self._completed(body, ollama.chat_request_of(body), ollama_stream.ChatLines, ollama.chat_answer_of)

    def _generate(self, body):
        ollama.check_generate(body)
        if ollama.is_load(body):
            return self._answer(ollama.load_answer(body, NOON_S, ollama.generate_words))
        asked = (
            ollama.completion_request_of(body)
            if ollama.is_completion(body)
            else ollama.chat_request_of_generate(body)
        )
        self._completed(body, asked, ollama_stream.GenerateLines, ollama.generate_answer_of)

    def _embed(self, body):
        ollama.check_embed(body)
        if ollama.is_empty(body):
            return self._answer(ollama.embed_answer([], body["model"], 1))
        vectors, tokens = ollama.vectors_of(self.server.embeds(ollama.embedding_request_of(body)))
        self._answer(ollama.embed_answer(vectors, body["model"], 12, tokens))

    def _embeddings(self, body):
        ollama.check_embed(body)
        vectors = (
            [[]]
            if ollama.is_empty(body)
            else ollama.vectors_of(self.server.embeds(ollama.embedding_request_of(body)))[0]
        )
        self._answer(ollama.embedding_answer(vectors[0]))

    def _completed(self, body, asked, lines_class, answer_of):
        self.server.requests.append(asked)
        if not asked["stream"]:
            return self._answer(
                answer_of(assembled(self.server.chunks), body["model"], NOON_S, ollama.Times(500, 200))
            )
        self.send_response(200)
        self.send_header("Content-Type", ollama.MEDIA_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        lines = lines_class(body["model"], Clock())
        try:
            for piece in json.loads(json.dumps(self.server.chunks)):
                self._send(lines.pass_on(None, piece))
            self._send(lines.ending())
        except ProxyError as error:
            self._send(ollama_stream.error_line(error.message))
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _answer(self, value, status=200):
        data = openai_chat.dumps(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """The tiny server.

    `chunks`: what the provider streams; `requests`: what it got; `embeds`: the answer to embeddings.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.chunks, server.requests, server.embeds = EVERYTHING, [], None
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def library():
    return pytest.importorskip("ollama")


@pytest.fixture
def client(library, server):
    with library.Client(host=f"http://127.0.0.1:{server.server_port}", timeout=30) as client:
        yield client


def test_the_library_gets_a_stream_with_thinking_words_and_calls(client, server):
    parts = list(
        client.chat(
            "auto:latest",
            [user("Wetter?")],
            tools=[WEATHER],
            stream=True,
            think=True,
            options={"num_ctx": 8192},
            keep_alive="10s",
        )
    )

    assert "".join(part.message.thinking or "" for part in parts) == "They want the weather."
    assert "".join(part.message.content or "" for part in parts) == "Ich schaue nach – 🌦"
    calls = [call.function for part in parts for call in part.message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in calls] == [("weather", {"city": "Köln"}), ("now", {})]
    assert [part.done for part in parts] == [False] * 5 + [True]
    assert (parts[-1].done_reason, parts[-1].prompt_eval_count, parts[-1].eval_count) == ("stop", 26, 9)
    assert parts[0].model == "auto:latest"
    (asked,) = server.requests
    assert (
        asked["chat_template_kwargs"] == {"enable_thinking": True}
        and asked["tools"] == [WEATHER]
        and "num_ctx" not in asked
    )


def test_the_library_gets_a_whole_answer_and_hands_it_back_with_the_results(client, server):
    first = client.chat(
        "auto", [user("Wetter?", images=[base64.b64decode(PNG)])], tools=[WEATHER], logprobs=True
    )
    server.chunks = [ROLE, chunk({"content": "Regen."}), chunk({}, "stop"), USED]
    results = [
        {"role": "tool", "tool_name": "now", "content": "noon"},
        {"role": "tool", "tool_name": "weather", "content": "rain"},
    ]

    second = client.chat("auto", [user("Wetter?"), first.message, *results], think="low")

    assert second.message.content == "Regen." and second.message.tool_calls is None
    assert datetime.fromisoformat(second.created_at) == datetime.fromtimestamp(NOON_S, UTC)
    assert (
        server.requests[0]["messages"][0]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    )
    assert server.requests[0]["stream"] is False and server.requests[0]["logprobs"] is True
    assert server.requests[1]["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Ich schaue nach – 🌦",
            "reasoning_content": "They want the weather.",
            "tool_calls": [
                {
                    "id": "call00000",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Köln"}'},
                },
                {"id": "call00001", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call00001", "content": "noon"},
        {"role": "tool", "tool_call_id": "call00000", "content": "rain"},
    ]
    assert server.requests[1]["reasoning_effort"] == "low"


def test_the_library_gets_what_home_assistant_asks_for(client, server):
    instructions = {"role": "system", "content": "You are a voice assistant for Home Assistant."}
    turn_on = {
        "type": "function",
        "function": {
            "name": "HassTurnOn",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
    server.chunks = [
        call_chunk(call_piece('{"name": "Küche"}', 0, "call_1", "HassTurnOn")),
        chunk({}, "tool_calls"),
        USED,
    ]
    habit = {
        "stream": True,
        "keep_alive": -1,
        "options": {"num_ctx": 8192},
        "think": False,
        "tools": [turn_on],
        "format": None,
    }

    first = list(client.chat("auto:latest", [instructions, user("Licht an")], **habit))
    made = next(part.message for part in first if part.message.tool_calls)
    server.chunks = [chunk({"content": "Ist an."}), chunk({}, "stop")]
    second = list(
        client.chat(
            "auto:latest",
            [instructions, user("Licht an"), made, {"role": "tool", "content": '{"data": 1}'}],
            **habit,
        )
    )

    assert made.tool_calls[0].function.arguments == {"name": "Küche"}
    assert "".join(part.message.content for part in second) == "Ist an."
    assert [message["role"] for message in server.requests[1]["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert (
        server.requests[1]["messages"][3]["tool_call_id"]
        == server.requests[1]["messages"][2]["tool_calls"][0]["id"]
    )
    assert server.requests[1]["chat_template_kwargs"] == {"enable_thinking": False}


def test_the_library_asks_for_a_format_and_gets_it(client, server):
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    server.chunks = [chunk({"content": '{"age": 22}'}), chunk({}, "stop")]

    answer = client.chat("auto", [user("how old?")], format=schema)
    client.generate("auto", "how old?", format="json")

    assert json.loads(answer.message.content) == {"age": 22}
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == schema
    assert server.requests[1]["response_format"] == {"type": "json_object"}


def test_the_library_generates_whole_and_streamed(client, server):
    server.chunks = [
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "Rayleigh."}),
        chunk({}, "length"),
        USED,
    ]

    whole = client.generate("auto", "why is the sky blue?", system="Be brief.", options={"num_predict": 5})
    parts = list(client.generate("auto", "why?", stream=True))
    server.chunks = [text_chunk("  return a", "stop")]
    filled = client.generate("auto", "def f(a):\n", suffix="\n\nf(1)")

    assert (whole.response, whole.thinking, whole.done_reason, whole.eval_count) == (
        "Rayleigh.",
        "hm",
        "length",
        9,
    )
    assert ("".join(part.response for part in parts), parts[-1].done) == ("Rayleigh.", True)
    assert filled.response == "  return a"
    assert (
        server.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}
        and server.requests[0]["max_tokens"] == 5
    )
    assert server.requests[2] == {
        "model": "auto",
        "stream": False,
        "prompt": "def f(a):\n",
        "suffix": "\n\nf(1)",
    }


def test_the_library_loads_and_unloads(client, server):
    assert client.chat("auto", []).done_reason == "load"
    assert client.chat("auto", [], keep_alive=0).done_reason == "unload"
    assert [part.done_reason for part in client.generate("auto", "", stream=True)] == ["load"]
    assert server.requests == []


def test_the_library_embeds_in_both_ways(client, server):
    asked = []

    def embeds(request):
        asked.append(request)
        texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), -1e-07]}
            for i, text in enumerate(texts)
        ]
        return {"object": "list", "data": data[::-1], "usage": {"prompt_tokens": 8, "total_tokens": 8}}

    server.embeds = embeds

    new = client.embed("minilm:latest", ["a", "bcd"], truncate=True)
    old = client.embeddings("minilm", "ab")
    none = client.embed("minilm", [])

    assert new.embeddings == [[1.0, -1e-07], [3.0, -1e-07]]
    assert (new.model, new.prompt_eval_count, new.total_duration) == ("minilm:latest", 8, 12_000_000)
    assert old.embedding == [2.0, -1e-07]
    assert none.embeddings == []
    assert asked[0] == {"model": "minilm", "input": ["a", "bcd"], "encoding_format": "float"}


@pytest.mark.parametrize("answer", [{}, {"data": 7}, {"data": [{}]}, {"data": [{"embedding": "AAAA"}]}, []])
def test_what_holds_no_vectors_is_the_providers_fault(answer):
    with pytest.raises(UpstreamError):
        ollama.vectors_of(answer)


def test_the_library_reads_the_models(client):
    listed, loaded, shown = client.list(), client.ps(), client.show("auto:latest")

    assert [model.model for model in listed.models] == [
        "auto:latest",
        "grok-4:latest",
        "builtin:latest",
        "qwen3:8b",
    ]
    assert listed.models[0].modified_at == datetime.fromtimestamp(int(NOON_S), UTC)
    assert listed.models[0].details.family == "headstart"
    (running,) = loaded.models
    assert (running.model, running.name, running.context_length, running.expires_at.year) == (
        "builtin:latest",
        "builtin:latest",
        4096,
        2262,
    )
    assert shown.modelinfo["headstart.context_length"] == 8192
    assert shown.capabilities == ["completion", "tools"]


def test_the_library_raises_a_refusal_with_its_words_and_its_status(client, library):
    with pytest.raises(library.ResponseError) as whole:
        client.chat("auto", [user("hi")], options={"mirostat": 2})
    with pytest.raises(library.ResponseError) as streamed:
        list(client.chat("auto", [user("hi")], think="hard", stream=True))

    assert "'options.mirostat'" in whole.value.error and whole.value.status_code == 400
    assert "'think'" in streamed.value.error and streamed.value.status_code == 400


def test_the_library_raises_when_a_stream_breaks_after_its_first_words(client, server, library):
    server.chunks = [
        chunk({"content": "so"}),
        call_chunk(call_piece("{broken", 0, "a", "weather")),
        chunk({}, "tool_calls"),
    ]

    parts = client.chat("auto", [user("hi")], stream=True)

    assert next(parts).message.content == "so"
    with pytest.raises(library.ResponseError, match="weather"):
        next(parts)
