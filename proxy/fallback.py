"""Step 4: the first provider of a chain that brings content; until then the next one may still answer.

Leave to call a provider is a place in its admission queue and a permit of its breaker.
"""

from collections.abc import Mapping

from errors import BadRequest, ChainExhausted, ProxyError, Unavailable, UpstreamError
from providers import Provider
from proxy.exchange import Exchange
from routing.router import RoutePlan
from settings.decisions import Decision
from upstream.admission import CHAT as CHAT_PRIORITY
from upstream.admission import META as META_PRIORITY
from upstream.admission import Slot
from upstream.attempt import Attempt
from upstream.breaker import Permit
from upstream.endpoint import CHAT
from wire.native import ProviderRequest


def first_head(
    exchange: Exchange,
    plan: RoutePlan,
    provider_request: ProviderRequest,
    providers: Mapping[str, Provider],
    *,
    path: str = CHAT,
    failed: Mapping[str, ProxyError] | None = None,
) -> Attempt:
    """The first attempt along the plan's chain that brings content.

    failed: providers that have failed this request already and are not tried again. Raises UpstreamStatus for
    a 4xx of the client's making (and a 429 when there is nobody else to ask), ChainExhausted when all have
    failed, Cancelled.
    """
    passed_over = {**plan.passed_over, **(failed or {})}
    tried: list[tuple[str, ProxyError]] = []
    for name in plan.chain:
        if name in passed_over:
            tried.append((name, passed_over[name]))
            continue
        attempt = None
        try:
            attempt = _begin(exchange, plan, provider_request, providers[name], path)
            attempt.head()
            return attempt
        except UpstreamError as error:
            if attempt is not None:
                is_answer = not error.may_go_on or (error.status == 429 and len(plan.chain) == 1)
                exchange.calls.failed(attempt, error, is_answer=is_answer)
                if is_answer:
                    raise
            tried.append((name, error))
    if tried and all(isinstance(error, BadRequest) for _, error in tried):
        raise tried[0][1]
    raise ChainExhausted(plan.route, tried)


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
        raise Unavailable(f"disabled, {provider.disabled}")
    if not provider.breaker.allows():
        raise _resting(provider)
    # The place first: a call that finds none says nothing about the provider and must not use up its one
    # trial.
    slot = provider.admission.enter(META_PRIORITY if is_meta else CHAT_PRIORITY, exchange.on_cancel)
    permit = provider.breaker.begin()
    if permit is None:
        slot.release()
        raise _resting(provider)
    return slot, permit


def _resting(provider: Provider) -> Unavailable:
    breaker = provider.breaker
    breaker.missed()
    return Unavailable(f"resting, {breaker.snapshot()['reason']}", cooldown_left_s=breaker.cooldown_left_s())
