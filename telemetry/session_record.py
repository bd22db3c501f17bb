"""The session file of one request (CONTRACT: sessions/), collected while it happens and saved at its end.

Images, audio and files are kept by their size only; keys never reach it, since it sees bodies and no headers.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from telemetry.events import (
    Accepted,
    Arrived,
    AttemptEnded,
    AttemptStarted,
    Decided,
    Enriched,
    Finished,
    PassedOver,
    Planned,
    Recorder,
    Speculated,
    Unsearched,
)
from telemetry.summary import Summary
from wire import JsonObject
from wire.raw_json import RawJSON

QUERY_CHARS = 500
MESSAGE_TEXT = ("messages", "prompt", "system", "input", "instructions")  # what a call's params leave out
LONG_CHARS = 256  # from here on a value beside the text may be a picture


class Sessions(Protocol):
    """Writes records; session_logger.SessionLogger does."""

    def save(self, session_id: str, timestamp: datetime, make_record: Callable[[], JsonObject]) -> None: ...


class SessionRecord(Recorder):
    """Collects the record, and queues it for writing when the request has finished."""

    def __init__(self, sessions: Sessions, summary: Summary) -> None:
        self._sessions = sessions
        self._request = summary
        self._arrived: Arrived
        self._accepted: Accepted | None = None
        self._decided: Decided | None = None
        self._planned: Planned | None = None
        self._speculative: AttemptStarted | None = None
        self._cancel_ms: int | None = None
        self._attempts: list[AttemptEnded] = []
        self._enriched: Enriched | None = None
        self._finished: Finished

    def arrived(self, event: Arrived) -> None:
        self._arrived = event

    def accepted(self, event: Accepted) -> None:
        self._accepted = event

    def decided(self, event: Decided) -> None:
        self._decided = event

    def planned(self, event: Planned) -> None:
        self._planned = event

    def attempt_started(self, event: AttemptStarted) -> None:
        if event.speculative:
            self._speculative = event

    def speculated(self, event: Speculated) -> None:
        self._cancel_ms = event.cancel_ms

    def attempt_ended(self, event: AttemptEnded) -> None:
        self._attempts.append(event)

    def enriched(self, event: Enriched) -> None:
        self._enriched = event

    def finished(self, event: Finished) -> None:
        self._finished = event
        if event.worth_keeping:
            self._sessions.save(self._request.session, self._arrived.timestamp, self.record)

    def record(self) -> JsonObject:
        """The file's content. Called by the writing thread, off the request's path."""
        request = self._request
        accepted, decided = self._accepted, self._decided
        messages = accepted.messages if accepted else None
        client_messages = None if messages is None else RawJSON(json.dumps(redacted(messages)))
        answer = next((attempt for attempt in self._attempts if attempt.is_answer), None)
        return {
            "id": request.session,
            "timestamp": self._arrived.timestamp.isoformat(timespec="milliseconds"),
            "client_ip": request.client_ip,
            "key": request.key,
            "api": self._arrived.api,
            "model": accepted and accepted.model,
            "stream": request.stream,
            "user_query": accepted and accepted.user_text and accepted.user_text[:QUERY_CHARS],
            "client_messages": client_messages,
            "decision": request.decision,
            "route": request.route,
            "confidence": decided and decided.confidence,
            "probabilities": decided and decided.probabilities,
            "classification_raw": decided and decided.raw,
            "classification_ms": request.classification_ms,
            "speculation": self._speculation(),
            "passed_over": self._passed_over(),
            "degraded": request.degraded,
            "steps": self._steps(client_messages),
            "ttft_ms": request.ttft_ms,
            "total_ms": self._finished.total_ms,
            "status": self._finished.status,
            "usage": answer and answer.usage,
            "cost_usd": self._cost_usd(),
            "error": self._finished.error,
            **self._conversation(),
        }

    def _steps(self, client_messages: RawJSON | None) -> list[JsonObject]:
        """What was done, in the order in which it began."""
        steps = [_classification_step(self._decided)] if self._decided else []
        steps += [self._enriched.step] if self._enriched else []
        calls = sorted(self._attempts, key=lambda call: call.number)
        own = self._accepted.messages if self._accepted else None
        for call in calls:
            if not call.for_decision:
                sent = call.sent_body.get("messages")
                unchanged = call.native or (sent is not None and sent is own)
                steps.append(_call_step(call, client_messages if unchanged else sent and redacted(sent)))
        return sorted(steps, key=lambda step: int(step["started_ms"]))

    def _speculation(self) -> JsonObject:
        started = self._speculative
        return {
            "outcome": self._request.speculation,
            "provider": started and started.provider,
            "started_ms": started.started_ms if started else None,
            "cancel_ms": self._cancel_ms,
        }

    def _passed_over(self) -> list[JsonObject]:
        """Who of the chain did not answer, in its order, then who should have searched; and why not."""
        request = self._request
        entries = [
            {"provider": event.provider, "reason": event.reason, **_detailed(event)}
            for event in request.passed
        ]
        search = request.unsearched_by
        if search and search.provider:
            entries.append(
                {
                    "provider": search.provider,
                    "reason": search.reason,
                    **_detailed(search),
                    "for": "search",
                }
            )
        return entries

    def _cost_usd(self) -> float | None:
        """The sum of what is known to have been paid; None where nothing is known."""
        costs = [call.cost_usd for call in self._attempts]
        if self._enriched and self._enriched.step["url"]:
            costs.append(self._enriched.cost_usd)
        known = [cost for cost in costs if cost is not None]
        return round(sum(known), 8) if known else None

    def _conversation(self) -> JsonObject:
        """What became of the conversation's target; nothing where there was none."""
        request = self._request
        planned = self._planned
        if planned is None or planned.affinity is None:
            return {}
        before = {"route": planned.affinity.route, "provider": planned.affinity.provider}
        switched = (request.route, request.provider) != (before["route"], before["provider"])
        known_by = planned.affinity.known_by
        return {
            "conversation": {
                "known_by": known_by,
                "before": before,
                "switched": switched,
                "stayed": planned.stayed,
            }
        }


def _detailed(event: PassedOver | Unsearched) -> JsonObject:
    return {"detail": event.detail} if event.detail else {}


def _classification_step(event: Decided) -> JsonObject:
    return {
        "step": "classification",
        "provider": event.source,
        "url": None,
        "model": event.model,
        "messages_sent": None,
        "params": None,
        "started_ms": event.started_ms,
        "duration_ms": event.duration_ms,
        "ttft_ms": None,
        "status": None,
        "finish_reason": None,
        "usage": None,
        "response_content": event.raw,
        "error": event.error,
    }


def _call_step(call: AttemptEnded, messages: RawJSON | list[JsonObject] | None) -> JsonObject:
    return {
        "step": "provider_call",
        "provider": call.provider,
        "url": call.url,
        "model": call.model,
        "messages_sent": messages,
        "params": {key: value for key, value in call.sent_body.items() if key not in MESSAGE_TEXT},
        "started_ms": call.started_ms,
        "duration_ms": call.ended_ms - call.started_ms,
        "ttft_ms": call.ttft_ms,
        "status": call.status,
        "finish_reason": call.finish_reason,
        "usage": call.usage,
        "response_content": call.content if call.is_answer else None,
        "error": call.error,
        **({"queued_ms": call.queued_ms} if call.queued_ms else {}),
    }


def redacted(messages: list[JsonObject]) -> list[JsonObject]:
    """The messages with images, audio and files replaced by their kind and size, as "[image 512 kB]"."""
    return [
        {**message, "content": [_redacted_part(part) for part in content]}
        if isinstance(content := message.get("content"), list)
        else message
        for message in messages
    ]


def _redacted_part(part: Any) -> Any:
    if not isinstance(part, dict) or part.get("type") == "text":
        return part
    return {key: _redacted_value(value, part.get("type")) for key, value in part.items()}


def _redacted_value(value: Any, kind: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redacted_value(inner, kind) for key, inner in value.items()}
    if not isinstance(value, str) or len(value) < LONG_CHARS:
        return value
    if value.startswith("data:") or kind in ("input_audio", "file"):
        name = {"image_url": "image", "input_audio": "audio"}.get(kind, str(kind))
        return f"[{name} {round((len(value) - value.find(',') - 1) * 3 / 4 / 1024)} kB]"
    return value
