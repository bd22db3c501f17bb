"""A mistake in config.yaml names file, line and key, and nothing starts."""

import os
import re
import socket
import subprocess
import sys

import pytest

from errors import ConfigError
from settings import loader, secrets
from settings import model as config
from settings.patterns import pattern_of
from tests.support.config_texts import GOOD, MISTAKES, RULE_MISTAKES, load, with_change, with_rules
from tests.support.server import ROOT, Server


def test_what_is_not_said_has_its_default(tmp_path):
    loaded = load(tmp_path, GOOD)

    assert loaded.server == config.Server(port=9000)
    assert (loaded.virtual_model, loaded.sessions.max_count, loaded.log.file) == ("auto", 5000, "app.log")
    assert loaded.providers["far"].timeouts == config.Timeouts(connect_s=2.0)
    assert loaded.providers["near"].params == config.Params()
    assert loaded.routes["cloud"].chain == ["far", "near"]


def test_the_default_configuration_is_sound():
    loaded = loader.load(ROOT / "config.yaml", {})

    assert {name: provider.disabled for name, provider in loaded.providers.items()} == {"local": None}
    assert {loaded.dormant[name] for name in ("home", "vllm", "xai")} == {
        "HOME_URL is not set",
        "VLLM_URL is not set",
        "XAI_API_KEY is not set",
    }


@pytest.mark.parametrize("text, told", RULE_MISTAKES.values(), ids=RULE_MISTAKES)
def test_a_mistake_in_a_rule_names_its_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


def test_rules_are_read_in_their_order(tmp_path):
    rules = load(
        tmp_path,
        with_rules(
            "{prefix: mlx-community/, provider: near}",
            "{regex: '^o\\d', route: cloud, timeouts: {idle_s: 5}}",
        ),
    ).models

    assert [(rule.prefix, rule.regex, rule.provider, rule.route) for rule in rules] == [
        ("mlx-community/", None, "near", None),
        (None, "^o\\d", None, "cloud"),
    ]
    assert rules[1].timeouts == config.Timeouts(idle_s=5.0)


def test_a_pattern_that_makes_backtracking_engines_run_away_is_done_at_once(tmp_path):
    [rule] = load(tmp_path, with_rules("{regex: '^(a+)+$', provider: near}")).models

    assert pattern_of(rule.regex).search("a" * 100_000 + "b") is None


@pytest.mark.parametrize("text, told", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_its_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


def test_a_file_that_is_not_there_is_named_in_full(tmp_path):
    with pytest.raises(
        ConfigError, match=re.escape(f"{tmp_path}/gone.yaml: config: No such file or directory")
    ):
        loader.load(tmp_path / "gone.yaml", {})


def test_a_prompt_that_is_no_text_is_named(tmp_path):
    (tmp_path / "my.md").write_bytes(b"\xff\xfe")

    with pytest.raises(
        ConfigError, match=r"config.yaml:17: routes.primary.system_prompt: 'my.md' is not UTF-8"
    ):
        load(tmp_path, with_change("{chain: [near]}", "{chain: [near], system_prompt: my.md}"))


def test_a_prompt_of_the_owners_that_is_no_text_is_not_taken_for_ours(tmp_path):
    (tmp_path / "my-prompts").mkdir()
    (tmp_path / "my-prompts" / "primary.md").write_bytes(b"Be kind.\n\xff\xfe")

    with pytest.raises(ConfigError, match=r"'my-prompts/primary.md' is not UTF-8 in line 2"):
        loader.load(environ={"HEADSTART_DATA": str(tmp_path)})


# Variables.


@pytest.mark.parametrize(
    "written, environ, read",
    [
        ("${NAME}", {"NAME": "large"}, "large"),
        ('"${NAME}"', {"NAME": "large"}, "large"),
        ("${NAME:-large}", {}, "large"),
        ("${NAME:-large}", {"NAME": ""}, "large"),
        ("${NAME:-large}", {"NAME": "larger"}, "larger"),
        ("v${MAJOR}.${MINOR:-1}", {"MAJOR": "3"}, "v3.1"),
        ("${NAME}", {"NAME": "4.10"}, "4.10"),
        ("${NAME}", {"NAME": "a: {b}  # c"}, "a: {b}  # c"),
        ("$NAME", {"NAME": "large"}, "$NAME"),
    ],
)
def test_variables_are_filled_in(tmp_path, written, environ, read):
    assert (
        load(tmp_path, with_change("model: large", f"model: {written}"), **environ).providers["far"].model
        == read
    )


@pytest.mark.parametrize("key", ["4711", "null", "true", "1e5", "2024-01-01"])
def test_a_key_stays_text_whatever_it_reads_like(tmp_path, key):
    loaded = load(tmp_path, with_change("model: large", "model: large\n    api_key: ${FAR_KEY}"), FAR_KEY=key)

    assert loaded.providers["far"].api_key == key


def test_a_variable_may_hold_a_number(tmp_path):
    loaded = load(
        tmp_path,
        with_change("9000", '"${MY_PORT:-7000}"').replace("connect_s: 2", 'connect_s: "${PATIENCE}"'),
        PATIENCE="2.5",
    )

    assert loaded.server.port == 7000
    assert loaded.providers["far"].timeouts.connect_s == 2.5


def test_a_variable_that_should_hold_a_number_and_does_not_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"config.yaml:1: server.port: expected a whole number, found 'many'"
    ):
        load(tmp_path, with_change("9000", '"${MY_PORT}"'), MY_PORT="many")


def test_a_variable_within_what_is_merged_into_bodies_keeps_its_type(tmp_path):
    loaded = load(
        tmp_path,
        with_change("model: large", "model: large\n    extra_body:\n      top_k: ${K}\n      user: '${K}'"),
        K="20",
    )

    assert loaded.providers["far"].extra_body == {"top_k": 20, "user": "20"}


def test_a_provider_whose_key_is_unset_is_disabled_and_not_a_mistake(tmp_path):
    loaded = load(tmp_path, with_change("model: large", "model: large\n    api_key: ${FAR_KEY}"))

    assert loaded.providers["far"].disabled == "FAR_KEY is not set"


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("https://far.example/v1", '"${FAR_URL:-}"', "FAR_URL is not set"),
        ("model: large", 'model: "${FAR_MODEL:-}"', "FAR_MODEL is not set"),
        ("model: large", "model: ''", "model is not set"),
    ],
)
def test_a_provider_without_address_or_model_is_disabled(tmp_path, old, new, why):
    assert load(tmp_path, with_change(old, new)).providers["far"].disabled == why


def test_an_embedded_provider_without_a_model_is_disabled(tmp_path):
    loaded = load(tmp_path, with_change("  far:", "  own: {kind: mlx}\n  far:"))

    assert loaded.providers["own"].disabled == "model is not set"


def test_a_dotenv_file_beside_the_config_is_read_and_the_environment_goes_first(tmp_path):
    (tmp_path / ".env").write_text("FIRST=from-file\nSECOND=from-file\nPORT=7001\n")

    loaded = load(
        tmp_path, with_change("model: large", "model: ${FIRST}-${SECOND}"), SECOND="from-environment"
    )

    assert loaded.providers["far"].model == "from-file-from-environment"
    assert loaded.server.port == 7001


def test_a_dotenv_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=1\nKEY=\xff\n")

    with pytest.raises(ConfigError, match=r"\.env:2: text: is not UTF-8"):
        load(tmp_path, GOOD)


def test_host_and_port_override_the_address(tmp_path):
    server = load(tmp_path, GOOD, HOST="127.0.0.2", PORT="8100").server

    assert (server.host, server.port) == ("127.0.0.2", 8100)


@pytest.mark.parametrize("port", ["http", "65536", "-1", "8 0", "²", "9" * 5000])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    with pytest.raises(ConfigError, match=r"PORT: .* is not a port number"):
        load(tmp_path, GOOD, PORT=port)


def test_headstart_config_names_the_file_and_paths_are_relative_to_it(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "my.md").write_text("be kind")
    (tmp_path / "other.yaml").write_text(
        with_change("{chain: [near]}", "{chain: [near], system_prompt: prompts/my.md}")
    )

    loaded = loader.load(environ={"HEADSTART_CONFIG": str(tmp_path / "other.yaml")})

    assert loaded.path == tmp_path / "other.yaml"
    assert loaded.written(loaded.log.file) == tmp_path / "app.log"
    assert loaded.resolve(loaded.routes["primary"].system_prompt).read_text() == "be kind"


def test_a_relative_headstart_config_is_found_from_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "other.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)

    loaded = loader.load(environ={"HEADSTART_CONFIG": "other.yaml"})

    assert loaded.written(loaded.sessions.dir) == tmp_path / "sessions"


def test_settings_are_frozen(tmp_path):
    loaded = load(tmp_path, GOOD)

    with pytest.raises(AttributeError):
        loaded.server.port = 1


def test_no_secret_shows_when_settings_are_printed(tmp_path):
    text = with_change("{port: 9000}", "{port: 9000, api_keys: [hush-client]}").replace(
        "model: large", "model: large\n    api_key: hush-upstream\n    headers: {X-Token: hush-header}"
    )

    assert "hush" not in repr(load(tmp_path, text))


@pytest.mark.parametrize(
    "text, told",
    [
        (
            with_change("{port: 9000}", "{api_keys: hush-key}"),
            "1: server.api_keys: expected a list, found '***'",
        ),
        (
            with_change("{port: 9000}", "{api_keys: [[hush-key]]}"),
            "1: server.api_keys[0]: expected text, found a list",
        ),
        (
            with_change("{port: 9000}", "{api_keys:hush-key}"),
            "1: server.api_keys:***: a blank is missing after api_keys:",
        ),
        (
            with_change("model: large", "model: large\n    api_key: !hush key"),
            "14: providers.far.api_key: could not determine a constructor for the tag '***'",
        ),
        (
            with_change("model: large", "model: large\n    api_key: *hush"),
            "14: yaml: a value that begins with '*' has to be in quotes",
        ),
        (
            with_change("model: large", "headers: {X: !hush key}"),
            "13: providers.far.headers.X: could not determine a constructor for the tag '***'",
        ),
        (
            with_change("https://far.example/v1", "ftp://me:hush-key@far"),
            "12: providers.far.base_url: 'ftp://***@far' is no http(s) URL",
        ),
        (
            with_change("https://far.example/v1", "'far?token=hush-key'"),
            "12: providers.far.base_url: 'far?token=***' is no http(s) URL",
        ),
    ],
)
def test_a_mistake_tells_no_secret(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


# Where values come from.


def test_each_value_knows_where_it_came_from(tmp_path):
    (tmp_path / ".env").write_text("FROM_FILE=large\n")
    text = with_change(
        "model: large", "model: ${MODEL_PREFIX}-${FROM_FILE}\n    headers: {X-Who: '${WHO:-nobody}'}"
    )
    text = text.replace("chain: [near]", "chain: [near, '${SPARE}']")

    origins = load(tmp_path, text, MODEL_PREFIX="very", SPARE="far", PORT="1234").origins

    assert origins["providers.far.model"] == config.Origin(13, ("env MODEL_PREFIX", ".env FROM_FILE"))
    assert origins["providers.far.headers.X-Who"] == config.Origin(14, ())
    assert origins["routes.primary.chain[1]"] == config.Origin(18, ("env SPARE",))
    assert origins["server.port"] == config.Origin(None, ("env PORT",))
    assert origins["classifier.model"] == config.Origin(6, ())
    assert "virtual_model" not in origins


@pytest.mark.parametrize(
    "name",
    [
        "XAI_API_KEY",
        "apiKey",
        "X-Api-Key",
        "GITHUB_TOKEN",
        "db.password",
        "CLIENT_SECRET",
        "Authorization",
        "PGPASSWORD",
        "AWS_CREDENTIALS",
    ],
)
def test_names_of_secrets_are_known(name):
    assert secrets.looks_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "VLLM_URL", "model", "keyboard_layout", "author", "PORT"])
def test_other_names_are_not_taken_for_secrets(name):
    assert not secrets.looks_secret(name)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("postgresql+psycopg://me:hu@sh@db/headstart", "postgresql+psycopg://***@db/headstart"),
        ("https://far/v1?api_key=hush&page=2", "https://far/v1?api_key=***&page=2"),
        ("Authorization: Bearer hush", "Authorization: ***"),
        ("http://127.0.0.1:8000/v1?page=2&token=hush", "http://127.0.0.1:8000/v1?page=2&token=***"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("sqlite:///ledger.db", "sqlite:///ledger.db"),
    ],
)
def test_secrets_within_a_text_are_masked(text, shown):
    assert secrets.masked(text) == shown


# A file that has become faulty.


def test_what_was_loaded_last_stands_in_for_a_file_that_has_become_faulty(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text(GOOD)
    loaded, mistake = loader.load_or_last()
    assert mistake is None

    (tmp_path / "config.yaml").write_text("server: {prot: 1}\n")

    last, mistake = loader.load_or_last()
    assert last is loaded
    assert str(mistake) == "config.yaml:1: server.prot: unknown key, did you mean port?"


# The real start.


def started(folder, text, port, **environment):
    """What a start with this configuration ends with: its exit code and what it printed."""
    (folder / "config.yaml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
        cwd=ROOT,
        env={
            **os.environ,
            "PORT": str(port),
            "HEADSTART_CONFIG": str(folder / "config.yaml"),
            "TMPDIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_broken_config_stops_the_start_and_leaves_nothing(tmp_path):
    with socket.socket() as taken:
        # Bound and not listening: whoever tried to serve here would fail at that instead.
        taken.bind(("127.0.0.1", 0))
        ended = started(tmp_path, with_change("backend: openai", "backend: llama"), taken.getsockname()[1])

    assert ended.returncode not in (0, None)
    assert (
        ended.stderr.strip() == "headstart: config.yaml:4: classifier.backend: 'llama' is none of mlx, openai"
    )
    assert ended.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]


def test_a_missing_config_stops_the_start(tmp_path):
    ended = started(tmp_path, GOOD, 0, HEADSTART_CONFIG=str(tmp_path / "gone.yaml"))

    assert ended.returncode not in (0, None)
    assert ended.stderr.strip() == f"headstart: {tmp_path}/gone.yaml: config: No such file or directory"


def test_a_log_that_cannot_be_written_stops_the_start(tmp_path):
    (tmp_path / "app.log").mkdir()

    ended = started(tmp_path, GOOD, 0)

    assert ended.returncode not in (0, None)
    assert "app.log" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("headstart-")) == []


def test_the_server_listens_where_host_and_port_say_so(tmp_path):
    server = Server(
        tmp_path,
        {
            "decisions": dict.fromkeys(config.DECISIONS, "primary"),
            "classifier": {"backend": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "none"},
            "providers": {"gone": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "gone"}},
            "routes": {"primary": {"chain": ["gone"]}},
        },
        HOST="::1",
    )
    server.url = f"http://[::1]:{server.port}"
    try:
        server.wait_until_up()
    finally:
        printed = server.stop()

    assert f"http://[::1]:{server.port}" in printed
