"""Every client library does what its users do with it, against a real Headstart over scripted providers.

One test for each feature, on all clients. What a provider is scripted to answer, and the request it gets in
the end, is the same for all of them, whichever API they speak.
"""

import json

import pytest

from tests.clients.every_client import ALL, TALKING, made
from tests.support.fake_upstream import HANG_GUARD_S

QUESTION = "What is six times seven?"
CITY = {"name": "Zürich 👋🏽", "people": 400000}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
LETTERS = 'Grüß Gott 👋🏽 日本 \u2028 \\n "x" </think> \U0001f9d1\u200d\U0001f680'

BEFORE_A_TOOL = {
    "at once": (),
    "after thinking and a word": (
        ("delta", {"reasoning_content": "I had better "}),
        ("delta", {"reasoning_content": "multiply."}),
        ("token", "Let me see."),
    ),
}

talking = pytest.mark.parametrize("client", TALKING, indirect=True)


@pytest.fixture
def client(request, headstart, judge, llm_folder):
    """A client by its name."""
    return made(request, headstart, llm_folder)


def calls_of(name, *each):
    """The steps by which a provider calls a tool with each of these arguments, sent in two pieces."""
    steps = []
    for i, text in enumerate(map(json.dumps, each)):
        begin = {"name": name, "arguments": text[:7]}
        first = {"index": i, "id": f"call_{i}", "type": "function", "function": begin}
        second = {"index": i, "function": {"arguments": text[7:]}}
        steps += [("delta", {"tool_calls": [first]}), ("delta", {"tool_calls": [second]})]
    return [*steps, ("finish", "tool_calls"), ("usage", USAGE)]


def words(message):
    """All the text of a message, whatever it is made of."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def messages_of(error):
    """What a user sees of an exception, with those that caused it."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return " ".join(f"{error} {getattr(error, 'message', '')}" for error in seen)


@talking
def test_text(client, primary):
    primary.streams("forty", "-two", usage=USAGE)

    assert client.text(QUESTION) == "forty-two"

    assert words(primary.last.messages[-1]) == QUESTION


@talking
def test_stream(client, primary):
    primary.streams("forty", "-two", usage=USAGE)

    assert [piece for piece in client.stream(QUESTION) if piece] == ["forty", "-two"]


@talking
@pytest.mark.parametrize("way", ["tools", "streams_tools"])
@pytest.mark.parametrize("before", BEFORE_A_TOOL.values(), ids=BEFORE_A_TOOL)
def test_tools(client, primary, before, way):
    given = [{"a": 6, "b": 7}, {"a": 2, "b": 3}]
    primary.then(("role",), *before, *calls_of("multiply", *given))
    primary.runs(("role",), ("token", "42 "), ("token", "and 6."), ("finish", "stop"), ("usage", USAGE))

    assert getattr(client, way)(QUESTION).endswith("42 and 6.")

    first, second = primary.requests
    (offered,) = (tool["function"] for tool in first.body["tools"])
    assert (offered["name"], set(offered["parameters"]["properties"])) == ("multiply", {"a", "b"})
    called, *results = second.messages[-3:]
    functions = [call["function"] for call in called["tool_calls"]]
    called_with = [(function["name"], json.loads(function["arguments"])) for function in functions]
    assert called_with == [("multiply", one) for one in given]
    assert [(result["role"], words(result)) for result in results] == [("tool", "42"), ("tool", "6")]
    assert [result["tool_call_id"] for result in results] == [call["id"] for call in called["tool_calls"]]
    text_before = "".join(step[1] for step in before if step[0] == "token")
    assert text_before in words(called)  # beside which some put what was thought


@pytest.mark.parametrize("client", ALL, indirect=True)
@pytest.mark.parametrize("way", ["city", "streams_city"])
def test_structured_output(client, primary, way):
    if client.forced:
        primary.runs(("role",), *calls_of(client.forced, CITY))
    else:
        text = json.dumps(CITY)
        pieces = ("token", text[:12]), ("token", text[12:])
        primary.runs(("role",), *pieces, ("finish", "stop"), ("usage", USAGE))

    city = getattr(client, way)("Name a city")

    assert (city if isinstance(city, dict) else city.model_dump()) == CITY
    body = primary.last.body
    if client.forced:
        (offered,) = (tool["function"] for tool in body["tools"])
        by_name = {"type": "function", "function": {"name": offered["name"]}}
        assert body["tool_choice"] in ("required", by_name)
        assert offered["parameters"]["properties"].keys() == CITY.keys()
    else:
        form = body["response_format"]
        assert form["type"] == "json_object" or set(form["json_schema"]["schema"]["properties"]) == set(CITY)


@pytest.mark.parametrize("client", ALL, indirect=True)
def test_error_before_the_head(client, primary, backup):
    primary.refuses(400, "the seed is out of range", code="invalid_value")

    with pytest.raises(Exception) as raised:
        (client.text or client.city)(QUESTION)

    assert "the seed is out of range" in messages_of(raised.value)
    assert (len(primary.requests), len(backup.requests)) == (1, 0)


@pytest.mark.parametrize("client", ALL, indirect=True)
def test_what_is_too_long_for_everybody_is_said_in_the_first_ones_words(client, primary, backup):
    for provider in (primary, backup):
        provider.refuses(400, "the context is full", code="context_length_exceeded")

    with pytest.raises(Exception) as raised:
        (client.text or client.city)(QUESTION)

    assert "the context is full" in messages_of(raised.value)
    assert backup.requests


@talking
def test_error_before_the_head_of_a_stream(client, primary, backup):
    primary.refuses(503, "the model is being loaded")
    backup.refuses(503, "the model is being loaded")

    with pytest.raises(Exception) as raised:
        list(client.stream(QUESTION))

    assert "the model is being loaded" in messages_of(raised.value)
    assert backup.requests


@talking
def test_error_in_mid_stream(client, primary):
    primary.runs(("token", "forty"), ("cut",))
    came = []

    with pytest.raises(Exception) as raised:
        for piece in client.stream(QUESTION):
            came.append(piece)

    assert "closed the connection" in messages_of(raised.value)


@talking
@pytest.mark.parametrize("way", ["text", "stream"])
def test_letters(client, primary, way):
    primary.streams("", LETTERS[:11], "", LETTERS[11:], "", usage=USAGE)

    assert "".join(getattr(client, way)(LETTERS)) == LETTERS

    assert words(primary.last.messages[-1]) == LETTERS


@talking
def test_stop(client, primary):
    primary.streams_forever()

    client.abandons(QUESTION)

    assert primary.last.hung_up.wait(HANG_GUARD_S)
