"""What a call cost.

The first of these that knows decides: the owner's `prices`; being local, which costs 0; what the provider
itself says it has charged; the price list of `genai-prices` as it came with the package. Nothing is looked up
over the network, and what none of them knows is None, never 0. It knows nothing of requests or of where costs
are kept.
"""

import functools
from decimal import Decimal

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo
from genai_prices.types import Provider as ListedProvider

from settings.model import Prices, Provider
from wire.usage import Usage

MILLION = 1_000_000


def cost_usd(provider: Provider, model: str, usage: Usage | None) -> float | None:
    """What a call cost in USD, to 10 digits after the point. None where nobody knows, or without usage."""
    if usage is None:
        return None
    cost: Decimal | None
    if not usage.input_tokens and not usage.output_tokens and not usage.charged_usd:
        cost = Decimal(0)  # the provider did nothing
    elif provider.prices:
        cost = _by_owner(provider.prices, usage)
    elif provider.is_home:
        cost = Decimal(0)
    elif usage.charged_usd is not None:
        cost = usage.charged_usd
    else:
        cost = _by_list(provider.base_url, model, usage)
    return None if cost is None else float(round(cost, 10))


def _by_owner(prices: Prices, usage: Usage) -> Decimal:
    """By the owner's prices. Cached tokens cost as much as others unless `cached_input` is set."""
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    return (
        _at(prices.input, usage.input_tokens - usage.cached_tokens)
        + _at(cached_price, usage.cached_tokens)
        + _at(prices.output, usage.output_tokens)
    )


def _at(price: float, tokens: int) -> Decimal:
    """price: USD per million tokens."""
    return tokens * Decimal(str(price)) / MILLION


def _by_list(base_url: str, model: str, usage: Usage) -> Decimal | None:
    found = _listed(base_url, model)
    if found is None:
        return None
    provider, listed = found
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    priced = listed.calc_price(tokens, provider)
    if listed.id.endswith(":free"):
        return priced.total_price
    # The list also has models without any price, or with one for seconds of sound only; their sum would come
    # out as 0.
    needed = {"input_mtok": usage.input_tokens, "output_mtok": usage.output_tokens}
    is_known = all(
        getattr(priced.model_price, name, None) is not None for name, tokens in needed.items() if tokens
    )
    return priced.total_price if is_known else None


@functools.lru_cache(maxsize=256)
def _listed(base_url: str, model: str) -> tuple[ListedProvider, ModelInfo] | None:
    try:
        return get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
