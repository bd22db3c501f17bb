"""The tokens of a call: as its provider reports them, in any API's words, or else as an estimate.

It knows no prices; what tokens cost is `accounting/prices.py`'s.
"""

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeGuard

from wire import JsonObject, openai_chat

MOST_TOKENS = 1_000_000_000  # of one call; a count beyond it is no count
TICKS_PER_USD = 10**10  # docs.x.ai, "Cost tracking"
CHARS_PER_TOKEN = 4  # rule of thumb for English text; only used where the provider reports nothing
TOKENS_PER_MESSAGE = 5  # its role and its borders in a chat template
TOKENS_PER_PICTURE = 1200  # of about a megapixel
_COUNTS = {"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"}


@dataclass(frozen=True)
class Usage:
    """The tokens of one call.

    Cached and cache-write tokens are part of the input, reasoning tokens part of the output, whatever the
    provider's custom. charged_usd: the call's cost as its provider reports it, None where it does not.
    estimated: counted here, not reported by the provider.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    charged_usd: Decimal | None = None
    estimated: bool = False


def parse_usage(usage: Any) -> Usage | None:
    """A provider's own `usage` object as a Usage, None where it says nothing.

    OpenAI, vLLM and OpenRouter count reasoning within `completion_tokens`; xAI's chat completions beside it,
    but within `total_tokens` (docs.x.ai, "Consumption and rate limits"), and so does Gemini: so whatever of
    the total is not prompt has been produced. Anthropic's `input_tokens` are only those that touched no cache
    (docs.anthropic.com, "Prompt caching").
    """
    if not isinstance(usage, dict) or not _COUNTS & usage.keys():
        return None
    prompt = _first_dict(usage, "prompt_tokens_details", "input_tokens_details")
    completion = _first_dict(usage, "completion_tokens_details", "output_tokens_details")
    input_tokens = _count(usage.get("prompt_tokens")) or _count(usage.get("input_tokens"))
    cached = _count(prompt.get("cached_tokens")) or _count(usage.get("cache_read_input_tokens"))
    written = _count(prompt.get("cache_write_tokens")) or _count(usage.get("cache_creation_input_tokens"))
    if "prompt_tokens" not in usage and not prompt:
        input_tokens += cached + written
    cached = min(cached, input_tokens)
    reasoning = _count(completion.get("reasoning_tokens"))
    output = _count(usage.get("completion_tokens")) or _count(usage.get("output_tokens"))
    output = max(output, reasoning, _count(usage.get("total_tokens")) - input_tokens)
    return Usage(
        input_tokens, cached, min(written, input_tokens - cached), output, reasoning, _charged_usd(usage)
    )


def estimate_usage(body: JsonObject, pieces: int) -> Usage:
    """The Usage of a call whose provider reports none; as a rule one that broke off or was cancelled.

    body: the request as it was sent. pieces: content events that arrived, of about one token each.
    """
    other = body.get("prompt") or body.get("input")
    texts: list[Any] = [openai_chat.text_of(message.get("content")) for message in body.get("messages") or ()]
    texts = texts or (other if isinstance(other, list) else [other])
    chars = sum(len(text) for text in texts if isinstance(text, str))
    return Usage(input_tokens=math.ceil(chars / CHARS_PER_TOKEN), output_tokens=pieces, estimated=True)


def estimate_tokens(body: JsonObject) -> int:
    """About how many tokens a model reads for a chat request.

    Counted are its words, its calls and tools as JSON, its pictures, and what a template adds.
    """
    messages: list[JsonObject] = body["messages"]
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list)]
    pictures: int = sum(part.get("type") == "image_url" for parts in contents for part in parts)
    chars = sum(len(json.dumps(one, ensure_ascii=False)) for one in calls + (body.get("tools") or []))
    tokens = estimate_usage(body, 0).input_tokens + math.ceil(chars / CHARS_PER_TOKEN)
    return tokens + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_PICTURE * pictures


def _charged_usd(usage: JsonObject) -> Decimal | None:
    """What the call cost, by xAI's ticks, OpenRouter's `cost` or Perplexity's `cost.total_cost`."""
    ticks, cost = usage.get("cost_in_usd_ticks"), usage.get("cost")
    if _is_amount(ticks):
        return Decimal(str(ticks)) / TICKS_PER_USD
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if usage.get("is_byok"):  # OpenRouter's fee only; the model's own vendor charges the owner elsewhere
        return None
    return Decimal(str(cost)) if _is_amount(cost) else None


def _is_amount(value: Any) -> TypeGuard[int | float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value < 10**18
    )


def _count(value: Any) -> int:
    return int(value) if _is_amount(value) and value <= MOST_TOKENS else 0


def _first_dict(usage: JsonObject, *names: str) -> JsonObject:
    return next((value for value in map(usage.get, names) if isinstance(value, dict)), {})
