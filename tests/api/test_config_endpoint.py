"""`GET /v1/config`: the settings in effect, to whoever has a key; without keys to this machine alone."""

import pytest

from tests.support.in_process import serving

CONFIG = {"providers": {"near": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "small"}}}


@pytest.fixture
def told(tmp_path):
    """What a client at an address is told, by a server with these api_keys."""

    def ask(address, api_keys=(), **headers):
        with serving(tmp_path, {**CONFIG, "server": {"api_keys": list(api_keys)}}) as headstart:
            client = headstart.application.test_client()
            reply = client.get("/v1/config", environ_base={"REMOTE_ADDR": address}, headers=headers)
            return reply.status_code, reply.get_json()

    return ask


def test_this_machine_is_told_what_is_in_effect_and_where_it_came_from(told, tmp_path):
    status, config = told("127.0.0.1")

    assert status == 200
    assert config["file"] == str(tmp_path / "config.yaml")
    assert config["settings"]["providers"]["near"]["model"] == "small"
    assert config["settings"]["probes"]["period_s"] == 60.0
    assert config["origins"]["providers.near.model"] == "config.yaml:5"
    assert "probes.period_s" not in config["origins"]


def test_another_machine_is_told_with_a_key_and_never_without(told):
    status, refusal = told("192.168.1.9")
    assert (status, refusal["error"]["message"]) == (
        401,
        "without server.api_keys the configuration is told to this machine alone",
    )

    assert told("192.168.1.9", ["hush"])[0] == told("127.0.0.1", ["hush"])[0] == 401
    status, config = told("192.168.1.9", ["hush"], Authorization="Bearer hush")
    assert (status, config["settings"]["server"]["api_keys"]) == (200, ["***"])
