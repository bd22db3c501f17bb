"""What a request asks of a model."""

import pytest

from wire.needs import Needs, needs_of

TOOL = {"type": "function", "function": {"name": "now"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}


def picture(chars=10):
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * chars}}


def text(words):
    return {"type": "text", "text": words}


def asked(*contents, **more):
    return needs_of({"messages": [{"role": "user", "content": content} for content in contents], **more})


@pytest.mark.parametrize(
    "needs, expected",
    [
        (asked("hello", "you"), Needs(8)),
        (asked([text("hello"), text("you")]), Needs(9)),  # and the line end between them
        (asked([text("what is this?"), picture()]), Needs(13, pictures=True)),
        (asked([picture()], "hello"), Needs(5, pictures=True)),
        (asked([{"type": "input_audio", "input_audio": {"data": "AAAA"}}]), Needs(audio=True)),
        (asked("hi", tools=[]), Needs(2)),
        (asked("hi", tools=[TOOL]), Needs(2, offers_tools=True)),
        (asked("hi", tools=[TOOL], tool_choice="auto"), Needs(2, offers_tools=True)),
        (asked("hi", tools=[TOOL], tool_choice="none"), Needs(2)),
        (asked("hi", tools=[TOOL], tool_choice="required"), Needs(2, offers_tools=True, uses_tools=True)),
        (asked("hi", tools=[TOOL], tool_choice={"type": "function"}), Needs(2, False, False, True, True)),
        (needs_of({"messages": [CALLED]}), Needs(uses_tools=True)),
        (needs_of({"messages": [{"role": "tool", "content": "12:00"}]}), Needs(5, uses_tools=True)),
        (needs_of({"prompt": "def f("}), Needs(6)),
        (needs_of({"prompt": ["a", "b"]}), Needs()),
        (needs_of({"input": "embed me"}), Needs(8)),
    ],
)
def test_what_a_request_needs(needs, expected):
    assert needs == expected


def test_the_estimate_is_the_least_that_it_can_be():
    assert asked("x" * 600).least_tokens == 100
