"""The real model in its real process, under its real supervisor: `make test` has prepared it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.guard import checked
from engine.state import DOWN, EngineDown, EngineState
from errors import BadRequest
from tests.support.engine import FRANCE, READY_S, Running
from tests.support.server import ROOT
from tests.support.waiting import await_that


def has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_capital_of_france_is_paris(real):
    text, finish_reason, _ = real.answer(messages=FRANCE)

    assert text == "The capital of France is Paris."
    assert finish_reason == "stop"


def test_usage_is_counted_when_asked_for(real):
    _, _, events = real.answer(messages=FRANCE, max_tokens=3, stream_options={"include_usage": True})

    assert events[-1]["usage"]["prompt_tokens"] == 37
    assert events[-1]["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("stop", "before_it"),
    [
        ("apit", "The c"),
        (" France", "The capital of"),
        (" France is", "The capital of"),
        ("of Fra", "The capital "),
        ("is.\n", "The capital of France is Paris."),
    ],
    ids=["in a token", "a token", "two tokens", "across tokens", "begun at the end"],
)
def test_a_stop_word_ends_the_answer_before_it_wherever_it_falls(real, stop, before_it):
    text, finish_reason, _ = real.answer(messages=FRANCE, stop=["never said", stop])

    assert text == before_it
    assert finish_reason == "stop"


def test_logprobs_come_with_the_stream_one_for_each_token(real):
    _, _, events = real.answer(messages=FRANCE, max_tokens=4, logprobs=True, top_logprobs=2)

    tokens = [token for event in events for token in event["choices"][0]["logprobs"]["content"]]
    assert [token["token"] for token in tokens] == ["The", " capital", " of", " France"]
    assert all(
        token["top_logprobs"][0]["token"] == token["token"] and token["logprob"] <= 0 for token in tokens
    )


@pytest.mark.parametrize(
    "messages",
    [
        [
            {"role": "system", "content": "a"},
            {"role": "system", "content": "b"},
            {"role": "user", "content": ""},
        ],
        [{"role": "assistant", "content": "I begin"}],
        [{"role": "tool", "tool_call_id": "x", "content": "42"}],
        [
            *FRANCE,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": ""}}],
            },
        ],
        [*FRANCE, {"role": "assistant", "content": "Paris"}, {"role": "assistant", "content": "indeed"}],
        [
            {"role": "developer", "content": [{"type": "text", "text": "<|im_end|>\x00\ud800"}]},
            {"role": "user", "content": "😀" * 20},
        ],
    ],
    ids=[
        "two systems",
        "assistant last",
        "tool alone",
        "call without content",
        "assistant twice",
        "odd characters",
    ],
)
def test_conversations_of_odd_shape_are_answered(real, messages):
    _, finish_reason, _ = real.answer(messages=messages, max_tokens=2)

    assert finish_reason in ("length", "stop")


KILLERS = [
    ("/v1/chat/completions", {"messages": FRANCE, "stop": [1]}),
    ("/v1/completions", {"prompt": ""}),
    ("/v1/chat/completions", {"messages": FRANCE, "logit_bias": {"99999999": 1}}),
    ("/v1/chat/completions", {"messages": FRANCE, "temperature": 10**40}),
    (
        "/v1/chat/completions",
        {"messages": FRANCE, "temperature": 1, "xtc_probability": 0.5, "xtc_threshold": 0.9},
    ),
    ("/v1/chat/completions", {"messages": FRANCE, "top_logprobs": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 20_000}]}),
]


@pytest.mark.parametrize(
    ("path", "body"),
    KILLERS,
    ids=["stop", "empty prompt", "logit_bias", "temperature", "xtc", "top_logprobs", "20,000 tokens"],
)
def test_a_body_that_ends_mlx_lm_server_is_refused_even_if_it_slips_past_the_guard(real, path, body):
    pid = real.engine.pid

    status, raw = real.ask({"model": "default_model", "max_tokens": 1, **body}, path)

    assert (status, "error" in json.loads(raw)) == (400, True)
    assert real.answer(messages=FRANCE, max_tokens=2)[0] == "The capital"
    assert real.engine.pid == pid


@pytest.mark.parametrize(
    ("path", "body"), KILLERS[:2] + KILLERS[3:5], ids=["stop", "empty prompt", "temperature", "xtc"]
)
def test_the_guard_refuses_what_it_can_tell_without_the_model(path, body):
    with pytest.raises(BadRequest):
        checked(body)


def test_more_candidates_than_tokens_means_all_of_them(real):
    pid = real.engine.pid

    _, finish_reason, _ = real.answer(messages=FRANCE, max_tokens=2, top_k=99_999_999, temperature=1.0)

    assert finish_reason == "length"
    assert real.engine.pid == pid


@pytest.mark.parametrize(
    ("prompt", "waits_for_a_line", "most_steps"),
    [("Once upon a time", True, 500), ("word " * 4_000, False, 8)],
    ids=["while it answers", "in a prefill of 16 steps"],
)
def test_the_engine_stops_working_for_a_client_that_hung_up(real, prompt, waits_for_a_line, most_steps):
    connection, before = real.connection(), real.progress()
    connection.request(
        "POST", "/v1/completions", json.dumps(checked({"prompt": prompt, "max_tokens": 1500, "stream": True}))
    )
    if waits_for_a_line:
        connection.getresponse().readline()
    connection.close()
    own_steps = []

    def is_alone():
        start = real.progress()
        real.answer(messages=FRANCE, max_tokens=6)
        own_steps.append(real.progress() - start)
        return own_steps[-1] <= 8  # 6 tokens and its prefill; a neighbour would have had as many

    await_that(is_alone, "the abandoned generation never ended", within_s=60)

    assert real.progress() - before - own_steps[-1] < most_steps


def test_a_killed_engine_is_started_again_and_answers(real):
    first = real.engine

    os.kill(first.pid, signal.SIGKILL)
    await_that(lambda: real.state.read().pid != first.pid, "the death went unnoticed", within_s=60)
    text, _, _ = real.answer(messages=FRANCE)

    assert real.engine.base_url != first.base_url
    assert text == "The capital of France is Paris."


def test_a_model_that_cannot_be_loaded_is_down_with_the_loaders_own_words(tmp_path):
    (tmp_path / "empty").mkdir()
    running = Running(tmp_path, tmp_path / "empty")

    with pytest.raises(EngineDown) as caught:
        running.state.wait_ready(READY_S)
    running.stop()

    assert "config.json" in str(caught.value)


def test_the_supervisor_tells_the_end_and_takes_the_engine_along_on_sigterm(tmp_path):
    running = Running(tmp_path)
    pid = running.engine.pid

    running.supervisor.send_signal(signal.SIGTERM)

    assert running.supervisor.wait(30) == 0
    assert has_ended(pid)
    assert running.state.read().state == DOWN
    running.supervisor.stdin.close()


def test_all_end_when_their_parent_is_killed(tmp_path):
    state = EngineState(tmp_path / "local.json")
    parent_program = f"""
from pathlib import Path
from engine import supervisor
child = supervisor.spawn(Path({str(tmp_path)!r}), {{"local": "builtin"}})
print(child.pid, flush=True)
child.wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_program], stdout=subprocess.PIPE, cwd=ROOT)
    supervisor_pid = int(parent.stdout.readline())
    engine_pid = state.wait_ready(READY_S).pid

    parent.kill()
    parent.wait()

    await_that(
        lambda: has_ended(supervisor_pid) and has_ended(engine_pid),
        "a child outlived its parent",
        within_s=60,
    )
    parent.stdout.close()
