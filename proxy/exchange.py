"""One request from arrival to end: its clock, its calls on the line, its books.

Everything the log line, the session file and the headers say about a request is collected here and settled exactly once, however it ends.
Times are ms from arrival on the monotonic clock; the timestamp is wall-clock.
"""

import dataclasses
import json
import logging
import secrets
import threading
import time
from datetime import datetime, timedelta

from accounting.ledger import ANSWERED, CANCELLED, FAILED, Call
from errors import ProxyError
from session_logger import RawJSON
from telemetry.logs import fields
from upstream.attempt import RECORDED_CHARS
from wire import openai_chat
from wire import usage as usages
from wire.turns import user_turns

QUERY_CHARS = 500
MESSAGE_TEXT = (
    "messages",
    "prompt",
    "system",
    "input",
    "instructions",
)  # the fields of a request that are not its params
PINNED = "PINNED"  # stands where a decision would, when the client named the route or provider itself

log = logging.getLogger(__name__)


class Exchange:
    def __init__(self, client_ip, dialect):
        """dialect: in what the client speaks, one of dialects.py."""
        self.id = secrets.token_hex(4)
        self.arrived_at = time.monotonic()
        self.timestamp = datetime.now().astimezone()
        self.client_ip = client_ip
        self.dialect = dialect
        self.body = None  # the client's request once it has been checked
        self.model = None
        self.model_class = None  # the route that an agent of the gateway names beside, or instead of, a model
        self.stream = False
        self.client_messages = None  # RawJSON, serialized once at arrival
        self.turns = (
            None  # the conversation's (role, text), in the user's own words; None where there are no messages
        )
        self.user_query = None
        self.decision = None
        self.route = None
        self.slow_ms = None
        self.provider = None
        self.verdict = None
        self.classification_step = None
        self.asking = None  # the Attempt by which a chat model was asked for the decision
        self.search = None  # the SearchCall of its enrichment
        self.speculation_outcome = "off"
        self.speculative = None  # the speculative Attempt
        self.cancel_ms = None
        self.attempts = []
        self.answering = None  # the Attempt whose answer the client gets
        self.ttft_ms = None
        self.total_ms = None
        self.status = None
        self.failure = None  # the ProxyError it ended with, before the first byte or in mid-stream
        self.delivered = False  # the last of the answer is on its way to the client, or has been sent
        self.gone = False
        self.conversation = None  # the conversations.Conversation that it goes on with
        self.stayed = False  # with its conversation's provider, although the decision was for another
        self.budget_exhausted = False  # a provider was passed over for the money
        self._lock = threading.Lock()
        self._cancels = []
        self._rows = []  # what the ledger was told
        self._settled = False

    def ms(self, at=None):
        """Whole ms from arrival to a monotonic time, None for now."""
        return round(((time.monotonic() if at is None else at) - self.arrived_at) * 1000)

    # The client's hang-up.

    def on_cancel(self, cancel):
        """Have `cancel()` called when the client goes; at once if it has gone already."""
        with self._lock:
            if not self.gone and self.failure is None:
                self._cancels.append(cancel)
                return
        cancel()

    def hang_up(self, stopping=False):
        """The client has gone, or the server is stopping: hang up every call made for it. From any thread.

        A client that goes because it has its answer has not gone. One that we leave is told so.
        """
        with self._lock:
            if self.delivered or self.failure is not None:
                return
            if stopping:
                self.failure = ProxyError(
                    "the proxy is being stopped; try again in a moment", code="shutting_down"
                )
                self.failure.status, self.failure.worth_retrying = 503, True
            self.gone = not stopping
            cancels, self._cancels = self._cancels, []
        for cancel in cancels:
            cancel()

    def calls(self, attempt):
        """Take an attempt made for this request into the books, and have it hung up when the client goes. Returns it."""
        self.attempts.append(attempt)
        self.on_cancel(attempt.cancel)
        return attempt

    def searches(self, call):
        """Note the search made for this request, a SearchCall."""
        self.search = call

    @property
    def enrichment_ms(self):
        return self.search and self.search.duration_ms

    def asks(self, attempt):
        """Note the call by which the decision is made, for the ledger."""
        self.asking = attempt

    # The books.

    def accepted(self, body):
        """Note a checked chat request."""
        self.body = body
        self.model = body.get("model")
        self.stream = bool(body.get("stream"))
        messages = body.get("messages")
        if messages is not None:
            self.client_messages = RawJSON(json.dumps(redacted(messages)))
            self.turns = user_turns(messages)
            self.user_query = next(
                (text[:QUERY_CHARS] for role, text in reversed(self.turns) if role == "user"), None
            )
            chars = sum(len(openai_chat.text_of(message.get("content"))) for message in messages)
        else:
            prompt = body.get("prompt", body.get("input"))
            self.user_query = prompt[:QUERY_CHARS] if isinstance(prompt, str) else None
            chars = len(prompt) if isinstance(prompt, str) else 0
        log.info(
            "Incoming request:",
            extra=fields(
                session=self.id,
                client=self.client_ip,
                model=self.model,
                messages=len(messages or ()),
                total_chars=chars,
                stream=self.stream,
            ),
        )

    def planned(self, plan):
        """Note how the request is served."""
        self.route, self.slow_ms = plan.route, plan.slow_ms

    def decided(self, verdict, model=None, started_ms=0):
        """Note a classifier.Verdict. model: the classifier's, None where none was asked."""
        self.verdict, self.decision = verdict, verdict.decision
        self.classification_step = {
            "step": "classification",
            "provider": verdict.source,
            "url": None,
            "model": model,
            "messages_sent": None,
            "params": None,
            "started_ms": started_ms,
            "duration_ms": verdict.ms,
            "ttft_ms": None,
            "status": None,
            "finish_reason": None,
            "usage": None,
            "response_content": verdict.raw,
            "error": verdict.error,
        }

    @property
    def classification_ms(self):
        return self.verdict.ms if self.verdict else None

    @property
    def inference_ms(self):
        """From the start of the answering call to its end, or to now."""
        if self.answering is None:
            return None
        return self.ms(self.answering.ended_at) - self.ms(self.answering.started_at)

    def settle(self, metrics, sessions, ledger, *, keep=True):
        """Close the books, exactly once: the REQUEST line, SLOW_REQUEST, the metrics, the ledger and the session file. keep: whether it is worth a file."""
        with self._lock:
            if self._settled:
                return
            self._settled = True
        for attempt in self.attempts:
            attempt.close()
        self.total_ms = self.ms()
        self.status = (
            499
            if self.gone or not (self.delivered or self.failure)
            else self.failure.status
            if self.failure
            else 200
        )
        enriched = {"enrichment_ms": self.enrichment_ms} if self.enrichment_ms is not None else {}
        log.info(
            "REQUEST",
            extra=fields(
                session=self.id,
                client=self.client_ip,
                decision=self.decision,
                route=self.route,
                provider=self.provider,
                speculation=self.speculation_outcome,
                classification_ms=self.classification_ms,
                **enriched,
                inference_ms=self.inference_ms,
                ttft_ms=self.ttft_ms,
                total_ms=self.total_ms,
                status=self.status,
                stream=self.stream,
            ),
        )
        if self.slow_ms is not None and self.total_ms > self.slow_ms:
            log.warning(
                "SLOW_REQUEST",
                extra=fields(
                    session=self.id,
                    route=self.route,
                    total_ms=self.total_ms,
                    classification_ms=self.classification_ms,
                    **enriched,
                    inference_ms=self.inference_ms,
                ),
            )
        metrics.settled(self)
        self._rows = self._ledger_rows()
        ledger.record(self._rows)
        if keep:
            sessions.save(self.id, self.timestamp, self.record)

    def record(self):
        """The session file's content (CONTRACT: sessions/)."""
        verdict, spoken = self.verdict, self.answering
        costs = [row.cost_usd for row in self._rows]
        return {
            "id": self.id,
            "timestamp": self.timestamp.isoformat(timespec="milliseconds"),
            "client_ip": self.client_ip,
            "api": self.dialect.api,
            "model": self.model,
            "stream": self.stream,
            "user_query": self.user_query,
            "client_messages": self.client_messages,
            "decision": self.decision,
            "route": self.route,
            "confidence": verdict and verdict.confidence,
            "probabilities": verdict and verdict.probabilities,
            "classification_raw": verdict and verdict.raw,
            "classification_ms": self.classification_ms,
            "speculation": self._speculation(),
            "steps": self._steps(),
            "ttft_ms": self.ttft_ms,
            "total_ms": self.total_ms,
            "status": self.status,
            "usage": spoken and spoken.usage,
            "cost_usd": round(sum(cost for cost in costs if cost is not None), 8)
            if any(cost is not None for cost in costs)
            else None,
            "error": self.failure and self.failure.message,
            **self._conversation(),
        }

    def _conversation(self):
        """What became of the conversation's place; nothing for a first request, or one that belongs to none."""
        conversation = self.conversation
        if conversation is None or conversation.target is None:
            return {}
        before = conversation.target
        switched = (self.route, self.provider) != (before.route, before.provider)
        told = {
            "known_by": conversation.known_by,
            "before": dataclasses.asdict(before),
            "switched": switched,
            "stayed": self.stayed,
        }
        return {"conversation": told}

    def _ledger_rows(self):
        """The upstream calls made for this request, as ledger.Calls; the cancelled speculation among them."""
        rows = [self._ledger_row(attempt) for attempt in (self.asking, *self.attempts) if attempt]
        search = self.search
        if search and search.url:
            outcome = ANSWERED if search.status == 200 else CANCELLED if search.cancelled else FAILED
            rows.append(
                self._row(
                    search.provider,
                    search.model,
                    outcome,
                    search.started_ms,
                    search.duration_ms,
                    usages.parse_usage(search.usage),
                    search.cost_usd,
                )
            )
        return rows

    def _ledger_row(self, attempt):
        outcome = CANCELLED if attempt.cancel_token.cancelled else FAILED if attempt.failure else ANSWERED
        started_ms, used, speculative = self.ms(attempt.started_at), attempt.used, attempt is self.speculative
        saved_ms = (
            self.classification_ms
            if speculative and self.speculation_outcome == "adopted" and outcome == ANSWERED
            else None
        )
        duration_ms, cost_usd = self.ms(attempt.ended_at) - started_ms, attempt.provider.cost_usd(used)
        row = self._row(
            attempt.provider.name, attempt.model, outcome, started_ms, duration_ms, used, cost_usd
        )
        return dataclasses.replace(row, speculative=speculative, saved_ms=saved_ms)

    def _row(self, provider, model, outcome, started_ms, duration_ms, used, cost_usd):
        return Call(
            at=self.timestamp + timedelta(milliseconds=started_ms),
            session=self.id,
            provider=provider,
            model=model,
            outcome=outcome,
            duration_ms=duration_ms or 0,
            route=self.route,
            decision=self.decision,
            input_tokens=used and used.input_tokens,
            cached_tokens=used and used.cached_tokens,
            output_tokens=used and used.output_tokens,
            reasoning_tokens=used and used.reasoning_tokens,
            cost_usd=cost_usd,
            estimated=bool(used and used.estimated),
        )

    def _speculation(self):
        started = self.speculative
        return {
            "outcome": self.speculation_outcome,
            "provider": started and started.provider.name,
            "started_ms": started and self.ms(started.started_at),
            "cancel_ms": self.cancel_ms,
        }

    def _steps(self):
        steps = [self.classification_step] if self.classification_step else []
        steps += [self.search.session_step()] if self.search else []
        steps += [self._call(attempt) for attempt in self.attempts]
        return sorted(steps, key=lambda step: step["started_ms"])

    def _call(self, attempt):
        sent = attempt.sent_body or {}
        messages = sent.get("messages")
        same = attempt.native or (
            self.body is not None and messages is not None and messages is self.body.get("messages")
        )
        ended_at = attempt.ended_at
        return {
            "step": "provider_call",
            "provider": attempt.provider.name,
            "url": attempt.url,
            "model": attempt.model,
            "messages_sent": self.client_messages if same else messages and redacted(messages),
            "params": {key: value for key, value in sent.items() if key not in MESSAGE_TEXT},
            "started_ms": self.ms(attempt.started_at),
            "duration_ms": self.ms(ended_at) - self.ms(attempt.started_at),
            "ttft_ms": attempt.head_at and self.ms(attempt.head_at) - self.ms(attempt.started_at),
            "status": attempt.status,
            "finish_reason": attempt.finish_reason,
            "usage": attempt.usage,
            "response_content": attempt.content[:RECORDED_CHARS] if attempt is self.answering else None,
            "error": "hung up"
            if attempt.cancel_token.cancelled
            else attempt.failure and str(attempt.failure),
            **({"queued_ms": attempt.queued_ms} if attempt.queued_ms else {}),
        }


def redacted(messages):
    """The messages with images, audio and files replaced by their kind and size, as "[image 512 kB]"."""
    return [
        {**message, "content": [_redacted_part(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _redacted_part(part):
    if not isinstance(part, dict) or part.get("type") == "text":
        return part
    return {key: _redacted_value(value, part.get("type")) for key, value in part.items()}


def _redacted_value(value, kind):
    if isinstance(value, dict):
        return {key: _redacted_value(inner, kind) for key, inner in value.items()}
    if not isinstance(value, str) or len(value) < 256:
        return value
    if value.startswith("data:") or kind in ("input_audio", "file"):
        name = {"image_url": "image", "input_audio": "audio"}.get(kind, str(kind))
        return f"[{name} {round((len(value) - value.find(',') - 1) * 3 / 4 / 1024)} kB]"
    return value
