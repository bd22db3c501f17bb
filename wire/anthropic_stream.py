"""Anthropic's Messages API, the answers, both ways: a provider's events as our chunks, our chunks and answers as its clients' events and messages.

A provider of this kind is always asked to stream, so `ChunkStream` is all that is read from it; `openai_chat.Assembly` makes the whole answer of it.
`EventStream` is to this API's clients what `openai_chat.Relay` is to OpenAI's. What the one writes the other reads back. Neither ever sees [DONE],
which this API does not have.
Reference: platform.claude.com/docs/en/build-with-claude/streaming and .../handling-stop-reasons.
"""

import json

from errors import StreamBroken, UpstreamError
from wire import openai_chat, sse
from wire.anthropic import STATUS_OF_ERROR, UNSIGNED, error_body, parse_arguments
from wire.openai_chat import count_of, object_of

FINISH_OF_STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # its own tools' loop reached its limit: like there, the answer goes on only if asked to
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
    """A provider's events turned into chat completion chunks.

    created: the chunks' `created`, in seconds since 1970.
    """

    def __init__(self, created):
        self._top = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._told = {}  # usage as the API told it so far; its numbers are totals
        self._calls = {}  # block index -> [index of the tool call, its input if it came whole]
        self._thinking = {}  # block index -> the block so far
        self.ended = False  # message_stop was seen: what [DONE] is elsewhere

    def chunks_of(self, event):
        """The chunks for one event's data, often none. Events and blocks of kinds not known are passed over, as the API asks of its clients.

        An error event becomes OpenAI's error object with the status in its `code`. Raises ValueError for what is no event of this API.
        """
        try:
            return self._chunks_of(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not an event of the Messages API") from error

    def _chunks_of(self, event):
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
            return [
                openai_chat.error_body(
                    str(error.get("message")), error["type"], code=STATUS_OF_ERROR.get(error["type"])
                )
            ]
        return []

    def _block(self, index, block):
        kind = block["type"]
        if kind == "text":
            return self._said("content", block.get("text"))
        if kind in ("thinking", "redacted_thinking"):
            self._thinking[index] = dict(block)
            return self._said("reasoning_content", block.get("thinking"))
        if kind != "tool_use":
            return []
        at = len(self._calls)
        self._calls[index] = [at, block.get("input") or {}]
        call = {
            "index": at,
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": ""},
        }
        return [self._chunk({"tool_calls": [call]})]

    def _piece(self, index, delta):
        kind = delta["type"]
        if kind == "text_delta":
            return self._said("content", delta["text"])
        if kind == "thinking_delta":
            block = self._thinking[index]
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
            return self._said("reasoning_content", delta["thinking"])
        if kind == "signature_delta":
            self._thinking[index]["signature"] = delta["signature"]
        if kind == "input_json_delta" and index in self._calls and delta["partial_json"]:
            self._calls[index][1] = None
            return self._arguments(index, delta["partial_json"])
        return []

    def _block_end(self, index):
        call, thinking = self._calls.get(index), self._thinking.get(index)
        if (
            call and call[1] is not None
        ):  # no piece came: it was whole from the start, or a tool without arguments
            return self._arguments(index, openai_chat.arguments_text(call[1]))
        if thinking and (thinking.get("signature") or thinking.get("data")):
            return [self._chunk({"thinking_blocks": [thinking]})]
        return []

    def _arguments(self, index, piece):
        return [
            self._chunk({"tool_calls": [{"index": self._calls[index][0], "function": {"arguments": piece}}]})
        ]

    def _said(self, field, text):
        return [self._chunk({field: text})] if text else []

    def _end(self, delta):
        reason = delta.get("stop_reason")
        if not reason:
            return []
        explanation = (delta.get("stop_details") or {}).get("explanation")
        chunk = self._chunk(
            {"refusal": explanation} if explanation else {}, FINISH_OF_STOP.get(reason, "stop")
        )
        if delta.get("stop_sequence") is not None:
            chunk["choices"][0]["stop_reason"] = delta["stop_sequence"]  # where vLLM tells it
        return [chunk]

    def _chunk(self, delta, finish_reason=None):
        return {**self._top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    def _add_usage(self, usage):
        self._told.update({name: count for name, count in object_of(usage).items() if count is not None})

    @property
    def usage(self):
        """The usage told so far in OpenAI's shape, None before any. The cached and the cache-writing tokens are part of `prompt_tokens`."""
        told = self._told
        if not told:
            return None
        read, written = (
            count_of(told, "cache_read_input_tokens"),
            count_of(told, "cache_creation_input_tokens"),
        )
        prompt, completion = count_of(told, "input_tokens") + read + written, count_of(told, "output_tokens")
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        usage["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": written}
        details = object_of(told.get("output_tokens_details"))
        if details.get("thinking_tokens") is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": count_of(details, "thinking_tokens")}
        return usage


# To clients of this API.


def sse_event(data):
    """One event as bytes; its name is its type. The clients go by the name and pass over an event without one."""
    return b"event: " + data["type"].encode() + b"\ndata: " + openai_chat.dumps(data) + b"\n\n"


PING = sse_event({"type": "ping"})  # may stand anywhere after message_start


def error_event(message, status, request_id=None):
    """The event that ends a stream which failed; nothing may follow it."""
    return sse_event(error_body(message, status, request_id))


def answer_of(completion, model, message_id):
    """The message for a chat completion's first choice.

    model: what the client asked for. message_id: such as "msg_123", another one in each answer; see EventStream. Unsigned reasoning becomes a thinking
    block whose signature says so, which this API's clients hand back and `chat_request_of` understands. Raises UpstreamError when a tool's arguments are
    no JSON object, unless the answer was cut off in them: then its input is empty, and the stop reason tells.
    """
    try:
        return _answer_of(completion, model, message_id)
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamError("the provider's answer is no chat completion") from error


def _answer_of(completion, model, message_id):
    choice = (completion.get("choices") or [{}])[0]
    message, finish = choice.get("message") or {}, choice.get("finish_reason")
    content = message.get("thinking_blocks") or _thinking_blocks(openai_chat.reasoning_in(message))
    text = openai_chat.text_of(message.get("content"))
    content = [*content, {"type": "text", "text": text}] if text else [*content]
    calls = message.get("tool_calls") or []
    content += [
        _tool_use(call, f"toolu_{message_id}_{i}", finish == "length") for i, call in enumerate(calls)
    ]
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **_stop_of(finish, choice.get("stop_reason"), message.get("refusal"), bool(calls)),
        "usage": usage_of(completion.get("usage")),
    }


def _thinking_blocks(text):
    return [{"type": "thinking", "thinking": text, "signature": UNSIGNED}] if text else []


def _tool_use(call, own_id, cut_off):
    function = call.get("function") or {}
    try:
        arguments = parse_arguments(function.get("arguments"))
    except ValueError as error:
        if not cut_off:
            raise UpstreamError(
                f"the model called the tool '{function.get('name')}' with something that is no JSON object"
            ) from error
        arguments = {}
    return {
        "type": "tool_use",
        "id": call.get("id") or own_id,
        "name": function.get("name") or "",
        "input": arguments,
    }


def _stop_of(finish_reason, stop_sequence, refusal, calls_tools):
    """The three fields that tell why an answer ended.

    stop_sequence: vLLM tells it as a string, and an end token as a number. calls_tools: some servers say "stop" after a tool call that was demanded.
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


def usage_of(usage):
    """A chat completion's usage in this API's shape; its clients add the numbers up, so what nobody told is 0."""
    usage = object_of(usage)
    prompt, completion = (object_of(usage.get(f"{side}_tokens_details")) for side in ("prompt", "completion"))
    read, written = count_of(prompt, "cached_tokens"), count_of(prompt, "cache_write_tokens")
    told = {
        "input_tokens": max(0, count_of(usage, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": count_of(usage, "completion_tokens"),
    }
    if completion.get("reasoning_tokens") is not None:
        told["output_tokens_details"] = {"thinking_tokens": count_of(completion, "reasoning_tokens")}
    return told


class Decoder:
    """A provider's events as (event, chunk) in OpenAI's format, ending with its [DONE]; the shape of `openai_chat.Decoder`."""

    def __init__(self, created):
        """created: the chunks' `created`, in seconds since 1970."""
        self._stream = ChunkStream(created)

    @property
    def usage(self):
        """The usage told so far in OpenAI's shape, None before any; this API tells the input's at the very beginning."""
        return self._stream.usage

    def decode(self, event):
        """The pairs that one event stands for, often none. Raises ValueError for what is no event of this API."""
        if event.data is None:
            return [(event, None)]
        chunks = self._stream.chunks_of(json.loads(event.data))
        pairs = [
            (sse.Event(sse.event(data), data), chunk)
            for chunk in chunks
            for data in (openai_chat.dumps(chunk),)
        ]
        return [*pairs, (sse.Event(sse.DONE, b"[DONE]"), None)] if self._stream.ended else pairs


class NativeDecoder:
    """A provider's events for a client of this same API: passed on as they came, with the chunks by which our books know what they say.

    Used like Decoder.
    """

    def __init__(self, created):
        self._stream = ChunkStream(created)
        self._message = MessageAssembly()

    @property
    def usage(self):
        return self._stream.usage

    @property
    def answer(self):
        """The whole message, as it would have come without a stream."""
        return self._message.answer

    def decode(self, event):
        """The pairs for one event: itself with what it says, and once it is the last, the end of the stream. Raises ValueError for no event of this API."""
        if event.data is None:
            return [(event, None)]
        data = json.loads(event.data)
        chunks = self._stream.chunks_of(data)
        try:
            self._message.add(data)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError("not an event of the Messages API") from error
        pairs = [
            (event, chunks[0] if chunks else None),
            *((sse.Event(b"", None), chunk) for chunk in chunks[1:]),
        ]
        return [*pairs, (sse.Event(b"", b"[DONE]"), None)] if self._stream.ended else pairs


class MessageAssembly:
    """A whole message, put together from a stream's events; blocks of any kind, known or not. It is given only what ChunkStream could read."""

    def __init__(self):
        self.answer = None
        self._inputs = {}  # block index -> its input's JSON so far

    def add(self, event):
        kind = event["type"]
        if kind == "message_start":
            self.answer = {**event["message"], "content": []}
        elif kind == "content_block_start":
            self.answer["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            self._add_piece(event["index"], event["delta"])
        elif kind == "content_block_stop" and self._inputs.get(event["index"]):
            self.answer["content"][event["index"]]["input"] = _input_of(self._inputs[event["index"]])
        elif kind == "message_delta":
            rest = {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
            self.answer = {
                **self.answer,
                **event["delta"],
                **rest,
                "usage": {**self.answer.get("usage", {}), **(event.get("usage") or {})},
            }

    def _add_piece(self, index, delta):
        block = self.answer["content"][index]
        if delta["type"] == "input_json_delta":
            self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            return
        for name, piece in delta.items():
            if name == "citation":
                block["citations"] = [*(block.get("citations") or []), piece]
            elif name != "type":
                block[name] = block.get(name, "") + piece if name in ("text", "thinking") else piece


def _input_of(pieces):
    """A tool's input; {} where the answer was cut off in the middle of it, which its stop reason tells."""
    try:
        return json.loads(pieces)
    except ValueError:
        return {}


class EventStream:
    """A chat completion's stream on its way to a client of this API; used like `openai_chat.Relay`.

    model: what the client asked for. message_id: such as "msg_123", another one in each answer: Claude Code takes answers of the same id for one and mixes
    up its conversation, and not every server's ids differ (Ollama's are one of 999). The message's end is held back until `ending()`, since the usage
    that belongs to it comes last.
    """

    def __init__(self, model, message_id):
        self._model = model
        self._id = message_id
        self._started = False
        self._blocks = 0
        self._open = None  # the kind of the open block, or its tool call's index
        self._calls = {}  # index of a tool call -> its id
        self._finish_reason = self._stop_sequence = None
        self._refusal = ""
        self.usage = None  # as the provider told it

    @property
    def finished(self):
        """Whether the first choice has ended."""
        return self._finish_reason is not None

    def pass_on(self, event, chunk):
        """The bytes to send for one chunk, often none. event: as received; not needed here, as nothing of it can stay. chunk: None for a comment.

        Raises StreamBroken when pieces of a tool call come after the next block began, which this API cannot say, and for what is no chunk.
        """
        if chunk is None:
            return PING if self._started else b""
        try:
            return self._sent_for(chunk)
        except (TypeError, AttributeError) as error:
            raise StreamBroken("the provider sent something that is no completion") from error

    def _sent_for(self, chunk):
        self.usage = chunk.get("usage") or self.usage
        sent = self._start()
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                sent += self._pass_on(choice, choice.get("delta") or {})
        return sent

    def ending(self):
        """What is missing at a proper end: the open block's end, why the message ended and what it used, the message's end."""
        stop = _stop_of(self._finish_reason, self._stop_sequence, self._refusal, bool(self._calls))
        delta = {"type": "message_delta", "delta": stop, "usage": usage_of(self.usage)}
        return self._start() + self._close() + sse_event(delta) + sse_event({"type": "message_stop"})

    def _start(self):
        if self._started:
            return b""
        self._started = True
        ended = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
        message = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            **ended,
        }
        return sse_event({"type": "message_start", "message": {**message, "usage": usage_of(self.usage)}})

    def _pass_on(self, choice, delta):
        sent = b""
        if reasoning := openai_chat.reasoning_in(delta):
            sent += self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            sent += self._piece({"type": "thinking_delta", "thinking": reasoning})
        for block in delta.get("thinking_blocks") or ():
            sent += self._signed(block)
        if text := openai_chat.text_of(delta.get("content")):
            sent += self._begin("text", {"type": "text", "text": ""}) + self._piece(
                {"type": "text_delta", "text": text}
            )
        for call in delta.get("tool_calls") or ():
            sent += self._call(call)
        self._refusal += delta.get("refusal") or ""
        if choice.get("finish_reason") and self._finish_reason is None:
            self._finish_reason, self._stop_sequence = choice["finish_reason"], choice.get("stop_reason")
        return sent

    def _signed(self, block):
        """The end of a thinking block that can be handed back to the provider; what it says has been sent, piece by piece."""
        if block.get("type") == "redacted_thinking":
            return self._begin("redacted_thinking", block) + self._close()
        if not block.get("signature"):
            return b""
        begun = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._open = "signed thinking"
        return (
            begun + self._piece({"type": "signature_delta", "signature": block["signature"]}) + self._close()
        )

    def _call(self, call):
        """A piece of a tool call. Some servers give no index, some give every call the same one; a new id is a new call."""
        index, id = call.get("index"), call.get("id")
        if index is None:
            index = len(self._calls) if id or not self._calls else max(self._calls)
        function = call.get("function") or {}
        arguments = openai_chat.arguments_text(function.get("arguments"))
        sent = b""
        if index not in self._calls or (id and id != self._calls[index]):
            self._calls[index] = id or f"toolu_{self._id}_{len(self._calls)}"
            sent += self._close() + self._begin(
                index,
                {
                    "type": "tool_use",
                    "id": self._calls[index],
                    "name": function.get("name") or "",
                    "input": {},
                },
            )
        elif arguments and self._open != index:
            raise StreamBroken("the provider mixes the pieces of several tool calls")
        return (
            sent + self._piece({"type": "input_json_delta", "partial_json": arguments}) if arguments else sent
        )

    def _begin(self, kind, block):
        if self._open == kind:
            return b""
        closed = self._close()
        self._open = kind
        self._blocks += 1
        return closed + sse_event(
            {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}
        )

    def _piece(self, delta):
        return sse_event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _close(self):
        if self._open is None:
            return b""
        signed = (
            self._piece({"type": "signature_delta", "signature": UNSIGNED})
            if self._open == "thinking"
            else b""
        )
        self._open = None
        return signed + sse_event({"type": "content_block_stop", "index": self._blocks - 1})
