"""`server.api_keys`: a list, or each key under a name, alone or with its limits. No message shows a key."""

import pytest
import yaml
from jsonschema import Draft202012Validator

from errors import ConfigError
from settings import schema
from settings.fields import altered
from settings.model import ApiKey
from settings.report import report
from tests.support.config_texts import load, with_change

NAMED = (
    "{api_keys: {mum: hush-mum, "
    "kids: {key: hush-kids, cloud: false, daily_usd: 0.20, monthly_usd: 3, routes: [primary, cloud]}}}"
)
MISTAKES = {
    "{api_keys: {'my kids': hush-1}}": (
        "my kids: a key's name is made of letters, digits, dots, - and _, at most 64 of them"
    ),
    "{api_keys: {kids: ''}}": "kids: the key is empty",
    "{api_keys: {kids: {cloud: false}}}": "kids.key: is required",
    "{api_keys: {mum: hush-1, kids: {key: hush-1}}}": (
        "kids: is the same key as mum, so nobody could tell the two apart"
    ),
    "{api_keys: {kids: {key: hush-1, routes: [primary, moon]}}}": (
        "kids.routes: there is no route moon; there are primary, cloud, enrich"
    ),
    "{api_keys: {kids: {kee: hush-1}}}": "kids.kee: unknown key, did you mean key?",
    "{api_keys: {kids: {key: hush-1, cloud: hush-2}}}": "kids.cloud: expected true or false, found '***'",
    "{api_keys: {kids: [hush-1]}}": "kids: expected text, found a list",
    "{api_keys: {kids: {key: hush-1, daily_usd: -1}}}": "kids.daily_usd: -1.0 is less than 0",
}


def configured(server):
    return with_change("{port: 9000}", server)


def test_a_list_has_keys_without_names(tmp_path):
    server = load(tmp_path, configured("{api_keys: [hush-1, 42]}")).server

    assert server.keys == [ApiKey("hush-1"), ApiKey("42")]


def test_a_mapping_gives_each_a_name_and_its_limits(tmp_path):
    server = load(tmp_path, configured(NAMED)).server

    limited = ApiKey("hush-kids", cloud=False, daily_usd=0.2, monthly_usd=3.0, routes=["primary", "cloud"])
    assert server.keys == [altered(ApiKey("hush-mum"), name="mum"), altered(limited, name="kids")]


def test_a_key_comes_from_a_variable(tmp_path):
    text = configured('{api_keys: {mum: "${MUM}", kids: {key: "${KIDS}"}}}')

    assert [key.key for key in load(tmp_path, text, MUM="a", KIDS="b").server.keys] == ["a", "b"]


def test_an_empty_key_that_nobody_would_have_to_send_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"1: server.api_keys\[0\]: the key is empty"):
        load(tmp_path, configured('{api_keys: ["${UNSET:-}"]}'))


@pytest.mark.parametrize("server, told", MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_names_the_key_s_name_and_shows_no_key(tmp_path, server, told):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, configured(server))

    assert str(refused.value) == f"config.yaml:1: server.api_keys.{told}"


def test_the_report_shows_names_and_limits_and_no_key(tmp_path):
    text = report(load(tmp_path, configured(NAMED)))

    assert "hush" not in text
    assert yaml.safe_load(text)["server"]["api_keys"] == {
        "mum": "***",
        "kids": {
            "key": "***",
            "cloud": False,
            "daily_usd": 0.2,
            "monthly_usd": 3.0,
            "routes": ["primary", "cloud"],
        },
    }


@pytest.mark.parametrize(
    "server, sound", [(NAMED, True), ("{api_keys: [a]}", True), ("{api_keys: a}", False)]
)
def test_editors_know_both_forms(server, sound):
    mistakes = list(Draft202012Validator(schema.schema()).iter_errors(yaml.safe_load(configured(server))))

    assert (mistakes == []) is sound
