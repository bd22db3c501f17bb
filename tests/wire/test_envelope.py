"""The envelope of OpenAI's answers: mended where a provider gets it wrong, let alone where it does not."""

import copy
import json

import pytest

from tests.support.envelope import MISTAKES, STREAM, USAGE, WHOLE, chunk, mistaken
from wire import anthropic_stream, ollama, ollama_stream, responses_stream, sse
from wire.envelope import Envelope, whole_number
from wire.openai_chat import Assembly, Relay, chunk_of


def envelope(**more):
    return Envelope("chatcmpl-ours", 7, "our-model", **more)


def received(chunks):
    """The events of a provider; with the blanks that a chunk written here has not."""
    return [sse.event(json.dumps(chunk).encode()) for chunk in chunks]


def relayed(chunks, relay=None):
    """What a client gets for each of these chunks, and then the end."""
    relay = relay or Relay(True, envelope())
    events = zip(received(chunks), copy.deepcopy(list(chunks)), strict=True)
    return [*(relay.pass_on(sse.Event(raw, raw[6:-2]), chunk) for raw, chunk in events), relay.ending()]


def objects(sent):
    events = sse.Parser().feed(b"".join(sent))
    return [json.loads(event.data) for event in events if not event.is_done]


def spelled(value):
    """A value as it is compared: unlike in Python, 0 is not False and 1 not 1.0; the order of keys means
    nothing.
    """
    return json.dumps(value, sort_keys=True)


def whole(chunks, **more):
    assembly = Assembly()
    for each in copy.deepcopy(chunks):
        assembly.add(each)
    return envelope(**more).mend_answer(assembly.answer())


def test_a_good_stream_stays_as_it_came():
    assert relayed(STREAM) == [*received(STREAM), sse.DONE]


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_in_a_stream_is_mended_and_nothing_else(name):
    came, expected = mistaken(name), [{**good, **MISTAKES[name].stands_in_stream} for good in STREAM]

    sent = relayed(came)

    assert sent != received(came)
    assert list(map(spelled, objects(sent))) == list(map(spelled, expected))
    for event, raw, mistake, good in zip(sent, received(came), came, expected, strict=False):
        assert (event == raw) == (spelled(mistake) == spelled(good))


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_in_a_whole_answer_is_mended_and_nothing_else(name):
    assert spelled(whole(mistaken(name))) == spelled(WHOLE | MISTAKES[name].stands_in_whole)


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_mended_is_good(name):
    mended = objects(relayed(mistaken(name)))

    assert relayed(mended) == [*received(mended), sse.DONE]


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize(
    "relay",
    [
        lambda: anthropic_stream.EventStream("m", "msg_1"),
        lambda: responses_stream.EventStream({"model": "m", "input": "x"}, "resp_1", 7),
        lambda: ollama_stream.ChatLines("m", lambda: ollama_stream.Moment(7.0, 1)),
        lambda: ollama_stream.GenerateLines("m", lambda: ollama_stream.Moment(7.0, 1)),
    ],
    ids=["messages", "responses", "ollama chat", "ollama generate"],
)
def test_the_other_apis_streams_do_not_go_by_the_envelope(name, relay):
    usage = MISTAKES[name].stands_in_stream.get("usage")
    assert usage or relayed(mistaken(name), relay()) == relayed(STREAM, relay())


# One by one.


def test_the_last_chunk_of_mlx_lm_with_its_usage_is_a_chunk():
    sent = relayed([*STREAM[:-1], {**STREAM[-1], "object": "chat.completion"}])

    assert sent[:3] == received(STREAM)[:3]
    assert objects(sent)[-1] == STREAM[-1]


def test_the_first_id_is_everyones():
    chunks = [{**each, "id": id} for each, id in zip(STREAM, ("a", "b", "", None), strict=True)]

    assert {each["id"] for each in objects(relayed(chunks))} == {"a"}
    assert whole(chunks)["id"] == "a"


def test_an_id_made_here_stays_when_the_provider_names_one_late():
    chunks = [{**each, "id": id} for each, id in zip(STREAM, ("", "b", "b", "b"), strict=True)]

    assert [each["id"] for each in objects(relayed(chunks))] == ["chatcmpl-ours"] * 4


def test_a_chunk_without_time_or_model_gets_those_of_the_chunks_before():
    chunks = [STREAM[0], *({**each, "created": None, "model": ""} for each in STREAM[1:])]

    sent = objects(relayed(chunks))

    assert {(each["created"], each["model"]) for each in sent} == {(1, "m")}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1, 1),
        ("1700000000", 1_700_000_000),
        (1700000000.9, 1_700_000_000),
        ("1700000000.9", 1_700_000_000),
        ("today", 7),
        ("nan", 7),
        (float("inf"), 7),
        (True, 7),
        (None, 7),
        ([], 7),
    ],
)
def test_a_time_is_a_whole_number_of_seconds(given, seconds):
    chunks = [{**each, "created": given} for each in STREAM]

    sent = objects(relayed(chunks))

    assert {(type(each["created"]), each["created"]) for each in sent} == {(int, seconds)}
    assert whole(chunks)["created"] == seconds


def test_a_number_is_whole_whatever_it_is_written_as():
    given = (3, "3", 3.7, "3.7", "x", None, True, [], "1e999")

    assert [whole_number(value) for value in given] == [3, 3, 3, 3, None, None, None, None, None]


def test_choices_without_an_index_are_numbered_by_their_place():
    first = {"delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
    chunks = [chunk(choices=[first, copy.deepcopy(first)]), chunk(choices=[{**first, "index": True}])]

    sent = objects(relayed(chunks))

    assert [[choice["index"] for choice in each["choices"]] for each in sent] == [[0, 1], [0], [0], [1]]
    assert [choice["finish_reason"] for each in sent[2:] for choice in each["choices"]] == ["stop", "stop"]


def test_only_the_first_delta_of_each_choice_needs_a_role():
    def piece(index):
        return chunk(choices=[{"index": index, "delta": {"content": "x"}, "finish_reason": None}])

    chunks = [piece(0), piece(0), piece(1), piece(1)]

    sent = relayed(chunks)

    assert [event == raw for event, raw in zip(sent, received(chunks), strict=False)] == [False, True] * 2
    deltas = [each["choices"][0]["delta"] for each in objects(sent[:4])]
    assert deltas == [{"content": "x", "role": "assistant"}, {"content": "x"}] * 2


def test_the_end_of_a_stream_that_brought_nothing_is_whole():
    assert objects(relayed([])) == [
        {
            "id": "chatcmpl-ours",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "our-model",
            "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}],
        }
    ]


def test_the_end_of_a_stream_without_an_end_has_its_envelope():
    *_, end = objects(relayed(mistaken("no envelope at all")[:2]))

    assert end == {
        "id": "chatcmpl-ours",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "our-model",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }


def test_a_whole_answer_that_brought_nothing_has_an_empty_choice():
    answer = whole([STREAM[-1]])

    assert answer["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None}}
    ]


@pytest.mark.parametrize("foreign", [{"event": {"type": "status"}}, {"sources": []}, {"type": "ping"}, {}])
def test_what_is_no_part_of_a_completion_stays_as_it_came(foreign):
    chunks = [foreign, *STREAM]

    assert relayed(chunks) == [*received(chunks), sse.DONE]


@pytest.mark.parametrize(
    ("usage", "mended"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 5}, (3, 5, 8)),
        ({"prompt_tokens": "3", "completion_tokens": 5.0, "total_tokens": None}, (3, 5, 8)),
        ({"input_tokens": 3, "output_tokens": 5}, (3, 5, 8)),
        ({"total_tokens": 8}, (0, 0, 8)),
        ({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 9, "cost": 0.1}, (3, 5, 9)),
    ],
)
def test_a_usage_has_its_three_numbers_and_keeps_what_else_it_holds(usage, mended):
    chunks = [*STREAM[:-1], {**STREAM[-1], "usage": usage}]
    counts = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), mended, strict=True))

    shown = objects(relayed(chunks))[-1]["usage"]

    assert shown == usage | counts
    assert all(type(shown[name]) is int for name in counts)
    assert whole(chunks)["usage"] == usage | counts


def test_a_usage_that_says_nothing_is_null_in_a_stream_and_absent_from_a_whole_answer():
    chunks = [*STREAM[:-1], {**STREAM[-1], "usage": {}}]

    assert objects(relayed(chunks))[-1]["usage"] is None
    assert "usage" not in whole(chunks)
    assert whole([*STREAM, {**STREAM[-1], "usage": {}}])["usage"] == USAGE


def test_the_records_keep_the_usage_as_the_provider_told_it():
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    last = {**STREAM[-1], "usage": usage}

    Relay(True, envelope()).pass_on(sse.Event(b"", b""), last)

    assert usage == {"prompt_tokens": 3, "completion_tokens": 5}
    assert last["usage"] != usage


# Legacy completions.


def piece(text, finish=None, **more):
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {"id": "t", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], **more}


def test_a_good_legacy_stream_stays_as_it_came():
    chunks = [piece("Once"), piece("", "stop")]

    assert relayed(chunks, Relay(True, envelope(is_text=True))) == [*received(chunks), sse.DONE]


@pytest.mark.parametrize("object", ["chat.completion.chunk", "text_completion.chunk", None, ""])
def test_legacy_completions_are_text_completions_in_both_kinds(object):
    chunks = [piece("Once", object=object), piece("", "stop", object=object)]

    sent = objects(relayed(chunks, Relay(True, envelope(is_text=True))))

    assert sent == [piece("Once"), piece("", "stop")]
    assert whole(chunks, is_text=True)["object"] == "text_completion"


def test_a_text_that_is_missing_is_empty():
    chunks = [piece("Once"), piece(None), {**piece("", "stop"), "choices": [{"finish_reason": "stop"}]}]

    sent = objects(relayed(chunks, Relay(True, envelope(is_text=True))))

    assert [each["choices"][0]["text"] for each in sent] == ["Once", "", ""]
    assert whole(chunks[2:], is_text=True)["choices"][0]["text"] == ""


# Providers that do not stream.


@pytest.mark.parametrize(
    "message", [None, {}, {"content": "forty-two"}, {"role": None, "content": "forty-two"}]
)
def test_the_message_of_a_whole_answer_has_a_role(message):
    chunk = chunk_of({"choices": [{"message": message, "finish_reason": "stop"}]})

    mended = whole([chunk])

    assert mended["choices"][0]["message"] == {"role": "assistant", "content": (message or {}).get("content")}
    assert (mended["id"], mended["object"], mended["created"], mended["model"]) == (
        "chatcmpl-ours",
        "chat.completion",
        7,
        "our-model",
    )


def test_whole_choices_without_an_index_are_numbered_by_their_place():
    choices = [{"message": {"role": "assistant", "content": word}, "finish_reason": "stop"} for word in "ab"]

    mended = whole([chunk_of({"choices": choices})])

    assert [(each["index"], each["message"]["content"]) for each in mended["choices"]] == [(0, "a"), (1, "b")]


def test_ollamas_answer_is_not_given_counts_that_nobody_told():
    answer = Assembly()
    answer.add({**STREAM[0], "usage": {"completion_tokens": 5}})

    lines = ollama.chat_answer_of(answer.answer(), "m", 7.0, ollama.Times(1))

    assert "prompt_eval_count" not in lines
