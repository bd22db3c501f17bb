"""Where a request goes: by the model's name, or by the decision about it.

The owner's rules come first, the first that fits; else a route's name goes there and a provider's model name (or the provider's own) to that
provider; the virtual model, and any name nothing knows, is decided.
"""

import dataclasses
from dataclasses import dataclass

from settings import model as settings

UNROUTED_SLOW_MS = 30_000  # for a provider that stands in no route
MAX_NAME_CHARS = 1000  # of a model's name that rules look at


@dataclass(frozen=True)
class RoutePlan:
    """How a request is served. pinned: the client named the route or the provider, so nothing is classified."""

    route: str
    chain: tuple[str, ...]
    slow_ms: int
    system_prompt: str | None = None
    context: str | None = None  # the provider that searches first, for an enriched answer
    tools: tuple[str, ...] = ()
    pinned: bool = False
    rule: settings.ModelRule | None = None  # the owner's rule that led here


class Router:
    def __init__(self, config):
        self._config = config
        self._plans = {name: self._plan(name) for name in config.routes}
        self._pins = self._pinned_names()
        self._rules = [(_fits(rule), self._ruled_plan(rule)) for rule in config.models]

    def _plan(self, name):
        route = self._config.routes[name]
        answer = self._config.routes[route.answer] if route.answer else route
        return RoutePlan(
            name,
            tuple(answer.chain),
            route.slow_ms,
            route.system_prompt or answer.system_prompt,
            route.context,
            tuple(route.tools),
        )

    def _pinned_names(self):
        """Model name -> plan. Where names meet, the virtual model comes first, then routes, then models, then providers."""
        pins = {}
        for name, provider in self._config.providers.items():
            if not provider.capabilities.chat:  # it finds pages, it does not answer
                continue
            pins.setdefault(provider.model, self.plan_to(name))
            pins.setdefault(name, self.plan_to(name))
        for name, plan in self._plans.items():
            pins[name] = dataclasses.replace(plan, pinned=True)
        pins.pop(self._config.virtual_model, None)
        pins.pop("", None)
        return pins

    def plan_to(self, provider):
        """The plan to one provider alone, under the name of the first route it stands in."""
        home = next((plan for plan in self._plans.values() if provider in plan.chain), None)
        return RoutePlan(
            home.route if home else provider,
            (provider,),
            home.slow_ms if home else UNROUTED_SLOW_MS,
            pinned=True,
        )

    def _ruled_plan(self, rule):
        plan = (
            self.plan_to(rule.provider)
            if rule.provider
            else dataclasses.replace(self._plans[rule.route], pinned=True)
        )
        return dataclasses.replace(plan, rule=rule)

    def pin(self, model):
        """The plan a client asked for by a model's name, or None: to be decided. The owner's rules come before what the names say by themselves."""
        if model is None or model == self._config.virtual_model:
            return None
        name = model[:MAX_NAME_CHARS]
        ruled = next((plan for fits, plan in self._rules if fits(name)), None)
        return (
            ruled or self._pins.get(model) or self._pins.get(f"{model}:latest")
        )  # the tag that Ollama's clients may leave out

    def plan_of(self, route):
        """The plan of a route, None if there is no such route."""
        return self._plans.get(route)

    def route(self, name):
        """The plan of a route asked for by its name, None if there is no such route."""
        plan = self._plans.get(name)
        return plan and dataclasses.replace(plan, pinned=True)

    def routes(self):
        """The names of all routes."""
        return list(self._plans)

    def embeddings(self, model):
        """The provider (its name) that embeds: the one marked for it, else the one that the model's name leads to; None if there is none."""
        marked = next(
            (name for name, provider in self._config.providers.items() if provider.embeddings), None
        )
        plan = self.pin(model)
        return marked or (plan.chain[0] if plan and len(plan.chain) == 1 else None)

    def plan_for(self, decision):
        return self._plans[self._config.decisions[decision]]

    def models(self):
        """(id, owner, display name or None) of the model list: the virtual model, the routes people ask for, then each usable provider's model."""
        virtual = self._config.virtual_model
        asked_for = {route for decision, route in self._config.decisions.items() if decision != "META"}
        yield virtual, "headstart", None
        for name in self._plans:
            if name in asked_for or name != self._config.decisions["META"]:
                yield name, "headstart", None
        listed = {virtual, *self._plans}
        for name, provider in self._config.providers.items():
            if not provider.disabled and provider.capabilities.chat and provider.model not in listed:
                listed.add(provider.model)
                yield (
                    provider.model,
                    name,
                    f"{provider.model} ({name})" if provider.model == "builtin" else None,
                )

    def model(self, name):
        """The entry of the model list with that id, None if there is none."""
        return next((known for known in self.models() if known[0] == name), None)


def _fits(rule):
    """Whether a model name fits a rule, as a function."""
    if rule.exact:
        return rule.exact.__eq__
    if rule.prefix:
        return lambda name: name.startswith(rule.prefix)
    return settings.pattern_of(rule.regex).search
