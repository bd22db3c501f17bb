"""Decision by decision, who will really answer, what is missing, and how to mend it.

It is read from the plans and from what the probes know, and contacts nobody. The terminal, the log and
/health show the same.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from providers import Provider
from routing.policies import OVER_BUDGET
from routing.router import RoutePlan
from settings.decisions import Decision
from settings.derivation import is_demo
from settings.environment import CLOUD_KEYS, HOME_URL, SEARXNG_URL
from settings.secrets import masked
from telemetry import logs
from telemetry.logs import fields
from wire import JsonObject

log = logging.getLogger(__name__)

*_FURTHER_KEYS, _LAST_KEY = CLOUD_KEYS.values()
SET_HOME = f"set {HOME_URL} in .env, or run make setup"
SET_CLOUD = f"set {', '.join(_FURTHER_KEYS)} or {_LAST_KEY} in .env"
SET_SEARCH = f"set {SEARXNG_URL} or a cloud's key in .env"
MEND_SEARCH = "mend that; the next search that works ends this"
RAISE_BUDGET = "wait for the next day or month, or raise `budgets`"
_COLUMN = 9  # of the arrow; the longest decision has 8 letters


@dataclass(frozen=True)
class Readiness:
    """What becomes of requests of one decision.

    provider: who will answer, None for nobody. model: its model, None where it is not known yet. first: who
    is meant to. context: who searches first, None where nobody does. missing: what is not as one would want
    it, None where all is. repair: how to mend that. degraded: somebody who was set up for this decision does
    not serve it.
    """

    decision: str
    route: str
    provider: str | None
    model: str | None
    first: str | None
    context: str | None = None
    missing: str | None = None
    repair: str | None = None
    degraded: bool = False

    @property
    def outlook(self) -> str:
        """What stands behind the arrow: who answers, or what is missing."""
        if self.missing:
            return self.missing
        answers = f"{self.provider} ({self.model})" if self.model else f"{self.provider}"
        return f"{answers}, after a search by {self.context}" if self.context else answers

    def as_json(self) -> JsonObject:
        """As /health has it."""
        return {**vars(self)}


def readiness(
    plan_for: Callable[[Decision], RoutePlan],
    providers: Mapping[str, Provider],
    health: Mapping[str, JsonObject],
) -> list[Readiness]:
    """One for each decision.

    plan_for: its plan just now; whom a policy passes over does not answer. health: what the probes know, by
    name; a disabled provider is not in it.
    """
    troubles = {name: _trouble(provider, health.get(name)) for name, provider in providers.items()}
    plans = {decision: plan_for(decision) for decision in Decision}
    usual = plans[Decision.MODERATE].chain[0]
    return [
        _of(decision, plan, providers, {**troubles, **_passed_over(plan)}, usual)
        for decision, plan in plans.items()
    ]


def table(outlook: Sequence[Readiness]) -> Iterator[str]:
    """The lines of the table, such as `COMPLEX   -> no cloud key; stays on home`, and each repair once."""
    for one, following in zip_longest(outlook, outlook[1:]):
        yield f"{one.decision:<{_COLUMN}} -> {one.outlook}"
        if one.repair and (following is None or following.repair != one.repair):
            yield f"{'':<{_COLUMN}}    {one.repair}"


def announce(outlook: Sequence[Readiness]) -> None:
    """Say in the log and on the terminal who answers which decision."""
    for one in outlook:
        log.log(
            logging.WARNING if one.degraded else logging.INFO,
            "Answers: %s -> %s",
            one.decision,
            one.outlook,
            extra=fields(route=one.route, provider=one.provider, repair=one.repair),
        )
    if not logs.is_json():  # there each line has to be an event
        print("\n".join(table(outlook)), flush=True)


def _trouble(provider: Provider, known: JsonObject | None) -> str | None:
    """Why a provider does not answer just now, None where it does or nobody has tried it yet."""
    if provider.disabled:
        return provider.disabled
    return known["reason"] or "it does not answer" if known and known["available"] is False else None


def _passed_over(plan: RoutePlan) -> dict[str, str]:
    return {name: why.message for name, why in plan.passed_over.items()}


def _of(
    decision: Decision,
    plan: RoutePlan,
    providers: Mapping[str, Provider],
    troubles: Mapping[str, str | None],
    usual: str,
) -> Readiness:
    """usual: who is meant to answer what is everyday."""
    name = next((name for name in plan.chain if not troubles[name]), None)
    provider = providers[name] if name else None
    missing = _missing(decision, plan, providers, name, troubles, usual) or _Missing(None, None)
    return Readiness(
        decision=decision,
        route=plan.route,
        provider=name,
        model=(provider.model or None) if provider else None,
        first=plan.chain[0],
        context=plan.context,
        missing=missing.words,
        repair=_repair(providers[missing.of], troubles[missing.of]) if missing.of else missing.repair,
        degraded=missing.is_degraded or missing.of is not None,
    )


class _Missing(NamedTuple):
    """words: what is missing. repair: how to mend it. of: the provider in trouble, if one is.

    is_degraded: somebody fails who was set up for it.
    """

    words: str | None
    repair: str | None
    of: str | None = None
    is_degraded: bool = False


def _missing(
    decision: Decision,
    plan: RoutePlan,
    providers: Mapping[str, Provider],
    name: str | None,
    troubles: Mapping[str, str | None],
    usual: str,
) -> _Missing | None:
    """What is missing for a decision: the first that holds. name: who answers.

    An owner who has a server of its own for COMPLEX misses no cloud.
    """
    first, provider = plan.chain[0], providers[name] if name else None
    if provider is None:
        return _Missing(f"nobody can answer; {first}: {troubles[first]}", None, first)
    if provider.name != first:
        return _Missing(f"{first}: {troubles[first]}; {provider.name} answers instead", None, first)
    if decision == Decision.ENRICH and (missing := _missing_search(plan, providers, troubles)):
        return missing
    if is_demo(provider.settings):
        return _Missing(f"{provider.name}, the demo model", SET_HOME)
    if decision == Decision.COMPLEX and provider.is_local and first == usual:
        return _Missing(f"no cloud key; stays on {provider.name}", SET_CLOUD)
    return None


def _missing_search(
    plan: RoutePlan, providers: Mapping[str, Provider], troubles: Mapping[str, str | None]
) -> _Missing | None:
    if plan.context is None:
        return _Missing("nobody can search; answers will say so", SET_SEARCH)
    if trouble := troubles[plan.context]:
        return _Missing(f"{plan.context} cannot search: {trouble}; answers will say so", None, plan.context)
    if trouble := providers[plan.context].search_trouble:
        return _Missing(f"{plan.context} failed to search: {trouble}", MEND_SEARCH, is_degraded=True)
    return None


def _repair(provider: Provider, trouble: str | None) -> str:
    """What an owner can do about a provider in trouble."""
    if trouble == OVER_BUDGET.message:
        return RAISE_BUDGET
    variable, is_unset, _ = (trouble or "").partition(" is not set")
    if is_unset:
        return (
            f"set {variable} in .env" if variable.isupper() else f"set providers.{provider.name}.{variable}"
        )
    variables = provider.settings.variables
    if trouble and "is its key right" in trouble:
        key = variables.get("api_key")
        return f"correct {key} in .env" if key else f"correct the key of {provider.name}"
    address = masked(provider.settings.base_url)
    if provider.settings.is_embedded:
        return f"look into app.log for the engine of {provider.name}"
    if trouble and "model" in trouble:
        return _repair_of_model(provider, address)
    if not provider.is_local:
        return f"see whether this machine reaches the internet, and {address} in it"
    named = variables.get("base_url", "its address")
    return f"start the server of {provider.name}, or correct {named}: {address}"


def _repair_of_model(provider: Provider, address: str) -> str:
    variable = provider.settings.variables.get("model")
    if variable:
        return f"correct {variable} in .env, or leave it out"
    if provider.settings.model:
        return f"correct the model of {provider.name}, or leave it out"
    named = provider.settings.variables.get("base_url", f"the address of {provider.name}")
    return f"load a model there, name one, or correct {named}: {address}"
