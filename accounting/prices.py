"""What a call used, and what that cost.

The first of these that knows decides: the owner's `prices`; being local, which costs 0; what the provider itself says it has charged; the price list
of `genai-prices` as it came with the package. It asks nobody over the network, and what none of them knows is None, never 0.
It knows nothing of requests or of where costs are kept.
"""

import functools
from decimal import Decimal
from urllib.parse import urlsplit

import genai_prices
from genai_prices.data_snapshot import get_snapshot

from settings.addresses import is_private_host

MILLION = 1_000_000


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
    if provider.is_embedded:
        return True
    return not provider.prices and is_private_host(urlsplit(provider.base_url).hostname or "")


def _by_owner(prices, usage):
    """By the config's USD per million tokens. Cached tokens cost as much as others unless `cached_input` says what they do."""
    usd_for = lambda tokens, price: tokens * Decimal(str(price)) / MILLION
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    fresh = usage.input_tokens - usage.cached_tokens
    return (
        usd_for(fresh, prices.input)
        + usd_for(usage.cached_tokens, cached_price)
        + usd_for(usage.output_tokens, prices.output)
    )


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
    unknown = [
        tokens
        for name, tokens in (("input_mtok", usage.input_tokens), ("output_mtok", usage.output_tokens))
        if tokens and not _has(priced, name)
    ]
    return None if unknown else priced.total_price


def _has(priced, name):
    return getattr(priced.model_price, name, None) is not None


@functools.lru_cache(maxsize=256)
def _listed(base_url, model):
    try:
        return get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
