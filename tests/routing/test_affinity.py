"""A conversation keeps its target, and the owner who wants to sees in the chat who answered.

The decisions are the embedded classifier's, with its doubts.
"""

import json

import pytest

from tests.support.chats import answer_of
from tests.support.scripted import scripted_config
from tests.support.server import Server, sse_events, streamed_text

FOLLOW_UPS = (
    "and in Python?",
    "what about the others?",
    "hm, and shorter?",
    "yes please, all of it",
    "go on then",
    "can you show it step by step",
    "and why is that so",
    "now do the second part",
    "what if n is odd",
    "and for three of them?",
    "explain the last step",
    "more detail on that",
    "ok, and backwards?",
)
BEGUN = [
    {
        "role": "user",
        "content": "Prove that there are infinitely many primes p "
        "with p + 2 having at most two prime factors.",
    }
]
SAID = {"role": "assistant", "content": "By a weighted sieve: let A be the set of p + 2 ..."}


@pytest.fixture(scope="module")
def deciding(prepared, upstreams, tmp_path_factory):
    """A Headstart that decides by itself and tells who answered."""
    config = {**scripted_config(**upstreams), "classifier": {"backend": "mlx"}}
    server = Server(tmp_path_factory.mktemp("deciding"), config).wait_until_up().wait_until_known()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def wavering(deciding):
    """A short follow-up that the classifier sends to the primary without being sure."""
    for text in FOLLOW_UPS:
        said = deciding.post(
            "/v1/classify", {"messages": [*BEGUN, SAID, {"role": "user", "content": text}]}
        ).json()
        if said["route"] == "primary" and said["confidence"] < 0.9:
            return text
    pytest.fail("the classifier is sure of all of them")


def begin(server, cloud, headers=None, **more):
    """The first turn, which the cloud answers."""
    cloud.streams(SAID["content"])
    return server.chat(messages=BEGUN, headers={"X-Route": "xai", **(headers or {})}, **more)


def go_on(server, text, headers=None, **more):
    return server.chat(messages=[*BEGUN, SAID, {"role": "user", "content": text}], headers=headers, **more)


def test_a_short_follow_up_in_doubt_stays_with_whom_the_conversation_is(deciding, wavering, primary, cloud):
    begin(deciding, cloud)

    reply = go_on(deciding, wavering)

    assert (reply.headers["X-Decision"], reply.headers["X-Route"], reply.headers["X-Provider"]) == (
        "MODERATE",
        "cloud",
        "cloud",
    )
    told = deciding.session(reply.headers["X-Session-Id"])["conversation"]
    assert told == {
        "known_by": "first turn",
        "before": {"route": "cloud", "provider": "cloud"},
        "switched": False,
        "stayed": True,
    }


def test_a_clear_decision_moves_it_and_the_session_tells(deciding, primary, cloud):
    begin(deciding, cloud)

    reply = go_on(deciding, "thanks, that was very helpful")

    assert reply.headers["X-Provider"] == "main"
    told = deciding.session(reply.headers["X-Session-Id"])["conversation"]
    assert (told["before"]["provider"], told["switched"], told["stayed"]) == ("cloud", True, False)


def test_a_long_turn_is_no_follow_up(deciding, wavering, primary, cloud):
    begin(deciding, cloud)

    reply = go_on(deciding, f"{wavering} {'please ' * 20}")

    assert not deciding.session(reply.headers["X-Session-Id"])["conversation"]["stayed"]


@pytest.mark.parametrize("header", ["X-OpenWebUI-Chat-Id", "X-LibreChat-Conversation-Id"])
def test_a_conversation_is_known_by_its_frontends_id(deciding, wavering, primary, cloud, header):
    cloud.streams("something")
    deciding.chat("a first turn that is edited away", headers={"X-Route": "xai", header: "c1"})

    same, other = (go_on(deciding, wavering, headers={header: name}) for name in ("c1", "c2"))

    assert (same.headers["X-Provider"], other.headers["X-Provider"]) == ("cloud", "main")
    assert deciding.session(same.headers["X-Session-Id"])["conversation"]["known_by"] == header


@pytest.mark.parametrize("who", ["Authorization", "x-api-key", "X-OpenWebUI-User-Id"])
def test_another_client_that_begins_alike_has_no_part_in_it(deciding, wavering, primary, cloud, who):
    begin(deciding, cloud, headers={who: "Bearer one"})

    reply = go_on(deciding, wavering, headers={who: "Bearer two"})

    assert reply.headers["X-Provider"] == "main"
    assert "conversation" not in deciding.session(reply.headers["X-Session-Id"])


def test_it_can_be_switched_off(deciding, wavering, upstreams, primary, cloud, tmp_path):
    config = {
        **scripted_config(**upstreams),
        "classifier": {"backend": "mlx"},
        "conversations": {"sticky": False},
    }
    server = Server(tmp_path, config).wait_until_up().wait_until_known()
    try:
        begin(server, cloud)

        reply = go_on(server, wavering)
    finally:
        server.stop()

    assert reply.headers["X-Provider"] == "main"


# Who answered, told in the chat.


@pytest.fixture(scope="module")
def telling(prepared, upstreams, tmp_path_factory):
    config = {**scripted_config(**upstreams), "classifier": {"backend": "mlx"}, "show_route": True}
    server = Server(tmp_path_factory.mktemp("telling"), config).wait_until_up().wait_until_known()
    yield server
    server.stop()


def test_a_stream_begins_with_a_line_about_its_route(telling, primary):
    primary.streams("forty", "-two")

    reply = telling.chat("what is six times seven?", stream=True)

    reasoning = [
        choice["delta"].get("reasoning_content") or ""
        for chunk in sse_events(reply)[:-1]
        for choice in chunk["choices"]
    ]
    (line,) = filter(None, reasoning)
    assert all(word in line for word in ("Headstart: MODERATE", "primary", "main", " ms"))
    assert streamed_text(reply) == "forty-two"


def test_a_whole_answer_tells_it_as_its_reasoning(telling, primary):
    primary.runs(("delta", {"reasoning_content": "six sevens"}), ("token", "42"), ("finish", "stop"))

    reply = telling.chat("what is six times seven?")

    (choice,) = reply.json()["choices"]
    assert choice["message"]["content"] == "42"
    line, _, thought = choice["message"]["reasoning_content"].partition("\n\n")
    assert ("primary, main" in line, thought) == (True, "six sevens")


def test_clients_of_the_messages_api_see_it_as_thinking(telling, primary):
    primary.streams("42")

    answer = telling.post(
        "/v1/messages",
        {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "six times seven?"}]},
    ).json()

    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]


TITLE = (
    "### Task:\nGenerate a concise title summarizing the chat history.\n"
    "### Chat History:\n<chat_history>\nUSER: hi\nASSISTANT: \n</chat_history>"
)
FORCED = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": "required",
}


@pytest.mark.parametrize(
    ("text", "more"),
    [(TITLE, {}), ("six?", {"response_format": {"type": "json_object"}}), ("six?", FORCED)],
    ids=["meta", "structured", "forced tool"],
)
def test_what_a_program_reads_is_never_decorated(telling, primary, text, more):
    primary.streams('{"title": "Six"}')

    reply = telling.chat(text, **more)

    assert "reasoning_content" not in reply.json()["choices"][0]["message"]
    assert json.loads(answer_of(reply)) == {"title": "Six"}


def test_housekeeping_is_answered_by_one_choice_however_many_are_wished_for(telling, primary):
    primary.streams("{}")

    telling.chat(TITLE, n=3)

    assert primary.last.body["n"] == 1


def test_a_line_that_a_client_hands_back_goes_no_further(telling, primary):
    primary.streams("42")
    told = telling.chat("what is six times seven?").json()["choices"][0]["message"]

    telling.chat(
        messages=[
            {"role": "user", "content": "six times seven?"},
            told,
            {"role": "user", "content": "thanks"},
        ]
    )

    assert primary.last.messages[1] == {**told, "reasoning_content": ""}


def test_whoever_wants_no_thoughts_gets_no_line(telling, primary):
    primary.streams("42")

    reply = telling.post(
        "/api/chat",
        {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "think": False, "stream": False},
    )

    assert "thinking" not in reply.json()["message"]
