"""Headstart as OpenAI's own client library sees it."""

import openai
import pytest

from tests.support.fake_upstream import HANG_GUARD_S, data_event

QUESTION = [{"role": "user", "content": "what is six times seven?"}]


def test_the_sdk_gets_a_whole_answer(sdk, primary, judge):
    primary.streams("forty", "-two", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})

    answer = sdk.chat.completions.create(model="auto", messages=QUESTION)

    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == "forty-two"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 5


def test_the_sdk_gets_a_stream(sdk, primary, judge):
    primary.streams("forty", "-two", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})

    chunks = list(
        sdk.chat.completions.create(
            model="auto", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "forty-two"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == [
        "stop"
    ]
    assert chunks[-1].usage.total_tokens == 5


def test_the_sdk_reads_the_headers_and_the_session(sdk, headstart, primary, judge):
    raw = sdk.chat.completions.with_raw_response.create(model="auto", messages=QUESTION)

    assert (raw.headers["x-decision"], raw.headers["x-route"], raw.headers["x-speculation"]) == (
        "MODERATE",
        "primary",
        "adopted",
    )
    assert headstart.session(raw.headers["x-session-id"])["status"] == 200


def test_the_sdk_gets_tool_calls_put_together(sdk, primary, judge):
    pieces = [
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "multiply", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": "[6,"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "7]"}}]},
    ]
    primary.runs(*(("delta", piece) for piece in pieces), ("finish", "tool_calls"))

    answer = sdk.chat.completions.create(model="auto", messages=QUESTION)

    (call,) = answer.choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("a", "multiply", "[6,7]")


def test_the_sdk_raises_the_upstreams_refusal_as_its_own_class(sdk, primary, backup, judge):
    primary.refuses(400, "maximum context length is 8192 tokens", code="context_length_exceeded")
    backup.refuses(503)

    with pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(model="auto", messages=QUESTION)

    assert raised.value.code == "context_length_exceeded"
    assert "8192" in raised.value.message


def test_the_sdk_raises_when_nobody_can_serve(sdk, primary, backup, judge):
    primary.refuses(503)
    backup.refuses(500)

    with pytest.raises(openai.InternalServerError) as raised:
        sdk.chat.completions.create(model="auto", messages=QUESTION, stream=True)

    assert (raised.value.status_code, raised.value.code) == (503, "no_provider_available")


def test_the_sdk_raises_a_failure_in_mid_stream(sdk, primary, judge):
    primary.runs(("token", "forty"), ("cut",))
    came = []

    with pytest.raises(openai.APIError):
        for chunk in sdk.chat.completions.create(model="auto", messages=QUESTION, stream=True):
            came.append(chunk.choices[0].delta.content)

    assert came == ["forty"]


def test_leaving_a_stream_of_the_sdk_hangs_up_the_primary(sdk, primary, judge):
    primary.streams_forever()

    with sdk.chat.completions.create(model="auto", messages=QUESTION, stream=True) as stream:
        next(iter(stream))

    assert primary.last.hung_up.wait(HANG_GUARD_S)


def test_the_sdk_lists_the_models_and_retrieves_one(sdk):
    models = sdk.models.list()

    assert models.data[0].id == "auto"
    assert {"primary", "xai", "p-model", "c-model"} <= {model.id for model in models}
    assert sdk.models.retrieve("auto").object == "model"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("nobody")


def test_the_sdk_gets_a_legacy_completion(sdk, primary):
    pieces = [
        {
            "id": "t",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "text": text, "finish_reason": finish}],
        }
        for text, finish in (("Once", None), (" upon", "length"))
    ]
    primary.runs(*(("raw", data_event(piece)) for piece in pieces))

    answer = sdk.completions.create(model="p-model", prompt="Once")

    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Once upon", "length")
