"""Tool calls as text.

How a forced call is written and read back into OpenAI's deltas, and how tools are described to a model whose
chat template knows none. A call is one line, {"name": NAME, "arguments": ARGUMENTS}, which is what most
models were trained on; several calls are several lines.

Pure. It does not know how a model is held to that form: that is `constrained`.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

from wire import JsonObject

MAX_CALLS = 8  # for a client that wants several at once; a small model would go on until its budget ends
# Of a function's own, where the template does not list the tools: a model that small reads no manual.
DESCRIPTION_CHARS = 100
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def opening(name: str) -> str:
    """What a call of this function begins with, up to its arguments."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def parameters(tool: JsonObject) -> Any:
    """The schema of a tool's arguments, which are always an object; what is no schema stays as it is."""
    schema = tool["function"].get("parameters") or NO_ARGUMENTS
    if isinstance(schema, dict) and not schema.keys() & {"type", "$ref"}:
        return {"type": "object", **schema}
    return schema


def sound(parse: Callable[[str, Any], Any]) -> Callable[[str, Any], list[JsonObject]]:
    """mlx_lm's tool parser with its result checked.

    What it finds in a model's text are calls, each with an object of arguments, or it raises ValueError.
    """

    def parsed(text: str, tools: Any) -> list[JsonObject]:
        calls = parse(text, tools)
        return [_sound_call(call) for call in (calls if isinstance(calls, list) else [calls])]

    return parsed


def _sound_call(call: Any) -> JsonObject:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError("no call with a name")
    arguments = call.get("arguments") or {}
    if isinstance(arguments, str):  # some models write the object as a text, as OpenAI does
        arguments = json.loads(arguments)
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no object")
    return {**call, "arguments": arguments}


def as_text(messages: list[JsonObject], offered: list[JsonObject]) -> list[JsonObject]:
    """The conversation for a template without tools.

    A tool's result becomes part of the user's turn before it, and the system message lists what may be
    called. A turn that was nothing but calls is left out, since a small model would repeat it.

    offered: the tools that this answer must call; none where it is free, since such a model would not call
    them anyway.
    """
    turns: list[JsonObject] = []
    for message in messages:
        if message["role"] == "tool":
            question = turns.pop()["content"] + "\n\n" if turns and turns[-1]["role"] == "user" else ""
            turns.append({"role": "user", "content": f"{question}A tool says: {message['content']}"})
        elif message["content"] or not message.get("tool_calls"):
            turns.append({key: value for key, value in message.items() if key != "tool_calls"})
    if not offered:
        return turns
    system = turns.pop(0)["content"] + "\n\n" if turns and turns[0]["role"] == "system" else ""
    return [{"role": "system", "content": system + _instruction(offered)}, *turns]


def _instruction(offered: list[JsonObject]) -> str:
    lines = ["You answer by calling a function, with arguments taken from what the user says:"]
    for tool in offered:
        function = tool["function"]
        properties = parameters(tool).get("properties")
        named = properties.items() if isinstance(properties, dict) else ()
        arguments = ", ".join(_argument(name, schema) for name, schema in named)
        description = " ".join(str(function.get("description") or "").split())[:DESCRIPTION_CHARS]
        lines.append(f"- {function['name']}({arguments}) {description}".rstrip())
    return "\n".join([*lines, f"You write nothing but {opening('the function')}{{...}}}}"])


def _argument(name: str, schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return f"{name}: {kind}" if isinstance(kind, str) else name


class Reader:
    """Turns forced calls, as their text comes, into deltas of `tool_calls`.

    names: of the functions that may be called. begun: what of the first call stands in the prompt already.
    """

    def __init__(self, names: list[str], begun: str = "") -> None:
        self._openings = {opening(name): name for name in names}
        self._held = begun
        self._calls = 0
        self._is_open = False

    def feed(self, text: str) -> list[JsonObject]:
        """The deltas of the next piece of text, one for each call that it belongs to."""
        deltas: list[JsonObject] = []
        for i, piece in enumerate(text.split("\n")):  # no JSON holds a bare line break
            if i:
                self._held, self._is_open = "", False
            deltas += self._more(piece)
        return deltas

    def is_waiting(self, text: str) -> bool:
        """Whether the text may be part of a call's opening, of which there is nothing to report yet."""
        line = text.rpartition("\n")[2]
        return any(start.startswith(line) and start != line for start in self._openings)

    def flush(self) -> list[JsonObject]:
        """What was held back of a call that was cut off.

        Its last character is not known to be the brace that ends it.
        """
        held, self._held = self._held, ""
        return [self._delta(held)] if self._is_open and held else []

    def _more(self, piece: str) -> list[JsonObject]:
        self._held += piece
        if not self._is_open:
            start = next((start for start in self._openings if self._held.startswith(start)), None)
            if start is None:
                return []
            self._is_open = True
            self._calls += 1
            arguments, self._held = self._held[len(start) : -1], self._held[len(start) :][-1:]
            first = {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function"}
            return [first | self._delta(arguments, self._openings[start])]
        # The last character is held back: the brace that ends a call is not part of its arguments.
        arguments, self._held = self._held[:-1], self._held[-1:]
        return [self._delta(arguments)] if arguments else []

    def _delta(self, arguments: str, name: str | None = None) -> JsonObject:
        function = {"name": name} if name else {}
        return {"index": self._calls - 1, "function": {**function, "arguments": arguments}}


def whole(deltas: list[JsonObject]) -> list[JsonObject]:
    """All deltas of an answer as its `tool_calls`."""
    calls: list[JsonObject] = []
    for delta in deltas:
        if "id" in delta:
            calls.append({"id": delta["id"], "type": "function", "function": dict(delta["function"])})
        else:
            calls[-1]["function"]["arguments"] += delta["function"]["arguments"]
    return calls
