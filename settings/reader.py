"""Reads the nodes of a configuration into the sections of `settings.model`, and notes every mistake.

The shipped file and the owner's have become one tree before (`settings.layers`), each node of which knows its
file and line. Variables are filled in here. No message quotes a secret, since it may end in the log.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from errors import ConfigError
from settings import nodes
from settings.decisions import CLOUD, XAI
from settings.environment import Variables
from settings.fields import altered, fields_of, is_required
from settings.layers import calls_cloud_xai, layered, unchanged_providers
from settings.model import Config, Origin, Provider
from settings.nodes import NodeReader, below, is_text
from settings.paths import SHIPPED
from settings.secrets import masked, names_secret, without_quotes

VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
_VARIABLE = re.compile(VARIABLE)

S = TypeVar("S")


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
        self._shipped: set[str] = set()  # the names of the providers that are shipped
        self._reads_owner = path != SHIPPED and (must_exist or path.exists())
        self._variables = variables
        self._left_empty: dict[str, str] = {}  # key -> the variable for want of which it is empty
        # Key -> the variables that supplied its value, as an ordered set.
        self._supplied: dict[str, dict[str, None]] = {}
        self._secrets: list[str] = []  # keys whose values no message may quote
        self._faulty: set[str] = set()  # keys that have a mistake, and so a default in place of a value
        self._reported: set[str] = set()  # keys and sections about which nothing more is said

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
        self._shipped = unchanged_providers(shipped, None)
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
        self._reported.add(key if section in ("", "providers", "routes") else section)
        self.mistakes.append(mistake)

    def located(self, mistakes: Iterable[tuple[str, str, str | None]]) -> list[ConfigError]:
        """Mistakes (key, message, key whose line is named instead) with their files and lines.

        Left out are those that may only follow from a value that could not be read.
        """
        return [
            self._located(key, message, at or key) for key, message, at in mistakes if not self._is_told(key)
        ]

    def has_mistake(self, key: str) -> bool:
        """Whether the value of a key, or one below it, could not be read."""
        return any(f"{reported}.".startswith(f"{key}.") for reported in (*self._reported, *self._faulty))

    def _is_told(self, key: str) -> bool:
        if "providers" in self._reported and key.startswith(("routes.", "models[")):
            return True  # nobody knows who there is
        return any(
            key == reported or key.startswith((f"{reported}.", f"{reported}[")) for reported in self._reported
        )

    def _located(self, key: str, message: str, at: str) -> ConfigError:
        place = self.places.get(at) or nodes.Place(str(self.path), 1)
        if any(key.startswith(secret) for secret in self._secrets):
            message = without_quotes(message)
        sources = list(self._supplied.get(key, ()))
        if len(sources) == 1 and place.file == str(SHIPPED):  # what the owner has to do with is the variable
            name = sources[0].split()[-1]
            return ConfigError(*self._variables.place(name), name, masked(message))
        if sources:
            message += f" (from {', '.join(sources)})"
        return ConfigError(Path(place.file).name, place.line, self._shown(key), masked(message))

    def _shown(self, key: str) -> str:
        """A key as the owner wrote it, without secrets."""
        if self._calls_cloud_xai and f"{key}.".startswith(f"routes.{CLOUD}."):
            key = f"routes.{XAI}" + key.removeprefix(f"routes.{CLOUD}")
        return masked(key)

    def yaml_problem(self, error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[int, str]:
        index, problem = super().yaml_problem(error, lines)
        known = not error.problem or error.problem not in problem
        secret = not known and names_secret("".join(lines[index : index + 1]))
        return index, without_quotes(problem) if secret else problem

    # Values.

    def _section(self, cls: type[S], node: yaml.Node, key: str) -> S:
        fields = {field.name: field for field in fields_of(cls)}
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        disabled = None
        if is_text(node) and any(field.metadata["secret"] for field in fields.values()):
            self._secrets.append(key)  # a key or an address in place of its section
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
                    self.report(node, below(key, name), f"is required{self._or_ours(cls, key)}")
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

    def _or_ours(self, cls: type, key: str) -> str:
        """The end of a message about a provider without its kind: the shipped one that may be meant."""
        return nodes.or_similar(key.rpartition(".")[2], self._shipped) if cls is Provider else ""

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
            return {name: self._member(args[1], child, below(key, name)) for name, _, child in members}
        if origin is list:
            return [self._value(args[0], child, here) for here, child in self.items(node, key)]
        return self.scalar(hint, node, key)

    def _member(self, hint: Any, node: yaml.Node, key: str) -> Any:
        """A value of a mapping of names; a faulty section is noted and stood in for, so that all are read."""
        if not dataclasses.is_dataclass(hint):
            return self._value(hint, node, key)
        try:
            return self._value(hint, node, key)
        except ConfigError as mistake:
            self._note(key, mistake)
            hints, required = typing.get_type_hints(hint), filter(is_required, fields_of(hint))
            values = {field.name: _stand_in(field, hints[field.name]) for field in required}
            return typing.cast(type, hint)(**values)

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
