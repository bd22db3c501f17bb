"""What a call used, and what that cost.

The first of these that knows decides: the owner's `prices`; being local, which costs 0; what the provider itself says it has charged; the price list
of `genai-prices` as it came with the package. It asks nobody over the network, and what none of them knows is None, never 0.
It knows nothing of requests or of where costs are kept.
"""

import functools
import ipaddress
import json
import math
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

import genai_prices
from genai_prices.data_snapshot import get_snapshot

from wire import openai_chat

MILLION = 1_000_000
MOST_TOKENS = 1_000_000_000  # of one call; a count beyond it is no count
TICKS_PER_USD = 10**10  # docs.x.ai, "Cost tracking"
CHARS_PER_TOKEN = 4  # rule of thumb for English text; only used where the provider did not tell
TOKENS_PER_MESSAGE = 5  # its role and its borders in a chat template
TOKENS_PER_PICTURE = 1200  # of about a megapixel
PRIVATE_NAMES = (".local", ".localhost", ".lan", ".home", ".internal", ".home.arpa")  # RFC 6762, 6761, 8375, and what routers hand out


@dataclass(frozen=True)
class Usage:
    """The tokens of one call. Cached and cache-write tokens are part of the input, reasoning tokens part of the output, whatever the provider's custom.

    charged_usd: what the provider says the call cost, a Decimal, None where it does not say. estimated: counted here, not told by the provider.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    charged_usd: Decimal | None = None
    estimated: bool = False


def told(usage):
    """A provider's own `usage` object as a Usage, None where it says nothing.

    OpenAI, vLLM and OpenRouter count reasoning within `completion_tokens`; xAI's chat completions beside it, but within `total_tokens`
    (docs.x.ai, "Consumption and rate limits"), and so does Gemini: so whatever of the total is not prompt has been produced. Anthropic's
    `input_tokens` are only those that touched no cache (docs.anthropic.com, "Prompt caching").
    """
    if not isinstance(usage, dict) or not {"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"} & usage.keys():
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
    return Usage(input_tokens, cached, min(written, input_tokens - cached), output, reasoning, _charged_usd(usage))


def estimated(body, pieces):
    """The Usage of a call whose provider did not tell, broken off or cancelled as a rule.

    body: the request as it was sent, a dict. pieces: content events that arrived, of about one token each.
    """
    other = body.get("prompt") or body.get("input")
    texts = [openai_chat.text_of(message.get("content")) for message in body.get("messages") or ()] or (other if isinstance(other, list) else [other])
    chars = sum(len(text) for text in texts if isinstance(text, str))
    return Usage(input_tokens=math.ceil(chars / CHARS_PER_TOKEN), output_tokens=pieces, estimated=True)


def tokens_of(body):
    """About how many tokens a chat request is for whoever reads it: its words, its calls and tools as JSON, its pictures, and what a template adds."""
    messages = body["messages"]
    told = [call for message in messages for call in message.get("tool_calls") or ()] + (body.get("tools") or [])
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    pictures = sum(part.get("type") == "image_url" for part in parts)
    chars = sum(len(json.dumps(one, ensure_ascii=False)) for one in told)
    added = math.ceil(chars / CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_PICTURE * pictures
    return estimated(body, 0).input_tokens + added


def cost_usd(provider, model, usage):
    """What a Usage of a model cost in USD, to 10 digits after the point; None where nobody knows. provider: a config.Provider. usage: None gives None."""
    if usage is None:
        return None
    if not usage.input_tokens and not usage.output_tokens and not usage.charged_usd:
        cost = Decimal(0)  # whoever was asked did nothing
    elif provider.prices:
        cost = _by_owner(provider.prices, usage)
    elif is_local(provider):
        cost = Decimal(0)
    elif usage.charged_usd is not None:
        cost = usage.charged_usd
    else:
        cost = _by_list(provider.base_url, model, usage)
    return None if cost is None else float(round(cost, 10))


def is_local(provider):
    """Whether a config.Provider costs nothing but electricity: an embedded model, or a server at a private address to which the owner gave no prices."""
    if provider.kind == "mlx":
        return True
    return not provider.prices and _is_private(urlsplit(provider.base_url).hostname or "")


def _is_private(host):
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(PRIVATE_NAMES))


def _by_owner(prices, usage):
    """By the config's USD per million tokens. Cached tokens cost as much as others unless `cached_input` says what they do."""
    usd_for = lambda tokens, price: tokens * Decimal(str(price)) / MILLION  # noqa: E731
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    fresh = usage.input_tokens - usage.cached_tokens
    return usd_for(fresh, prices.input) + usd_for(usage.cached_tokens, cached_price) + usd_for(usage.output_tokens, prices.output)


def _by_list(base_url, model, usage):
    found = _listed(base_url, model)
    if found is None:
        return None
    provider, listed = found
    told = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    priced = listed.calc_price(told, provider)
    if listed.id.endswith(":free"):
        return priced.total_price
    # The list also has models without any price, or with one for seconds of sound only; their sum would come out as 0.
    unknown = [tokens for name, tokens in (("input_mtok", usage.input_tokens), ("output_mtok", usage.output_tokens)) if tokens and not _has(priced, name)]
    return None if unknown else priced.total_price


def _has(priced, name):
    return getattr(priced.model_price, name, None) is not None


@functools.lru_cache(maxsize=256)
def _listed(base_url, model):
    try:
        return get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None


def _charged_usd(usage):
    """What the call cost by its provider's own words: xAI's ticks, OpenRouter's `cost`, Perplexity's `cost.total_cost`."""
    ticks, cost = usage.get("cost_in_usd_ticks"), usage.get("cost")
    if _is_amount(ticks):
        return Decimal(str(ticks)) / TICKS_PER_USD
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if usage.get("is_byok"):  # OpenRouter's fee only; the model's own vendor charges the owner elsewhere
        return None
    return Decimal(str(cost)) if _is_amount(cost) else None


def _is_amount(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 10**18


def _count(value):
    return int(value) if _is_amount(value) and value <= MOST_TOKENS else 0


def _first_dict(usage, *names):
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})
