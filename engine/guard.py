"""Validates a request's body for an embedded engine.

An OpenAI body goes in; out comes a body that mlx_lm.server can serve, or BadRequest naming the field. It is
Unserved where another provider might do what this engine cannot.

A whitelist, since mlx_lm.server believes what it reads: `model`, `adapters` and `draft_model` make it load
other weights, `chat_template_kwargs` can replace the template, and a wrong type or range deep in the sampler
once ended its only thread. A field is forwarded if it is known and valid, refused if leaving it out would
change what the answer means, and else left out. `null` means absent. Whatever wants a form of the answer
(`response_format`, a forced tool, vLLM's fields) becomes one field of our own, `constraint`.

Pure: nothing is read but the body, which is not changed. What depends on the model (its vocabulary and
context, whether a schema can be compiled) is checked by `mlx_server`, which knows the model.
"""

import json
import math
from collections.abc import Callable
from typing import Any, TypeGuard

from engine.tool_calls import MAX_CALLS, parameters
from errors import BadRequest, Reason, Unserved
from wire import JsonObject

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
TEMPLATE_SWITCHES = {"enable_thinking": bool, "thinking": bool, "reasoning_effort": str}
MOST_TOKENS = 1 << 20
MAX_STOPS = 16
MAX_STOP_CHARS = 256
MAX_BIASES = 1024  # OpenAI's limit; each one is a write into every step's logits
TINIEST_TEMPERATURE = 1e-3  # below it the scaled logits overflow; it is greedy long before
TINIEST_TOP_P = 1e-6  # 0 means "off" to mlx_lm, and "only the likeliest" to everybody else
MAX_SCHEMA_CHARS = 1 << 17  # Open WebUI's 36 tools have 25 kB together
MAX_FORCED_TOOLS = 128  # OpenAI's limit
MAX_NAME_CHARS = 256
MAX_NESTING = 64  # of JSON in a schema; OpenAI allows 10 levels of objects, of some 3 each
MAX_CHOICES = 1024
MAX_CHOICE_CHARS = 1024
MAX_REGEX_CHARS = 4096
READS_NO = {"image_url": Reason.NO_VISION, "input_audio": Reason.NO_AUDIO}
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")

Form = Callable[[Any, str], JsonObject]  # a field's value and its name -> the constraint that it makes
Check = Callable[[Any, str], Any]  # a field's value and its name -> the value for the engine


def checked(body: JsonObject) -> JsonObject:
    """The body to send to the engine for a chat body (with `messages`) or a completion body (with `prompt`).

    Raises BadRequest with `param` set to the field, such as `stop[0]` or `messages[2].content[1]`.
    """
    body = {name: value for name, value in body.items() if value is not None}
    sound: JsonObject = {"model": "default_model"}
    if "messages" in body:
        sound["messages"] = _messages(body["messages"])
        sound |= _tools(body)
    elif "prompt" in body:
        if body.pop("logprobs", False) is not False:
            refusal = "the embedded engine gives logprobs with chat completions only"
            raise Unserved(refusal, param="logprobs")
        sound["prompt"] = _prompt(body["prompt"])
    else:
        raise BadRequest("the request has neither messages nor a prompt", param="messages")
    _refuse_unsupported(body)
    if constraint := None if "constraint" in sound else _constraint(body):
        sound["constraint"] = constraint
        sound.pop("tools", None)  # the answer has its form already, in which there is no place for a call
    for name, check in CHECKS.items():
        if name in body:
            sound[name] = check(body[name], name)
    return _reconciled(sound, body)


def _reconciled(sound: JsonObject, body: JsonObject) -> JsonObject:
    """Decides what takes more than one field to decide."""
    if "max_completion_tokens" in body:
        sound["max_tokens"] = _max_tokens(body["max_completion_tokens"], "max_completion_tokens")
    if sound.get("temperature", 0) < TINIEST_TEMPERATURE:
        sound.pop("temperature", None)
        # Greedy decoding draws nothing, and a seed would make the engine serve this request alone.
        sound.pop("seed", None)
    if sound.get("stream") and (body.get("stream_options") or {}).get("include_usage") is True:
        sound["stream_options"] = {"include_usage": True}
    if sound.get("top_k", 0) < 1:
        sound.pop("top_k", None)
    if not sound.get("logprobs"):
        sound.pop("top_logprobs", None)
    return sound


def _refuse_unsupported(body: JsonObject) -> None:
    for name, only in HONOURED_ONLY_AS.items():
        if body.get(name, only[0]) not in only:
            raise Unserved(f"the embedded engine cannot do {name}={_shown(body[name])}", param=name)
    for name in UNSUPPORTED:
        if body.get(name):
            raise Unserved(f"the embedded engine has no {name}", param=name)
    if not isinstance(body.get("stream_options", {}), dict):
        raise BadRequest("stream_options must be an object", param="stream_options")


def _messages(messages: Any) -> list[JsonObject]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list of at least one message", param="messages")
    return [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]


def _message(message: Any, where: str) -> JsonObject:
    if not isinstance(message, dict):
        raise BadRequest("a message must be an object", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(f"the role must be one of {', '.join(ROLES)}", param=f"{where}.role")
    sound: JsonObject = {"role": ROLES[role], "content": _content(message.get("content"), f"{where}.content")}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name) is not None:
            sound[name] = _text(message[name], f"{where}.{name}")
    if message.get("tool_calls"):
        sound["tool_calls"] = _tool_calls(message["tool_calls"], f"{where}.tool_calls")
    return sound


def _content(content: Any, where: str) -> str:
    """The content's parts as one text.

    None (an assistant that only called tools) becomes an empty one, since templates add it to other texts.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return _text(content, where)
    if not isinstance(content, list):
        raise BadRequest("content must be a string or a list of parts", param=where)
    texts = []
    for i, part in enumerate(content):
        if not isinstance(part, dict):
            raise BadRequest("a content part must be an object", param=f"{where}[{i}]")
        if part.get("type") != "text":
            refusal = f"the embedded engine reads text only, not {_shown(part.get('type'))}"
            raise Unserved(refusal, f"{where}[{i}]", READS_NO.get(str(part.get("type")), Reason.UNSUPPORTED))
        texts.append(_text(part.get("text"), f"{where}[{i}].text"))
    return "\n".join(texts)


def _tool_calls(calls: Any, where: str) -> list[JsonObject]:
    if not isinstance(calls, list):
        raise BadRequest("tool_calls must be a list", param=where)
    sound = []
    for i, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise BadRequest("a tool call must be an object with a function", param=f"{where}[{i}]")
        arguments = function.get("arguments") or "{}"
        if not _is_json_object(arguments):
            refusal = "arguments must be a JSON object in a string"
            raise BadRequest(refusal, param=f"{where}[{i}].function.arguments")
        name = _text(function.get("name"), f"{where}[{i}].function.name")
        call_id = _text(call.get("id") or "", f"{where}[{i}].id")
        sound.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})
    return sound


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _tools(body: JsonObject) -> JsonObject:
    """The tools that the model is shown, and the constraint to call them where the client wants that.

    Keys: `tools` and `constraint`, each only where there is one.
    """
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list", param="tools")
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not _is_named(function):
            raise BadRequest("a tool must be an object with a named function", param=f"tools[{i}]")
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return {}
    if choice == "auto":
        return {"tools": tools} if tools else {}
    return _forced(dict(enumerate(tools)) if choice == "required" else _chosen(choice, tools), body)


def _is_named(function: Any) -> TypeGuard[JsonObject]:
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _chosen(choice: Any, tools: list[JsonObject]) -> dict[int, JsonObject]:
    """The tools that tool_choice names, by their place among the client's."""
    is_function = isinstance(choice, dict) and choice.get("type") == "function"
    function = choice.get("function") if is_function else None
    if not _is_named(function):
        refusal = "tool_choice must be none, auto, required or a function with its name"
        raise BadRequest(refusal, param="tool_choice")
    return {i: tool for i, tool in enumerate(tools) if tool["function"]["name"] == function["name"]}


def _forced(tools: dict[int, JsonObject], body: JsonObject) -> JsonObject:
    """The tools, and the constraint that one of them is called.

    tools: those that may be called, by their place among the client's.
    """
    if not 0 < len(tools) <= MAX_FORCED_TOOLS:
        refusal = f"there is no such tool, or there are more than {MAX_FORCED_TOOLS}"
        raise BadRequest(refusal, param="tool_choice")
    if body.get("logprobs"):
        raise Unserved("the embedded engine gives no logprobs with a forced tool call", param="logprobs")
    for i, tool in tools.items():
        where, name = f"tools[{i}].function", tool["function"]["name"]
        if not 0 < len(name) <= MAX_NAME_CHARS or name != _text(name, where):
            raise BadRequest(f"must have 1 to {MAX_NAME_CHARS} whole characters", param=f"{where}.name")
        schema = _schema(parameters(tool), f"{where}.parameters")
        if schema.get("type", "object") != "object":
            raise BadRequest("the arguments of a function must be an object", param=f"{where}.parameters")
    # All of them together must keep within a schema's size, too.
    _schema({tool["function"]["name"]: parameters(tool) for tool in tools.values()}, "tools")
    most = MAX_CALLS if body.get("parallel_tool_calls") is True and body["tool_choice"] == "required" else 1
    return {"tools": list(tools.values()), "constraint": {"calls": most, "at": list(tools)}}


def _constraint(body: JsonObject) -> JsonObject | None:
    """What the answer is held to, from OpenAI's `response_format` or vLLM's fields; None where it is free."""
    names = [name for name in FORMS if name in body and not _is_plain_text(body[name])]
    if len(names) > 1:
        raise BadRequest(f"an answer can be held to {names[0]} or to {names[1]}, not to both", param=names[1])
    return FORMS[names[0]](body[names[0]], names[0]) if names else None


def _is_plain_text(form: Any) -> bool:
    return isinstance(form, dict) and form.get("type") == "text"


def _response_format(form: Any, name: str) -> JsonObject:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":  # llama.cpp takes a schema here
        return _json_form(form.get("schema") or ANY_OBJECT, f"{name}.schema")
    if kind != "json_schema":
        refusal = "response_format must be an object of the type text, json_object or json_schema"
        raise BadRequest(refusal, param=f"{name}.type")
    inner = form.get("json_schema")
    if not isinstance(inner, dict) or "schema" not in inner:
        raise BadRequest("json_schema must be an object with a schema", param=f"{name}.json_schema")
    return _json_form(inner["schema"], f"{name}.json_schema.schema")


def _structured_outputs(form: Any, name: str) -> JsonObject:
    """vLLM's successor of its guided_ fields, with one of them in it."""
    kinds = [kind for kind in STRUCTURES if isinstance(form, dict) and form.get(kind) is not None]
    if len(kinds) != 1:
        refusal = f"structured_outputs must be an object with one of {', '.join(STRUCTURES)}"
        raise BadRequest(refusal, param=name)
    return STRUCTURES[kinds[0]](form[kinds[0]], f"{name}.{kinds[0]}")


def _json_form(schema: Any, name: str) -> JsonObject:
    if isinstance(schema, str):  # vLLM takes the schema as a text too
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise BadRequest("the schema is no JSON", param=name) from None
    return {"json": _schema(schema, name), "param": name}


def _choice_form(choices: Any, name: str) -> JsonObject:
    if not isinstance(choices, list) or not 0 < len(choices) <= MAX_CHOICES:
        raise BadRequest(f"must be a list of 1 to {MAX_CHOICES} strings", param=name)
    for i, choice in enumerate(choices):
        if not 0 < len(_text(choice, f"{name}[{i}]")) <= MAX_CHOICE_CHARS:
            raise BadRequest(f"must have 1 to {MAX_CHOICE_CHARS} characters", param=f"{name}[{i}]")
    return {"choice": [_text(choice, name) for choice in choices], "param": name}


def _regex_form(regex: Any, name: str) -> JsonObject:
    if not 0 < len(_text(regex, name)) <= MAX_REGEX_CHARS:
        raise BadRequest(f"must have 1 to {MAX_REGEX_CHARS} characters", param=name)
    return {"regex": _text(regex, name), "param": name}


def _schema(schema: Any, where: str) -> JsonObject:
    """The schema, if the engine can bear its size and depth; what it means is the engine's to judge."""
    if not isinstance(schema, dict):
        raise BadRequest("the schema must be an object", param=where)
    if _is_deeper(schema, MAX_NESTING):
        raise Unserved(f"the schema is nested more than {MAX_NESTING} deep", param=where)
    try:
        chars = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:  # a lone surrogate or a number that JSON has not
        raise BadRequest("the schema is no JSON", param=where) from error
    if chars > MAX_SCHEMA_CHARS:
        raise Unserved(f"the schema has {chars} characters, more than {MAX_SCHEMA_CHARS}", param=where)
    return schema


def _is_deeper(value: JsonObject | list[Any], levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        items = [item for node in layer for item in (node.values() if isinstance(node, dict) else node)]
        layer = [item for item in items if isinstance(item, (dict, list))]
        if not layer:
            return False
    return True


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise Unserved("the embedded engine takes one prompt, as a string", param="prompt")
    if not prompt:
        raise BadRequest("the prompt is empty", param="prompt")
    return _text(prompt, "prompt")


def _text(value: Any, where: str) -> str:
    """The text with lone surrogates replaced: JSON can spell them, no tokenizer can read them."""
    if not isinstance(value, str):
        raise BadRequest("must be a string", param=where)
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.translate(SURROGATES)
    return value


def _stop(value: Any, name: str) -> list[str]:
    stops: Any = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise BadRequest(f"stop must be a string or a list of at most {MAX_STOPS}", param=name)
    for i, stop in enumerate(stops):
        where = name if isinstance(value, str) else f"{name}[{i}]"
        if not 0 < len(_text(stop, where)) <= MAX_STOP_CHARS:
            raise BadRequest(f"must have 1 to {MAX_STOP_CHARS} characters", param=where)
    return [_text(stop, name) for stop in stops]


def _logit_bias(value: Any, name: str) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > MAX_BIASES:
        raise BadRequest(f"logit_bias must be an object of at most {MAX_BIASES} token ids", param=name)
    for token_id in value:
        # isdecimal alone lets other scripts' digits through, and int() caps what it will read.
        if not (token_id.isascii() and token_id.isdecimal() and len(token_id) < 10):
            raise BadRequest("a token id must be a whole number", param=f"{name}.{token_id[:20]}")
    bias_of = _number(-100, 100)
    return {token_id: bias_of(bias, f"{name}.{token_id}") for token_id, bias in value.items()}


def _seed(value: Any, name: str) -> int:
    """Any 64-bit whole number; MLX takes no negative ones."""
    return _integer(-(2**63), 2**64 - 1)(value, name) & (2**64 - 1)


def _max_tokens(value: Any, name: str) -> int:
    """At most MOST_TOKENS; the engine cuts it further, to what is left of its context."""
    return min(_integer(1)(value, name), MOST_TOKENS)


def _top_p(value: Any, name: str) -> float:
    return max(_number(0, 1)(value, name), TINIEST_TOP_P)


def _template_switches(value: Any, name: str) -> JsonObject:
    if not isinstance(value, dict):
        raise BadRequest("chat_template_kwargs must be an object", param=name)
    sound: JsonObject = {}
    for switch, kind in TEMPLATE_SWITCHES.items():
        if value.get(switch) is None:
            continue
        if not isinstance(value[switch], kind):
            raise BadRequest(f"must be a {kind.__name__}", param=f"{name}.{switch}")
        sound[switch] = _text(value[switch], f"{name}.{switch}") if kind is str else value[switch]
    return sound


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequest("must be true or false", param=name)
    return value


def _number(low: float, high: float) -> Callable[[Any, str], float]:
    """A check that a value is a number from low to high.

    It returns a float: mlx_lm takes no whole number for some.
    """

    def check(value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadRequest("must be a number", param=name)
        if not low <= value <= high:  # NaN fails this too
            raise BadRequest(f"must be from {low:g} to {high:g}", param=name)
        return float(value)

    return check


def _integer(low: int, high: float = math.inf) -> Callable[[Any, str], int]:
    """A check that a value is a whole number from low to high.

    100.0 is one, as some clients have no other numbers.
    """
    bounds = f"at least {low}" if high == math.inf else f"from {low} to {high}"

    def check(value: Any, name: str) -> int:
        if not _is_whole(value):
            raise BadRequest("must be a whole number", param=name)
        if not low <= value <= high:
            raise BadRequest(f"must be {bounds}", param=name)
        return int(value)

    return check


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return repr(value)[:40]


CHECKS: dict[str, Check] = {
    "stream": _boolean,
    "max_tokens": _max_tokens,
    "temperature": _number(0, 100),
    "top_p": _top_p,
    "top_k": _integer(-1),  # -1 and 0: off
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0, 10),
    "repetition_context_size": _integer(1, 4096),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "xtc_probability": _number(0, 1),
    "xtc_threshold": _number(0, 0.5),
    "stop": _stop,
    "logit_bias": _logit_bias,
    "seed": _seed,
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 11),  # mlx_lm's most
    "chat_template_kwargs": _template_switches,
}

# The values that change nothing; the first is the default.
HONOURED_ONLY_AS: dict[str, Any] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "modalities": (["text"], []),
    "function_call": ("auto", "none"),
}

ANY_OBJECT = {"type": "object"}

# What vLLM's fields hold an answer to, after `guided_`.
STRUCTURES: dict[str, Form] = {"json": _json_form, "choice": _choice_form, "regex": _regex_form}

# The fields that give an answer its form.
FORMS: dict[str, Form] = {
    "response_format": _response_format,
    "structured_outputs": _structured_outputs,
    **{f"guided_{kind}": form for kind, form in STRUCTURES.items()},
}

# Other servers' fields that shape the answer.
UNSUPPORTED = (
    "functions", "audio", "web_search_options", "guided_grammar", "grammar", "json_schema",
    "min_tokens", "ignore_eos", "mirostat", "adapters", "draft_model",
)  # fmt: skip
