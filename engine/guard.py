"""What an embedded engine may be asked: an OpenAI body in, a body that mlx_lm.server can serve out, or BadRequest naming the field.

A whitelist, since mlx_lm.server believes what it reads: `model`, `adapters` and `draft_model` make it load other weights,
`chat_template_kwargs` can replace the template, and a wrong type or range deep in the sampler once ended its only thread. A field is
forwarded if it is known and sound, refused if leaving it out would change what the answer means, and else left out. `null` means
absent. Whatever asks for a form of the answer (`response_format`, a forced tool, vLLM's fields) becomes one field of our own, `constraint`.
Pure: nothing is read but the body, which is not changed. What depends on the model (its vocabulary and context, whether a
schema can be compiled) is checked again by `mlx_server`, which knows it.
"""

import json
import math

from engine.tool_calls import MAX_CALLS, parameters
from errors import BadRequest

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
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def checked(body: dict, vocab_size: int | None = None) -> dict:
    """Return the body to send to the engine for a chat body (with `messages`) or a completion body (with `prompt`).

    vocab_size: the model's, to refuse `logit_bias` outside of it here; None leaves that to the engine, which refuses it as well.
    Raises BadRequest with `param` set to the field, such as `stop[0]` or `messages[2].content[1]`.
    """
    body = {name: value for name, value in body.items() if value is not None}
    sound = {"model": "default_model"}
    if "messages" in body:
        sound["messages"] = _messages(body["messages"])
        sound |= _tools(body)
    elif "prompt" in body:
        if body.pop("logprobs", False) is not False:
            raise BadRequest(
                "the embedded engine gives logprobs with chat completions only", param="logprobs"
            )
        sound["prompt"] = _prompt(body["prompt"])
    else:
        raise BadRequest("the request has neither messages nor a prompt", param="messages")
    _refuse_what_cannot_be(body)
    if constraint := None if "constraint" in sound else _constraint(body):
        sound["constraint"] = constraint
        sound.pop("tools", None)  # the answer has its form already, in which there is no place for a call
    for name, check in CHECKS.items():
        if name in body:
            sound[name] = check(body[name], name)
    return _settled(sound, body, vocab_size)


def _settled(sound: dict, body: dict, vocab_size: int | None) -> dict:
    """What takes more than one field to decide."""
    if "max_completion_tokens" in body:
        sound["max_tokens"] = _max_tokens(body["max_completion_tokens"], "max_completion_tokens")
    if sound.get("temperature", 0) < TINIEST_TEMPERATURE:
        sound.pop("temperature", None)
        sound.pop(
            "seed", None
        )  # greedy has no dice, and a seed would make the engine serve this request alone
    if sound.get("stream") and (body.get("stream_options") or {}).get("include_usage") is True:
        sound["stream_options"] = {"include_usage": True}
    if sound.get("top_k", 0) < 1:
        sound.pop("top_k", None)
    if not sound.get("logprobs"):
        sound.pop("top_logprobs", None)
    for token_id in sound.get("logit_bias", ()):
        if vocab_size is not None and int(token_id) >= vocab_size:
            raise BadRequest(
                f"token {token_id} is outside the model's vocabulary of {vocab_size}",
                param=f"logit_bias.{token_id}",
            )
    return sound


def _refuse_what_cannot_be(body: dict) -> None:
    for name, only in HONOURED_ONLY_AS.items():
        if body.get(name, only[0]) not in only:
            raise BadRequest(f"the embedded engine cannot do {name}={_shown(body[name])}", param=name)
    for name in BEYOND_IT:
        if body.get(name):
            raise BadRequest(f"the embedded engine has no {name}", param=name)
    if not isinstance(body.get("stream_options", {}), dict):
        raise BadRequest("stream_options must be an object", param="stream_options")


def _messages(messages) -> list[dict]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list of at least one message", param="messages")
    return [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]


def _message(message, where: str) -> dict:
    if not isinstance(message, dict):
        raise BadRequest("a message must be an object", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(f"the role must be one of {', '.join(ROLES)}", param=f"{where}.role")
    sound = {"role": ROLES[role], "content": _content(message.get("content"), f"{where}.content")}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name) is not None:
            sound[name] = _text(message[name], f"{where}.{name}")
    if message.get("tool_calls"):
        sound["tool_calls"] = _tool_calls(message["tool_calls"], f"{where}.tool_calls")
    return sound


def _content(content, where: str) -> str:
    """Parts become one text. None (an assistant that only called tools) becomes an empty one: templates add it up."""
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
            raise BadRequest(
                f"the embedded engine reads text only, not {_shown(part.get('type'))}", param=f"{where}[{i}]"
            )
        texts.append(_text(part.get("text"), f"{where}[{i}].text"))
    return "\n".join(texts)


def _tool_calls(calls, where: str) -> list[dict]:
    if not isinstance(calls, list):
        raise BadRequest("tool_calls must be a list", param=where)
    sound = []
    for i, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise BadRequest("a tool call must be an object with a function", param=f"{where}[{i}]")
        arguments = function.get("arguments") or "{}"
        if not _is_json_object(arguments):
            raise BadRequest(
                "arguments must be a JSON object in a string", param=f"{where}[{i}].function.arguments"
            )
        name = _text(function.get("name"), f"{where}[{i}].function.name")
        call_id = _text(call.get("id") or "", f"{where}[{i}].id")
        sound.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})
    return sound


def _is_json_object(text) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _tools(body: dict) -> dict:
    """The tools that the model is shown, and the constraint to call them where the client wants that."""
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list", param="tools")
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest("a tool must be an object with a named function", param=f"tools[{i}]")
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return {}
    if choice == "auto":
        return {"tools": tools} if tools else {}
    return _forced(dict(enumerate(tools)) if choice == "required" else _chosen(choice, tools), body)


def _chosen(choice, tools: list) -> dict:
    function = (
        choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    )
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest(
            "tool_choice must be none, auto, required or a function with its name", param="tool_choice"
        )
    return {i: tool for i, tool in enumerate(tools) if tool["function"]["name"] == function["name"]}


def _forced(tools: dict, body: dict) -> dict:
    """tools: those of which one must be called, by their place among the client's."""
    if not 0 < len(tools) <= MAX_FORCED_TOOLS:
        raise BadRequest(
            f"there is no such tool, or there are more than {MAX_FORCED_TOOLS}", param="tool_choice"
        )
    if body.get("logprobs"):
        raise BadRequest("the embedded engine gives no logprobs with a forced tool call", param="logprobs")
    for i, tool in tools.items():
        where, name = f"tools[{i}].function", tool["function"]["name"]
        if not 0 < len(name) <= MAX_NAME_CHARS or name != _text(name, where):
            raise BadRequest(f"must have 1 to {MAX_NAME_CHARS} whole characters", param=f"{where}.name")
        schema = _schema(parameters(tool), f"{where}.parameters")
        if schema.get("type", "object") != "object":
            raise BadRequest("the arguments of a function must be an object", param=f"{where}.parameters")
    _schema(
        {tool["function"]["name"]: parameters(tool) for tool in tools.values()}, "tools"
    )  # all of them together, that is
    most = MAX_CALLS if body.get("parallel_tool_calls") is True and body["tool_choice"] == "required" else 1
    return {"tools": list(tools.values()), "constraint": {"calls": most, "at": list(tools)}}


def _constraint(body: dict) -> dict | None:
    """What the answer is held to, from OpenAI's `response_format` or the fields of vLLM; None where it is free."""
    asked = [
        name
        for name in FORMS
        if name in body and not (isinstance(body[name], dict) and body[name].get("type") == "text")
    ]
    if len(asked) > 1:
        raise BadRequest(f"an answer can be held to {asked[0]} or to {asked[1]}, not to both", param=asked[1])
    return FORMS[asked[0]](body[asked[0]], asked[0]) if asked else None


def _response_format(form, name: str) -> dict:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        return _json_form(
            form.get("schema") or ANY_OBJECT, f"{name}.schema"
        )  # llama.cpp's way to name a schema
    if kind != "json_schema":
        raise BadRequest(
            "response_format must be an object of the type text, json_object or json_schema",
            param=f"{name}.type",
        )
    inner = form.get("json_schema")
    if not isinstance(inner, dict) or "schema" not in inner:
        raise BadRequest("json_schema must be an object with a schema", param=f"{name}.json_schema")
    return _json_form(inner["schema"], f"{name}.json_schema.schema")


def _structured_outputs(form, name: str) -> dict:
    """vLLM's successor of its guided_ fields, with one of them in it."""
    asked = [kind for kind in STRUCTURES if isinstance(form, dict) and form.get(kind) is not None]
    if len(asked) != 1:
        raise BadRequest(
            f"structured_outputs must be an object with one of {', '.join(STRUCTURES)}", param=name
        )
    return STRUCTURES[asked[0]](form[asked[0]], f"{name}.{asked[0]}")


def _json_form(schema, name: str) -> dict:
    if isinstance(schema, str):  # vLLM takes the schema as a text too
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise BadRequest("the schema is no JSON", param=name) from None
    return {"json": _schema(schema, name), "param": name}


def _choice_form(choices, name: str) -> dict:
    if not isinstance(choices, list) or not 0 < len(choices) <= MAX_CHOICES:
        raise BadRequest(f"must be a list of 1 to {MAX_CHOICES} strings", param=name)
    for i, choice in enumerate(choices):
        if not 0 < len(_text(choice, f"{name}[{i}]")) <= MAX_CHOICE_CHARS:
            raise BadRequest(f"must have 1 to {MAX_CHOICE_CHARS} characters", param=f"{name}[{i}]")
    return {"choice": [_text(choice, name) for choice in choices], "param": name}


def _regex_form(regex, name: str) -> dict:
    if not 0 < len(_text(regex, name)) <= MAX_REGEX_CHARS:
        raise BadRequest(f"must have 1 to {MAX_REGEX_CHARS} characters", param=name)
    return {"regex": _text(regex, name), "param": name}


def _schema(schema, where: str) -> dict:
    """The schema, once it is known to be of a size and depth that the engine may look at; what it says is the engine's to judge."""
    if not isinstance(schema, dict):
        raise BadRequest("the schema must be an object", param=where)
    if _is_deeper(schema, MAX_NESTING):
        raise BadRequest(f"the schema is nested more than {MAX_NESTING} deep", param=where)
    try:
        chars = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:  # a lone surrogate or a number that JSON has not
        raise BadRequest("the schema is no JSON", param=where) from error
    if chars > MAX_SCHEMA_CHARS:
        raise BadRequest(f"the schema has {chars} characters, more than {MAX_SCHEMA_CHARS}", param=where)
    return schema


def _is_deeper(value, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for value in layer
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, (dict, list))
        ]
        if not layer:
            return False
    return True


def _prompt(prompt) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("the embedded engine takes one prompt, as a string", param="prompt")
    if not prompt:
        raise BadRequest("the prompt is empty", param="prompt")
    return _text(prompt, "prompt")


def _text(value, where: str) -> str:
    """The text with half characters replaced: JSON can spell a lone surrogate, no tokenizer can read it."""
    if not isinstance(value, str):
        raise BadRequest("must be a string", param=where)
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.translate(SURROGATES)
    return value


def _stop(value, name: str) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise BadRequest(f"stop must be a string or a list of at most {MAX_STOPS}", param=name)
    for i, stop in enumerate(stops):
        where = name if isinstance(value, str) else f"{name}[{i}]"
        if not 0 < len(_text(stop, where)) <= MAX_STOP_CHARS:
            raise BadRequest(f"must have 1 to {MAX_STOP_CHARS} characters", param=where)
    return [_text(stop, name) for stop in stops]


def _logit_bias(value, name: str) -> dict:
    if not isinstance(value, dict) or len(value) > MAX_BIASES:
        raise BadRequest(f"logit_bias must be an object of at most {MAX_BIASES} token ids", param=name)
    for token_id in value:
        # isdecimal alone lets other scripts' digits through, and int() caps what it will read.
        if not (token_id.isascii() and token_id.isdecimal() and len(token_id) < 10):
            raise BadRequest("a token id must be a whole number", param=f"{name}.{token_id[:20]}")
    return {token_id: _number(-100, 100)(bias, f"{name}.{token_id}") for token_id, bias in value.items()}


def _seed(value, name: str) -> int:
    """Any 64-bit whole number; MLX takes no negative ones."""
    return _integer(-(2**63), 2**64 - 1)(value, name) & (2**64 - 1)


def _max_tokens(value, name: str) -> int:
    return min(
        _integer(1)(value, name), MOST_TOKENS
    )  # the engine cuts it further, to what is left of its context


def _top_p(value, name: str) -> float:
    return max(_number(0, 1)(value, name), TINIEST_TOP_P)


def _template_switches(value, name: str) -> dict:
    if not isinstance(value, dict):
        raise BadRequest("chat_template_kwargs must be an object", param=name)
    sound = {}
    for switch, kind in TEMPLATE_SWITCHES.items():
        if value.get(switch) is None:
            continue
        if not isinstance(value[switch], kind):
            raise BadRequest(f"must be a {kind.__name__}", param=f"{name}.{switch}")
        sound[switch] = _text(value[switch], f"{name}.{switch}") if kind is str else value[switch]
    return sound


def _boolean(value, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequest("must be true or false", param=name)
    return value


def _number(low: float, high: float):
    """A check that a value is a number from low to high, which comes back as a float: mlx_lm takes no whole number for some."""

    def check(value, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadRequest("must be a number", param=name)
        if not low <= value <= high:  # NaN fails this too
            raise BadRequest(f"must be from {low:g} to {high:g}", param=name)
        return float(value)

    return check


def _integer(low: int, high: float = math.inf):
    """A check that a value is a whole number from low to high; 100.0 is one, as some clients have no other numbers."""

    def check(value, name: str) -> int:
        whole = (
            value.is_integer()
            if isinstance(value, float)
            else isinstance(value, int) and not isinstance(value, bool)
        )
        if not whole:
            raise BadRequest("must be a whole number", param=name)
        if not low <= value <= high:
            raise BadRequest(
                f"must be at least {low}" if high == math.inf else f"must be from {low} to {high}", param=name
            )
        return int(value)

    return check


def _shown(value) -> str:
    return repr(value)[:40]


CHECKS = {
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

# The values that ask for nothing special; the first is the default.
HONOURED_ONLY_AS = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "modalities": (["text"], []),
    "function_call": ("auto", "none"),
}

ANY_OBJECT = {"type": "object"}

# What vLLM's fields hold an answer to, after `guided_`.
STRUCTURES = {"json": _json_form, "choice": _choice_form, "regex": _regex_form}

# The fields that give an answer its form.
FORMS = {
    "response_format": _response_format,
    "structured_outputs": _structured_outputs,
    **{f"guided_{kind}": form for kind, form in STRUCTURES.items()},
}

# Other servers' fields that shape the answer.
BEYOND_IT = (
    "functions", "audio", "web_search_options", "guided_grammar", "grammar", "json_schema", "min_tokens", "ignore_eos", "mirostat", "adapters", "draft_model",
)  # fmt: skip
