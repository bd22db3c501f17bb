"""Reads a YAML file node by node, since only nodes remember their lines: a mistake names file, line and key.

The readers of the settings and of the housekeeping markers build on this one. It knows neither of them.
"""

import difflib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from errors import ConfigError

A_MAPPING, A_LIST = "a mapping", "a list"
TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_TAGS = {kind: f"tag:yaml.org,2002:{kind.__name__}" for kind in TYPE_NAMES}
_PLAIN = (True, False)  # how PyYAML writes that a scalar has no quotes

T = TypeVar("T")


class NodeReader:
    """Reads one file. A subclass knows what the file holds, and in which words its mistakes are reported.

    whole: the key that stands for the whole file in a message. lists_known_keys: whether the message about an
    unknown key that is like no other lists those there are.
    lines: the line of each key that was read, as in `providers.xai.model` or `routes.primary.chain[0]`.
    """

    whole = "yaml"
    lists_known_keys = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, int] = {}

    def read(self, build: Callable[[yaml.Node], T]) -> T:
        """What `build` makes of the file's root node. Raises ConfigError for the first mistake."""
        text = self._read_text()
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if root is None:
                self.fail(1, self.whole, "the file is empty")
            return build(root)
        except yaml.MarkedYAMLError as error:
            index = error.problem_mark.line if error.problem_mark else 0
            line = "".join(text.splitlines()[index : index + 1])
            self.fail(index + 1, "yaml", self.yaml_problem(error, line))
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
        line = where if isinstance(where, int) else where.start_mark.line + 1
        raise ConfigError(self.path.name, line, key, message)

    def fail_type(self, node: yaml.Node, key: str, expected: str) -> NoReturn:
        """Raise ConfigError for a node of another type. expected: A_MAPPING, A_LIST or one of TYPE_NAMES."""
        self.fail(node, key, f"expected {expected}, found {described(node)}")

    def unknown_key(self, name: str, known: Collection[str]) -> str:
        """The message about a key that a mapping does not have."""
        near = difflib.get_close_matches(name, known, 1, 0.6)
        if near:
            return f"unknown key, did you mean {near[0]}?"
        return f"unknown key; known: {', '.join(known)}" if self.lists_known_keys else "unknown key"

    def yaml_problem(self, error: yaml.MarkedYAMLError, line: str) -> str:
        """The message about a file that is no YAML. line: the text of the line the problem is in."""
        return error.problem or str(error)

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
                self.fail(name_node, here, "stands here twice")
            seen.add(name)
            self.lines[here] = name_node.start_mark.line + 1
            yield name, name_node, value

    def members(self, node: yaml.Node, key: str, known: Collection[str]) -> Iterator[tuple[str, yaml.Node]]:
        """The (name, value node) of a mapping that has no names but the known ones."""
        for name, name_node, value in self.pairs(node, key):
            if name not in known:
                self.fail(name_node, below(key, name), self.unknown_key(name, known))
            yield name, value

    def items(self, node: yaml.Node, key: str) -> Iterator[tuple[str, yaml.Node]]:
        """The (key, node) of each item of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.fail_type(node, key, A_LIST)
        for index, item in enumerate(node.value):
            here = f"{key}[{index}]"
            self.lines[here] = item.start_mark.line + 1
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


def below(key: str, name: str) -> str:
    """The key of a name within the mapping at `key`, "" for the whole file."""
    return f"{key}.{name}" if key else name


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


def described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return A_MAPPING
    if isinstance(node, yaml.SequenceNode):
        return A_LIST
    return f"'{node.value}'" if node.value else "nothing"
