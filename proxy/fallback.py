"""Step 4: the first provider of a chain that brings content; until then the next one may still answer.

Leave to call a provider is a place in its admission queue and a permit of its breaker. Who is passed over is
told to the recorders once it is clear who answers.

A provider that cannot do what is asked (`ProxyError.lacks`), or whose answer has nothing in it, has not
failed: the chain goes on, and where nobody else can answer, the client gets what that provider said.
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import NoReturn

from errors import (
    BadRequest,
    ChainExhausted,
    ConnectFailed,
    EmptyAnswer,
    HeadTimeout,
    ProxyError,
    Reason,
    Unavailable,
    Unserved,
    UpstreamError,
)
from providers import Provider
from proxy.exchange import Exchange
from routing.router import RoutePlan
from settings.decisions import Decision
from telemetry.events import PassedOver
from upstream.admission import CHAT as CHAT_PRIORITY
from upstream.admission import META as META_PRIORITY
from upstream.admission import Slot
from upstream.attempt import Attempt
from upstream.breaker import Permit
from upstream.endpoint import CHAT
from wire.native import ProviderRequest

CONNECT_WAIT_S = 1.0  # a connection that took so long to fail is not tried twice for one request
# What is known of a provider for sure. Where the whole chain is so, the request is at fault and not the time.
CERTAIN = {Reason.NO_VISION: "can see pictures", Reason.NO_AUDIO: "can hear audio"}


class Tried:
    """What has become of a plan's providers for one request."""

    def __init__(self, exchange: Exchange, plan: RoutePlan) -> None:
        self._exchange = exchange
        self._plan = plan
        self._errors: dict[str, ProxyError] = dict(plan.passed_over)
        # Refusals and empty answers, of which one is the client's if nobody gives a better answer. Their ends
        # are told when that is clear.
        self._kept: dict[str, Attempt] = {}

    def __contains__(self, provider: str) -> bool:
        return provider in self._errors

    def add(self, provider: str, error: ProxyError) -> None:
        """Note why a provider does not answer."""
        self._errors[provider] = error

    def keep(self, attempt: Attempt, error: ProxyError) -> None:
        """Note a call that ended with nothing better than this."""
        self._errors[attempt.provider.name] = error
        self._kept[attempt.provider.name] = attempt

    def not_again(self, attempt: Attempt, error: ProxyError) -> None:
        """Note a speculation's failure where its provider would not fare better if it was asked again."""
        name = attempt.provider.name
        if name not in self._plan.chain:
            return
        if error.lacks:
            self.keep(attempt, error)
        elif isinstance(error, HeadTimeout) or _has_waited(attempt, error):
            self.add(name, error)  # it has used up its time for this request

    def answered_by(self, attempt: Attempt) -> Attempt:
        """Tell who was passed over for this answer. Returns it."""
        self._tell(self._before(attempt), attempt)
        return attempt

    def refused_by(self, attempt: Attempt, error: ProxyError) -> NoReturn:
        """Tell who was passed over before this refusal, which is the answer. Raises it."""
        self._exchange.calls.failed(attempt, error, is_answer=True)
        self._tell(self._before(attempt), attempt)
        raise error

    def nobody(self) -> Attempt:
        """The answer of last resort, an empty one. Raises the error that says best what is wrong."""
        kept = [self._kept[name] for name in self._plan.chain if name in self._kept]
        empty = next((attempt for attempt in kept if attempt.failure is None), None)
        if empty is not None:
            return self.answered_by(empty)
        refused = kept[0] if kept else None
        self._tell(self._plan.chain, refused)
        raise refused.failure if refused and refused.failure else self._exhausted()

    def _before(self, attempt: Attempt) -> tuple[str, ...]:
        """Who of the chain comes before an attempt's provider."""
        return tuple(takewhile(lambda name: name != attempt.provider.name, self._plan.chain))

    def _tell(self, passed_over: tuple[str, ...], answer: Attempt | None) -> None:
        """Tell the end of each call that was kept, and who was passed over. answer: what the client gets."""
        for name, attempt in self._kept.items():
            if attempt is answer and attempt.failure is None:
                continue  # it goes on as an answer
            attempt.failure = attempt.failure or self._errors[name]
            self._exchange.calls.failed(attempt, self._errors[name], is_answer=attempt is answer)
        for name in passed_over:
            if name in self._errors:
                error = self._errors[name]
                self._exchange.notify(PassedOver(name, error.reason, error.detail))

    def _exhausted(self) -> ProxyError:
        """The error of a chain in which nobody could be asked, or all have failed."""
        plan, errors = self._plan, self._errors
        tried = [(name, errors[name]) for name in plan.chain if name in errors]
        there = [error for _, error in tried if error.reason != Reason.DISABLED]
        if there and all(isinstance(error, BadRequest) for error in there):
            return there[0]
        if there and all(error.reason in CERTAIN for error in there):
            return _nobody_can(plan.route, tried)
        return ChainExhausted(plan.route, tried)


def _has_waited(attempt: Attempt, error: ProxyError) -> bool:
    """Whether nobody took the connection for a while, as with a machine that sleeps. A refusal is quick."""
    ended_at = attempt.ended_at or attempt.started_at
    return isinstance(error, ConnectFailed) and ended_at - attempt.started_at >= CONNECT_WAIT_S


def _nobody_can(route: str, tried: list[tuple[str, ProxyError]]) -> BadRequest:
    """The error of a request that is not for any provider of the route."""
    lacking = [reason for reason in CERTAIN if any(error.reason == reason for _, error in tried)]
    what = " and ".join(CERTAIN[reason] for reason in lacking)
    each = ", ".join(f"{provider} ({error.message})" for provider, error in tried)
    message = f"no provider of route '{route}' {what}: {each}; its chain needs a model that can"
    return BadRequest(message, param="messages", code=lacking[0])


def first_head(
    exchange: Exchange,
    plan: RoutePlan,
    provider_request: ProviderRequest,
    providers: Mapping[str, Provider],
    *,
    path: str = CHAT,
    tried: Tried | None = None,
) -> Attempt:
    """The first attempt along the plan's chain that brings content.

    tried: what has become of providers that have been asked already and are not asked again. An answer that
    has nothing in it is given where nobody has a better one. Raises UpstreamStatus for a 4xx of the client's
    making (and a 429 when there is nobody else to ask), BadRequest for what no provider of the plan can do,
    ChainExhausted when all have failed, Cancelled.
    """
    tried = tried or Tried(exchange, plan)
    alone = len(plan.chain) - len(plan.passed_over.keys() & set(plan.chain)) == 1
    for name in plan.chain:
        if name in tried:
            continue
        try:
            attempt = _begin(exchange, plan, provider_request, providers[name], path)
        except Unavailable as error:
            tried.add(name, error)
            continue
        if _brings_content(exchange, attempt, tried, alone=alone):
            return tried.answered_by(attempt)
    return tried.nobody()


def _brings_content(exchange: Exchange, attempt: Attempt, tried: Tried, *, alone: bool) -> bool:
    """Whether an attempt has an answer; else it is noted why not.

    alone: there is nobody else to ask. Raises the refusal that is the answer, Cancelled.
    """
    try:
        attempt.head()
    except (UpstreamError, Unserved) as error:
        if error.lacks:
            tried.keep(attempt, error)
        elif not error.may_go_on or (error.status == 429 and alone):
            tried.refused_by(attempt, error)
        else:
            exchange.calls.failed(attempt, error)
            tried.add(attempt.provider.name, error)
        return False
    if attempt.is_empty:
        tried.keep(attempt, EmptyAnswer("its answer was empty"))
        return False
    return True


def _begin(
    exchange: Exchange, plan: RoutePlan, provider_request: ProviderRequest, provider: Provider, path: str
) -> Attempt:
    """An attempt that may begin now. Raises Unavailable when the provider is not to be called, Cancelled."""
    slot, permit = admit(exchange, provider, is_meta=plan.decision == Decision.META)
    body = provider_request.chat_for(provider)
    attempt = Attempt(
        provider, path, body, native=provider_request.native, rule=plan.rule, slot=slot, permit=permit
    )
    return exchange.calls.started(attempt)


def admit(exchange: Exchange, provider: Provider, *, is_meta: bool = False) -> tuple[Slot, Permit]:
    """A place in a provider's admission queue, and its breaker's permit. is_meta: chat goes first.

    Raises Unavailable where it may not be called, Cancelled when the client goes while it is queued.
    """
    if provider.disabled:
        raise disabled(provider)
    if not provider.breaker.allows():
        provider.breaker.missed()
        raise resting(provider)
    # The place first: a call that finds none says nothing about the provider and must not use up its one
    # trial.
    slot = provider.admission.enter(META_PRIORITY if is_meta else CHAT_PRIORITY, exchange.on_cancel)
    permit = provider.breaker.begin()
    if permit is None:
        slot.release()
        provider.breaker.missed()
        raise resting(provider)
    return slot, permit


def disabled(provider: Provider) -> Unavailable:
    """The error of a provider without one of its settings."""
    return Unavailable(f"disabled, {provider.disabled}", reason=Reason.DISABLED, detail=provider.disabled)


def resting(provider: Provider) -> Unavailable:
    """The error of a provider whose breaker is open."""
    breaker = provider.breaker
    why = breaker.snapshot()["reason"]
    return Unavailable(
        f"resting, {why}",
        reason=Reason.RESTING,
        detail=why,
        unreached=breaker.unreached,
        silent=breaker.silent,
        cooldown_left_s=breaker.cooldown_left_s(),
    )
