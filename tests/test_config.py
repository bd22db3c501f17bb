"""A mistake in config.yaml names file, line and key, and nothing starts."""

import os
import re
import socket
import subprocess
import sys

import pytest
from server import ROOT, Server

from errors import ConfigError
from settings import model as config

GOOD = """\
server: {port: 9000}
timezone: Europe/Berlin
classifier:
  backend: openai
  base_url: http://127.0.0.1:1/v1
  model: judge
decisions: {SIMPLE: primary, MODERATE: primary, COMPLEX: cloud, ENRICH: enrich, META: primary}
providers:
  near: {kind: openai, base_url: "http://127.0.0.1:2/v1", model: small}
  far:
    kind: openai
    base_url: https://far.example/v1
    model: large
    timeouts: {connect_s: 2}
    params: {min: {max_tokens: 16384}}
routes:
  primary: {chain: [near]}
  cloud: {chain: [far, near]}
  enrich:
    context: far
    answer: primary
"""


def load(folder, text, **environ):
    file = folder / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load(file, environ)


def with_change(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_what_is_not_said_has_its_default(tmp_path):
    loaded = load(tmp_path, GOOD)

    assert loaded.server == config.Server(port=9000)
    assert (loaded.virtual_model, loaded.sessions.max_count, loaded.log.file) == ("auto", 5000, "app.log")
    assert loaded.providers["far"].timeouts == config.Timeouts(connect_s=2.0)
    assert loaded.providers["near"].params == config.Params()
    assert loaded.routes["cloud"].chain == ["far", "near"]


def test_the_default_configuration_is_sound():
    loaded = config.load(ROOT / "config.yaml", {})

    assert loaded.providers["local"].disabled is None
    assert loaded.providers["vllm"].disabled == "base_url is not set"
    assert loaded.providers["xai"].disabled == "XAI_API_KEY is not set"


MISTAKES = {
    "an unknown section": (with_change("timezone:", "time_zone:"), "2: time_zone: unknown key, did you mean timezone?"),
    "an unknown key": (
        with_change("timeouts: {connect_s", "timeout: {connect_s"),
        "14: providers.far.timeout: unknown key, did you mean timeouts?",
    ),
    "an unknown key like no other": (
        with_change("connect_s", "xyzzy"),
        "14: providers.far.timeouts.xyzzy: unknown key; known: connect_s, first_byte_s, idle_s, total_s",
    ),
    "a key that stands there twice": (GOOD + "timezone: local\n", "22: timezone: stands here twice"),
    "text for a number": (with_change("9000", "many"), "1: server.port: expected a whole number, found 'many'"),
    "a fraction for a whole number": (with_change("9000", "90.5"), "1: server.port: expected a whole number, found '90.5'"),
    "a boolean for a number": (with_change("9000", "true"), "1: server.port: expected a whole number, found 'true'"),
    "a port beyond all ports": (with_change("9000", "65536"), "1: server.port: 65536 is more than 65535"),
    "a negative port": (with_change("9000", "-1"), "1: server.port: -1 is less than 0"),
    "an infinite time": (
        with_change("connect_s: 2", "connect_s: .inf"),
        "14: providers.far.timeouts.connect_s: expected a finite number, found '.inf'",
    ),
    "a time that is no number": (
        with_change("connect_s: 2", "connect_s: .nan"),
        "14: providers.far.timeouts.connect_s: expected a finite number, found '.nan'",
    ),
    "a time no socket takes": (
        with_change("connect_s: 2", "connect_s: 1e12"),
        "14: providers.far.timeouts.connect_s: expected a number, found '1e12'",
    ),
    "a time that is too long": (
        with_change("connect_s: 2", "connect_s: 100000"),
        "14: providers.far.timeouts.connect_s: 100000.0 is more than 86400.0",
    ),
    "no time at all": (with_change("connect_s: 2", "connect_s: 0"), "14: providers.far.timeouts.connect_s: 0.0 is less than 0.001"),
    "a mapping for a text": (
        with_change("model: large", "model: {name: large}"),
        "13: providers.far.model: expected text, found a mapping",
    ),
    "a boolean for a text": (with_change("model: large", "model: yes"), "13: providers.far.model: expected text, found 'yes'"),
    "nothing for a text": (with_change("model: large", "model:"), "13: providers.far.model: expected text, found nothing"),
    "a text for a list": (with_change("chain: [near]", "chain: near"), "17: routes.primary.chain: expected a list, found 'near'"),
    "a list for a mapping": (with_change("{port: 9000}", "[9000]"), "1: server: expected a mapping, found a list"),
    "a text for a mapping": (with_change("{port: 9000}", "9000"), "1: server: expected a mapping, found '9000'"),
    "a wrong choice": (with_change("backend: openai", "backend: llama"), "4: classifier.backend: 'llama' is none of mlx, openai"),
    "a provider without its kind": (
        with_change('{kind: openai, base_url: "http', '{base_url: "http'),
        "9: providers.near.kind: is required",
    ),
    "a floor that is no number": (with_change("16384", "lots"), "15: providers.far.params.min.max_tokens: expected a number"),
    "an address that is none": (
        with_change("https://far.example/v1", "far.example"),
        "12: providers.far.base_url: 'far.example' is no http(s) URL",
    ),
    "an address with a blank": (
        with_change("https://far.example/v1", "'https://far.example/v 1'"),
        "12: providers.far.base_url: 'https://far.example/v 1' is no http(s) URL",
    ),
    "a classifier's address that is none": (
        with_change("http://127.0.0.1:1/v1", "nowhere"),
        "5: classifier.base_url: 'nowhere' is no http(s) URL",
    ),
    "a classifier without address": (
        with_change("  base_url: http://127.0.0.1:1/v1\n", ""),
        "3: classifier.base_url: is required for the openai backend",
    ),
    "a time zone nobody has": (with_change("Europe/Berlin", "Europe/Atlantis"), "2: timezone: 'Europe/Atlantis' is no IANA time zone"),
    "a variable that is not set": (with_change("Europe/Berlin", "${ZONE}"), "2: timezone: the variable ZONE is not set"),
    "a decision nobody makes": (
        with_change("META: primary", "META: primary, HARD: cloud"),
        "7: decisions.HARD: unknown decision; known: SIMPLE, MODERATE, COMPLEX, ENRICH, META",
    ),
    "a decision without a route": (with_change(", META: primary", ""), "7: decisions: no route for META"),
    "a decision for a route that is not there": (
        with_change("META: primary", "META: housekeeping"),
        "7: decisions.META: there is no route 'housekeeping'",
    ),
    "a chain with a stranger": (
        with_change("chain: [far, near]", "chain: [far, gone]"),
        "18: routes.cloud.chain[1]: there is no provider 'gone'",
    ),
    "a route that leads nowhere": (with_change("chain: [near]", "chain: []"), "17: routes.primary: needs a chain, or an answer route"),
    "a route that leads two ways": (
        with_change("    answer: primary", "    answer: primary\n    chain: [near]"),
        "19: routes.enrich: needs a chain, or an answer route, not both",
    ),
    "an answer by a stranger": (
        with_change("answer: primary", "answer: nobody"),
        "21: routes.enrich.answer: there is no route 'nobody' with a chain",
    ),
    "an answer by itself": (
        with_change("answer: primary", "answer: enrich"),
        "21: routes.enrich.answer: is circular: enrich -> enrich",
    ),
    "a context by a stranger": (with_change("context: far", "context: gone"), "20: routes.enrich.context: there is no provider 'gone'"),
    "an answer without context": (with_change("    context: far\n", ""), "19: routes.enrich.context: is required beside an answer route"),
    "a context nobody uses": (
        with_change("chain: [near]", "chain: [near], context: far"),
        "17: routes.primary.context: needs an answer route that uses what it finds",
    ),
    "a route named like the virtual model": (
        with_change("  enrich:", "  auto: {chain: [near]}\n  enrich:"),
        "19: routes.auto: has the name of the virtual model",
    ),
    "a prompt that is not there": (
        with_change("{chain: [near]}", "{chain: [near], system_prompt: my.md}"),
        "17: routes.primary.system_prompt: 'my.md' cannot be read: No such file or directory",
    ),
    "a prompt that is a folder": (
        with_change("{chain: [near]}", "{chain: [near], system_prompt: .}"),
        "17: routes.primary.system_prompt: '.' cannot be read: Is a directory",
    ),
    "routes that answer for each other": (
        with_change("answer: primary", "answer: deep") + "  deep: {context: far, answer: deeper}\n  deeper: {context: far, answer: enrich}\n",
        "21: routes.enrich.answer: is circular: enrich -> deep -> deeper -> enrich",
    ),
    "an answer by way of a third": (
        with_change("answer: primary", "answer: deep") + "  deep: {context: far, answer: primary}\n",
        "21: routes.enrich.answer: there is no route 'deep' with a chain",
    ),
    "a negative price": (
        with_change("model: large", "model: large\n    prices: {input: 1, output: -0.5}"),
        "14: providers.far.prices.output: -0.5 is less than 0",
    ),
    "a price that is missing": (with_change("model: large", "model: large\n    prices: {input: 1}"), "14: providers.far.prices.output: is required"),
    "two providers for embeddings": (
        with_change("model: large", "model: large\n    embeddings: true").replace("model: small", "model: small, embeddings: true"),
        "14: providers.far.embeddings: 'near' is marked for embeddings already",
    ),
    "a provider that stands there twice": (
        with_change("  far:", "  near: {kind: mlx, model: builtin}\n  far:"),
        "10: providers.near: stands here twice",
    ),
    "a tag nobody knows": (
        with_change("model: large", "model: !large one"),
        "13: providers.far.model: could not determine a constructor for the tag '!large'",
    ),
    "a ledger that is no database": (GOOD + "ledger: {url: ledger.db}\n", "22: ledger.url: has to begin with sqlite:/// or postgresql://"),
    "an item of a list": (with_change("chain: [near]", "chain: [[near]]"), "17: routes.primary.chain[0]: expected text, found a list"),
    "a tab": (with_change("  near:", "\tnear:"), "9: yaml: found character '\\t' that cannot start any token"),
    "a bracket that stays open": (GOOD + "server: [", "22: yaml: expected the node content, but found '<stream end>'"),
    "two documents": (GOOD + "---\n", "22: yaml: but found another document"),
    "a null byte": (with_change("Berlin", "Ber\0lin"), "2: yaml: the character '\\x00' is not allowed"),
    "a mapping in itself": (
        with_change("{max_tokens: 16384}", "&floor {max_tokens: *floor}"),
        "1: yaml: is nested too deeply, or in itself",
    ),
    "bytes that are no text": (GOOD.encode().replace(b"Berlin", b"K\xf6ln"), "2: text: is not UTF-8"),
    "an empty file": ("# nothing yet\n", "1: config: the file is empty"),
    "a list for the whole": ("- server\n", "1: config: expected a mapping, found a list"),
}


def with_rules(*rules):
    return GOOD + "models:\n" + "".join(f"  - {rule}\n" for rule in rules)


RULE_MISTAKES = {
    "a rule for nothing": (with_rules("{provider: far}"), "23: models[0]: needs one of exact, prefix and regex"),
    "a rule for two things": (with_rules("{exact: a, prefix: b, provider: far}"), "23: models[0]: needs one of exact, prefix and regex"),
    "a rule for an empty name": (with_rules("{prefix: '', provider: far}"), "23: models[0]: needs one of exact, prefix and regex"),
    "a rule that leads nowhere": (with_rules("{exact: a}"), "23: models[0]: needs a provider or a route"),
    "a rule that leads two ways": (
        with_rules("{exact: a, provider: far, route: cloud}"),
        "23: models[0]: needs a provider or a route, not both",
    ),
    "a rule that leads to a stranger": (
        with_rules("{exact: a, provider: far}", "exact: b\n    provider: gone"),
        "25: models[1].provider: there is no provider 'gone'",
    ),
    "a rule that goes a way that is not there": (
        with_rules("exact: b\n    route: gone"),
        "24: models[0].route: there is no route 'gone'",
    ),
    "two rules with one name": (
        with_rules("{exact: a, provider: far}", "{prefix: a, provider: far}", "{exact: a, provider: near}"),
        "25: models[2]: exact 'a' stands in models[0] already",
    ),
    "a pattern that is none": (
        with_rules("provider: far\n    regex: 'gpt-(4'"),
        "24: models[0].regex: 'gpt-(4' is no RE2 pattern: missing ): gpt-(4",
    ),
    "a pattern that only a backtracking engine takes": (
        with_rules(r"{regex: '(a)\1', provider: far}"),
        r"23: models[0].regex: '(a)\1' is no RE2 pattern: invalid escape sequence: \1",
    ),
    "a pattern that would fill the memory": (
        with_rules("{regex: '((a{100}){100}){100}', provider: far}"),
        "23: models[0].regex: '((a{100}){100}){100}' is no RE2 pattern: invalid repetition size: {100}",
    ),
    "a floor that is no number": (
        with_rules("exact: a\n    provider: far\n    params:\n      min: {max_tokens: lots}"),
        "26: models[0].params.min.max_tokens: expected a number",
    ),
    "an unknown key of a rule": (with_rules("{exakt: a, provider: far}"), "23: models[0].exakt: unknown key, did you mean exact?"),
    "a rule that is none": (with_rules("far"), "23: models[0]: expected a mapping, found 'far'"),
}


@pytest.mark.parametrize("text, told", RULE_MISTAKES.values(), ids=RULE_MISTAKES)
def test_a_mistake_in_a_rule_names_its_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


def test_rules_are_read_in_their_order(tmp_path):
    rules = load(tmp_path, with_rules("{prefix: mlx-community/, provider: near}", "{regex: '^o\\d', route: cloud, timeouts: {idle_s: 5}}")).models

    assert [(rule.prefix, rule.regex, rule.provider, rule.route) for rule in rules] == [
        ("mlx-community/", None, "near", None),
        (None, "^o\\d", None, "cloud"),
    ]
    assert rules[1].timeouts == config.Timeouts(idle_s=5.0)


def test_a_pattern_that_makes_backtracking_engines_run_away_is_done_at_once(tmp_path):
    [rule] = load(tmp_path, with_rules("{regex: '^(a+)+$', provider: near}")).models

    assert config.pattern_of(rule.regex).search("a" * 100_000 + "b") is None


@pytest.mark.parametrize("text, told", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_its_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


def test_a_file_that_is_not_there_is_named_in_full(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/gone.yaml:0: config: No such file or directory")):
        config.load(tmp_path / "gone.yaml", {})


def test_a_prompt_that_is_no_text_is_named(tmp_path):
    (tmp_path / "my.md").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"config.yaml:17: routes.primary.system_prompt: 'my.md' is not UTF-8"):
        load(tmp_path, with_change("{chain: [near]}", "{chain: [near], system_prompt: my.md}"))


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
    assert load(tmp_path, with_change("model: large", f"model: {written}"), **environ).providers["far"].model == read


@pytest.mark.parametrize("key", ["4711", "null", "true", "1e5", "2024-01-01"])
def test_a_key_stays_text_whatever_it_reads_like(tmp_path, key):
    loaded = load(tmp_path, with_change("model: large", "model: large\n    api_key: ${FAR_KEY}"), FAR_KEY=key)

    assert loaded.providers["far"].api_key == key


def test_a_variable_may_hold_a_number(tmp_path):
    loaded = load(tmp_path, with_change("9000", '"${MY_PORT:-7000}"').replace("connect_s: 2", 'connect_s: "${PATIENCE}"'), PATIENCE="2.5")

    assert loaded.server.port == 7000
    assert loaded.providers["far"].timeouts.connect_s == 2.5


def test_a_variable_that_should_hold_a_number_and_does_not_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config.yaml:1: server.port: expected a whole number, found 'many'"):
        load(tmp_path, with_change("9000", '"${MY_PORT}"'), MY_PORT="many")


def test_a_variable_within_what_is_merged_into_bodies_keeps_its_type(tmp_path):
    loaded = load(tmp_path, with_change("model: large", "model: large\n    extra_body:\n      top_k: ${K}\n      user: '${K}'"), K="20")

    assert loaded.providers["far"].extra_body == {"top_k": 20, "user": "20"}


def test_a_provider_whose_key_is_unset_is_disabled_and_not_a_mistake(tmp_path):
    loaded = load(tmp_path, with_change("model: large", "model: large\n    api_key: ${FAR_KEY}"))

    assert loaded.providers["far"].disabled == "FAR_KEY is not set"


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("https://far.example/v1", '"${FAR_URL:-}"', "base_url is not set"),
        ("model: large", 'model: "${FAR_MODEL:-}"', "model is not set"),
    ],
)
def test_a_provider_without_address_or_model_is_disabled(tmp_path, old, new, why):
    assert load(tmp_path, with_change(old, new)).providers["far"].disabled == why


def test_an_embedded_provider_without_a_model_is_disabled(tmp_path):
    loaded = load(tmp_path, with_change("  far:", "  own: {kind: mlx}\n  far:"))

    assert loaded.providers["own"].disabled == "model is not set"


def test_a_dotenv_file_beside_the_config_is_read_and_the_environment_goes_first(tmp_path):
    (tmp_path / ".env").write_text("FIRST=from-file\nSECOND=from-file\nPORT=7001\n")

    loaded = load(tmp_path, with_change("model: large", "model: ${FIRST}-${SECOND}"), SECOND="from-environment")

    assert loaded.providers["far"].model == "from-file-from-environment"
    assert loaded.server.port == 7001


def test_a_dotenv_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=1\nKEY=\xff\n")

    with pytest.raises(ConfigError, match=r"\.env:2: text: is not UTF-8"):
        load(tmp_path, GOOD)


def test_host_and_port_override_the_address(tmp_path):
    server = load(tmp_path, GOOD, HOST="0.0.0.0", PORT="8100").server

    assert (server.host, server.port) == ("0.0.0.0", 8100)


@pytest.mark.parametrize("port", ["http", "65536", "-1", "8 0", "²", "9" * 5000])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    with pytest.raises(ConfigError, match=r"PORT: .* is not a port number"):
        load(tmp_path, GOOD, PORT=port)


def test_headstart_config_names_the_file_and_paths_are_relative_to_it(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "my.md").write_text("be kind")
    (tmp_path / "other.yaml").write_text(with_change("{chain: [near]}", "{chain: [near], system_prompt: prompts/my.md}"))

    loaded = config.load(environ={"HEADSTART_CONFIG": str(tmp_path / "other.yaml")})

    assert loaded.path == tmp_path / "other.yaml"
    assert loaded.resolve(loaded.log.file) == tmp_path / "app.log"
    assert loaded.resolve(loaded.routes["primary"].system_prompt).read_text() == "be kind"


def test_a_relative_headstart_config_is_found_from_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "other.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)

    loaded = config.load(environ={"HEADSTART_CONFIG": "other.yaml"})

    assert loaded.resolve(loaded.sessions.dir) == tmp_path / "sessions"


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
        (with_change("{port: 9000}", "{api_keys: hush-key}"), "1: server.api_keys: expected a list, found '***'"),
        (with_change("{port: 9000}", "{api_keys: [[hush-key]]}"), "1: server.api_keys[0]: expected text, found a list"),
        (with_change("{port: 9000}", "{api_keys:hush-key}"), "1: server.api_keys:***: unknown key, did you mean api_keys?"),
        (with_change("model: large", "model: large\n    api_key: !hush key"), "14: providers.far.api_key: could not determine a constructor for the tag '***'"),
        (with_change("model: large", "model: large\n    api_key: *hush"), "14: yaml: found undefined alias '***'"),
        (with_change("model: large", "headers: {X: !hush key}"), "13: providers.far.headers.X: could not determine a constructor for the tag '***'"),
        (with_change("https://far.example/v1", "ftp://me:hush-key@far"), "12: providers.far.base_url: 'ftp://***@far' is no http(s) URL"),
        (with_change("https://far.example/v1", "'far?token=hush-key'"), "12: providers.far.base_url: 'far?token=***' is no http(s) URL"),
    ],
)
def test_a_mistake_tells_no_secret(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"


# Where values come from.


def test_each_value_knows_where_it_came_from(tmp_path):
    (tmp_path / ".env").write_text("FROM_FILE=large\n")
    text = with_change("model: large", "model: ${MODEL_PREFIX}-${FROM_FILE}\n    headers: {X-Who: '${WHO:-nobody}'}")
    text = text.replace("chain: [near]", "chain: [near, '${SPARE}']")

    origins = load(tmp_path, text, MODEL_PREFIX="very", SPARE="far", PORT="1234").origins

    assert origins["providers.far.model"] == config.Origin(13, ("env MODEL_PREFIX", ".env FROM_FILE"))
    assert origins["providers.far.headers.X-Who"] == config.Origin(14, ())
    assert origins["routes.primary.chain[1]"] == config.Origin(18, ("env SPARE",))
    assert origins["server.port"] == config.Origin(None, ("env PORT",))
    assert origins["classifier.model"] == config.Origin(6, ())
    assert "virtual_model" not in origins


@pytest.mark.parametrize(
    "name", ["XAI_API_KEY", "apiKey", "X-Api-Key", "GITHUB_TOKEN", "db.password", "CLIENT_SECRET", "Authorization", "PGPASSWORD", "AWS_CREDENTIALS"]
)
def test_names_of_secrets_are_known(name):
    assert config.looks_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "VLLM_URL", "model", "keyboard_layout", "author", "PORT"])
def test_other_names_are_not_taken_for_secrets(name):
    assert not config.looks_secret(name)


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
    assert config.masked(text) == shown


# A file that has become faulty.


def test_what_was_loaded_last_stands_in_for_a_file_that_has_become_faulty(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text(GOOD)
    loaded, mistake = config.load_or_last()
    assert mistake is None

    (tmp_path / "config.yaml").write_text("server: {prot: 1}\n")

    last, mistake = config.load_or_last()
    assert last is loaded
    assert str(mistake) == "config.yaml:1: server.prot: unknown key, did you mean port?"


# The real start.


def started(folder, text, port, **environment):
    """What a start with this configuration ends with: its exit code and what it printed."""
    (folder / "config.yaml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "HEADSTART_CONFIG": str(folder / "config.yaml"), "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_broken_config_stops_the_start_and_leaves_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: whoever tried to serve here would fail at that instead
        ended = started(tmp_path, with_change("backend: openai", "backend: llama"), taken.getsockname()[1])

    assert ended.returncode not in (0, None)
    assert ended.stderr.strip() == "headstart: config.yaml:4: classifier.backend: 'llama' is none of mlx, openai"
    assert ended.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]


def test_a_missing_config_stops_the_start(tmp_path):
    ended = started(tmp_path, GOOD, 0, HEADSTART_CONFIG=str(tmp_path / "gone.yaml"))

    assert ended.returncode not in (0, None)
    assert ended.stderr.strip() == f"headstart: {tmp_path}/gone.yaml:0: config: No such file or directory"


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
