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
    Speculated,
)
from telemetry.logs import fields
from telemetry.summary import Summary

log = logging.getLogger(__name__)


class RequestLog(Summary):
    """Writes each line when its event happens, and REQUEST at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._head: AttemptHead | None = None

    def accepted(self, event: Accepted) -> None:
        super().accepted(event)
        log.info(
            "Incoming request:",
            extra=fields(
                session=self.session,
                client=self.client_ip,
                model=event.model,
                messages=len(event.messages or ()),
                total_chars=event.total_chars,
                stream=event.stream,
            ),
        )

    def decided(self, event: Decided) -> None:
        super().decided(event)
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
        super().speculated(event)
        if event.outcome == CANCELLED:
            log.info(
                "Cancelled speculative primary:",
                extra=fields(session=self.session, route=self.route, cancel_ms=event.cancel_ms),
            )

    def attempt_head(self, event: AttemptHead) -> None:
        super().attempt_head(event)
        self._head = event
        if self.stream:
            self._log_response(event, connect_ms=event.connect_ms, ttft_ms=event.ttft_ms)

    def attempt_ended(self, event: AttemptEnded) -> None:
        super().attempt_ended(event)
        if event.failure is not None:
            log.warning(
                "Provider failed: %s",
                self.route,
                # A provider's own words may quote the request: they go to the session file, not into the log.
                extra=fields(
                    session=self.session, provider=event.provider, status=event.status, error=event.failure
                ),
            )
        elif event.is_answer and event.outcome == ANSWERED and self._head and not self.stream:
            self._log_response(self._head, duration_ms=self.inference_ms, finish_reason=event.finish_reason)

    def finished(self, event: Finished) -> None:
        enrichment = {} if self.enrichment_ms is None else {"enrichment_ms": self.enrichment_ms}
        log.info(
            "REQUEST",
            extra=fields(
                session=self.session,
                client=self.client_ip,
                decision=self.decision,
                route=self.route,
                provider=self.provider,
                speculation=self.speculation,
                classification_ms=self.classification_ms,
                **enrichment,
                inference_ms=self.inference_ms,
                ttft_ms=self.ttft_ms,
                total_ms=event.total_ms,
                status=event.status,
                stream=self.stream,
            ),
        )
        if self.slow_ms is not None and event.total_ms > self.slow_ms:
            log.warning(
                "SLOW_REQUEST",
                extra=fields(
                    session=self.session,
                    route=self.route,
                    total_ms=event.total_ms,
                    classification_ms=self.classification_ms,
                    **enrichment,
                    inference_ms=self.inference_ms,
                ),
            )

    def _log_response(self, head: AttemptHead, **details: int | str | None) -> None:
        log.info(
            "Provider response: %s session=%s",
            self.route,
            self.session,
            extra=fields(
                provider=head.provider,
                status=head.status,
                **details,
                stream=str(self.stream).lower(),
                speculative=str(head.speculative).lower(),
            ),
        )
