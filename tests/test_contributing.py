"""docs/CONTRIBUTING.md is true: a provider kind and a client API are built here with just the files it names.

The provider is the Echo: a server that is sent `{"call": ...}` and streams what comes back. The client API is
the Telegram: a text in capitals to and fro. Each is what its file in wire/, providers.py or api/ would hold.
"""

import json
import re

import pytest
import requests
from flask import Blueprint

import app
from api.handler import Api
from api.openai import answer_chat
from errors import BadRequest, ConfigError
from providers import Provider
from proxy.client_api import ClientApi
from settings import kinds, loader, schema
from tests.support.fake_upstream import FakeUpstream
from tests.support.in_process import serving
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, ROOT, streamed_text
from wire import openai_chat, sse

# The Echo: its format, its class, its entry.


def echo_request_of(body):
    return {"call": body["messages"][-1]["content"], "cave": body["model"]}


class EchoDecoder:
    """Its events as chunks of a chat completion."""

    usage = None

    def decode(self, event):
        echo = json.loads(event.data)
        if "gone" in echo:
            return [(sse.Event(sse.DONE, b"[DONE]"), None)]
        choice = {
            "index": 0,
            "delta": {"content": echo["echo"]},
            "finish_reason": echo.get("last") and "stop",
        }
        chunk = {"id": "echo-1", "choices": [choice]}
        data = openai_chat.dumps(chunk)
        return [(sse.Event(sse.event(data), data), chunk)]


ECHO = kinds.Kind("a cave", kinds.Capabilities(vision=False, tools=False, context_length=100))


@pytest.fixture
def echo_kind(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "echo", ECHO)
    monkeypatch.setattr(Provider, "classes", dict(Provider.classes))

    class EchoProvider(Provider, kind="echo"):
        def url(self, path, cancel_token):
            return super().url("/call", cancel_token)

        def body(self, client_body, rule=None, *, stream=True):
            return echo_request_of(super().body(client_body, rule, stream=stream))

        def decoder(self):
            return EchoDecoder()

    return EchoProvider


@pytest.fixture
def cave():
    cave = FakeUpstream("cave-1")
    echoes = ({"echo": "forty"}, {"echo": "-two", "last": True}, {"gone": True})
    cave.runs(*(("raw", sse.event(json.dumps(echo).encode())) for echo in echoes), ("close",))
    yield cave
    cave.close()


def with_cave(upstreams, cave):
    config = scripted_config(**upstreams)
    config["providers"]["cave"] = {"kind": "echo", "base_url": cave.url, "model": "cave-1"}
    config["routes"]["primary"]["chain"] = ["cave", "main"]
    return config


# The Telegram: its format and its endpoint.


def chat_request_of(text):
    if not isinstance(text, str) or not text.isupper():
        raise BadRequest("A TELEGRAM IS A TEXT IN CAPITALS", code="no_telegram")
    return {"messages": [{"role": "user", "content": text.removesuffix(" STOP").lower()}]}


class Telegram(ClientApi):
    api = "telegram"
    media_type = "text/plain"

    def read(self, body, headers):
        return chat_request_of(body)

    def relay(self, exchange, context):
        raise NotImplementedError("telegrams are not streamed")

    def answer(self, completion, exchange, context):
        return {"telegram": completion["choices"][0]["message"]["content"].upper() + " STOP"}

    def error(self, error, session):
        return {"undelivered": error.message.upper()}

    def error_event(self, error, session, relay):
        raise NotImplementedError("telegrams are not streamed")

    def headers(self, session):
        return {"X-Telegram": session}


def telegraph_office(handler):
    endpoints = Blueprint("telegram", __name__)

    @endpoints.post("/telegram")
    def telegram():
        return handler.proxied(Telegram(), answer_chat)

    return endpoints


TELEGRAM = Api(
    telegraph_office, errors=Telegram, owns=lambda path: path.startswith("/telegram"), prefixes=("",)
)


@pytest.fixture
def headstart(tmp_path, upstreams, echo_kind, cave, judge):
    with serving(tmp_path, with_cave(upstreams, cave), apis=(TELEGRAM, *app.APIS)) as served:
        yield served


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_new_kind_answers_every_client_and_is_asked_in_its_own_format(headstart, cave, stream):
    body = {"messages": [{"role": "user", "content": "six times seven?"}], "stream": stream}

    reply = headstart.post("/v1/chat/completions", body)

    text = streamed_text(reply) if stream else reply.json()["choices"][0]["message"]["content"]
    assert (reply.status_code, text) == (200, "forty-two")
    assert (reply.headers["X-Provider"], reply.headers["X-Speculation"]) == ("cave", "adopted")
    asked = [one for one in cave.requests if one.body["call"] != "ok"]  # and not the probe
    assert [(one.path, one.body) for one in asked] == [
        ("/v1/call", {"call": "six times seven?", "cave": "cave-1"})
    ]


def test_a_new_kind_has_fallback_health_and_a_place_in_the_model_list(headstart, cave, primary):
    cave.refuses(500, "rockfall")
    primary.streams("I am here")

    reply = headstart.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]})
    listed = requests.get(headstart.url + "/v1/models", timeout=HANG_GUARD_S).json()["data"]
    health = requests.get(headstart.url + "/health", timeout=HANG_GUARD_S).json()

    assert reply.headers["X-Provider"] == "main"
    assert "cave-1" in [model["id"] for model in listed]
    assert "cave" in health["providers"]


def test_a_new_kind_is_told_to_editors_and_checked_with_key_and_line(tmp_path, echo_kind):
    assert "echo" in json.dumps(schema.schema())
    file = tmp_path / "config.yaml"
    minimal = (
        "decisions: {SIMPLE: p, MODERATE: p, COMPLEX: p, ENRICH: p, META: p}\nroutes: {p: {chain: [cave]}}\n"
    )

    file.write_text(minimal + "providers:\n  cave: {kind: echo, model: deep}\n")
    assert loader.load(file, {}).providers["cave"].disabled == "base_url is not set"

    file.write_text(minimal + "providers:\n  cave:\n    kind: ecco\n")
    with pytest.raises(
        ConfigError, match=r"^config\.yaml:5: providers\.cave\.kind: 'ecco' is none of .*echo"
    ):
        loader.load(file, {})


def test_a_new_client_api_goes_down_the_same_road_to_every_provider(headstart, cave):
    reply = headstart.post("/telegram", "SIX TIMES SEVEN STOP")

    assert (reply.status_code, reply.json()) == (200, {"telegram": "FORTY-TWO STOP"})
    assert (reply.headers["X-Decision"], reply.headers["X-Provider"]) == ("MODERATE", "cave")
    assert reply.headers["X-Telegram"] == reply.headers["X-Session-Id"]
    assert cave.requests[-1].body["call"] == "six times seven"


def test_a_new_client_apis_errors_have_its_own_shape(headstart):
    refused = headstart.post("/telegram", "lower case")
    unread = requests.get(headstart.url + "/telegram", timeout=HANG_GUARD_S)

    assert (refused.status_code, refused.json()) == (400, {"undelivered": "A TELEGRAM IS A TEXT IN CAPITALS"})
    assert (unread.status_code, list(unread.json())) == (405, ["undelivered"])


def test_every_file_that_the_guide_names_exists():
    guide = (ROOT / "docs" / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|yaml|md))`", guide))

    assert len(named) > 10
    assert [
        name for name in named if not (ROOT / name).exists() and not (ROOT / "prompts" / name).exists()
    ] == []
