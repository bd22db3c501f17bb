"""`make config`: every setting as it is in effect, and where it came from, as YAML with the origin behind each value. Secrets are masked.

It reads the configuration as a start would and asks nobody, so it tells what the next start will do, not what a running server has.
"""

import dataclasses
import json
import math
import sys

import yaml

from errors import ConfigError
from settings import model as settings

ORIGIN_COLUMN = 56


def report(config):
    """The text of a Config: one line for each value, with `default`, `config.yaml:LINE`, `env NAME` or `.env NAME` as a comment behind it.

    It is YAML, and without secrets it is a configuration that means the same.
    """
    return "".join(_commented(*line) for line in _section(config, config, "", ""))


def _commented(text, comment):
    return f"{text:<{ORIGIN_COLUMN}}  # {comment}\n" if comment else text + "\n"


def _section(config, section, key, indent):
    """(text, comment) of each line of a section."""
    for field in dataclasses.fields(section):
        if field.init:
            here = f"{key}.{field.name}" if key else field.name
            yield from _entry(
                config, field, getattr(section, field.name), here, f"{indent}{field.name}:", indent + "  "
            )


def _entry(config, field, value, key, opening, indent):
    """The lines of one value. field: the setting it belongs to. opening: what stands before it in its line. indent: of the lines below."""
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


def _shown(config, field, value, key):
    """The value with its secrets masked: what the settings call secret, what came from a variable that sounds so or has such a key, and URLs' credentials."""
    if isinstance(value, dict):
        return {name: _shown(config, field, inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(config, field, item, f"{key}[{i}]") for i, item in enumerate(value)]
    if value in ("", None) or isinstance(value, bool):
        return value
    is_secret = field.metadata["secret"] and not field.name.endswith(
        "url"
    )  # of an address only the credentials are
    sounds_secret = settings.looks_secret(key.rpartition(".")[2]) and isinstance(value, str)
    origin = config.origins.get(key)
    if is_secret or sounds_secret or (origin and any(map(settings.looks_secret, origin.variables))):
        return settings.HIDDEN
    return settings.masked(value) if isinstance(value, str) else value


def _origin(config, key):
    """Where a value came from, in words. A list in one line came from wherever its items did."""
    if key not in config.origins:
        return "default"
    below = [
        origin
        for other, origin in config.origins.items()
        if other == key or other.startswith((f"{key}[", f"{key}."))
    ]
    told = [variable for origin in below for variable in origin.variables]
    line = config.origins[key].line
    return ", ".join([*dict.fromkeys(told), *([f"{config.path.name}:{line}"] if line else [])])


def _yaml(value):
    """A value as YAML in one line."""
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]
    return json.dumps(value) if "\n" in text else text


def main():
    """Print the effective settings. Returns an exit status."""
    try:
        print(report(settings.load()), end="")
    except ConfigError as error:
        print(f"headstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
