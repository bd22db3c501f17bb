"""Step 2: the primary's call, started before the decision is known.

A speculation owns one of the few places for undecided calls from its start until the decision, as a context
manager does: leaving the block gives the place back, and leaving it by an exception cancels the call.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from types import TracebackType

from errors import HeadTimeout, ProxyError, UpstreamError
from providers import Provider
from proxy.exchange import Exchange
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
        resting: Iterable[Provider] = (),
    ) -> None:
        """resting: the providers that would have been called first, were they not resting."""
        self.attempt = attempt
        self._exchange = exchange
        self._give_back = give_back
        self._resting = resting

    def __enter__(self) -> "Speculation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._give_back:
            self._give_back()
        if error is not None:
            self.cancel()

    def adopt(self) -> Attempt | None:
        """The call with its head in hand; None if there is none, or if the chain may mend its failure.

        Raises UpstreamError where its refusal is the answer, Cancelled.
        """
        attempt = self.attempt
        if attempt is None:
            return None
        self._notify(ADOPTED, attempt)
        for provider in self._resting:
            provider.breaker.missed()
        try:
            attempt.head()
        except UpstreamError as error:
            self._exchange.calls.failed(attempt, error, is_answer=not error.may_go_on)
            if not error.may_go_on:
                raise
            self._notify(FAILED, attempt)
            return None
        return attempt

    def cancel(self) -> None:
        """Hang up: the decision is for somebody else, or there will be none."""
        attempt = self.attempt
        if attempt is None:
            return
        if attempt.failed:
            self._notify(FAILED, attempt)
            return
        started = time.monotonic()
        attempt.cancel()
        self._notify(CANCELLED, attempt, round((time.monotonic() - started) * 1000))

    @property
    def timed_out(self) -> Mapping[str, ProxyError]:
        """The provider that has used up its time for this request, with the error; it is not tried again."""
        attempt = self.attempt
        if attempt is None or not isinstance(attempt.failure, HeadTimeout):
            return {}
        return {attempt.provider.name: attempt.failure}

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

        There is no call when that provider is busy, resting or disabled, or when enough are undecided
        already.
        """
        named = (self._providers[name] for name in plan.chain if name not in plan.passed_over)
        able = [one for one in named if not one.disabled]
        resting = list(takewhile(lambda one: not one.breaker.available, able))
        provider = next(iter(able[len(resting) :]), None)
        if provider is None or self._places is None or not self._places.acquire(blocking=False):
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
        return Speculation(exchange, attempt, self._places.release, resting)

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
