"""Tool calls as chat completions spell them: the function, its arguments, and the pieces of a stream."""

import json
from typing import Any, NamedTuple

from errors import UpstreamError
from wire import JsonObject, strict_json


def named_function(holder: Any) -> JsonObject | None:
    """The function of a tool, a tool call or a tool choice; None where there is none that has a name."""
    function = holder.get("function") if isinstance(holder, dict) else None
    return function if isinstance(function, dict) and isinstance(function.get("name"), str) else None


def arguments_text(arguments: Any) -> str:
    """A tool's arguments as text, or a piece of it; some servers give them as an object.

    A model reads this text when the call comes back in a conversation, so it has letters, not their escapes.
    """
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return arguments or ""


def parse_arguments(arguments: Any) -> JsonObject:
    """A tool call's arguments as an object. Chat completions spell them as text, some servers as an object.

    None, "" and "null" mean {}. Raises ValueError.
    """
    value = arguments
    if isinstance(arguments, str):
        try:
            value = strict_json.loads(arguments or "{}")
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
    if value is not None and not isinstance(value, dict):
        raise ValueError("it is no object")
    return value or {}


def called_arguments(function: JsonObject) -> JsonObject:
    """The arguments of a model's call. Raises UpstreamError when they are no JSON object."""
    try:
        return parse_arguments(function.get("arguments"))
    except ValueError as error:
        raise UpstreamError(
            f"the model called the tool '{function.get('name')}' with something that is no JSON object"
        ) from error


class CallPiece(NamedTuple):
    """A piece of a tool call. number, id: of the call. is_first: whether the call begins with it."""

    number: int
    id: str
    name: str
    arguments: str
    is_first: bool


class CallPieces:
    """Tells which tool call each piece in a stream belongs to.

    Some servers give no index, some give every call the same one; a new id is a new call.
    """

    def __init__(self, prefix: str) -> None:
        """prefix: of the ids for calls that have none."""
        self._prefix = prefix
        self._ids: dict[int, str] = {}  # index of a call -> its id

    def __bool__(self) -> bool:
        """Whether there has been any call."""
        return bool(self._ids)

    def read(self, call: JsonObject) -> CallPiece:
        """What a delta's tool call says, and of which call."""
        index, id = call.get("index"), call.get("id")
        if index is None:
            index = len(self._ids) if id or not self._ids else max(self._ids)
        is_first = index not in self._ids or bool(id and id != self._ids[index])
        if is_first:
            self._ids[index] = id or f"{self._prefix}{len(self._ids)}"
        function = call.get("function") or {}
        arguments = arguments_text(function.get("arguments"))
        return CallPiece(index, self._ids[index], function.get("name") or "", arguments, is_first)
