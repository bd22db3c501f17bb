"""Reads the marker file (prompts/meta_markers.yaml) into the rules of `routing.housekeeping`.

The owner edits that file, so a mistake in it names file, line and key. This module matches no request.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from errors import ConfigError, ConfigErrors
from routing.housekeeping import FULL_STOPS, MARKER_CHARS, Marker, MetaRules, Words
from settings.model import Config
from settings.nodes import A_MAPPING, TYPE_NAMES, NodeReader, below
from settings.paths import OWN_PROMPTS, SHIPPED
from wire.turns import one_spaced

SHIPPED_PROMPTS = "prompts"
SHIPPED_MARKERS = SHIPPED.parent / SHIPPED_PROMPTS / "meta_markers.yaml"
_SECTIONS = ("task_headers", "real_tasks", "markers", "real", "prompts")
_WITHOUT = "without"  # only in the owner's file: names of ours that are not wanted
_WORDS = tuple(field.name for field in dataclasses.fields(Words))
_MARKER = ("name", "system", "user", "last", "single_turn", "min_messages", "stream", "tools", "json_schema")
_EXPECTED = {
    A_MAPPING: "a mapping of keys to values",
    TYPE_NAMES[str]: "text (put it in quotes)",
    TYPE_NAMES[int]: "a whole number from 1 on",
}

T = TypeVar("T")
Default = TypeVar("Default")
Read = Callable[[yaml.Node, str], T]  # from a node and its key


def load(path: str | Path, own: Path | None = None) -> MetaRules:
    """Read and check a marker file. own: the owner's, which is laid over it, marker by marker, and which may
    name those `without` which it shall be.

    Raises ConfigError with file, line and key of every mistake: an unknown key, a wrong type, a regular
    expression that does not compile, a marker without words to be found by.
    """
    reader = _MarkerReader(Path(path))
    rules = reader.sound(reader.read(reader.rules))
    if own is None:
        return rules
    reader = _MarkerReader(own)
    return reader.sound(
        reader.composed(lambda root: _over(rules, *reader.owners_rules(root)) if root else rules)
    )


def in_effect(config: Config) -> MetaRules:
    """The shipped rules, with the owner's over them. Raises ConfigError."""
    return load(SHIPPED_MARKERS, config.own(SHIPPED_MARKERS.name))


def mistakes_in(config: Config) -> tuple[ConfigError, ...]:
    """Every mistake in the marker files."""
    try:
        in_effect(config)
    except ConfigError as error:
        return error.mistakes
    return ()


def _over(ours: MetaRules, own: MetaRules, without: Collection[str]) -> MetaRules:
    """The owner's rules over ours. One of the same name takes its place; other ones come before it."""

    def by_name(ours: tuple[T, ...], own: tuple[T, ...], name_of: Callable[[T], str]) -> tuple[T, ...]:
        theirs = {name_of(one): one for one in own}
        wanted = [one for one in ours if name_of(one) not in without]
        kept = [theirs.pop(name_of(one), one) for one in wanted]
        return (*theirs.values(), *kept)

    return MetaRules(
        task_headers=own.task_headers or ours.task_headers,
        real_tasks=own.real_tasks or ours.real_tasks,
        markers=by_name(ours.markers, own.markers, _name_of),
        real=by_name(ours.real, own.real, _name_of),
        prompts=by_name(ours.prompts, own.prompts, lambda prompt: prompt[0]),
    )


def _name_of(marker: Marker) -> str:
    return marker.name


@dataclass(frozen=True)
class _Mapping:
    """The nodes of a mapping by their names. key: where it stands, "" for the whole file.

    mistakes: the reader's, to which those in a member are added.
    """

    node: yaml.Node
    key: str
    members: dict[str, yaml.Node]
    mistakes: list[ConfigError]

    def read(self, name: str, read: Read[T], default: Default) -> T | Default:
        """What is read of a member, or the default where there is none, or a faulty one."""
        if name in self.members:
            try:
                return read(self.members[name], below(self.key, name))
            except ConfigError as mistake:
                self.mistakes.append(mistake)
        return default


class _MarkerReader(NodeReader):
    """Reads a marker file. Each method reads one part of it from a node and the node's key."""

    whole = "markers"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.mistakes: list[ConfigError] = []

    def sound(self, rules: MetaRules) -> MetaRules:
        """The rules, unless there are mistakes in them. Raises ConfigError with all of them."""
        if self.mistakes:
            raise ConfigErrors(sorted(self.mistakes, key=lambda mistake: mistake.line or 0))
        return rules

    def report(self, where: yaml.Node | int, key: str, message: str) -> None:
        try:
            self.fail(where, key, message)
        except ConfigError as mistake:
            self.mistakes.append(mistake)

    def named(self, file: Path) -> str:
        """With the folder, since the owner's has the same name as ours."""
        folder = file.parent.name
        return f"{folder}/{file.name}" if folder in (OWN_PROMPTS, SHIPPED_PROMPTS) else file.name

    # The parts of the file.

    def rules(self, root: yaml.Node) -> MetaRules:
        return self.rules_in(self.mapping(root, "", _SECTIONS))

    def owners_rules(self, root: yaml.Node) -> tuple[MetaRules, tuple[str, ...]]:
        """The rules of an owner's file, and the names of those of ours that it does without."""
        top = self.mapping(root, "", (*_SECTIONS, _WITHOUT))
        return self.rules_in(top), top.read(_WITHOUT, self.some_texts, ())

    def rules_in(self, top: _Mapping) -> MetaRules:
        markers = top.read("markers", self.each(self.marker), ())  # first: their mistakes are reported first
        return MetaRules(
            task_headers=top.read("task_headers", self.texts, ()),
            real_tasks=frozenset(top.read("real_tasks", self.texts, ())),
            markers=markers,
            real=top.read("real", self.each(self.marker), ()),
            prompts=top.read("prompts", self.each(self.prompt), ()),
        )

    def marker(self, node: yaml.Node, key: str) -> Marker:
        before = len(self.mistakes)
        mapping = self.mapping(node, key, _MARKER)
        marker = Marker(
            name=self.marker_name(mapping),
            system=mapping.read("system", self.words, None),
            user=mapping.read("user", self.words, None),
            last=mapping.read("last", self.words, None),
            single_turn=mapping.read("single_turn", self.only(True), False),
            min_messages=mapping.read("min_messages", self.count, 1),
            not_streamed=mapping.read("stream", self.only(False), False),
            tools=mapping.read("tools", self.some_texts, None),
            json_schema=mapping.read("json_schema", self.text, None),
        )
        if marker.anchor() is None and len(self.mistakes) == before:
            problem = "has no start, whole, head or end to be found by; structure alone never decides"
            self.fail(node, key, problem)
        return marker

    def prompt(self, node: yaml.Node, key: str) -> tuple[str, Words]:
        before = len(self.mistakes)
        mapping = self.mapping(node, key, ("name", *_WORDS))
        name, words = self.marker_name(mapping), self.words_in(mapping)
        if not words.anchored and len(self.mistakes) == before:
            self.fail(node, key, "has no start, whole, head or end to be found by")
        return name, words

    def marker_name(self, mapping: _Mapping) -> str:
        if "name" not in mapping.members:
            self.fail(mapping.node, mapping.key, "has no name")
        return mapping.read("name", self.text, "")

    def words(self, node: yaml.Node, key: str) -> Words:
        return self.words_in(self.mapping(node, key, _WORDS))

    def words_in(self, mapping: _Mapping) -> Words:
        return Words(
            start=mapping.read("start", self.edges, ()),
            whole=mapping.read("whole", self.whole_texts, ()),
            end=mapping.read("end", self.edges, ()),
            head=mapping.read("head", self.texts, ()),
            contains=mapping.read("contains", self.texts, ()),
            closing=mapping.read("closing", self.text, ""),
            pattern=mapping.read("pattern", self.pattern, None),
        )

    def edges(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        """What a text begins or ends with."""
        texts = tuple(one_spaced(text) for text in self.texts(node, key))
        if any(len(text) > MARKER_CHARS for text in texts):
            problem = f"longer than {MARKER_CHARS} characters; keep what tells this request from others"
            self.fail(node, key, problem)
        return texts

    def whole_texts(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        return tuple(text.rstrip(FULL_STOPS) for text in self.edges(node, key))

    def pattern(self, node: yaml.Node, key: str) -> re.Pattern[str]:
        try:
            return re.compile(self.text(node, key))
        except re.error as error:
            self.fail(node, key, f"not a regular expression: {error}")

    # Kinds of nodes.

    def fail_type(self, node: yaml.Node, key: str, expected: str) -> NoReturn:
        self.fail(node, key, f"must be {_EXPECTED.get(expected, expected)}")

    def name(self, node: yaml.Node, key: str) -> str:
        return self.text(node, key or self.whole)

    def mapping(self, node: yaml.Node, key: str, known: Collection[str]) -> _Mapping:
        return _Mapping(node, key, dict(self.members(node, key, known)), self.mistakes)

    def each(self, read: Read[T]) -> Read[tuple[T, ...]]:
        """Reads a list of such parts, without the faulty ones."""

        def read_all(node: yaml.Node, key: str) -> Iterator[T]:
            for here, item in self.items(node, key):
                try:
                    yield read(item, here)
                except ConfigError as mistake:
                    self.mistakes.append(mistake)

        return lambda node, key: tuple(read_all(node, key))

    def texts(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        """One text, or a list of at least one."""
        texts = self.some_texts(node, key)
        if not texts:
            self.fail(node, key, "is an empty list")
        return texts

    def some_texts(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        """One text, or a list of any number."""
        if not isinstance(node, yaml.SequenceNode):
            return (self.text(node, key),)
        return tuple(self.text(item, key) for _, item in self.items(node, key))

    def text(self, node: yaml.Node, key: str) -> str:
        text: str = self.scalar(str, node, key)
        if not text.strip():
            self.fail(node, key, "must not be empty")
        return text

    def only(self, wanted: bool) -> Read[bool]:
        """Reads a flag that can only have one value; where it stands, it holds."""

        def read(node: yaml.Node, key: str) -> bool:
            if self.scalar(bool, node, key) is not wanted:
                self.fail(node, key, f"can only be {str(wanted).lower()}; leave it out otherwise")
            return True

        return read

    def count(self, node: yaml.Node, key: str) -> int:
        self.scalar(int, node, key)
        if not node.value.isdigit() or int(node.value) < 1:
            self.fail_type(node, key, TYPE_NAMES[int])
        return int(node.value)
