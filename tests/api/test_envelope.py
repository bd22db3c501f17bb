"""The envelope that OpenAI's clients rely on, through a running Headstart, whatever the provider writes."""

import json
import time

import pytest

from tests.support.envelope import MISTAKES, STREAM, USAGE, WHOLE, mistaken
from tests.support.fake_upstream import data_event
from wire import sse

QUESTION = [{"role": "user", "content": "what is six times seven?"}]
MISNAMED = [*STREAM[:-1], {**STREAM[-1], "object": "chat.completion"}]  # as mlx_lm.server does


def scripted(chunks):
    return [("raw", data_event(chunk)) for chunk in chunks]


def chunks_in(reply):
    return [json.loads(event.data) for event in sse.Parser().feed(reply.content) if not event.is_done]


def ours(stands, reply):
    """The fields that are made here, as they are for this very request."""
    made = {"id": f"chatcmpl-{reply.headers['X-Session-Id']}", "model": "p-model"}
    return {name: made.get(name, value) for name, value in stands.items()}


def without_time(chunk):
    return {name: value for name, value in chunk.items() if name != "created"}


def test_the_sdks_stream_helper_gets_the_usage_of_a_provider_that_misnames_its_last_chunk(
    sdk, primary, judge
):
    primary.runs(*scripted(MISNAMED))

    with sdk.chat.completions.stream(
        model="auto", messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        completion = stream.get_final_completion()

    assert completion.usage.to_dict() == USAGE
    assert completion.choices[0].message.content == "forty-two"
    assert (completion.id, completion.object) == ("c1", "chat.completion")


@pytest.mark.parametrize("name", MISTAKES)
def test_the_sdks_stream_helper_understands_every_provider(sdk, primary, judge, name):
    primary.runs(*scripted(mistaken(name)))

    with sdk.chat.completions.stream(
        model="auto", messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        completion = stream.get_final_completion()

    assert completion.usage.total_tokens == 8
    assert (completion.choices[0].index, completion.choices[0].finish_reason) == (0, "stop")
    message = completion.choices[0].message
    assert (message.role, message.content) == ("assistant", "forty-two")


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_mended_in_the_stream_and_in_the_whole_answer(headstart, primary, judge, name):
    primary.runs(*scripted(mistaken(name)))
    mistake, before = MISTAKES[name], int(time.time())

    stream = headstart.chat(stream=True, stream_options={"include_usage": True})
    whole = headstart.chat()

    stands, stands_in_whole = ours(mistake.stands_in_stream, stream), ours(mistake.stands_in_whole, whole)
    assert [without_time(each) for each in chunks_in(stream)] == [
        without_time(good | stands) for good in STREAM
    ]
    assert without_time(whole.json()) == without_time(WHOLE | stands_in_whole)
    times = {(type(each["created"]), each["created"]) for each in (*chunks_in(stream), whole.json())}
    if mistake.stands_in_stream.get("created") == 7:
        assert all(kind is int and before <= seconds <= time.time() for kind, seconds in times)
    else:
        assert times == {(int, 1)}


def test_a_good_stream_goes_through_byte_for_byte(headstart, primary, judge):
    primary.runs(*scripted(STREAM))

    reply = headstart.chat(stream=True, stream_options={"include_usage": True})

    assert reply.content == b"".join(map(data_event, STREAM)) + sse.DONE


def test_only_the_event_that_needs_it_is_written_anew(headstart, primary, judge):
    primary.runs(*scripted(MISNAMED))

    reply = headstart.chat(stream=True, stream_options={"include_usage": True})

    assert reply.content.startswith(b"".join(map(data_event, STREAM[:-1])))
    assert chunks_in(reply) == list(STREAM)


def test_the_record_keeps_the_usage_as_the_provider_told_it(headstart, primary, judge):
    primary.runs(
        *scripted([*STREAM[:-1], {**STREAM[-1], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}])
    )

    reply = headstart.chat(stream=True, stream_options={"include_usage": True})

    assert chunks_in(reply)[-1]["usage"] == USAGE
    session = headstart.session(reply.headers["X-Session-Id"])
    assert session["usage"] == {"prompt_tokens": 3, "completion_tokens": 5}


def test_a_provider_that_does_not_stream_is_mended_in_both_kinds(headstart, primary, judge):
    primary.answers({"choices": [{"message": {"content": "forty-two"}}]})

    stream, whole = headstart.chat(stream=True), headstart.chat()

    (chunk, end), answer = chunks_in(stream), whole.json()
    assert (chunk["object"], chunk["id"]) == (
        "chat.completion.chunk",
        f"chatcmpl-{stream.headers['X-Session-Id']}",
    )
    assert chunk["choices"] == [
        {"index": 0, "delta": {"content": "forty-two", "role": "assistant"}, "finish_reason": None}
    ]
    assert end == {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert (answer["object"], answer["id"]) == (
        "chat.completion",
        f"chatcmpl-{whole.headers['X-Session-Id']}",
    )
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "forty-two"}, "finish_reason": "stop"}
    ]


def test_legacy_completions_are_mended_in_both_kinds(sdk, primary):
    pieces = [{"object": "chat.completion.chunk", "choices": [{"text": text}]} for text in ("Once", " upon")]
    primary.runs(*scripted([*pieces, {"usage": USAGE}]))

    chunks = list(
        sdk.completions.create(
            model="p-model", prompt="Once", stream=True, stream_options={"include_usage": True}
        )
    )
    whole = sdk.completions.create(model="p-model", prompt="Once")

    assert [choice.text for chunk in chunks for choice in chunk.choices] == ["Once", " upon", ""]
    assert chunks[-2].usage.total_tokens == whole.usage.total_tokens == 8
    assert {(chunk.object, chunk.model) for chunk in (*chunks, whole)} == {("text_completion", "p-model")}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].id.startswith("cmpl-") and whole.id.startswith("cmpl-")
    assert (whole.choices[0].index, whole.choices[0].text) == (0, "Once upon")
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "stop"
