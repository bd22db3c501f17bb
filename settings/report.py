"""`make config`: every setting in effect and where it came from, as YAML. Secrets are masked.

It reads the configuration as a start would and contacts no server: it shows what the next start will do, and
not what a running server has.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from errors import ConfigError
from settings import loader
from settings.model import Config, fields_of
from settings.nodes import below
from settings.secrets import HIDDEN, looks_secret, masked

ORIGIN_COLUMN = 56

_Line = tuple[str, str | None]  # its text, and the comment behind it
_Field = dataclasses.Field[Any]


def report(config: Config) -> str:
    """The text of a Config: one line for each value, with its origin as a comment behind it.

    An origin is `default`, `config.yaml:LINE`, `env NAME` or `.env NAME`.
    The text is YAML, and without secrets it is a configuration that means the same.
    """
    return "".join(_commented(*line) for line in _section(config, config, "", ""))


def _commented(text: str, comment: str | None) -> str:
    return f"{text:<{ORIGIN_COLUMN}}  # {comment}\n" if comment else text + "\n"


def _section(config: Config, section: Any, key: str, indent: str) -> Iterator[_Line]:
    """The lines of a section."""
    for field in fields_of(section):
        value = getattr(section, field.name)
        opening = f"{indent}{field.name}:"
        yield from _entry(config, field, value, below(key, field.name), opening, indent + "  ")


def _entry(config: Config, field: _Field, value: Any, key: str, opening: str, indent: str) -> Iterator[_Line]:
    """The lines of one value.

    field: the setting it belongs to. opening: what stands before it in its line. indent: of the lines below.
    """
    if dataclasses.is_dataclass(value):
        disabled = getattr(value, "disabled", None)
        yield opening, disabled and f"disabled: {disabled}"
        yield from _section(config, value, key, indent)
    elif isinstance(value, dict) and value:
        yield opening, None
        for name, inner in value.items():
            yield from _entry(config, field, inner, f"{key}.{name}", f"{indent}{_yaml(name)}:", indent + "  ")
    elif isinstance(value, list) and any(map(dataclasses.is_dataclass, value)):
        yield opening, None
        for i, item in enumerate(value):
            (first, comment), *others = _section(config, item, f"{key}[{i}]", indent + "  ")
            yield f"{indent}- {first.lstrip()}", comment
            yield from others
    else:
        yield f"{opening} {_yaml(_shown(config, field, value, key))}", _origin(config, key)


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
    if key not in config.origins:
        return "default"
    within = (f"{key}[", f"{key}.")
    sources = [
        variable
        for other, origin in config.origins.items()
        if other == key or other.startswith(within)
        for variable in origin.variables
    ]
    file, line = config.place(key)
    return ", ".join([*dict.fromkeys(sources), *([f"{file}:{line}"] if line else [])])


def _yaml(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]
    return json.dumps(value) if "\n" in text else text


def main() -> int:
    """Print the effective settings. Returns an exit status."""
    try:
        print(report(loader.load()), end="")
    except ConfigError as error:
        print(f"headstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
