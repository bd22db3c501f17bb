"""OpenAI's Responses API, the answers: our chunks and whole answers as its clients' events and responses.

For a provider that speaks this API itself, its events are read as the chunks by which the records know what
they say. `EventStream` is to this API's clients what `openai_chat.Relay` is to chat completions'; a whole
answer is the last thing that its stream would have held. Neither ever sends [DONE], which this API does not
have.
Reasoning is given as a summary: that is where Home Assistant, the Agents SDK, LangChain and the AI SDK look
for it. What is stored is not known here: an answer repeats what its request said of it.
Reference: platform.openai.com/docs/api-reference/responses-streaming, and the types and the accumulator of
OpenAI's Python SDK 3.52.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from errors import StreamBroken, UpstreamError
from wire import JsonObject, openai_chat, sse
from wire.fields import count_of, object_of, present, reasoning_in, token_counts
from wire.responses import sealed
from wire.tools import CallPieces, arguments_text

INCOMPLETE_OF_FINISH = {"length": "max_output_tokens", "content_filter": "content_filter"}
FINISH_OF_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
STATUS_OF_ERROR = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
}
# Codes that this API's failed response may have, as far as they occur here.
_FAILURES = ("server_error", "rate_limit_exceeded", "invalid_prompt")

# What a response says of a request that did not say otherwise: the API's own defaults.
_DEFAULTS: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "tool_choice": "auto",
    "metadata": {},
    "prompt_cache_key": None,
    "safety_identifier": None,
    "user": None,
}


def answer_of(completion: JsonObject, request: JsonObject, response_id: str, created_at: int) -> JsonObject:
    """The response for a chat completion's first choice.

    request: the Responses request, whose fields it repeats. response_id: such as "resp_123"; its items are
    named after it. created_at: in seconds since 1970.
    Raises UpstreamError for what is no chat completion.
    """
    answer = _Answer(request, response_id, created_at)
    try:
        for _ in answer.add(openai_chat.chunk_of(completion)):
            pass
    except (KeyError, TypeError, AttributeError, StreamBroken) as error:
        raise UpstreamError("the provider's answer is no chat completion") from error
    for _ in answer.end():
        pass
    return answer.response(*answer.outcome)


def usage_of(usage: Any) -> JsonObject | None:
    """A chat completion's usage in this API's shape; None where there is none."""
    if not isinstance(usage, dict) or not usage:
        return None
    tokens = token_counts(usage)
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning or 0},
        "total_tokens": count_of(usage, "total_tokens") or tokens.prompt + tokens.completion,
    }


def _sse_event(event: JsonObject) -> bytes:
    return sse.event(openai_chat.dumps(event), event["type"])


class EventStream:
    """A chat completion's stream on its way to a client of this API; used like `openai_chat.Relay`.

    The response's end is held back until `ending()`, since the usage that belongs to it comes last.
    """

    def __init__(
        self,
        request: JsonObject,
        response_id: str,
        created_at: int,
        on_end: Callable[[JsonObject], object] = lambda response: None,
    ) -> None:
        """The arguments are those of `answer_of`. on_end: gets the whole response at a proper end."""
        self._answer = _Answer(request, response_id, created_at)
        self._on_end = on_end
        self._sent = 0  # events
        self._has_begun = False

    @property
    def finished(self) -> bool:
        """Whether the first choice has ended."""
        return self._answer.finish_reason is not None

    @property
    def usage(self) -> JsonObject | None:
        """As the provider reports it."""
        return self._answer.usage

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The bytes to send for one chunk, often none. chunk: None for a comment, which stays as received.

        Raises StreamBroken when pieces of a tool call come after the next item began, and for what is no
        chunk.
        """
        if chunk is None:
            return event.raw if event.raw.startswith(b":") else b""
        try:
            return self._begun() + self._numbered(self._answer.add(chunk))
        except (KeyError, TypeError, AttributeError) as error:
            raise StreamBroken("the provider sent something that is no completion") from error

    def ending(self) -> bytes:
        """What is missing at a proper end: the open item's end, and the whole response."""
        closed = self._begun() + self._numbered(self._answer.end())
        status, details = self._answer.outcome
        response = self._answer.response(status, details)
        self._on_end(response)
        return closed + self._numbered([{"type": f"response.{status}", "response": response}])

    def error_event(
        self, message: str, type: Any = "server_error", param: Any = None, code: Any = None
    ) -> bytes:
        """The events that end a stream which failed; nothing may follow them.

        The arguments are those of OpenAI's error object.
        """
        response = self._answer.response("failed", error=_failure(message, code))
        return self._begun() + self._numbered(_failure_events(response, message, type, param, code))

    def _begun(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        response = self._answer.response("in_progress")
        moments = ("response.created", "response.in_progress")
        return self._numbered({"type": moment, "response": response} for moment in moments)

    def _numbered(self, events: Iterable[JsonObject]) -> bytes:
        sent = []
        for event in events:  # one by one: an event holds what the next one may change
            sent.append(_sse_event({"type": event["type"], "sequence_number": self._sent, **event}))
            self._sent += 1
        return b"".join(sent)


def _failure(message: str, code: Any) -> JsonObject:
    return {"code": code if code in _FAILURES else "server_error", "message": message}


def _failure_events(
    response: JsonObject | None, message: str, type: Any, param: Any, code: Any
) -> list[JsonObject]:
    """A failure twice, since clients look in different places.

    Home Assistant, the Agents SDK, LangChain and pydantic-ai show the message of `response.failed`; OpenAI's
    own libraries hand that over as any other event, and raise what has an `error` in it. An error event is
    documented flat and sent nested, so this one is both.
    """
    error = {"type": type or "server_error", "code": code, "message": message, "param": param}
    failed = [{"type": "response.failed", "response": response}] if response else []
    return [*failed, {**error, "type": "error", "error": error}]


class _Answer:
    """An answer as it grows: the output items, and their events, in order and not yet numbered."""

    def __init__(self, request: JsonObject, response_id: str, created_at: int) -> None:
        self._head = {"id": response_id, "object": "response", "created_at": created_at}
        self._before, self._store = request.get("previous_response_id"), request.get("store") is not False
        self._echo = _echo_of(request)
        self._suffix = response_id.removeprefix("resp_")
        self._items: list[JsonObject] = []
        # The kind of the last item, or its tool call's number, while it is open.
        self._open: str | int | None = None
        self._pieces: list[str] = []  # of the text at its end
        self._logprobs: list[JsonObject] = []  # of tokens whose text has not come yet
        self._blocks: list[JsonObject] = []  # signed reasoning of the open item
        self._calls = CallPieces(f"call_{self._suffix}_")
        self.finish_reason: Any = None
        self.usage: JsonObject | None = None

    # What it has become.

    @property
    def outcome(self) -> tuple[str, JsonObject | None]:
        """(status, incomplete_details) of an answer that came to its end."""
        reason = INCOMPLETE_OF_FINISH.get(self.finish_reason) if isinstance(self.finish_reason, str) else None
        return ("incomplete", {"reason": reason}) if reason else ("completed", None)

    def response(
        self, status: str, incomplete_details: JsonObject | None = None, error: JsonObject | None = None
    ) -> JsonObject:
        """The response object as of now."""
        return {
            **self._head,
            "status": status,
            "background": False,
            "completed_at": None,
            "error": error,
            "incomplete_details": incomplete_details,
            **self._echo,
            "output": [*self._items[:-1], self._snapshot()] if self._open is not None else self._items,
            "previous_response_id": self._before,
            "service_tier": "default",
            "store": self._store,
            "truncation": "disabled",
            "usage": usage_of(self.usage),
        }

    def _snapshot(self) -> JsonObject:
        """The open item as of now, as one that stays unfinished."""
        item, text = {**self._items[-1], "status": "incomplete"}, "".join(self._pieces)
        if item["type"] == "function_call":
            return {**item, "arguments": text}
        place = "content" if item["type"] == "message" else "summary"
        if not item[place]:
            return item
        *before, part = item[place]
        field = "refusal" if part["type"] == "refusal" else "text"
        return {**item, place: [*before, {**part, field: text}]}

    # What a chunk adds to it.

    def add(self, chunk: JsonObject) -> Iterator[JsonObject]:
        """Yield the events for a chunk."""
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                yield from self._add(choice, choice.get("delta") or {})

    def _add(self, choice: JsonObject, delta: JsonObject) -> Iterator[JsonObject]:
        reasoning, text = reasoning_in(delta), openai_chat.text_of(delta.get("content"))
        if reasoning:
            yield from self._add_reasoning(reasoning)
        if blocks := delta.get("thinking_blocks"):
            yield from self._begin("reasoning", self._reasoning_item)
            self._blocks += [block for block in blocks if isinstance(block, dict)]
        if text or not reasoning:
            self._logprobs += map(_logprob, (choice.get("logprobs") or {}).get("content") or ())
        if text:
            yield from self._add_text(text)
        if refusal := delta.get("refusal"):
            yield from self._add_refusal(refusal)
        for annotation in delta.get("annotations") or ():
            yield from self._add_citation(annotation)
        for call in delta.get("tool_calls") or ():
            yield from self._add_call(call)
        if choice.get("finish_reason") and self.finish_reason is None:
            self.finish_reason = choice["finish_reason"]

    def end(self) -> Iterator[JsonObject]:
        """Yield the events for the end of the open item."""
        yield from self._close(is_cut_off=self.outcome[0] == "incomplete")

    def _add_reasoning(self, text: str) -> Iterator[JsonObject]:
        yield from self._begin("reasoning", self._reasoning_item)
        if not self._item["summary"]:
            self._item["summary"].append({"type": "summary_text", "text": ""})
            part = {"type": "summary_text", "text": ""}
            yield self._of_item("response.reasoning_summary_part.added", summary_index=0, part=part)
        self._grow(text)
        yield self._of_item("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _add_text(self, text: str) -> Iterator[JsonObject]:
        yield from self._part({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        self._grow(text)
        logprobs, self._logprobs = self._logprobs, []
        self._item["content"][-1]["logprobs"] += logprobs
        yield self._of_part("response.output_text.delta", delta=text, logprobs=logprobs)

    def _add_refusal(self, text: str) -> Iterator[JsonObject]:
        yield from self._part({"type": "refusal", "refusal": ""})
        self._grow(text)
        yield self._of_part("response.refusal.delta", delta=text)

    def _add_citation(self, annotation: JsonObject) -> Iterator[JsonObject]:
        """A page that the text cites; of other kinds of annotations chat completions know none."""
        cited = annotation.get("url_citation") if annotation.get("type") == "url_citation" else None
        if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
            return
        yield from self._part({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        note = {
            "type": "url_citation",
            "start_index": count_of(cited, "start_index"),
            "end_index": count_of(cited, "end_index"),
            "title": cited.get("title") or "",
            "url": cited["url"],
        }
        notes = self._item["content"][-1]["annotations"]
        notes.append(note)
        added = {"annotation_index": len(notes) - 1, "annotation": note}
        yield self._of_part("response.output_text.annotation.added", **added)

    def _add_call(self, call: JsonObject) -> Iterator[JsonObject]:
        """The events for a piece of a tool call."""
        piece = self._calls.read(call)
        if piece.is_first:
            yield from self._start(piece.number, self._call_item(piece.id, piece.name))
        elif piece.arguments and self._open != piece.number:
            raise StreamBroken("the provider mixes the pieces of several tool calls")
        if piece.arguments:
            self._grow(piece.arguments)
            yield self._of_item("response.function_call_arguments.delta", delta=piece.arguments)

    # Items: one is open at a time, the last. Clients such as Home Assistant know only of one.

    @property
    def _item(self) -> JsonObject:
        return self._items[-1]

    def _reasoning_item(self) -> JsonObject:
        return {"id": self._name("rs"), "type": "reasoning", "status": "in_progress", "summary": []}

    def _message_item(self) -> JsonObject:
        return {
            "id": self._name("msg"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }

    def _call_item(self, call_id: str, name: str) -> JsonObject:
        return {
            "id": self._name("fc"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }

    def _name(self, kind: str) -> str:
        return f"{kind}_{self._suffix}_{len(self._items)}"

    def _begin(self, kind: str, made: Callable[[], JsonObject]) -> Iterator[JsonObject]:
        """The events for a new item, none if the open one is of this kind. made: a function that makes it."""
        if self._open != kind:
            yield from self._start(kind, made())

    def _start(self, kind: str | int, item: JsonObject) -> Iterator[JsonObject]:
        yield from self._close()
        self._items.append(item)
        self._open = kind
        yield {"type": "response.output_item.added", "output_index": len(self._items) - 1, "item": item}

    def _part(self, part: JsonObject) -> Iterator[JsonObject]:
        """The events for a new part of a message, none if the open one is of this kind."""
        yield from self._begin("message", self._message_item)
        parts = self._item["content"]
        if parts and parts[-1]["type"] == part["type"]:
            return
        yield from self._close_part()
        parts.append(part)
        yield self._of_part("response.content_part.added", part=part)

    def _close_part(self) -> Iterator[JsonObject]:
        parts = self._item["content"]
        if not parts:
            return
        part, text = parts[-1], self._take_text()
        if part["type"] == "refusal":
            part["refusal"] = text
            yield self._of_part("response.refusal.done", refusal=text)
        else:
            part["text"] = text
            part["logprobs"] += self._logprobs
            self._logprobs = []
            yield self._of_part("response.output_text.done", text=text, logprobs=part["logprobs"])
        yield self._of_part("response.content_part.done", part=part)

    def _close(self, is_cut_off: bool = False) -> Iterator[JsonObject]:
        """The events for the end of the open item. is_cut_off: in the middle of what it says."""
        if self._open is None:
            return
        item = self._item
        if item["type"] == "message":
            yield from self._close_part()
        elif item["type"] == "reasoning":
            yield from self._close_reasoning()
        else:
            yield from self._close_call(is_cut_off)
        self._open = None
        item["status"] = "incomplete" if is_cut_off else "completed"
        yield {"type": "response.output_item.done", "output_index": len(self._items) - 1, "item": item}

    def _close_reasoning(self) -> Iterator[JsonObject]:
        if self._item["summary"]:
            part = self._item["summary"][0]
            part["text"] = self._take_text()
            yield self._of_item("response.reasoning_summary_text.done", summary_index=0, text=part["text"])
            yield self._of_item("response.reasoning_summary_part.done", summary_index=0, part=part)
        if self._blocks:
            self._item["encrypted_content"] = sealed(self._blocks)
            self._blocks = []

    def _close_call(self, is_cut_off: bool) -> Iterator[JsonObject]:
        """A call without arguments gets {}, since clients parse them.

        One that was cut off is not called done, for the same reason.
        """
        arguments = self._take_text()
        if not arguments.strip() and not is_cut_off:
            arguments = "{}"
            yield self._of_item("response.function_call_arguments.delta", delta=arguments)
        self._item["arguments"] = arguments
        if not is_cut_off or _is_json(arguments):
            done = {"name": self._item["name"], "arguments": arguments}
            yield self._of_item("response.function_call_arguments.done", **done)

    def _grow(self, text: Any) -> None:
        if not isinstance(text, str):
            raise TypeError("not a text")
        self._pieces.append(text)

    def _take_text(self) -> str:
        text = "".join(self._pieces)
        self._pieces = []
        return text

    def _of_item(self, type: str, **more: Any) -> JsonObject:
        return {"type": type, "item_id": self._item["id"], "output_index": len(self._items) - 1, **more}

    def _of_part(self, type: str, **more: Any) -> JsonObject:
        return self._of_item(type, content_index=len(self._item["content"]) - 1, **more)


def _echo_of(request: JsonObject) -> JsonObject:
    """What a response repeats of its request."""
    fields = present(request)
    undescribed = {"description": None, "parameters": None, "strict": None}
    return {
        "model": fields.get("model") or "",
        **{name: fields.get(name, default) for name, default in _DEFAULTS.items()},
        "reasoning": {"effort": None, "summary": None, **fields.get("reasoning", {})},
        "text": {"format": {"type": "text"}, "verbosity": "medium", **present(fields.get("text", {}))},
        "tools": [{**undescribed, **tool} for tool in fields.get("tools") or ()],
    }


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _logprob(logprob: JsonObject) -> JsonObject:
    """A token's log probability as this API has it, with its bytes, which some servers leave out."""
    return {**_token(logprob), "top_logprobs": [_token(other) for other in logprob.get("top_logprobs") or ()]}


def _token(token: JsonObject) -> JsonObject:
    given = token.get("bytes")
    return {
        "token": token["token"],
        "bytes": given if given is not None else list(token["token"].encode(errors="replace")),
        "logprob": token["logprob"],
    }


# A provider that speaks this API itself.


class NativeStream:
    """A provider's stream for a client of this same API: passed on as it came.

    It is brought to an end where the provider does not do so. Used like `openai_chat.Relay`; its chunks are
    `NativeDecoder`'s.
    """

    def __init__(self) -> None:
        self._response: JsonObject | None = None  # as the provider first gave it
        self._passed = 0  # events
        self.finished = False
        self.usage: JsonObject | None = None

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The event as received."""
        if event.data:
            self._passed += 1
            if self._response is None:
                self._response = object_of(object_of(json.loads(event.data)).get("response"))
        if chunk is not None:
            self.usage = chunk.get("usage") or self.usage
            self.finished = self.finished or bool(openai_chat.first_choice(chunk).get("finish_reason"))
        return event.raw

    def ending(self) -> bytes:
        """Nothing: the provider's own end has been passed on."""
        return b""

    def error_event(
        self, message: str, type: Any = "server_error", param: Any = None, code: Any = None
    ) -> bytes:
        """The events that end a stream which failed, as EventStream's."""
        failed = self._response and {**self._response, "status": "failed", "error": _failure(message, code)}
        events = _failure_events(failed, message, type, param, code)
        return b"".join(
            _sse_event({"type": event["type"], "sequence_number": self._passed + i, **event})
            for i, event in enumerate(events)
        )


class NativeDecoder:
    """A provider's events as they came, each with the chunk by which the records know what it says.

    Used like `openai_chat.Decoder`.
    """

    def __init__(self, created: int) -> None:
        """created: the chunks' `created`, in seconds since 1970."""
        self._top = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._calls: dict[int, int] = {}  # output index of a call -> index of the tool call
        self._streamed: set[int] = set()  # output indices whose words came in pieces
        self._done: dict[int, JsonObject] = {}  # output index -> item
        self.usage: JsonObject | None = None  # in chat completions' shape
        # The response as last given; whole once the stream has ended.
        self.answer: JsonObject | None = None

    def decode(self, event: sse.Event) -> list[tuple[sse.Event, JsonObject | None]]:
        """The pairs for one event: itself with its chunk or None, and, after the last, the end of the stream.

        An error becomes OpenAI's error object, with a status as its `code` where one belongs to it. Raises
        ValueError for what is no event of this API.
        """
        if event.data is None or event.is_done:
            return [(event, None)]
        data = json.loads(event.data)
        try:
            chunk = self._chunk_of(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not an event of the Responses API") from error
        is_last = data.get("type") in ("response.completed", "response.incomplete")
        return [(event, chunk), (sse.Event(b"", b"[DONE]"), None)] if is_last else [(event, chunk)]

    def _chunk_of(self, event: JsonObject) -> JsonObject | None:
        kind = event.get("type")
        if kind in _FIELD_OF_EVENT:
            return self._piece(_FIELD_OF_EVENT[kind], event["output_index"], event["delta"])
        if kind == "response.output_item.added":
            return self._item(event["output_index"], event["item"])
        if kind == "response.output_item.done":
            return self._item_done(event["output_index"], event["item"])
        if kind in ("response.created", "response.in_progress", "response.queued"):
            self._begin(event["response"])
        elif kind in ("response.completed", "response.incomplete"):
            return self._end(event["response"], kind == "response.incomplete")
        elif kind == "response.failed":
            return openai_chat.error_body(**_chat_error_of(object_of(event["response"].get("error"))))
        elif kind in ("error", "response.error") or (kind is None and openai_chat.error_of(event)):
            return openai_chat.error_body(**_chat_error_of(object_of(event.get("error")) or event))
        elif not isinstance(kind, str):
            raise TypeError("an event without a type")
        return None

    def _begin(self, response: JsonObject) -> None:
        self.answer = response
        self._top.update(id=response.get("id") or "", model=response.get("model") or "")

    def _item(self, index: int, item: JsonObject) -> JsonObject | None:
        if item["type"] in ("message", "reasoning"):
            return None
        return self._chunk({"tool_calls": [self._call(index, item)]})

    def _call(self, index: int, item: JsonObject, arguments: str = "") -> JsonObject:
        """A piece of a call: of a function, or of a tool of the provider's own."""
        if index in self._calls:
            return {"index": self._calls[index], "function": {"arguments": arguments}}
        self._calls[index] = len(self._calls)
        id = item.get("call_id") or item.get("id") or ""
        function = {"name": item.get("name") or item["type"], "arguments": arguments}
        return {"index": self._calls[index], "id": id, "type": "function", "function": function}

    def _item_done(self, index: int, item: JsonObject) -> JsonObject | None:
        self._done[index] = item
        delta = self._whole(index, item)
        return self._chunk(delta) if delta else None

    def _piece(self, field: str, index: int, text: Any) -> JsonObject:
        if not isinstance(text, str):
            raise TypeError("not a text")
        self._streamed.add(index)
        if field != "tool_calls":
            return self._chunk({field: text})
        return self._chunk({"tool_calls": [self._call(index, {"type": "function_call"}, text)]})

    def _whole(self, index: int, item: JsonObject) -> JsonObject:
        """What an item says that did not come in pieces, as a delta; {} where that is nothing."""
        if index in self._streamed:
            return {}
        self._streamed.add(index)
        delta: JsonObject = {}
        if item["type"] == "message":
            delta = {
                "content": _joined(item, "content", "text"),
                "refusal": _joined(item, "content", "refusal"),
            }
        elif item["type"] == "reasoning":
            reasoning = _joined(item, "content", "text") or _joined(item, "summary", "text")
            delta = {"reasoning_content": reasoning}
        else:
            arguments = arguments_text(item.get("arguments") or item.get("input"))
            if arguments or index not in self._calls:
                delta = {"tool_calls": [self._call(index, item, arguments)]}
        return {name: value for name, value in delta.items() if value}

    def _end(self, response: JsonObject, is_incomplete: bool) -> JsonObject:
        """The last chunk: what has not come before, why the answer ended and what it used."""
        output = response.get("output") or [self._done[index] for index in sorted(self._done)]
        self._begin({**response, "output": output})
        delta: JsonObject = {}
        for index, item in enumerate(output):
            for name, value in self._whole(index, item).items():
                delta[name] = delta[name] + value if name in delta else value
        finish = "stop"
        if is_incomplete:
            reason: Any = object_of(response.get("incomplete_details")).get("reason")
            finish = FINISH_OF_INCOMPLETE.get(reason, "length")
        elif any(item["type"] in ("function_call", "custom_tool_call") for item in output):
            finish = "tool_calls"
        self.usage = _chat_usage_of(response.get("usage"))
        chunk = self._chunk(delta, finish)
        return {**chunk, "usage": self.usage} if self.usage else chunk

    def _chunk(self, delta: JsonObject, finish_reason: Any = None) -> JsonObject:
        return {**self._top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


_FIELD_OF_EVENT = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.function_call_arguments.delta": "tool_calls",
    "response.custom_tool_call_input.delta": "tool_calls",
}


def _joined(item: JsonObject, place: str, name: str) -> str:
    return "".join(part.get(name) or "" for part in item.get(place) or ())


def _chat_error_of(error: JsonObject) -> JsonObject:
    """An error of this API as the arguments of `openai_chat.error_body`."""
    code, type = error.get("code"), error.get("type")
    type = "server_error" if type in (None, "error", "response.error") else type
    known = [name for name in (code, type) if isinstance(name, str) and name in STATUS_OF_ERROR]
    message = str(error.get("message") or "the provider failed")
    status = STATUS_OF_ERROR[known[0]] if known else code
    return {"message": message, "type": type, "param": error.get("param"), "code": status}


def _chat_usage_of(usage: Any) -> JsonObject | None:
    """This API's usage in chat completions' shape, with everything else beside it; None for none."""
    if not isinstance(usage, dict) or not usage:
        return None
    renamed = {
        "input_tokens": "prompt_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens": "completion_tokens",
        "output_tokens_details": "completion_tokens_details",
    }
    return {renamed.get(name) or name: value for name, value in usage.items()}
