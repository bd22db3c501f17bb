"""Anthropic's Messages API, the requests: ours to a provider of that kind, and its clients' as chat requests.

What one API says and the other says differently is translated; what would change the answer and has no
counterpart is refused by name; what only advises is left out, by the two tables below; what neither API's
documentation knows is passed on as written, for the provider to judge.
The answers are `anthropic_stream.py`'s. It counts no tokens: that takes the tokenizer of the model that will
answer, which is not known here.
Reference: platform.claude.com/docs/en/api/messages and the parameter types of Anthropic's Python SDK 2.11.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from errors import BadRequest
from wire import JsonObject, openai_chat
from wire.fields import objects_of, present, refuse_unless_harmless
from wire.tools import arguments_text, named_function, parse_arguments
from wire.turns import SYSTEM_ROLES

# What would change the answer and has no counterpart: the values that ask for nothing. Any other value is
# refused by name.
HARMLESS_IN_CHAT: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"], []),
    "audio": (),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "web_search_options": (),
    "verbosity": ("medium",),
}
HARMLESS_IN_MESSAGES: Mapping[str, tuple[Any, ...]] = {
    "container": (),
    "mcp_servers": ([],),
    "inference_geo": ("global",),
}

# What is left out, and why nobody is misled by that.
ADVISORY_IN_CHAT = {
    "stream_options": "this API always reports the usage",
    "seed": "a best effort that promises nothing",
    "store": "about OpenAI's own storage",
    "metadata": "labels of stored completions",
    "service_tier": "speed and price, of tiers that are not the same ones here",
    "prediction": "a draft that saves time, not a wish",
    "prompt_cache_key": "this API finds its cache by the text itself",
    "prompt_cache_retention": "how long to keep a cache",
    "chat_template_kwargs": "switches of a local server's template; here the provider shapes the prompt",
    "messages[].name": "a label of the speaker",
    "messages[].reasoning_content": "this API takes back only reasoning that it signed (`thinking_blocks`)",
    "messages[].content[].image_url.detail": "this API scales images by itself",
}
ADVISORY_IN_MESSAGES = {
    "thinking": "whether a model reasons is its provider's setting; `output_config.effort` is translated",
    "cache_control": "where to cut the prompt cache, on the request and on every block",
    "context_management": "which old parts may be forgotten to save tokens; here none is",
    "diagnostics": "about Anthropic's own cache",
    "service_tier": "speed and price, of tiers that are not the same ones here",
    "speed": "speed and price",
    "user_profile_id": "about Anthropic's own accounts",
    "tools[].*": "hints beside name, description, input_schema and strict",
}

BILLING_LABEL = "x-anthropic-billing-header:"
# In OpenAI's `user`: a sha256's length. OpenRouter takes 128. Claude Code's user_id is a JSON of about 180.
MOST_USER_CHARS = 64

_TRANSLATED_IN_CHAT = (
    "messages", "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p",
    "tools", "tool_choice", "parallel_tool_calls", "user", "safety_identifier",
    "reasoning_effort", "response_format",
)  # fmt: skip
_TRANSLATED_IN_MESSAGES = (
    "messages", "system", "stop_sequences", "tools", "tool_choice", "metadata", "output_config",
)  # fmt: skip

EFFORT_OF_REASONING = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max",
}  # fmt: skip
# Beyond high, few servers know the words.
REASONING_OF_EFFORT = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_ERROR_OF_STATUS = {status: type for type, status in STATUS_OF_ERROR.items()}
_THEIR_SIDE = "the API that answers this model"
_NOT_IN_A_TOOL_ID = re.compile(r"[^a-zA-Z0-9_-]")
_THINKING = ("thinking", "redacted_thinking")
# The signature of thinking that no server of this API signed. Without any, clients do not hand it back: the
# AI SDK leaves it out, and pydantic-ai says it as the user's words.
UNSIGNED = "headstart.unsigned"


def error_body(message: str, status: int, request_id: str | None = None) -> JsonObject:
    """An error in this API's envelope.

    status: the HTTP status, which decides the type. request_id: by which the owner can find the request.
    """
    type = _ERROR_OF_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": type, "message": message},
        **({"request_id": request_id} if request_id else {}),
    }


# Our chat request to a provider of this kind.


def request_of(chat_body: JsonObject, default_max_tokens: int) -> JsonObject:
    """The Messages request for a checked chat request.

    default_max_tokens: stands for `max_tokens`, which this API demands, where the client names no limit.
    A temperature above 1 becomes 1, the most that this API takes; a temperature or top_p of 1 is left out,
    since it is the default and newer models refuse the field.
    Raises BadRequest naming the field that this API cannot serve.
    """
    fields = present(chat_body)
    refuse_unless_harmless(fields, HARMLESS_IN_CHAT, _THEIR_SIDE)
    dealt_with = {*_TRANSLATED_IN_CHAT, *HARMLESS_IN_CHAT, *ADVISORY_IN_CHAT}
    request = {name: value for name, value in fields.items() if name not in dealt_with}
    request["max_tokens"] = fields.get("max_completion_tokens", fields.get("max_tokens", default_max_tokens))
    system, request["messages"] = _turns_of(fields["messages"])
    if system:
        request["system"] = system[0]["text"] if len(system) == 1 and len(system[0]) == 2 else system
    for name in ("temperature", "top_p"):
        if name in fields and not (isinstance(fields[name], (int, float)) and fields[name] >= 1):
            request[name] = fields[name]
    if fields.get("stop"):
        request["stop_sequences"] = _stop_sequences(fields["stop"])
    user = fields.get("safety_identifier", fields.get("user"))
    if user:
        request["metadata"] = {"user_id": user}
    request.update(_tools_of(fields))
    request.update(_effort_and_format_of(fields, request.get("output_config")))
    return request


def _turns_of(messages: list[JsonObject]) -> tuple[list[JsonObject], list[JsonObject]]:
    """(system blocks, turns): system messages apart, neighbours of one role put together.

    Tool results come first in their turn, as this API demands. A text of nothing but white space is left out,
    as this API refuses it.
    """
    system: list[JsonObject] = []
    turns: list[JsonObject] = []
    for i, message in enumerate(messages):
        where, role = f"messages[{i}]", message["role"]
        if role in SYSTEM_ROLES:
            system += _blocks_of(message.get("content"), f"{where}.content")
            continue
        if role == "function":
            raise BadRequest(
                f"'{where}.role' is 'function', which only 'tool' can say to this model",
                param=f"{where}.role",
                code="unsupported_value",
            )
        speaker = "assistant" if role == "assistant" else "user"
        blocks_of = {"assistant": _assistant_blocks, "tool": _tool_result, "user": _user_blocks}[role]
        blocks = blocks_of(message, where)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns:
        raise BadRequest("'messages' must hold a text besides the system's", param="messages")
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, turns


def _user_blocks(message: JsonObject, where: str) -> list[JsonObject]:
    return _blocks_of(message.get("content"), f"{where}.content")


def _assistant_blocks(message: JsonObject, where: str) -> list[JsonObject]:
    if message.get("audio"):
        raise BadRequest(
            f"'{where}.audio' cannot be sent to this model", param=f"{where}.audio", code="unsupported_value"
        )
    thinking = objects_of(_list_in(message, "thinking_blocks", where))
    blocks = [block for block in thinking if block.get("type") in _THINKING]
    blocks += _blocks_of(message.get("content"), f"{where}.content")
    if isinstance(message.get("refusal"), str):
        blocks += _blocks_of(message["refusal"], f"{where}.refusal")
    for j, call in enumerate(_list_in(message, "tool_calls", where)):
        blocks.append(_tool_use(call, f"{where}.tool_calls[{j}]"))
    return blocks


def _list_in(holder: JsonObject, name: str, where: str | None = None) -> list[Any]:
    value, where = holder.get(name), f"{where}.{name}" if where else name
    if value is not None and not isinstance(value, list):
        raise BadRequest(f"'{where}' must be a list", param=where)
    return value or []


def _tool_use(call: Any, where: str) -> JsonObject:
    function = named_function(call)
    if function is None:
        raise BadRequest(f"'{where}' must be an object with a named function", param=where)
    place = f"{where}.function.arguments"
    try:
        arguments = parse_arguments(function.get("arguments"))
    except ValueError as error:
        raise BadRequest(f"'{place}' must be a JSON object in a string: {error}", param=place) from error
    return {
        "type": "tool_use",
        "id": _tool_id(call.get("id"), f"{where}.id"),
        "name": function["name"],
        "input": arguments,
    }


def _tool_result(message: JsonObject, where: str) -> list[JsonObject]:
    content = message.get("content")
    if not isinstance(content, str):
        content = _blocks_of(content, f"{where}.content")
    return [
        {
            "type": "tool_result",
            "tool_use_id": _tool_id(message.get("tool_call_id"), f"{where}.tool_call_id"),
            "content": content,
        }
    ]


def _tool_id(id: Any, where: str) -> str:
    """An id as this API takes it.

    A conversation may bring along other servers' ids, which have points and colons in them.
    """
    if not isinstance(id, str) or not id:
        raise BadRequest(f"'{where}' must be a string", param=where)
    return _NOT_IN_A_TOOL_ID.sub("_", id)


def _blocks_of(content: Any, where: str) -> list[JsonObject]:
    """A message's content, a string, parts or None, as blocks."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    blocks = []
    for j, part in enumerate(parts):
        block = _block_of(part, f"{where}[{j}]")
        if block["type"] == "text" and not block["text"].strip():
            continue
        if part.get("cache_control"):
            block["cache_control"] = part["cache_control"]
        blocks.append(block)
    return blocks


def _block_of(part: JsonObject, where: str) -> JsonObject:
    kind = part["type"]
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return {"type": "text", "text": part[kind]}
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        return {"type": "image", "source": _image_source(url, f"{where}.image_url.url")}
    if kind == "file" and isinstance(part.get("file"), dict):
        return _document(part["file"], f"{where}.file")
    raise BadRequest(
        f"'{where}' is of type '{kind}', which this model cannot be sent",
        param=f"{where}.type",
        code="unsupported_value",
    )


def _image_source(url: Any, where: str) -> JsonObject:
    if isinstance(url, str) and url.startswith("data:"):
        media_type, data = _data_url(url, where)
        media_type = "image/jpeg" if media_type == "image/jpg" else media_type
        return {"type": "base64", "media_type": media_type, "data": data}
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise BadRequest(f"'{where}' must be a data: URL or a web address", param=where)


def _document(file: JsonObject, where: str) -> JsonObject:
    data = file.get("file_data")
    if not isinstance(data, str):
        raise BadRequest(
            f"'{where}' must carry its 'file_data'; this model knows no stored files of OpenAI",
            param=where,
            code="unsupported_value",
        )
    media_type, data = _data_url(data, f"{where}.file_data")
    document = {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}}
    return {**document, "title": file["filename"]} if file.get("filename") else document


def _data_url(url: str, where: str) -> tuple[str, str]:
    """(media type, base64 text). Cut by hand: these are megabytes."""
    head, comma, data = url.partition(",")
    media_type, *attributes = head.removeprefix("data:").split(";")
    if not comma or not head.startswith("data:") or "base64" not in attributes:
        raise BadRequest(f"'{where}' must be a data: URL in base64", param=where)
    return media_type.strip().lower(), data


def _stop_sequences(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop
    for text in stops if isinstance(stops, list) else [None]:
        if not isinstance(text, str) or not text.strip():
            raise BadRequest(
                "'stop' must be a text or a list of texts, each with more than white space for this model",
                param="stop",
            )
    return stops


def _tools_of(fields: JsonObject) -> JsonObject:
    """`tools` and `tool_choice`, as far as there is something to say."""
    tools = [_tool_of(tool, f"tools[{i}]") for i, tool in enumerate(_list_in(fields, "tools"))]
    choice = _tool_choice_of(fields.get("tool_choice"))
    if fields.get("parallel_tool_calls") is False and tools and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if not tools:
        return {"tool_choice": choice} if choice and choice["type"] in ("any", "tool") else {}
    return {"tools": tools, **({"tool_choice": choice} if choice else {})}


def _tool_of(tool: Any, where: str) -> JsonObject:
    function = named_function(tool)
    if function is None:
        raise BadRequest(
            f"'{where}' must be an object with a named function; this model knows no other tools", param=where
        )
    made = {"name": function["name"]}
    if function.get("description"):
        made["description"] = function["description"]
    schema = function.get("parameters") or {"properties": {}}
    if not isinstance(schema, dict):
        raise BadRequest(
            f"'{where}.function.parameters' must be an object", param=f"{where}.function.parameters"
        )
    made["input_schema"] = {"type": "object", **schema}
    if function.get("strict"):
        made["strict"] = True
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    return made


def _tool_choice_of(choice: Any) -> JsonObject | None:
    if choice is None or choice in ("auto", "none"):
        return choice and {"type": choice}
    if choice == "required":
        return {"type": "any"}
    function = named_function(choice)
    if function is not None:
        return {"type": "tool", "name": function["name"]}
    raise BadRequest("'tool_choice' must be auto, none, required or a named function", param="tool_choice")


def _effort_and_format_of(fields: JsonObject, output_config: Any) -> JsonObject:
    """`output_config` and `thinking` for `reasoning_effort` and `response_format`.

    Effort does not switch thinking on: which form of it a model takes, or that it takes none, differs from
    model to model, so that is the owner's to say (`extra_body`).
    """
    config = {**output_config} if isinstance(output_config, dict) else {}
    made: JsonObject = {}
    effort = fields.get("reasoning_effort")
    if effort == "none":
        made["thinking"] = {"type": "disabled"}
    elif effort is not None:
        if not isinstance(effort, str) or effort not in EFFORT_OF_REASONING:
            raise BadRequest(
                f"'reasoning_effort' must be none or one of {', '.join(EFFORT_OF_REASONING)}",
                param="reasoning_effort",
            )
        config["effort"] = EFFORT_OF_REASONING[effort]
    form = fields.get("response_format")
    if form is not None and form != {"type": "text"}:
        config["format"] = {"type": "json_schema", "schema": _schema_in(form)}
    if config:
        made["output_config"] = config
    return made


def _schema_in(form: Any) -> JsonObject:
    wanted = form.get("json_schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if isinstance(schema, dict):
        return schema
    raise BadRequest(
        "'response_format' must be text, or json_schema with a schema: this model can keep to a schema, but"
        " not to JSON of any shape",
        param="response_format",
        code="unsupported_value",
    )


# An Anthropic client's request as a chat request.

_FIELDS = {
    "model": (str, "a string"),
    "stream": (bool, "true or false"),
    "stop_sequences": (list, "a list of strings"),
    "tools": (list, "a list of tools"),
    "tool_choice": (dict, "an object"),
    "metadata": (dict, "an object"),
    "output_config": (dict, "an object"),
}
_BLOCK_FIELDS: Mapping[str, Mapping[str, type[Any]]] = {
    "text": {"text": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"title": str, "source": str, "content": list},
    "thinking": {"thinking": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
}
_BLOCKS_OF_ROLE = {
    "system": ("text",),
    "user": ("text", "image", "document", "search_result", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "tool_result": ("text", "image", "document", "search_result"),
}
HEADERS = ("anthropic-beta",)  # of a client's that belong to its request
_KINDS: Mapping[type[Any], str] = {str: "a string", dict: "an object", list: "a list"}


def _check_envelope(body: Any, limited: bool) -> None:
    """Check what holds for a Messages request whoever answers it."""
    if not isinstance(body, dict):
        raise BadRequest("the request body must be a JSON object")
    for name, (kind, expected) in _FIELDS.items():
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise BadRequest(f"'{name}' must be {expected}", param=name)
    limit = body.get("max_tokens")
    is_good = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
    if not is_good and (limited or limit is not None):
        raise BadRequest("'max_tokens' must be a whole number of at least 1", param="max_tokens")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list with at least one message", param="messages")
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant", "system"):
            where = f"messages[{i}].role"
            raise BadRequest(f"'{where}' must be user, assistant or system", param=where)
        _check_blocks(message.get("content"), f"messages[{i}].content")
    if body.get("system") is not None:
        _check_blocks(body["system"], "system")


def _check_blocks(content: Any, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or a list of blocks", param=where)
    for j, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise BadRequest(f"'{where}[{j}]' must be an object with a 'type'", param=f"{where}[{j}]")


def check_messages(body: Any, *, limited: bool = True) -> None:
    """Check a Messages request as far as the proxy itself relies on it. Raises BadRequest naming the field.

    limited: whether `max_tokens` has to be there. What is sound but only Anthropic's own servers can make
    sense of (server_tool_use and the like) is refused with one of the codes in openai_chat.BEYOND_CHAT.
    """
    _check_envelope(body, limited)
    if body.get("system") is not None:
        _check_content(body["system"], "system", "system")
    for i, message in enumerate(body["messages"]):
        _check_content(message["content"], f"messages[{i}].content", message["role"])
    for i, tool in enumerate(body.get("tools") or ()):
        _check_tool(tool, f"tools[{i}]")


def words_of(body: JsonObject) -> JsonObject:
    """A chat request that holds no more than the words of a Messages request.

    The decision is made by it where chat completions cannot say everything.
    """
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    turns = [
        (message["role"], openai_chat.text_of(message["content"])) for message in system + body["messages"]
    ]
    envelope = {name: body[name] for name in ("model", "stream", "max_tokens") if body.get(name) is not None}
    return envelope | {"messages": [{"role": role, "content": text} for role, text in turns]}


def with_system(body: JsonObject, text: str) -> JsonObject:
    """A Messages request with `text` at the end of its system prompt.

    Where there are blocks it is a block of its own, so that what is cached stays cached.
    """
    system = body.get("system") or ""
    if isinstance(system, list):
        return {**body, "system": [*system, {"type": "text", "text": text}]}
    return {**body, "system": f"{system}\n\n{text}" if system else text}


def without_unsigned_thinking(body: JsonObject) -> JsonObject:
    """A Messages request without the thinking that no server of this API signed.

    It came from another model, and this API refuses to read it.
    """
    if not any(map(_has_unsigned, body["messages"])):
        return body
    messages = [_signed_only(message) if _has_unsigned(message) else message for message in body["messages"]]
    return {**body, "messages": messages}


def _has_unsigned(message: JsonObject) -> bool:
    return isinstance(message["content"], list) and any(map(_is_unsigned, message["content"]))


def _is_unsigned(block: JsonObject) -> bool:
    return block["type"] == "thinking" and block.get("signature") in (None, "", UNSIGNED)


def _is_signed(block: JsonObject) -> bool:
    return bool(block.get("data") or (block.get("signature") and not _is_unsigned(block)))


def _signed_only(message: JsonObject) -> JsonObject:
    left = [block for block in message["content"] if not _is_unsigned(block)]
    return {**message, "content": left or [{"type": "text", "text": "(no answer)"}]}  # none may be empty


def _check_content(content: Any, where: str, role: str) -> None:
    """role: whose content it is, or "tool_result"."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or a list of blocks", param=where)
    for j, block in enumerate(content):
        _check_block(block, f"{where}[{j}]", role)


def _check_block(block: Any, where: str, role: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        raise BadRequest(f"'{where}' must be an object with a 'type'", param=where)
    if kind not in _BLOCKS_OF_ROLE[role]:
        known = ", ".join(_BLOCKS_OF_ROLE[role])
        raise BadRequest(
            f"'{where}' is of type '{kind[:60]}'; here it can be {known}",
            param=f"{where}.type",
            code="unsupported_value",
        )
    for name, type in _BLOCK_FIELDS[kind].items():
        if not isinstance(block.get(name), type):
            raise BadRequest(f"'{where}.{name}' must be {_KINDS[type]}", param=f"{where}.{name}")
    if kind in ("tool_result", "search_result") and block.get("content") is not None:
        holder = "tool_result" if kind == "tool_result" else "system"
        _check_content(block["content"], f"{where}.content", holder)


def _check_tool(tool: Any, where: str) -> None:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise BadRequest(f"'{where}' must be an object with a name", param=where)
    if tool.get("type") not in (None, "custom"):
        problem = f"'{where}' is of type '{tool['type']}', one of Anthropic's own tools"
        advice = "here a tool has a name and an input_schema"
        raise BadRequest(f"{problem}; {advice}", param=f"{where}.type", code="unsupported_value")
    if not isinstance(tool.get("input_schema"), dict):
        raise BadRequest(f"'{where}.input_schema' must be an object", param=f"{where}.input_schema")


def chat_request_of(messages_body: JsonObject) -> JsonObject:
    """The chat request for a checked Messages request.

    Signed thinking travels as `thinking_blocks` on its message, so that `request_of` can hand it back; any
    thinking as `reasoning_content`. A failed tool's result begins with "Error: ", since chat completions have
    no flag for it. An instruction in mid-conversation joins the user's turn.
    Raises BadRequest naming what chat completions cannot say.
    """
    fields = present(messages_body)
    refuse_unless_harmless(fields, HARMLESS_IN_MESSAGES, _THEIR_SIDE)
    dealt_with = {*_TRANSLATED_IN_MESSAGES, *HARMLESS_IN_MESSAGES, *ADVISORY_IN_MESSAGES}
    chat = {name: value for name, value in fields.items() if name not in dealt_with}
    system = _without_label(fields.get("system") or "")
    messages = chat["messages"] = [{"role": "system", "content": _joined_text(system)}] if system else []
    for i, message in enumerate(fields["messages"]):
        if message["role"] == "system" and i:
            _remind(messages, _joined_text(message["content"]))
        else:
            messages += _chat_messages(message, f"messages[{i}]")
    if fields.get("stop_sequences"):
        chat["stop"] = fields["stop_sequences"]
    if fields.get("tools"):
        chat["tools"] = [_function_of(tool) for tool in fields["tools"]]
    if fields.get("tool_choice"):
        chat.update(_choice_of(fields["tool_choice"]))
    if fields.get("metadata", {}).get("user_id"):
        chat["user"] = _short(fields["metadata"]["user_id"])
    chat.update(_reasoning_and_format_of(present(fields.get("output_config", {}))))
    return chat


def _without_label(system: Any) -> str | list[JsonObject]:
    """The system prompt without Claude Code's billing label, which is no instruction.

    The label differs from one conversation to the next; as the first words of the prompt it would leave a
    server nothing of the last conversation's cache.
    """
    if isinstance(system, str):
        return system
    return [block for block in system if not block["text"].startswith(BILLING_LABEL)]


def _remind(messages: list[JsonObject], text: str) -> None:
    """Add to chat messages an instruction that came in mid-conversation, as a part of the user's turn.

    Chat templates of local models (Qwen's since 3.5, Mistral's) refuse a system message anywhere but first,
    and moved there it would leave nothing of the server's cache. The tags are those in which Claude Code
    itself gives it to models that know no such message.
    """
    part = {"type": "text", "text": f"<system-reminder>\n{text}\n</system-reminder>"}
    if not messages or messages[-1]["role"] != "user":
        messages.append({"role": "user", "content": [part]})
        return
    content = messages[-1]["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    messages[-1] = {**messages[-1], "content": [*content, part]}


def _short(user: Any) -> Any:
    """A user's id that any provider takes: itself, or a digest of it."""
    if not isinstance(user, str) or len(user) <= MOST_USER_CHARS:
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _joined_text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content)


def _chat_messages(message: JsonObject, where: str) -> list[JsonObject]:
    role, content = message["role"], message["content"]
    if isinstance(content, str) or role == "system":
        return [{"role": role, "content": _joined_text(content)}]
    if role == "assistant":
        return [_assistant_message(content)]
    return _user_messages(content, f"{where}.content")


def _assistant_message(blocks: list[JsonObject]) -> JsonObject:
    of = {kind: [block for block in blocks if block["type"] == kind] for kind in _BLOCKS_OF_ROLE["assistant"]}
    message: JsonObject = {"role": "assistant", "content": "".join(block["text"] for block in of["text"])}
    if of["thinking"]:
        message["reasoning_content"] = "".join(block["thinking"] for block in of["thinking"])
    signed = [block for block in blocks if block["type"] in _THINKING and _is_signed(block)]
    if signed:
        message["thinking_blocks"] = signed
    if of["tool_use"]:
        message["tool_calls"] = [_call_of(block) for block in of["tool_use"]]
        message["content"] = message["content"] or None
    return message


def _call_of(block: JsonObject) -> JsonObject:
    function = {"name": block["name"], "arguments": arguments_text(block["input"])}
    return {"id": block["id"], "type": "function", "function": function}


def _user_messages(blocks: list[JsonObject], where: str) -> list[JsonObject]:
    """A user turn as messages: tool results, everything else, and what the results show besides text."""
    results, parts = [], []
    for j, block in enumerate(blocks):
        if block["type"] == "tool_result":
            result, shown = _tool_message(block, f"{where}[{j}]")
            results.append(result)
            parts += shown
        else:
            parts += _parts_of(block, f"{where}[{j}]")
    if len(parts) == 1 and parts[0]["type"] == "text":
        return [*results, {"role": "user", "content": parts[0]["text"]}]
    if parts or not results:
        return [*results, {"role": "user", "content": parts or ""}]
    return results


def _tool_message(block: JsonObject, where: str) -> tuple[JsonObject, list[JsonObject]]:
    """(the tool's message, the parts that its text cannot hold)."""
    content = block.get("content") or ""
    shown: list[JsonObject] = []
    if not isinstance(content, str):
        parts = _parts_of_all(content, f"{where}.content")
        content, shown = openai_chat.text_of(parts), [part for part in parts if part["type"] != "text"]
    if block.get("is_error"):
        content = f"Error: {content}"
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}, shown


def _parts_of_all(blocks: list[JsonObject], where: str) -> list[JsonObject]:
    return [part for k, block in enumerate(blocks) for part in _parts_of(block, f"{where}[{k}]")]


def _parts_of(block: JsonObject, where: str) -> list[JsonObject]:
    if block["type"] == "text":
        return [{"type": "text", "text": block["text"]}]
    if block["type"] == "search_result":
        texts = [block["title"], block["source"], *(inner["text"] for inner in block["content"])]
        return [{"type": "text", "text": "\n".join(texts)}]
    source = block["source"]
    if block["type"] == "image" and source.get("type") in ("base64", "url"):
        return [{"type": "image_url", "image_url": {"url": _url_of(source, f"{where}.source")}}]
    if block["type"] == "document" and source.get("type") == "base64":
        data = _url_of(source, f"{where}.source")
        name = block.get("title") or "document.pdf"
        return [{"type": "file", "file": {"filename": name, "file_data": data}}]
    if block["type"] == "document" and source.get("type") in ("text", "content"):
        return _document_parts(block, where)
    problem = f"'{where}.source' is of type '{source.get('type')}', which chat completions cannot carry"
    raise BadRequest(problem, param=f"{where}.source.type", code="unsupported_value")


def _document_parts(block: JsonObject, where: str) -> list[JsonObject]:
    """A document that is text: what it is called and about, and what it holds."""
    source = block["source"]
    field = "data" if source["type"] == "text" else "content"
    content = source.get(field)
    _check_content(content, f"{where}.source.{field}", "tool_result")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    labels = (block.get("title"), block.get("context"))
    head = [{"type": "text", "text": text} for text in labels if isinstance(text, str) and text]
    parts = _parts_of_all(head + blocks, f"{where}.source.{field}")
    if all(part["type"] == "text" for part in parts):
        return [{"type": "text", "text": openai_chat.text_of(parts)}]
    return parts


def _url_of(source: JsonObject, where: str) -> str:
    fields = ("url",) if source["type"] == "url" else ("media_type", "data")
    for name in fields:
        if not isinstance(source.get(name), str):
            raise BadRequest(f"'{where}.{name}' must be a string", param=f"{where}.{name}")
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source['media_type']};base64,{source['data']}"


def _function_of(tool: JsonObject) -> JsonObject:
    function = {name: tool[name] for name in ("name", "description", "strict") if tool.get(name)}
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def _choice_of(choice: JsonObject) -> JsonObject:
    kinds = {"auto": "auto", "any": "required", "none": "none"}
    kind, made = choice.get("type"), JsonObject()
    if kind == "tool" and isinstance(choice.get("name"), str):
        made["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in kinds:
        made["tool_choice"] = kinds[kind]
    else:
        problem = "'tool_choice.type' must be auto, any, none, or tool with a name"
        raise BadRequest(problem, param="tool_choice.type")
    if choice.get("disable_parallel_tool_use"):
        made["parallel_tool_calls"] = False
    return made


def _reasoning_and_format_of(config: JsonObject) -> JsonObject:
    made: JsonObject = {}
    effort, form = config.get("effort"), config.get("format")
    if effort is not None:
        if not isinstance(effort, str) or effort not in REASONING_OF_EFFORT:
            raise BadRequest(
                f"'output_config.effort' must be one of {', '.join(REASONING_OF_EFFORT)}",
                param="output_config.effort",
            )
        made["reasoning_effort"] = REASONING_OF_EFFORT[effort]
    if form is not None:
        schema = form.get("schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
        if not isinstance(schema, dict):
            problem = "'output_config.format' must be of type json_schema with a schema"
            raise BadRequest(problem, param="output_config.format")
        format = {"name": "answer", "schema": schema, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": format}
    return made
