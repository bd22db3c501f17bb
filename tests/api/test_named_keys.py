"""Keys with names: who they are in every record, what their limits refuse, and what they change."""

import json

import openai
import pytest
import requests

from tests.support.in_process import serving
from tests.support.ledger import booked
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S
from tests.support.waiting import await_that

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}  # 0.003 USD in the cloud
KEYS = {
    "mum": "hush-mum",
    "kids": {"key": "hush-kids", "cloud": False},
    "guests": {"key": "hush-guests", "routes": ["primary", "meta"]},
    "scholar": {"key": "hush-scholar", "routes": ["xai"]},  # as the route cloud was called before
    "saver": {"key": "hush-saver", "daily_usd": 0.003},
}


@pytest.fixture(scope="module")
def house(upstreams, tmp_path_factory):
    config = {**scripted_config(**upstreams), "server": {"api_keys": KEYS}}
    config["providers"]["vectors"] = {
        "kind": "openai",
        "base_url": upstreams["cloud"].url,
        "model": "v-model",
        "embeddings": True,
        "prices": {"input": 2.0, "output": 0.0},
    }
    with serving(tmp_path_factory.mktemp("house"), config) as headstart:
        yield headstart


def ask(house, key, path="/v1/chat/completions", headers=None, **body):
    body = {"messages": [{"role": "user", "content": "hello"}], **body}
    bearer = {"Authorization": f"Bearer hush-{key}"}
    return house.post(path, body, headers={**bearer, **(headers or {})})


def get(house, key, path):
    headers = {"x-api-key": f"hush-{key}"}
    return requests.get(house.url + path, headers=headers, timeout=HANG_GUARD_S).json()


def record_of(house, reply):
    def files():
        return list((house.folder / "sessions").glob(f"*_{reply.headers['X-Session-Id']}.json"))

    await_that(files, "the session file is there")
    return json.loads(files()[0].read_text())


def costs_by_key(house):
    return {sums["key"]: sums for sums in get(house, "mum", "/v1/costs?by=key")["keys"]}


# Who it was.


def test_the_name_stands_in_every_record_and_the_key_in_none(house, judge):
    reply = ask(house, "mum")

    session = reply.headers["X-Session-Id"]
    record, [row] = record_of(house, reply), booked(house, session, 1)
    lines = [line for line in house.log_text().splitlines() if session in line]
    assert (record["key"], row["key"]) == ("mum", "mum")
    assert f"Incoming request: session={session} client=127.0.0.1 key=mum model=" in lines[0]
    assert any(f" REQUEST session={session} client=127.0.0.1 key=mum decision=MODERATE" in it for it in lines)
    assert "hush" not in house.log_text() + json.dumps([record, row])


def test_costs_are_told_by_key(house, cloud, judge):
    judge.streams("COMPLEX")
    cloud.streams("forty", "-two", usage=USAGE)
    before = costs_by_key(house).get("guests", {"calls": 0, "input_tokens": 0})

    ask(house, "mum")
    ask(house, "guests")

    await_that(lambda: costs_by_key(house)["guests"]["calls"] > before["calls"], "the calls are booked")
    told = costs_by_key(house)
    assert told["mum"]["cost_usd"] > 0
    assert told["guests"]["cost_usd"] == 0
    assert get(house, "mum", "/v1/costs?by=key").keys() == {"since", "until", "total", "keys"}


def test_costs_by_something_else_are_refused_in_words(house):
    assert get(house, "mum", "/v1/costs?by=moon")["error"]["message"] == (
        "'by' must be one of provider, model, route, key, day"
    )


# No cloud.


def test_what_would_go_to_the_cloud_is_answered_at_home(house, primary, cloud, judge):
    judge.streams("COMPLEX")

    reply = ask(house, "kids")

    assert reply.status_code == 200
    assert (reply.headers["X-Decision"], reply.headers["X-Provider"]) == ("COMPLEX", "main")
    assert reply.headers["X-Degraded"] == "key kids has no cloud"
    assert record_of(house, reply)["passed_over"] == [
        {"provider": "cloud", "reason": "not_allowed", "detail": "key kids has no cloud"}
    ]
    assert cloud.requests == []


def test_nothing_is_searched_in_the_cloud_for_it(house, cloud, judge):
    judge.streams("ENRICH")

    reply = ask(house, "kids")

    assert (reply.status_code, reply.headers["X-Provider"]) == (200, "main")
    assert cloud.requests == []


@pytest.mark.parametrize(
    "path, more, type_of",
    [
        ("/v1/chat/completions", {"model": "c-model"}, lambda body: body["error"]["type"]),
        ("/v1/chat/completions", {"headers": {"X-Route": "xai"}}, lambda body: body["error"]["type"]),
        ("/v1/chat", {"model_class": "xai"}, lambda body: body["error"]["type"]),
        ("/v1/completions", {"model": "xai", "prompt": "a"}, lambda body: body["error"]["type"]),
        ("/v1/responses", {"model": "cloud", "input": "a"}, lambda body: body["error"]["type"]),
        ("/v1/messages", {"model": "xai", "max_tokens": 9}, lambda body: body["error"]["type"]),
        ("/api/chat", {"model": "c-model"}, lambda body: "permission_error"),
    ],
)
def test_the_cloud_by_name_is_refused_in_the_shape_of_the_api(house, cloud, judge, path, more, type_of):
    reply = ask(house, "kids", path, **more)

    assert reply.status_code == 403
    assert type_of(reply.json()) == "permission_error"
    assert "the key 'kids' has no cloud, where the route 'cloud' leads to 'cloud'" in reply.text
    assert cloud.requests == []


def test_no_words_are_counted_in_the_cloud_for_it(tmp_path, upstreams, cloud, judge):
    config = {**scripted_config(**upstreams), "server": {"api_keys": KEYS}}
    config["providers"]["claude"] = {
        "kind": "anthropic",
        "base_url": cloud.url,
        "model": "cl-model",
        "api_key": "sk",
        "prices": {"input": 3.0, "output": 15.0},
    }
    config["routes"]["primary"]["chain"] = ["claude", "main"]
    cloud.answers({"input_tokens": 42})

    with serving(tmp_path, config) as headstart:
        counted = [
            ask(headstart, key, "/v1/messages/count_tokens", model="auto").json()["input_tokens"]
            for key in ("mum", "kids")
        ]

    assert counted[0] == 42
    assert counted[1] < 42  # an estimate
    assert len(cloud.requests) == 1


def test_vectors_of_the_cloud_are_refused_since_no_others_would_do(house, cloud):
    reply = ask(house, "kids", "/v1/embeddings", model="v-model", input="a")

    assert reply.status_code == 403
    assert reply.json()["error"]["message"] == (
        "the key 'kids' may not use the provider 'vectors', which costs money"
    )
    assert cloud.requests == []


def test_its_model_list_has_no_cloud(house):
    everything = [model["id"] for model in get(house, "mum", "/v1/models")["data"]]
    at_home = [model["id"] for model in get(house, "kids", "/v1/models")["data"]]
    tags = [model["model"].removesuffix(":latest") for model in get(house, "kids", "/api/tags")["models"]]

    assert set(everything) - set(at_home) == {"cloud", "xai", "c-model", "v-model"}
    assert tags == at_home
    assert get(house, "kids", "/v1/models/c-model")["error"]["code"] == "model_not_found"


# Routes.


def test_another_route_by_name_is_refused(house, cloud, judge):
    reply = ask(house, "guests", model="xai")

    assert reply.status_code == 403
    assert reply.json()["error"] == {
        "message": "the key 'guests' may not use the route 'cloud'; it may use primary, meta",
        "type": "permission_error",
        "param": "model",
        "code": "key_not_allowed",
    }


@pytest.mark.parametrize("decision", ["COMPLEX", "ENRICH"])
def test_what_is_decided_for_another_route_goes_to_the_primary(house, cloud, judge, decision):
    judge.streams(decision)

    reply = ask(house, "guests")
    classified = ask(house, "guests", "/v1/classify").json()

    assert (reply.headers["X-Decision"], reply.headers["X-Route"]) == (decision, "primary")
    assert (classified["decision"], classified["route"]) == (decision, "primary")
    assert cloud.requests == []


@pytest.mark.parametrize("model", ["xai", "cloud", "c-model", "auto"])
def test_a_route_may_be_given_by_its_other_name(house, judge, model):
    reply = ask(house, "scholar", model=model)

    assert (reply.status_code, reply.headers["X-Route"]) == (200, "cloud")


# Money, and what belongs to whom.


def test_over_its_limit_a_key_is_answered_at_home_and_the_others_go_on(house, cloud, judge):
    judge.streams("COMPLEX")
    cloud.streams("forty", "-two", usage=USAGE)

    first = ask(house, "saver")
    booked(house, first.headers["X-Session-Id"], 2)
    over, pinned, others = ask(house, "saver"), ask(house, "saver", model="xai"), ask(house, "mum")

    assert (first.headers["X-Provider"], "X-Budget" in first.headers) == ("cloud", False)
    assert [reply.headers["X-Provider"] for reply in (over, pinned, others)] == ["main", "main", "cloud"]
    assert [reply.headers.get("X-Budget") for reply in (over, pinned, others)] == [
        "exhausted",
        "exhausted",
        None,
    ]
    assert "Budget exhausted: key=saver period=daily spent_usd=0.003 limit_usd=0.003" in house.log_text()


def test_a_response_stored_by_one_key_is_not_another_s(house, primary, judge):
    primary.streams("42")

    def client(key):
        return openai.OpenAI(base_url=f"{house.url}/v1", api_key=f"hush-{key}", max_retries=0)

    with client("mum") as mum, client("kids") as kids:
        stored = mum.responses.create(model="auto", input="six times seven?")

        assert mum.responses.retrieve(stored.id).output_text == "42"
        with pytest.raises(openai.NotFoundError):
            kids.responses.retrieve(stored.id)
