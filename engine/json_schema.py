"""A client's JSON schema made so tight that a small model comes to an end.

What satisfies the tighter schema satisfies the client's. Strings and arrays without a limit get one out of
the answer's budget, integers get those of JavaScript, objects have no other properties than those they name,
and "anything" becomes a value of some size. Formats that nobody can check are an annotation, as the
specification says, and are removed.

Pure. Only keywords that apply to the node they stand in are read, and a schema that makes no sense is left
for the compiler to refuse. Reference: json-schema.org/draft/2020-12, and the schemas that pydantic and zod
write.
"""

from collections.abc import Iterator
from typing import Any

from wire import JsonObject

# Those that llguidance knows.
FORMATS = {
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
}  # fmt: skip
OPEN_ENDED_FORMATS = {"email", "hostname", "uri"}
KEY_PATTERN = "^.{1,60}$"  # of an object that may have any keys
FREE_DEPTH = 3  # containers in one another, in a value that may be anything
# Generous, since a limit cuts a good answer as well and does not say so: a string that is alone may have
# three quarters of the budget (at 4 characters of English per token); of many, each half may have as much
# together. What still runs on meets the end of the budget.
STRING_CHARS_PER_TOKEN = 3
TOKENS_PER_ITEM = 4
LARGEST_INTEGER = 2**53 - 1  # that every reader of JSON can tell from its neighbours
FEWEST_CHARS = 40
FEWEST_ITEMS = 4

ONE_SCHEMA = ("items", "additionalProperties", "additionalItems")
LIST_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
BRANCHES = ("anyOf", "oneOf", "allOf", "$ref")
CONSTRAINTS = (
    "type", "enum", "const", "properties", "required", "items", "prefixItems", "pattern", "format",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "additionalProperties",
    "patternProperties", "minProperties", "maxProperties", "multipleOf", "not", *BRANCHES,
)  # fmt: skip


def tightened(schema: JsonObject, max_tokens: int, closes: bool = True) -> JsonObject:
    """The tighter schema, for an answer of at most max_tokens; the client's is not changed.

    closes: whether objects may have no properties beyond those they name, and what may be anything gets a
    limit of its depth. Where several schemas describe one value, that can leave nothing, or make too much of
    it.
    """
    endless = sum(_is_endless_string(node) for node in _nodes(schema))
    chars = max(FEWEST_CHARS, max_tokens * STRING_CHARS_PER_TOKEN * 2 // max(2, endless))
    items = max(FEWEST_ITEMS, max_tokens // TOKENS_PER_ITEM)
    tight: JsonObject = _Tightening(chars, items).of(schema, closes)
    return tight


class _Tightening:
    """Tightens a schema and those below it.

    chars, items: the limits of a string and of an array that have none.
    """

    def __init__(self, chars: int, items: int) -> None:
        self._chars = chars
        self._items = items

    def of(self, node: Any, closes: bool) -> Any:
        if closes and node is True:
            return self._anything(FREE_DEPTH)
        if not isinstance(node, dict):
            return node
        if closes and not any(key in node for key in CONSTRAINTS):
            return {**node, **self._anything(FREE_DEPTH)}
        closes = closes and not ("properties" in node and any(key in node for key in BRANCHES))
        tight = {key: self._below(key, value, closes and key != "allOf") for key, value in node.items()}
        if isinstance(tight.get("format"), str) and tight["format"] not in FORMATS:
            del tight["format"]
        if _is_endless_string(tight):
            tight["maxLength"] = max(self._chars, _whole(tight.get("minLength")))
        if "integer" in _types(tight) and not tight.keys() & {"enum", "const"}:
            self._limit_integer(tight)
        if "array" in _types(tight) and not tight.keys() & {"enum", "const"}:
            self._limit_array(tight, closes)
        is_open = not tight.keys() & {"enum", "const", "patternProperties", *BRANCHES}
        if closes and is_open and "object" in _types(tight):
            self._limit_object(tight)
        return tight

    def _below(self, key: str, value: Any, closes: bool) -> Any:
        if key in SCHEMAS_BY_NAME and isinstance(value, dict):
            return {name: self.of(schema, closes) for name, schema in value.items()}
        if key in LIST_OF_SCHEMAS and isinstance(value, list):
            return [self.of(schema, closes) for schema in value]
        if key in ONE_SCHEMA and not isinstance(value, list):
            return self.of(value, closes)
        return value

    def _limit_integer(self, node: JsonObject) -> None:
        if "exclusiveMaximum" not in node:
            node.setdefault("maximum", LARGEST_INTEGER)
        if "exclusiveMinimum" not in node:
            node.setdefault("minimum", -LARGEST_INTEGER)

    def _limit_array(self, node: JsonObject, closes: bool) -> None:
        node.setdefault("maxItems", max(self._items, _whole(node.get("minItems"))))
        if closes and "prefixItems" not in node:
            node.setdefault("items", self._anything(FREE_DEPTH - 1))

    def _limit_object(self, node: JsonObject) -> None:
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        elif not node.get("required") and node.get("additionalProperties") is not False:
            values = node.pop("additionalProperties", None) or self._anything(FREE_DEPTH - 1)
            node |= {**self._map(values, _whole(node.get("minProperties"))), **node}

    def _anything(self, depth: int) -> JsonObject:
        kinds: list[JsonObject] = [
            {"type": "string", "maxLength": self._chars},
            {"type": ["number", "boolean", "null"]},
        ]
        if depth:
            inner = self._anything(depth - 1)
            kinds += [
                {"type": "array", "items": inner, "maxItems": self._items},
                {"type": "object", **self._map(inner, 0)},
            ]
        return {"anyOf": kinds}

    def _map(self, values: Any, fewest: int) -> JsonObject:
        return {
            "patternProperties": {KEY_PATTERN: values},
            "additionalProperties": False,
            "maxProperties": max(self._items, fewest),
        }


def _nodes(value: Any) -> Iterator[JsonObject]:
    """All objects in a JSON value, itself included."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _is_endless_string(node: JsonObject) -> bool:
    if "string" not in _types(node) or node.keys() & {"maxLength", "enum", "const", "pattern"}:
        return False
    kind = node.get("format")
    return not isinstance(kind, str) or kind in OPEN_ENDED_FORMATS or kind not in FORMATS


def _types(node: JsonObject) -> list[Any]:
    kinds = node.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
