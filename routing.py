"""Which way a request goes: by the model's name, or by the decision about it.

A route's name as model goes that way, a provider's model name (or the provider's own) to that provider; the virtual model,
and any name no rule knows, is decided.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """How a request is served. pinned: the client named the route or the provider, so nothing is classified."""

    route: str
    chain: tuple[str, ...]
    slow_ms: int
    system_prompt: str | None = None
    context: str | None = None  # the provider that searches first, for an enriched answer
    tools: tuple[str, ...] = ()
    pinned: bool = False


class Router:
    def __init__(self, config):
        self._config = config
        self._ways = {name: self._way(name) for name in config.routes}
        self._pins = self._pinned_names()

    def _way(self, name):
        route = self._config.routes[name]
        answer = self._config.routes[route.answer] if route.answer else route
        return Way(name, tuple(answer.chain), route.slow_ms, route.system_prompt or answer.system_prompt, route.context, tuple(route.tools))

    def _pinned_names(self):
        """Model name -> way. Where names meet, the virtual model comes first, then routes, then models, then providers."""
        pins = {}
        for name, provider in self._config.providers.items():
            home = next((way for way in self._ways.values() if name in way.chain), None)
            way = Way(home.route if home else name, (name,), home.slow_ms if home else 30000, pinned=True)
            pins.setdefault(provider.model, way)
            pins.setdefault(name, way)
        for name, way in self._ways.items():
            pins[name] = Way(**{**way.__dict__, "pinned": True})
        pins.pop(self._config.virtual_model, None)
        pins.pop("", None)
        return pins

    def pin(self, model):
        """The way a client asked for by name, or None: to be decided."""
        return self._pins.get(model)

    def by_decision(self, decision):
        return self._ways[self._config.decisions[decision]]

    def models(self):
        """(id, owner, display name or None) of the model list: the virtual model, the routes people ask for, then each usable provider's model."""
        virtual = self._config.virtual_model
        asked_for = {route for decision, route in self._config.decisions.items() if decision != "META"}
        yield virtual, "headstart", None
        for name in self._ways:
            if name in asked_for or name != self._config.decisions["META"]:
                yield name, "headstart", None
        listed = {virtual, *self._ways}
        for name, provider in self._config.providers.items():
            if not provider.disabled and provider.model not in listed:
                listed.add(provider.model)
                yield provider.model, name, f"{provider.model} ({name})" if provider.model == "builtin" else None
