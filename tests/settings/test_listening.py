"""A server is open to other machines with a key, or if that is meant; never by oversight."""

import pytest
import yaml

from errors import ConfigError
from settings.addresses import is_loopback
from tests.support.config_texts import GOOD, load, with_change
from tests.support.in_process import serving
from tests.support.scripted import scripted_config
from tests.support.waiting import await_that

MEND = (
    "is open to everybody in the network, and no key is set: "
    'add "server: {api_keys: [KEY]}" to config.yaml, or HEADSTART_KEY=KEY to .env, with a key of '
    'yours (openssl rand -hex 16 makes one), or "server: {allow_open: true}" if that is meant'
)


def listening(server):
    """The good configuration with a section `server`, in its first line."""
    return with_change("{port: 9000}", server)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_an_address_of_this_machine_alone_needs_no_key(tmp_path, host):
    assert is_loopback(host)
    assert load(tmp_path, listening(f"{{host: '{host}'}}")).server.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "fd00::5", "nas.lan", ""])
def test_an_address_that_others_reach_is_refused_without_a_key(tmp_path, host):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, listening(f"{{host: '{host}'}}"))

    assert str(refused.value) == f"config.yaml:1: server.host: {host or repr('')} {MEND}"


def test_of_a_container_the_published_address_counts(tmp_path):
    text = listening("{host: 0.0.0.0, published_host: '${HEADSTART_ADDRESS:-}'}")

    assert load(tmp_path, text, HEADSTART_ADDRESS="127.0.0.1").server.host == "0.0.0.0"
    with pytest.raises(ConfigError, match="is open to everybody"):
        load(tmp_path, text, HEADSTART_ADDRESS="0.0.0.0")


def test_host_in_the_environment_is_looked_at_as_well(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, GOOD, HOST="0.0.0.0")

    assert str(refused.value) == f"environment: server.host: HOST=0.0.0.0 {MEND}"


@pytest.mark.parametrize("line", ["{host: '::', api_keys: [hush]}", "{host: '::', allow_open: true}"])
def test_the_lines_it_names_mend_it(tmp_path, line):
    assert load(tmp_path, listening(line)).server.host == "::"


@pytest.mark.parametrize(
    ("api_keys", "known"),
    [
        ("[]", [(None, "hush")]),
        ("[hush]", [(None, "hush")]),
        ("[other]", [(None, "other"), (None, "hush")]),
        ("{kids: other}", [("kids", "other"), ("HEADSTART_KEY", "hush")]),
        ("{kids: hush}", [("kids", "hush")]),
    ],
)
def test_headstart_key_is_a_key_beside_those_of_the_file(tmp_path, api_keys, known):
    text = listening(f"{{host: 0.0.0.0, api_keys: {api_keys}}}")

    keys = load(tmp_path, text, HEADSTART_KEY="hush").server.keys

    assert [(key.name, key.key) for key in keys] == known


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"], ids=["same address", "address of the next start"])
def test_an_open_server_does_not_lose_its_keys_while_it_runs(tmp_path, upstreams, judge, host):
    config = {**scripted_config(**upstreams), "server": {"host": "0.0.0.0", "api_keys": ["hush"]}}
    with serving(tmp_path, config) as headstart:
        config["server"] = {"host": host}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        headstart.application.extensions["headstart"].reloader.request_reload()

        await_that(lambda: f"server.host: 0.0.0.0 {MEND}" in headstart.log_text(), "the edit is refused")

        assert headstart.post("/v1/chat/completions", {}).status_code == 401
