"""Every setting in effect and where it came from, secrets masked: for `GET /v1/config` and `make config`."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from settings.fields import fields_of
from settings.model import Config
from settings.nodes import below
from settings.secrets import HIDDEN, looks_secret, masked
from wire import JsonObject

ORIGIN_COLUMN = 56
DEFAULT = "default"

_Line = tuple[str, str | None]  # its text, and the comment behind it
_Field = dataclasses.Field[Any]


def effective(config: Config) -> JsonObject:
    """{file, settings, origins, disabled, dormant} of a Config.

    settings: all of them, nested as in the file. origins: key -> `config.yaml:LINE`, `env NAME` or
    `.env NAME`, of what is not a default. disabled: provider -> why it is not used. dormant: the same of
    shipped providers that nobody has set up, which stand in no settings.
    """
    origins: dict[str, str] = {}
    return {
        "file": str(config.path),
        "settings": _section(config, config, "", origins),
        "origins": origins,
        "disabled": {name: one.disabled for name, one in config.providers.items() if one.disabled},
        "dormant": config.dormant,
    }


def report(config: Config) -> str:
    """The text of a Config: one line for each value, with its origin as a comment behind it.

    The text is YAML, and without secrets it is a configuration that means the same.
    """
    return text(effective(config))


def text(effective: JsonObject) -> str:
    """What `effective` has told, as the text of a report."""
    disabled = {f"providers.{name}": f"disabled: {why}" for name, why in effective["disabled"].items()}
    lines = _lines(effective["settings"], "", effective["origins"], disabled, "")
    dormant = (f"# not set up: {name}, {why}\n" for name, why in effective["dormant"].items())
    return "".join([*(_commented(*line) for line in lines), *dormant])


# From a Config to what is told of it.


def _section(config: Config, section: Any, key: str, origins: dict[str, str]) -> JsonObject:
    """A section's settings by name. origins: is given where they came from."""
    return {
        field.name: _value(config, field, getattr(section, field.name), below(key, field.name), origins)
        for field in fields_of(section)
    }


def _value(config: Config, field: _Field, value: Any, key: str, origins: dict[str, str]) -> Any:
    """field: the setting that the value belongs to."""
    if dataclasses.is_dataclass(value):
        return _section(config, value, key, origins)
    if isinstance(value, dict) and value:
        return {name: _value(config, field, inner, f"{key}.{name}", origins) for name, inner in value.items()}
    if isinstance(value, list) and any(map(dataclasses.is_dataclass, value)):
        return [_section(config, item, f"{key}[{i}]", origins) for i, item in enumerate(value)]
    if key in config.origins:
        origins[key] = _origin(config, key)
    return _shown(config, field, value, key)


def _shown(config: Config, field: _Field, value: Any, key: str) -> Any:
    """The value with its secrets masked.

    These are what the settings call secret, what came from a variable or has a key that sounds so, and the
    credentials of URLs.
    """
    if isinstance(value, dict):
        return {name: _shown(config, field, inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(config, field, item, f"{key}[{i}]") for i, item in enumerate(value)]
    if value in ("", None) or isinstance(value, bool):
        return value
    is_secret = field.metadata["secret"] and not field.metadata["has_credentials"]
    sounds_secret = looks_secret(key.rpartition(".")[2]) and isinstance(value, str)
    origin = config.origins.get(key)
    if is_secret or sounds_secret or (origin and any(map(looks_secret, origin.variables))):
        return HIDDEN
    return masked(value) if isinstance(value, str) else value


def _origin(config: Config, key: str) -> str:
    """Where a value came from, in words. A list in one line came from wherever its items did."""
    within = (f"{key}[", f"{key}.")
    sources = [
        variable
        for other, origin in config.origins.items()
        if other == key or other.startswith(within)
        for variable in origin.variables
    ]
    file, line = config.place(key)
    return ", ".join([*dict.fromkeys(sources), *([f"{file}:{line}"] if line else [])])


# From there to a text.


def _commented(text: str, comment: str | None) -> str:
    return f"{text:<{ORIGIN_COLUMN}}  # {comment}\n" if comment else text + "\n"


def _lines(
    settings: JsonObject, key: str, origins: Mapping[str, str], comments: Mapping[str, str], indent: str
) -> Iterator[_Line]:
    """The lines of a mapping. comments: what is said of a key that opens another one."""
    for name, value in settings.items():
        here = below(key, name)
        opening = f"{indent}{_yaml(name)}:"
        if isinstance(value, dict) and value:
            yield opening, comments.get(here)
            yield from _lines(value, here, origins, comments, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict) and item for item in value):
            yield opening, None
            for i, item in enumerate(value):
                yield from _item(item, f"{here}[{i}]", origins, comments, indent + "  ")
        else:
            yield f"{opening} {_yaml(value)}", origins.get(here, DEFAULT)


def _item(
    item: Any, key: str, origins: Mapping[str, str], comments: Mapping[str, str], indent: str
) -> Iterator[_Line]:
    """The lines of an item of a list."""
    if not isinstance(item, dict) or not item:
        yield f"{indent}- {_yaml(item)}", origins.get(key)
        return
    (first, comment), *others = _lines(item, key, origins, comments, indent + "  ")
    yield f"{indent}- {first.lstrip()}", comment
    yield from others


def _yaml(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]
    return json.dumps(value) if "\n" in text else text
