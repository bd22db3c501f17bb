"""What is found out about servers at home by asking them, against imitations of the four usual ones."""

import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from errors import Cancelled, ConnectFailed, HeadTimeout, ModelMissing, UpstreamError, UpstreamStatus
from providers import OpenAIProvider
from settings.model import Provider as Settings
from settings.model import Timeouts
from tests.support.fake_upstream import FakeUpstream
from tests.support.home_servers import GEMMA, LLAMA, NOMIC, QWEN, LlamaCpp, LmStudio, Ollama, Vllm
from tests.support.in_process import serving
from tests.support.server import HANG_GUARD_S, unused_port
from tests.support.waiting import await_that
from upstream import discovery, survey
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken
from upstream.checks import Check
from upstream.endpoint import CHAT

ASKED = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def home(request):
    """Start imitations; they end with the test."""
    started = []

    def made(make, *args, **kwargs):
        started.append(make(*args, **kwargs))
        return started[-1]

    yield made
    for one in started:
        one.close()


def at(url, **settings):
    timeouts = Timeouts(connect_s=5, first_byte_s=HANG_GUARD_S)
    return OpenAIProvider("home", Settings("openai", **{"base_url": url, "timeouts": timeouts, **settings}))


def chat(provider):
    """The attempt of one chat, with its head in hand."""
    attempt = Attempt(provider, CHAT, ASKED)
    attempt.head()
    return attempt


def answered_by(provider):
    attempt = chat(provider)
    assert list(attempt.events())
    return attempt.content


def learnt(provider):
    """What is known of it after its first check."""
    Check(provider).run(wanted=True)
    known = provider.capabilities
    return provider.model, known.context_length, known.vision, known.audio, known.tools


# Which model it serves, and what that can take.


def test_vllm_tells_its_model_and_how_long_a_request_may_be(home):
    server = home(Vllm, QWEN, {"id": "sql-lora", "parent": QWEN["id"]})

    assert learnt(at(server.url)) == (QWEN["id"], 40960, None, None, None)


def test_ollama_tells_abilities_and_the_context_length_a_model_is_loaded_with(home):
    server = home(Ollama, NOMIC, GEMMA, LLAMA)

    assert learnt(at(server.url)) == ("gemma3:4b", 4096, True, False, False)
    assert server.asked("/v1/models") == 0


def test_ollamas_model_in_memory_is_taken(home):
    server = home(Ollama, NOMIC, GEMMA, LLAMA, loaded=["llama3.2:latest"])

    assert learnt(at(server.url)) == ("llama3.2:latest", 4096, False, False, True)


def test_lm_studios_model_in_memory_is_taken(home):
    small = {"id": "qwen3-4b", "type": "llm", "max_context_length": 40960}
    vision = {
        "id": "qwen2-vl-7b", "type": "vlm", "max_context_length": 32768, "capabilities": ["tool_use"],
    }  # fmt: skip
    server = home(LmStudio, small, vision, loaded=["qwen2-vl-7b"])

    assert learnt(at(server.url)) == ("qwen2-vl-7b", 8192, True, None, True)
    assert learnt(at(server.url, model="qwen3-4b")) == ("qwen3-4b", 40960, False, None, None)


def test_llama_cpp_tells_what_its_one_model_takes(home):
    server = home(LlamaCpp, {"id": "qwen3-8b.gguf", "n_ctx": 16384, "vision": True})

    assert learnt(at(server.url)) == ("qwen3-8b.gguf", 16384, True, False, True)


def test_what_the_owner_declares_is_not_replaced(home):
    server = home(Ollama, GEMMA)

    known = learnt(at(server.url, vision=False, context_length=100_000))

    assert known == ("gemma3:4b", 100_000, False, False, False)


def test_a_model_that_the_owner_names_stays_and_is_learnt_about(home):
    server = home(Ollama, GEMMA, LLAMA, loaded=["gemma3:4b"])

    assert learnt(at(server.url, model="llama3.2"))[0] == "llama3.2"
    assert server.chats == ["llama3.2"]  # the check's own


def test_what_a_server_can_do_is_learnt_once_and_again_when_it_is_back(home):
    server = home(Vllm, dict(QWEN))
    provider = at(server.url)
    check = Check(provider)
    check.run(wanted=True)
    server.models[0]["max_model_len"] = 8192
    check.run(wanted=True)
    assert provider.capabilities.context_length == 40960

    port = server.port
    server.close()
    with pytest.raises(UpstreamError):
        check.run(wanted=True)
    home(Vllm, {"id": "other", "max_model_len": 8192}, port=port)
    check.run(wanted=True)

    assert (provider.model, provider.capabilities.context_length) == ("other", 8192)


def test_a_server_at_home_that_was_started_otherwise_meanwhile_is_learnt_about_anew(home, monkeypatch):
    server = home(Vllm, dict(QWEN))
    provider = at(server.url)
    check = Check(provider)
    check.run(wanted=True)
    server.models[0]["max_model_len"] = 8192
    monkeypatch.setattr(discovery, "RELEARN_S", 0.0)
    monkeypatch.setattr(discovery, "REPEAT_S", 0.0)

    check.run(wanted=True)

    assert provider.capabilities.context_length == 8192


def test_it_is_logged_once_which_model_was_found(home, caplog):
    caplog.set_level(logging.INFO)
    server = home(Ollama, NOMIC, GEMMA, LLAMA)
    provider = at(server.url)
    for _ in range(3):
        learnt(provider)

    [found] = [record for record in caplog.records if record.message == "Model found:"]
    assert found.fields == {"provider": "home", "model": "gemma3:4b", "of": 3}


# At the first request.


def test_the_first_request_finds_the_model_by_itself(home):
    server = home(Vllm, QWEN)

    assert answered_by(at(server.url)) == "by Qwen/Qwen3-32B"
    assert server.requests[-2:] == [("GET", "/v1/models"), ("POST", "/v1/chat/completions")]


def test_many_first_requests_ask_once(home):
    server = home(Vllm, QWEN)
    provider = at(server.url)

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: answered_by(provider), range(8)))

    assert said == ["by Qwen/Qwen3-32B"] * 8
    assert server.asked("/v1/models") == 1


def test_a_server_that_is_down_fails_all_who_wait_at_once():
    provider = at(f"http://127.0.0.1:{unused_port()}/v1")

    for _ in range(2):
        with pytest.raises(ConnectFailed):
            chat(provider)


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_a_round(home, monkeypatch):
    monkeypatch.setattr(survey, "SURVEY_S", 0.2)
    server = home(Vllm, QWEN)
    server.stuck.set()
    provider = at(server.url)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(chat, provider) for _ in range(4)]

        assert all(isinstance(one.exception(HANG_GUARD_S), HeadTimeout) for one in waiting)


def test_a_client_that_goes_while_the_model_is_looked_for_is_let_go(home):
    server = home(Vllm, QWEN)
    server.stuck.set()
    attempt = Attempt(at(server.url), CHAT, ASKED)
    with ThreadPoolExecutor(1) as pool:
        attempt.start(pool)
        await_that(lambda: server.requests, "it was not asked")

        attempt.cancel()

    assert attempt.cancelled and not server.chats


@pytest.mark.parametrize("models, reason", [
    ([], "it has no model yet; `ollama pull` gets one"),
    ([NOMIC], "none of its models is taken by itself: nomic-embed-text:latest; name one"),
    (
        [{"id": "gpt-oss:120b-cloud", "capabilities": ["completion"], "context_length": 1}],
        "none of its models is taken by itself: gpt-oss:120b-cloud; name one",
    ),
], ids=["none", "embedding", "somebody else's"])  # fmt: skip
def test_a_server_without_a_model_to_take_says_why(home, models, reason):
    server = home(Ollama, *models)

    with pytest.raises(UpstreamError) as raised:
        learnt(at(server.url))

    assert raised.value.message == reason


# Where its API is.


@pytest.mark.parametrize("make, models", [(Vllm, [QWEN]), (Ollama, [GEMMA])])
def test_a_root_will_do_as_address(home, make, models):
    server = home(make, *models)

    assert answered_by(at(server.root)) == f"by {models[0]['id']}"
    assert answered_by(at(f"127.0.0.1:{server.port}/")) == f"by {models[0]['id']}"


class AtTheRoot(Vllm):
    """A server whose API has no /v1."""

    def told(self, method, path, body):
        return (
            super().told(method, f"/v1{path}", body) if path == "/models" else self.no_such_path(method, path)
        )

    def chat(self, path, body):
        return (
            super().chat(f"/v1{path}", body)
            if path == "/chat/completions"
            else self.no_such_path("POST", path)
        )


def test_an_api_without_v1_is_found(home, caplog):
    caplog.set_level(logging.INFO)
    server = home(AtTheRoot, QWEN)

    assert answered_by(at(server.root)) == "by Qwen/Qwen3-32B"
    [found] = [record for record in caplog.records if record.message == "Base URL found:"]
    assert found.fields == {"provider": "home", "base_url": server.root}


class BehindAPath:
    """A server behind a reverse proxy."""

    def told(self, method, path, body):
        below = path.removeprefix("/llm")
        return super().told(method, below, body) if below != path else self.no_such_path(method, path)

    def chat(self, path, body):
        return super().chat(path.removeprefix("/llm"), body)


class VllmBehindAPath(BehindAPath, Vllm):
    pass


class OllamaBehindAPath(BehindAPath, Ollama):
    pass


@pytest.mark.parametrize("make, model", [(VllmBehindAPath, QWEN), (OllamaBehindAPath, GEMMA)])
def test_v1_is_found_below_a_path_that_lacks_it(home, make, model):
    server = home(make, model)

    assert answered_by(at(f"{server.root}/llm")) == f"by {model['id']}"
    assert answered_by(at(f"{server.root}/llm/v1")) == f"by {model['id']}"


def test_a_path_that_the_owner_wrote_is_kept(home):
    server = home(AtTheRoot, QWEN)

    with pytest.raises(UpstreamError):
        chat(at(f"{server.root}/v1"))


# A model that is not there.


def test_another_model_than_the_one_found_before_is_gone_on_with(home):
    server = home(Vllm, dict(QWEN))
    provider = at(server.url)
    assert answered_by(provider) == "by Qwen/Qwen3-32B"
    provider.discovery._asked_at = None  # it was a while ago

    server.models[0]["id"] = "mistral"

    assert answered_by(provider) == "by mistral"
    assert provider.model == "mistral"


@pytest.mark.parametrize("make, models, names", [
    (Vllm, [QWEN, {"id": "sql-lora", "parent": "Qwen/Qwen3-32B"}], "Qwen/Qwen3-32B"),
    (Ollama, [NOMIC, GEMMA, LLAMA], "gemma3:4b, llama3.2:latest"),
    (
        LmStudio,
        [{"id": "a", "type": "llm"}, {"id": "b", "type": "vlm"}, {"id": "c", "type": "embeddings"}],
        "a, b",
    ),
], ids=["vllm", "ollama", "lmstudio"])  # fmt: skip
def test_a_wrong_name_answers_with_those_that_the_server_has(home, make, models, names):
    provider = at(home(make, *models).url, model="gpt-99")

    with pytest.raises(ModelMissing) as raised:
        chat(provider)
    with pytest.raises(ModelMissing):
        Check(provider).run(wanted=True)

    assert raised.value.message == f"provider 'home' has no model 'gpt-99'; it has {names}"
    assert raised.value.may_go_on


def test_a_model_that_is_served_although_it_is_not_listed_is_well(home):
    server = home(LlamaCpp, {"id": "qwen3-8b.gguf", "n_ctx": 16384, "vision": False})

    Check(at(server.url, model="any-name")).run(wanted=True)

    assert server.chats == ["any-name"]


def test_a_path_that_is_not_there_is_not_blamed_on_the_model(home):
    server = home(Vllm, QWEN)

    with pytest.raises(UpstreamStatus) as raised:
        Attempt(at(server.url, model=QWEN["id"]), "/nowhere", ASKED).head()

    assert raised.value.status == 404


def test_a_cloud_is_asked_for_its_list_and_for_no_token(monkeypatch):
    monkeypatch.setattr(survey, "is_at_home", lambda host: False)
    cloud = FakeUpstream()
    provider = at(cloud.url, model="grok", home=False, api_key="secret")
    try:
        Check(provider).run(wanted=True)

        assert not cloud.requests  # of calls that cost something
        assert provider.discovery.server.make == ""
    finally:
        cloud.close()


def test_a_stopped_check_ends_while_it_learns(home):
    server = home(Vllm, QWEN)
    server.stuck.set()
    check = Check(at(server.url))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(check.run, True)
        await_that(lambda: server.requests, "it was not asked")

        check.cancel()

        assert isinstance(running.exception(HANG_GUARD_S), Cancelled)


def test_a_name_is_resolved_before_anything_is_asked():
    provider = at("http://no-such-host.internal:8000/v1")

    with pytest.raises(ConnectFailed):
        provider.discovery.ensure(CancelToken())


# As a client and the owner see it.


@pytest.fixture
def served(tmp_path):
    """Serve one provider alone, as an owner's file has it, and a judge that finds everything easy."""
    judge = FakeUpstream("judge")
    judge.streams("SIMPLE")
    classifier = {"backend": "openai", "base_url": judge.url, "model": "judge"}
    with contextlib.ExitStack() as stack:
        yield lambda **mine: stack.enter_context(
            serving(tmp_path, {"classifier": classifier, "providers": {"mine": {"kind": "openai", **mine}}})
        )
    judge.close()


def asked_for(app, model="auto"):
    return app.post("/v1/chat/completions", {**ASKED, "model": model})


def listed(app):
    return [
        model["id"] for model in requests.get(f"{app.url}/v1/models", timeout=HANG_GUARD_S).json()["data"]
    ]


def test_one_address_is_a_provider(home, served):
    server = home(Ollama, NOMIC, GEMMA)

    app = served(base_url=server.root)

    assert asked_for(app).json()["choices"][0]["message"]["content"] == "by gemma3:4b"
    assert listed(app)[-1] == "gemma3:4b"
    by_name = asked_for(app, "gemma3:4b")
    assert (by_name.headers["X-Decision"], by_name.headers["X-Provider"]) == ("PINNED", "mine")


def test_a_server_that_comes_up_later_is_found_then(home, served):
    port = unused_port()
    app = served(base_url=f"http://127.0.0.1:{port}")
    assert asked_for(app).status_code == 503
    assert requests.get(f"{app.url}/livez", timeout=HANG_GUARD_S).ok

    home(Vllm, QWEN, port=port)

    await_that(lambda: asked_for(app).ok, "it was not found")
    assert listed(app)[-1] == QWEN["id"]


def test_a_wrong_model_is_named_with_the_right_ones_to_client_and_owner(home, served):
    server = home(Vllm, QWEN, {"id": "mistral"})
    app = served(base_url=server.root, model="gpt-99")
    known = "has no model 'gpt-99'; it has Qwen/Qwen3-32B, mistral"

    health = requests.get(f"{app.url}/health?fresh=1", timeout=HANG_GUARD_S).json()["providers"]["mine"]
    answer = asked_for(app)

    assert (health["status"], health["error"]) == ("unhealthy", known)
    assert answer.status_code == 503
    assert known in answer.json()["error"]["message"]
    assert known in app.log_text()
