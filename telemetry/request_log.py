"""The lines of app.log about one request (CONTRACT: app.log)."""

import logging

from telemetry.events import (
    ANSWERED,
    CANCELLED,
    Accepted,
    AttemptEnded,
    AttemptHead,
    Decided,
    Finished,
    Recorder,
    Speculated,
)
from telemetry.logs import fields
from telemetry.summary import Summary

log = logging.getLogger(__name__)


class RequestLog(Recorder):
    """Writes each line when its event happens, and REQUEST at the end."""

    def __init__(self, summary: Summary) -> None:
        self._request = summary
        self._head: AttemptHead | None = None

    def accepted(self, event: Accepted) -> None:
        request = self._request
        log.info(
            "Incoming request:",
            extra=fields(
                session=request.session,
                **self._client(),
                model=event.model,
                messages=len(event.messages or ()),
                total_chars=event.total_chars,
                stream=event.stream,
            ),
        )

    def decided(self, event: Decided) -> None:
        if event.model is None:
            return
        log.info(
            "Classification completed: %s -> %s in %dms",
            event.decision,
            event.route,
            event.duration_ms,
            extra=fields(
                confidence=None if event.confidence is None else f"{event.confidence:.2f}",
                source=event.source,
            ),
        )

    def speculated(self, event: Speculated) -> None:
        request = self._request
        if event.outcome == CANCELLED:
            log.info(
                "Cancelled speculative primary:",
                extra=fields(session=request.session, route=request.route, cancel_ms=event.cancel_ms),
            )

    def attempt_head(self, event: AttemptHead) -> None:
        self._head = event
        if self._request.stream:
            self._log_response(event, connect_ms=event.connect_ms, ttft_ms=event.ttft_ms)

    def attempt_ended(self, event: AttemptEnded) -> None:
        request = self._request
        if event.failure is not None:
            log.warning(
                "Provider failed: %s",
                request.route,
                # A provider's own words may quote the request: they go to the session file, not into the log.
                extra=fields(
                    session=request.session,
                    provider=event.provider,
                    status=event.status,
                    error=event.failure,
                ),
            )
        elif event.is_answer and event.outcome == ANSWERED and self._head and not request.stream:
            self._log_response(
                self._head, duration_ms=request.inference_ms, finish_reason=event.finish_reason
            )

    def finished(self, event: Finished) -> None:
        request = self._request
        self._log_passed_over()
        enrichment = {} if request.enrichment_ms is None else {"enrichment_ms": request.enrichment_ms}
        log.info(
            "REQUEST",
            extra=fields(
                session=request.session,
                **self._client(),
                decision=request.decision,
                route=request.route,
                provider=request.provider,
                speculation=request.speculation,
                classification_ms=request.classification_ms,
                **enrichment,
                inference_ms=request.inference_ms,
                ttft_ms=request.ttft_ms,
                total_ms=event.total_ms,
                status=event.status,
                stream=request.stream,
            ),
        )
        if request.slow_ms is not None and event.total_ms > request.slow_ms:
            log.warning(
                "SLOW_REQUEST",
                extra=fields(
                    session=request.session,
                    route=request.route,
                    total_ms=event.total_ms,
                    classification_ms=request.classification_ms,
                    **enrichment,
                    inference_ms=request.inference_ms,
                ),
            )

    def _client(self) -> dict[str, str | None]:
        """Who asks: the address, and the key where it has a name."""
        request = self._request
        return {"client": request.client_ip, **({"key": request.key} if request.key else {})}

    def _log_passed_over(self) -> None:
        """One line about who did not answer, and who did not search, where there is anybody to name."""
        request, search = self._request, self._request.unsearched_by
        pairs: dict[str, str] = {}
        if request.passed:
            pairs["providers"] = ",".join(f"{event.provider}:{event.reason}" for event in request.passed)
        if search:
            pairs["search"] = f"{search.provider}:{search.reason}" if search.provider else "nobody"
        if pairs:
            log.info("Passed over:", extra=fields(session=request.session, route=request.route, **pairs))

    def _log_response(self, head: AttemptHead, **details: int | str | None) -> None:
        request = self._request
        log.info(
            "Provider response: %s session=%s",
            request.route,
            request.session,
            extra=fields(
                provider=head.provider,
                status=head.status,
                **details,
                stream=str(request.stream).lower(),
                speculative=str(head.speculative).lower(),
            ),
        )
