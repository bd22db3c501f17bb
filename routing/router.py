"""Where a request goes: by the model's name, or by the decision about it.

The owner's rules come first, the first that fits; else a route's name goes there and a provider's model name
(or the provider's own) to that provider. The virtual model, and any name nothing knows, is decided.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from errors import ProxyError
from settings import model as settings_model
from settings.decisions import PINNED, Decision
from settings.patterns import pattern_of

UNROUTED_SLOW_MS = 30_000  # for a provider that stands in no route
MAX_NAME_CHARS = 1000  # of a model's name that rules look at

# An entry of the model list: (id, owner, display name or None).
ModelEntry = tuple[str, str, str | None]


@dataclass(frozen=True)
class RoutePlan:
    """How a request is served.

    route: its name. chain: the names of the providers to try, in order. slow_ms: from when on it counts as
    slow. decision: why it is served so; PINNED where the client named a route, a provider or a model.
    enriched: it is answered with what the web says. context: the provider that searches for that, None where
    nobody can. tools: the search tools it is given. rule: the owner's rule that led here. to_provider: the
    client, or that rule, named the provider itself.
    stayed, budget_exhausted, passed_over: what policies have changed: it is the conversation's plan, nothing
    that costs money may be called, and who of the chain or for the context is not called, with the reason.
    """

    route: str
    chain: tuple[str, ...]
    slow_ms: int
    decision: str = PINNED
    system_prompt: str | None = None
    enriched: bool = False
    context: str | None = None
    tools: tuple[str, ...] = ()
    rule: settings_model.ModelRule | None = None
    to_provider: bool = False
    stayed: bool = False
    budget_exhausted: bool = False
    passed_over: Mapping[str, ProxyError] = field(default_factory=dict)


class Router:
    """The owner's routes, rules and names, looked up.

    primary: where MODERATE requests go, and what needs no decision. cloud: where COMPLEX ones go.
    """

    def __init__(
        self, config: settings_model.Config, found_model: Callable[[str], str] = lambda provider: ""
    ) -> None:
        """found_model: the model of a provider for which the owner named none; "" before one is found."""
        self._config = config
        self._found_model = found_model
        self._plans = {name: self._plan(name) for name in config.routes}
        self._plans_for = {
            decision: dataclasses.replace(self._plans[config.decisions[decision]], decision=decision)
            for decision in Decision
        }
        self._pins = self._plans_by_name()
        self._rules = [(_fits(rule), self._ruled_plan(rule)) for rule in config.models]
        self.primary = self.plan_for(Decision.MODERATE)
        self.cloud = self.plan_for(Decision.COMPLEX)

    def _plan(self, name: str) -> RoutePlan:
        route = self._config.routes[name]
        answer = self._config.routes[route.answer or name]
        return RoutePlan(
            name,
            tuple(self._config.chain_of(name)),
            route.slow_ms,
            system_prompt=route.system_prompt or answer.system_prompt,
            enriched=bool(route.answer),
            context=route.context,
            tools=tuple(route.tools),
        )

    def _plans_by_name(self) -> dict[str, RoutePlan]:
        """Model name -> plan.

        Where names meet, the virtual model comes first, then routes, then models, then providers.
        """
        plans: dict[str, RoutePlan] = {}
        for name, provider in self._config.providers.items():
            if not provider.capabilities.chat:  # it finds pages, it does not answer
                continue
            plans.setdefault(provider.model, self.plan_to(name))
            plans.setdefault(name, self.plan_to(name))
        plans.update(self._plans)
        plans.update({alias: self._plans[route] for alias, route in self._config.aliases.items()})
        plans.pop(self._config.virtual_model, None)
        plans.pop("", None)
        return plans

    def plan_to(self, provider: str) -> RoutePlan:
        """The plan to one provider alone, under the name of the route that it stands foremost in."""
        homes = [plan for plan in self._plans.values() if provider in plan.chain]
        home = min(homes, key=lambda plan: plan.chain.index(provider), default=None)
        if home is None:
            return RoutePlan(provider, (provider,), UNROUTED_SLOW_MS, to_provider=True)
        return RoutePlan(home.route, (provider,), home.slow_ms, to_provider=True)

    def _ruled_plan(self, rule: settings_model.ModelRule) -> RoutePlan:
        if rule.provider:
            return dataclasses.replace(self.plan_to(rule.provider), rule=rule)
        assert rule.route is not None  # the settings were checked: one of the two is there
        return dataclasses.replace(self._plans[rule.route], rule=rule)

    def pin(self, model: str | None) -> RoutePlan | None:
        """The plan a client chose by a model's name, or None: to be decided.

        The owner's rules come before what the names mean by themselves.
        """
        if model is None or model == self._config.virtual_model:
            return None
        name = model[:MAX_NAME_CHARS]
        ruled = next((plan for fits, plan in self._rules if fits(name)), None)
        # ":latest" is the tag that Ollama's clients may leave out.
        return (
            ruled or self._pins.get(model) or self._pins.get(f"{model}:latest") or self._plan_to_found(model)
        )

    def _plan_to_found(self, model: str) -> RoutePlan | None:
        """The plan to the provider whose server turned out to have this model."""
        for name, provider in self._config.providers.items():
            found = "" if provider.model or not provider.capabilities.chat else self._found_model(name)
            if found and found in (model, f"{model}:latest"):
                return self.plan_to(name)
        return None

    def plan_of(self, route: str) -> RoutePlan | None:
        """The plan of a route that the client named, None if there is no such route."""
        return self._plans.get(self._config.aliases.get(route, route))

    def plan_for(self, decision: Decision) -> RoutePlan:
        """The plan of the route that the owner maps a decision to."""
        return self._plans_for[decision]

    def routes(self) -> list[str]:
        """The names of all routes."""
        return list(self._plans)

    def embeddings_provider(self, model: str | None) -> str | None:
        """The name of the provider that embeds, None if there is none.

        It is the one marked for it, else the one that the model's name leads to.
        """
        marked = next(
            (name for name, provider in self._config.providers.items() if provider.embeddings), None
        )
        plan = self.pin(model)
        return marked or (plan.chain[0] if plan and len(plan.chain) == 1 else None)

    def models(self) -> Iterator[ModelEntry]:
        """The model list: the virtual model, the routes people ask for, then each usable provider's model."""
        config = self._config
        virtual = config.virtual_model
        wanted = {route for decision, route in config.decisions.items() if decision != Decision.META}
        yield virtual, "headstart", None
        aliases = {route: alias for alias, route in config.aliases.items()}
        for name in self._plans:
            if name in wanted or name != config.decisions[Decision.META]:
                yield name, "headstart", None
                if name in aliases:
                    yield aliases[name], "headstart", None
        listed = {virtual, *self._plans, *config.aliases}
        for name, provider in config.providers.items():
            model = provider.model or self._found_model(name)
            if model and not provider.disabled and provider.capabilities.chat and model not in listed:
                listed.add(model)
                display = f"{model} ({name})" if model == "builtin" else None
                yield model, name, display


def _fits(rule: settings_model.ModelRule) -> Callable[[str], object]:
    """Whether a model name fits a rule, as a function."""
    if rule.exact:
        return rule.exact.__eq__
    if rule.prefix:
        prefix = rule.prefix
        return lambda name: name.startswith(prefix)
    assert rule.regex is not None  # the settings were checked: one of the three is there
    found_in: Callable[[str], object] = pattern_of(rule.regex).search
    return found_in
