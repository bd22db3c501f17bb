"""The story of one chat request, top to bottom.

1 route      META by its markers and pinned models by their name need no decision
2 speculate  for the rest the primary call starts on another thread
3 classify   meanwhile this thread asks the classifier; then the speculation is adopted, or hung up at once
4 head       whoever answers, the first content is in hand before anything is sent; until then the route's chain may go on to the next provider
5 reply      the stream passed on as it comes, or put together to one answer

It knows no Flask and no socket: it is given an `Exchange` and gives back an answer whose bytes the face sends.
"""

import dataclasses
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import admission
import dates
import meta
import timing
from attempt import Attempt
from classifier import Verdict
from errors import Cancelled, ChainExhausted, HeadTimeout, NotFound, ProxyError, Unavailable, UpstreamError, UpstreamStatus
from exchange import PINNED
from logs import fields
from prompts import has_system, with_context, with_system
from upstream import Line, read_some
from wire import openai_chat, sse

CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
LINGERING_THREADS = 24  # beyond max_in_flight: cancelled calls that still hang in a name look-up, which cannot be cut

log = logging.getLogger(__name__)


@dataclass
class Whole:
    """An answer in one piece. body: bytes of JSON."""

    body: bytes


@dataclass
class Stream:
    """An answer that goes on. chunks: iterator of bytes; it never raises for what a provider does."""

    chunks: object


class Pipeline:
    def __init__(self, config, *, providers, router, classifier, meta_rules, prompts, enrichment, probes, budget):
        self._config = config
        self._providers = providers
        self._router = router
        self._classifier = classifier
        self._meta = meta_rules
        self._prompts = prompts
        self._enrichment = enrichment
        self._probes = probes
        self._budget = budget
        limit = config.speculation.max_in_flight if config.speculation.enabled else 0
        self._free_speculations = threading.BoundedSemaphore(limit) if limit else None
        self._executor = ThreadPoolExecutor(limit + LINGERING_THREADS, thread_name_prefix="speculation")

    # The road.

    def chat(self, exchange, headers):
        """Answer a checked chat request: a Whole or a Stream. Raises a ProxyError if nothing was sent yet."""
        date = dates.date_context(dates.now_in(self._config.timezone))
        way = self._known_way(exchange, headers)
        if way is not None:
            attempt = self._first_head(exchange, way, self._body_for(exchange, way, date))
        else:
            attempt = self._decided(exchange, date)
        return self._reply(exchange, attempt)

    def completion(self, exchange):
        """Answer a legacy completion: pinned, else by the primary; autocompletion is never classified."""
        prompt = exchange.body.get("prompt")
        way = self._router.pin(exchange.model)
        if way is not None:
            exchange.decision = PINNED
        else:
            fills_in = isinstance(exchange.body.get("suffix"), str) and "suffix"
            marker = fills_in or (self._meta.matches_prompt(prompt) if isinstance(prompt, str) else None)
            if marker:
                exchange.decided(_housekeeping(marker))
            else:
                exchange.decision = "MODERATE"
            way = self._router.by_decision(exchange.decision)
        exchange.went(way)
        return self._reply(exchange, self._first_head(exchange, self._affordable(exchange, way), exchange.body, COMPLETIONS))

    def embedding(self, exchange):
        """Answer an embeddings request from the provider marked for it, else from the one that has the model. Raises NotFound when there is none."""
        name = self._router.embeddings(exchange.model)
        provider = self._providers.get(name)
        if provider is None or provider.disabled or provider.settings.kind != "openai":
            raise NotFound(f"no provider here serves embeddings for the model '{exchange.model}'", param="model", code="model_not_found")
        exchange.decision, exchange.provider = PINNED, name
        exchange.went(self._router.way_to(name))
        return self._passed_through(exchange, provider)

    # 1 Route.

    def _known_way(self, exchange, headers):
        """The way of a request that needs no decision, else None."""
        way = self._asked_for(exchange, headers)
        if way is not None:
            exchange.decision = PINNED
        elif self.is_meta(exchange, headers):
            way = self._router.by_decision("META")
        else:
            return None
        exchange.went(way)
        return self._affordable(exchange, way)

    def _asked_for(self, exchange, headers):
        """The way the client named: by a route (`model_class` or the header X-Route), else by the model. Raises NotFound for a route there is none of."""
        param = "model_class" if exchange.model_class else "X-Route"
        route = exchange.model_class or headers.get("X-Route")
        if not route:
            return self._router.pin(exchange.model)
        way = self._router.route(route)
        if way is None:
            raise NotFound(f"there is no route '{route}'; there are {', '.join(self._router.routes())}", param=param, code="route_not_found")
        return way

    def is_meta(self, exchange, headers):
        """Whether this is a frontend's housekeeping; if so, that is the decision, and the marker it was known by is noted."""
        marker = self._meta.match(exchange.body, headers)
        if marker:
            exchange.decided(_housekeeping(marker))
        return bool(marker)

    def _body_for(self, exchange, way, date):
        """The client's request as this way's providers get it: with the route's system prompt and, when enriched, the context.

        A provider named by its model has neither, so it gets what the client sent.
        """
        messages = with_system(exchange.body["messages"], self._prompts.render(way.system_prompt, date_context=date))
        if way.context:
            context = self._enrichment.context_for(exchange, way, date)
            messages = with_context(messages, context, in_system=has_system(exchange.body["messages"])) if context else messages
        return exchange.body if messages is exchange.body["messages"] else {**exchange.body, "messages": messages}

    # 2 Speculate, 3 classify.

    def _decided(self, exchange, date):
        """The attempt that answers an `auto` request, its head in hand."""
        primary = self._router.by_decision("MODERATE")
        speculation = self._speculate(exchange, primary, date)
        try:
            verdict = self.classify(exchange)
        except BaseException:
            if speculation:
                self._hang_up(exchange, speculation)
            raise
        finally:
            if speculation:
                self._free_speculations.release()
        way = self._affordable(exchange, self._router.by_decision(verdict.decision))
        exchange.went(way)
        if speculation and way.route == primary.route:
            adopted = self._adopt(exchange, speculation)
            if adopted:
                return adopted
        elif speculation:
            self._hang_up(exchange, speculation)
        return self._first_head(exchange, way, self._body_for(exchange, way, date))

    def _speculate(self, exchange, primary, date):
        """The primary's first provider, called on another thread; None when it is busy, resting or disabled, or enough are under way already."""
        able = (self._providers[name] for name in self._affordable(exchange, primary).chain)
        provider = next((provider for provider in able if not provider.disabled and provider.breaker.available), None)
        if provider is None or self._free_speculations is None or not self._free_speculations.acquire(blocking=False):
            return None
        slot = provider.admission.try_enter()
        permit = provider.breaker.begin() if slot else None
        if permit is None:
            if slot:
                slot.release()
            self._free_speculations.release()
            return None
        attempt = Attempt(provider, CHAT, self._body_for(exchange, primary, date), slot=slot, permit=permit)
        exchange.speculative = exchange.calls(attempt)
        return attempt.start(self._executor)

    def classify(self, exchange):
        """Decide a request by the classifier and note how. Raises Cancelled when the client leaves meanwhile."""
        started_ms = exchange.ms()
        verdict = self._classifier.classify(meta.user_words(exchange.body["messages"]), exchange.on_hang_up, exchange.asks)
        exchange.decided(verdict, self._config.classifier.model, started_ms)
        log.info(
            "Classification completed: %s -> %s in %dms",
            verdict.decision,
            self._router.by_decision(verdict.decision).route,
            verdict.ms,
            extra=fields(confidence=None if verdict.confidence is None else f"{verdict.confidence:.2f}", source=verdict.source),
        )
        return verdict

    def _adopt(self, exchange, speculation):
        """The speculation with its head in hand, or None if it failed in a way that the route's chain may mend."""
        exchange.speculation_outcome, exchange.provider = "adopted", speculation.provider.name
        try:
            speculation.head()
        except UpstreamError as error:
            self._failed(exchange, speculation, error)
            if error.may_go_on:
                exchange.speculation_outcome = "failed"
                return None
            exchange.answering = speculation  # its refusal is the answer
            raise
        return speculation

    def _hang_up(self, exchange, speculation):
        if speculation.failed:
            exchange.speculation_outcome = "failed"
            return
        started = time.monotonic()
        speculation.cancel()
        exchange.speculation_outcome = "cancelled"
        exchange.cancel_ms = _between_ms(started, time.monotonic())
        log.info("Cancelled speculative primary:", extra=fields(session=exchange.id, route=exchange.route, cancel_ms=exchange.cancel_ms))

    # 4 Head.

    def _first_head(self, exchange, way, body, path=CHAT):
        """The first attempt along the way's chain that brings content.

        Raises UpstreamStatus for a 4xx of the client's making (and a 429 when there is nobody else to ask), ChainExhausted when all have failed, Cancelled.
        """
        tried = []
        for name in way.chain:
            provider, attempt = self._providers[name], None
            if self._was_silent(exchange, name):
                tried.append((name, exchange.speculative.failure.message))
                continue
            try:
                attempt = self._admitted(exchange, provider, way, path, body)
                exchange.provider = name
                attempt.head()
                return attempt
            except UpstreamError as error:
                if attempt:
                    self._failed(exchange, attempt, error)
                    if not error.may_go_on or (error.status == 429 and len(way.chain) == 1):
                        exchange.answering = attempt
                        raise
                tried.append((name, error.message))
        raise ChainExhausted(way.route, tried)

    @staticmethod
    def _was_silent(exchange, name):
        """Whether a speculation has waited its whole time for this provider already: to wait as long again would double what the user waits."""
        speculative = exchange.speculative
        return bool(speculative and speculative.provider.name == name and isinstance(speculative.failure, HeadTimeout))

    def _admitted(self, exchange, provider, way, path, body):
        """An attempt that may begin now. Raises Unavailable when the provider is not to be called, Cancelled when the client went while it was queued."""
        if provider.disabled:
            raise Unavailable(f"disabled, {provider.disabled}")
        if not provider.breaker.allows():
            raise Unavailable(f"resting, {provider.breaker.snapshot()['reason']}")
        # The place first: a call that finds none says nothing about the provider and must not use up its one trial after a rest.
        slot = provider.admission.enter(admission.META if exchange.decision == "META" else admission.CHAT, exchange.on_hang_up)
        permit = provider.breaker.begin()
        if permit is None:
            slot.release()
            raise Unavailable(f"resting, {provider.breaker.snapshot()['reason']}")
        return exchange.calls(Attempt(provider, path, body, rule=way.rule, slot=slot, permit=permit))

    def _affordable(self, exchange, way):
        """The way without what costs money once the budget is spent: its local providers, else the primary's; the way itself where nobody is local."""
        asked = [self._providers[name] for name in (*way.chain, way.context) if name]
        if all(provider.is_local or provider.disabled for provider in asked) or not self._budget.exhausted():
            return way
        primary = self._router.by_decision("MODERATE")
        chain = self._local(way.chain) or self._local(primary.chain)
        if not chain:
            return way
        exchange.budget_exhausted = True
        context = way.context if way.context and self._providers[way.context].is_local else None
        return dataclasses.replace(way, chain=chain, context=context)

    def _local(self, chain):
        return tuple(name for name in chain if self._providers[name].is_local and not self._providers[name].disabled)

    def _failed(self, exchange, attempt, error):
        log.warning(
            "Provider failed: %s",
            exchange.route,
            # A provider's own words may quote the request, so they go to the session file and not into the log.
            extra=fields(session=exchange.id, provider=attempt.provider.name, status=attempt.status, error=type(error).__name__),
        )
        self._probes.soon(attempt.provider.name)

    # 5 Reply.

    def _reply(self, exchange, attempt):
        exchange.answering, exchange.provider = attempt, attempt.provider.name
        if exchange.stream:
            self._log_response(exchange, attempt)
            return Stream(self._relayed(exchange, attempt))
        try:
            whole = self._assembled(attempt)
        except UpstreamError as error:
            self._failed(exchange, attempt, error)
            raise
        self._log_response(exchange, attempt)
        exchange.ttft_ms = exchange.ms()
        return Whole(openai_chat.dumps(whole))

    def _assembled(self, attempt):
        """The whole answer of an attempt. Raises StreamBroken when it ended too early."""
        assembly = openai_chat.Assembly()
        for _, chunk in attempt.events():
            if chunk is not None:
                assembly.add(chunk)
        if not attempt.saw_done and not assembly.finished:
            raise attempt.broke_off()
        return assembly.answer()

    def _relayed(self, exchange, attempt):
        """The bytes of a stream for the client: what came before the head in one go, then as it comes, then a proper end."""
        relay = openai_chat.Relay(bool((exchange.body.get("stream_options") or {}).get("include_usage")))
        pending, head_sent = [], False
        try:
            for event, chunk in attempt.events():
                if event.is_done:
                    continue
                pending.append(event.raw if chunk is None else relay.pass_on(event, chunk))
                if head_sent or (chunk and openai_chat.has_content(chunk)):
                    if not head_sent:
                        head_sent, exchange.ttft_ms = True, exchange.ms()
                    sent, pending = b"".join(pending), []
                    if sent:
                        yield sent
            if not attempt.saw_done and not relay.finished:
                raise attempt.broke_off()
            exchange.delivered = True  # now and not later: a client may close its connection as soon as it reads [DONE]
            yield b"".join(pending) + relay.ending()
        except Cancelled:
            if exchange.failure is None:  # else it is we who leave, and the client is told
                return
            yield _error_event(exchange.failure)
        except ProxyError as error:
            exchange.failure = error
            self._failed(exchange, attempt, error)
            yield _error_event(error)

    def _log_response(self, exchange, attempt):
        started = attempt.started_at
        if exchange.stream:
            times = {"connect_ms": _between_ms(started, attempt.line.connected_at), "ttft_ms": _between_ms(started, attempt.head_at)}
        else:
            times = {"duration_ms": _between_ms(started, attempt.ended_at), "finish_reason": attempt.finish_reason}
        log.info(
            "Provider response: %s session=%s",
            exchange.route,
            exchange.id,
            extra=fields(
                provider=attempt.provider.name,
                status=attempt.status,
                **times,
                stream=str(exchange.stream).lower(),
                speculative=str(attempt is exchange.speculative).lower(),
            ),
        )

    def _passed_through(self, exchange, provider):
        """A call that is not streamed, answered by one provider as it is."""
        line = Line()
        exchange.on_hang_up(line.cut)
        timeouts = provider.timeouts()
        url = provider.url(EMBEDDINGS, line)
        body = openai_chat.dumps(provider.body(exchange.body, stream=False))
        clock = timing.clock_for(provider.name, provider.model, body)
        response = provider.upstream.call(line, "POST", url, body, connect_s=timeouts.connect_s, read_s=timeouts.first_byte_s)
        answer = b""
        while more := read_some(response, line):
            answer += more
        if response.status_code >= 300:
            raise UpstreamStatus(response.status_code, _error_in(answer), provider.name)
        if clock:
            clock.chars_out = len(answer)
            clock.ended()
        exchange.ttft_ms = exchange.ms()
        return Whole(answer)


def _error_event(error):
    """How a stream that failed ends."""
    return sse.event(openai_chat.dumps(openai_chat.error_body(error.message, error.type, error.param, error.code))) + sse.DONE


def _housekeeping(marker):
    return Verdict("META", 1.0, {"META": 1.0}, marker, "heuristic")


def _error_in(answer):
    try:
        return openai_chat.error_of(openai_chat.json.loads(answer)) or {}
    except ValueError:
        return {}


def _between_ms(start, end):
    return None if end is None else round((end - start) * 1000)
