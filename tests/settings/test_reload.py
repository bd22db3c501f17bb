"""A changed configuration takes effect while requests are served; a faulty one is reported, nothing more."""

import copy
import itertools
import os
import re
import signal
import threading

import pytest
import requests
import yaml

from routing.classifier import ClassifierFailed, MlxClassifier
from settings import loader, reload
from settings import model as settings
from tests.support.config_texts import MINIMAL
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server
from tests.support.waiting import await_that

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


_COUNTS = itertools.count(6000)


class Owner:
    """Somebody who edits the configuration of a running Headstart."""

    def __init__(self, server, config):
        self.server = server
        self.config = config

    def edits(self):
        """A copy of the configuration to change and hand to `saves`."""
        return copy.deepcopy(self.config)

    def saves(self, config, signum=signal.SIGHUP):
        """Write the file, have it read, and return the keys that app.log then calls changed.

        signum: None to let the change be noticed.
        """
        # By this number its line is known from others.
        config["sessions"] = {**config.get("sessions", {}), "max_count": next(_COUNTS)}
        line = self._reaction(
            yaml.safe_dump(config, sort_keys=False),
            signum,
            r"Config reloaded: changed=\S*sessions\.max_count",
        )
        self.config = config
        return set(line.partition("changed=")[2].split(",")) - {"sessions.max_count"}

    def blunders(self, text):
        """Write a faulty file, have it read, and return what app.log says to it."""
        return self._reaction(text, signal.SIGHUP, r"Config rejected: ").partition("Config rejected: ")[2]

    def _reaction(self, text, signum, pattern):
        told = len(self.server.log_text())
        (self.server.folder / "config.yaml").write_text(text)
        if signum:
            self.server.process.send_signal(signum)
        return self.line_after(told, pattern)

    def line_after(self, told, pattern):
        """The first line beyond the first `told` characters of app.log that matches, awaited."""

        def found():
            lines = self.server.log_text()[told:].split("\n")[:-1]
            return [line for line in lines if re.search(pattern, line)]

        await_that(found, f"no line like {pattern!r}")
        return found()[0]


@pytest.fixture(scope="module")
def server(upstreams, tmp_path_factory):
    server = Server(
        tmp_path_factory.mktemp("headstart"), scripted_config(**upstreams), MAIN_KEY=""
    ).wait_until_up()
    yield server
    server.stop()


@pytest.fixture
def owner(server, upstreams, judge):
    owner = Owner(server, scripted_config(**upstreams))
    before = owner.edits()
    yield owner
    for extra in (".env", "prompts/mine.md"):
        (server.folder / extra).unlink(missing_ok=True)
    owner.saves(before)


def worker_of(server):
    """The pid of the worker, the only child of a master that has no engines."""
    [pid] = server.descendants()
    return pid


# What makes it look.


def test_a_saved_file_takes_effect_by_itself(owner, primary):
    config = owner.edits()
    config["providers"]["main"]["model"] = "another"

    changed = owner.saves(config, signum=None)

    assert changed == {"providers.main.model"}
    assert owner.server.chat().status_code == 200
    assert primary.last.body["model"] == "another"


@pytest.mark.parametrize("receiver", ["master", "worker"])
def test_sighup_has_it_read_the_file_again(owner, receiver):
    told = len(owner.server.log_text())

    os.kill(owner.server.process.pid if receiver == "master" else worker_of(owner.server), signal.SIGHUP)

    assert owner.line_after(told, "Config reloaded:").endswith("Config reloaded: changed=-")
    assert owner.server.chat().status_code == 200


def test_a_changed_prompt_file_is_read_again(owner, primary):
    prompt = owner.server.folder / "prompts" / "mine.md"
    prompt.parent.mkdir(exist_ok=True)
    prompt.write_text("Be brief.")
    config = owner.edits()
    config["routes"]["primary"]["system_prompt"] = "prompts/mine.md"
    owner.saves(config)
    told = len(owner.server.log_text())

    prompt.write_text("Be very brief.")

    assert owner.line_after(told, "Config reloaded:").endswith("changed=mine.md")
    owner.server.chat()
    assert primary.last.messages[0] == {"role": "system", "content": "Be very brief."}


def test_a_changed_dotenv_file_is_read_again_and_its_secrets_stay_out_of_the_log(owner, primary):
    config = owner.edits()
    config["providers"]["main"]["api_key"] = "${REAL_KEY:-none}"
    owner.saves(config)
    told = len(owner.server.log_text())

    (owner.server.folder / ".env").write_text("REAL_KEY=hush-upstream\n")

    assert owner.line_after(told, "Config reloaded:").endswith("changed=providers.main.api_key")
    owner.server.chat()
    assert primary.last.headers["Authorization"] == "Bearer hush-upstream"
    assert "hush" not in owner.server.log_text()


# What goes on meanwhile.


def test_a_stream_in_flight_ends_under_the_configuration_it_began_with(owner, primary, backup):
    primary.runs(("token", "first"), ("stall",), ("token", "last"), ("finish", "stop"))
    stream = requests.post(
        owner.server.url + "/v1/chat/completions",
        json={**HELLO, "stream": True},
        stream=True,
        timeout=HANG_GUARD_S,
    )
    chunks = stream.iter_content(None)
    begun = next(chunks)
    config = owner.edits()
    config["routes"]["primary"]["chain"] = ["backup"]
    del config["providers"]["main"]
    config["routes"]["meta"]["chain"] = config["routes"]["xai"]["chain"] = ["backup"]
    config["server"] = {"api_keys": ["new-key"]}

    changed = owner.saves(config)
    meanwhile = owner.server.chat(headers={"x-api-key": "new-key"})
    primary.release.set()
    whole = begun + b"".join(chunks)

    assert changed == {
        "routes.primary.chain",
        "routes.meta.chain",
        "routes.cloud.chain",
        "providers.main",
        "server.api_keys",
    }
    assert meanwhile.headers["X-Provider"] == "backup"
    assert b"first" in whole and b"last" in whole and whole.endswith(b"data: [DONE]\n\n")
    line = owner.server.request_line(stream.headers["X-Session-Id"])
    assert (line["provider"], line["status"]) == ("main", "200")
    assert owner.server.session(stream.headers["X-Session-Id"])["status"] == 200


def test_the_count_of_requests_goes_on(owner):
    owner.server.chat()
    counted = re.compile(r'headstart_requests_total\{[^}]*route="primary"[^}]*\} (\d+)')
    before = sum(
        map(float, counted.findall(requests.get(owner.server.url + "/metrics", timeout=HANG_GUARD_S).text))
    )
    config = owner.edits()
    config["virtual_model"] = "any"

    owner.saves(config)

    after = sum(
        map(float, counted.findall(requests.get(owner.server.url + "/metrics", timeout=HANG_GUARD_S).text))
    )
    assert after >= before > 0


# What a change can do.


def test_a_new_provider_route_and_rule_serve_at_once(owner, backup):
    backup.streams("from the new one")
    config = owner.edits()
    config["providers"]["fresh"] = {**config["providers"]["backup"], "model": "fresh-model"}
    config["routes"]["code"] = {"chain": ["fresh"]}
    config["models"] = [{"prefix": "mlx-community/", "route": "code"}]

    changed = owner.saves(config)

    assert changed == {"providers.fresh", "routes.code", "models"}
    assert "code" in [
        model["id"]
        for model in requests.get(owner.server.url + "/v1/models", timeout=HANG_GUARD_S).json()["data"]
    ]
    for model in ("code", "fresh-model", "mlx-community/tiny"):
        assert owner.server.chat(model=model).headers["X-Provider"] == "fresh"


def test_changed_keys_count_at_once(owner):
    config = owner.edits()
    config["server"] = {"api_keys": ["new-key"]}

    owner.saves(config)

    assert owner.server.chat().status_code == 401
    assert owner.server.chat(headers={"Authorization": "Bearer new-key"}).status_code == 200
    assert "new-key" not in owner.server.log_text()


def test_another_classifier_decides(owner, cloud):
    cloud.streams("META is not for me, but COMPLEX")
    config = owner.edits()
    config["classifier"] = {
        **config["classifier"],
        "base_url": cloud.url,
        "model": "other-judge",
        "on_failure": "SIMPLE",
    }

    owner.saves(config)

    told = owner.server.post("/v1/classify", HELLO).json()
    assert (told["decision"], told["source"]) == ("COMPLEX", "other-judge")


def test_the_embedded_classifier_is_ready_when_it_takes_over(prepared, owner):
    config = owner.edits()
    config["classifier"] = {"backend": "mlx"}

    owner.saves(config)
    told = owner.server.post("/v1/classify", HELLO).json()

    assert told["source"] == "mlx"
    assert told["probabilities"]


def test_records_and_log_move_to_where_the_new_file_says(owner):
    config = owner.edits()
    config["sessions"] = {"dir": "elsewhere"}
    config["log"] = {"file": "other.log"}
    server = owner.server
    (server.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    server.process.send_signal(signal.SIGHUP)
    other = server.folder / "other.log"
    await_that(lambda: other.exists() and "Config reloaded" in other.read_text(), "nothing in the other log")

    session = server.chat().headers["X-Session-Id"]

    await_that(lambda: list((server.folder / "elsewhere").glob(f"*_{session}.json")), "no record elsewhere")
    assert f" REQUEST session={session} " in other.read_text()
    assert session not in server.log_text()


def test_an_owners_file_that_comes_and_goes_is_taken_up(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    absent = loader.load()
    (tmp_path / "headstart.yaml").write_text("server: {port: 9000}\n")
    there = loader.load(absent.path)
    (tmp_path / "headstart.yaml").unlink()

    assert (absent.server.port, there.server.port, loader.load(there.path).server.port) == (8002, 9000, 8002)


# What waits for a restart.


def test_what_needs_a_restart_is_named_and_does_not_take_effect(owner):
    config = owner.edits()
    config["server"] = {"threads": 2}
    config["providers"]["own"] = {"kind": "mlx", "model": "builtin"}
    config["routes"]["own-way"] = {"chain": ["own"]}
    told = len(owner.server.log_text())

    owner.saves(config)

    assert owner.line_after(told, " WARNING Config restart needed").endswith(
        "for: server.threads,providers.own"
    )
    reply = owner.server.chat(model="own-way")
    assert reply.status_code == 503
    assert "its engine starts with the next start" in reply.text


# Mistakes.


def test_a_faulty_file_changes_nothing_and_is_reported_with_line_and_key(owner):
    text = yaml.safe_dump(owner.config, sort_keys=False)
    line = text[: text.index("  xai:")].count("\n") + 1

    told = owner.blunders(text.replace("  xai:", "  xai:\n    chian: []", 1))

    assert told == f"config.yaml:{line + 1}: routes.xai.chian: unknown key, did you mean chain?"
    assert owner.server.chat().status_code == 200
    health = requests.get(f"{owner.server.url}/health", timeout=HANG_GUARD_S).json()
    assert (health["status"], health["config"]["rejected"]) == ("degraded", [told])
    assert owner.saves(owner.edits()) == set()
    assert not requests.get(f"{owner.server.url}/health", timeout=HANG_GUARD_S).json()["config"]["rejected"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("server: {api_keys: hush}", "config.yaml:1: server.api_keys: expected a list, found '***'"),
        ("server: {api_key:hush}", "config.yaml:1: server.api_key:***: unknown key, did you mean api_keys?"),
        (
            "server:\n  api_keys: [*hush]",
            "config.yaml:2: yaml: a value that begins with '*' has to be in quotes",
        ),
        (
            "providers: {far: {kind: openai, base_url: 'ftp://me:hush@far'}}",
            "config.yaml:1: providers.far.base_url: 'ftp://***@far' is no http(s) URL",
        ),
    ],
    ids=[
        "a key for a list",
        "a key without its blank",
        "a key that YAML takes for an alias",
        "a password in an address",
    ],
)
def test_no_secret_of_a_faulty_file_is_reported(owner, text, told):
    if "ftp" in text:
        text = yaml.safe_dump(
            {
                **owner.config,
                "providers": {},
                "decisions": dict.fromkeys(settings.DECISIONS, "a"),
                "routes": {"a": {"chain": ["far"]}},
            }
        )
        text = "providers: {far: {kind: openai, base_url: 'ftp://me:hush@far'}}\n" + text.replace(
            "providers: {}\n", ""
        )

    assert owner.blunders(text) == told


def test_a_log_that_cannot_be_written_is_refused(owner):
    (owner.server.folder / "folder").mkdir(exist_ok=True)
    config = owner.edits()
    config["log"] = {"file": "folder"}
    text = yaml.safe_dump(config, sort_keys=False)

    told = owner.blunders(text)

    assert told == f"config.yaml:{text[: text.index('log:')].count(chr(10)) + 1}: log: Is a directory"
    assert owner.server.chat().status_code == 200


def test_a_worker_that_is_replaced_while_the_file_is_faulty_serves_as_it_was_started(
    upstreams, judge, tmp_path
):
    server = Server(tmp_path, scripted_config(**upstreams)).wait_until_up()
    try:
        (tmp_path / "config.yaml").write_text("server: {prot: 1}\n")
        server.log_line("Config rejected: config.yaml:1: server.prot")
        worker = worker_of(server)

        os.kill(worker, signal.SIGKILL)

        await_that(lambda: worker not in server.descendants(), "the worker lives on")
        server.wait_until_up()
        assert server.chat().status_code == 200
        assert len(server.log_lines("Config rejected: config.yaml:1: server.prot", 2)) == 2
    finally:
        server.stop()


# The parts of it.


class Parts:
    """Parts that remember what was done with them."""

    def __init__(self, config):
        self.config = config
        self.done = []
        self.closed = threading.Event()

    def files(self):
        return {self.config.path}

    def successor(self, config):
        self.next = Parts(config)
        return self.next

    def rejected(self, mistake):
        self.done.append(("rejected", mistake))

    def start(self):
        self.done.append("start")

    def stop(self):
        self.done.append("stop")

    def close(self, successor):
        self.done.append(("close", successor))
        self.closed.set()


@pytest.fixture
def reloader(tmp_path):
    (tmp_path / "config.yaml").write_text(MINIMAL)
    return reload.Reloader(Parts(loader.load(tmp_path / "config.yaml", {})))


def reloaded(reloader):
    """Have the reloader make the change, on a thread that ends with it; returns the new parts."""
    reloader.start()
    old = reloader.parts
    reloader.request_reload()
    await_that(lambda: reloader.parts is not old and reloader.parts.done == ["start"], "nothing was reloaded")
    return reloader.parts


def test_parts_are_closed_when_the_last_request_under_them_has_ended(reloader):
    first, second = reloader.take(), reloader.take()

    new = reloaded(reloader)

    assert first is second and first.done == ["start", "stop"]
    reloader.leave(first)
    assert not first.closed.is_set()
    reloader.leave(second)
    assert first.done == ["start", "stop", ("close", new)]
    assert reloader.take() is new


def test_parts_nobody_uses_are_closed_at_once(reloader):
    old = reloader.parts
    reloader.leave(reloader.take())

    reloaded(reloader)

    assert old.closed.wait(HANG_GUARD_S)


def test_the_end_closes_all_parts_those_in_use_too(reloader):
    old = reloader.take()
    new = reloaded(reloader)

    reloader.close()

    assert old.done[-1] == ("close", new)
    assert new.done[-1] == ("close", None)


def of(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    return loader.load(tmp_path / "config.yaml", {})


def test_changed_keys_name_what_differs_and_no_values(tmp_path):
    old = of(tmp_path, MINIMAL + "timezone: UTC\n")
    new = of(
        tmp_path,
        MINIMAL.replace("model: small", "model: large, timeouts: {idle_s: 3}").replace(
            "routes: {", "routes: {b: {chain: [near]}, "
        )
        + "server: {api_keys: [hush]}\n",
    )

    assert list(reload.changed_keys(old, new)) == [
        "server.api_keys",
        "timezone",
        "providers.near.model",
        "providers.near.timeouts.idle_s",
        "routes.b",
    ]
    assert list(reload.changed_keys(old, old)) == []


def test_an_engine_that_runs_keeps_its_model_until_the_restart(tmp_path):
    text = MINIMAL.replace("providers: {", "providers: {own: {kind: mlx, model: a/one}, ")
    running = of(tmp_path, text)

    config, waiting = reload.as_running(
        of(tmp_path, text.replace("model: a/one", "model: a/two, queue_timeout_s: 7")),
        running,
        {"own": "a/one"},
    )

    assert waiting == ["providers.own.model"]
    assert (config.providers["own"].model, config.providers["own"].queue_timeout_s) == ("a/one", 7.0)
    assert config.path == running.path


def test_an_embedded_classifier_that_is_let_go_answers_who_asked_before():
    asked, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Model:
        at_once = 1

        def batch(self, all_turns):
            asked.set()
            go_on.wait(HANG_GUARD_S)
            return [{"SIMPLE": 1.0}] * len(all_turns)

        def __del__(self):
            ended.set()

    classifier = MlxClassifier(Model)
    classifier.wait_until_ready(HANG_GUARD_S)
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(
            classifier.probabilities([("user", "hi")], HANG_GUARD_S, lambda cancel: None)
        )
    )
    asking.start()
    assert asked.wait(HANG_GUARD_S)

    classifier.close()
    go_on.set()
    asking.join(HANG_GUARD_S)

    assert answers == [({"SIMPLE": 1.0}, None)]
    assert ended.wait(HANG_GUARD_S), "its thread, and with it its model, lives on"


def test_an_embedded_classifier_that_cannot_be_loaded_says_so():
    def load_model():
        raise OSError("no weights")

    with pytest.raises(ClassifierFailed, match="no weights"):
        MlxClassifier(load_model).wait_until_ready(HANG_GUARD_S)
