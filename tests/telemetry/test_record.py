"""What is written down of a request: the lines of app.log, and its session file."""

import base64
import json
import os
import queue
import re
import signal
import stat
import sys
import threading
import time
from datetime import datetime, timedelta

import pytest
import requests

from session_logger import SessionLogger, clean, remove_unfinished
from settings import model as settings_of
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server, streamed_text
from wire.raw_json import RawJSON, dumps

STAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
HELLO = [{"role": "user", "content": "hello"}]
SEARCHED = {
    "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "It rains.", "annotations": []}]}
    ],
    "usage": {"input_tokens": 9, "output_tokens": 3},
}
KEYS = [
    "id", "timestamp", "client_ip", "key", "api", "model", "stream", "user_query", "client_messages",
    "decision", "route", "confidence", "probabilities", "classification_raw", "classification_ms",
    "speculation", "passed_over", "degraded", "steps", "ttft_ms", "total_ms", "status", "usage", "cost_usd",
    "error",
]  # fmt: skip
STEP_KEYS = [
    "step", "provider", "url", "model", "messages_sent", "params", "started_ms", "duration_ms", "ttft_ms",
    "status", "finish_reason", "usage", "response_content", "error",
]  # fmt: skip


def lines_of(server, session):
    """The lines of app.log that name a session, without their time, once its REQUEST line is there."""
    server.log_line(rf" REQUEST session={session} ")
    return [re.sub(STAMP, "", line) for line in server.log_text().splitlines() if session in line]


def matches(pattern, line):
    assert re.fullmatch(pattern, line), f"{line!r} is not like {pattern!r}"


# app.log


def test_the_lines_of_a_whole_answer(headstart, judge):
    session = headstart.chat("hello").headers["X-Session-Id"]
    headstart.session(session)
    headstart.log_line(f"Session saved: {session}")

    incoming, response, request, saved = lines_of(headstart, session)

    assert incoming == (
        f"INFO Incoming request: session={session} client=127.0.0.1 model=auto "
        "messages=1 total_chars=5 stream=False"
    )
    matches(
        rf"INFO Provider response: primary session={session} provider=main status=200 "
        r"duration_ms=\d+ finish_reason=stop stream=false speculative=true",
        response,
    )
    matches(
        rf"INFO REQUEST session={session} client=127\.0\.0\.1 decision=MODERATE route=primary "
        r"provider=main speculation=adopted classification_ms=\d+ inference_ms=\d+ "
        r"ttft_ms=\d+ total_ms=\d+ status=200 stream=False",
        request,
    )
    matches(rf"INFO Session saved: {session} write_ms=\d+ cleanup_ms=\d+", saved)


def test_the_lines_of_a_streamed_answer(headstart, judge):
    session = headstart.chat("hello", stream=True).headers["X-Session-Id"]

    incoming, response, request, *_ = lines_of(headstart, session)

    assert incoming.endswith("stream=True")
    matches(
        rf"INFO Provider response: primary session={session} provider=main status=200 "
        r"connect_ms=\d+ ttft_ms=\d+ stream=true speculative=true",
        response,
    )
    matches(
        rf"INFO REQUEST session={session} client=127\.0\.0\.1 decision=MODERATE route=primary "
        r"provider=main speculation=adopted classification_ms=\d+ inference_ms=\d+ "
        r"ttft_ms=\d+ total_ms=\d+ status=200 stream=True",
        request,
    )


def test_the_line_of_a_classification(headstart, judge):
    judge.streams("SIMPLE")

    headstart.chat("hi")

    matches(
        STAMP + r"INFO Classification completed: SIMPLE -> primary in \d+ms confidence=- source=j-model",
        headstart.log_line("SIMPLE -> primary"),
    )


def test_the_lines_of_an_enriched_answer(headstart, cloud, judge):
    judge.streams("ENRICH")
    cloud.answers(SEARCHED)

    session = headstart.chat("is it raining?").headers["X-Session-Id"]

    lines = lines_of(headstart, session)
    matches(rf"INFO Cancelled speculative primary: session={session} route=enrich cancel_ms=\d+", lines[1])
    matches(rf"INFO Enrichment context retrieved: session={session} 9 chars in \d+ms", lines[2])
    matches(
        rf"INFO Provider response: enrich session={session} provider=main status=200 .* speculative=false",
        lines[3],
    )
    matches(
        rf"INFO REQUEST session={session} client=127\.0\.0\.1 decision=ENRICH route=enrich "
        r"provider=main speculation=cancelled classification_ms=\d+ enrichment_ms=\d+ "
        r"inference_ms=\d+ ttft_ms=\d+ total_ms=\d+ status=200 stream=False",
        lines[4],
    )


def test_the_line_of_a_pinned_request_has_no_classification(headstart, judge):
    session = headstart.chat(model="p-model").headers["X-Session-Id"]

    line = headstart.request_line(session)
    assert (line["speculation"], line["classification_ms"], line["provider"]) == ("off", "-", "main")
    assert judge.requests == []


def test_the_line_of_a_health_check(headstart):
    requests.get(headstart.url + "/health", timeout=HANG_GUARD_S)

    matches(STAMP + r"INFO Health check: status=healthy duration_ms=\d+", headstart.log_line("Health check"))


def test_no_message_text_and_no_secret_stands_in_the_log(headstart, primary, cloud, judge):
    secret = "my-secret-diary"
    for status in (200, 400, 500):
        if status != 200:
            for upstream in (primary, cloud):
                upstream.refuses(status, f"cannot take {secret}")
        for decision in ("MODERATE", "COMPLEX", "ENRICH", f"about {secret} I say nothing"):
            judge.streams(decision)
            for stream in (False, True):
                reply = headstart.chat(secret, stream=stream, user=secret)
                headstart.request_line(reply.headers["X-Session-Id"])
    judge.refuses(400, f"cannot take {secret}")
    headstart.chat(secret)

    text = headstart.log_text()
    assert secret not in text
    assert "key-of-" not in text


@pytest.fixture(scope="module")
def talkative(upstreams, tmp_path_factory):
    """A Headstart that finds everything slow and writes JSON lines."""
    config = scripted_config(**upstreams)
    for route in config["routes"].values():
        route["slow_ms"] = 1
    server = Server(tmp_path_factory.mktemp("talkative"), config, LOG_FORMAT="json").wait_until_up()
    yield server
    server.stop()


def test_a_slow_request_is_warned_of(talkative, primary, judge):
    primary.runs(("think-before-headers", 0.02), ("token", "ok"), ("finish", "stop"))

    session = talkative.chat().headers["X-Session-Id"]

    line = talkative.log_line(f"SLOW_REQUEST session={session}")
    matches(
        STAMP + rf"WARNING SLOW_REQUEST session={session} route=primary total_ms=\d+ "
        r"classification_ms=\d+ inference_ms=\d+",
        line,
    )


def test_a_slow_enriched_request_tells_its_enrichment(talkative, cloud, judge):
    judge.streams("ENRICH")
    cloud.then(("think-before-headers", 0.02), body=SEARCHED)

    session = talkative.chat().headers["X-Session-Id"]

    line = talkative.log_line(f"SLOW_REQUEST session={session}")
    matches(
        STAMP + rf"WARNING SLOW_REQUEST session={session} route=enrich total_ms=\d+ "
        r"classification_ms=\d+ enrichment_ms=\d+ inference_ms=\d+",
        line,
    )


def test_a_request_within_its_routes_patience_is_not_slow(headstart, judge):
    session = headstart.chat().headers["X-Session-Id"]
    headstart.session(session)
    headstart.log_line(f"Session saved: {session}")

    assert f"SLOW_REQUEST session={session}" not in headstart.log_text()


def test_json_lines_on_stdout_tell_the_same(talkative, judge):
    session = talkative.chat(model='odd "name"\n').headers["X-Session-Id"]

    told = []
    while not any(line["message"] == "REQUEST" and line["session"] == session for line in told):
        line = talkative.process.stdout.readline()
        if line.startswith("{"):
            told.append(json.loads(line))
    incoming = next(
        line for line in told if line["message"] == "Incoming request:" and line["session"] == session
    )
    request = next(line for line in told if line["message"] == "REQUEST" and line["session"] == session)
    assert incoming["model"] == 'odd "name"\n'
    assert {"time", "level", "logger", "message"} < request.keys()
    assert request["level"] == "INFO"
    written = talkative.request_line(session)
    shared = ("client", "decision", "route", "provider", "speculation", "classification_ms", "total_ms")
    for key in (*shared, "status", "stream"):
        assert str(request[key]) == written[key]


def test_the_log_is_rotated_and_no_line_is_cut(upstreams, judge, tmp_path):
    config = {
        **scripted_config(**upstreams),
        "log": {"file": "logs/proxy.log", "max_mb": 0.005, "backups": 2},
    }
    server = Server(tmp_path, config).wait_until_up()
    try:
        for _ in range(40):
            assert server.chat().status_code == 200
    finally:
        server.stop()

    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["proxy.log", "proxy.log.1", "proxy.log.2"]
    for file in files:
        text = file.read_text()
        assert 0 < len(text) <= 5000
        assert all(re.match(STAMP + "INFO ", line) for line in text.splitlines())


# The session file.


def file_of(server, session):
    server.session(session)
    return next((server.folder / "sessions").glob(f"*_{session}.json"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_tells_all_of_a_request(headstart, primary, judge, stream):
    primary.streams("forty", "-two", usage={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12})

    reply = headstart.chat("six times seven?", stream=stream, temperature=0.3)

    session = headstart.session(reply.headers["X-Session-Id"])
    assert list(session) == KEYS
    assert session["user_query"] == "six times seven?"
    assert session["client_messages"] == [{"role": "user", "content": "six times seven?"}]
    assert (session["api"], session["model"], session["stream"], session["client_ip"]) == (
        "chat.completions",
        "auto",
        stream,
        "127.0.0.1",
    )
    assert (session["decision"], session["route"], session["classification_raw"]) == (
        "MODERATE",
        "primary",
        "MODERATE",
    )
    assert (session["status"], session["error"], session["cost_usd"]) == (200, None, 0.0)
    assert session["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    assert {key: session["speculation"][key] for key in ("outcome", "provider", "cancel_ms")} == {
        "outcome": "adopted",
        "provider": "main",
        "cancel_ms": None,
    }
    assert 0 <= session["speculation"]["started_ms"] <= session["ttft_ms"] <= session["total_ms"]
    assert sorted(step["step"] for step in session["steps"]) == ["classification", "provider_call"]
    assert all(list(step) == STEP_KEYS for step in session["steps"])
    call = next(step for step in session["steps"] if step["step"] == "provider_call")
    assert (call["provider"], call["model"], call["url"], call["status"]) == (
        "main",
        "p-model",
        primary.url + "/chat/completions",
        200,
    )
    assert (call["response_content"], call["finish_reason"]) == ("forty-two", "stop")
    assert call["params"]["temperature"] == 0.3
    assert call["messages_sent"] == [{"role": "user", "content": "six times seven?"}]
    assert 0 <= call["ttft_ms"] <= call["duration_ms"] <= session["total_ms"]


def test_a_session_file_is_the_owners_alone_and_named_by_its_time(headstart, judge):
    session = headstart.chat().headers["X-Session-Id"]

    file = file_of(headstart, session)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    timestamp = datetime.fromisoformat(json.loads(file.read_text())["timestamp"])
    assert timestamp.tzinfo is not None
    assert file.name == f"{timestamp:%Y-%m-%d_%H-%M-%S}_{session}.json"


def test_keys_never_reach_a_session(headstart, primary, cloud, judge):
    judge.streams("COMPLEX")
    cloud.refuses(401, "no such key")

    reply = headstart.chat(headers={"Authorization": "Bearer the-clients-own-key"})

    text = file_of(headstart, reply.headers["X-Session-Id"]).read_text()
    assert primary.last.headers["Authorization"] == "Bearer key-of-p-model"
    assert "key-of-" not in text and "the-clients-own-key" not in text


@pytest.mark.parametrize("stream", [False, True])
def test_ttft_counts_the_silence_before_the_providers_headers(headstart, primary, judge, stream):
    primary.runs(
        ("think-before-headers", 0.3), ("token", "ok"), ("pause", 1.0), ("token", "ay"), ("finish", "stop")
    )

    reply = headstart.chat(stream=stream)

    session = headstart.session(reply.headers["X-Session-Id"])
    line = headstart.request_line(reply.headers["X-Session-Id"])
    call = next(step for step in session["steps"] if step["step"] == "provider_call")
    assert int(line["ttft_ms"]) == session["ttft_ms"] >= 300
    # The provider went on for a second after its first token.
    assert 295 <= call["ttft_ms"] <= call["duration_ms"] - 500
    assert session["total_ms"] >= 1300
    if stream:
        assert session["ttft_ms"] <= session["total_ms"] - 500


def test_a_cloud_answer_has_its_price(headstart, cloud, judge):
    judge.streams("COMPLEX")
    cloud.streams("yes", finish="length", usage={"prompt_tokens": 1000, "completion_tokens": 100})

    reply = headstart.chat(stream=True)

    session = headstart.session(reply.headers["X-Session-Id"])
    assert session["cost_usd"] == pytest.approx(0.003)
    assert session["speculation"]["outcome"] == "cancelled"
    calls = [step for step in session["steps"] if step["step"] == "provider_call"]
    assert [(call["provider"], call["finish_reason"]) for call in calls] == [
        ("main", None),
        ("cloud", "length"),
    ]
    assert calls[0]["error"] == "hung up"


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": None, "completion_tokens": 5}, {"prompt_tokens": "12"}, {"total_tokens": 5}]
)
def test_an_odd_usage_costs_no_record(headstart, cloud, judge, usage):
    judge.streams("COMPLEX")
    cloud.streams("yes", usage=usage)

    reply = headstart.chat()

    assert reply.status_code == 200
    assert headstart.session(reply.headers["X-Session-Id"])["decision"] == "COMPLEX"


@pytest.mark.parametrize("stream", [False, True])
def test_long_texts_are_kept_by_their_beginning(headstart, primary, judge, stream):
    primary.streams(*("0123456789" * 30 for _ in range(10)))

    reply = headstart.chat("abcdefghij" * 100, stream=stream)

    session = headstart.session(reply.headers["X-Session-Id"])
    call = next(step for step in session["steps"] if step["step"] == "provider_call")
    assert session["user_query"] == "abcdefghij" * 50
    assert call["response_content"] == "0123456789" * 200
    text = streamed_text(reply) if stream else reply.json()["choices"][0]["message"]["content"]
    assert text == "0123456789" * 300


def test_images_go_up_untouched_and_are_kept_as_their_size(headstart, primary, judge):
    small = "data:image/png;base64," + base64.b64encode(os.urandom(512 * 1024)).decode()
    large = "data:image/jpeg;base64," + base64.b64encode(os.urandom(4 * 1024 * 1024)).decode()
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": small, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": large}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}},
    ]
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": content}]

    reply = headstart.chat(messages=messages)

    assert primary.last.messages == messages
    session = headstart.session(reply.headers["X-Session-Id"])
    kept = [part.get("image_url") for part in session["client_messages"][1]["content"]]
    assert kept == [
        None,
        {"url": "[image 512 kB]", "detail": "low"},
        {"url": "[image 4096 kB]"},
        {"url": "https://pictures.example/cat.png"},
    ]
    assert session["user_query"] == "what is this?"
    assert file_of(headstart, reply.headers["X-Session-Id"]).stat().st_size < 10_000


@pytest.mark.parametrize(
    "text",
    [
        'quotes " and \\ backslashes',
        "</script><script>alert(1)</script>",
        "".join(map(chr, range(32))) + "\x7f\x80\u2028\u2029\ufeff\uffff",
        "half of a pair: \ud83d and the other half: \ude00",
        "\U0001f600 \u202e",
        "0123456789abcdef0123456789abcdef",
        '"0123456789abcdef0123456789abcdef"',
        '"}]}, "id": "forged',
        "${HOME} %s {0} {date_context}",
    ],
)
def test_messages_are_kept_whatever_they_contain(headstart, primary, judge, text):
    messages = [{"role": "user", "content": text, text or "x": [text]}]

    reply = headstart.chat(messages=messages)

    file = file_of(headstart, reply.headers["X-Session-Id"])
    session = json.loads(file.read_bytes())
    assert session["client_messages"] == messages
    assert session["user_query"] == text
    assert session["id"] == reply.headers["X-Session-Id"]
    assert list(session) == KEYS
    assert primary.last.messages == messages


def test_a_stream_is_written_down_after_its_end_and_not_before(headstart, primary, judge):
    primary.runs(("token", "first"), ("stall",), ("token", "last"), ("finish", "stop"))
    reply = requests.post(
        headstart.url + "/v1/chat/completions",
        json={"messages": HELLO, "stream": True},
        stream=True,
        timeout=HANG_GUARD_S,
    )
    session = reply.headers["X-Session-Id"]
    chunks = reply.iter_content(None)
    next(chunks)

    meanwhile = list((headstart.folder / "sessions").glob(f"*_{session}.json"))
    primary.release.set()
    for _ in chunks:
        pass

    assert meanwhile == []
    assert "firstlast" in [step["response_content"] for step in headstart.session(session)["steps"]]


def test_a_refused_body_leaves_no_file(headstart, judge):
    session = headstart.post("/v1/chat/completions", {"messages": []}).headers["X-Session-Id"]
    later = headstart.chat().headers["X-Session-Id"]
    headstart.session(later)

    assert list((headstart.folder / "sessions").glob(f"*_{session}.json")) == []


def test_a_killed_server_leaves_no_half_file(upstreams, judge, tmp_path):
    server = Server(tmp_path, scripted_config(**upstreams)).wait_until_up()
    stop = threading.Event()
    body = {"model": "primary", "messages": [{"role": "user", "content": "x" * 3_000_000}]}

    def ask_on():
        while not stop.is_set():
            try:
                server.post("/v1/chat/completions", body)
            except requests.RequestException:
                return

    threads = [threading.Thread(target=ask_on, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + HANG_GUARD_S
    while len(list((tmp_path / "sessions").glob("*.json"))) < 5 and time.monotonic() < deadline:
        stop.wait(0.005)
    for pid in [server.process.pid, *server.descendants()]:
        os.kill(pid, signal.SIGKILL)
    server.stop()
    stop.set()
    for thread in threads:
        thread.join(HANG_GUARD_S)

    files = list((tmp_path / "sessions").glob("*.json"))
    assert len(files) >= 5
    for file in files:
        assert list(json.loads(file.read_text())) == KEYS


# The writer by itself.


def writer(folder, **settings):
    return SessionLogger(folder, settings_of.Sessions(**settings))


def test_saving_waits_for_nothing(tmp_path):
    sessions = writer(tmp_path)
    go_on, made_by = threading.Event(), queue.Queue()

    def make_record():
        made_by.put(threading.current_thread())
        assert go_on.wait(HANG_GUARD_S)
        return {"id": "abc"}

    sessions.save("abc", datetime(2026, 1, 2, 3, 4, 5), make_record)
    # Returns although the first one's record is not even made.
    sessions.save("def", datetime(2026, 1, 2, 3, 4, 6), make_record)
    writing = made_by.get(timeout=HANG_GUARD_S)
    go_on.set()
    sessions.close()

    assert writing is not threading.current_thread()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2026-01-02_03-04-05_abc.json",
        "2026-01-02_03-04-06_def.json",
    ]


def test_with_50000_files_in_the_folder_only_the_writing_thread_ever_looks_into_it(tmp_path):
    (tmp_path / "one").touch()
    for i in range(50_000):
        os.link(tmp_path / "one", tmp_path / f"2025-01-01_00-00-00_{i:08x}.json")
    lookers = looks_into(tmp_path)

    sessions = writer(tmp_path, max_count=100, max_age_days=36_000, clean_every=1)
    for i in range(200):
        sessions.save(f"{i:08x}", datetime(2026, 1, 1), lambda: {"id": "x"})
    sessions.close(HANG_GUARD_S)

    assert set(lookers) == {"sessions"}
    left = sorted(path.name for path in tmp_path.glob("*.json"))
    assert len(left) == 100
    assert all(name.startswith("2026-01-01") for name in left)


def looks_into(folder):
    """The names of the threads that list a folder from now on."""
    names = []

    def hook(event, args):
        if event in ("os.listdir", "os.scandir") and args and str(args[0]) == str(folder):
            names.append(threading.current_thread().name)

    sys.addaudithook(hook)
    return names


def test_a_record_that_cannot_be_made_costs_the_others_nothing(tmp_path, caplog):
    sessions = writer(tmp_path)

    sessions.save("bad", datetime(2026, 1, 1), lambda: {"of": 1 / 0})
    sessions.save("worse", datetime(2026, 1, 1), lambda: {"of": object()})
    sessions.save("0001", datetime(2026, 1, 1), lambda: {"id": "0001"})
    sessions.close()

    assert [path.name for path in tmp_path.iterdir()] == ["2026-01-01_00-00-00_0001.json"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Session not saved: bad",
        "Session not saved: worse",
    ]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_half(tmp_path, caplog):
    sessions = writer(tmp_path)
    (tmp_path / "2026-01-01_00-00-00_0001.json" / "in the way").mkdir(parents=True)

    sessions.save("0001", datetime(2026, 1, 1), lambda: {"id": "0001"})
    sessions.close()

    assert list(tmp_path.glob("*.part")) == []
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Session not saved: 0001"
    ]


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    sessions = writer(tmp_path / "sessions")
    (tmp_path / "sessions").rmdir()

    sessions.save("0001", datetime(2026, 1, 1), lambda: {"id": "0001"})
    sessions.close()

    assert json.loads((tmp_path / "sessions" / "2026-01-01_00-00-00_0001.json").read_text()) == {"id": "0001"}


def test_what_a_crash_has_left_is_removed_once_it_is_old(tmp_path):
    old, fresh, foreign = tmp_path / "a.json.part", tmp_path / "b.json.part", tmp_path / "c.txt"
    for file in (old, fresh, foreign):
        file.write_text("{")
        os.utime(file, (1, 1))
    os.utime(fresh)

    remove_unfinished(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json.part", "c.txt"]


def test_raw_json_stands_in_a_record_as_it_is():
    text = '[{"a":1.50,"b":"\\ud800"}]'

    written = dumps({"x": RawJSON(text), "y": [RawJSON("null")], "z": "x"})

    assert written == f'{{"x": {text}, "y": [null], "z": "x"}}'


# Clean-up.

NOW = datetime(2026, 6, 15, 12, 0, 0)


def record_from(folder, when, name="00000001"):
    file = folder / f"{when:%Y-%m-%d_%H-%M-%S}_{name}.json"
    file.touch()
    return file.name


def test_records_older_than_the_limit_are_removed(tmp_path):
    record_from(tmp_path, NOW - timedelta(days=7, seconds=1))
    kept = [record_from(tmp_path, NOW - timedelta(days=7)), record_from(tmp_path, NOW)]

    clean(tmp_path, max_count=5000, max_age_days=7, now=NOW)

    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_beyond_the_count_the_oldest_go(tmp_path):
    names = [record_from(tmp_path, NOW + timedelta(seconds=i)) for i in range(250)]

    clean(tmp_path, max_count=10, max_age_days=7, now=NOW)

    assert sorted(path.name for path in tmp_path.iterdir()) == names[-10:]


def test_other_files_stay_and_are_not_counted(tmp_path):
    others = [
        "notes.json",
        ".gitkeep",
        "0000.json",
        "2020-01-01_00-00-00_report.json",
        "2020-01-01_00-00-00_abc.json.part",
    ]
    for name in others:
        (tmp_path / name).touch()
    kept = [record_from(tmp_path, NOW + timedelta(seconds=i)) for i in range(3)]

    clean(tmp_path, max_count=3, max_age_days=7, now=NOW)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, *kept])


def test_a_count_of_zero_keeps_nothing(tmp_path):
    record_from(tmp_path, NOW)

    clean(tmp_path, max_count=0, max_age_days=7, now=NOW)

    assert list(tmp_path.iterdir()) == []


def test_clean_up_comes_with_every_so_many_saves(tmp_path):
    sessions = writer(tmp_path, max_count=2, max_age_days=36_000, clean_every=5)

    for i in range(9):
        sessions.save(f"{i:04x}", NOW + timedelta(seconds=i), dict)
    sessions.close()

    kept = [path.name[-9:-5] for path in sorted(tmp_path.iterdir())]
    assert kept == ["0003", "0004", "0005", "0006", "0007", "0008"]


def test_clean_up_comes_with_time_too(tmp_path):
    record_from(tmp_path, NOW)
    sessions = writer(tmp_path, max_count=5, max_age_days=36_000, clean_period_s=0.1)
    for i in range(6):
        record_from(tmp_path, NOW + timedelta(seconds=i))

    deadline = time.monotonic() + HANG_GUARD_S
    while len(list(tmp_path.iterdir())) > 5 and time.monotonic() < deadline:
        threading.Event().wait(0.01)

    assert len(list(tmp_path.iterdir())) == 5
    sessions.close()
