"""The ledger rows of one request: one for each call made for it, the cancelled speculation among them."""

from datetime import timedelta

from accounting.ledger import Call, Ledger
from telemetry import events
from telemetry.events import Arrived, AttemptEnded, Enriched, Finished, Recorder
from telemetry.summary import Summary
from wire.usage import Usage, parse_usage


class LedgerEntries(Recorder):
    """Collects the request's calls and has the ledger write them when it has finished."""

    def __init__(self, ledger: Ledger, summary: Summary) -> None:
        self._ledger = ledger
        self._request = summary
        self._arrived: Arrived
        self._calls: list[AttemptEnded] = []
        self._enriched: Enriched | None = None

    def arrived(self, event: Arrived) -> None:
        self._arrived = event

    def attempt_ended(self, event: AttemptEnded) -> None:
        self._calls.append(event)

    def enriched(self, event: Enriched) -> None:
        self._enriched = event

    def finished(self, event: Finished) -> None:
        rows = [
            self._of_call(call)
            for call in sorted(self._calls, key=lambda call: (not call.for_decision, call.number))
        ]
        if self._enriched and self._enriched.step["url"]:
            rows.append(self._of_search(self._enriched))
        self._ledger.record(rows)

    def _of_call(self, call: AttemptEnded) -> Call:
        request = self._request
        answered = call.outcome == events.ANSWERED
        saved = call.speculative and request.speculation == events.ADOPTED and answered
        return self._row(
            provider=call.provider,
            model=call.model,
            outcome=call.outcome,
            started_ms=call.started_ms,
            duration_ms=call.ended_ms - call.started_ms,
            used=call.used,
            cost_usd=call.cost_usd,
            speculative=call.speculative,
            saved_ms=request.classification_ms if saved else None,
        )

    def _of_search(self, search: Enriched) -> Call:
        step = search.step
        return self._row(
            provider=step["provider"],
            model=step["model"],
            outcome=search.outcome,
            started_ms=search.started_ms,
            duration_ms=search.duration_ms,
            used=parse_usage(step["usage"]),
            cost_usd=search.cost_usd,
        )

    def _row(
        self,
        *,
        provider: str,
        model: str,
        outcome: str,
        started_ms: int,
        duration_ms: int,
        used: Usage | None,
        cost_usd: float | None,
        speculative: bool = False,
        saved_ms: int | None = None,
    ) -> Call:
        request = self._request
        return Call(
            at=self._arrived.timestamp + timedelta(milliseconds=started_ms),
            session=request.session,
            provider=provider,
            model=model,
            outcome=outcome,
            duration_ms=duration_ms,
            route=request.route,
            decision=request.decision,
            input_tokens=used.input_tokens if used else None,
            cached_tokens=used.cached_tokens if used else None,
            output_tokens=used.output_tokens if used else None,
            reasoning_tokens=used.reasoning_tokens if used else None,
            cost_usd=cost_usd,
            estimated=bool(used and used.estimated),
            speculative=speculative,
            saved_ms=saved_ms,
            key=request.key,
        )
