"""The supervisor over a scripted child on a real socket.

What it takes for dead, what it leaves alone, and how it starts anew.
"""

import json
import os
import sys
import threading
import time

import pytest

from engine import supervisor
from engine.state import DOWN, READY, STARTING, EngineState
from engine.supervisor import Patience, Supervised, backoff_s
from tests.support.waiting import await_that

HANG_GUARD_S = 30
PATIENCE = Patience(start_s=HANG_GUARD_S, probe_period_s=0.05, probe_s=0.3)

# A life is one process of the engine; its script is one word. Each life leaves a file NUMBER with its
# environment, each request for a token a file NUMBER.KTH.
FAKE = """
import http.server, json, os, pathlib, sys, threading
lives, words = pathlib.Path(sys.argv[1]), sys.argv[2].split(",")
life = len([path for path in lives.iterdir() if "." not in path.name])
(lives / str(life)).write_text(json.dumps({"pid": os.getpid(), "tmp": os.environ["TMPDIR"]}))
word, asked = words[min(life, len(words) - 1)], 0
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
if word == "exits":
    sys.exit(3)
if word == "babbles":
    print("Hello!", flush=True)
    threading.Event().wait()
if word == "hides":
    os.close(1)
    threading.Event().wait()
if word == "fails":
    print(json.dumps({"failed": "no such model"}), flush=True)
    sys.exit(1)

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        progress = asked if word == "busy" else 0
        self.answer(503 if word == "broken" else 200, json.dumps({"progress": progress}).encode())

    def do_POST(self):
        global asked
        asked += 1
        (lives / f"{life}.{asked}").touch()
        if word == "stillborn" or asked > 1 and word == "refuses":
            return self.answer(500, b"")
        if asked > 1 and word in ("stalls", "busy"):
            threading.Event().wait()
        if asked > 1 and word == "dies":
            os._exit(7)
        self.answer(200, b'data: {"choices": [{"finish_reason": "length"}]}\\n\\n')

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(json.dumps({"port": server.server_address[1]}), flush=True)
server.serve_forever()
"""


class Scripted:
    """A supervised fake engine, its state, and the files that its lives leave."""

    def __init__(self, folder, words):
        (folder / "fake.py").write_text(FAKE)
        self.lives = folder / "lives"
        self.lives.mkdir()
        command = [sys.executable, str(folder / "fake.py"), str(self.lives), words]
        self.supervised = Supervised("fake", command, folder, PATIENCE)
        self.state = EngineState(folder / "fake.json")
        self._thread = threading.Thread(target=self.supervised.run)
        self._thread.start()

    def until(self, seen):
        return await_that(seen, lambda: f"never happened; last report {self.state.read()}", HANG_GUARD_S)

    def reported(self, state, reason):
        def seen():
            engine = self.state.read()
            return engine if engine.state == state and reason in (engine.reason or "") else None

        return self.until(seen)

    def life(self, number):
        self.until(lambda: (self.lives / str(number)).exists() and (self.lives / str(number)).read_text())
        return json.loads((self.lives / str(number)).read_text())

    def stop(self):
        self.supervised.stop()
        self._thread.join(HANG_GUARD_S)
        assert not self._thread.is_alive()


@pytest.fixture
def script(tmp_path):
    running = []

    def start(words):
        running.append(Scripted(tmp_path, words))
        return running[-1]

    yield start
    for scripted in running:
        scripted.stop()


@pytest.fixture
def children_run_on(monkeypatch):
    """The children of this test do not end by themselves, so the supervisor need not wait for their end."""
    monkeypatch.setattr(supervisor, "EXIT_S", 0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_engine_is_starting_until_it_has_answered_a_real_request(script, tmp_path):
    fake = script("works")

    first = json.loads((tmp_path / "fake.json").read_text())["state"]
    engine = fake.state.wait_ready(HANG_GUARD_S)

    assert first in (STARTING, READY)
    assert (fake.lives / "0.1").exists()
    assert engine.pid == fake.life(0)["pid"]
    assert engine.base_url.startswith("http://127.0.0.1:") and engine.base_url.endswith("/v1")


def test_an_engine_that_dies_comes_back_on_another_port(script):
    fake = script("dies,works")

    back = fake.until(lambda: (engine := fake.state.read()).pid == fake.life(1)["pid"] and engine)

    assert back.state == READY
    assert not is_running(fake.life(0)["pid"])


def test_while_an_engine_that_worked_comes_back_it_is_starting_and_tells_why(script):
    fake = script("dies,works")

    assert fake.reported(STARTING, "code 7").base_url is None


def test_an_engine_that_cannot_start_is_down_with_its_own_reason_and_is_tried_again(script, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.1)
    fake = script("fails,fails,works")

    down = fake.reported(DOWN, "no such model")
    fake.until(lambda: fake.state.read().state == READY)

    assert down.base_url is None


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("exits", "exited with code 3"),
        ("hides", "closed its stdout"),
        ("babbles", "something else than news"),
    ],
)
def test_an_engine_that_never_says_where_it_listens_is_down_and_ended(script, word, reason):
    fake = script(word)

    fake.reported(DOWN, reason)

    assert not is_running(fake.life(0)["pid"])


def test_an_engine_that_listens_but_cannot_answer_is_never_ready(children_run_on, script):
    fake = script("stillborn")

    fake.reported(DOWN, "answered 500")

    assert not is_running(fake.life(0)["pid"])


@pytest.mark.parametrize(
    ("word", "reason"),
    [("stalls", "sent nothing"), ("broken", "generation thread"), ("refuses", "answered 500")],
)
def test_an_engine_that_runs_but_does_not_work_is_ended_and_started_again(
    children_run_on, script, word, reason
):
    fake = script(f"{word},works")

    fake.reported(STARTING, reason)
    fake.until(lambda: fake.state.read().pid == fake.life(1)["pid"])

    assert not is_running(fake.life(0)["pid"])


def test_a_silent_engine_that_works_for_others_is_left_alone(script):
    fake = script("busy")

    engine = fake.state.wait_ready(HANG_GUARD_S)
    # The readiness check, and three probes that got no answer in time.
    fake.until(lambda: (fake.lives / "0.4").exists())

    assert fake.state.read() == engine
    assert is_running(engine.pid)


def test_stopping_ends_the_child_and_says_so(script, tmp_path):
    fake = script("works")
    pid = fake.state.wait_ready(HANG_GUARD_S).pid

    fake.stop()

    assert not is_running(pid)
    assert fake.state.read().state == DOWN
    assert not (tmp_path / "fake.tmp").exists()


def test_each_life_has_a_temporary_directory_that_is_its_own(script, tmp_path):
    fake = script("works")

    fake.state.wait_ready(HANG_GUARD_S)

    assert fake.life(0)["tmp"] == str(tmp_path / "fake.tmp")
    assert (tmp_path / "fake.tmp").stat().st_mode & 0o777 == 0o700


def test_a_program_that_is_not_there_is_a_reason_and_no_crash(tmp_path):
    supervised = Supervised("gone", ["/nowhere/at-all"], tmp_path, PATIENCE)
    thread = threading.Thread(target=supervised.run)
    thread.start()
    state, deadline = EngineState(tmp_path / "gone.json"), time.monotonic() + HANG_GUARD_S

    while state.read().state != DOWN and time.monotonic() < deadline:
        time.sleep(0.01)
    reason = state.read().reason
    supervised.stop()
    thread.join(HANG_GUARD_S)

    assert "could not be started" in reason


def test_pauses_double_from_half_a_second_to_half_a_minute():
    assert [backoff_s(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
