"""What a client sends to any OpenAI-compatible server, as OpenAI's own takes it."""

import pytest

from wire.openai_cloud import accepted

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]


def test_a_limit_goes_by_the_name_that_openai_takes():
    assert accepted({"model": "gpt-6-sol", "max_tokens": 9}) == {
        "model": "gpt-6-sol",
        "max_completion_tokens": 9,
    }


def test_a_client_that_sends_both_limits_keeps_the_newer_one():
    body = {"model": "gpt-6-sol", "max_tokens": 9, "max_completion_tokens": 5}

    assert accepted(body) == {"model": "gpt-6-sol", "max_completion_tokens": 5}


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-5.6-terra", "gpt-6-luna", "gpt-6.1-terra", "gpt-10"])
def test_tools_are_asked_without_reasoning_of_models_that_refuse_both(model):
    assert accepted({"model": model, "tools": TOOLS})["reasoning_effort"] == "none"


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.2", "gpt-5", "o3", "chatgpt-4o-latest", None])
def test_tools_alone_change_nothing_for_the_others(model):
    assert "reasoning_effort" not in accepted({"model": model, "tools": TOOLS})


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-6.1-terra", "messages": []},
        {"model": "gpt-6.1-terra", "tools": []},
        {"model": "gpt-6.1-terra", "tools": TOOLS, "reasoning_effort": "low"},
    ],
)
def test_what_openai_takes_as_it_is_stays_as_it_is(body):
    assert accepted(body) == body
