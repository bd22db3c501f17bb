"""From start to stop: the default configuration answers with its real model.

Nothing of Headstart outlives its master.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
import time

import pytest
import requests
import yaml

from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, ROOT, Server, sse_events, streamed_text
from tests.support.waiting import await_that

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
NOTHING_SET = {"XAI_API_KEY": "", "VLLM_URL": "", "VLLM_MODEL": ""}


def default_server(folder, **kwargs):
    """A Headstart with the default configuration, in a folder of its own."""
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    return started(folder, yaml.safe_load((ROOT / "config.yaml").read_text()), **NOTHING_SET, **kwargs)


def started(folder, config, **kwargs):
    """A running Headstart in the foreground of its own, whose temporary files go to folder/tmp."""
    (folder / "tmp").mkdir()
    return Server(folder, config, own_group=True, TMPDIR=str(folder / "tmp"), **kwargs).wait_until_up()


def alive(pid):
    """Whether a process runs; one that has ended and was not yet fetched does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between the opening and the reading
        return False


def ended(server, pids):
    """Wait until the server and these processes have ended; returns what it printed."""
    printed = server.process.communicate(timeout=HANG_GUARD_S)[0]
    await_that(lambda: not any(map(alive, pids)), "something lives on")
    return printed


def kill_what_is_left(server):
    for pid in [server.process.pid, *server.descendants()]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    server.process.communicate(timeout=HANG_GUARD_S)


# With the real model.


@pytest.fixture(scope="module")
def default(prepared, tmp_path_factory):
    server = default_server(tmp_path_factory.mktemp("default"))
    yield server
    if server.process.poll() is None:
        kill_what_is_left(server)


def test_the_first_chat_is_answered_by_the_real_model(default):
    reply = default.chat("Say hello to me.", max_tokens=12)

    answer = reply.json()
    assert reply.status_code == 200
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["usage"]["completion_tokens"] > 0
    assert (reply.headers["X-Provider"], reply.headers["X-Route"], reply.headers["X-Speculation"]) == (
        "local",
        "primary",
        "adopted",
    )


def test_a_streamed_chat_is_answered_by_the_real_model(default):
    reply = default.chat("Say hello to me.", stream=True, max_tokens=12)

    assert streamed_text(reply).strip()
    events = sse_events(reply)
    assert events[-1] == "[DONE]"
    assert [
        choice["finish_reason"]
        for event in events[:-1]
        for choice in event["choices"]
        if choice["finish_reason"]
    ] in (
        ["length"],
        ["stop"],
    )
    line = default.request_line(reply.headers["X-Session-Id"])
    assert (line["decision"], line["provider"], line["status"]) == (
        reply.headers["X-Decision"],
        "local",
        "200",
    )


def test_the_real_classifier_and_the_real_model_are_healthy(default):
    default.chat(max_tokens=1)  # until then the engine may still be starting

    report = requests.get(default.url + "/health", timeout=HANG_GUARD_S).json()

    assert report["status"] == "healthy"
    statuses = {name: told["status"] for name, told in report["providers"].items()}
    assert statuses.pop("local") == "healthy"
    assert set(statuses.values()) == {"disabled"} and {"home", "vllm", "xai", "anthropic"} <= set(statuses)
    assert report["providers"]["xai"]["error"] == "XAI_API_KEY is not set"


def test_a_worker_that_is_killed_is_replaced_and_the_engine_stays(default):
    default.chat(max_tokens=1)
    worker, engine = worker_of(default), engine_of(default)

    os.kill(worker, signal.SIGKILL)
    await_that(lambda: not alive(worker), "the worker lives on")

    assert default.chat("Say hello.", max_tokens=5).headers["X-Provider"] == "local"
    assert worker_of(default) != worker
    assert engine_of(default) == engine


def test_ctrl_c_takes_supervisor_and_engine_along_and_leaves_no_file(default):
    default.chat(max_tokens=1)
    children = default.descendants()
    assert len(children) >= 3, "worker, supervisor, engine"

    os.killpg(default.process.pid, signal.SIGINT)

    printed = ended(default, children)
    assert default.process.returncode == 0
    assert printed.startswith(f"Headstart listens on {default.url}  (Ctrl-C stops it)\n")
    assert "Traceback" not in printed
    assert os.listdir(default.folder / "tmp") == []


def test_a_stop_while_the_engine_is_still_starting_is_clean(prepared, tmp_path):
    server = default_server(tmp_path)
    try:
        await_that(
            lambda: any("engine.serve" in command_of(pid) for pid in server.descendants()),
            "no engine was started",
        )
        children = server.descendants()

        server.process.send_signal(signal.SIGTERM)

        ended(server, children)
        assert server.process.returncode == 0
        assert os.listdir(tmp_path / "tmp") == []
    finally:
        if server.process.poll() is None:
            kill_what_is_left(server)


def test_a_master_that_is_killed_leaves_no_child(prepared, tmp_path):
    server = default_server(tmp_path)
    assert server.chat(max_tokens=1).status_code == 200
    children = server.descendants()
    assert len(children) >= 3, "worker, supervisor, engine"

    server.process.kill()

    ended(server, children)


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().replace("\0", " ")
    except FileNotFoundError:
        return ""


def worker_of(server):
    await_that(
        lambda: any("gunicorn" in command_of(pid) for pid in server.descendants()), "there is no worker"
    )
    return next(pid for pid in server.descendants() if "gunicorn" in command_of(pid))


def engine_of(server):
    return next(pid for pid in server.descendants() if "engine.serve" in command_of(pid))


# With scripted providers.


@pytest.fixture
def scripted(upstreams, judge, tmp_path):
    server = started(tmp_path, scripted_config(**upstreams))
    yield server
    if server.process.poll() is None:
        kill_what_is_left(server)


def stream_of(server):
    """A stream that has begun: (session, iterator over what comes)."""
    reply = requests.post(
        server.url + "/v1/chat/completions", json={**HELLO, "stream": True}, stream=True, timeout=HANG_GUARD_S
    )
    chunks = reply.iter_content(None)
    next(chunks)
    return reply.headers["X-Session-Id"], chunks


def test_sigterm_lets_a_stream_in_flight_end(scripted, primary):
    primary.runs(("token", "first"), ("stall",), ("token", "last"), ("finish", "stop"))
    session, chunks = stream_of(scripted)

    scripted.process.send_signal(signal.SIGTERM)
    refuses_new(scripted)
    primary.release.set()
    rest = b"".join(chunks)

    ended(scripted, [])
    assert b"last" in rest and rest.endswith(b"data: [DONE]\n\n")
    assert scripted.request_line(session)["status"] == "200"
    assert scripted.session(session)["status"] == 200


def refuses_new(server):
    """Wait until the server takes no new connections."""

    def refused():
        try:
            requests.get(server.url + "/livez", timeout=0.2)
        except requests.RequestException:
            return True
        return False

    await_that(refused, "it still takes connections")


@pytest.mark.parametrize(
    "script",
    [[("forever", 0.005)], [("token", "first"), ("stall",)]],
    ids=["a stream that never ends", "a silent one"],
)
def test_ctrl_c_hangs_up_what_is_in_flight_and_writes_it_down(scripted, primary, script):
    primary.runs(*script)
    session, chunks = stream_of(scripted)
    children = scripted.descendants()

    os.killpg(scripted.process.pid, signal.SIGINT)

    ended(scripted, children)
    assert primary.last.hung_up.wait(HANG_GUARD_S)
    b"".join(chunks)
    assert scripted.log_text().count(f" REQUEST session={session} ") == 1
    assert scripted.session(session)["steps"]
    assert os.listdir(scripted.folder / "tmp") == []


def test_sigterm_hangs_up_what_does_not_end_in_time_and_writes_it_down(scripted, primary):
    primary.streams_forever()
    session, _ = stream_of(scripted)
    children = scripted.descendants()

    scripted.process.send_signal(signal.SIGTERM)

    ended(scripted, children)
    assert primary.last.hung_up.wait(HANG_GUARD_S)
    assert scripted.log_text().count(f" REQUEST session={session} ") == 1
    assert scripted.session(session)["steps"]


def test_an_idle_client_does_not_hold_up_the_stop(scripted):
    with requests.Session() as client:
        client.get(scripted.url + "/livez", timeout=HANG_GUARD_S)
        begun = time.monotonic()

        scripted.process.send_signal(signal.SIGTERM)

        ended(scripted, [])
        assert time.monotonic() - begun < 8, "as long as a request in flight would have been given"


def test_a_worker_that_is_killed_is_replaced_and_clients_are_served_again(scripted):
    worker = worker_of(scripted)

    os.kill(worker, signal.SIGKILL)
    await_that(lambda: not alive(worker), "the worker lives on")

    assert scripted.chat().json()["choices"][0]["message"]["content"] == "ok"
    assert worker_of(scripted) != worker


def test_a_worker_is_replaced_also_while_the_owners_markers_are_faulty(scripted):
    own = scripted.folder / "my-prompts" / "meta_markers.yaml"
    own.parent.mkdir()
    own.write_text("markers: oops\n")
    worker = worker_of(scripted)

    os.kill(worker, signal.SIGKILL)
    await_that(lambda: not alive(worker), "the worker lives on")

    assert scripted.chat().json()["choices"][0]["message"]["content"] == "ok"
    health = requests.get(f"{scripted.url}/health", timeout=HANG_GUARD_S).json()
    assert "meta_markers.yaml:1: markers: " in health["config"]["rejected"][0]
    own.unlink()
    own.parent.rmdir()


def test_a_master_that_is_killed_takes_a_scripted_worker_along(scripted):
    children = scripted.descendants()
    assert children

    scripted.process.kill()

    ended(scripted, children)


class OnTerminal(Server):
    """A Headstart in the foreground of a terminal of its own."""

    hangups = signal.SIG_DFL  # what the shell has set for SIGHUP

    def start(self):
        self.terminal, theirs = os.openpty()

        def take_terminal():
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, self.hangups)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
            cwd=ROOT,
            env={
                **os.environ,
                "PORT": str(self.port),
                "HEADSTART_CONFIG": str(self.folder / "config.yaml"),
                "TMPDIR": str(self.folder),
            },
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(theirs)


class UnderNohup(OnTerminal):
    hangups = signal.SIG_IGN


@pytest.fixture
def on_terminal(upstreams, judge, tmp_path):
    """Starts a Headstart on a terminal; ends it."""
    started = []

    def start(cls):
        started.append(cls(tmp_path, scripted_config(**upstreams)).wait_until_up())
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            kill_what_is_left(server)


def test_a_terminal_that_closes_stops_it(on_terminal):
    server = on_terminal(OnTerminal)
    children = server.descendants()

    os.close(server.terminal)

    ended(server, children)
    assert server.process.returncode == 0
    assert "Config reloaded" not in server.log_text()
    assert [name for name in os.listdir(server.folder) if name.startswith("headstart-")] == []


def test_a_hang_up_while_the_terminal_is_there_reloads(on_terminal):
    server = on_terminal(OnTerminal)

    server.process.send_signal(signal.SIGHUP)

    server.log_line("Config reloaded: changed=-")
    assert server.chat().status_code == 200
    os.close(server.terminal)


def test_under_nohup_a_terminal_may_close(on_terminal):
    server = on_terminal(UnderNohup)

    os.close(server.terminal)
    server.process.send_signal(signal.SIGHUP)

    server.log_line("Config reloaded: changed=-")
    assert server.chat().status_code == 200


def test_a_port_that_is_taken_stops_the_start(scripted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("second")
    second = Server(
        folder,
        yaml.safe_load((scripted.folder / "config.yaml").read_text()),
        PORT=str(scripted.port),
        TMPDIR=str(folder),
    )

    printed = second.process.communicate(timeout=HANG_GUARD_S)[0]

    assert second.process.returncode == 1
    [line] = printed.splitlines()
    assert f"headstart: port {scripted.port} is taken by pid {scripted.process.pid} (Headstart); " in line
    assert [name for name in os.listdir(folder) if name.startswith("headstart-")] == []
    assert scripted.chat().status_code == 200


def test_faulty_markers_of_the_owners_stop_the_start(scripted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "my-prompts").mkdir()
    (folder / "my-prompts" / "meta_markers.yaml").write_text("marker: []\n")
    server = Server(folder, yaml.safe_load((scripted.folder / "config.yaml").read_text()))

    printed = server.process.communicate(timeout=HANG_GUARD_S)[0]

    assert server.process.returncode == 1
    assert printed.splitlines() == [
        "headstart: my-prompts/meta_markers.yaml:1: marker: unknown key, did you mean markers?"
    ]
