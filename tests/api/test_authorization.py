"""Every endpoint needs the key, unless it stands on the one short list of open paths."""

import re

import pytest
import requests
from flask import Blueprint

import app
from api.authorization import OPEN_PATHS
from api.handler import Api
from api.openai import OpenAI
from tests.support.in_process import serving
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S

KEY = "sk-the-owners"
OPEN = {"/", "/health", "/livez", "/metrics", "/api/version"}


def keyed(upstreams):
    return {**scripted_config(**upstreams), "server": {"api_keys": [KEY]}}


def endpoints(application):
    """(method, path) of every endpoint, with something in each of its variables."""
    for rule in application.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"<[^>]+>", "x", rule.rule)


def statuses(headstart, **headers):
    return {
        (method, path): requests.request(
            method, headstart.url + path, headers=headers, timeout=HANG_GUARD_S
        ).status_code
        for method, path in endpoints(headstart.application)
    }


def test_every_endpoint_needs_the_key_but_the_open_ones(tmp_path, upstreams, judge):
    with serving(tmp_path, keyed(upstreams)) as headstart:
        without = statuses(headstart)
        with_key = statuses(headstart, Authorization=f"Bearer {KEY}")

    assert len(without) > 30
    assert {path.removeprefix("/v1") for (_, path), status in without.items() if status != 401} == OPEN
    assert 401 not in with_key.values()


def test_the_list_of_open_paths_is_this_one_and_each_of_them_exists(tmp_path, upstreams, judge):
    assert OPEN_PATHS == OPEN

    with serving(tmp_path, keyed(upstreams)) as headstart:
        assert {path for _, path in endpoints(headstart.application)} >= OPEN


@pytest.mark.parametrize("name", ["/secrets", "/v1/deep/<path:rest>"])
def test_a_new_endpoint_is_closed_though_nobody_thought_of_it(tmp_path, upstreams, judge, name):
    def blueprint(handler):
        made = Blueprint("new", __name__)
        made.get(name)(lambda **parts: "the owner's")
        return made

    new = Api(
        blueprint, errors=lambda: OpenAI("new", lambda body: body), owns=lambda path: False, prefixes=("",)
    )

    with serving(tmp_path, keyed(upstreams), apis=(new, *app.APIS)) as headstart:
        path = headstart.url + name.replace("<path:rest>", "down")
        refused = requests.get(path, timeout=HANG_GUARD_S)
        let_in = requests.get(path, headers={"x-api-key": KEY}, timeout=HANG_GUARD_S)

    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (let_in.status_code, let_in.text) == (200, "the owner's")


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/nowhere", 404), ("DELETE", "/v1/chat/completions", 405)]
)
def test_what_does_not_exist_is_answered_as_such(tmp_path, upstreams, judge, method, path, status):
    with serving(tmp_path, keyed(upstreams)) as headstart:
        assert requests.request(method, headstart.url + path, timeout=HANG_GUARD_S).status_code == status
