"""Reads the configuration once into the frozen settings, or names every mistake in it and nothing starts.

The owner's file `headstart.yaml` is laid over the shipped `config.yaml` (`settings.layers`); HEADSTART_CONFIG
names another owner's file. A mistake names file, line and key:
`headstart.yaml:14: providers.xai.timeout: unknown key, did you mean timeouts?`
Secrets come from the environment (`${NAME}`, `${NAME:-default}`) or from a `.env` file beside the owner's
file, the environment first. No message about a mistake quotes a secret, since it may end in the log.

The types and limits in `settings.model` say what is read; `settings.validation` checks the rest, and
`settings.derivation` completes what the file leaves open.
"""

import dataclasses
import io
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from errors import ConfigError, ConfigErrors
from settings import nodes
from settings.derivation import completed
from settings.layers import calls_cloud_xai, layered, unchanged_providers
from settings.listening import check_listening
from settings.model import CLOUD, SHIPPED, XAI, Config, Origin, Provider, altered, fields_of, is_required
from settings.nodes import NodeReader, below
from settings.secrets import masked, names_secret, without_quotes
from settings.validation import mistakes_in
from settings.yaml_words import in_words

VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
_VARIABLE = re.compile(VARIABLE)
OWNER_FILE = "headstart.yaml"
KEY_VARIABLE = "HEADSTART_KEY"

S = TypeVar("S")

_last: Config | None = None  # what was loaded last; a worker has it from the master that it was forked from


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check the configuration and return a Config.

    path: the owner's file, whole or partial; None takes HEADSTART_CONFIG, else headstart.yaml in the data
    folder, which need not be there. environ: variables to expand from; None takes the process's own,
    completed by the `.env` beside the file. Raises ConfigError with every mistake found.
    """
    global _last
    environ = os.environ if environ is None else environ
    named = path or environ.get("HEADSTART_CONFIG")
    file = Path(named).resolve() if named else data_folder(environ) / OWNER_FILE
    data = data_folder(environ) if environ.get("HEADSTART_DATA") else file.parent
    mistakes: list[ConfigError] = []
    dotenv: dict[str, str] = {}
    for env_file in dict.fromkeys((data / ".env", file.parent / ".env")):
        dotenv.update(_dotenv(env_file, mistakes))
    variables = Variables(environ, dotenv)
    reader = SettingsReader(file, variables, must_exist=file != data / OWNER_FILE)
    config = reader.config()
    if config is not None:
        config = altered(config, path=file, data=data, origins=reader.origins())
        config = _with_key(_with_address(config, variables, mistakes), variables)
        config = completed(config, reader.presets)
        mistakes += [*reader.located(mistakes_in(config)), *_of_listening(config)]
    if config is None or mistakes or reader.mistakes:
        raise _as_one([*reader.mistakes, *mistakes])
    _last = config
    return config


def data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder that HEADSTART_DATA names, else the checkout. None takes the process's environment."""
    named = (os.environ if environ is None else environ).get("HEADSTART_DATA")
    return Path(named).expanduser().resolve() if named else SHIPPED.parent


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


def _as_one(mistakes: list[ConfigError]) -> ConfigError:
    """All mistakes as one error, in the order in which they stand in their files, each once."""
    ordered = sorted(mistakes, key=lambda mistake: (str(mistake.file), mistake.line or 0))
    unique = list({str(mistake): mistake for mistake in ordered}.values())
    return unique[0] if len(unique) == 1 else ConfigErrors(unique)


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


def _dotenv(file: Path, mistakes: list[ConfigError]) -> dict[str, str]:
    """The variables of a `.env` file, none where there is no file. mistakes: is given those it has."""
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        mistakes.append(ConfigError(file.name, nodes.line_of(error), "text", "is not UTF-8"))
        return {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        mistakes.append(ConfigError(file.name, 0, "text", f"cannot be read: {error.strerror}"))
        return {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            # The line itself may hold half a secret.
            line = binding.original.line + _blank_lines(binding.original.string)
            mistakes.append(ConfigError(file.name, line, "text", "this line is no NAME=value"))
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value is not None}


def _blank_lines(text: str) -> int:
    """How many lines before the first one with words."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def _with_address(config: Config, variables: Variables, mistakes: list[ConfigError]) -> Config:
    """The configuration with the address that HOST and PORT name where they are set."""
    host, port = variables.get("HOST"), variables.get("PORT")
    server, origins = config.server, {**config.origins}
    if host:
        server = dataclasses.replace(server, host=host)
        origins["server.host"] = Origin(None, (variables.source("HOST"),))
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536):
        mistakes.append(ConfigError(config.path.name, 0, "PORT", f"'{port}' is not a port number"))
    elif port:
        server = dataclasses.replace(server, port=int(port))
        origins["server.port"] = Origin(None, (variables.source("PORT"),))
    return altered(config, server=server, origins=origins)


def _with_key(config: Config, variables: Variables) -> Config:
    """The configuration with the key that HEADSTART_KEY holds, beside those of the file."""
    key, keys = variables.get(KEY_VARIABLE), config.server.api_keys
    if not key or key in [known.key for known in config.server.keys]:
        return config
    place = f"server.api_keys[{len(keys)}]" if isinstance(keys, list) else f"server.api_keys.{KEY_VARIABLE}"
    with_key = [*keys, key] if isinstance(keys, list) else {**keys, KEY_VARIABLE: key}
    origins = {**config.origins, place: Origin(None, (variables.source(KEY_VARIABLE),))}
    return altered(config, server=altered(config.server, api_keys=with_key), origins=origins)


def _of_listening(config: Config) -> tuple[ConfigError, ...]:
    try:
        check_listening(config)
    except ConfigError as mistake:
        return (mistake,)
    return ()


class _Unset(Exception):
    """A variable without default is not set."""


class SettingsReader(NodeReader):
    """Turns the nodes of the configuration into the sections of `settings.model`, field by field.

    mistakes: all that were found, each with its file, line and key. presets: the providers that are as we
    ship them.
    """

    whole = "config"
    lists_known_keys = True

    def __init__(self, path: Path, variables: Variables, *, must_exist: bool) -> None:
        """path: the owner's file. must_exist: it is a mistake where it does not."""
        super().__init__(path)
        self.mistakes: list[ConfigError] = []
        self.presets: set[str] = set()
        self._calls_cloud_xai = False
        self._reads_owner = path != SHIPPED and (must_exist or path.exists())
        self._variables = variables
        self._left_empty: dict[str, str] = {}  # key -> the variable for want of which it is empty
        # Key -> the variables that supplied its value, as an ordered set.
        self._supplied: dict[str, dict[str, None]] = {}
        self._secrets: list[str] = []  # keys whose values no message may quote
        self._faulty: set[str] = set()  # keys that have a mistake, and so a default in place of a value
        self._told: set[str] = set()  # keys and sections about which nothing more is said

    def config(self) -> Config | None:
        """The settings, with a default in place of each faulty value; None where there is nothing to read."""
        try:
            shipped = NodeReader(SHIPPED).composed(lambda root: root)
            if not self._reads_owner:
                return self._config(shipped, None)
            return self.composed(lambda owner: self._config(shipped, owner))
        except ConfigError as mistake:
            self.mistakes.append(mistake)
            return None

    def _config(self, shipped: yaml.Node | None, owner: yaml.Node | None) -> Config:
        assert isinstance(shipped, yaml.MappingNode)  # ours, and tested
        self._calls_cloud_xai = calls_cloud_xai(owner)
        root = layered(shipped, owner)
        config = self._section(Config, root, "")
        self.presets = unchanged_providers(shipped, owner) & config.providers.keys()
        return config

    def origins(self) -> dict[str, Origin]:
        """Where each value that was read came from, by its key; ours are defaults and have none."""
        ours = str(SHIPPED)
        return {
            key: Origin(None if place.file == ours else place.line, tuple(self._supplied.get(key, ())))
            for key, place in self.places.items()
            if place.file != ours or key in self._supplied
        }

    # Mistakes.

    def fail(self, where: yaml.Node | int, key: str, message: str) -> NoReturn:
        if any(key.startswith(secret) for secret in self._secrets):
            message = without_quotes(message)
        super().fail(where, self._shown(key), masked(message))

    def report(self, where: yaml.Node | int, key: str, message: str) -> None:
        try:
            self.fail(where, key, message)
        except ConfigError as mistake:
            self._note(key, mistake)

    def _note(self, key: str, mistake: ConfigError) -> None:
        self._faulty.add(key)
        section = key.rpartition(".")[0]
        self._told.add(key if section in ("", "providers", "routes") else section)
        self.mistakes.append(mistake)

    def located(self, mistakes: Iterable[tuple[str, str, str | None]]) -> list[ConfigError]:
        """Mistakes (key, message, key whose line is named instead) with their files and lines.

        Left out are those that may only follow from a value that could not be read.
        """
        return [
            self._located(key, message, at or key) for key, message, at in mistakes if not self._is_told(key)
        ]

    def _is_told(self, key: str) -> bool:
        return any(key == told or key.startswith((f"{told}.", f"{told}[")) for told in self._told)

    def _located(self, key: str, message: str, at: str) -> ConfigError:
        place = self.places.get(at) or nodes.Place(str(self.path), 1)
        if any(key.startswith(secret) for secret in self._secrets):
            message = without_quotes(message)
        if key in self._supplied:
            message += f" (from {', '.join(self._supplied[key])})"
        return ConfigError(Path(place.file).name, place.line, self._shown(key), masked(message))

    def _shown(self, key: str) -> str:
        """A key as the owner wrote it, without secrets."""
        if self._calls_cloud_xai and f"{key}.".startswith(f"routes.{CLOUD}."):
            key = f"routes.{XAI}" + key.removeprefix(f"routes.{CLOUD}")
        return masked(key)

    def yaml_problem(self, error: yaml.MarkedYAMLError, lines: list[str]) -> str:
        index = error.problem_mark.line if error.problem_mark else 0
        problem = in_words(error, lines)
        return without_quotes(problem) if names_secret("".join(lines[index : index + 1])) else problem

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
                self._check_limits(fields[name], values[name], value, here)
            except _Unset as variable:
                if cls is Provider and name == "api_key":
                    disabled = f"{variable} is not set"
                else:
                    self.report(value, here, f"the variable {variable} is not set")
            except ConfigError as mistake:
                self._note(here, mistake)
                values.pop(name, None)
        for name, field in fields.items():
            if name not in values and is_required(field):
                if not self._is_misspelt(name, key):
                    self.report(node, below(key, name), "is required")
                values[name] = _stand_in(field, hints[name])
        section = cls(**values)
        if isinstance(section, Provider) and not disabled:
            disabled = self._why_disabled(section, key)
        return altered(section, disabled=disabled) if disabled else section

    def _why_disabled(self, provider: Provider, key: str) -> str | None:
        """Why a provider is disabled: by the variable that would set it up, where there is one."""
        name = (provider.disabled or "").partition(" ")[0]
        variable = self._left_empty.get(below(key, name))
        return f"{variable} is not set" if variable else None

    def _is_misspelt(self, name: str, section: str) -> bool:
        """Whether a required key is there after all: with a faulty value, or under a name like its own."""
        wrong = [key.rpartition(".") for key in self._faulty]
        return any(where == section and nodes.or_similar(key, [name]) for where, _, key in wrong)

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

        text = _VARIABLE.sub(value_of, node.value)
        if not text and (variable := _VARIABLE.search(node.value)):
            self._left_empty[key] = variable[1]
        return text


def _is_mapping(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict


def _stand_in(field: dataclasses.Field[Any], hint: Any) -> Any:
    """A value for a required field that is missing or faulty, so that the rest can be checked."""
    choices = field.metadata["choices"]
    return next(iter(choices)) if choices else hint()


def _has_variable(node: yaml.Node) -> typing.TypeGuard[yaml.ScalarNode]:
    return isinstance(node, yaml.ScalarNode) and bool(_VARIABLE.search(node.value))
