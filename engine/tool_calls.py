"""Tool calls as text: how a forced call is written and read back into OpenAI's deltas, and tools for a model whose template knows none.

A call is one line, {"name": NAME, "arguments": ARGUMENTS}, which is what most models were trained on; several calls are several lines.
Pure. It does not know how a model is kept to it: that is `constrained`.
"""

import json
import uuid

MAX_CALLS = 8  # for a client that wants several at once; a small model would go on until its budget ends
DESCRIPTION_CHARS = (
    100  # of a function's own, where the template does not tell the tools: a model that small reads no manual
)
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def opening(name: str) -> str:
    """What a call of this function begins with, up to its arguments."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def parameters(tool: dict) -> dict:
    """The schema of a tool's arguments, which are always an object."""
    schema = tool["function"].get("parameters") or NO_ARGUMENTS
    return (
        {"type": "object", **schema}
        if isinstance(schema, dict) and not schema.keys() & {"type", "$ref"}
        else schema
    )


def sound(parse):
    """mlx_lm's tool parser made careful: what it finds in a model's text are calls, with an object of arguments, or it raises ValueError."""

    def parsed(text, tools):
        calls = parse(text, tools)
        return [_sound_call(call) for call in (calls if isinstance(calls, list) else [calls])]

    return parsed


def _sound_call(call):
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError("no call with a name")
    arguments = call.get("arguments") or {}
    if isinstance(arguments, str):  # some models write the object as a text, as OpenAI does
        arguments = json.loads(arguments)
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no object")
    return {**call, "arguments": arguments}


def as_text(messages: list[dict], offered: list[dict]) -> list[dict]:
    """The conversation for a template without tools: what they answered as part of the question, and what may be called in the system message.

    A turn that was nothing but calls is left out, since a small model would repeat it. offered: the tools that this answer must call;
    none where it is free, since such a model would not call them anyway.
    """
    told = []
    for message in messages:
        if message["role"] == "tool":
            asked = told.pop()["content"] + "\n\n" if told and told[-1]["role"] == "user" else ""
            told.append({"role": "user", "content": f"{asked}A tool says: {message['content']}"})
        elif message["content"] or not message.get("tool_calls"):
            told.append({key: value for key, value in message.items() if key != "tool_calls"})
    if not offered:
        return told
    system = told.pop(0)["content"] + "\n\n" if told and told[0]["role"] == "system" else ""
    return [{"role": "system", "content": system + _instruction(offered)}, *told]


def _instruction(offered):
    lines = ["You answer by calling a function, with arguments taken from what the user says:"]
    for tool in offered:
        function = tool["function"]
        properties = parameters(tool).get("properties")
        arguments = (
            ", ".join(_argument(name, schema) for name, schema in properties.items())
            if isinstance(properties, dict)
            else ""
        )
        description = " ".join(str(function.get("description") or "").split())[:DESCRIPTION_CHARS]
        lines.append(f"- {function['name']}({arguments}) {description}".rstrip())
    return "\n".join([*lines, f"You write nothing but {opening('the function')}{{...}}}}"])


def _argument(name, schema):
    kind = schema.get("type") if isinstance(schema, dict) else None
    return f"{name}: {kind}" if isinstance(kind, str) else name


class Reader:
    """Turns forced calls, as their text comes, into deltas of `tool_calls`.

    names: of the functions that may be called. begun: what of the first call stands in the prompt already.
    """

    def __init__(self, names: list[str], begun: str = ""):
        self._openings = {opening(name): name for name in names}
        self._held = begun
        self._calls = 0
        self._is_open = False

    def feed(self, text: str) -> list[dict]:
        """The deltas of the next piece of text, one for each call that it belongs to."""
        deltas = []
        for i, piece in enumerate(text.split("\n")):  # no JSON holds a bare line break
            if i:
                self._held, self._is_open = "", False
            deltas += self._more(piece)
        return deltas

    def is_waiting(self, text: str) -> bool:
        """Whether the text may be the beginning of a call's beginning, of which there is nothing to tell yet."""
        line = text.rpartition("\n")[2]
        return any(start.startswith(line) and start != line for start in self._openings)

    def flush(self) -> list[dict]:
        """What was held back of a call that was cut: its last character is not known to be the brace that ends it."""
        held, self._held = self._held, ""
        return [self._delta(held)] if self._is_open and held else []

    def _more(self, piece):
        self._held += piece
        if not self._is_open:
            start = next((start for start in self._openings if self._held.startswith(start)), None)
            if start is None:
                return []
            self._is_open = True
            self._calls += 1
            arguments, self._held = self._held[len(start) : -1], self._held[len(start) :][-1:]
            return [
                {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function"}
                | self._delta(arguments, self._openings[start])
            ]
        arguments, self._held = (
            self._held[:-1],
            self._held[-1:],
        )  # the brace that ends a call is not part of its arguments
        return [self._delta(arguments)] if arguments else []

    def _delta(self, arguments, name=None):
        function = {"name": name} if name else {}
        return {"index": self._calls - 1, "function": {**function, "arguments": arguments}}


def whole(deltas: list[dict]) -> list[dict]:
    """All deltas of an answer as its `tool_calls`."""
    calls = []
    for delta in deltas:
        if "id" in delta:
            calls.append({"id": delta["id"], "type": "function", "function": dict(delta["function"])})
        else:
            calls[-1]["function"]["arguments"] += delta["function"]["arguments"]
    return calls
