"""By name: the owner's rules for model names, the owner's own routes, and every way a client can name one."""

import pytest
import requests
import yaml

from tests.support.fake_upstream import FakeUpstream
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server, sse_events, streamed_text

# As an owner writes them.
ROUTES = """
code:   {chain: [far, backup]}
reason:
  chain: [backup, main]
  slow_ms: 60000
"""
RULES = """
- {exact: mlx-community/exactly-this, provider: backup, model: b-renamed}
- {prefix: mlx-community/, provider: main}
- exact: llama-3.3-70b
  provider: far
  model: meta-llama/llama-3.3-70b-instruct
  extra_body: {provider: {order: [Cerebras], allow_fallbacks: false}, transforms: []}
- {prefix: gpt-, provider: far, params: {drop: [seed], min: {max_tokens: 1000}, set: {temperature: 0.5}}}
- {exact: impatient, provider: slow, timeouts: {first_byte_s: 0.4}}
- {regex: '^o\\d(-mini)?$', route: reason}
- {regex: 'coder', route: code, extra_body: {reasoning: {effort: low}}}
- {exact: coder-that-comes-too-late, provider: backup}
"""
ANSWER = [("token", "ok"), ("finish", "stop")]


@pytest.fixture(scope="module")
def far():
    """An OpenRouter of sorts."""
    upstream = FakeUpstream("far-model")
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def embedder():
    upstream = FakeUpstream("embedding-model")
    upstream.answers(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
            "model": "embedding-model",
        }
    )
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def named(upstreams, far, embedder, tmp_path_factory):
    config = scripted_config(**upstreams)
    provider = {"kind": "openai", "timeouts": {"first_byte_s": HANG_GUARD_S}}
    config["providers"]["far"] = {
        **provider,
        "base_url": far.url,
        "model": "far-model",
        "extra_body": {"transforms": ["middle-out"]},
    }
    config["providers"]["slow"] = {**provider, "base_url": far.url, "model": "slow-model"}
    config["providers"]["vectors"] = {
        **provider,
        "base_url": embedder.url,
        "model": "embedding-model",
        "embeddings": True,
    }
    config["routes"].update(yaml.safe_load(ROUTES))
    config["models"] = yaml.safe_load(RULES)
    server = Server(tmp_path_factory.mktemp("named"), config).wait_until_up()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def as_at_first(far, primary, backup, cloud, judge):
    """Nobody has been asked, and everybody answers ok."""
    far.reset()
    for upstream in (far, primary, backup, cloud):
        upstream.runs(*ANSWER)


# Rules.


def test_a_rule_for_a_prefix_keeps_the_name_that_the_client_wrote(named, primary):
    reply = named.chat(model="mlx-community/Qwen3-4B-4bit")

    assert (reply.headers["X-Provider"], reply.headers["X-Decision"], reply.headers["X-Speculation"]) == (
        "main",
        "PINNED",
        "off",
    )
    assert primary.last.body["model"] == "mlx-community/Qwen3-4B-4bit"


def test_the_first_rule_that_fits_decides_and_may_give_another_name(named, backup, primary):
    reply = named.chat(model="mlx-community/exactly-this")

    assert reply.headers["X-Provider"] == "backup"
    assert backup.last.body["model"] == "b-renamed"
    assert not primary.requests


@pytest.mark.parametrize("model", ["o3", "o4-mini"])
def test_a_rule_for_a_pattern_leads_to_a_route(named, backup, judge, model):
    reply = named.chat(model=model)

    assert (reply.headers["X-Route"], reply.headers["X-Provider"]) == ("reason", "backup")
    assert backup.last.body["model"] == "b-model"
    assert not judge.requests


def test_a_rule_to_a_route_has_the_routes_fallback(named, far, backup):
    far.refuses(500)

    reply = named.chat(model="qwen3-coder")

    assert (reply.headers["X-Route"], reply.headers["X-Provider"]) == ("code", "backup")
    assert far.last.body["reasoning"] == backup.last.body["reasoning"] == {"effort": "low"}


def test_a_later_rule_has_nothing_to_say(named, far):
    reply = named.chat(model="coder-that-comes-too-late")

    assert (reply.headers["X-Route"], reply.headers["X-Provider"]) == ("code", "far")


def test_a_rule_to_a_provider_has_no_fallback(named, far, backup):
    far.refuses(500)

    reply = named.chat(model="llama-3.3-70b")

    assert reply.status_code == 503
    assert not backup.requests


def test_a_name_that_no_rule_fits_is_classified_as_ever(named, primary, judge):
    reply = named.chat(model="o5-mini-but-not-quite")

    assert (reply.headers["X-Decision"], reply.headers["X-Provider"]) == ("MODERATE", "main")


def test_extra_body_reaches_the_upstream_as_written_and_the_owners_word_wins(named, far):
    asked = {"provider": {"order": ["Groq"], "sort": "price"}, "transforms": ["from-the-client"], "top_k": 5}

    named.chat(model="llama-3.3-70b", **asked)

    sent = far.last.body
    assert sent["model"] == "meta-llama/llama-3.3-70b-instruct"
    assert sent["provider"] == {"order": ["Cerebras"], "allow_fallbacks": False, "sort": "price"}
    assert sent["transforms"] == []  # the rule's, over the provider's, over the client's
    assert sent["top_k"] == 5


def test_a_client_that_says_nothing_of_it_gets_the_owners_word_alone(named, far):
    named.chat(model="llama-3.3-70b")

    assert far.last.body["provider"] == {"order": ["Cerebras"], "allow_fallbacks": False}


def test_a_rule_drops_raises_and_sets_params(named, far):
    named.chat(model="gpt-oss", seed=7, max_tokens=10, temperature=1.9)

    sent = far.last.body
    assert "seed" not in sent
    assert (sent["max_tokens"], sent["temperature"]) == (1000, 0.5)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_rules_timeouts_stand_instead_of_the_providers(named, far, stream):
    far.runs(("headers",), ("stall",))

    reply = named.chat(model="impatient", stream=stream)

    assert reply.status_code == 503
    assert far.last.hung_up.wait(HANG_GUARD_S)


# Embeddings.


@pytest.mark.parametrize("model", ["embedding-model", "p-model", "gpt-4o", "auto", None])
def test_embeddings_go_to_the_provider_marked_for_them_whatever_their_model(
    named, embedder, far, primary, model
):
    body = {"input": ["one", "two"], **({"model": model} if model else {})}

    reply = named.post("/v1/embeddings", body)

    assert reply.json()["data"][0]["embedding"] == [0.5, 0.25]
    assert reply.headers["X-Provider"] == "vectors"
    assert (embedder.last.path, embedder.last.body["input"], embedder.last.body["model"]) == (
        "/v1/embeddings",
        ["one", "two"],
        "embedding-model",
    )
    assert not far.requests
    assert not primary.requests


# The owner's routes.


def by_model(server, route, **more):
    return server.chat("write a parser", model=route, **more)


def by_header(server, route, **more):
    return server.chat("write a parser", headers={"X-Route": route}, **more)


def by_class_with_messages(server, route, **more):
    return server.post(
        "/v1/chat",
        {"model_class": route, "messages": [{"role": "user", "content": "write a parser"}], **more},
    )


def by_class_with_a_prompt(server, route, **more):
    return server.post("/v1/chat", {"model_class": route, "prompt": "write a parser", **more})


WAYS = [by_model, by_header, by_class_with_messages, by_class_with_a_prompt]
each_way = pytest.mark.parametrize("ask", WAYS, ids=lambda way: way.__name__)


def test_the_owners_routes_stand_in_the_model_list(named):
    models = requests.get(named.url + "/v1/models", timeout=HANG_GUARD_S).json()["data"]

    ids = [model["id"] for model in models]
    assert {"code", "reason"} < set(ids)
    assert ids[0] == "auto"
    assert requests.get(named.url + "/v1/models/code", timeout=HANG_GUARD_S).json()["id"] == "code"


@each_way
@pytest.mark.parametrize(("route", "provider"), [("code", "far"), ("reason", "backup")])
def test_an_owners_route_is_reached_and_nothing_is_classified(named, judge, ask, route, provider):
    reply = ask(named, route)

    assert reply.status_code == 200, reply.text
    assert (reply.headers["X-Route"], reply.headers["X-Provider"], reply.headers["X-Decision"]) == (
        route,
        provider,
        "PINNED",
    )
    assert reply.json()["choices"][0]["message"]["content"] == "ok"
    assert not judge.requests
    session = named.session(reply.headers["X-Session-Id"])
    assert (session["route"], session["user_query"]) == (route, "write a parser")


@each_way
def test_an_owners_route_streams_too(named, far, ask):
    reply = ask(named, "code", stream=True)

    assert (streamed_text(reply), sse_events(reply)[-1]) == ("ok", "[DONE]")
    assert far.last.messages == [{"role": "user", "content": "write a parser"}]


@each_way
def test_an_owners_route_goes_on_along_its_chain(named, far, ask):
    far.refuses(503)

    reply = ask(named, "code")

    assert (reply.status_code, reply.headers["X-Route"], reply.headers["X-Provider"]) == (
        200,
        "code",
        "backup",
    )


def test_what_is_only_ours_does_not_reach_the_upstream(named, far):
    by_class_with_a_prompt(named, "code", temperature=0.25)

    sent = far.last.body
    assert not {"model_class", "prompt"} & sent.keys()
    assert (sent["model"], sent["temperature"]) == ("far-model", 0.25)


def test_the_header_goes_before_the_models_name(named, far):
    reply = named.chat(model="p-model", headers={"X-Route": "code"})

    assert reply.headers["X-Provider"] == "far"


@pytest.mark.parametrize(
    ("ask", "param"),
    [
        (by_header, "X-Route"),
        (by_class_with_messages, "model_class"),
        (by_class_with_a_prompt, "model_class"),
    ],
)
def test_a_route_that_is_not_there_is_a_404_that_names_it(named, primary, judge, ask, param):
    reply = ask(named, "cod")

    assert reply.status_code == 404
    error = reply.json()["error"]
    assert "'cod'" in error["message"]
    assert "code, reason" in error["message"]
    assert (error["param"], error["code"]) == (param, "route_not_found")
    assert not primary.requests
    assert not judge.requests
    assert named.request_line(reply.headers["X-Session-Id"])["status"] == "404"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "hi"}, "model_class"),
        ({"model_class": 5, "prompt": "hi"}, "model_class"),
        ({"model_class": "", "prompt": "hi"}, "model_class"),
        ({"model_class": "code"}, "messages"),
        ({"model_class": "code", "prompt": ["hi"]}, "messages"),
        ({"model_class": "code", "messages": []}, "messages"),
    ],
)
def test_a_request_of_an_agent_that_lacks_something_is_a_400_that_names_it(named, body, param):
    reply = named.post("/v1/chat", body)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
