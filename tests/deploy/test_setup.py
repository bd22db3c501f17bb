"""`make setup`: what it finds, what it asks, what it tries, what it writes; and the offer at the first start.

The servers are imitations on real sockets; the command itself is driven once through a pseudo-terminal.
"""

import json
import os
import pty
import re
import select
import stat
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from deploy import candidates, first_start, questions, setup
from deploy.place import here
from errors import ConnectFailed
from settings import loader
from settings.model import Provider as Settings
from tests.support.home_servers import GEMMA, LLAMA, NOMIC, QWEN, LlamaCpp, LmStudio, Ollama, Vllm
from tests.support.server import HANG_GUARD_S, PYTHON, ROOT, unused_port


@pytest.fixture
def data(home, tmp_path, monkeypatch):
    """The data folder of a machine without any server; nothing is set in the environment."""
    folder = tmp_path / "data"
    monkeypatch.setenv("HEADSTART_DATA", str(folder))
    for name in (*first_start.SET_UP_BY, "HOME_MODEL", "HOME_API_KEY", "HEADSTART_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(candidates, "PORTS", {"Ollama": (unused_port(),)})
    monkeypatch.setattr(candidates, "SEARXNG_PORTS", ())
    return folder


@pytest.fixture
def servers(monkeypatch):
    """Start imitations at this machine's usual ports, which are others for the test."""
    started = []

    def made(make, *models, usual=None, **kwargs):
        server = make(*models, **kwargs)
        started.append(server)
        if usual:
            monkeypatch.setitem(candidates.PORTS, usual, (server.port,))
        return server

    yield made
    for server in started:
        server.close()


class Owner(questions.Dialogue):
    """Answers from a list, and leaves when it is at its end."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.questions = []

    def ask(self, question):
        self.questions.append(question)
        if not self.answers:
            raise questions.Abandoned
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    ask_secret = ask


def set_up(*answers):
    """Run it with these answers; the owner, with the questions."""
    owner = Owner(*answers)
    setup.set_up(here(), owner)
    return owner


def written(data):
    """The configuration that the written files make."""
    return loader.load(environ={"HEADSTART_DATA": str(data)})


# Servers.


def test_servers_at_their_usual_ports_are_found_and_told_apart(data, servers):
    servers(Ollama, NOMIC, GEMMA, LLAMA, usual="Ollama", loaded=["llama3.2:latest"])
    servers(LmStudio, {"id": "qwen3-8b", "type": "llm", "max_context_length": 8192}, usual="LM Studio")
    servers(Vllm, QWEN, usual="vLLM")
    servers(LlamaCpp, {"id": "gemma.gguf", "n_ctx": 8192, "vision": False}, usual="llama.cpp")

    found = candidates.homes_here()

    assert [(one.make, [model.id for model in one.models]) for one in found] == [
        ("Ollama", ["llama3.2:latest", "gemma3:4b"]),
        ("LM Studio", ["qwen3-8b"]),
        ("vLLM", ["Qwen/Qwen3-32B"]),
        ("llama.cpp", ["gemma.gguf"]),
    ]
    assert found[0].title.endswith("llama3.2:latest (in memory), gemma3:4b")


def test_a_headstart_is_no_home_server(data, servers):
    servers(Vllm, {"id": "auto"}, {"id": "primary"}, {"id": "cloud"}, usual="vLLM")

    assert candidates.homes_here() == []


def test_enter_four_times_is_a_set_up(data, servers, capsys):
    server = servers(Ollama, GEMMA, LLAMA, usual="Ollama")

    owner = set_up("", "", "", "")

    assert [question[:2] for question in owner.questions] == ["1.", "2.", "3.", "4."]
    config = written(data)
    assert config.providers["home"].base_url == server.url
    assert config.providers["home"].model == ""
    assert server.chats == ["gemma3:4b"]
    said = capsys.readouterr().out
    assert re.search(r"It answers, after \d+\.\d s", said)
    assert "SIMPLE    -> home (gemma3:4b)" in said
    assert "COMPLEX   -> no cloud key; stays on home" in said
    assert said.endswith("Next: make run\n")


def test_a_model_can_be_named_by_number_or_name(data, servers):
    server = servers(Ollama, GEMMA, LLAMA, usual="Ollama")

    set_up("1", "no such", "2", "", "")

    assert written(data).providers["home"].model == "llama3.2:latest"
    assert server.chats == ["llama3.2:latest"]


def test_an_address_is_repaired_and_one_model_needs_no_question(data, servers, capsys):
    server = servers(Vllm, QWEN)

    owner = set_up(f"127.0.0.1:{server.port}/", "", "")

    assert len(owner.questions) == 3
    assert written(data).providers["home"].base_url == server.url
    assert (
        f"127.0.0.1:{server.port}/ has no http:// and has no /v1; using {server.url}"
        in capsys.readouterr().out
    )


def test_a_server_that_does_not_answer_can_be_answered_anew_or_kept(data, servers, capsys):
    dead, server = f"127.0.0.1:{unused_port()}", servers(Vllm, QWEN)

    set_up(dead, "n", server.url, "", "")
    assert written(data).providers["home"].base_url == server.url
    (data / "headstart.yaml").unlink()
    set_up(dead, "y", "", "")

    assert written(data).providers["home"].base_url == f"http://{dead}/v1"
    assert "It does not tell its models: connection refused" in capsys.readouterr().out


def test_a_model_that_does_not_answer_is_told_and_may_be_kept(data, servers, capsys):
    server = servers(Ollama, GEMMA, LLAMA, usual="Ollama")
    server.has = lambda name: False  # it lists what it cannot load

    set_up("1", "1", "y", "", "")

    assert "It does not answer: model 'gemma3:4b' not found" in capsys.readouterr().out
    assert written(data).providers["home"].model == "gemma3:4b"


def test_a_server_that_wants_a_key_is_asked_with_one(data, servers):
    server = servers(Vllm, QWEN, key="home-secret")

    set_up(server.url, "wrong-secret", "home-secret", "", "")

    assert written(data).providers["home"].api_key == "home-secret"
    assert "home-secret" not in (data / "headstart.yaml").read_text()
    assert server.chats == [QWEN["id"]]


# A cloud's key.


@pytest.fixture
def cloud(servers, monkeypatch):
    """An imitation in place of each cloud; it takes one key."""
    server = servers(Vllm, {"id": "big"}, key="sk-ant-good-key")
    real = candidates.cloud_settings

    def at_the_imitation(cloud, key, environ):
        shipped = real(cloud, key, environ)
        return Settings("openai", model=shipped.model, base_url=server.url, api_key=key)

    monkeypatch.setattr(candidates, "cloud_settings", at_the_imitation)
    return server


@pytest.mark.parametrize("key, name", [
    ("xai-abc", "xai"),
    ("sk-ant-api03-abc", "anthropic"),
    ("sk-or-v1-abc", "openrouter"),
    ("sk-proj-abc", "openai"),
    ("gsk_abc", None),
])  # fmt: skip
def test_a_key_is_known_by_its_form(key, name):
    assert candidates.cloud_of_key(key) == name


def test_a_key_goes_to_the_env_file_and_is_shown_nowhere(data, cloud, capsys):
    data.mkdir()
    (data / ".env").write_text("OTHER=kept")

    set_up("-", "sk-ant-good-key", "")

    assert (data / ".env").read_text() == "OTHER=kept\nANTHROPIC_API_KEY=sk-ant-good-key\n"
    assert stat.S_IMODE((data / ".env").stat().st_mode) == 0o600
    said = capsys.readouterr().out
    assert "good-key" not in said + (data / "headstart.yaml").read_text()
    assert "COMPLEX   -> anthropic" in said
    assert [path for _, path in cloud.requests] == ["/v1/models"]  # and no token


def test_a_wrong_key_can_be_pasted_anew(data, cloud, capsys):
    set_up("-", "sk-ant-bad-key", "n", "two words", "sk-ant-good-key", "")

    assert "It does not work: it refuses the key" in capsys.readouterr().out
    assert written(data).providers["anthropic"].api_key == "sk-ant-good-key"


def test_a_key_of_unknown_form_is_asked_about(data, cloud):
    set_up("-", "good-key-without-form", "xai", "y", "")

    assert written(data).providers["xai"].api_key == "good-key-without-form"


def test_what_is_set_already_is_used_and_not_asked(data, cloud, servers, capsys):
    home = servers(Vllm, QWEN)
    data.mkdir()
    before = f"HOME_URL={home.root}\nANTHROPIC_API_KEY=sk-ant-good-key\nSEARXNG_URL=http://127.0.0.1:1\n"
    (data / ".env").write_text(before)

    owner = set_up("")

    assert len(owner.questions) == 1
    assert (data / ".env").read_text() == before
    said = capsys.readouterr().out
    assert f"HOME_URL is set: {home.url}" in said and "ANTHROPIC_API_KEY is set" in said
    assert home.chats == [QWEN["id"]]


def test_a_refused_key_is_told_from_a_cloud_out_of_reach(data, monkeypatch):
    port = unused_port()
    monkeypatch.setattr(
        candidates,
        "cloud_settings",
        lambda *_: candidates.Settings(
            "openai", model="m", base_url=f"http://127.0.0.1:{port}/v1", api_key="k"
        ),
    )

    with pytest.raises(ConnectFailed, match="connection refused"):
        candidates.try_key("openai", "sk-k", {})


# Search, and who may come in.


@pytest.fixture
def searxng(monkeypatch):
    """A SearXNG at its usual port: /config, and a search that allows JSON as long as its `status` is 200."""

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            config = {"engines": [{"name": "wikipedia"}], "instance_name": "SearXNG"}
            body = json.dumps(config if self.path == "/config" else {"results": []}).encode()
            self.send_response(200 if self.path == "/config" else Handler.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setattr(candidates, "SEARXNG_PORTS", (server.server_port,))
    yield Handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_search_engine_of_this_machine_is_found_and_tried(data, searxng, monkeypatch):
    handler, url = searxng

    assert candidates.searxng_here() == (url, None)
    handler.status = 403

    assert candidates.searxng_here() == (
        url,
        "its settings.yml has to allow json: search.formats: [html, json]",
    )


def test_a_search_engine_is_written_down(data, servers, searxng):
    _, url = searxng
    server = servers(Vllm, QWEN)

    set_up(server.url, "", "")

    assert written(data).providers["searxng"].base_url == url


def test_to_be_reached_by_others_it_gets_a_key(data, servers, capsys):
    set_up(servers(Vllm, QWEN).url, "", "y")

    config = written(data)
    assert config.server.host == "0.0.0.0"
    [key] = config.server.keys
    assert key.key.startswith("hs-") and key.key not in capsys.readouterr().out


# Files.


def test_the_file_is_short_and_says_what_it_is(data, cloud, servers):
    set_up(servers(Vllm, QWEN).url, "sk-ant-good-key", "y")

    text = (data / "headstart.yaml").read_text()
    assert len(text.splitlines()) <= 10
    assert text.startswith("# Written by `make setup`.")
    assert "# ANTHROPIC_API_KEY in .env: COMPLEX goes to anthropic" in text


def test_a_file_that_is_there_stays_and_is_told_about(data, servers, capsys):
    server = servers(Vllm, QWEN)
    data.mkdir()
    text = f"providers: {{home: {{base_url: '{server.root}'}}}}\n"
    (data / "headstart.yaml").write_text(text)

    owner = set_up()

    assert owner.questions == []
    assert (data / "headstart.yaml").read_text() == text
    said = capsys.readouterr().out
    assert "headstart.yaml is there already and stays as it is" in said
    assert "SIMPLE    -> home (Qwen/Qwen3-32B)" in said


def test_whoever_chooses_nothing_gets_no_file(data):
    set_up("-", "", "")

    assert not data.exists()


def test_whoever_adds_nothing_to_what_is_set_is_shown_who_answers(data, servers, capsys):
    server = servers(Vllm, QWEN)
    data.mkdir()
    (data / ".env").write_text(f"HOME_URL={server.url}\n")

    set_up("", "")

    said = capsys.readouterr().out
    assert "Nothing was chosen, so nothing was written." in said
    assert "SIMPLE    -> home (Qwen/Qwen3-32B)" in said


@pytest.mark.parametrize("end", [(), (KeyboardInterrupt(),)], ids=["end of input", "Ctrl-C"])
@pytest.mark.parametrize("answered", range(4))
def test_whoever_leaves_in_the_middle_leaves_nothing_behind(data, servers, capsys, answered, end):
    servers(Ollama, GEMMA, LLAMA, usual="Ollama")

    status = setup.main(lambda: Owner(*[""] * answered, *end))

    assert status == (130 if end else 0)
    assert capsys.readouterr().out.endswith("Nothing was written.\n")
    assert not data.exists()


# The command, on a terminal.


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, *command, **environment):
        self._leader, follower = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)

    def wait_for(self, words):
        """Wait until these words have been printed behind what was waited for before."""
        deadline = time.monotonic() + HANG_GUARD_S
        while words not in self.text:
            assert time.monotonic() < deadline and self._read(), f"no {words!r} in\n{self.text}"
        self.text = self.text.partition(words)[2]

    def _read(self):
        if not select.select([self._leader], [], [], HANG_GUARD_S)[0]:
            return False
        try:
            more = os.read(self._leader, 4096)
        except OSError:  # Linux, at the end
            return False
        self.text += more.decode()
        return bool(more)

    def types(self, line):
        os.write(self._leader, f"{line}\n".encode())

    def ends(self):
        """Its exit status, and what it still said."""
        while self._read():
            pass
        os.close(self._leader)
        return self.process.wait(HANG_GUARD_S), self.text


def test_the_command_is_answered_on_a_terminal(data, servers):
    server = servers(Vllm, QWEN)
    terminal = Terminal(PYTHON, "-m", "deploy.setup")

    terminal.wait_for("Your home server:")
    terminal.types(f"127.0.0.1:{server.port}")
    terminal.wait_for("It answers")
    terminal.wait_for("A key for what is hard")
    terminal.types("sk-unspoken'")  # not echoed, and no key
    terminal.wait_for("That is no key")
    terminal.wait_for("A key for what is hard")
    terminal.types("")
    terminal.wait_for("reach it? [y/N]")
    terminal.types("n")
    status, said = terminal.ends()

    assert status == 0, said
    assert "unspoken" not in said
    assert written(data).providers["home"].base_url == server.url


# The offer at the first start.


def offered(data, answer=None, **environment):
    terminal = Terminal(PYTHON, "-m", "deploy.first_start", **environment)
    if answer is not None:
        terminal.wait_for("Set up now?")
        terminal.types(answer)
    return terminal


def test_the_first_start_offers_the_set_up_once(data):
    status, said = offered(data, "n").ends()
    assert (status, "Going on with the demo model" in said) == (0, True)

    assert offered(data).ends() == (0, "")


def test_enter_at_the_offer_sets_up(data, servers):
    server = servers(Vllm, QWEN)
    terminal = offered(data, "")
    terminal.wait_for("Your home server:")
    terminal.types(server.url)
    for words in ("A key for what is hard", "reach it? [y/N]"):
        terminal.wait_for(words)
        terminal.types("")

    assert terminal.ends()[0] == 0
    assert written(data).providers["home"].base_url == server.url


@pytest.mark.parametrize("variable", ["HOME_URL", "XAI_API_KEY", "HEADSTART_CONFIG"])
def test_nothing_is_offered_where_something_is_set_up(data, variable):
    assert offered(data, **{variable: "http://box:8000"}).ends() == (0, "")


def test_nothing_is_offered_without_a_terminal(data):
    ran = subprocess.run(
        [PYTHON, "-m", "deploy.first_start"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_nobody_who_does_not_answer_holds_up_the_start(data, monkeypatch, capsys):
    reading, writing = os.pipe()
    with os.fdopen(reading) as nobody, os.fdopen(writing, "w"):
        monkeypatch.setattr("sys.stdin", nobody)

        assert not first_start.offer(data, patience_s=0.05)

    assert "Going on with the demo model" in capsys.readouterr().out
    assert not (data / first_start.MARK).exists()  # so it is offered again
