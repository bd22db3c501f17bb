"""What the client APIs have in common.

Each reports errors in its own format; requests of all are decided and recorded alike; none sends a provider a
parameter that the provider does not know.
"""

import pytest
import requests

from tests.support.fake_upstream import HANG_GUARD_S

SPOKEN = {
    "/v1/chat/completions": lambda told: told["error"]["message"],
    "/v1/responses": lambda told: told["error"]["message"],
    "/v1/messages": lambda told: told["error"]["message"] if told["type"] == "error" else None,
    "/api/chat": lambda told: told["error"] if isinstance(told["error"], str) else None,
}
ASKED = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/api/chat": {"messages": [{"role": "user", "content": "hi"}]},
}
every_api = pytest.mark.parametrize("path", SPOKEN)


@every_api
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_told_in_the_words_of_the_api(headstart, primary, judge, path, stream):
    primary.refuses(422, "the context is full")

    reply = headstart.post(path, {**ASKED[path], "model": "p-model", "stream": stream})

    assert (reply.status_code, reply.headers["Content-Type"]) == (422, "application/json")
    assert SPOKEN[path](reply.json()) == "the context is full"


@every_api
def test_so_is_what_is_no_json(headstart, path):
    reply = requests.post(headstart.url + path, data=b'{"model": ', timeout=HANG_GUARD_S)

    assert reply.status_code == 400
    assert "not valid JSON" in SPOKEN[path](reply.json())


@every_api
def test_each_is_decided_recorded_and_answered_alike(headstart, primary, cloud, judge, path):
    judge.streams("COMPLEX")
    primary.stalls_before_head()
    cloud.streams("proved")

    reply = headstart.post(path, {**ASKED[path], "model": "auto", "stream": False})

    assert reply.status_code == 200
    assert "proved" in reply.text
    assert (reply.headers["X-Decision"], reply.headers["X-Provider"], reply.headers["X-Speculation"]) == (
        "COMPLEX",
        "cloud",
        "cancelled",
    )
    session = headstart.session(reply.headers["X-Session-Id"])
    assert (session["user_query"], session["status"], session["steps"][-1]["response_content"]) == (
        "hi",
        200,
        "proved",
    )


@every_api
def test_leaving_hangs_up_the_provider_whichever_api_was_asked(headstart, primary, judge, path):
    primary.streams_forever()

    with headstart.connection({**ASKED[path], "model": "p-model", "stream": True}, path) as sock:
        sock.recv(1000)

    assert primary.last.hung_up.wait(HANG_GUARD_S)


@pytest.mark.parametrize(("model", "heard"), [("p-model", True), ("c-model", False)])
def test_a_switch_of_templates_is_for_servers_that_have_some(headstart, upstreams, model, heard):
    asked = upstreams["primary" if model == "p-model" else "cloud"]

    headstart.post("/api/chat", {**ASKED["/api/chat"], "model": model, "think": False, "stream": False})

    assert ("chat_template_kwargs" in asked.last.body) is heard
