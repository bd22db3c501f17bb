"""What clients of the Responses API may refer to instead of sending it again.

Shown by OpenAI's own library and over the wire.
"""

import json

import openai
import pytest
import requests

from api import response_store as response_store
from api.response_store import KEPT_S, ResponseStore
from tests.support.fake_upstream import HANG_GUARD_S

RESPONSE = {
    "id": "resp_1",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "42"}],
        }
    ],
}
ASKED = {"model": "auto", "input": "six times seven?"}


def told(primary):
    return [(message["role"], message["content"]) for message in primary.last.messages]


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_by_the_id_of_its_last_answer(sdk, primary, judge, stream):
    primary.streams("42")
    first = sdk.responses.create(
        model="auto", input="six times seven?", instructions="Be brief.", stream=stream
    )
    first = list(first)[-1].response if stream else first
    second = sdk.responses.create(model="auto", input="sure?", previous_response_id=first.id)

    third = sdk.responses.create(model="auto", input="really?", previous_response_id=second.id)

    said = [
        ("user", "six times seven?"),
        ("assistant", "42"),
        ("user", "sure?"),
        ("assistant", "42"),
        ("user", "really?"),
    ]
    assert told(primary) == said  # and not the first one's instructions, as the API has it
    assert (third.previous_response_id, third.store) == (second.id, True)


def test_a_reference_to_an_item_stands_for_the_item(sdk, primary, judge):
    primary.streams("42")
    first = sdk.responses.create(model="auto", input="six times seven?")
    turns = [
        {"role": "user", "content": "six times seven?"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "sure?"},
    ]

    sdk.responses.create(model="auto", input=turns)

    assert told(primary) == [("user", "six times seven?"), ("assistant", "42"), ("user", "sure?")]


def test_another_client_does_not_find_it(headstart, sdk, primary, judge):
    first = sdk.responses.create(model="auto", input="a secret")
    body = {"model": "auto", "input": "go on", "previous_response_id": first.id}

    reply = headstart.post("/v1/responses", body, headers={"Authorization": "Bearer another"})

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "previous_response_id")
    assert requests.get(f"{headstart.url}/v1/responses/{first.id}", timeout=HANG_GUARD_S).status_code == 404


def test_what_is_not_to_be_stored_is_not(sdk, primary, judge):
    first = sdk.responses.create(model="auto", input="a secret", store=False)

    with pytest.raises(openai.BadRequestError, match="not known here"):
        sdk.responses.create(model="auto", input="go on", previous_response_id=first.id)


def test_an_answer_can_be_read_again_and_forgotten(sdk, primary, judge):
    primary.streams("42")
    first = sdk.responses.create(model="auto", input="six times seven?")

    again = sdk.responses.retrieve(first.id)
    sdk.responses.delete(first.id)

    assert again.output_text == "42"
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(first.id)


def test_an_answer_is_forgotten_after_a_while():
    now = [0.0]
    kept = ResponseStore(clock=lambda: now[0])
    kept.keep("me", ASKED, RESPONSE)
    body = {**ASKED, "previous_response_id": "resp_1"}

    before = kept.resolved("me", body)
    now[0] = KEPT_S + 1
    after = kept.resolved("me", body)

    assert [item.get("role") for item in before["input"]] == ["user", "assistant", "user"]
    assert after is body


def test_the_oldest_answers_give_way_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(response_store, "MAX_BYTES", 3 * len(json.dumps([[], RESPONSE])))
    kept = ResponseStore()

    for number in range(9):
        item = {**RESPONSE["output"][0], "id": f"msg_{number}"}
        kept.keep("me", {"input": []}, {"id": f"resp_{number}", "output": [item]})

    found = [number for number in range(9) if kept.response("me", f"resp_{number}")]
    assert found == list(range(9 - len(found), 9))
    assert 1 <= len(found) <= 3
    assert len(kept._items) == len(found)


def test_one_too_large_for_all_the_room_is_not_kept(monkeypatch):
    monkeypatch.setattr(response_store, "MAX_BYTES", 10)
    kept = ResponseStore()

    kept.keep("me", ASKED, RESPONSE)

    assert kept.response("me", "resp_1") is None
