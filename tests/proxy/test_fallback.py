"""Never stuck and never silent: who of a chain answers, and what the client is told of those who do not.

Over the APIs of OpenAI, Anthropic and Ollama, whole and streamed.
"""

import json

import pytest

from tests.support.anthropic_api import END, START, event
from tests.support.fake_upstream import data_event
from tests.support.in_process import serving
from tests.support.scripted import scripted_config
from tests.support.server import streamed_text, unused_port
from tests.support.waiting import await_that
from upstream.breaker import Breaker

TOO_LONG = "This model's maximum context length is 8192 tokens. However, your prompt has 9000."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
APIS = ("/v1/chat/completions", "/v1/messages", "/api/chat")
MODES = ("whole", "streamed")
NOTHING = {
    "an end alone": [("role",), ("finish", "stop")],
    "no end either": [("role",)],
    "blank pieces": [("role",), ("token", ""), ("finish", "stop")],
    "a proper end of the connection": [("finish", "stop"), ("close",)],
}
NOTHING_WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]
}


@pytest.fixture(scope="module")
def served(upstreams, tmp_path_factory):
    config = scripted_config(**upstreams)
    config["server"] = {"cors_origins": ["https://chat.home"]}
    config["providers"]["dead"] = {
        "kind": "openai",
        "base_url": f"http://127.0.0.1:{unused_port()}/v1",
        "model": "dead",
    }
    narrow = {**config["providers"]["main"], "max_concurrent": 1}
    config["providers"] |= {"narrow": narrow, "narrow-too": {**narrow, "model": "n-model"}}
    config["providers"]["textual"] = {**config["providers"]["main"], "vision": False, "audio": False}
    config["providers"]["short"] = {**config["providers"]["main"], "context_length": 1000}
    config["providers"]["toolless"] = {**config["providers"]["main"], "tools": False}
    config["providers"]["local"] = {"kind": "mlx", "model": "builtin"}
    config["routes"] |= {
        "textual": {"chain": ["textual", "backup"]},
        "textual-alone": {"chain": ["off", "textual", "local"]},
        "short": {"chain": ["short", "backup"]},
        "toolless": {"chain": ["toolless", "cloud"]},
        "main-local": {"chain": ["main", "local"]},
        "local-backup": {"chain": ["local", "backup"]},
        "off-first": {"chain": ["off", "dead", "main"]},
        "main-alone": {"chain": ["main"]},
        "there": {"chain": ["narrow", "narrow-too", "backup"]},
    }
    with serving(tmp_path_factory.mktemp("fallback"), config) as headstart:
        yield headstart


def ask(served, api=APIS[0], mode="whole", model="primary", **more):
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": mode == "streamed"}
    if api == "/v1/messages":
        body["max_tokens"] = 100
    return served.post(api, {**body, **more}, headers={"Origin": "https://chat.home"})


def text_of(reply):
    """What an answer says, in whatever API."""
    kind = reply.headers["Content-Type"]
    if "ndjson" in kind:
        return "".join(json.loads(line)["message"]["content"] for line in reply.text.splitlines())
    if "event-stream" not in kind:
        answer = reply.json()
        if "choices" in answer:
            return answer["choices"][0]["message"]["content"] or ""
        if "content" in answer:
            return "".join(block.get("text", "") for block in answer["content"])
        return answer["message"]["content"]
    if "event: message_start" in reply.text:
        pieces = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
        return "".join(json.loads(piece).get("delta", {}).get("text", "") for piece in pieces)
    return streamed_text(reply)


def message_of(reply):
    """An error's words, in whatever API."""
    error = reply.json()["error"]
    return error if isinstance(error, str) else error["message"]


def session_of(served, reply):
    name = f"*_{reply.headers['X-Session-Id']}.json"
    await_that(lambda: any((served.folder / "sessions").glob(name)), "it has no session file")
    return json.loads(next((served.folder / "sessions").glob(name)).read_text())


def standing(served, provider):
    return {
        key: served.services.providers[provider].breaker.snapshot()[key]
        for key in ("breaker", "consecutive_failures")
    }


every_api = pytest.mark.parametrize("api", APIS)
both = pytest.mark.parametrize("mode", MODES)


# What is told.


@both
@every_api
def test_an_answer_by_a_fallback_says_so_and_why(served, primary, backup, api, mode):
    primary.refuses(503, "out of memory")
    backup.streams("I am", " here")

    reply = ask(served, api, mode)

    assert (reply.status_code, text_of(reply)) == (200, "I am here")
    assert reply.headers["X-Degraded"] == "main: answered 503"
    assert reply.headers["Access-Control-Expose-Headers"] == "*"
    session = session_of(served, reply)
    assert session["degraded"] == "main: answered 503"
    assert session["passed_over"] == [{"provider": "main", "reason": "failed", "detail": "answered 503"}]
    [line] = [
        line for line in served.log_text().splitlines() if f"Passed over: session={session['id']}" in line
    ]
    assert line.endswith(" route=primary providers=main:failed")


@both
@every_api
def test_an_answer_by_the_first_of_the_chain_says_nothing(served, primary, api, mode):
    primary.streams("I am", " here")

    reply = ask(served, api, mode)

    assert text_of(reply) == "I am here"
    assert "X-Degraded" not in reply.headers
    session = session_of(served, reply)
    assert (session["degraded"], session["passed_over"]) == (None, [])
    assert f"Passed over: session={session['id']}" not in served.log_text()


def test_all_who_were_passed_over_are_told_in_their_order(served, primary):
    reply = ask(served, model="off-first")

    assert reply.headers["X-Degraded"] == "off: disabled"
    session = session_of(served, reply)
    off, dead = session["passed_over"]
    assert off == {"provider": "off", "reason": "disabled", "detail": "base_url is not set"}
    assert dead["reason"] in ("unreachable", "resting")  # the background may have found out before
    assert (dead["provider"], dead["detail"]) == ("dead", "connection refused")
    line = (
        f"Passed over: session={session['id']} route=off-first providers=off:disabled,dead:{dead['reason']}\n"
    )
    assert line in served.log_text()


def test_an_error_of_the_whole_chain_tells_all_of_it(served, primary):
    primary.refuses(500)

    reply = ask(served, model="off-first")

    assert reply.status_code == 503
    assert "X-Degraded" not in reply.headers
    assert [one["provider"] for one in session_of(served, reply)["passed_over"]] == ["off", "dead", "main"]


def test_a_speculation_by_a_fallback_says_so(served, upstreams, primary, backup, judge, tmp_path):
    config = scripted_config(**upstreams)
    config["routes"]["primary"]["chain"] = ["off", "main", "backup"]

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, model="auto")

    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("adopted", "main")
    assert reply.headers["X-Degraded"] == "off: disabled"


def test_over_budget_is_a_reason(upstreams, judge, cloud, primary, tmp_path):
    config = scripted_config(**upstreams)
    config["budgets"] = {"daily_usd": 0}
    judge.streams("COMPLEX")

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, model="auto")
        session = session_of(headstart, reply)

    assert reply.headers["X-Provider"] == "main"
    assert (reply.headers["X-Budget"], reply.headers["X-Degraded"]) == ("exhausted", "budget")
    assert session["passed_over"] == [{"provider": "cloud", "reason": "over_budget"}]
    assert not cloud.requests


def test_over_budget_nobody_searches_and_the_model_is_told(upstreams, judge, cloud, primary, tmp_path):
    config = scripted_config(**upstreams)
    config["budgets"] = {"daily_usd": 0}
    judge.streams("ENRICH")

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, model="auto")
        session = session_of(headstart, reply)

    assert reply.headers["X-Degraded"] == "no-search"
    assert session["passed_over"] == [{"provider": "cloud", "reason": "over_budget", "for": "search"}]
    assert "You have no live information" in primary.last.messages[0]["content"]
    assert not cloud.requests


def test_a_provider_at_rest_is_told_with_its_reason(served, primary, backup):
    primary.refuses(429, "slow down", headers={"Retry-After": "600"})
    ask(served, model="there")

    reply = ask(served, model="there")

    assert reply.headers["X-Degraded"] == "narrow: resting (answered 429, asked for 600 s of rest)"
    rest = served.services.providers["narrow"].breaker
    rest._until = 0.0  # it is over: other tests need this provider


@both
@every_api
def test_with_nobody_to_search_the_model_is_told_and_so_is_the_client(
    upstreams, tmp_path, judge, primary, api, mode
):
    config = scripted_config(**upstreams)
    config["routes"]["enrich"] = {"answer": "primary"}
    judge.streams("ENRICH")

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, api, mode, model="auto")
        session = session_of(headstart, reply)
        log = headstart.log_text()

    assert (reply.status_code, text_of(reply), reply.headers["X-Degraded"]) == (200, "ok", "no-search")
    assert "You have no live information" in json.dumps(primary.last.messages)
    assert (session["degraded"], session["passed_over"]) == ("no-search", [])
    assert f"Passed over: session={session['id']} route=enrich search=nobody\n" in log


def test_without_search_and_by_a_fallback_is_told_together(upstreams, tmp_path, judge, primary, backup):
    config = scripted_config(**upstreams)
    config["routes"]["enrich"] = {"answer": "primary"}
    judge.streams("ENRICH")
    primary.refuses(503)

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, model="auto")

    assert reply.headers["X-Degraded"] == "no-search; main: answered 503"


# What a provider cannot do.


@both
@every_api
def test_a_prompt_too_long_for_one_goes_to_the_next(served, primary, backup, api, mode):
    primary.refuses(400, TOO_LONG, code="context_length_exceeded")
    backup.streams("I am", " here")

    before = standing(served, "main")
    reply = ask(served, api, mode)

    assert (reply.status_code, text_of(reply)) == (200, "I am here")
    assert reply.headers["X-Degraded"] == "main: context too long"
    session = session_of(served, reply)
    assert session["passed_over"][0]["reason"] == "context_too_long"
    assert [(step["provider"], step["status"], step["error"]) for step in session["steps"]] == [
        ("main", 400, TOO_LONG),
        ("backup", 200, None),
    ]
    assert standing(served, "main") in (before, {**before, "consecutive_failures": 0})


@both
@every_api
def test_where_nobody_else_can_the_refusal_is_passed_back(served, primary, backup, api, mode):
    primary.refuses(400, TOO_LONG, code="context_length_exceeded")
    backup.refuses(400, "prompt is too long: 9000 tokens > 4096 maximum")

    reply = ask(served, api, mode)

    assert (reply.status_code, message_of(reply)) == (400, TOO_LONG)
    assert reply.headers["X-Provider"] == "main"
    assert [len(primary.requests), len(backup.requests)] == [1, 1]
    session = session_of(served, reply)
    assert session["error"] == TOO_LONG
    assert [step["provider"] for step in session["steps"]] == ["main", "backup"]


def test_the_refusal_of_a_provider_that_was_named_is_passed_back(served, primary, backup):
    primary.refuses(400, TOO_LONG, code="context_length_exceeded")

    reply = ask(served, model="p-model")

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert not backup.requests


@both
def test_a_speculation_that_is_refused_is_not_asked_again(served, primary, backup, judge, mode):
    primary.refuses(400, TOO_LONG)

    reply = ask(served, mode=mode, model="auto")

    assert text_of(reply) == "ok"
    assert (reply.headers["X-Speculation"], reply.headers["X-Provider"]) == ("failed", "backup")
    assert reply.headers["X-Degraded"] == "main: context too long"
    assert len(primary.requests) == 1


def test_a_refused_speculation_is_the_answer_where_nobody_else_can(served, primary, backup, judge):
    primary.refuses(400, TOO_LONG)
    backup.refuses(500)

    reply = ask(served, model="auto")

    assert (reply.status_code, message_of(reply)) == (400, TOO_LONG)
    assert len(primary.requests) == 1


def test_a_refusal_within_a_stream_goes_on_too(served, primary, backup):
    primary.runs(
        ("raw", b"event: error\n" + data_event({"error": {"message": "Model does not support images."}}))
    )

    before = standing(served, "main")
    reply = ask(served)

    assert reply.headers["X-Degraded"] == "main: cannot see pictures"
    assert standing(served, "main") in (before, {**before, "consecutive_failures": 0})


def test_any_other_refusal_is_the_clients(served, primary, backup):
    primary.refuses(400, "temperature must be at most 2")

    reply = ask(served)

    assert (reply.status_code, message_of(reply)) == (400, "temperature must be at most 2")
    assert not backup.requests


# Who is known not to be able.


def seeing(api, words="what is this?"):
    """A message with a picture, as the API has it."""
    if api == "/api/chat":
        return {"messages": [{"role": "user", "content": words, "images": [PIXEL]}]}
    if api == "/v1/messages":
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        parts = [{"type": "text", "text": words}, {"type": "image", "source": source}]
    else:
        url = {"url": f"data:image/png;base64,{PIXEL}"}
        parts = [{"type": "text", "text": words}, {"type": "image_url", "image_url": url}]
    return {"messages": [{"role": "user", "content": parts}]}


@both
@every_api
def test_a_picture_goes_to_who_can_see_and_nobody_else_is_asked(served, primary, backup, api, mode):
    backup.streams("a", " dot")

    reply = ask(served, api, mode, "textual", **seeing(api))

    assert (reply.status_code, text_of(reply)) == (200, "a dot")
    assert reply.headers["X-Degraded"] == "textual: cannot see pictures"
    assert session_of(served, reply)["passed_over"] == [{"provider": "textual", "reason": "no_vision"}]
    assert not primary.requests


@both
@every_api
def test_a_picture_that_nobody_can_see_is_an_error_that_names_them_all(served, primary, api, mode):
    reply = ask(served, api, mode, "textual-alone", **seeing(api))

    assert reply.status_code == 400
    assert message_of(reply) == (
        "no provider of route 'textual-alone' can see pictures: off (disabled, base_url is not set), "
        "textual (text only), local (text only); its chain needs a model that can"
    )
    assert not primary.requests
    told = [(one["provider"], one["reason"]) for one in session_of(served, reply)["passed_over"]]
    assert told == [("off", "disabled"), ("textual", "no_vision"), ("local", "no_vision")]


def test_a_picture_for_a_home_that_refuses_it_does_not_end_as_the_embedded_models_complaint(served, primary):
    primary.refuses(400, "p-model is not a multimodal model")

    reply = ask(served, model="main-local", **seeing(APIS[0]))

    assert (reply.status_code, message_of(reply)) == (400, "p-model is not a multimodal model")


@both
def test_nobody_speculates_on_who_will_be_passed_over(upstreams, tmp_path, primary, backup, judge, mode):
    config = scripted_config(**upstreams)
    config["providers"]["main"]["vision"] = False

    with serving(tmp_path, config) as headstart:
        reply = ask(headstart, mode=mode, model="auto", **seeing(APIS[0]))

    assert (text_of(reply), reply.headers["X-Provider"]) == ("ok", "backup")
    assert (reply.headers["X-Speculation"], reply.headers["X-Degraded"]) == (
        "adopted",
        "main: cannot see pictures",
    )
    assert not primary.requests


def test_sound_goes_to_who_can_hear(served, primary, backup):
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}

    reply = ask(served, model="textual", messages=[{"role": "user", "content": [sound]}])

    assert (reply.headers["X-Degraded"], len(primary.requests)) == ("textual: cannot hear audio", 0)


@both
@every_api
def test_a_prompt_that_can_never_fit_is_not_sent(served, primary, backup, api, mode):
    long = {"messages": [{"role": "user", "content": "word " * 2000}]}

    reply = ask(served, api, mode, "short", **long)

    assert (text_of(reply), reply.headers["X-Degraded"]) == ("ok", "short: context too long")
    assert session_of(served, reply)["passed_over"] == [
        {
            "provider": "short",
            "reason": "context_too_long",
            "detail": "the prompt is too long for its context of 1000 tokens",
        }
    ]
    assert not primary.requests


def test_a_prompt_that_might_fit_is_sent(served, primary, backup):
    primary.refuses(400, TOO_LONG)

    reply = ask(served, model="short", messages=[{"role": "user", "content": "word " * 1000}])

    assert (text_of(reply), len(primary.requests)) == ("ok", 1)


TOOLS = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]


def test_tools_that_are_only_offered_leave_a_chat_at_home(served, primary, cloud):
    reply = ask(served, model="toolless", tools=TOOLS)

    assert (reply.headers["X-Provider"], "X-Degraded" in reply.headers) == ("toolless", False)
    assert primary.last.body["tools"] == TOOLS


def test_a_home_that_refuses_them_is_passed_over(served, primary, cloud):
    primary.refuses(400, "registry.ollama.ai/library/gemma3:4b does not support tools")

    reply = ask(served, model="toolless", tools=TOOLS)

    assert (reply.headers["X-Provider"], reply.headers["X-Degraded"]) == (
        "cloud",
        "toolless: cannot use tools",
    )


def test_a_tool_that_must_be_called_goes_to_who_can(served, primary, cloud):
    reply = ask(served, model="toolless", tools=TOOLS, tool_choice="required")

    assert (reply.headers["X-Provider"], len(primary.requests)) == ("cloud", 0)


@pytest.fixture
def well_engine(served, monkeypatch):
    """The embedded engine is taken to be well, although none runs here."""
    monkeypatch.setattr(served.services.providers["local"], "breaker", Breaker("local"))


def test_what_the_embedded_engine_cannot_do_goes_on(served, backup, well_engine):
    reply = ask(served, model="local-backup", n=2)

    assert (reply.status_code, reply.headers["X-Degraded"]) == (200, "local: not supported")


def test_what_is_wrong_for_anybody_does_not(served, backup, well_engine):
    reply = ask(served, model="local-backup", temperature="warm")

    assert (reply.status_code, message_of(reply)) == (400, "must be a number")
    assert not backup.requests


# Empty answers.


@both
@every_api
@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
def test_after_an_empty_answer_the_next_is_asked(served, primary, backup, nothing, api, mode):
    primary.runs(*nothing)
    backup.streams("I am", " here")

    before = standing(served, "main")
    reply = ask(served, api, mode)

    assert (reply.status_code, text_of(reply)) == (200, "I am here")
    assert reply.headers["X-Degraded"] == "main: empty answer"
    assert [step["error"] for step in session_of(served, reply)["steps"]] == ["its answer was empty", None]
    assert standing(served, "main") in (before, {**before, "consecutive_failures": 0})


@both
def test_an_empty_answer_in_one_piece_is_one_too(served, primary, backup, mode):
    primary.answers(NOTHING_WHOLE)

    reply = ask(served, mode=mode)

    assert (text_of(reply), reply.headers["X-Provider"]) == ("ok", "backup")


@both
@every_api
@pytest.mark.parametrize("model", ["primary", "auto", "main-alone", "p-model"])
def test_where_nobody_has_a_better_one_the_empty_answer_is_passed_on(
    served, primary, backup, judge, api, mode, model
):
    primary.runs(*NOTHING["an end alone"])
    backup.refuses(500)

    reply = ask(served, api, mode, model)

    assert (reply.status_code, text_of(reply)) == (200, "")
    assert reply.headers["X-Provider"] == "main"
    assert reply.headers["X-Speculation"] == ("adopted" if model == "auto" else "off")
    assert "X-Degraded" not in reply.headers
    assert len(primary.requests) == 1


@pytest.mark.parametrize(
    "steps",
    [
        [("role",), ("finish", "length")],
        [("role",), ("finish", "content_filter")],
        [("delta", {"refusal": "I will not."}), ("finish", "stop")],
        [("delta", {"reasoning_content": "Hm."}), ("finish", "stop")],
        [("delta", {"tool_calls": [{"index": 0, "id": "1", "type": "function"}]}), ("finish", "stop")],
    ],
    ids=["no room", "filtered", "refusal", "thought", "tool call"],
)
def test_an_answer_without_text_need_not_be_empty(served, primary, backup, steps):
    primary.runs(*steps)

    reply = ask(served)

    assert (reply.status_code, reply.headers["X-Provider"]) == (200, "main")
    assert not backup.requests


def test_what_ends_at_the_clients_stop_words_may_be_empty(served, primary, backup):
    primary.runs(*NOTHING["an end alone"])

    assert ask(served, stop=["\n"]).headers["X-Provider"] == "main"


def test_a_text_completion_may_be_empty(served, primary, backup):
    primary.runs(("raw", data_event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})))

    reply = served.post("/v1/completions", {"model": "primary", "prompt": "def f("})

    assert (reply.status_code, reply.headers["X-Provider"]) == (200, "main")


def test_an_empty_answer_gives_its_place_back_while_the_next_is_asked(served, primary, backup):
    primary.runs(*NOTHING["an end alone"])

    reply = ask(served, model="there")

    assert reply.headers["X-Provider"] == "backup"
    assert [served.services.providers[name].admission.running for name in ("narrow", "narrow-too")] == [0, 0]


def test_a_connection_survives_an_empty_answer(served, primary, backup):
    primary.runs(*NOTHING["an end alone"])

    for _ in range(3):
        ask(served)

    assert len({asked.connection for asked in primary.requests}) == 1


# A provider that speaks the client's own API.

EMPTY_MESSAGE = (
    START,
    event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
    event({"type": "message_stop"}),
    END,
)
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
JUST_A_SEARCH = (
    START,
    event({"type": "content_block_start", "index": 0, "content_block": SEARCH}),
    event({"type": "content_block_stop", "index": 0}),
    *EMPTY_MESSAGE[1:],
)


@pytest.fixture(scope="module")
def bilingual(upstreams, claude_upstream, tmp_path_factory):
    """A Headstart whose first provider speaks the Messages API."""
    config = scripted_config(**upstreams)
    config["providers"]["claude"] = {
        "kind": "anthropic",
        "base_url": claude_upstream.url,
        "model": "claude-x",
        "api_key": "sk-ant-1",
    }
    config["routes"] |= {"claude": {"chain": ["claude", "main"]}, "claude-alone": {"chain": ["claude"]}}
    with serving(tmp_path_factory.mktemp("bilingual"), config) as headstart:
        yield headstart


@both
@every_api
def test_an_empty_message_goes_on_to_the_next(bilingual, claude, primary, api, mode):
    claude.runs(*EMPTY_MESSAGE)
    primary.streams("I am", " here")

    reply = ask(bilingual, api, mode, "claude")

    assert (text_of(reply), reply.headers["X-Degraded"]) == ("I am here", "claude: empty answer")


@both
@every_api
def test_an_empty_message_is_passed_on_where_nobody_has_a_better_one(bilingual, claude, api, mode):
    claude.runs(*EMPTY_MESSAGE)

    reply = ask(bilingual, api, mode, "claude-alone")

    assert (reply.status_code, text_of(reply), reply.headers["X-Provider"]) == (200, "", "claude")


@both
def test_a_message_that_only_its_own_api_can_say_is_not_empty(bilingual, claude, primary, mode):
    claude.runs(*JUST_A_SEARCH)

    reply = ask(bilingual, "/v1/messages", mode, "claude")

    assert (reply.status_code, reply.headers["X-Provider"]) == (200, "claude")
    assert "srvtoolu_1" in reply.text


@both
@every_api
def test_a_message_too_long_for_one_goes_to_the_next(bilingual, claude, primary, api, mode):
    too_long = "prompt is too long: 210000 tokens > 200000 maximum"
    error = {"type": "invalid_request_error", "message": too_long}
    claude.answers({"type": "error", "error": error}, status=400)

    reply = ask(bilingual, api, mode, "claude")

    assert (text_of(reply), reply.headers["X-Degraded"]) == ("ok", "claude: context too long")
