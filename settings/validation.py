"""What types and limits cannot say of a configuration: whether its names, addresses and files fit.

Each function checks one section and yields every mistake in it. None of them compares a provider's kind with
a name: what a kind needs and can do is in `settings.kinds`. This module reads no YAML and knows no lines.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from settings.kinds import KINDS, PAGE_SEARCH, Kind
from settings.model import DECISIONS, Config, ModelRule, Params, Provider, Wake
from settings.nodes import line_of, or_similar
from settings.paths import OWN_PROMPTS
from settings.patterns import pattern_of

_LEDGER = re.compile(r"(sqlite|postgres|postgresql|postgresql\+psycopg)://")
_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_URL = re.compile(r"https?://[^/\s]+(/\S*)?")


class Mistake(NamedTuple):
    """What is wrong with a key. at: the key whose line is named instead of its own."""

    key: str
    message: str
    at: str | None = None


Mistakes = Iterator[Mistake]


def mistakes_in(config: Config) -> Mistakes:
    """Every mistake in a whole configuration, in the order of CHECKS."""
    for check in CHECKS:
        yield from check(config)


def check_timezone(config: Config) -> Mistakes:
    if config.timezone == "local":
        return
    try:
        zoneinfo.ZoneInfo(config.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        yield Mistake("timezone", f"'{config.timezone}' is no IANA time zone")


def check_api_keys(config: Config) -> Mistakes:
    """No message quotes a key; a name is none, and is shown."""
    names: dict[str, str | None] = {}
    for index, api_key in enumerate(config.server.keys):
        here = "server.api_keys" + (f"[{index}]" if api_key.name is None else f".{api_key.name}")
        if api_key.name is not None and not _KEY_NAME.fullmatch(api_key.name):
            yield Mistake(here, "a key's name is made of letters, digits, dots, - and _, at most 64 of them")
        if not api_key.key:
            yield Mistake(here, "the key is empty")
        if api_key.name and (first := names.setdefault(api_key.key, api_key.name)) != api_key.name:
            yield Mistake(here, f"is the same key as {first}, so nobody could tell the two apart")
        for route in api_key.routes or ():
            if config.aliases.get(route, route) not in config.routes:
                yield Mistake(
                    f"{here}.routes", f"there is no route {route}; there are {', '.join(config.routes)}"
                )


def check_classifier(config: Config) -> Mistakes:
    classifier = config.classifier
    if classifier.backend == "openai" and not classifier.base_url:
        yield Mistake("classifier.base_url", "is required for the openai backend", at="classifier")
    yield from _check_url("classifier.base_url", classifier.base_url)
    if classifier.backend == "mlx":
        yield from _check_embedded_model("classifier.model", config, classifier.model)
    yield from _check_file("classifier.prompt", config, classifier.prompt)


def _check_embedded_model(key: str, config: Config, model: str) -> Mistakes:
    is_hub_name = model.count("/") == 1 and not model.startswith((".", "~", "/"))
    if model in ("", "builtin", "smollm2") or is_hub_name or config.resolve(model).is_dir():
        return
    yield Mistake(key, f"'{model}' is neither builtin, smollm2, a folder nor a hub's owner/model")


def check_decisions(config: Config) -> Mistakes:
    for decision, route in config.decisions.items():
        key = f"decisions.{decision}"
        if decision not in DECISIONS:
            yield Mistake(key, f"unknown decision; known: {', '.join(DECISIONS)}")
        elif route not in config.routes:
            yield Mistake(key, f"there is no route '{route}'{or_similar(route, config.routes)}")
    missing = [decision for decision in DECISIONS if decision not in config.decisions]
    if missing:
        yield Mistake("decisions", f"no route for {', '.join(missing)}")


# Providers.


def check_providers(config: Config) -> Mistakes:
    for name, provider in config.providers.items():
        key = f"providers.{name}"
        yield from _check_url(f"{key}.base_url", provider.base_url)
        yield from _check_params(f"{key}.params", provider.params)
        yield from _check_keys_of_kind(key, provider)
        if provider.is_embedded:
            yield from _check_embedded_model(f"{key}.model", config, provider.model)
        yield from _check_wake(f"{key}.wake", provider.wake)


def _check_wake(key: str, wake: Wake | None) -> Mistakes:
    if not wake:
        return
    if not _MAC.fullmatch(wake.mac):
        yield Mistake(f"{key}.mac", f"'{wake.mac}' is no hardware address such as a1:b2:c3:d4:e5:f6")
    try:
        ipaddress.IPv4Address(wake.broadcast)
    except ValueError:
        yield Mistake(f"{key}.broadcast", f"'{wake.broadcast}' is no IPv4 address such as 192.168.1.255")


def _check_keys_of_kind(key: str, provider: Provider) -> Mistakes:
    """A key that means nothing to this kind may only have its default, as `make config` prints it."""
    usual = Provider(provider.kind)
    for name, message in _meaningless_keys(provider.kind):
        if getattr(provider, name) != getattr(usual, name):
            yield Mistake(f"{key}.{name}", message)


def _meaningless_keys(name: str) -> Iterator[tuple[str, str]]:
    """(key, why it means nothing) for the keys that do not go with a kind of provider."""
    kind = KINDS[name]
    if "model" not in kind.needs:
        for key in ("model", "extra_body", "params", "prices", "embeddings"):
            yield key, f"{_with_article(name)} provider has no model to be told this"
    if kind.embedded:
        yield "wake", "an embedded model runs on this machine, which is awake"
    if not _reads_results(kind):
        yield "pages", f"only {_kinds_where(_reads_results)} provider's results are read"
    if not _has_a_choice(kind):
        yield "search", f"only {_kinds_where(_has_a_choice)} provider can be asked in more than one way"


def _reads_results(kind: Kind) -> bool:
    return PAGE_SEARCH in kind.searches


def _has_a_choice(kind: Kind) -> bool:
    return len(kind.searches) > 1


def _kinds_where(holds: Callable[[Kind], bool]) -> str:
    """The names of the kinds for which it is so, as in "an openai or a searxng"."""
    return " or ".join(_with_article(name) for name, kind in KINDS.items() if holds(kind))


def _with_article(name: str) -> str:
    return f"{'an' if name.startswith(tuple('aeiou')) else 'a'} {name}"


def check_embeddings(config: Config) -> Mistakes:
    marked = [name for name, provider in config.providers.items() if provider.embeddings]
    if len(marked) > 1:
        yield Mistake(f"providers.{marked[1]}.embeddings", f"'{marked[0]}' is marked for embeddings already")


# Routes.


def check_routes(config: Config) -> Mistakes:
    for name, route in config.routes.items():
        key = f"routes.{name}"
        if name == config.virtual_model:
            yield Mistake(key, "has the name of the virtual model")
        for index, provider in enumerate(route.chain):
            yield from _check_can_answer(f"{key}.chain[{index}]", config, provider, at=f"{key}.chain")
        if bool(route.chain) == bool(route.answer):
            both_or = ", not both" if route.chain else or_similar(name, config.routes.keys() - {name})
            yield Mistake(key, f"needs a chain, or an answer route{both_or}")
        if route.context and not route.answer:
            yield Mistake(f"{key}.context", "needs an answer route that uses what it finds")
        if route.answer:
            yield from _check_answer_route(f"{key}.answer", config, name)
            yield from _check_context(f"{key}.context", config, route.context)
        yield from _check_file(f"{key}.system_prompt", config, route.system_prompt)


def _check_can_answer(key: str, config: Config, provider: str, *, at: str | None = None) -> Mistakes:
    """Whether there is such a provider, and one that answers."""
    if provider not in config.providers:
        similar = or_similar(provider, [*config.providers, *config.dormant])
        yield Mistake(key, f"there is no provider '{provider}'{similar}", at=at)
        return
    capabilities = config.providers[provider].capabilities
    if not capabilities.chat:
        searches = "searches and " if capabilities.search else ""
        yield Mistake(key, f"'{provider}' {searches}answers nobody", at=at)


def _check_answer_route(key: str, config: Config, name: str) -> Mistakes:
    """Whether the route that answers for this one has a chain of its own, and does not lead back here."""
    passed, answer = [name], config.routes[name].answer
    while answer in config.routes and answer not in passed:
        passed.append(answer)
        answer = config.routes[answer].answer
    if answer in passed:
        if name == next(route for route in config.routes if route in passed):  # each circle once
            yield Mistake(key, f"is circular: {' -> '.join([*passed, answer])}")
    elif len(passed) != 2:
        yield Mistake(key, f"there is no route '{config.routes[name].answer}' with a chain")


def _check_context(key: str, config: Config, context: str | None) -> Mistakes:
    """Whether the provider that is to search for a route can. None: nobody does, and the answer says so."""
    if not context:
        return
    if context not in config.providers:
        similar = or_similar(context, [*config.providers, *config.dormant])
        yield Mistake(key, f"there is no provider '{context}'{similar}")
        return
    provider = config.providers[context]
    if not provider.capabilities.search:
        yield Mistake(key, f"'{context}' is {KINDS[provider.kind].doc} and cannot search")


# Rules for model names.


def check_models(config: Config) -> Mistakes:
    seen: dict[tuple[str, str], int] = {}
    for index, rule in enumerate(config.models):
        key = f"models[{index}]"
        named = _names_of(rule)
        if len(named) != 1 or not named[0][1]:
            yield Mistake(key, "needs one of exact, prefix and regex")
            continue
        [(kind, text)] = named
        first = seen.setdefault((kind, text), index)
        if first != index:
            yield Mistake(key, f"{kind} '{text}' stands in models[{first}] already")
        yield from _check_destination(key, config, rule)
        yield from _check_regex(f"{key}.regex", rule.regex)
        yield from _check_params(f"{key}.params", rule.params)


def _names_of(rule: ModelRule) -> list[tuple[str, str]]:
    """(kind, text) of what a rule says of a model's name."""
    named = (("exact", rule.exact), ("prefix", rule.prefix), ("regex", rule.regex))
    return [(kind, text) for kind, text in named if text is not None]


def _check_destination(key: str, config: Config, rule: ModelRule) -> Mistakes:
    if bool(rule.provider) == bool(rule.route):
        yield Mistake(key, "needs a provider or a route" + (", not both" if rule.route else ""))
    if rule.provider:
        yield from _check_can_answer(f"{key}.provider", config, rule.provider)
    if rule.route and rule.route not in config.routes:
        similar = or_similar(rule.route, config.routes)
        yield Mistake(f"{key}.route", f"there is no route '{rule.route}'{similar}")


def _check_regex(key: str, regex: str | None) -> Mistakes:
    if not regex:
        return
    try:
        pattern_of(regex)
    except ValueError as error:
        yield Mistake(key, f"'{regex}' is no RE2 pattern: {error}")


# The rest.


def check_alerts(config: Config) -> Mistakes:
    url = config.alerts.url
    yield from _check_url("alerts.url", url)
    if url and _URL.fullmatch(url) and config.alerts.kind == "ntfy" and not urlsplit(url).path.strip("/"):
        yield Mistake("alerts.url", "names no topic, as in https://ntfy.sh/a-name-that-nobody-guesses")


def check_ledger(config: Config) -> Mistakes:
    if not _LEDGER.match(config.ledger.url):
        yield Mistake("ledger.url", "has to begin with sqlite:/// or postgresql://")


def _check_params(key: str, params: Params) -> Mistakes:
    for name, floor in params.min.items():
        if not isinstance(floor, (int, float)) or isinstance(floor, bool):
            yield Mistake(f"{key}.min.{name}", "expected a number")


def _check_url(key: str, url: str | None) -> Mistakes:
    if url and not _URL.fullmatch(url):
        yield Mistake(key, f"'{url}' is no http(s) URL")


def _check_file(key: str, config: Config, name: str | None) -> Mistakes:
    if not name:
        return
    try:
        found = config.resolve(name)
        if found.parent.name == OWN_PROMPTS:
            name = f"{OWN_PROMPTS}/{found.name}"
        found.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        yield Mistake(key, f"'{name}' is not UTF-8 in line {line_of(error)}")
    except (OSError, ValueError) as error:
        yield Mistake(key, f"'{name}' cannot be read: {getattr(error, 'strerror', None) or error}")


CHECKS: tuple[Callable[[Config], Mistakes], ...] = (
    check_timezone,
    check_api_keys,
    check_classifier,
    check_decisions,
    check_providers,
    check_routes,
    check_models,
    check_ledger,
    check_alerts,
    check_embeddings,
)
