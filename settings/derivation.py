"""What a partial file leaves open: which shipped providers are in use, who answers on a route, who searches.

It follows from what the providers are. The owner's own servers answer what is everyday, those of the cloud
what is hard, and either stands in where the other cannot serve; a frontend's housekeeping is kept off what
costs money. The demo model answers only where nothing else is configured.
"""

import dataclasses
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from settings.decisions import CLOUD, ENRICH, META, PRIMARY, XAI
from settings.fields import altered
from settings.kinds import CHAT_SEARCH, PAGE_SEARCH
from settings.model import ApiKey, Config, Origin, Provider, Route

DEMO_MODELS = ("builtin", "smollm2")
DERIVED = Origin(None, ("what the providers can do",))
_SEARCHING_CLOUDS = ("api.x.ai", "api.openai.com")  # whose Responses API has a web_search tool


def completed(config: Config, presets: Collection[str]) -> Config:
    """The configuration with `xai` resolved to `cloud`, unused shipped providers dormant, and chains derived.

    presets: the providers that are as we ship them.
    """
    config = _with_aliases_resolved(config)
    used = _named_in_routes(config)
    idle = {
        name: provider.disabled
        for name, provider in config.providers.items()
        if name in presets and name not in used and provider.disabled is not None
    }
    awake = {name: provider for name, provider in config.providers.items() if name not in idle}
    config = _with_chains(altered(config, providers=awake, dormant=idle))
    return _without_spares(config, presets)


def _with_aliases_resolved(config: Config) -> Config:
    alias = config.aliases

    def resolved(name: str | None) -> str | None:
        return alias.get(name, name) if name else name

    return altered(
        config,
        decisions={decision: alias.get(route, route) for decision, route in config.decisions.items()},
        routes={
            name: dataclasses.replace(route, answer=resolved(route.answer))
            for name, route in config.routes.items()
        },
        models=[dataclasses.replace(rule, route=resolved(rule.route)) for rule in config.models],
        server=altered(config.server, api_keys=_keys_resolved(config)),
    )


def _keys_resolved(config: Config) -> list[str] | dict[str, str | ApiKey]:
    """The clients' keys, with the routes that they may go by their own names."""
    keys, alias = config.server.api_keys, config.aliases
    if isinstance(keys, list) or not alias:
        return keys

    def resolved(key: str | ApiKey) -> str | ApiKey:
        if isinstance(key, str) or key.routes is None:
            return key
        return altered(key, routes=[alias.get(route, route) for route in key.routes])

    return {name: resolved(key) for name, key in keys.items()}


def _named_in_routes(config: Config) -> set[str]:
    """The providers that the routes and the rules for model names name."""
    named = {name for route in config.routes.values() for name in (*route.chain, route.context) if name}
    return named | {rule.provider for rule in config.models if rule.provider}


def _with_chains(config: Config) -> Config:
    chats = {name: one for name, one in config.providers.items() if one.capabilities.chat}
    demo = [name for name, one in chats.items() if is_demo(one)]
    real = [name for name in chats if name not in demo]
    home = [name for name in real if chats[name].is_home]
    away = [name for name in real if name not in home]
    # A model that searches by itself is for searching, where another one can answer.
    cloud = [name for name in away if not _is_searcher(chats[name])] or away
    derived = {
        PRIMARY: [*home, *cloud] or demo,
        META: home or cloud or demo,
        CLOUD: [*cloud, *home] or demo,
    }
    routes, origins = dict(config.routes), dict(config.origins)
    for name, chain in derived.items():
        if name in routes and f"routes.{name}.chain" not in origins and not routes[name].answer:
            routes[name] = dataclasses.replace(routes[name], chain=chain)
            origins[f"routes.{name}.chain"] = DERIVED
    if ENRICH in routes and routes[ENRICH].answer and f"routes.{ENRICH}.context" not in origins:
        routes[ENRICH] = _with_context(routes[ENRICH], config.providers)
        origins[f"routes.{ENRICH}.context"] = DERIVED
    return altered(config, routes=routes, origins=origins)


def _with_context(route: Route, providers: Mapping[str, Provider]) -> Route:
    """The route with whoever can search, the owner's own search engine first; unchanged where nobody can."""
    able = [name for name, one in providers.items() if _can_search(name, one)]
    free = [name for name in able if providers[name].capabilities.search == PAGE_SEARCH]
    usable = [name for name in (*free, *able) if not providers[name].disabled]
    context = next(iter(usable or able), None)
    if context is None:
        return route
    is_xai = context == XAI or "x.ai" in providers[context].base_url
    tools = route.tools or ["web_search", *(["x_search"] if is_xai else [])]
    return dataclasses.replace(route, context=context, tools=tools)


def _can_search(name: str, provider: Provider) -> bool:
    if provider.capabilities.search == PAGE_SEARCH or _is_searcher(provider):
        return True
    host = urlsplit(provider.base_url).hostname
    return provider.kind == "openai" and (host in _SEARCHING_CLOUDS or name in (XAI, "openai"))


def _is_searcher(provider: Provider) -> bool:
    """Whether its model searches by itself, as Perplexity's do and Claude does with a search tool."""
    has_tool = "web_search" in str(provider.extra_body.get("tools", ""))
    return provider.capabilities.search == CHAT_SEARCH and (provider.search == CHAT_SEARCH or has_tool)


def is_demo(provider: Provider) -> bool:
    """Whether it is the small model that comes along: it shows that all works and is no judge of anything."""
    return provider.is_embedded and provider.model in DEMO_MODELS


def _without_spares(config: Config, presets: Collection[str]) -> Config:
    """The configuration without the shipped demo model and searchers that no route leads to."""
    used = _named_in_routes(config)
    spare = {
        name: "it is not needed"
        for name, provider in config.providers.items()
        if name in presets and name not in used and (is_demo(provider) or _is_searcher(provider))
    }
    awake = {name: provider for name, provider in config.providers.items() if name not in spare}
    return altered(config, providers=awake, dormant={**config.dormant, **spare})
