"""Anthropic's Messages API, the answers: a provider's events as our chunks, ours as its clients' events.

A provider of this kind is always asked to stream, so `ChunkStream` is all that is read from it;
`openai_chat.Assembly` makes the whole answer of it. `EventStream` is to this API's clients what
`openai_chat.Relay` is to OpenAI's. What the one writes the other reads back. Neither ever sees [DONE], which
this API does not have.
Reference: platform.claude.com/docs/en/build-with-claude/streaming and .../handling-stop-reasons.
"""

import json
from typing import Any

from errors import StreamBroken, UpstreamError
from wire import JsonObject, openai_chat, sse
from wire.anthropic import STATUS_OF_ERROR, UNSIGNED, error_body
from wire.fields import count_of, object_of, reasoning_in, token_counts
from wire.tools import CallPieces, arguments_text, called_arguments

FINISH_OF_STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # Its own tools' loop reached its limit: like there, the answer goes on only if asked to.
    "pause_turn": "length",
    "refusal": "content_filter",
}
STOP_OF_FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class ChunkStream:
    """A provider's events turned into chat completion chunks."""

    def __init__(self, created: int) -> None:
        """created: the chunks' `created`, in seconds since 1970."""
        self._top = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._counts: JsonObject = {}  # usage so far; the API's numbers are totals
        # Block index -> [number of the tool call, its input if it came whole].
        self._calls: dict[int, list[Any]] = {}
        self._thinking: dict[int, JsonObject] = {}  # block index -> the block so far
        self.ended = False  # message_stop was seen: what [DONE] is elsewhere

    def chunks_of(self, event: JsonObject) -> list[JsonObject]:
        """The chunks for one event's data, often none.

        Events and blocks of unknown kinds are passed over, as the API asks of its clients. An error event
        becomes OpenAI's error object with the status in its `code`. Raises ValueError for what is no event of
        this API.
        """
        try:
            return self._chunks_of(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not an event of the Messages API") from error

    def _chunks_of(self, event: JsonObject) -> list[JsonObject]:
        kind = event["type"]
        if kind == "content_block_delta":
            return self._piece(event["index"], event["delta"])
        if kind == "content_block_start":
            return self._block(event["index"], event["content_block"])
        if kind == "content_block_stop":
            return self._block_end(event["index"])
        if kind == "message_start":
            message = event["message"]
            self._top.update(id=message.get("id") or "", model=message.get("model") or "")
            self._add_usage(message.get("usage"))
            return [self._chunk({"role": "assistant", "content": ""})]
        if kind == "message_delta":
            self._add_usage(event.get("usage"))
            return self._end(event["delta"])
        if kind == "message_stop":
            self.ended = True
            return [{**self._top, "choices": [], "usage": self.usage}] if self.usage else []
        if kind == "error":
            error = event["error"]
            status = STATUS_OF_ERROR.get(error["type"])
            return [openai_chat.error_body(str(error.get("message")), error["type"], code=status)]
        return []

    def _block(self, index: int, block: JsonObject) -> list[JsonObject]:
        kind = block["type"]
        if kind == "text":
            return self._text_chunks("content", block.get("text"))
        if kind in ("thinking", "redacted_thinking"):
            self._thinking[index] = dict(block)
            return self._text_chunks("reasoning_content", block.get("thinking"))
        if kind != "tool_use":
            return []
        number = len(self._calls)
        self._calls[index] = [number, block.get("input") or {}]
        function = {"name": block["name"], "arguments": ""}
        call = {"index": number, "id": block["id"], "type": "function", "function": function}
        return [self._chunk({"tool_calls": [call]})]

    def _piece(self, index: int, delta: JsonObject) -> list[JsonObject]:
        kind = delta["type"]
        if kind == "text_delta":
            return self._text_chunks("content", delta["text"])
        if kind == "thinking_delta":
            block = self._thinking[index]
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
            return self._text_chunks("reasoning_content", delta["thinking"])
        if kind == "citations_delta":
            return self._citation(object_of(delta.get("citation")))
        if kind == "signature_delta":
            self._thinking[index]["signature"] = delta["signature"]
        if kind == "input_json_delta" and index in self._calls and delta["partial_json"]:
            self._calls[index][1] = None
            return self._arguments(index, delta["partial_json"])
        return []

    def _citation(self, citation: JsonObject) -> list[JsonObject]:
        """A page that the text cites; of other kinds of citations chat completions know none."""
        if not citation.get("url"):
            return []
        page = {"url": citation["url"], "title": citation.get("title") or ""}
        return [self._chunk({"annotations": [{"type": "url_citation", "url_citation": page}]})]

    def _block_end(self, index: int) -> list[JsonObject]:
        call, thinking = self._calls.get(index), self._thinking.get(index)
        if call and call[1] is not None:
            # No piece came: the input was whole from the start, or the tool has no arguments.
            return self._arguments(index, arguments_text(call[1]))
        if thinking and (thinking.get("signature") or thinking.get("data")):
            return [self._chunk({"thinking_blocks": [thinking]})]
        return []

    def _arguments(self, index: int, piece: str) -> list[JsonObject]:
        call = {"index": self._calls[index][0], "function": {"arguments": piece}}
        return [self._chunk({"tool_calls": [call]})]

    def _text_chunks(self, field: str, text: str | None) -> list[JsonObject]:
        return [self._chunk({field: text})] if text else []

    def _end(self, delta: JsonObject) -> list[JsonObject]:
        reason = delta.get("stop_reason")
        if not reason:
            return []
        explanation = (delta.get("stop_details") or {}).get("explanation")
        refusal = {"refusal": explanation} if explanation else {}
        chunk = self._chunk(refusal, FINISH_OF_STOP.get(reason, "stop"))
        if delta.get("stop_sequence") is not None:
            chunk["choices"][0]["stop_reason"] = delta["stop_sequence"]  # where vLLM has it
        return [chunk]

    def _chunk(self, delta: JsonObject, finish_reason: Any = None) -> JsonObject:
        return {**self._top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    def _add_usage(self, usage: Any) -> None:
        self._counts.update({name: count for name, count in object_of(usage).items() if count is not None})

    @property
    def usage(self) -> JsonObject | None:
        """The usage so far in OpenAI's shape, None before any.

        The cached and the cache-writing tokens are part of `prompt_tokens`.
        """
        counts = self._counts
        if not counts:
            return None
        read = count_of(counts, "cache_read_input_tokens")
        written = count_of(counts, "cache_creation_input_tokens")
        prompt, completion = (
            count_of(counts, "input_tokens") + read + written,
            count_of(counts, "output_tokens"),
        )
        usage: JsonObject = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        }
        details = object_of(counts.get("output_tokens_details"))
        if details.get("thinking_tokens") is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": count_of(details, "thinking_tokens")}
        return usage


# To clients of this API.


def sse_event(data: JsonObject) -> bytes:
    """One event; its name is its type. Clients go by the name and pass over an event without one."""
    return sse.event(openai_chat.dumps(data), data["type"])


PING = sse_event({"type": "ping"})  # may stand anywhere after message_start


def error_event(message: str, status: int, request_id: str | None = None) -> bytes:
    """The event that ends a stream which failed; nothing may follow it."""
    return sse_event(error_body(message, status, request_id))


def answer_of(completion: JsonObject, model: str, message_id: str) -> JsonObject:
    """The message for a chat completion's first choice.

    model: what the client asked for. message_id: such as "msg_123", another one in each answer; see
    EventStream.
    Unsigned reasoning becomes a thinking block whose signature says so, which this API's clients hand back
    and `chat_request_of` understands. Raises UpstreamError when a tool's arguments are no JSON object, unless
    the answer was cut off in them: then its input is empty, and the stop reason tells.
    """
    try:
        return _answer_of(completion, model, message_id)
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamError("the provider's answer is no chat completion") from error


def _answer_of(completion: JsonObject, model: str, message_id: str) -> JsonObject:
    choice = (completion.get("choices") or [{}])[0]
    message, finish = choice.get("message") or {}, choice.get("finish_reason")
    content = [*(message.get("thinking_blocks") or _thinking_blocks(reasoning_in(message)))]
    if text := openai_chat.text_of(message.get("content")):
        content.append({"type": "text", "text": text})
    calls = message.get("tool_calls") or []
    for i, call in enumerate(calls):
        content.append(_tool_use(call, f"toolu_{message_id}_{i}", finish == "length"))
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **_stop_of(finish, choice.get("stop_reason"), message.get("refusal"), bool(calls)),
        "usage": usage_of(completion.get("usage")),
    }


def _thinking_blocks(text: str) -> list[JsonObject]:
    return [{"type": "thinking", "thinking": text, "signature": UNSIGNED}] if text else []


def _tool_use(call: JsonObject, own_id: str, cut_off: bool) -> JsonObject:
    function = call.get("function") or {}
    try:
        arguments = called_arguments(function)
    except UpstreamError:
        if not cut_off:
            raise
        arguments = {}
    return {
        "type": "tool_use",
        "id": call.get("id") or own_id,
        "name": function.get("name") or "",
        "input": arguments,
    }


def _stop_of(finish_reason: Any, stop_sequence: Any, refusal: Any, calls_tools: bool) -> JsonObject:
    """The three fields that tell why an answer ended.

    stop_sequence: a string from vLLM; a number where it is an end token. calls_tools: decides where a server
    says "stop" after a tool call that was demanded.
    """
    reason = STOP_OF_FINISH.get(finish_reason, "end_turn") if isinstance(finish_reason, str) else "end_turn"
    if refusal:
        reason = "refusal"
    elif reason == "end_turn" and calls_tools:
        reason = "tool_use"
    elif reason == "end_turn" and isinstance(stop_sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_sequence, "stop_details": None}
    details = {"type": "refusal", "category": None, "explanation": refusal} if refusal else None
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}


def usage_of(usage: Any) -> JsonObject:
    """A chat completion's usage in this API's shape. Its clients add numbers up, so a missing one is 0."""
    tokens = token_counts(usage)
    counts: JsonObject = {
        "input_tokens": max(0, tokens.prompt - tokens.cached - tokens.cache_written),
        "cache_creation_input_tokens": tokens.cache_written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.completion,
    }
    if tokens.reasoning is not None:
        counts["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return counts


class Decoder:
    """A provider's events as (event, chunk) in OpenAI's format, ending with its [DONE].

    Used like `openai_chat.Decoder`.
    """

    def __init__(self, created: int) -> None:
        """created: the chunks' `created`, in seconds since 1970."""
        self._stream = ChunkStream(created)

    @property
    def usage(self) -> JsonObject | None:
        """The usage so far in OpenAI's shape, None before any. This API reports the input's first of all."""
        return self._stream.usage

    def decode(self, event: sse.Event) -> list[tuple[sse.Event, JsonObject | None]]:
        """The pairs that one event stands for, often none. Raises ValueError for no event of this API."""
        if event.data is None:
            return [(event, None)]
        pairs: list[tuple[sse.Event, JsonObject | None]] = []
        for chunk in self._stream.chunks_of(json.loads(event.data)):
            data = openai_chat.dumps(chunk)
            pairs.append((sse.Event(sse.event(data), data), chunk))
        if self._stream.ended:
            pairs.append((sse.Event(sse.DONE, b"[DONE]"), None))
        return pairs


class NativeDecoder:
    """A provider's events for a client of this same API: passed on as they came.

    Each comes with the chunk by which the records know what it says. Used like Decoder.
    """

    def __init__(self, created: int) -> None:
        self._stream = ChunkStream(created)
        self._message = MessageAssembly()

    @property
    def usage(self) -> JsonObject | None:
        """The usage so far, as Decoder's."""
        return self._stream.usage

    @property
    def answer(self) -> JsonObject | None:
        """The whole message, as it would have come without a stream."""
        return self._message.answer

    def decode(self, event: sse.Event) -> list[tuple[sse.Event, JsonObject | None]]:
        """The pairs for one event: itself with its chunk, and behind the last one the end of the stream.

        Raises ValueError for what is no event of this API.
        """
        if event.data is None:
            return [(event, None)]
        data = json.loads(event.data)
        chunks = self._stream.chunks_of(data)
        try:
            self._message.add(data)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError("not an event of the Messages API") from error
        pairs: list[tuple[sse.Event, JsonObject | None]] = [(event, chunks[0] if chunks else None)]
        pairs += [(sse.Event(b"", None), chunk) for chunk in chunks[1:]]
        if self._stream.ended:
            pairs.append((sse.Event(b"", b"[DONE]"), None))
        return pairs


class MessageAssembly:
    """A whole message, put together from a stream's events; blocks of any kind, known or not.

    It is given only what ChunkStream can read.
    """

    def __init__(self) -> None:
        self.answer: JsonObject | None = None  # until message_start
        self._inputs: dict[int, str] = {}  # block index -> its input's JSON so far

    def add(self, event: JsonObject) -> None:
        """Add what an event brings. Raises KeyError, IndexError or TypeError where it cannot stand."""
        kind = event["type"]
        if kind == "message_start":
            self.answer = {**event["message"], "content": []}
        elif kind == "content_block_start":
            self._message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            self._add_piece(event["index"], event["delta"])
        elif kind == "content_block_stop" and self._inputs.get(event["index"]):
            self._message["content"][event["index"]]["input"] = _input_of(self._inputs[event["index"]])
        elif kind == "message_delta":
            rest = {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
            usage = {**self._message.get("usage", {}), **(event.get("usage") or {})}
            self.answer = {**self._message, **event["delta"], **rest, "usage": usage}

    @property
    def _message(self) -> JsonObject:
        if self.answer is None:
            raise TypeError("no message has begun")
        return self.answer

    def _add_piece(self, index: int, delta: JsonObject) -> None:
        block = self._message["content"][index]
        if delta["type"] == "input_json_delta":
            self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            return
        for name, piece in delta.items():
            if name == "citation":
                block["citations"] = [*(block.get("citations") or []), piece]
            elif name != "type":
                block[name] = block.get(name, "") + piece if name in ("text", "thinking") else piece


def _input_of(pieces: str) -> Any:
    """A tool's input; {} where the answer was cut off in the middle of it, which its stop reason tells."""
    try:
        return json.loads(pieces)
    except ValueError:
        return {}


class EventStream:
    """A chat completion's stream on its way to a client of this API; used like `openai_chat.Relay`.

    The message's end is held back until `ending()`, since the usage that belongs to it comes last.
    """

    def __init__(self, model: str, message_id: str) -> None:
        """model: what the client asked for. message_id: such as "msg_123", another one in each answer.

        Claude Code takes answers of the same id for one and mixes up its conversation, and not every server's
        ids differ (Ollama's are one of 999).
        """
        self._model = model
        self._id = message_id
        self._started = False
        self._blocks = 0
        self._open: str | int | None = None  # the kind of the open block, or its tool call's number
        self._calls = CallPieces(f"toolu_{message_id}_")
        self._finish_reason: Any = None
        self._stop_sequence: Any = None
        self._refusal = ""
        self.usage: JsonObject | None = None  # as the provider reports it

    @property
    def finished(self) -> bool:
        """Whether the first choice has ended."""
        return self._finish_reason is not None

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The bytes to send for one chunk, often none; nothing of `event` can stay. chunk: None for a
        comment.

        Raises StreamBroken when pieces of a tool call come after the next block began, which this API cannot
        say, and for what is no chunk.
        """
        if chunk is None:
            return PING if self._started else b""
        try:
            return self._sent_for(chunk)
        except (TypeError, AttributeError) as error:
            raise StreamBroken("the provider sent something that is no completion") from error

    def _sent_for(self, chunk: JsonObject) -> bytes:
        self.usage = chunk.get("usage") or self.usage
        sent = self._start()
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                sent += self._pass_on(choice, choice.get("delta") or {})
        return sent

    def ending(self) -> bytes:
        """What is missing at a proper end: the open block's end, the reason, the usage, the message's end."""
        stop = _stop_of(self._finish_reason, self._stop_sequence, self._refusal, bool(self._calls))
        delta = {"type": "message_delta", "delta": stop, "usage": usage_of(self.usage)}
        return self._start() + self._close() + sse_event(delta) + sse_event({"type": "message_stop"})

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        message: JsonObject = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": usage_of(self.usage),
        }
        return sse_event({"type": "message_start", "message": message})

    def _pass_on(self, choice: JsonObject, delta: JsonObject) -> bytes:
        sent = b""
        if reasoning := reasoning_in(delta):
            sent += self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            sent += self._piece({"type": "thinking_delta", "thinking": reasoning})
        for block in delta.get("thinking_blocks") or ():
            sent += self._signed(block)
        if text := openai_chat.text_of(delta.get("content")):
            sent += self._begin("text", {"type": "text", "text": ""})
            sent += self._piece({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            sent += self._call(call)
        self._refusal += delta.get("refusal") or ""
        if choice.get("finish_reason") and self._finish_reason is None:
            self._finish_reason, self._stop_sequence = choice["finish_reason"], choice.get("stop_reason")
        return sent

    def _signed(self, block: JsonObject) -> bytes:
        """The end of a thinking block that can be handed back to the provider, whose text has been sent."""
        if block.get("type") == "redacted_thinking":
            return self._begin("redacted_thinking", block) + self._close()
        if not block.get("signature"):
            return b""
        begun = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._open = "signed thinking"
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return begun + self._piece(signature) + self._close()

    def _call(self, call: JsonObject) -> bytes:
        """The events for a piece of a tool call."""
        piece, sent = self._calls.read(call), b""
        if piece.is_first:
            block = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
            sent = self._close() + self._begin(piece.number, block)
        elif piece.arguments and self._open != piece.number:
            raise StreamBroken("the provider mixes the pieces of several tool calls")
        if piece.arguments:
            sent += self._piece({"type": "input_json_delta", "partial_json": piece.arguments})
        return sent

    def _begin(self, kind: str | int, block: JsonObject) -> bytes:
        if self._open == kind:
            return b""
        closed = self._close()
        self._open = kind
        self._blocks += 1
        start = {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}
        return closed + sse_event(start)

    def _piece(self, delta: JsonObject) -> bytes:
        return sse_event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        signed = b""
        if self._open == "thinking":
            signed = self._piece({"type": "signature_delta", "signature": UNSIGNED})
        self._open = None
        return signed + sse_event({"type": "content_block_stop", "index": self._blocks - 1})
