"""What api.openai.com takes of a chat completion, where it is stricter than those who speak its API.

It refuses `max_tokens` for models that reason, and, since GPT-5.4, tools together with reasoning ("use
/v1/responses or set reasoning_effort to 'none'"). Clients that talk to a server of somebody's own send both.
"""

import re

from wire import JsonObject

HOST = "api.openai.com"
_GENERATION = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_NO_TOOLS_WHILE_REASONING = (5, 4)  # the first of its models that refuses both at once


def accepted(body: JsonObject) -> JsonObject:
    """A chat completion's body as OpenAI takes it. What the client said of its reasoning stays."""
    if "max_tokens" in body:
        limit = body["max_tokens"]
        body = {name: value for name, value in body.items() if name != "max_tokens"}
        body.setdefault("max_completion_tokens", limit)
    if body.get("tools") and _refuses_tools_while_reasoning(body.get("model")):
        body = {"reasoning_effort": "none", **body}
    return body


def _refuses_tools_while_reasoning(model: object) -> bool:
    found = _GENERATION.match(model) if isinstance(model, str) else None
    return found is not None and (int(found[1]), int(found[2] or 0)) >= _NO_TOOLS_WHILE_REASONING
