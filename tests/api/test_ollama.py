"""The Ollama API as Ollama's own client library sees it, and as Home Assistant uses that library."""

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor

import ollama
import pytest
import requests
from pydantic import BaseModel

from tests.support.fake_upstream import HANG_GUARD_S, data_event
from tests.support.scripted import scripted_config
from tests.support.server import Server

QUESTION = [{"role": "user", "content": "what is six times seven?"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TURN_ON = {
    "type": "function",
    "function": {
        "name": "HassTurnOn",
        "description": "Turns on a device",
        "parameters": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "domain": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}
IN_THE_KITCHEN = {"name": "Küche", "domain": ["light"], "brightness": 0.5, "area": None, "scenes": {}}

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def sdk(headstart):
    with ollama.Client(headstart.url, timeout=HANG_GUARD_S) as client:
        yield client


def chat(sdk, stream, messages=QUESTION, model="auto:latest", **more):
    """The answer as one: the lines of a stream put together, its last line first in what it tells."""
    if not stream:
        return sdk.chat(model=model, messages=messages, **more)
    lines = list(sdk.chat(model=model, messages=messages, stream=True, **more))
    whole = lines[-1]
    whole.message.content = "".join(line.message.content or "" for line in lines)
    whole.message.thinking = "".join(line.message.thinking or "" for line in lines) or None
    whole.message.tool_calls = [call for line in lines for call in line.message.tool_calls or ()] or None
    return whole


def calls(name, id, *pieces):
    first = {"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
    later = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    return [*(("delta", {"tool_calls": [piece]}) for piece in (first, *later)), ("finish", "tool_calls")]


# The library.


@both
def test_the_sdk_gets_an_answer(sdk, primary, judge, stream):
    primary.streams("forty", "-two", usage=USAGE)

    answer = chat(
        sdk,
        stream,
        options={"temperature": 0.5, "num_ctx": 8192, "num_predict": 50, "stop": ["END"], "seed": 0},
        keep_alive="5m",
    )

    assert (answer.message.content, answer.message.role, answer.model) == (
        "forty-two",
        "assistant",
        "auto:latest",
    )
    assert (answer.done, answer.done_reason, answer.prompt_eval_count, answer.eval_count) == (
        True,
        "stop",
        7,
        2,
    )
    assert answer.total_duration >= answer.eval_duration > 0
    sent = primary.last.body
    assert (sent["temperature"], sent["max_tokens"], sent["stop"], sent["seed"], sent["model"]) == (
        0.5,
        50,
        ["END"],
        0,
        "p-model",
    )
    assert not {"options", "keep_alive", "num_ctx", "num_predict"} & sent.keys()


@pytest.mark.parametrize("model", ["auto", "auto:latest", "p-model", "p-model:latest", "primary:latest"])
def test_a_model_is_known_with_the_tag_and_without(sdk, primary, judge, model):
    assert chat(sdk, False, model=model).message.content == "ok"
    assert primary.last.body["model"] == "p-model"


def test_a_stream_comes_line_by_line_and_ends_with_the_one_that_is_done(headstart, primary, judge):
    primary.streams("forty", "-two", usage=USAGE)

    reply = headstart.post("/api/chat", {"model": "auto", "messages": QUESTION})

    lines = [json.loads(line) for line in reply.content.splitlines()]
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert [(line["message"]["content"], line["done"]) for line in lines] == [
        ("forty", False),
        ("-two", False),
        ("", True),
    ]
    assert reply.content.endswith(b"\n") and b"\n\n" not in reply.content


@both
def test_a_tool_is_called_with_an_object_and_its_result_goes_back(sdk, primary, judge, stream):
    text = json.dumps(IN_THE_KITCHEN)
    primary.runs(*calls("HassTurnOn", "call_1", text[:9], text[9:]))

    answer = chat(sdk, stream, tools=[TURN_ON])

    (call,) = answer.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("HassTurnOn", IN_THE_KITCHEN)
    assert primary.last.body["tools"] == [TURN_ON]

    primary.streams("It is on.")
    result = {"role": "tool", "content": "{}", "tool_name": "HassTurnOn"}
    again = chat(sdk, stream, [*QUESTION, answer.message, result], tools=[TURN_ON])

    assert again.message.content == "It is on."
    asked, told = primary.last.messages[1:]
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"]) == IN_THE_KITCHEN
    assert told["tool_call_id"] == asked["tool_calls"][0]["id"]


def test_several_tools_are_called_at_once(sdk, primary, judge):
    pieces = [
        {
            "index": i,
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": f"tool_{i}", "arguments": "{}"},
        }
        for i in range(3)
    ]
    primary.runs(*(("delta", {"tool_calls": [piece]}) for piece in pieces), ("finish", "tool_calls"))

    answer = chat(sdk, True, tools=[TURN_ON])

    assert [call.function.name for call in answer.message.tool_calls] == ["tool_0", "tool_1", "tool_2"]


@both
def test_thinking_is_asked_for_and_told_apart(sdk, primary, judge, stream):
    primary.runs(("delta", {"reasoning_content": "six sevens"}), ("token", "42"), ("finish", "stop"))

    answer = chat(sdk, stream, think=True)

    assert (answer.message.thinking, answer.message.content) == ("six sevens", "42")
    assert primary.last.body["chat_template_kwargs"] == {"enable_thinking": True}


@both
def test_an_answer_follows_a_schema(sdk, primary, judge, stream):
    primary.streams('{"name": "Zü', 'rich", "people": 400000}')

    answer = chat(sdk, stream, format=City.model_json_schema())

    assert City.model_validate_json(answer.message.content) == City(name="Zürich", people=400000)
    form = primary.last.body["response_format"]
    assert (form["type"], form["json_schema"]["schema"]) == ("json_schema", City.model_json_schema())


def test_json_without_a_schema_is_asked_for(sdk, primary, judge):
    primary.streams("{}")

    chat(sdk, False, format="json")

    assert primary.last.body["response_format"] == {"type": "json_object"}


def test_a_picture_reaches_the_provider(sdk, primary, judge):
    primary.streams("a dot")

    chat(sdk, False, [{"role": "user", "content": "what is this?", "images": [PIXEL]}])

    text, picture = primary.last.messages[0]["content"]
    assert text == {"type": "text", "text": "what is this?"}
    assert picture["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(PIXEL).decode()


def test_letters_of_all_kinds_and_none_survive(sdk, primary, judge):
    primary.streams("Grüß", " 👋🏽", "\u2028\u0000", "")
    said = [
        {"role": "user", "content": "日本 👋\u2028"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "\u0000"},
    ]

    answer = chat(sdk, True, said)

    assert answer.message.content == "Grüß 👋🏽\u2028\u0000"
    assert primary.last.messages == said


@both
def test_a_prompt_is_answered(sdk, primary, judge, stream):
    primary.streams("forty", "-two", usage=USAGE)

    answer = sdk.generate(model="auto", prompt="six times seven?", system="Be brief.", stream=stream)
    lines = list(answer) if stream else [answer]

    assert "".join(line.response for line in lines) == "forty-two"
    assert (lines[-1].done_reason, lines[-1].eval_count) == ("stop", 2)
    assert primary.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "six times seven?"},
    ]


@both
def test_a_raw_prompt_is_completed_as_it_is(sdk, primary, stream):
    pieces = [
        {
            "id": "t",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "text": text}],
        }
        for text in ("Once", " upon")
    ]
    pieces[-1]["choices"][0]["finish_reason"] = "length"
    primary.runs(*(("raw", data_event(piece)) for piece in pieces))

    answer = sdk.generate(model="p-model", prompt="<s>", raw=True, stream=stream)
    lines = list(answer) if stream else [answer]

    assert "".join(line.response for line in lines) == "Once upon"
    assert lines[-1].done_reason == "length"
    assert (primary.last.path, primary.last.body["prompt"]) == ("/v1/completions", "<s>")


@pytest.mark.parametrize(
    ("keep_alive", "reason"), [(None, "load"), ("5m", "load"), (-1, "load"), (0, "unload")]
)
def test_to_load_or_unload_a_model_is_acknowledged_and_asks_nobody(sdk, primary, judge, keep_alive, reason):
    loaded = [
        sdk.generate(model="auto", keep_alive=keep_alive),
        sdk.chat(model="auto", keep_alive=keep_alive),
    ]

    assert [(answer.done, answer.done_reason) for answer in loaded] == [(True, reason)] * 2
    assert not primary.requests and not judge.requests


def test_the_models_are_listed_with_a_tag_and_auto_first(sdk):
    names = [model.model for model in sdk.list().models]

    assert names[0] == "auto:latest"
    assert {"primary:latest", "xai:latest", "p-model:latest", "c-model:latest"} <= set(names)
    assert [model.model for model in sdk.ps().models] == ["auto:latest"]


def test_a_model_is_shown_or_said_to_be_unknown(sdk):
    assert {"completion", "tools"} <= set(sdk.show("auto:latest").capabilities)
    assert sdk.show("all-minilm").capabilities == ["embedding"]
    with pytest.raises(ollama.ResponseError, match="nobody") as raised:
        sdk.show("nobody")
    assert raised.value.status_code == 404


def test_a_refusal_has_its_status_and_its_words(sdk, primary, backup, judge):
    primary.refuses(400, "the context is full")

    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match=r"^the context is full") as raised:
            chat(sdk, stream)
        assert raised.value.status_code == 400


def test_when_nobody_can_serve_that_is_said(sdk, primary, backup, judge):
    primary.refuses(503, "loading")
    backup.refuses(500, "out of memory")

    with pytest.raises(ollama.ResponseError, match="out of memory") as raised:
        chat(sdk, True)

    assert raised.value.status_code == 503


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"options": {"mirostat": 2}}, "options.mirostat"),
        ({"format": "xml"}, "format"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"think": "a lot"}, "think"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"model": 7}, "model"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(headstart, primary, judge, asked, told):
    reply = headstart.post("/api/chat", {"model": "auto", "messages": QUESTION, **asked})

    assert (reply.status_code, list(reply.json())) == (400, ["error"])
    assert f"'{told}'" in reply.json()["error"]
    assert not primary.requests


def test_a_failure_in_mid_stream_is_a_line_and_raised(sdk, primary, judge):
    primary.runs(("token", "forty"), ("cut",))
    came = []

    with pytest.raises(ollama.ResponseError, match="closed the connection"):
        for line in sdk.chat(model="auto", messages=QUESTION, stream=True):
            came.append(line.message.content)

    assert came == ["forty"]


def test_a_failure_in_mid_stream_stands_in_the_record(headstart, primary, judge):
    primary.runs(("token", "forty"), ("cut",))

    reply = headstart.post("/api/chat", {"model": "auto", "messages": QUESTION})

    assert list(json.loads(reply.content.splitlines()[-1])) == ["error"]
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "502"


def test_leaving_a_stream_hangs_up_the_primary(sdk, primary, judge):
    primary.streams_forever()

    stream = sdk.chat(model="auto", messages=QUESTION, stream=True)
    next(stream)
    stream.close()

    assert primary.last.hung_up.wait(HANG_GUARD_S)


def test_a_hard_one_goes_to_the_cloud_and_the_speculation_is_hung_up(sdk, primary, cloud, judge):
    judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    primary.stalls_before_head()
    cloud.streams("proved")

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(chat, sdk, True)
        call = primary.wait_asked()
        judge.release.set()

        assert answer.result(HANG_GUARD_S).message.content == "proved"
    assert call.hung_up.wait(HANG_GUARD_S)


def test_the_record_and_the_headers_are_those_of_any_request(headstart, primary, judge):
    reply = headstart.post("/api/chat", {"model": "auto:latest", "messages": QUESTION, "stream": False})

    session = headstart.session(reply.headers["X-Session-Id"])
    assert (reply.headers["X-Decision"], reply.headers["X-Route"], reply.headers["X-Speculation"]) == (
        "MODERATE",
        "primary",
        "adopted",
    )
    assert (session["api"], session["model"], session["user_query"], session["status"]) == (
        "ollama.chat",
        "auto",
        QUESTION[0]["content"],
        200,
    )
    assert headstart.request_line(reply.headers["X-Session-Id"])["status"] == "200"


@pytest.mark.parametrize("path", ["/api/pull", "/api/blobs/sha256:0", "/api/nonsense"])
def test_what_there_is_not_is_said_in_its_envelope(headstart, path):
    reply = headstart.post(path, {"model": "auto"})

    assert (reply.status_code, list(reply.json())) == (404, ["error"])
    assert path in reply.json()["error"]


def test_the_server_is_found_as_its_clients_look_for_it(headstart):
    for path in ("/", "/api/version", "/api/tags"):
        head = requests.head(headstart.url + path, timeout=HANG_GUARD_S)
        assert (head.status_code, head.content) == (200, b"")
    assert requests.get(headstart.url + "/api/version", timeout=HANG_GUARD_S).json()["version"]
    assert requests.get(headstart.url, timeout=HANG_GUARD_S).text.startswith("Headstart is running")


def test_a_wrong_method_is_said_in_its_envelope(headstart):
    reply = requests.get(headstart.url + "/api/chat", timeout=HANG_GUARD_S)

    assert (reply.status_code, reply.headers["Allow"], list(reply.json())) == (405, "POST", ["error"])


def test_a_key_is_taken_as_bearer(upstreams, judge, tmp_path):
    server = Server(
        tmp_path, {**scripted_config(**upstreams), "server": {"api_keys": ["the-key"]}}
    ).wait_until_up()
    try:
        known = ollama.Client(server.url, headers={"Authorization": "Bearer the-key"})
        stranger = ollama.Client(server.url)

        assert known.list().models
        assert known.chat(model="auto", messages=QUESTION).message.content == "ok"
        for refused in (
            stranger.list,
            stranger.ps,
            lambda: stranger.chat(model="auto", messages=QUESTION),
            lambda: stranger.show("auto"),
        ):
            with pytest.raises(ollama.ResponseError, match="API key") as raised:
                refused()
            assert raised.value.status_code == 401
    finally:
        server.stop()


# Home Assistant: components/ollama as of 2026, whose calls are written down here as it makes them.


def assist(server, messages, tools=None, structure=None):
    """One of its calls, as its `_transform_stream` reads it: (text, tool calls, whether it is over)."""

    async def turn():
        client = ollama.AsyncClient(host=server.url, verify=True)
        await asyncio.gather(client.list(), client.ps())  # its coordinator, every 30 s
        lines = await client.chat(
            model="auto:latest",
            messages=messages,
            tools=tools,
            stream=True,
            keep_alive=-1,
            options={"num_ctx": 8192},
            think=False,
            format=structure,
        )
        text, called, done = "", [], False
        async for line in lines:
            message = line["message"]
            called += [
                (call["function"]["name"], call["function"]["arguments"])
                for call in message.get("tool_calls") or ()
            ]
            text += message.get("content") or ""
            done = done or line.get("done")
        await client.close()
        return text, called, done

    return asyncio.run(turn())


VOICE = [
    ollama.Message(
        role="system",
        content="You are a voice assistant for Home Assistant.\nAnswer questions about the world truthfully.",
    ),
    ollama.Message(role="user", content="Licht in der Küche an"),
]


def test_home_assistants_voice_turn_calls_a_tool_and_says_what_was_done(headstart, primary, judge):
    primary.runs(*calls("HassTurnOn", "call_1", json.dumps(IN_THE_KITCHEN)))

    text, called, done = assist(headstart, VOICE, [TURN_ON])

    assert (text, called, done) == ("", [("HassTurnOn", IN_THE_KITCHEN)], True)
    assert primary.last.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert judge.requests  # a real turn, not housekeeping

    primary.streams("Licht", " ist an.")
    arguments = {name: value for name, value in IN_THE_KITCHEN.items() if value not in (None, "")}
    call = ollama.Message.ToolCall(
        function=ollama.Message.ToolCall.Function(name="HassTurnOn", arguments=arguments)
    )
    result = ollama.Message(role="tool", content='{"data":{"success":[]},"error":null}')

    text, called, done = assist(
        headstart,
        [*VOICE, ollama.Message(role="assistant", content=None, tool_calls=[call]), result],
        [TURN_ON],
    )

    assert (text, called, done) == ("Licht ist an.", [], True)
    asked, told = primary.last.messages[-2:]
    assert told["tool_call_id"] == asked["tool_calls"][0]["id"]
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"]) == arguments


def test_home_assistants_task_gets_its_structure(headstart, primary, judge):
    primary.streams('{"name": "Zürich", "people": 400000}')
    structure = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["name"],
    }

    text, _, _ = assist(headstart, [ollama.Message(role="user", content="a city")], structure=structure)

    assert json.loads(text) == {"name": "Zürich", "people": 400000}
    assert primary.last.body["response_format"]["json_schema"]["schema"] == structure


def test_home_assistant_is_told_why_it_fails(headstart, primary, backup, judge):
    primary.refuses(400, "this model has no tools")

    with pytest.raises(ollama.ResponseError, match="this model has no tools"):
        assist(headstart, VOICE, [TURN_ON])
