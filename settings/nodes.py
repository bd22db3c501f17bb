"""Reads a YAML file node by node, since only nodes remember their lines: a mistake names file, line and key.

The readers of the settings and of the housekeeping markers build on this one. It knows neither of them.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import yaml

from errors import ConfigError
from settings.yaml_words import NO_BREAK_SPACE, in_words, of_a_missing_blank

A_MAPPING, A_LIST = "a mapping", "a list"
TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_TAGS = {kind: f"tag:yaml.org,2002:{kind.__name__}" for kind in TYPE_NAMES}
_PLAIN = (True, False)  # how PyYAML writes that a scalar has no quotes

T = TypeVar("T")


class Place(NamedTuple):
    """Where something stands: a file's path, and a line counted from 1."""

    file: str
    line: int


class NodeReader:
    """Reads one file. A subclass knows what the file holds, and in which words its mistakes are reported.

    whole: the key that stands for the whole file in a message. lists_known_keys: whether the message about an
    unknown key that is like no other lists those there are.
    places: where each key stands that was read, as in `providers.xai.model` or `routes.primary.chain[0]`.
    """

    whole = "yaml"
    lists_known_keys = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[str, Place] = {}

    def read(self, build: Callable[[yaml.Node], T]) -> T:
        """What `build` makes of the file's root node. Raises ConfigError for a mistake."""

        def built(root: yaml.Node | None) -> T:
            if root is None:
                self.fail(1, self.whole, "the file is empty")
            return build(root)

        return self.composed(built)

    def composed(self, build: Callable[[yaml.Node | None], T]) -> T:
        """What `build` makes of the file's root node, None for an empty file. Raises ConfigError."""
        text = self._read_text()
        try:
            return build(_compose(text, self.path))
        except yaml.MarkedYAMLError as error:
            index, problem = self.yaml_problem(error, text.splitlines())
            self.fail(index + 1, "yaml", problem)
        except yaml.reader.ReaderError as error:
            index = text[: error.position].count("\n")
            character = text[error.position]
            self.fail(index + 1, "yaml", f"the character {character!r} is not allowed")
        except RecursionError:
            self.fail(1, "yaml", "is nested too deeply, or in itself")

    def _read_text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            self.fail(line_of(error), "text", "is not UTF-8")
        except OSError as error:
            raise ConfigError(self.path, 0, self.whole, str(error.strerror)) from error

    # Mistakes.

    def fail(self, where: yaml.Node | int, key: str, message: str) -> NoReturn:
        """Raise ConfigError. where: the node the mistake is in, or its line."""
        place = Place(str(self.path), where) if isinstance(where, int) else place_of(where)
        raise ConfigError(self.named(Path(place.file)), place.line, key, message)

    def named(self, file: Path) -> str:
        """How a message names a file."""
        return file.name

    def report(self, where: yaml.Node | int, key: str, message: str) -> None:
        """Tell of a mistake that leaves the rest readable. A subclass may collect it instead of raising."""
        self.fail(where, key, message)

    def fail_type(self, node: yaml.Node, key: str, expected: str) -> NoReturn:
        """Raise ConfigError for a node of another type. expected: A_MAPPING, A_LIST or one of TYPE_NAMES."""
        self.fail(node, key, f"expected {expected}, found {described(node)}{_likely(node, expected)}")

    def unknown_key(self, name: str, known: Collection[str], above: str = "") -> str:
        """The message about a key that a mapping does not have. above: the key before it, if it is empty."""
        if name.partition(":")[0] in known:
            return of_a_missing_blank(name)
        if NO_BREAK_SPACE in name:
            return "a no-break space stands here, as web pages have them; YAML wants blanks"
        if above:
            return f"unknown key; if it belongs to '{above}', indent it by 2 blanks more"
        if near := or_similar(name, known):
            return f"unknown key{near}"
        return f"unknown key; known: {', '.join(known)}" if self.lists_known_keys else "unknown key"

    def yaml_problem(self, error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[int, str]:
        """(the index of the line, the message) for a file that is no YAML. lines: the whole file's."""
        return in_words(error, lines)

    # Nodes.

    def name(self, node: yaml.Node, key: str) -> str:
        """The name that a key's own node gives it. key: of the mapping around it, "" for the whole file."""
        return str(node.value)

    def pairs(self, node: yaml.Node, key: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """The (name, name node, value node) of a mapping, each name once."""
        if not isinstance(node, yaml.MappingNode):
            self.fail_type(node, key or self.whole, A_MAPPING)
        seen = set()
        for name_node, value in node.value:
            name = self.name(name_node, key)
            here = below(key, name)
            if name in seen:
                self.report(name_node, here, "stands here twice")
                continue
            seen.add(name)
            self.places[here] = place_of(name_node)
            yield name, name_node, value

    def members(self, node: yaml.Node, key: str, known: Collection[str]) -> Iterator[tuple[str, yaml.Node]]:
        """The (name, value node) of a mapping that has no names but the known ones."""
        above = ""
        for name, name_node, value in self.pairs(node, key):
            if name in known:
                above = name if isinstance(value, yaml.ScalarNode) and not value.value else ""
                yield name, value
            else:
                self.report(name_node, below(key, name), self.unknown_key(name, known, above))

    def items(self, node: yaml.Node, key: str) -> Iterator[tuple[str, yaml.Node]]:
        """The (key, node) of each item of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.fail_type(node, key, A_LIST)
        for index, item in enumerate(node.value):
            here = f"{key}[{index}]"
            self.places[here] = place_of(item)
            yield here, item

    def scalar(self, kind: Any, node: yaml.Node, key: str) -> Any:
        """The value of a node that has to be of a kind, one of TYPE_NAMES, and not of a similar one."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAGS[kind]:
            self.fail_type(node, key, TYPE_NAMES[kind])
        return self.construct(node, key)

    def construct(self, node: yaml.Node, key: str) -> Any:
        """The Python value that YAML makes of a node."""
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.fail(node, key, getattr(error, "problem", None) or str(error))


def or_similar(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that nobody has: one like it, "" where there is none."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f", did you mean {near[0]}?" if near else ""


def below(key: str, name: str) -> str:
    """The key of a name within the mapping at `key`, "" for the whole file."""
    return f"{key}.{name}" if key else name


def place_of(node: yaml.Node) -> Place:
    """Where a node begins."""
    return Place(str(node.start_mark.name), node.start_mark.line + 1)


def _compose(text: str, file: Path) -> yaml.Node | None:
    """The root node of a text, each node of which knows its file. None for an empty text."""
    loader = yaml.SafeLoader(text)
    loader.name = str(file)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def line_of(error: UnicodeDecodeError) -> int:
    """The line of a file that is not UTF-8, counted from 1."""
    return error.object[: error.start].count(b"\n") + 1


def with_text(node: yaml.ScalarNode, text: str, *, quoted: bool = False) -> yaml.ScalarNode:
    """The scalar node with another text, of the type that YAML sees in it."""
    if quoted:
        tag = _TAGS[str]
    else:
        resolver = yaml.SafeLoader("")
        tag = resolver.resolve(yaml.ScalarNode, text, _PLAIN)  # type: ignore[no-untyped-call]  # it has no stub
    return yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)


def _likely(node: yaml.Node, expected: str) -> str:
    """The end of a message about a single value in place of a mapping or a list: what went wrong, if seen."""
    if expected not in (A_MAPPING, A_LIST) or not isinstance(node, yaml.ScalarNode):
        return ""
    likely = of_a_missing_blank(node.value)
    return f"; {likely}" if likely else ""


def described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return A_MAPPING
    if isinstance(node, yaml.SequenceNode):
        return A_LIST
    return f"'{node.value}'" if node.value else "nothing"


def is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _TAGS[str]
