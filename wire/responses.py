"""OpenAI's Responses API, the requests: its clients' in the words of chat completions.

What one API says and the other says differently is translated; what would change the answer and cannot be
said in chat completions is refused by name, with what to do instead; what only advises is left out, by the
table below; what the API's documentation does not know is passed on as written, for the provider to judge.
What is stored is not known here: `response_store.py` puts it in the place of what refers to it, and any
reference left is refused. The answers are `responses_stream.py`'s.
Reference: platform.openai.com/docs/api-reference/responses/create and the parameter types of OpenAI's Python
SDK 3.52.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from errors import BadRequest
from wire import JsonObject, openai_chat
from wire.fields import present

# What would change the answer and has no counterpart: the values that ask for nothing, and what to do instead
# of any other.
REFUSED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "previous_response_id": (
        (),
        "it is not known here, or no longer; send the whole conversation as 'input'",
    ),
    "conversation": ((), "no conversation is stored here; send it whole as 'input'"),
    "prompt": ((), "no prompt template is stored here; send its text as 'instructions' and 'input'"),
    "background": (
        (False,),
        "nothing runs in the background here; leave it out and read the answer, or its stream",
    ),
    "moderation": ((), "nothing moderates here; leave it out"),
    "truncation": (("disabled", "auto"), "it must be disabled or auto"),
    "messages": ((), "it belongs to /v1/chat/completions; here the conversation is called 'input'"),
    "n": ((1,), "this API has one answer; leave it out"),
}

# What is left out, and why nobody is misled by that.
ADVISORY = {
    "store": "whether the answer may be referred to later, which is `response_store.py`'s",
    "metadata": "labels of what is stored; the answer repeats them",
    "service_tier": "speed and price, of tiers that are not the same ones here",
    "access_programs": "about OpenAI's own accounts",
    "prompt_cache_key": "a hint for finding OpenAI's cache",
    "prompt_cache_options": "where to cut OpenAI's cache and how long to keep it",
    "prompt_cache_retention": "how long to keep OpenAI's cache",
    "stream_options": "random letters that hide the length of what is streamed; the usage is always told",
    "truncation": "`auto` cuts what is too long; here the provider refuses it; the answer says `disabled`",
    "context_management": "which old parts may be summed up to save tokens; here none is",
    "max_tool_calls": "a limit for OpenAI's own tools, which are refused",
    "image": "how to save tokens on images",
    "reasoning.*": "hints beside `effort`: the reasoning is given as it is",
    "tools[].*": "hints beside name, description, parameters and strict",
    "input[].*": "`id`, `status` and `phase` of what an earlier answer said",
    "input[].content[].*": "annotations and logprobs of what an earlier answer said, and cache marks",
    "input[].encrypted_content": "reasoning that only the server which sealed it can open; ours is opened",
}

# What a client may ask to be included, and why it gets it, or misses nothing.
INCLUDED = {
    "message.output_text.logprobs": "translated",
    "reasoning.encrypted_content": "reasoning is given openly, and sealed too where its provider signed it",
    "message.input_image.image_url": "about what is stored",
}

SEAL = "headstart."  # begins reasoning that this module sealed: the provider's signed blocks, in base64

_TRANSLATED = (
    "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens",
    "text", "reasoning", "include", "top_logprobs",
)  # fmt: skip
_KINDS: Mapping[type[Any], str] = {
    str: "a string",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    int: "a whole number",
}
_FIELDS: Mapping[str, type[Any]] = {
    "model": str,
    "stream": bool,
    "instructions": str,
    "tools": list,
    "parallel_tool_calls": bool,
    "text": dict,
    "reasoning": dict,
    "include": list,
    "metadata": dict,
    "stream_options": dict,
    "background": bool,
    "store": bool,
    "previous_response_id": str,
    "max_output_tokens": int,
    "top_logprobs": int,
}
_STORED = ("previous_response_id", "conversation", "prompt")  # what a request can be about besides its input
_ROLES = ("user", "assistant", "system", "developer")
# Clients mix up the first two, and bring the third from chat completions.
_TEXTS = ("input_text", "output_text", "text")
_DETAILS = {"original": "high"}  # what chat completions call differently


def check_request(body: Any) -> None:
    """Check what holds for a Responses request whoever answers it: fields, roles, and that there is content.

    Raises BadRequest naming the field.
    """
    if not isinstance(body, dict):
        raise BadRequest("the request body must be a JSON object")
    for name, kind in _FIELDS.items():
        _check_kind(body.get(name), kind, name)
    limit = body.get("max_output_tokens")
    if limit is not None and limit < 1:
        raise BadRequest("'max_output_tokens' must be at least 1", param="max_output_tokens")
    items = body.get("input")
    if items in (None, []) and all(body.get(name) is None for name in _STORED):
        hint = "; 'messages' belongs to /v1/chat/completions" if body.get("messages") else ""
        raise BadRequest(
            f"'input' must be a text or a list with at least one item{hint}",
            param="input",
            code="missing_required_parameter",
        )
    if items is not None and not isinstance(items, (str, list)):
        raise BadRequest("'input' must be a string or a list of items", param="input")
    for i, item in enumerate(items if isinstance(items, list) else ()):
        _check_item(item, f"input[{i}]")


def _check_kind(value: Any, kind: type[Any], where: str) -> None:
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise BadRequest(f"'{where}' must be {_KINDS[kind]}", param=where)


def _check_item(item: Any, where: str) -> None:
    if not isinstance(item, dict) or not isinstance(_kind_of(item), str):
        raise BadRequest(
            f"'{where}' must be an object with a 'type', or a message with a 'role'", param=where
        )
    if _kind_of(item) != "message":
        return
    if item.get("role") not in _ROLES:
        raise BadRequest(f"'{where}.role' must be one of {', '.join(_ROLES)}", param=f"{where}.role")
    content = item.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"'{where}.content' must be a string or a list of parts", param=f"{where}.content")
    for j, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            where = f"{where}.content[{j}]"
            raise BadRequest(f"'{where}' must be an object with a 'type'", param=where)


def _kind_of(item: JsonObject) -> Any:
    """An item's type; a message may do without."""
    return item.get("type") or ("message" if "role" in item else None)


def words_of(body: JsonObject) -> JsonObject:
    """A chat request that holds no more than the words of a checked request.

    The decision is made by it where chat completions cannot say everything.
    """
    items = body.get("input") or ""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    for item in items:
        if _kind_of(item) == "message":
            messages.append({"role": item["role"], "content": openai_chat.text_of(item.get("content"))})
    return _picked(body, "model", "stream") | {"messages": messages or [{"role": "user", "content": ""}]}


def with_system(body: JsonObject, text: str) -> JsonObject:
    """A Responses request with `text` at the end of its instructions."""
    instructions = body.get("instructions")
    return {**body, "instructions": f"{instructions}\n\n{text}" if instructions else text}


def chat_request_of(body: JsonObject) -> JsonObject:
    """The chat request for a checked Responses request.

    `max_output_tokens` becomes `max_tokens`, the name that every server knows. What stands in front of the
    conversation becomes one system message, since many chat templates take no second one.
    Raises BadRequest naming what is unsound, or, with a code of openai_chat.BEYOND_CHAT, what chat
    completions cannot say.
    """
    fields = present(body)
    for name, (harmless, advice) in REFUSED.items():
        if name in fields and fields[name] not in harmless:
            raise BadRequest(
                f"'{name}' cannot be served for this model: {advice}",
                param=name,
                code="unsupported_parameter",
            )
    dealt_with = {*_TRANSLATED, *REFUSED, *ADVISORY}
    chat = {name: value for name, value in fields.items() if name not in dealt_with}
    chat["messages"] = _messages_of(fields)
    if "max_output_tokens" in fields:
        chat["max_tokens"] = fields["max_output_tokens"]
    chat.update(_tools_of(fields))
    chat.update(_text_of(fields.get("text", {})))
    chat.update(_logprobs_of(fields))
    effort = fields.get("reasoning", {}).get("effort")
    if effort is not None:
        _check_kind(effort, str, "reasoning.effort")
        chat["reasoning_effort"] = effort
    return chat


def _beyond(where: str, problem: str, name: str | None = None) -> BadRequest:
    """The refusal of something sound that cannot be said. name: of the field to blame, None for `where`."""
    return BadRequest(f"'{where}' {problem}", param=name or where, code="unsupported_value")


# The conversation.


def _messages_of(fields: JsonObject) -> list[JsonObject]:
    items = fields.get("input", [])
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = _Messages(fields.get("instructions"))
    for i, item in enumerate(items):
        messages.add(item, f"input[{i}]")
    return messages.all()


class _Messages:
    """Chat messages, put together from items.

    What one answer says in several items is one assistant message. Whatever tools show besides text follows
    the last of their results.
    """

    def __init__(self, instructions: str | None) -> None:
        self._messages: list[JsonObject] = []
        if instructions:
            self._messages.append({"role": "system", "content": instructions})
        self._turn: JsonObject | None = None  # the assistant message that is being put together
        self._shown: list[JsonObject] = []  # parts of tool results that a tool's message cannot hold

    def all(self) -> list[JsonObject]:
        """The messages, whole."""
        self._end_results()
        for message in self._messages:
            if message["content"] is None and "tool_calls" not in message:
                message["content"] = ""
        return self._messages

    def add(self, item: JsonObject, where: str) -> None:
        """Add an item. Raises BadRequest naming it by `where`."""
        kind = _kind_of(item)
        if kind == "message":
            self._add_message(item, where)
        elif kind == "reasoning":
            self._add_reasoning(item, where)
        elif kind == "function_call":
            self._assistant().setdefault("tool_calls", []).append(_call_of(item, where))
        elif kind == "function_call_output":
            self._add_result(item, where)
        elif kind == "item_reference":
            problem = "refers to an item that is not known here, or no longer"
            advice = "send the item itself, as clients do with `store: false`"
            raise _beyond(where, f"{problem}; {advice}", f"{where}.type")
        else:
            problem = f"is of type '{kind[:60]}', which only OpenAI's own servers understand; leave it out"
            raise _beyond(where, problem, f"{where}.type")

    def _add_message(self, item: JsonObject, where: str) -> None:
        role, content, where = item["role"], item.get("content") or "", f"{where}.content"
        if role == "assistant":
            self._add_answer(content, where)
        elif role == "user":
            content = content if isinstance(content, str) else _user_content(content, where)
            self._append({"role": "user", "content": content})
        else:
            self._instruct(content if isinstance(content, str) else _joined_texts(content, where))

    def _append(self, message: JsonObject) -> None:
        self._end_results()
        self._turn = None
        self._messages.append(message)

    def _assistant(self) -> JsonObject:
        if self._turn is not None:
            return self._turn
        turn: JsonObject = {"role": "assistant", "content": None}
        self._append(turn)
        self._turn = turn
        return turn

    def _instruct(self, text: str) -> None:
        if len(self._messages) == 1 and self._messages[0]["role"] == "system":
            self._messages[0]["content"] += f"\n\n{text}"
        else:
            self._append({"role": "system", "content": text})

    def _add_answer(self, content: Any, where: str) -> None:
        turn, texts, refusals = self._assistant(), [], []
        parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
        for j, part in enumerate(parts):
            if part["type"] == "refusal":
                _check_given(part, "refusal", str, f"{where}[{j}]")
                refusals.append(part["refusal"])
            else:
                texts.append(_text_in(part, f"{where}[{j}]"))
        turn["content"] = "\n".join(text for text in (turn["content"], "".join(texts)) if text)
        if refusals:
            turn["refusal"] = "".join(refusals)

    def _add_reasoning(self, item: JsonObject, where: str) -> None:
        turn, thought = self._assistant(), ""
        for name in ("content", "summary"):
            _check_kind(item.get(name), list, f"{where}.{name}")
            thought = thought or _thought_in(item.get(name) or [], f"{where}.{name}")
        if thought:
            before = turn.get("reasoning_content")
            turn["reasoning_content"] = f"{before}\n{thought}" if before else thought
        signed = unsealed(item.get("encrypted_content"))
        if signed:
            turn["thinking_blocks"] = [*turn.get("thinking_blocks", []), *signed]

    def _add_result(self, item: JsonObject, where: str) -> None:
        id, output = item.get("call_id"), item.get("output")
        if not isinstance(id, str):
            raise BadRequest(f"'{where}.call_id' must be a string", param=f"{where}.call_id")
        shown: list[JsonObject] = []
        if output and not isinstance(output, str):
            output, shown = _result_in(output, f"{where}.output")
        self._turn = None
        self._messages.append({"role": "tool", "tool_call_id": id, "content": output or ""})
        self._shown += shown

    def _end_results(self) -> None:
        if self._shown:
            self._messages.append({"role": "user", "content": self._shown})
            self._shown = []


def _thought_in(parts: list[Any], where: str) -> str:
    for j, part in enumerate(parts):
        if not isinstance(part, dict):
            raise BadRequest(f"'{where}[{j}]' must be an object", param=f"{where}[{j}]")
        _check_given(part, "text", str, f"{where}[{j}]")
    return "\n\n".join(part["text"] for part in parts)


def _call_of(item: JsonObject, where: str) -> JsonObject:
    for name in ("call_id", "name", "arguments"):
        _check_given(item, name, str, where)
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _result_in(output: Any, where: str) -> tuple[str, list[JsonObject]]:
    """(text, the parts that are none) of a tool's output in parts."""
    if not isinstance(output, list):
        raise BadRequest(f"'{where}' must be a string or a list of parts", param=where)
    parts = []
    for j, part in enumerate(output):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise BadRequest(f"'{where}[{j}]' must be an object with a 'type'", param=f"{where}[{j}]")
        parts.append(_part_of(part, f"{where}[{j}]"))
    return openai_chat.text_of(parts), [part for part in parts if part["type"] != "text"]


def _user_content(content: list[JsonObject], where: str) -> str | list[JsonObject]:
    parts = [_part_of(part, f"{where}[{j}]") for j, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _joined_texts(content: list[JsonObject], where: str) -> str:
    return "\n".join(_text_in(part, f"{where}[{j}]") for j, part in enumerate(content))


def _text_in(part: JsonObject, where: str) -> str:
    if part["type"] not in _TEXTS:
        raise _beyond(where, f"is of type '{part['type'][:60]}'; here it can only be text", f"{where}.type")
    _check_given(part, "text", str, where)
    return str(part["text"])


def _part_of(part: JsonObject, where: str) -> JsonObject:
    kind = part["type"]
    if kind in _TEXTS:
        return {"type": "text", "text": _text_in(part, where)}
    if part.get("file_id"):
        problem = "names a file that is not stored here"
        advice = "send what it holds, as a data: URL in `image_url` or as `file_data`"
        raise _beyond(f"{where}.file_id", f"{problem}; {advice}")
    if kind == "input_image":
        return _image_part(part, where)
    if kind == "input_file":
        return _file_part(part, where)
    if kind == "input_audio":
        _check_given(part, "input_audio", dict, where)
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise _beyond(where, f"is of type '{kind[:60]}', which chat completions cannot carry", f"{where}.type")


def _image_part(part: JsonObject, where: str) -> JsonObject:
    _check_given(part, "image_url", str, where)
    image = {"url": part["image_url"]}
    if part.get("detail"):
        image["detail"] = _detail_of(part["detail"], where)
    return {"type": "image_url", "image_url": image}


def _file_part(part: JsonObject, where: str) -> JsonObject:
    if part.get("file_url") and not part.get("file_data"):
        problem = "cannot be fetched for this model; send what it holds as `file_data`"
        raise _beyond(f"{where}.file_url", problem)
    _check_given(part, "file_data", str, where)
    _check_kind(part.get("filename"), str, f"{where}.filename")
    name = {"filename": part["filename"]} if part.get("filename") else {}
    return {"type": "file", "file": {**name, "file_data": part["file_data"]}}


def _detail_of(detail: Any, where: str) -> str:
    _check_kind(detail, str, f"{where}.detail")
    return str(_DETAILS.get(detail, detail))


def _check_given(holder: JsonObject, name: str, kind: type[Any], where: str) -> None:
    if not isinstance(holder.get(name), kind):
        raise BadRequest(f"'{where}.{name}' must be {_KINDS[kind]}", param=f"{where}.{name}")


def sealed(blocks: list[JsonObject]) -> str:
    """Signed reasoning as text that a client hands back unread.

    Other APIs need these `thinking_blocks` word for word in the next turn.
    """
    return SEAL + base64.b64encode(openai_chat.dumps(blocks)).decode()


def unsealed(text: Any) -> list[JsonObject]:
    """The blocks in what `sealed` gave; [] for anything else, such as another server's."""
    if not isinstance(text, str) or not text.startswith(SEAL):
        return []
    try:
        blocks = json.loads(base64.b64decode(text.removeprefix(SEAL), validate=True))
    except (ValueError, RecursionError):
        return []
    return blocks if isinstance(blocks, list) and all(isinstance(block, dict) for block in blocks) else []


# Tools, format and what else shapes the answer.


def _tools_of(fields: JsonObject) -> JsonObject:
    """`tools` and what belongs to them, where there are any: without, many servers take neither."""
    tools = [_tool_of(tool, f"tools[{i}]") for i, tool in enumerate(fields.get("tools") or ())]
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice)
    else:
        choice = _choice_of(choice)
    if not tools:
        return {} if choice in (None, "auto", "none") else {"tool_choice": choice}
    offer = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": fields.get("parallel_tool_calls")}
    return present(offer)


def _tool_of(tool: Any, where: str) -> JsonObject:
    if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
        raise BadRequest(f"'{where}' must be an object with a 'type'", param=where)
    if tool["type"] != "function":
        problem = f"is of type '{tool['type'][:60]}', a tool that only OpenAI's own servers know"
        raise _beyond(where, f"{problem}; leave it out, or offer a function instead", f"{where}.type")
    _check_given(tool, "name", str, where)
    for name, kind in (("description", str), ("parameters", dict), ("strict", bool)):
        _check_kind(tool.get(name), kind, f"{where}.{name}")
    return {"type": "function", "function": _picked(tool, "name", "description", "parameters", "strict")}


def _picked(holder: JsonObject, *names: str) -> JsonObject:
    """Those of the fields that have a value."""
    return {name: holder[name] for name in names if holder.get(name) is not None}


def _choice_of(choice: Any) -> Any:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        problem = "'tool_choice' must be auto, none, required or an object with a 'type'"
        raise BadRequest(problem, param="tool_choice")
    if choice["type"] != "function":
        problem = f"is '{choice['type'][:60]}', a tool that only OpenAI's own servers know"
        raise _beyond("tool_choice.type", problem)
    _check_given(choice, "name", str, "tool_choice")
    return {"type": "function", "function": {"name": choice["name"]}}


def _allowed(tools: list[JsonObject], choice: JsonObject) -> tuple[list[JsonObject], str]:
    """(the tools that may be called, auto or required): to offer no others is to forbid them."""
    _check_given(choice, "tools", list, "tool_choice")
    if choice.get("mode") not in ("auto", "required"):
        raise BadRequest("'tool_choice.mode' must be auto or required", param="tool_choice.mode")
    allowed = [_choice_of(tool) for tool in choice["tools"] if isinstance(tool, dict)]
    names = {tool["function"]["name"] for tool in allowed}
    offered = {tool["function"]["name"] for tool in tools}
    if not names or len(allowed) != len(choice["tools"]) or not names <= offered:
        problem = "'tool_choice.tools' must name tools that are in 'tools'"
        raise BadRequest(problem, param="tool_choice.tools")
    return [tool for tool in tools if tool["function"]["name"] in names], choice["mode"]


def _text_of(text: JsonObject) -> JsonObject:
    """`response_format` and `verbosity`, where they differ from the default."""
    form, verbosity = text.get("format"), text.get("verbosity")
    made: JsonObject = {}
    if verbosity not in (None, "medium"):
        _check_kind(verbosity, str, "text.verbosity")
        made["verbosity"] = verbosity
    if form is None:
        return made
    if not isinstance(form, dict) or not isinstance(form.get("type"), str):
        raise BadRequest("'text.format' must be an object with a 'type'", param="text.format")
    if form["type"] == "json_object":
        made["response_format"] = {"type": "json_object"}
    elif form["type"] == "json_schema":
        _check_given(form, "name", str, "text.format")
        _check_given(form, "schema", dict, "text.format")
        schema = _picked(form, "name", "description", "schema", "strict")
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form["type"] != "text":
        problem = f"is '{form['type'][:60]}'; here it can be text, json_object or json_schema"
        raise _beyond("text.format.type", problem)
    return made


def _logprobs_of(fields: JsonObject) -> JsonObject:
    included, count = fields.get("include", []), fields.get("top_logprobs")
    for i, name in enumerate(included):
        _check_kind(name, str, f"include[{i}]")
        if name not in INCLUDED:
            problem = f"is '{str(name)[:60]}', of which this model's answers have nothing; leave it out"
            raise _beyond(f"include[{i}]", problem)
    if not count and "message.output_text.logprobs" not in included:
        return {}
    return {"logprobs": True} if count is None else {"logprobs": True, "top_logprobs": count}
