"""The Responses API as OpenAI's own client library sees it.

Its providers speak chat completions; or one has /responses itself.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from pydantic import BaseModel

from tests.support.fake_upstream import HANG_GUARD_S
from tests.support.scripted import scripted_config
from tests.support.server import Server

QUESTION = "what is six times seven?"
MULTIPLY = {
    "type": "function",
    "name": "multiply",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}
PICTURE = "data:image/png;base64,iVBORw0KGgo="
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "total_tokens": 9,
    "completion_tokens_details": {"reasoning_tokens": 1},
}
HOSTED = {"type": "web_search"}

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class City(BaseModel):
    name: str
    people: int


def sdk_of(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=HANG_GUARD_S)


@pytest.fixture
def sdk(headstart):
    with sdk_of(headstart) as client:
        yield client


def ask(sdk, stream=False, input=QUESTION, model="auto", **more):
    """The response, however it came."""
    if not stream:
        return sdk.responses.create(model=model, input=input, **more)
    with sdk.responses.stream(model=model, input=input, **more) as events:
        return list(events)[-1].response


def kinds(events):
    return [event.type for event in events]


def meanwhile(judge, primary, ask):
    """Have the judge decide COMPLEX once the primary was called. Returns (what `ask` returned, that call)."""
    judge.runs(("stall-before-headers",), ("token", "COMPLEX"), ("finish", "stop"))
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(ask)
        call = primary.wait_asked()
        judge.release.set()
        return answer.result(HANG_GUARD_S), call


# Over chat completions.


@both
def test_the_sdk_gets_a_response(sdk, primary, judge, stream):
    primary.streams("forty", "-two", usage=USAGE)

    answer = ask(sdk, stream, instructions="Be brief.", max_output_tokens=50, temperature=0.5)

    assert (answer.output_text, answer.status, answer.model, answer.error) == (
        "forty-two",
        "completed",
        "auto",
        None,
    )
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert answer.usage.output_tokens_details.reasoning_tokens == 1
    sent = primary.last.body
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]
    assert (sent["max_tokens"], sent["temperature"], sent["model"]) == (50, 0.5, "p-model")
    assert primary.last.path == "/v1/chat/completions"


def test_its_events_come_in_order_each_with_its_number(sdk, primary, judge):
    primary.streams("forty", "-two")

    events = list(sdk.responses.create(model="auto", input=QUESTION, stream=True))

    assert kinds(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == [
        "forty",
        "-two",
    ]


def test_a_conversation_is_sent_whole(sdk, primary, judge):
    primary.streams("Tschüß")
    conversation = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "grüß 👋 Gott"}]},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "", "annotations": []}],
            "type": "message",
            "status": "completed",
            "id": "msg_1",
        },
        {"role": "user", "content": "ok\u2028\u0000"},
    ]

    assert ask(sdk, input=conversation).output_text == "Tschüß"

    assert primary.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "grüß 👋 Gott"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "ok\u2028\u0000"},
    ]


@both
def test_a_tool_is_called_and_its_output_goes_back(sdk, primary, judge, stream):
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

    answer = ask(sdk, stream, tools=[MULTIPLY], tool_choice={"type": "function", "name": "multiply"})

    (called,) = answer.output
    assert (called.type, called.call_id, called.name, called.arguments) == (
        "function_call",
        "call_1",
        "multiply",
        '{"a":6}',
    )
    sent = primary.last.body
    assert sent["tools"][0]["function"]["name"] == "multiply"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "multiply"}}

    primary.streams("42")
    output = {"type": "function_call_output", "call_id": called.call_id, "output": "42"}
    echoed = called.model_dump(exclude={"parsed_arguments"})
    again = ask(sdk, stream, [{"role": "user", "content": QUESTION}, echoed, output], tools=[MULTIPLY])

    assert again.output_text == "42"
    assert primary.last.messages[1]["tool_calls"][0]["function"] == {
        "name": "multiply",
        "arguments": '{"a":6}',
    }
    assert primary.last.messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def test_a_picture_reaches_the_provider(sdk, primary, judge):
    primary.streams("a dot")
    parts = [
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "image_url": PICTURE, "detail": "low"},
    ]

    ask(sdk, input=[{"role": "user", "content": parts}])

    shown = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}
    assert primary.last.messages[0]["content"] == [{"type": "text", "text": "what is this?"}, shown]


@both
def test_a_schema_is_asked_for_and_its_answer_parsed(sdk, primary, judge, stream):
    primary.streams('{"name": "Zü', 'rich", "people": 400000}')

    if stream:
        with sdk.responses.stream(model="auto", input="a city", text_format=City) as events:
            answer = events.get_final_response()
    else:
        answer = sdk.responses.parse(model="auto", input="a city", text_format=City)

    assert answer.output_parsed == City(name="Zürich", people=400000)
    asked = primary.last.body["response_format"]
    assert (asked["type"], asked["json_schema"]["name"], asked["json_schema"]["strict"]) == (
        "json_schema",
        "City",
        True,
    )
    assert set(asked["json_schema"]["schema"]["properties"]) == {"name", "people"}


@both
def test_reasoning_is_asked_for_and_told_as_a_summary(sdk, primary, judge, stream):
    primary.runs(
        ("delta", {"reasoning_content": "six "}),
        ("delta", {"reasoning_content": "sevens"}),
        ("token", "42"),
        ("finish", "stop"),
    )

    answer = ask(sdk, stream, reasoning={"effort": "low", "summary": "auto"})

    thought, said = answer.output
    assert (thought.type, thought.summary[0].text, said.content[0].text) == ("reasoning", "six sevens", "42")
    assert primary.last.body["reasoning_effort"] == "low"

    ask(
        sdk,
        input=[
            {"role": "user", "content": QUESTION},
            thought.model_dump(),
            said.model_dump(),
            {"role": "user", "content": "sure?"},
        ],
    )

    assert primary.last.messages[1] == {
        "role": "assistant",
        "content": "42",
        "reasoning_content": "six sevens",
    }


@both
def test_an_answer_that_was_cut_off_is_incomplete(sdk, primary, judge, stream):
    primary.streams("forty", finish="length")

    answer = ask(sdk, stream, max_output_tokens=16)

    assert (answer.status, answer.incomplete_details.reason, answer.output_text) == (
        "incomplete",
        "max_output_tokens",
        "forty",
    )


def test_home_assistants_turn_is_served(sdk, primary, judge):
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "HassTurnOn", "arguments": '{"name": "Küche"}'},
    }
    primary.runs(("delta", {"tool_calls": [call]}), ("finish", "tool_calls"))
    tool = {
        "type": "function",
        "name": "HassTurnOn",
        "description": "Turns on",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }

    events = sdk.responses.create(
        model="auto",
        input=[
            {
                "type": "message",
                "role": "developer",
                "content": "You are a voice assistant for Home Assistant.",
            },
            {"type": "message", "role": "user", "content": "Licht in der Küche an"},
        ],
        max_output_tokens=3000,
        user="01J",
        store=False,
        stream=True,
        tools=[tool],
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        text={"verbosity": "low"},
        service_tier="auto",
    )

    (done,) = (event for event in events if event.type == "response.output_item.done")
    assert (done.item.name, json.loads(done.item.arguments)) == ("HassTurnOn", {"name": "Küche"})
    assert primary.last.body["verbosity"] == "low"


def test_the_record_and_the_headers_are_those_of_any_request(sdk, headstart, primary, judge):
    primary.streams("42", usage=USAGE)

    raw = sdk.responses.with_raw_response.create(model="auto", input=QUESTION)

    session_id = raw.headers["x-session-id"]
    assert (raw.headers["x-decision"], raw.headers["x-route"], raw.headers["x-provider"]) == (
        "MODERATE",
        "primary",
        "main",
    )
    assert raw.headers["x-request-id"] == session_id
    session = headstart.session(session_id)
    assert (session["api"], session["user_query"], session["status"], session["usage"]["total_tokens"]) == (
        "responses",
        QUESTION,
        200,
        9,
    )
    line = headstart.request_line(session_id)
    assert (line["decision"], line["provider"], line["speculation"], line["status"]) == (
        "MODERATE",
        "main",
        "adopted",
        "200",
    )


def test_the_speculation_is_kept_where_the_primary_answers(sdk, headstart, primary, judge):
    raw = sdk.responses.with_raw_response.create(model="auto", input=QUESTION)

    assert raw.headers["x-speculation"] == "adopted"
    assert len(primary.requests) == 1


@both
def test_a_hard_one_goes_to_the_cloud_and_the_speculation_is_hung_up(sdk, primary, cloud, judge, stream):
    primary.stalls_before_head()
    cloud.streams("proved")

    answer, call = meanwhile(judge, primary, lambda: ask(sdk, stream))

    assert answer.output_text == "proved"
    assert call.hung_up.wait(HANG_GUARD_S)


REFUSED = {
    "what was stored": ({"previous_response_id": "resp_1"}, "previous_response_id"),
    "a stored conversation": ({"conversation": "conv_1"}, "conversation"),
    "work in the background": ({"background": True}, "background"),
    "a tool of OpenAI's servers": ({"tools": [HOSTED]}, "tools[0].type"),
    "a reference to a stored item": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
    "an input that is none": ({"input": 7}, "input"),
}


@pytest.mark.parametrize(("asked", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_served_is_refused_by_name(sdk, primary, judge, asked, param):
    with pytest.raises(openai.BadRequestError) as raised:
        ask(sdk, **asked)

    assert raised.value.param == param
    assert param.removesuffix(".type") in raised.value.message
    assert sorted(raised.value.body) == ["code", "message", "param", "type"]


@both
@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.InternalServerError), (503, openai.InternalServerError)],
)
def test_a_refusal_comes_before_anything_else_with_its_words(
    sdk, primary, backup, judge, stream, status, kind
):
    primary.refuses(status, "the context is full")
    backup.refuses(status, "the context is full")

    with pytest.raises(kind, match="the context is full"):
        ask(sdk, stream)


def test_a_failure_in_mid_stream_is_told_and_raised(sdk, headstart, primary, judge):
    primary.runs(("token", "forty"), ("cut",))
    came = []

    with pytest.raises(openai.APIError, match="closed the connection"):
        for event in sdk.responses.create(model="auto", input=QUESTION, stream=True):
            came.append(event)

    assert kinds(came)[-2:] == ["response.output_text.delta", "response.failed"]
    assert "closed the connection" in came[-1].response.error.message
    assert headstart.request_line(came[0].response.id.removeprefix("resp_"))["status"] == "502"


def test_leaving_a_stream_hangs_up_the_primary(sdk, headstart, primary, judge):
    primary.streams_forever()

    with sdk.responses.create(model="auto", input=QUESTION, stream=True) as stream:
        first = next(iter(stream))

    assert primary.last.hung_up.wait(HANG_GUARD_S)
    assert headstart.request_line(first.response.id.removeprefix("resp_"))["status"] == "499"


def test_a_body_that_is_no_json_is_refused_in_openais_shape(headstart):
    replies = [headstart.post("/v1/responses", body) for body in ([], {}, {"input": []})]

    assert [(reply.status_code, sorted(reply.json()["error"])) for reply in replies] == [
        (400, ["code", "message", "param", "type"])
    ] * 3


# Over a provider that has /responses itself.


@pytest.fixture(scope="module")
def passing(upstreams, tmp_path_factory):
    """A Headstart whose primary speaks the Responses API to clients of that API; its cloud does not."""
    config = scripted_config(**upstreams)
    config["providers"]["main"]["responses"] = True
    server = Server(tmp_path_factory.mktemp("responses"), config).wait_until_up().wait_until_known()
    yield server
    server.stop()


@pytest.fixture
def passing_sdk(passing):
    with sdk_of(passing) as client:
        yield client


def event(type, **more):
    return b"event: " + type.encode() + b"\ndata: " + json.dumps({"type": type, **more}).encode() + b"\n\n"


RESPONSE = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 1,
    "model": "p-model",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {"é": "ü"},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    },
    "something_new": [1, None, "👋"],
}
SEARCHED = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "6*7"},
}
SAID = {
    "id": "msg_theirs",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "forty-two", "annotations": [], "logprobs": []}],
}
WHOLE = {**RESPONSE, "output": [SEARCHED, SAID]}


def theirs(*last):
    """The provider's stream up to its words, and then what is given, as bytes."""
    part = {"output_index": 1, "item_id": "msg_theirs", "content_index": 0}
    return [
        event(
            "response.created",
            sequence_number=0,
            response={**RESPONSE, "status": "in_progress", "output": []},
        ),
        event("response.output_item.added", sequence_number=1, output_index=0, item=SEARCHED),
        event("response.output_item.done", sequence_number=2, output_index=0, item=SEARCHED),
        event("response.made_up", sequence_number=3, note="ü"),
        event(
            "response.output_item.added",
            sequence_number=4,
            output_index=1,
            item={**SAID, "status": "in_progress", "content": []},
        ),
        event(
            "response.content_part.added", sequence_number=5, **part, part={**SAID["content"][0], "text": ""}
        ),
        event("response.output_text.delta", sequence_number=6, **part, delta="forty", logprobs=[]),
        event("response.output_text.delta", sequence_number=7, **part, delta="-two", logprobs=[]),
        *last,
    ]


COMPLETED = event("response.completed", sequence_number=8, response=WHOLE)


def plays(upstream, *blocks):
    upstream.runs(*(("raw", block) for block in blocks), ("close",))


def test_its_events_pass_through_byte_for_byte(passing, primary, judge):
    plays(primary, *theirs(COMPLETED))

    reply = passing.post("/v1/responses", {"model": "auto", "input": QUESTION, "stream": True})

    assert reply.content == b"".join(theirs(COMPLETED))
    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("adopted", "main")


def test_its_whole_answer_is_its_own(passing, primary, judge):
    plays(primary, *theirs(COMPLETED))

    reply = passing.post("/v1/responses", {"model": "auto", "input": QUESTION})

    assert reply.json() == WHOLE


@both
def test_what_a_client_of_this_api_says_reaches_such_a_provider_untouched(
    passing_sdk, primary, judge, stream
):
    plays(primary, *theirs(COMPLETED))
    asked = {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "file_id": "file_1"},
                    {"type": "input_text", "text": QUESTION},
                ],
            }
        ],
        "previous_response_id": "resp_before",
        "tools": [HOSTED, MULTIPLY],
        "include": ["web_search_call.action.sources"],
        "store": True,
        "metadata": {"é": "ü"},
        "truncation": "auto",
    }

    answer = ask(passing_sdk, stream, **asked, extra_body={"made_up": None})

    assert (answer.id, answer.output_text, answer.output[0].type) == (
        "resp_theirs",
        "forty-two",
        "web_search_call",
    )
    assert primary.last.path == "/v1/responses"
    assert primary.last.body == {**asked, "model": "p-model", "stream": True, "made_up": None}


def test_the_books_know_what_was_said_all_the_same(passing, primary, judge):
    plays(primary, *theirs(COMPLETED))

    reply = passing.post("/v1/responses", {"model": "auto", "input": QUESTION})

    session = passing.session(reply.headers["X-Session-Id"])
    (call,) = (step for step in session["steps"] if step["step"] == "provider_call")
    assert (call["response_content"], call["finish_reason"], call["url"].endswith("/v1/responses")) == (
        "forty-two",
        "stop",
        True,
    )
    assert (session["usage"]["prompt_tokens"], session["usage"]["completion_tokens"]) == (5, 2)


@both
def test_a_hard_one_is_translated_for_a_cloud_without_it(passing_sdk, primary, cloud, judge, stream):
    primary.stalls_before_head()
    cloud.streams("proved")

    answer, call = meanwhile(
        judge, primary, lambda: ask(passing_sdk, stream, instructions="Be brief.", tools=[MULTIPLY])
    )

    assert answer.output_text == "proved"
    assert cloud.last.path == "/v1/chat/completions"
    assert cloud.last.messages[0] == {"role": "system", "content": "Be brief."}
    assert (call.path, call.hung_up.wait(HANG_GUARD_S)) == ("/v1/responses", True)


def test_what_only_such_a_provider_knows_passes_over_the_others_of_the_chain(
    passing_sdk, primary, cloud, judge
):
    judge.streams("COMPLEX")
    plays(primary, *theirs(COMPLETED))

    answer = ask(passing_sdk, tools=[HOSTED])

    assert answer.output_text == "forty-two"
    assert primary.last.body["tools"] == [HOSTED]
    assert not cloud.requests


def test_what_nobody_of_the_chain_knows_is_refused_by_name(sdk, primary, cloud, judge):
    with pytest.raises(openai.BadRequestError, match="web_search") as raised:
        ask(sdk, tools=[HOSTED])

    assert raised.value.param == "tools[0].type"
    assert not primary.requests


def test_another_provider_of_the_chain_goes_on_in_chat_completions(passing_sdk, primary, backup, judge):
    primary.refuses(503)
    backup.streams("still ", "here")

    answer = ask(passing_sdk, True)

    assert answer.output_text == "still here"
    assert backup.last.path == "/v1/chat/completions"


def test_its_refusal_is_passed_back(passing_sdk, primary, backup, judge):
    primary.refuses(400, "no such response", param="previous_response_id")

    with pytest.raises(openai.BadRequestError, match="no such response") as raised:
        ask(passing_sdk, previous_response_id="resp_gone")

    assert raised.value.param == "previous_response_id"
    assert not backup.requests


def test_its_failure_in_mid_stream_reaches_the_client(passing_sdk, passing, primary, judge):
    failed = {
        **RESPONSE,
        "status": "failed",
        "output": [],
        "error": {"code": "server_error", "message": "the GPU is gone"},
    }
    plays(primary, *theirs(event("response.failed", sequence_number=8, response=failed)))
    came = []

    with pytest.raises(openai.APIError, match="the GPU is gone"):
        for told in passing_sdk.responses.create(model="auto", input=QUESTION, stream=True):
            came.append(told)

    assert came[-1].type == "response.failed"


def test_its_stream_that_breaks_off_is_ended_with_an_error(passing_sdk, primary, judge):
    primary.runs(*(("raw", block) for block in theirs()), ("cut",))

    with pytest.raises(openai.APIError, match="closed the connection"):
        list(passing_sdk.responses.create(model="auto", input=QUESTION, stream=True))


def test_leaving_its_stream_hangs_it_up(passing_sdk, primary, judge):
    primary.runs(*(("raw", block) for block in theirs()), ("stall",))

    with passing_sdk.responses.create(model="auto", input=QUESTION, stream=True) as stream:
        next(iter(stream))

    assert primary.last.hung_up.wait(HANG_GUARD_S)
