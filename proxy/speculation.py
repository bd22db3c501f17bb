"""Step 2: the primary's call, started before the decision is known.

A speculation owns one of the few places for undecided calls from its start until the decision, as a context
manager does: leaving the block gives the place back, and leaving it by an exception cancels the call.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType, TracebackType

from errors import EmptyAnswer, ProxyError, Reason, Unserved, UpstreamError
from providers import Provider
from proxy.exchange import Exchange
from proxy.fallback import Tried, disabled, resting
from routing.router import RoutePlan
from settings.model import Speculation as Settings
from telemetry.events import ADOPTED, CANCELLED, FAILED, Speculated
from upstream.attempt import Attempt
from upstream.endpoint import CHAT
from wire.native import ProviderRequest

# Beyond the places: cancelled calls that still hang in a name look-up, which cannot be cut.
LINGERING_THREADS = 24

log = logging.getLogger(__name__)


class Speculation:
    """One speculative call, or none where the primary could not take it."""

    def __init__(
        self,
        exchange: Exchange,
        attempt: Attempt | None = None,
        give_back: Callable[[], None] | None = None,
        passed_over: Mapping[Provider, ProxyError] = MappingProxyType({}),
    ) -> None:
        """passed_over: who of the chain comes before the attempt's provider and was not called, and why."""
        self.attempt = attempt
        self._passed_over = passed_over
        self._exchange = exchange
        self._give_back = give_back

    def __enter__(self) -> "Speculation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._give_back:
            self._give_back()
        if error is not None:
            self.cancel()

    def adopt(self, tried: Tried) -> Attempt | None:
        """The call with its head in hand; None if there is none, or if the chain may mend its failure.

        tried: learns who was passed over. Raises UpstreamError where its refusal is the answer, Cancelled.
        """
        attempt = self.attempt
        if attempt is None:
            return None
        self.adopted()
        for provider, why in self._passed_over.items():
            if why.reason == Reason.RESTING:
                provider.breaker.missed()
        try:
            attempt.head()
        except (UpstreamError, Unserved) as error:
            if not error.may_go_on:
                tried.refused_by(attempt, error)
            self._give_up(attempt, error, tried)
            return None
        if attempt.is_empty:
            self._give_up(attempt, EmptyAnswer("its answer was empty"), tried)
            return None
        for provider, why in self._passed_over.items():
            tried.add(provider.name, why)
        return tried.answered_by(attempt)

    def adopted(self) -> None:
        """Tell that the call's answer is the client's."""
        if self.attempt is not None:
            self._notify(ADOPTED, self.attempt)

    def _give_up(self, attempt: Attempt, error: ProxyError, tried: Tried) -> None:
        """Leave it to the chain."""
        self._notify(FAILED, attempt)
        if not error.lacks:
            self._exchange.calls.failed(attempt, error)
        tried.not_again(attempt, error)

    def cancel(self, tried: Tried | None = None) -> None:
        """Hang up: the decision is for somebody else, or there will be none. tried: learns of a failure."""
        attempt = self.attempt
        if attempt is None:
            return
        if attempt.failed:
            self._notify(FAILED, attempt)
            if tried is not None and attempt.failure is not None:
                tried.not_again(attempt, attempt.failure)
            return
        started = time.monotonic()
        attempt.cancel()
        self._notify(CANCELLED, attempt, round((time.monotonic() - started) * 1000))

    def _notify(self, outcome: str, attempt: Attempt, cancel_ms: int | None = None) -> None:
        self._exchange.notify(Speculated(outcome, attempt.provider.name, cancel_ms))


class Speculator:
    """Starts speculations, so many at once."""

    def __init__(self, settings: Settings, providers: Mapping[str, Provider]) -> None:
        limit = settings.max_in_flight if settings.enabled else 0
        self._providers = providers
        self._places = threading.BoundedSemaphore(limit) if limit else None
        self._executor = ThreadPoolExecutor(limit + LINGERING_THREADS, thread_name_prefix="speculation")

    def start(
        self, exchange: Exchange, plan: RoutePlan, prepare: Callable[[], ProviderRequest]
    ) -> Speculation:
        """Call the plan's first provider on another thread.

        There is no call when that provider is busy, resting or disabled, when it is somebody else's, who is
        paid for each call, or when enough are undecided already.
        """
        provider, passed_over = self._first_able(plan)
        if provider is None or provider.is_away:
            return Speculation(exchange)
        if self._places is None or not self._places.acquire(blocking=False):
            return Speculation(exchange)
        try:
            attempt = self._begin(provider, prepare)
        except BaseException:
            self._places.release()
            raise
        if attempt is None:
            self._places.release()
            return Speculation(exchange)
        exchange.calls.started(attempt, speculative=True)
        attempt.start(self._executor)
        return Speculation(exchange, attempt, self._places.release, passed_over)

    def _first_able(self, plan: RoutePlan) -> tuple[Provider | None, dict[Provider, ProxyError]]:
        """The first provider of the plan that may be called now, and why those before it may not."""
        passed_over: dict[Provider, ProxyError] = {}
        for provider in map(self._providers.__getitem__, plan.chain):
            if provider.name in plan.passed_over:
                passed_over[provider] = plan.passed_over[provider.name]
            elif provider.disabled:
                passed_over[provider] = disabled(provider)
            elif not provider.breaker.available:
                passed_over[provider] = resting(provider)
            else:
                return provider, passed_over
        return None, passed_over

    @staticmethod
    def _begin(provider: Provider, prepare: Callable[[], ProviderRequest]) -> Attempt | None:
        """An attempt with its slot and permit, None where the provider has none to give just now."""
        slot = provider.admission.try_enter()
        permit = provider.breaker.begin() if slot else None
        if slot is None or permit is None:
            if slot:
                slot.release()
            return None
        provider_request = prepare()
        return Attempt(
            provider,
            CHAT,
            provider_request.chat_for(provider),
            native=provider_request.native,
            slot=slot,
            permit=permit,
        )
