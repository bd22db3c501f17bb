"""OpenAI's chat and text completions: whole answers and their streams, one made from the other.

An upstream is always asked to stream. `Assembly` puts a stream's chunks together to the answer the client
would have got without; `Relay` passes a stream on and keeps its promises: one finish_reason per choice, usage
only for those who asked, [DONE] at the end.
Reference: platform.openai.com/docs/api-reference/chat/streaming, and what vLLM, Ollama, OpenRouter and xAI
add to it.
"""

import json
from typing import Any

from errors import BadRequest
from wire import JsonObject, sse
from wire.envelope import Envelope
from wire.fields import objects_of

BEYOND_CHAT = ("unsupported_value", "unsupported_parameter")
"""The codes of what is sound in another API but cannot be said in chat completions."""
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Sent once or repeated, never in pieces.
_WHOLE = {"role", "id", "type", "name", "object", "index", "format", "signature"}
_ENVELOPE = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
# Of an answer: an empty one in a later chunk says nothing, and the first id stays.
_STEADY = {"id", "model", "usage"}
_CONTENT_KEYS = (
    "content",
    "reasoning_content",
    "reasoning",
    "thinking",
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
    "images",
)
_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def dumps(value: Any) -> bytes:
    """Compact JSON as bytes; anything json.loads gave (huge integers, NaN, lone surrogates) survives."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def error_body(message: str, type: str | None, param: str | None = None, code: Any = None) -> JsonObject:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def error_of(payload: Any) -> JsonObject | None:
    """The error object in a provider's reply in OpenAI's shape, or None.

    Understands {"error": {...}}, {"error": "text"}, {"detail": ...} and {"message": "text"}, since the last
    three lose their text in most clients.
    """
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict):
        message = str(error.get("message") or "unknown error")
        return {"message": message, **{key: error.get(key) for key in ("type", "param", "code")}}
    if error:
        return {"message": str(error)}
    is_bare = "choices" not in payload and not payload.keys().isdisjoint(("detail", "message"))
    if is_bare or payload.get("object") == "error":
        text = payload.get("message") or payload.get("detail")
        return {"message": text if isinstance(text, str) else json.dumps(text)}
    return None


def error_in(raw: bytes) -> JsonObject:
    """The error object in a provider's reply as it came, {} where there is none."""
    try:
        return error_of(json.loads(raw)) or {}
    except ValueError:
        return {}


def text_of(content: Any) -> str:
    """The text of a message's content: a string, a list of parts, or None."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in objects_of(content) if isinstance(part.get("text"), str))


# Chunks.


def has_content(chunk: JsonObject) -> bool:
    """Whether a chunk brings the answer itself: text, reasoning, a tool call or an end; not just a role."""
    for choice in chunk.get("choices") or ():
        if choice.get("finish_reason") or choice.get("text"):
            return True
        delta = choice.get("delta")
        if delta:
            for key in _CONTENT_KEYS:
                if delta.get(key):
                    return True
    return False


def has_answer(chunk: JsonObject) -> bool:
    """Whether a chunk brings text, reasoning or a tool call, or an end that says why there is none.

    The plain end `stop` does not: an answer that has nothing else is an empty one.
    """
    choices = chunk.get("choices") or ()
    if any(choice.get("finish_reason") not in (None, "", "stop") for choice in choices):
        return True
    return has_content({"choices": [{**choice, "finish_reason": None} for choice in choices]})


_decode = json.JSONDecoder().decode


def parse_chunk(data: bytes | str) -> JsonObject:
    """A stream event's data as a chunk. Raises ValueError when it is none."""
    # json.loads would guess the encoding first, for each event; they are UTF-8.
    chunk = _decode(data if isinstance(data, str) else data.decode("utf-8", "surrogatepass"))
    if not isinstance(chunk, dict):
        raise ValueError("not a completion chunk")
    choices = chunk.get("choices")
    if choices:
        if not isinstance(choices, list):
            raise ValueError("not a list of choices")
        for choice in choices:
            _check_choice(choice)
    if not isinstance(chunk.get("usage") or {}, dict):
        raise ValueError("not a usage")
    return chunk


def _check_choice(choice: Any) -> None:
    if not isinstance(choice, dict) or not isinstance(choice.get("index") or 0, int):
        raise ValueError("not a choice")
    for key in ("delta", "message"):
        part = choice.get(key)
        if not part:
            continue
        if not isinstance(part, dict):
            raise ValueError(f"not a {key}")
        calls = part.get("tool_calls")
        if calls and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
            raise ValueError("not a list of tool calls")


# Requests.


def check_chat(body: Any) -> JsonObject:
    """Check the parts of a chat request that the proxy itself relies on, and return it.

    The rest is the provider's to judge. Raises BadRequest naming the field.
    """
    request = _check_envelope(body)
    messages = request.get("messages")
    if messages is None:
        raise BadRequest("'messages' is required", param="messages", code="missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list with at least one message", param="messages")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")
    return request


def checked_agent_chat(body: Any) -> JsonObject:
    """Check a request of the gateway's own kind, and return it with messages.

    It has a `model_class`, and `messages` or a `prompt`. Raises BadRequest naming the field.
    """
    request = _check_envelope(body)
    if not isinstance(request.get("model_class"), str) or not request["model_class"]:
        raise BadRequest("'model_class' must name a route", param="model_class")
    if request.get("messages") is None:
        if not isinstance(request.get("prompt"), str):
            raise BadRequest(
                "'messages', or a 'prompt' that is a string, is required",
                param="messages",
                code="missing_required_parameter",
            )
        request = {**request, "messages": [{"role": "user", "content": request["prompt"]}]}
    return check_chat({key: value for key, value in request.items() if key != "prompt"})


def check_prompt(body: Any, field: str) -> JsonObject:
    """Check a request whose input is one field, and return it.

    The field is a string or a list (of strings, tokens or token lists). Raises BadRequest naming it.
    """
    request = _check_envelope(body)
    if request.get(field) is None:
        raise BadRequest(f"'{field}' is required", param=field, code="missing_required_parameter")
    if not isinstance(request[field], (str, list)):
        raise BadRequest(f"'{field}' must be a string or a list, not {_kind(request[field])}", param=field)
    return request


def _check_envelope(body: Any) -> JsonObject:
    if not isinstance(body, dict):
        raise BadRequest(f"the request body must be a JSON object, not {_kind(body)}")
    for field, type, name in (
        ("model", str, "a string"),
        ("stream", bool, "true or false"),
        ("stream_options", dict, "an object"),
    ):
        if body.get(field) is not None and not isinstance(body[field], type):
            raise BadRequest(f"'{field}' must be {name}, not {_kind(body[field])}", param=field)
    return body


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise BadRequest(f"'{where}' must be an object, not {_kind(message)}", param=where)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(f"'{where}.role' must be one of {', '.join(ROLES)}", param=f"{where}.role")
    if content is None and role in ("assistant", "function"):
        return
    if isinstance(content, list) and content:
        for j, part in enumerate(content):
            _check_part(part, f"{where}.content[{j}]")
    elif not isinstance(content, str):
        found = "an empty list" if content == [] else _kind(content)
        raise BadRequest(
            f"'{where}.content' must be a string or a list of parts, not {found}", param=f"{where}.content"
        )


def _check_part(part: Any, where: str) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise BadRequest(f"'{where}' must be an object with a 'type'", param=where)
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise BadRequest(
            f"'{where}.text' must be a string, not {_kind(part.get('text'))}", param=f"{where}.text"
        )


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


# Streams and whole answers.


class Decoder:
    """A stream's events as (event, chunk). There is nothing to translate; other formats' decoders do that."""

    usage: JsonObject | None = None  # of an answer under way, from formats that report it before the end

    def decode(self, event: sse.Event) -> list[tuple[sse.Event, JsonObject | None]]:
        """The pairs that one event stands for; chunk is None for comments and for [DONE].

        Raises ValueError for what is no chunk.
        """
        return [(event, None if event.data is None or event.is_done else parse_chunk(event.data))]


class Assembly:
    """A whole answer, put together from chunks."""

    def __init__(self) -> None:
        self._top: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    def add(self, chunk: JsonObject) -> None:
        """Add what a chunk brings."""
        for key, value in chunk.items():
            if key == "choices" or (value is None and key in self._top):
                continue
            if key in _STEADY and self._top.get(key) and (key == "id" or not value):
                continue
            self._top[key] = value
        for place, choice in enumerate(chunk.get("choices") or ()):
            self._add_choice(choice, place)

    def _add_choice(self, choice: JsonObject, place: int) -> None:
        index = choice.get("index")
        if type(index) is not int:
            index = place
        whole = self._choices.setdefault(index, {"index": index})
        for key, value in choice.items():
            if key == "index" or (key == "message" and "delta" in choice):
                continue  # Perplexity repeats the whole answer so far beside each piece of it
            if key == "delta":
                _merge(whole.setdefault("message", {"role": "assistant", "content": None}), value or {})
            elif key == "text":
                whole["text"] = whole.get("text", "") + (value or "")
            elif key == "logprobs" and isinstance(value, dict):
                whole[key] = whole.get(key) or {}
                _merge(whole[key], value)
            elif value is not None or key not in whole:
                whole[key] = value

    @property
    def finished(self) -> bool:
        """Whether every choice that began has ended."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def answer(self) -> JsonObject:
        """The completion object, choices in order, finish_reason always set."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            for call in choice.get("message", {}).get("tool_calls") or ():
                call.pop("index", None)
            has_tool_calls = bool(choice.get("message", {}).get("tool_calls"))
            choice["finish_reason"] = choice.get("finish_reason") or _finish_reason(has_tool_calls)
        kind = self._top.get("object")
        kind = "chat.completion" if kind in (None, "chat.completion.chunk") else kind
        answer = {**self._top, "object": kind, "choices": choices}
        if not answer.get("usage"):
            answer.pop("usage", None)
        return answer


def _merge(whole: JsonObject, piece: JsonObject) -> None:
    """Add a delta to what came before.

    Text grows, and so do lists, by index where their items have one. Everything else is replaced.
    """
    for key, value in piece.items():
        old = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif isinstance(value, str) and isinstance(old, str):
            whole[key] = (value or old) if key in _WHOLE else old + value
        elif isinstance(value, dict):
            whole[key] = old if isinstance(old, dict) else {}
            _merge(whole[key], value)
        elif isinstance(value, list):
            whole[key] = old if isinstance(old, list) else []
            for item in value:
                _merge_item(whole[key], item)
        else:
            whole[key] = value


def _merge_item(items: list[Any], item: Any) -> None:
    """Add a piece to the item it continues, else as a new one."""
    if isinstance(item, dict) and ("index" in item or "function" in item):
        continued = _continued(items, item)
        if continued is None:
            continued = {}
            items.append(continued)
        _merge(continued, item)
    else:
        items.append(item)


def _continued(items: list[Any], item: JsonObject) -> JsonObject | None:
    """The item that a piece continues: the last one with its index, or the last one where it has no index.

    Another id means another item, whatever the index says: Gemini numbers every parallel tool call 0.
    """
    has_index = "index" in item
    olds = [old for old in objects_of(items) if not has_index or old.get("index") == item["index"]]
    if not olds:
        return None
    last, id = olds[-1], item.get("id")
    is_another = id and id != last.get("id") and (last.get("id") or not has_index)
    return None if is_another else last


def _finish_reason(has_tool_calls: bool) -> str:
    return "tool_calls" if has_tool_calls else "stop"


class Relay:
    """A stream on its way to a client: which bytes to send for each event.

    An event goes on as received unless something in it has to change: its envelope is mended where it is
    wrong (see `wire/envelope.py`), a second finish_reason of a choice is taken out, and a usage that the
    client did not ask for is not sent.
    """

    def __init__(self, include_usage: bool, envelope: Envelope) -> None:
        """include_usage: whether the client asked for the usage chunk; upstream it is always asked for.

        envelope: this answer's own.
        """
        self._include_usage = include_usage
        self._envelope = envelope
        self._part = "text" if envelope.is_text else "delta"
        self._part_type: type[Any] = str if envelope.is_text else dict
        self._last: JsonObject = {}  # the last chunk with a choice
        self._tool_callers: set[int] = set()
        self.finish_reasons: dict[int, Any] = {}  # choice index -> reason, None while it goes on

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The bytes to send for one event, b"" for none. chunk: None for a comment. It may be changed."""
        if chunk is None:
            return event.raw
        is_changed = self._envelope.mend_chunk(chunk)
        choices = chunk.get("choices")
        if not choices:
            return self._without_choices(event, chunk, is_changed)
        self._last = chunk
        reasons, part_name, part_type = self.finish_reasons, self._part, self._part_type
        for place, choice in enumerate(choices):
            index, part, reason = choice.get("index"), choice.get(part_name), choice.get("finish_reason", "")
            if type(index) is not int:
                index = choice["index"] = place
                is_changed = True
            is_first = index not in reasons
            if is_first or type(part) is not part_type or reason == "":
                is_changed = self._envelope.mend_choice(choice, is_first=is_first) or is_changed
            if part and part_type is dict and part.get("tool_calls"):
                self._tool_callers.add(index)
            if is_first or (reason and not reasons[index]):
                reasons[index] = reason or None
            elif reason:
                choice["finish_reason"] = None
                is_changed = True
        return sse.event(dumps(chunk)) if is_changed else event.raw

    def _without_choices(self, event: sse.Event, chunk: JsonObject, is_changed: bool) -> bytes:
        if chunk.get("usage") and not self._include_usage:
            if chunk.keys() <= _ENVELOPE:
                return b""
            del chunk["usage"]  # xAI's citations come with it
            is_changed = True
        return sse.event(dumps(chunk)) if is_changed else event.raw

    @property
    def finished(self) -> bool:
        """Whether every choice that began has ended."""
        return bool(self.finish_reasons) and all(self.finish_reasons.values())

    def ending(self) -> bytes:
        """What is missing at a proper end: a finish_reason for each choice that got none, and [DONE]."""
        missing = [index for index, reason in self.finish_reasons.items() if not reason]
        return b"".join(map(self._end_of, missing if self.finish_reasons else [0])) + sse.DONE

    def _end_of(self, index: int) -> bytes:
        """A chunk that ends a choice."""
        choice: JsonObject = {"index": index, self._part: self._part_type()}
        self._envelope.mend_choice(choice, is_first=index not in self.finish_reasons)
        choice["finish_reason"] = self.finish_reasons[index] = _finish_reason(index in self._tool_callers)
        top = {key: value for key, value in self._last.items() if key not in ("choices", "usage")}
        return sse.event(dumps({**self._envelope.head, **top, "choices": [choice]}))


def chunk_of(answer: JsonObject) -> JsonObject:
    """One chunk for all of a whole answer, for an upstream that does not stream although it is asked to."""
    choices = []
    for choice in answer.get("choices") or ():
        choice = dict(choice)
        message = choice.pop("message", None)
        if message is not None:
            choice["delta"] = dict(message)
            if message.get("tool_calls"):
                numbered = enumerate(message["tool_calls"])
                choice["delta"]["tool_calls"] = [{"index": i, **call} for i, call in numbered]
        choices.append(choice)
    kind = answer.get("object")
    kind = "chat.completion.chunk" if kind in (None, "chat.completion") else kind
    return {**answer, "object": kind, "choices": choices}


def first_choice(chunk: JsonObject) -> JsonObject:
    """What a chunk brings for choice 0, or {}."""
    choices: list[JsonObject] = chunk.get("choices") or []
    for choice in choices:
        if not choice.get("index"):
            return choice
    return {}


def answer_text(choice: JsonObject) -> str:
    """The text that a chunk's choice brings; "" for none."""
    text = choice.get("text") or (choice.get("delta") or {}).get("content")
    return text if isinstance(text, str) else ""
