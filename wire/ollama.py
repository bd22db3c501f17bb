"""Ollama's API: its clients' requests as chat requests, the whole answers, and the lists of models.

What one API says and the other says differently is translated; what would change the answer and has no
counterpart is refused by name; what only advises is left out, by the tables below; what neither API's
documentation knows is passed on as written, for the provider to judge. Null means absent.
The streams are `ollama_stream.py`'s. Which models there are, what they can do and the time are not known
here.
Reference: docs/api.md, api/types.go and server/routes.go of github.com/ollama/ollama, and the types of
ollama-python 0.6.
"""

import base64
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from errors import BadRequest, UpstreamError
from wire import JsonObject, openai_chat
from wire.fields import present, refuse_unless_harmless
from wire.tools import arguments_text, called_arguments, named_function

MEDIA_TYPE = "application/x-ndjson"  # of a stream; anything else is application/json
VERSION = "0.34.4"  # clients compare it: 0.35 has endpoints that are not here
# When a model is unloaded that stays: the last second that Ollama's own clock knows.
NEVER = "2262-04-11T23:47:16Z"

ROLES = ("system", "developer", "user", "assistant", "tool")
THINK_LEVELS = ("low", "medium", "high", "max")
MAX_TOP_LOGPROBS = 20

# What would change the answer and has no counterpart: the values that ask for nothing. Any other value is
# refused by name.
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "template": ("",),
    "context": ([],),  # tokens of a conversation; /api/chat takes it in words
    "_debug_render_only": (False,),
    "width": (0,),  # these three: of models that paint
    "height": (0,),
    "steps": (0,),
}
HARMLESS_IN_CHAT = {
    **_HARMLESS,
    "prompt": ("",),
    "suffix": ("",),
    "system": ("",),
    "raw": (False,),
    "images": ([],),
}
HARMLESS_IN_GENERATE = {**_HARMLESS, "messages": ([],), "tools": ([],)}
# Of a prompt that no template shapes.
HARMLESS_IN_COMPLETION = {**HARMLESS_IN_GENERATE, "system": ("",), "images": ([],), "think": (False,)}
HARMLESS_OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "mirostat": (0,),
    "tfs_z": (1,),
    "typical_p": (1,),
    "n": (1,),
    "vocab_only": (False,),
    "embedding_only": (False,),
}

# What is left out, and why nobody is misled by that.
ADVISORY = {
    "keep_alive": "how long a model stays in memory; here that is the server's own doing",
    "truncate": "whether too long a conversation is cut; here its server decides, and refuses it in words",
    "shift": "whether to forget the beginning of a full context; here the answer ends there",
    "runner": "which of Ollama's engines computes",
}
ADVISORY_OPTIONS = {
    "num_ctx": "how large a context to load; here a setting of its server. Home Assistant always sends 8192",
    "num_keep": "how much of the beginning to keep when the context shifts; here none does",
    "repeat_last_n": "how far back a repetition counts; servers differ, so only 0 (none) is translated",
    "penalize_newline": "whether a repeated line break counts",
    "mirostat_tau": "of mirostat, which is refused",
    "mirostat_eta": "of mirostat, which is refused",
    **dict.fromkeys(
        (
            "num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "f16_kv", "logits_all",
            "use_mmap", "use_mlock", "use_imagegen_runner",
        ),
        "how the model is loaded and computed; here those are its server's settings",
    ),
}  # fmt: skip
ADVISORY_IN_EMBED = {
    **ADVISORY,
    "options": "how models are loaded, and how answers are sampled, of which there are none",
}

_TRANSLATED = (
    "messages", "tools", "prompt", "suffix", "system", "raw", "images", "format", "options", "think",
    "logprobs", "top_logprobs",
)  # fmt: skip
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_WHOLE_NUMBERS = ("top_k", "seed", "num_predict", "repeat_last_n")
# As an option, these would replace the request's own.
_NO_OPTIONS = ("model", "messages", "prompt", "suffix", "stream", "stream_options", "tools")
# Field of a message -> the roles that may have it.
_SPECIAL = {
    "images": ("user",),
    "thinking": ("assistant",),
    "tool_calls": ("assistant",),
    "tool_name": ("tool",),
}
_IMAGES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
_NOT_ZERO = re.compile(r"[1-9]")

_THEIR_SIDE = "OpenAI's API, which is what answers here"
_STRING = ((str,), "a string")
_BOOLEAN = ((bool,), "true or false")
_LIST = ((list,), "a list")
_WHOLE_NUMBER = ((int,), "a whole number")
_FIELDS: Mapping[str, tuple[tuple[type[Any], ...], str]] = {
    "stream": _BOOLEAN,
    "raw": _BOOLEAN,
    "logprobs": _BOOLEAN,
    "top_logprobs": _WHOLE_NUMBER,
    "prompt": _STRING,
    "suffix": _STRING,
    "system": _STRING,
    "template": _STRING,
    "messages": _LIST,
    "tools": _LIST,
    "images": _LIST,
    "options": ((dict,), "an object"),
    "keep_alive": ((int, float, str), "a number of seconds or a duration such as 5m"),
    "dimensions": _WHOLE_NUMBER,
}


Words = Callable[..., JsonObject]
"""Puts an answer's words where an endpoint has them: `chat_words` or `generate_words`."""


@dataclass(frozen=True)
class Times:
    """How long an answer took.

    total_ms: since the request arrived. ttft_ms: until its first word; None where it is not known.
    """

    total_ms: float
    ttft_ms: float | None = None


def error_body(message: str) -> JsonObject:
    """An error in this API's envelope; its HTTP status goes with it."""
    return {"error": message}


def model_name(name: str) -> str:
    """A model's name as the rest of the proxy knows it: without the tag `:latest` of this API's clients.

    Any other tag is part of the name.
    """
    return name.removesuffix(":latest")


def tagged(name: str) -> str:
    """A model's name as this API lists it, with a tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


# Requests.


def check_chat(body: Any) -> None:
    """Check a request to /api/chat as far as the proxy relies on it. Raises BadRequest naming a field."""
    _check_envelope(body)
    for i, message in enumerate(body.get("messages") or ()):
        _check_message(message, f"messages[{i}]")
    for i, tool in enumerate(body.get("tools") or ()):
        if named_function(tool) is None:
            raise BadRequest(f"'tools[{i}]' must be an object with a named function", param=f"tools[{i}]")


def check_generate(body: Any) -> None:
    """Check a request to /api/generate as far as the proxy relies on it. Raises BadRequest naming a field."""
    _check_envelope(body)
    _check_images(body.get("images"), "images")
    if body.get("raw") and (body.get("system") or body.get("template") or body.get("context")):
        raise BadRequest(
            "'raw' means that the prompt is sent as it is; it goes with no system, template or context",
            param="raw",
        )


def check_embed(body: Any) -> None:
    """Check a request to /api/embed (`input`) or to the older /api/embeddings (`prompt`).

    Raises BadRequest naming the field.
    """
    _check_envelope(body)
    texts = body.get("input")
    listed = texts if isinstance(texts, list) else [texts] if texts is not None else []
    if not all(isinstance(text, str) for text in listed):
        raise BadRequest("'input' must be a string or a list of strings", param="input")


def check_show(body: Any) -> str:
    """Check a request to /api/show, and return the model's name.

    It may stand in `model` or, in older clients, in `name`. Raises BadRequest.
    """
    _check_object(body)
    name: Any
    for name in (body.get("model"), body.get("name")):
        if name is not None and not isinstance(name, str):
            raise BadRequest("'model' must be a string", param="model")
    if not (body.get("model") or body.get("name")):
        raise BadRequest("'model' is required", param="model", code="missing_required_parameter")
    name = body.get("model") or body["name"]
    return str(name)


def _check_object(body: Any) -> None:
    if not isinstance(body, dict):
        raise BadRequest("the request body must be a JSON object")


def _check_envelope(body: Any) -> None:
    _check_object(body)
    if not isinstance(body.get("model"), str | None):
        raise BadRequest("'model' must be a string", param="model")
    if not body.get("model"):
        raise BadRequest("'model' is required", param="model", code="missing_required_parameter")
    for name, (kinds, expected) in _FIELDS.items():
        if body.get(name) is not None and type(body[name]) not in kinds:
            raise BadRequest(f"'{name}' must be {expected}", param=name)
    if not 0 <= (body.get("top_logprobs") or 0) <= MAX_TOP_LOGPROBS:
        raise BadRequest(f"'top_logprobs' must be from 0 to {MAX_TOP_LOGPROBS}", param="top_logprobs")
    think = body.get("think")
    if think is not None and not isinstance(think, bool) and think not in THINK_LEVELS:
        raise BadRequest(f"'think' must be true, false or one of {', '.join(THINK_LEVELS)}", param="think")
    if body.get("format") not in (None, "", "json") and not isinstance(body["format"], dict):
        raise BadRequest("'format' must be json or a JSON schema", param="format")


def _check_message(message: Any, where: str) -> None:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise BadRequest(f"'{where}.role' must be one of {', '.join(ROLES)}", param=f"{where}.role")
    for name in ("content", "thinking", "tool_name", "tool_call_id"):
        if message.get(name) is not None and not isinstance(message[name], str):
            raise BadRequest(f"'{where}.{name}' must be a string", param=f"{where}.{name}")
    for name, roles in _SPECIAL.items():
        if message.get(name) and role.lower() not in roles:
            problem = f"'{where}.{name}' can only stand in a message of role {' or '.join(roles)}"
            raise BadRequest(problem, param=f"{where}.{name}", code="unsupported_value")
    _check_images(message.get("images"), f"{where}.images")
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise BadRequest(f"'{where}.tool_calls' must be a list", param=f"{where}.tool_calls")
    for j, call in enumerate(calls or ()):
        _check_call(call, f"{where}.tool_calls[{j}]")


def _check_call(call: Any, where: str) -> None:
    function = named_function(call)
    if function is None:
        raise BadRequest(f"'{where}' must be an object with a named function", param=where)
    if not isinstance(function.get("arguments"), dict | None):
        where = f"{where}.function.arguments"
        raise BadRequest(f"'{where}' must be an object", param=where)
    if not isinstance(call.get("id"), str | None):
        raise BadRequest(f"'{where}.id' must be a string", param=f"{where}.id")


def _check_images(images: Any, where: str) -> None:
    if images is not None and not isinstance(images, list):
        raise BadRequest(f"'{where}' must be a list of images in base64", param=where)
    for j, image in enumerate(images or ()):
        if not isinstance(image, str):
            raise BadRequest(f"'{where}[{j}]' must be an image in base64", param=f"{where}[{j}]")


def streams(body: JsonObject) -> bool:
    """Whether the client wants a stream, which it does unless it says no."""
    return body.get("stream") is not False


def is_load(body: JsonObject) -> bool:
    """Whether a checked request asks for no answer, but only that the model be loaded or unloaded."""
    return not body.get("prompt") and not body.get("messages")


def is_empty(body: JsonObject) -> bool:
    """Whether a checked request to embed holds nothing to embed, and only asks that the model be loaded."""
    return not body.get("input") and not body.get("prompt")


def is_completion(body: JsonObject) -> bool:
    """Whether a checked request to /api/generate is one for legacy completions.

    Its prompt is raw, or has a suffix. See `completion_request_of`.
    """
    return bool(body.get("raw") or body.get("suffix"))


def chat_request_of(chat_body: JsonObject) -> JsonObject:
    """The chat completions request for a checked request to /api/chat.

    A tool's result goes with the call that it names, else with the first one of that tool's name, else with
    the first that has none yet (Home Assistant names nothing, and LiteLLM a call that has no name). A result
    without a call, as is left when a client trims its history, gets an id of its own.
    Raises BadRequest naming what chat completions cannot say.
    """
    return (
        _request_of(chat_body, HARMLESS_IN_CHAT)
        | {"messages": _messages_of(chat_body["messages"])}
        | _thinking_of(chat_body)
    )


def chat_request_of_generate(generate_body: JsonObject) -> JsonObject:
    """The chat completions request for a checked request to /api/generate that is no `is_completion`.

    Raises BadRequest naming what chat completions cannot say.
    """
    request = _request_of(generate_body, HARMLESS_IN_GENERATE)
    turn = {"role": "user", "content": generate_body.get("prompt"), "images": generate_body.get("images")}
    system = [{"role": "system", "content": generate_body["system"]}] if generate_body.get("system") else []
    return request | {"messages": [*system, _message_of(turn, "user", "")]} | _thinking_of(generate_body)


def completion_request_of(generate_body: JsonObject) -> JsonObject:
    """The legacy completions request for a checked request to /api/generate that `is_completion`.

    Raises BadRequest naming what legacy completions cannot say.
    """
    request = _request_of(generate_body, HARMLESS_IN_COMPLETION) | {"prompt": generate_body["prompt"]}
    if generate_body.get("suffix"):
        request["suffix"] = generate_body["suffix"]
    if request.pop("logprobs", False):
        request["logprobs"] = request.pop("top_logprobs", 0) or 1
    return request


def embedding_request_of(embed_body: JsonObject) -> JsonObject:
    """The embeddings request for a checked request to /api/embed or /api/embeddings."""
    fields = present(embed_body)
    request = {name: value for name, value in fields.items() if name not in (*ADVISORY_IN_EMBED, "prompt")}
    texts = fields.get("input") or fields["prompt"]
    return request | {"model": model_name(fields["model"]), "input": texts, "encoding_format": "float"}


def _request_of(body: JsonObject, harmless: Mapping[str, tuple[Any, ...]]) -> JsonObject:
    """What all of these requests have in common: what is passed on as it is, the format and the options."""
    fields = present(body)
    refuse_unless_harmless(fields, harmless, _THEIR_SIDE)
    dealt_with = {*_TRANSLATED, *harmless, *ADVISORY}
    request = {name: value for name, value in fields.items() if name not in dealt_with}
    if fields.get("tools"):
        request["tools"] = [{"type": "function", **present(tool)} for tool in fields["tools"]]
    if fields.get("logprobs"):  # without it, the number of the others means nothing
        request |= {name: fields[name] for name in ("logprobs", "top_logprobs") if name in fields}
    if fields.get("format") == "json":
        request["response_format"] = {"type": "json_object"}
    elif fields.get("format"):
        # Not `strict`: OpenAI's takes only a part of JSON Schema, and the others hold an answer to any schema
        # without the word.
        schema = {"name": "answer", "schema": fields["format"]}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    options = _options_of(fields.get("options") or {})
    return request | options | {"model": model_name(fields["model"]), "stream": streams(fields)}


def _options_of(options: JsonObject) -> JsonObject:
    given = present(options)
    refuse_unless_harmless(given, HARMLESS_OPTIONS, _THEIR_SIDE, "options.")
    for name in _NO_OPTIONS:
        if name in given:
            raise BadRequest(f"'options.{name}' is not an option", param=f"options.{name}")
    special = (*_NUMBERS, *_WHOLE_NUMBERS, "stop", *HARMLESS_OPTIONS, *ADVISORY_OPTIONS)
    made = {name: value for name, value in given.items() if name not in special}
    made |= {their_name: _number(given[name], name) for name, their_name in _NUMBERS.items() if name in given}
    whole = {name: _whole_number(given[name], name) for name in _WHOLE_NUMBERS if name in given}
    if whole.get("num_predict", 0) > 0:  # -1 and -2: as many as there may be
        made["max_tokens"] = whole["num_predict"]
    if whole.get("seed", -1) != -1:  # -1: whatever the dice say
        made["seed"] = whole["seed"]
    if "top_k" in whole:
        made["top_k"] = whole["top_k"] if whole["top_k"] > 0 else -1  # off: 0 is not that to every server
    if whole.get("repeat_last_n") == 0:
        made.pop("repetition_penalty", None)
    if given.get("stop"):
        made["stop"] = _stops(given["stop"])
    return made


def _number(value: Any, name: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest(f"'options.{name}' must be a number", param=f"options.{name}")
    return value


def _whole_number(value: Any, name: str) -> int:
    number = _number(value, name)
    if isinstance(number, float) and not number.is_integer():
        raise BadRequest(f"'options.{name}' must be a whole number", param=f"options.{name}")
    return int(number)


def _stops(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest("'options.stop' must be a list of strings", param="options.stop")
    return stops


def _thinking_of(body: JsonObject) -> JsonObject:
    """`think`: whether, for a server that has the model's template, and how much, for any.

    Whether to think stands only in `chat_template_kwargs` (vLLM, llama.cpp, SGLang, the embedded engine;
    Ollama's own endpoint passes it over) and not in a `reasoning_effort` of none, which older vLLMs and most
    models of the clouds refuse: Home Assistant says false with every request.
    """
    think, switches = body.get("think"), body.get("chat_template_kwargs")
    if think is None:
        return {}
    switches = {**(switches if isinstance(switches, dict) else {}), "enable_thinking": think is not False}
    if isinstance(think, bool):
        return {"chat_template_kwargs": switches}
    effort = "high" if think == "max" else think  # beyond high, few servers know the words
    return {"reasoning_effort": effort, "chat_template_kwargs": {**switches, "reasoning_effort": effort}}


class _Call(NamedTuple):
    """A tool call in the conversation. has_own_id: the client gave its id."""

    id: str
    name: str
    has_own_id: bool


def _messages_of(messages: list[JsonObject]) -> list[JsonObject]:
    chat_messages: list[JsonObject] = []
    waiting: list[_Call] = []  # those that have no result yet
    # Letters and digits, nine in all: Mistral's templates refuse any other id.
    ids = (f"call{number:05d}" for number in itertools.count())
    for i, message in enumerate(messages):
        role = message["role"].lower()
        made = _message_of(message, role, f"messages[{i}].")
        if role == "tool":
            made |= {"tool_call_id": _id_of_result(message, waiting) or next(ids)}
        if message.get("tool_calls"):
            made["tool_calls"] = [_call_of(call, ids) for call in message["tool_calls"]]
            made["content"] = made["content"] or None
            calls = zip(message["tool_calls"], made["tool_calls"], strict=True)
            waiting = [
                _Call(call["id"], call["function"]["name"], has_own_id=bool(given.get("id")))
                for given, call in calls
            ]
        chat_messages.append(made)
    return chat_messages


def _message_of(message: JsonObject, role: str, where: str) -> JsonObject:
    """A message without its tool calls. where: its place, with a point behind it."""
    known: tuple[str, ...] = ("role", "content", "images", "thinking", "tool_calls", "tool_name")
    known += ("name", "tool_call_id") if role == "tool" else ()
    made: JsonObject = {"role": role, "content": message.get("content") or ""}
    made |= {name: value for name, value in message.items() if name not in known and value is not None}
    if message.get("thinking"):
        made["reasoning_content"] = message["thinking"]
    if message.get("images"):
        text = [{"type": "text", "text": made["content"]}] if made["content"] else []
        images = enumerate(message["images"])
        made["content"] = text + [_image_part(image, f"{where}images[{j}]") for j, image in images]
    return made


def _call_of(call: JsonObject, ids: Iterator[str]) -> JsonObject:
    function = call["function"]
    arguments = arguments_text(function.get("arguments") or {})
    id = call.get("id") or next(ids)
    return {"id": id, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _id_of_result(message: JsonObject, waiting: list[_Call]) -> str | None:
    """The id of the call that a tool's result belongs to; None where there is none.

    The call is taken off the list of those that wait. LiteLLM names a call's id in the result and leaves it
    out of the call, so an id that no call has may be that of one without.
    """
    id, name = message.get("tool_call_id"), message.get("tool_name") or message.get("name")
    nameless = [call for call in waiting if not (id and call.has_own_id)]
    found = next((call for call in waiting if call.id == id), None) or next(
        (call for call in nameless if not name or call.name == name), None
    )
    if found is None:
        return id
    waiting.remove(found)
    return found.id


def _image_part(image: str, where: str) -> JsonObject:
    data = "".join(image.split())
    try:
        head = base64.b64decode(data[:16], validate=True)
    except ValueError:
        head = b""
    media_type = next((type for magic, type in _IMAGES if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        media_type = "image/webp"
    if media_type is None:
        problem = f"'{where}' is no PNG, JPEG, GIF, WebP or BMP image in base64"
        raise BadRequest(problem, param=where, code="unsupported_value")
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


# Whole answers.


def chat_answer_of(completion: JsonObject, model: str, created_at: float, times: Times) -> JsonObject:
    """The answer of /api/chat for a chat completion's first choice.

    model: what the client asked for. created_at: seconds since 1970. A call whose arguments are no JSON
    object raises UpstreamError, unless the answer was cut off in it: then it is left out, as Ollama does,
    since it must not be made; `done_reason` tells.
    """
    return _answer_of(completion, model, created_at, times, chat_words)


def generate_answer_of(completion: JsonObject, model: str, created_at: float, times: Times) -> JsonObject:
    """The answer of /api/generate for the first choice of a chat completion or a legacy one.

    Its arguments are those of `chat_answer_of`.
    """
    return _answer_of(completion, model, created_at, times, generate_words)


def _answer_of(
    completion: JsonObject, model: str, created_at: float, times: Times, words: Words
) -> JsonObject:
    try:
        choice = openai_chat.first_choice(completion)
        text, thinking = words_in(choice)
        finish_reason = choice.get("finish_reason")
        calls = calls_of((choice.get("message") or {}).get("tool_calls") or (), finish_reason)
        answer = opening(model, created_at, words(text, thinking, calls), done=True)
        answer |= ended(finish_reason, completion.get("usage"), times)
        logprobs = logprobs_in(choice)
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamError("the provider's answer is no completion") from error
    return {**answer, "logprobs": logprobs} if logprobs else answer


def load_answer(body: JsonObject, created_at: float, words: Words) -> JsonObject:
    """The answer to a request that `is_load`, a single object whether or not a stream was asked for.

    created_at: seconds since 1970. words: by the endpoint.
    """
    keep_alive = body.get("keep_alive")
    unloads = keep_alive == 0
    if isinstance(keep_alive, str):  # "0s" is none as well
        unloads = "0" in keep_alive and not _NOT_ZERO.search(keep_alive)
    reason = {"done_reason": "unload" if unloads else "load"}
    return opening(body["model"], created_at, words(""), done=True) | reason


def opening(model: str, created_at: float, words: JsonObject, *, done: bool = False) -> JsonObject:
    """What every answer and every line of a stream begins with.

    created_at: seconds since 1970. words: of `chat_words` or `generate_words`.
    """
    time = datetime.fromtimestamp(created_at, UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return {"model": model, "created_at": f"{time}Z", **words, "done": done}


def chat_words(text: str, thinking: str = "", calls: Sequence[JsonObject] = ()) -> JsonObject:
    """An answer's words, where /api/chat has them."""
    return {"message": {"role": "assistant", **_words("content", text, thinking, calls)}}


def generate_words(text: str, thinking: str = "", calls: Sequence[JsonObject] = ()) -> JsonObject:
    """An answer's words, where /api/generate has them."""
    return _words("response", text, thinking, calls)


def _words(field: str, text: str, thinking: str, calls: Sequence[JsonObject]) -> JsonObject:
    fields: JsonObject = {field: text}
    if thinking:
        fields["thinking"] = thinking
    if calls:
        fields["tool_calls"] = list(calls)
    return fields


def words_in(choice: JsonObject) -> tuple[str, str]:
    """(text, thinking) of a completion's choice, whole or a piece of it.

    A refusal in words is text, since this API has no place for it.
    """
    message = choice.get("message") or choice.get("delta") or {}
    text = choice.get("text")
    if not isinstance(text, str):
        text = openai_chat.text_of(message.get("content")) + (message.get("refusal") or "")
    thinking = message.get("reasoning_content") or message.get("reasoning") or message.get("thinking")
    return text, thinking if isinstance(thinking, str) else ""


def calls_of(calls: Sequence[JsonObject], finish_reason: Any) -> list[JsonObject]:
    """Whole tool calls with their arguments as objects.

    Raises UpstreamError for a call that is not whole, unless the answer was cut off in it.
    """
    made: list[JsonObject] = []
    for call in calls:
        function = call.get("function") or {}
        try:
            arguments = called_arguments(function)
        except UpstreamError:
            if finish_reason == "length":
                continue
            raise
        whole = {"function": {"index": len(made), "name": function.get("name") or "", "arguments": arguments}}
        made.append({"id": call["id"], **whole} if call.get("id") else whole)
    return made


def logprobs_in(choice: JsonObject) -> list[JsonObject]:
    """The log probabilities of a choice's tokens, in the shape that both APIs share; [] for none."""
    holder = choice.get("logprobs") or {}
    if not holder.get("tokens"):
        content: list[JsonObject] = holder.get("content") or []
        return content
    tokens, logprobs = holder["tokens"], holder["token_logprobs"]
    tops = holder.get("top_logprobs") or [None] * len(tokens)
    made: list[JsonObject] = []
    for token, logprob, top in zip(tokens, logprobs, tops, strict=False):
        made.append({"token": token, "logprob": logprob})
        if top:
            alternatives = [{"token": other, "logprob": value} for other, value in top.items()]
            made[-1]["top_logprobs"] = alternatives
    return made


def ended(finish_reason: Any, usage: Any, times: Times) -> JsonObject:
    """The fields by which an answer ends: why, how many tokens, and how long in nanoseconds.

    usage: a completion's. What the provider does not report is absent. No duration is 0, since clients divide
    by them.
    """
    usage = usage if isinstance(usage, dict) else {}
    reason = finish_reason if isinstance(finish_reason, str) else "stop"
    fields: JsonObject = {
        "done_reason": "stop" if reason in ("tool_calls", "function_call") else reason,
        "total_duration": _ns(times.total_ms),
        "load_duration": 0,
    }
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(prompt, int):
        fields["prompt_eval_count"] = prompt
    if times.ttft_ms is not None:
        fields["prompt_eval_duration"] = _ns(times.ttft_ms)
    if isinstance(completion, int):
        fields["eval_count"] = completion
    return {**fields, "eval_duration": _ns(times.total_ms - (times.ttft_ms or 0))}


def _ns(ms: float) -> int:
    return max(1, round(ms * 1_000_000))


# Embeddings.


def vectors_of(answer: JsonObject) -> tuple[list[Any], int | None]:
    """(the vectors in order, the number of tokens or None) in a provider's answer to `embedding_request_of`.

    Raises UpstreamError when it is none.
    """
    try:
        items = sorted(answer["data"], key=lambda item: item.get("index") or 0)
        vectors = [item["embedding"] for item in items]
        tokens = (answer.get("usage") or {}).get("prompt_tokens")
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamError("the provider's answer holds no embeddings") from error
    if not all(isinstance(vector, list) for vector in vectors):
        raise UpstreamError("the provider's embeddings are no lists of numbers")
    return vectors, tokens


def embed_answer(vectors: list[Any], model: str, total_ms: float, tokens: int | None = None) -> JsonObject:
    """The answer of /api/embed.

    model: what the client asked for. tokens: of all the texts together, None where it is not known.
    """
    answer = {"model": model, "embeddings": vectors, "total_duration": _ns(total_ms), "load_duration": 0}
    return answer if tokens is None else {**answer, "prompt_eval_count": tokens}


def embedding_answer(vector: list[float]) -> JsonObject:
    """The answer of the older /api/embeddings. vector: of its one text; [] for a request that `is_empty`."""
    return {"embedding": vector}


# The models.


def version() -> JsonObject:
    """The answer of /api/version."""
    return {"version": VERSION}


def tags(models: Iterable[tuple[str, str, str | None]], modified_at: float) -> JsonObject:
    """The answer of /api/tags.

    models: (name, owner, display name) of each, in the order to list them. modified_at: seconds since 1970.
    """
    time = _modified(modified_at)
    return {"models": [_known(name, owner) | {"modified_at": time, "size": 0} for name, owner, _ in models]}


def ps(models: Iterable[tuple[str, str, str | None]], context_length: int = 0) -> JsonObject:
    """The answer of /api/ps.

    models: the loaded ones, as `tags` takes them. context_length: in tokens, 0 where it is not known.
    """
    loaded = {"size": 0, "size_vram": 0, "expires_at": NEVER, "context_length": context_length}
    return {"models": [_known(name, owner) | loaded for name, owner, _ in models]}


def show(
    name: str,
    owner: str,
    modified_at: float,
    *,
    capabilities: Sequence[str] = ("completion", "tools"),
    context_length: int | None = None,
) -> JsonObject:
    """The answer of /api/show for one model.

    modified_at: seconds since 1970. capabilities: of completion, tools, vision, thinking, insert, embedding.
    context_length: in tokens, None where it is not known. The template is the one that says nothing: the
    model's own is applied where it runs.
    """
    info: JsonObject = {"general.architecture": owner, "general.basename": tagged(name)}
    if context_length is not None:
        info[f"{owner}.context_length"] = context_length
    return {
        "license": "",
        "modelfile": f"FROM {tagged(name)}\nTEMPLATE {{{{ .Prompt }}}}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details(owner),
        "model_info": info,
        "capabilities": list(capabilities),
        "modified_at": _modified(modified_at),
    }


def _known(name: str, owner: str) -> JsonObject:
    full_name = tagged(name)
    return {
        "name": full_name,
        "model": full_name,
        "digest": hashlib.sha256(full_name.encode()).hexdigest(),
        "details": _details(owner),
    }


def _details(owner: str) -> JsonObject:
    return {
        "parent_model": "",
        "format": "",
        "family": owner,
        "families": [owner],
        "parameter_size": "",
        "quantization_level": "",
    }


def _modified(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}Z"
