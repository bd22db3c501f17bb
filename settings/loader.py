"""Reads config.yaml once into the frozen settings, or names the first mistake in it and nothing starts.

A mistake names file, line and key:
`config.yaml:14: providers.xai.timeout: unknown key, did you mean timeouts?`
Secrets come from the environment (`${NAME}`, `${NAME:-default}`) or from a `.env` file beside the config, the
environment first. No message about a mistake quotes a secret, since it may end in the log.

The types and limits in `settings.model` say what is read; `settings.validation` checks the rest.
"""

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from dotenv import dotenv_values

from errors import ConfigError
from settings import nodes
from settings.listening import check_listening
from settings.model import Config, Origin, Provider, altered, fields_of, is_required
from settings.nodes import NodeReader, below
from settings.secrets import masked, names_secret, without_quotes
from settings.validation import validate

VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
_VARIABLE = re.compile(VARIABLE)
_DEFAULT_FILE = Path(__file__).resolve().parent.parent / "config.yaml"

S = TypeVar("S")

_last: Config | None = None  # what was loaded last; a worker has it from the master that it was forked from


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file and return a Config.

    path: the file; None takes HEADSTART_CONFIG, else config.yaml in the checkout's root.
    environ: variables to expand from; None takes the process's own, completed by the `.env` beside the file.
    Raises ConfigError for the first mistake found.
    """
    global _last
    environ = os.environ if environ is None else environ
    file = Path(path or environ.get("HEADSTART_CONFIG") or _DEFAULT_FILE).resolve()
    variables = Variables(environ, _dotenv(file.parent / ".env"))
    reader = SettingsReader(file, variables)
    config = altered(reader.config(), path=file)
    validate(config, reader.fail_at)
    config = _with_overrides(config, reader.origins(), variables)
    check_listening(config)
    _last = config
    return config


def load_or_last() -> tuple[Config, ConfigError | None]:
    """(the configuration as `load` reads it, None), or (what was loaded last, the ConfigError).

    It is the second where the file has become faulty since: so a worker can be replaced while somebody edits
    the file. Raises ConfigError when nothing was ever loaded.
    """
    last = _last
    try:
        return load(), None
    except ConfigError as error:
        if last is None:
            raise
        return last, error


class Variables:
    """What `${NAME}` is taken from: the environment, else the `.env` file."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> None:
        self._environ = environ
        self._dotenv = dotenv

    def get(self, name: str) -> str | None:
        return self._environ.get(name, self._dotenv.get(name))

    def source(self, name: str) -> str:
        """Where a variable comes from, as an Origin has it."""
        return f"env {name}" if name in self._environ else f".env {name}"


def _dotenv(file: Path) -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except UnicodeDecodeError as error:
        raise ConfigError(file.name, nodes.line_of(error), "text", "is not UTF-8") from error


def _with_overrides(config: Config, origins: dict[str, Origin], variables: Variables) -> Config:
    """The configuration with its origins, and with the address that HOST and PORT name where they are set."""
    host, port = variables.get("HOST"), variables.get("PORT")
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536):
        raise ConfigError(config.path.name, 0, "PORT", f"'{port}' is not a port number")
    server = config.server
    if host:
        server = dataclasses.replace(server, host=host)
        origins["server.host"] = Origin(None, (variables.source("HOST"),))
    if port:
        server = dataclasses.replace(server, port=int(port))
        origins["server.port"] = Origin(None, (variables.source("PORT"),))
    return altered(config, server=server, origins=origins)


class _Unset(Exception):
    """A variable without default is not set."""


class SettingsReader(NodeReader):
    """Turns the nodes of config.yaml into the sections of `settings.model`, field by field."""

    whole = "config"
    lists_known_keys = True

    def __init__(self, path: Path, variables: Variables) -> None:
        super().__init__(path)
        self._variables = variables
        # Key -> the variables that supplied its value, as an ordered set.
        self._supplied: dict[str, dict[str, None]] = {}
        self._secrets: list[str] = []  # keys whose values no message may quote

    def config(self) -> Config:
        """The whole file. Raises ConfigError."""
        return self.read(lambda root: self._section(Config, root, ""))

    def origins(self) -> dict[str, Origin]:
        """Where each value that was read came from, by its key."""
        return {key: Origin(line, tuple(self._supplied.get(key, ()))) for key, line in self.lines.items()}

    # Mistakes.

    def fail(self, where: yaml.Node | int, key: str, message: str) -> NoReturn:
        if any(key.startswith(secret) for secret in self._secrets):
            message = without_quotes(message)
        super().fail(where, masked(key), masked(message))

    def fail_at(self, key: str, message: str, *, at: str | None = None) -> NoReturn:
        """Raise ConfigError for a key, with its line. at: the key whose line is named instead."""
        self.fail(self.lines.get(at or key, 1), key, message)

    def yaml_problem(self, error: yaml.MarkedYAMLError, line: str) -> str:
        problem = super().yaml_problem(error, line)
        return without_quotes(problem) if names_secret(line) else problem

    # Values.

    def _section(self, cls: type[S], node: yaml.Node, key: str) -> S:
        fields = {field.name: field for field in fields_of(cls)}
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        disabled = None
        for name, value in self.members(node, key, fields):
            here = below(key, name)
            if fields[name].metadata["secret"]:
                self._secrets.append(here)
            try:
                values[name] = self._value(hints[name], value, here)
            except _Unset as variable:
                if cls is not Provider or name != "api_key":
                    self.fail(value, here, f"the variable {variable} is not set")
                disabled = f"{variable} is not set"
            else:
                self._check_limits(fields[name], values[name], value, here)
        for name, field in fields.items():
            if name not in values and is_required(field):
                self.fail(node, f"{key}.{name}", "is required")
        section = cls(**values)
        return altered(section, disabled=disabled) if disabled else section

    def _check_limits(self, field: dataclasses.Field[Any], value: object, node: yaml.Node, key: str) -> None:
        choices, minimum, maximum = (field.metadata[limit] for limit in ("choices", "minimum", "maximum"))
        if choices and value not in choices:
            self.fail(node, key, f"'{value}' is none of {', '.join(choices)}")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return
        if not math.isfinite(value):
            self.fail(node, key, f"expected a finite number, found '{node.value}'")
        if minimum is not None and value < minimum:
            self.fail(node, key, f"{value} is less than {minimum}")
        if maximum is not None and value > maximum:
            self.fail(node, key, f"{value} is more than {maximum}")

    def _value(self, hint: Any, node: yaml.Node, key: str) -> Any:
        """The value of a node as a type hint wants it."""
        if isinstance(hint, types.UnionType):
            return self._one_of(typing.get_args(hint), node, key)
        if dataclasses.is_dataclass(hint):
            return self._section(typing.cast(type, hint), node, key)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is dict:
            members = self.pairs(node, key)
            return {name: self._value(args[1], child, below(key, name)) for name, _, child in members}
        if origin is list:
            return [self._value(args[0], child, here) for here, child in self.items(node, key)]
        return self.scalar(hint, node, key)

    def _one_of(self, kinds: tuple[Any, ...], node: yaml.Node, key: str) -> Any:
        """A value that may be written in more than one way: `X | None`, or a mapping or something else."""
        if type(None) in kinds:
            [inner] = set(kinds) - {type(None)}
            return self._or_none(inner, node, key)
        is_mapping = isinstance(node, yaml.MappingNode)
        return self._value(next(kind for kind in kinds if _is_mapping(kind) is is_mapping), node, key)

    def _or_none(self, inner: Any, node: yaml.Node, key: str) -> Any:
        if inner is str and _has_variable(node):
            return self.scalar(str, node, key) or None
        return None if self._plain(node, key) is None else self._value(inner, node, key)

    def scalar(self, kind: Any, node: yaml.Node, key: str) -> Any:
        """The value of a node that has to be of a kind, with its variables filled in. Raises _Unset.

        A text may be written as a number, and a whole number stands for one with a fraction.
        """
        if _has_variable(node):
            text = self._expanded(node, key)
            if kind is str:
                return text  # a key of digits, or one that reads "null", is text all the same
            if kind is not Any:
                node = nodes.with_text(node, text)  # quoted or not: between braces YAML wants the quotes
        value = self._plain(node, key)
        if kind is Any:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if kind is str and type(value) in (int, float):
            return str(node.value)
        if type(value) is not kind:
            self.fail_type(node, key, nodes.TYPE_NAMES[kind])
        return value

    def _plain(self, node: yaml.Node, key: str) -> Any:
        """The Python value of a node with its variables filled in. Raises _Unset."""
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(child, f"{key}[{i}]") for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            members = self.pairs(node, key)
            return {name: self._plain(child, below(key, name)) for name, _, child in members}
        if _has_variable(node):
            node = nodes.with_text(node, self._expanded(node, key), quoted=node.style in ("'", '"'))
        return self.construct(node, key)

    def _expanded(self, node: yaml.ScalarNode, key: str) -> str:
        """The text of a node with its variables filled in. Raises _Unset."""

        def value_of(match: re.Match[str]) -> str:
            name, default = match.groups()
            value = self._variables.get(name)
            if value:
                self._supplied.setdefault(key, {})[self._variables.source(name)] = None
                return value
            if default is None:
                raise _Unset(name)
            return str(default)  # as in a shell, ":-" also replaces an empty value

        return _VARIABLE.sub(value_of, node.value)


def _is_mapping(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict


def _has_variable(node: yaml.Node) -> typing.TypeGuard[yaml.ScalarNode]:
    return isinstance(node, yaml.ScalarNode) and bool(_VARIABLE.search(node.value))
