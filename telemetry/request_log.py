"""The lines of app.log about one request (CONTRACT: app.log)."""

import logging

from telemetry.events import (
    ADOPTED,
    ANSWERED,
    CANCELLED,
    OFF,
    Accepted,
    Arrived,
    AttemptEnded,
    AttemptHead,
    AttemptStarted,
    Decided,
    Enriched,
    Finished,
    FirstByte,
    Planned,
    Recorder,
    Speculated,
)
from telemetry.logs import fields

log = logging.getLogger(__name__)


class RequestLog(Recorder):
    """Writes each line when its event happens, and REQUEST at the end."""

    def __init__(self) -> None:
        self._session = ""
        self._client_ip: str | None = None
        self._stream = False
        self._decision: str | None = None
        self._route: str | None = None
        self._slow_ms: int | None = None
        self._provider: str | None = None
        self._speculation = OFF
        self._classification_ms: int | None = None
        self._enrichment: dict[str, int] = {}  # its duration, where there was one
        self._head: AttemptHead | None = None
        self._inference_ms: int | None = None
        self._ttft_ms: int | None = None

    def arrived(self, event: Arrived) -> None:
        self._session, self._client_ip = event.session, event.client_ip

    def accepted(self, event: Accepted) -> None:
        self._stream = event.stream
        log.info(
            "Incoming request:",
            extra=fields(
                session=self._session,
                client=self._client_ip,
                model=event.model,
                messages=len(event.messages or ()),
                total_chars=event.total_chars,
                stream=event.stream,
            ),
        )

    def decided(self, event: Decided) -> None:
        self._decision, self._classification_ms = event.decision, event.duration_ms
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

    def planned(self, event: Planned) -> None:
        self._decision, self._route, self._slow_ms = event.decision, event.route, event.slow_ms
        self._provider = event.provider

    def speculated(self, event: Speculated) -> None:
        self._speculation = event.outcome
        if event.outcome == ADOPTED:
            self._provider = event.provider
        elif event.outcome == CANCELLED:
            log.info(
                "Cancelled speculative primary:",
                extra=fields(session=self._session, route=self._route, cancel_ms=event.cancel_ms),
            )

    def attempt_started(self, event: AttemptStarted) -> None:
        if not event.speculative:
            self._provider = event.provider

    def attempt_head(self, event: AttemptHead) -> None:
        self._head, self._provider = event, event.provider
        if self._stream:
            self._log_response(event, connect_ms=event.connect_ms, ttft_ms=event.ttft_ms)

    def first_byte(self, event: FirstByte) -> None:
        self._ttft_ms = event.ttft_ms

    def attempt_ended(self, event: AttemptEnded) -> None:
        if event.is_answer:
            self._inference_ms = event.ended_ms - event.started_ms
        if event.failure is not None:
            log.warning(
                "Provider failed: %s",
                self._route,
                # A provider's own words may quote the request: they go to the session file and not into the
                # log.
                extra=fields(
                    session=self._session, provider=event.provider, status=event.status, error=event.failure
                ),
            )
        elif event.is_answer and event.outcome == ANSWERED and self._head and not self._stream:
            times = {"duration_ms": event.ended_ms - event.started_ms, "finish_reason": event.finish_reason}
            self._log_response(self._head, **times)

    def enriched(self, event: Enriched) -> None:
        self._enrichment = {"enrichment_ms": event.duration_ms}

    def finished(self, event: Finished) -> None:
        log.info(
            "REQUEST",
            extra=fields(
                session=self._session,
                client=self._client_ip,
                decision=self._decision,
                route=self._route,
                provider=self._provider,
                speculation=self._speculation,
                classification_ms=self._classification_ms,
                **self._enrichment,
                inference_ms=self._inference_ms,
                ttft_ms=self._ttft_ms,
                total_ms=event.total_ms,
                status=event.status,
                stream=self._stream,
            ),
        )
        if self._slow_ms is not None and event.total_ms > self._slow_ms:
            log.warning(
                "SLOW_REQUEST",
                extra=fields(
                    session=self._session,
                    route=self._route,
                    total_ms=event.total_ms,
                    classification_ms=self._classification_ms,
                    **self._enrichment,
                    inference_ms=self._inference_ms,
                ),
            )

    def _log_response(self, head: AttemptHead, **times: int | str | None) -> None:
        log.info(
            "Provider response: %s session=%s",
            self._route,
            self._session,
            extra=fields(
                provider=head.provider,
                status=head.status,
                **times,
                stream=str(self._stream).lower(),
                speculative=str(head.speculative).lower(),
            ),
        )
