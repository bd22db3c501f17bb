"""`make config` prints what is in effect and where it came from; the schema tells editors what may be set."""

import dataclasses
import json
import re
import typing

import jsonschema
import pytest
import yaml

from errors import ConfigError
from settings import loader
from settings import model as settings
from settings import schema as config_schema
from settings.report import report
from tests.support.config_texts import GOOD, MISTAKES, RULE_MISTAKES, load, with_change, with_rules
from tests.support.server import ROOT

VALIDATOR = jsonschema.Draft202012Validator(config_schema.schema())


def loaded(folder, text, **environ):
    (folder / "config.yaml").write_text(text)
    return loader.load(folder / "config.yaml", environ)


def lines_of(text):
    """{line without its comment: comment} of a report; a line that stands there often is told once."""
    return {line.partition("  # ")[0].rstrip(): line.partition("  # ")[2] for line in text.splitlines()}


# The report.


def test_what_is_printed_is_a_configuration_that_means_the_same(tmp_path):
    text = with_rules(
        "{prefix: mlx-community/, provider: near, params: {drop: [seed]}}",
        "{regex: '^o\\d', route: cloud, timeouts: {idle_s: 5}}",
    )
    config = loaded(
        tmp_path,
        text.replace(
            "model: large",
            "model: large\n    extra_body: {provider: {order: [A, B]}, stop: \"a\\nb\", on: 'yes', n: '1'}",
        ),
    )

    again = loaded(tmp_path, report(config))

    assert again == config


def test_every_key_is_printed_defaults_included(tmp_path):
    printed = yaml.safe_load(report(loaded(tmp_path, with_rules("{exact: a, provider: far}"))))

    def missing(cls, value, key):
        for field in filter(lambda field: field.init, dataclasses.fields(cls)):
            if field.name not in value:
                yield f"{key}.{field.name}"

    sections = [
        (settings.Config, printed, ""),
        (settings.Server, printed["server"], "server"),
        (settings.Provider, printed["providers"]["near"], "near"),
        (settings.Timeouts, printed["providers"]["near"]["timeouts"], "timeouts"),
        (settings.Route, printed["routes"]["enrich"], "enrich"),
        (settings.ModelRule, printed["models"][0], "models[0]"),
    ]
    assert [key for section in sections for key in missing(*section)] == []


def test_each_value_is_printed_with_its_origin(tmp_path):
    (tmp_path / ".env").write_text("WHO=large\n")
    text = with_change("model: large", "model: ${WHO}\n    api_key: ${FAR_KEY}")

    lines = lines_of(report(loaded(tmp_path, text, PORT="1234", SPARE="x")))

    assert lines["  port: 1234"] == "env PORT"
    assert lines["  host: 127.0.0.1"] == "default"
    assert lines["timezone: Europe/Berlin"] == "config.yaml:2"
    assert lines["    model: large"] == ".env WHO, config.yaml:13"
    assert lines["  far:"] == "disabled: FAR_KEY is not set"
    assert lines["    chain: [far, near]"] == "config.yaml:19"


def test_a_list_came_from_wherever_its_items_did(tmp_path):
    text = with_change("chain: [near]", "chain: [near, '${SPARE}']")

    lines = lines_of(report(loaded(tmp_path, text, SPARE="far")))

    assert lines["    chain: [near, far]"] == "env SPARE, config.yaml:17"


def test_no_secret_is_printed(tmp_path):
    text = with_change("{port: 9000}", "{port: 9000, api_keys: [hush-client]}").replace(
        "model: large",
        """model: ${MODEL_SECRET}
    api_key: hush-upstream
    headers: {X-Anything: hush-header}
    extra_body:
      auth: {apiKey: hush-body}
      url: 'https://me:hush-inner@host/'
      tail: '?token=hush-query'
      max_tokens: 7""",
    )
    text = (
        text.replace("https://far.example/v1", "https://me:hush-password@far.example/v1")
        + "ledger: {url: 'postgresql://me:hush-db@host/db'}\n"
    )

    printed = report(loaded(tmp_path, text, MODEL_SECRET="hush-model"))

    assert "hush" not in printed
    lines = lines_of(printed)
    assert lines["  api_keys: ['***']"] == "config.yaml:1"
    assert "      X-Anything: '***'" in lines
    assert "    model: '***'" in lines
    assert "    base_url: 'https://***@far.example/v1'" in lines
    assert "  url: 'postgresql://***@host/db'" in lines
    assert "      max_tokens: 7" in lines


# The schema.


def test_the_schema_that_is_kept_is_what_the_settings_say():
    assert config_schema.FILE.read_text() == config_schema.text(), "run `make schema`"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(config_schema.schema())


def test_the_default_configuration_names_its_schema_and_fits_it():
    text = (ROOT / "config.yaml").read_text()

    where = config_schema.FILE.relative_to(ROOT)
    assert text.startswith(f"# yaml-language-server: $schema={where}\n")
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


def test_what_is_printed_fits_the_schema(tmp_path):
    printed = report(loaded(tmp_path, with_rules("{exact: a, provider: far}")))

    assert list(VALIDATOR.iter_errors(yaml.safe_load(printed))) == []


def test_variables_may_stand_for_any_value():
    text = (
        with_change("9000", '"${PORT_OF_MINE:-7000}"')
        .replace("connect_s: 2", 'connect_s: "${PATIENCE}"')
        .replace("kind: openai\n", "kind: '${KIND}'\n")
    )

    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


SEEN_BY_TYPE = re.compile(
    r"unknown key|expected (text|a whole number|a number|true|a list|a mapping)|less than|more than|none of"
    r"|is required|unknown decision"
)


def is_seen_by_type(told):
    """Whether a mistake is one that types, bounds and names can tell."""
    return bool(SEEN_BY_TYPE.search(told)) and not re.search(
        r"beside an answer|for the openai backend|min\.max_tokens|found '1e12'", told
    )


@pytest.mark.parametrize(
    "text", [text for text, told in [*MISTAKES.values(), *RULE_MISTAKES.values()] if is_seen_by_type(told)]
)
def test_a_mistake_that_types_can_tell_is_seen_by_the_editor_too(text):
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))


def test_every_key_has_its_description_and_its_default():
    def properties(part):
        if isinstance(part, dict):
            yield from part.get("properties", {}).items()
            for inner in part.values():
                yield from properties(inner)

    found = list(properties(json.loads(config_schema.FILE.read_text())))
    bare = [name for name, told in found if not told["description"]]
    without_default = {name for name, told in found if "default" not in told}

    assert len(found) > 60
    assert bare == []
    assert without_default == {"key", "kind", "input", "output", "decisions", "mac"}


def test_every_class_of_settings_is_in_the_schema():
    def classes(hint):
        if dataclasses.is_dataclass(hint) and hint is not settings.Origin:
            yield hint.__name__
            for inner in typing.get_type_hints(hint).values():
                yield from classes(inner)
        for inner in typing.get_args(hint):
            yield from classes(inner)

    assert set(config_schema.schema()["$defs"]) == {"Variable", *classes(settings.Config)} - {"Config"}


def test_the_address_of_the_alerts_is_a_secret(tmp_path):
    loaded = load(tmp_path, GOOD + "alerts: {url: https://ntfy.sh/hush-topic, kind: ntfy}\n")

    assert "hush" not in report(loaded)
    assert yaml.safe_load(report(loaded))["alerts"] == {"url": "***", "kind": "ntfy"}


def test_nor_does_a_mistake_show_it(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, GOOD + "alerts: {url: ntfy.sh/hush-topic}\n")

    assert str(refused.value) == "config.yaml:22: alerts.url: '***' is no http(s) URL"


@pytest.mark.parametrize("section", ["alerts: https://ntfy.sh/hush-topic", "providers: {xai: hush-key}"])
def test_nor_does_what_stands_in_place_of_a_section(tmp_path, section):
    with pytest.raises(ConfigError, match=r"expected a mapping, found '\*\*\*'"):
        load(tmp_path, section + "\n")


@pytest.mark.parametrize("url", ["https://ntfy.sh", "https://ntfy.sh/"])
def test_an_address_of_ntfy_names_its_topic(tmp_path, url):
    with pytest.raises(ConfigError, match=r"config.yaml:22: alerts\.url: names no topic"):
        load(tmp_path, GOOD + f"alerts: {{url: '{url}'}}\n")

    assert load(tmp_path, GOOD + f"alerts: {{url: '{url}', kind: webhook}}\n").alerts.url == url
