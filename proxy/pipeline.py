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

from errors import (
    BadRequest,
    Cancelled,
    ChainExhausted,
    HeadTimeout,
    NotFound,
    ProxyError,
    Unavailable,
    UpstreamError,
    UpstreamStatus,
)
from proxy import dates
from proxy.exchange import PINNED
from proxy.prompts import has_system, with_context, with_system
from routing.affinity import Target
from routing.decision import Verdict
from telemetry import call_timing as timing
from telemetry.logs import fields
from upstream import admission
from upstream.attempt import Attempt
from upstream.connection import CancelToken, read_some
from wire import embeddings, openai_chat, sse
from wire import usage as usages
from wire.native import NATIVE, ProviderRequest

TOLD_BY = "Headstart: "  # begins the line about a route
EMBEDDER = "embedder"  # stands where a provider's name would
CHAT, COMPLETIONS, EMBEDDINGS, COUNT_TOKENS = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/messages/count_tokens",
)
LINGERING_THREADS = (
    24  # beyond max_in_flight: cancelled calls that still hang in a name look-up, which cannot be cut
)

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
    def __init__(
        self,
        config,
        *,
        providers,
        router,
        classifier,
        meta_rules,
        prompts,
        enrichment,
        probes,
        budget,
        conversations,
        embedder,
    ):
        self._config = config
        self._providers = providers
        self._router = router
        self._classifier = classifier
        self._meta = meta_rules
        self._prompts = prompts
        self._enrichment = enrichment
        self._probes = probes
        self._budget = budget
        self._conversations = conversations
        self._embedder = embedder
        limit = config.speculation.max_in_flight if config.speculation.enabled else 0
        self._free_speculations = threading.BoundedSemaphore(limit) if limit else None
        self._executor = ThreadPoolExecutor(limit + LINGERING_THREADS, thread_name_prefix="speculation")

    # The road.

    def chat(self, exchange, headers):
        """Answer a checked chat request: a Whole or a Stream. Raises a ProxyError if nothing was sent yet."""
        date = dates.date_context(dates.now_in(self._config.timezone))
        plan = self._known_plan(exchange, headers)
        if self._config.conversations.sticky and exchange.decision != "META":
            exchange.conversation = self._conversations.find(
                exchange.client_ip, exchange.turns, exchange.body.get("user"), headers
            )
        if plan is not None:
            attempt = self._first_head(exchange, plan, self._asked(exchange, plan, date))
        else:
            attempt = self._decided(exchange, date)
        if exchange.conversation:
            self._conversations.answered(exchange.conversation, Target(exchange.route, attempt.provider.name))
        return self._reply(exchange, attempt)

    def completion(self, exchange):
        """Answer a legacy completion: pinned, else by the primary; autocompletion is never classified."""
        prompt = exchange.body.get("prompt")
        plan = self._router.pin(exchange.model)
        if plan is not None:
            exchange.decision = PINNED
        else:
            fills_in = isinstance(exchange.body.get("suffix"), str) and "suffix"
            marker = fills_in or (self._meta.matches_prompt(prompt) if isinstance(prompt, str) else None)
            if marker:
                exchange.decided(_housekeeping(marker))
            else:
                exchange.decision = "MODERATE"
            plan = self._router.plan_for(exchange.decision)
        exchange.planned(plan)
        plan = self._affordable(exchange, plan)
        able = tuple(name for name in plan.chain if self._providers[name].capabilities.completions)
        plan = dataclasses.replace(plan, chain=able or plan.chain)  # where nobody is, the first one says why
        return self._reply(
            exchange, self._first_head(exchange, plan, ProviderRequest(exchange.body), COMPLETIONS)
        )

    def embedding(self, exchange):
        """Answer an embeddings request from the provider marked for it, else from the one that has the model, else, under its own name or none, from the
        embedded model. Raises NotFound when nobody has the model: another one's vectors could not be compared with those that the client has."""
        exchange.decision = PINNED
        name = self._router.embeddings_provider(exchange.model)
        provider = self._providers.get(name)
        if provider is not None and not provider.disabled and provider.capabilities.embeddings:
            exchange.provider = name
            exchange.planned(self._router.plan_to(name))
            return self._passed_through(
                exchange, provider, EMBEDDINGS, provider.body(exchange.body, stream=False)
            )
        if exchange.model != self._config.virtual_model and not embeddings.is_embedded(exchange.model):
            told = f"no provider here serves embeddings for the model '{exchange.model}'; the embedded one is '{embeddings.MODEL}'"
            raise NotFound(told, param="model", code="model_not_found")
        asked = embeddings.read(exchange.body, may_be_empty=exchange.dialect.embeds_empty)
        exchange.provider = EMBEDDER
        vectors, tokens = self._embedder.embed(asked.inputs, exchange.on_cancel)
        exchange.ttft_ms = exchange.ms()
        return Whole(embeddings.answer(asked, embeddings.MODEL, vectors, tokens))

    def count_tokens(self, exchange):
        """Count a request's tokens: by a provider of this very API, if that is who would answer, else by an estimate; a local server's tokenizer is not
        known here."""
        plan = self._router.pin(exchange.model)
        exchange.decision = PINNED if plan else "MODERATE"
        plan = plan or self._router.primary
        exchange.planned(plan)
        provider = next(
            (provider for provider in map(self._providers.get, plan.chain) if not provider.disabled), None
        )
        native = exchange.dialect.native
        if provider is None or not provider.speaks(native.api):
            return Whole(openai_chat.dumps({"input_tokens": usages.estimate_tokens(exchange.body)}))
        exchange.provider = provider.name
        body = {
            name: value
            for name, value in provider.native_body(native.body, plan.rule).items()
            if name not in ("stream", "max_tokens")
        }
        return self._passed_through(exchange, provider, COUNT_TOKENS, body)

    # 1 Route.

    def _known_plan(self, exchange, headers):
        """The plan of a request that needs no decision, else None."""
        plan = self._asked_for(exchange, headers)
        if plan is not None:
            exchange.decision = PINNED
        elif self.is_meta(exchange, headers):
            plan = self._router.plan_for("META")
        else:
            return None
        exchange.planned(plan)
        return self._affordable(exchange, plan)

    def _asked_for(self, exchange, headers):
        """The plan the client named: by a route (`model_class` or the header X-Route), else by the model. Raises NotFound for a route there is none of."""
        param = "model_class" if exchange.model_class else "X-Route"
        route = exchange.model_class or headers.get("X-Route")
        if not route:
            return self._router.pin(exchange.model)
        plan = self._router.plan_of(route)
        if plan is None:
            raise NotFound(
                f"there is no route '{route}'; there are {', '.join(self._router.routes())}",
                param=param,
                code="route_not_found",
            )
        return plan

    def is_meta(self, exchange, headers):
        """Whether this is a frontend's housekeeping; if so, that is the decision, and the marker it was known by is noted."""
        marker = self._meta.match(exchange.body, headers)
        if marker:
            exchange.decided(_housekeeping(marker))
        return bool(marker)

    def _asked(self, exchange, plan, date):
        """What this way's providers are asked: the client's request with the route's system prompt and, when enriched, the context.

        A provider named by its model has neither, so it gets what the client sent.
        """
        native, prompt = exchange.dialect.native, self._prompts.render(plan.system_prompt, date_context=date)
        messages = with_system(_without_routes_told(exchange.body["messages"]), prompt)
        native = native and native.with_system(prompt)
        if plan.context:
            context = self._enrichment.find(
                exchange.body,
                plan,
                date,
                session=exchange.id,
                on_cancel=exchange.on_cancel,
                elapsed_ms=exchange.ms,
                record=exchange.searches,
            )
            messages = (
                with_context(messages, context, in_system=has_system(exchange.body["messages"]))
                if context
                else messages
            )
            native = native and native.with_system(context)
        chat = (
            exchange.body
            if messages is exchange.body["messages"]
            else {**exchange.body, "messages": messages}
        )
        if exchange.decision == "META" and chat.get("n"):
            chat = {
                **chat,
                "n": 1,
            }  # the frontends that read these answers throw them away if there are several
        return ProviderRequest(chat, native, exchange.dialect.at_home)

    # 2 Speculate, 3 classify.

    def _decided(self, exchange, date):
        """The attempt that answers an `auto` request, its head in hand."""
        primary = self._router.primary
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
        plan = self._affordable(exchange, self._kept(exchange, self._router.plan_for(verdict.decision)))
        exchange.planned(plan)
        if speculation and plan.route == primary.route:
            adopted = self._adopt(exchange, speculation)
            if adopted:
                return adopted
        elif speculation:
            self._hang_up(exchange, speculation)
        return self._first_head(exchange, plan, self._asked(exchange, plan, date))

    def _kept(self, exchange, plan):
        """The plan of a decided request, or the one that its conversation went before, where a short follow-up had better stay."""
        conversation = exchange.conversation
        if conversation is None or not conversation.should_stay(exchange.verdict):
            return plan
        target, provider = conversation.target, self._providers.get(conversation.target.provider)
        before = self._router.plan_of(target.route)
        there = (
            before
            and provider
            and target.provider in before.chain
            and not provider.disabled
            and provider.breaker.available
        )
        if not there or target.provider in plan.chain:
            return plan
        exchange.stayed = True
        return before

    def _speculate(self, exchange, primary, date):
        """The primary's first provider, called on another thread; None when it is busy, resting or disabled, or enough are under plan already."""
        able = (
            self._providers[name]
            for name in self._affordable(exchange, primary).chain
            if not self._refusal(exchange, self._providers[name])
        )
        provider = next(
            (provider for provider in able if not provider.disabled and provider.breaker.available), None
        )
        if (
            provider is None
            or self._free_speculations is None
            or not self._free_speculations.acquire(blocking=False)
        ):
            return None
        slot = provider.admission.try_enter()
        permit = provider.breaker.begin() if slot else None
        if permit is None:
            if slot:
                slot.release()
            self._free_speculations.release()
            return None
        asked = self._asked(exchange, primary, date)
        attempt = Attempt(
            provider, CHAT, asked.chat_for(provider), native=asked.native, slot=slot, permit=permit
        )
        exchange.speculative = exchange.calls(attempt)
        return attempt.start(self._executor)

    def classify(self, exchange):
        """Decide a request by the classifier and note how. Raises Cancelled when the client leaves meanwhile."""
        started_ms = exchange.ms()
        verdict = self._classifier.classify(exchange.turns, exchange.on_cancel, exchange.asks)
        exchange.decided(verdict, self._config.classifier.model, started_ms)
        log.info(
            "Classification completed: %s -> %s in %dms",
            verdict.decision,
            self._router.plan_for(verdict.decision).route,
            verdict.ms,
            extra=fields(
                confidence=None if verdict.confidence is None else f"{verdict.confidence:.2f}",
                source=verdict.source,
            ),
        )
        return verdict

    def _adopt(self, exchange, speculation):
        """The speculation with its head in hand, or None if it failed in a plan that the route's chain may mend."""
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
        log.info(
            "Cancelled speculative primary:",
            extra=fields(session=exchange.id, route=exchange.route, cancel_ms=exchange.cancel_ms),
        )

    # 4 Head.

    def _first_head(self, exchange, plan, asked, path=CHAT):
        """The first attempt along the way's chain that brings content. asked: what each is asked, an ProviderRequest.

        Raises UpstreamStatus for a 4xx of the client's making (and a 429 when there is nobody else to ask), ChainExhausted when all have failed, Cancelled.
        """
        tried = []
        for name in plan.chain:
            provider, attempt = self._providers[name], None
            refusal = self._refusal(exchange, provider)
            if refusal:
                tried.append((name, refusal))
                continue
            if self._was_silent(exchange, name):
                tried.append((name, exchange.speculative.failure))
                continue
            try:
                attempt = self._admitted(exchange, provider, plan, path, asked)
                exchange.provider = name
                attempt.head()
                return attempt
            except UpstreamError as error:
                if attempt:
                    self._failed(exchange, attempt, error)
                    if not error.may_go_on or (error.status == 429 and len(plan.chain) == 1):
                        exchange.answering = attempt
                        raise
                tried.append((name, error))
        raise (
            tried[0][1]
            if tried and all(isinstance(error, BadRequest) for _, error in tried)
            else ChainExhausted(plan.route, tried)
        )

    @staticmethod
    def _refusal(exchange, provider):
        """Why this provider cannot be asked at all, a BadRequest; None where it can: the request has what only servers of its own API understand."""
        native = exchange.dialect.native
        return native.refusal if native and not provider.speaks(native.api) else None

    @staticmethod
    def _was_silent(exchange, name):
        """Whether a speculation has waited its whole time for this provider already: to wait as long again would double what the user waits."""
        speculative = exchange.speculative
        return bool(
            speculative and speculative.provider.name == name and isinstance(speculative.failure, HeadTimeout)
        )

    def _admitted(self, exchange, provider, plan, path, asked):
        """An attempt that may begin now. Raises Unavailable when the provider is not to be called, Cancelled when the client went while it was queued."""
        slot, permit = self._let_in(exchange, provider)
        return exchange.calls(
            Attempt(
                provider,
                path,
                asked.chat_for(provider),
                native=asked.native,
                rule=plan.rule,
                slot=slot,
                permit=permit,
            )
        )

    @staticmethod
    def _let_in(exchange, provider):
        """A place at a provider's door and its breaker's permit. Raises Unavailable, Cancelled."""
        if provider.disabled:
            raise Unavailable(f"disabled, {provider.disabled}")
        if not provider.breaker.allows():
            raise _resting(provider)
        # The place first: a call that finds none says nothing about the provider and must not use up its one trial after a rest.
        slot = provider.admission.enter(
            admission.META if exchange.decision == "META" else admission.CHAT, exchange.on_cancel
        )
        permit = provider.breaker.begin()
        if permit is None:
            slot.release()
            raise _resting(provider)
        return slot, permit

    def _affordable(self, exchange, plan):
        """The plan without what costs money once the budget is spent: its local providers, else the primary's; the plan itself where nobody is local."""
        asked = [self._providers[name] for name in (*plan.chain, plan.context) if name]
        if all(provider.is_local or provider.disabled for provider in asked) or not self._budget.exhausted():
            return plan
        primary = self._router.primary
        chain = self._local(plan.chain) or self._local(primary.chain)
        if not chain:
            return plan
        exchange.budget_exhausted = True
        context = plan.context if plan.context and self._providers[plan.context].is_local else None
        return dataclasses.replace(plan, chain=chain, context=context)

    def _local(self, chain):
        return tuple(
            name for name in chain if self._providers[name].is_local and not self._providers[name].disabled
        )

    def _failed(self, exchange, attempt, error):
        log.warning(
            "Provider failed: %s",
            exchange.route,
            # A provider's own words may quote the request, so they go to the session file and not into the log.
            extra=fields(
                session=exchange.id,
                provider=attempt.provider.name,
                status=attempt.status,
                error=type(error).__name__,
            ),
        )
        self._probes.trigger(attempt.provider.name)

    # 5 Reply.

    def _reply(self, exchange, attempt):
        exchange.answering, exchange.provider = attempt, attempt.provider.name
        if exchange.stream:
            self._log_response(exchange, attempt)
            return Stream(self._relayed(exchange, attempt))
        try:
            whole = self._whole(exchange, attempt)
        except UpstreamError as error:
            self._failed(exchange, attempt, error)
            raise _with_subject(error, attempt.provider) from error
        self._log_response(exchange, attempt)
        exchange.ttft_ms = exchange.ms()
        return Whole(openai_chat.dumps(whole))

    def _whole(self, exchange, attempt):
        """The whole answer of an attempt, for the client. Raises StreamBroken when it ended too early."""
        assembly, tells = openai_chat.Assembly(), self._tells_route(exchange, attempt)
        for _, chunk in attempt.events():
            if tells and chunk and openai_chat.has_content(chunk):
                assembly.add(_route_told(exchange, chunk))
                tells = False
            if chunk is not None:
                assembly.add(chunk)
        if not attempt.saw_done and not assembly.finished:
            raise attempt.broke_off()
        return (
            attempt.native_answer if attempt.native else exchange.dialect.answer(assembly.answer(), exchange)
        )

    def _relayed(self, exchange, attempt):
        """The bytes of a stream for the client: what came before the head in one go, then as it comes, then a proper end."""
        relay = NATIVE[attempt.native.api].relay() if attempt.native else exchange.dialect.relay(exchange)
        tells = self._tells_route(exchange, attempt)
        pending, head_sent = [], False
        try:
            for event, chunk in attempt.events():
                if event.is_done:
                    continue
                begins = not head_sent and chunk and openai_chat.has_content(chunk)
                if begins and tells:
                    told = _route_told(exchange, chunk)
                    pending.append(relay.pass_on(sse.Event(sse.event(openai_chat.dumps(told)), b""), told))
                pending.append(relay.pass_on(event, chunk))
                if head_sent or begins:
                    if begins:
                        head_sent, exchange.ttft_ms = True, exchange.ms()
                    sent, pending = b"".join(pending), []
                    if sent:
                        yield sent
            if not attempt.saw_done and not relay.finished:
                raise attempt.broke_off()
            exchange.delivered = (
                True  # now and not later: a client may close its connection as soon as it reads [DONE]
            )
            yield b"".join(pending) + relay.ending()
        except Cancelled:
            if exchange.failure is None:  # else it is we who leave, and the client is told
                return
            yield exchange.dialect.error_event(exchange.failure, exchange.id, relay)
        except ProxyError as error:
            exchange.failure = _with_subject(error, attempt.provider)
            self._failed(exchange, attempt, error)
            yield exchange.dialect.error_event(error, exchange.id, relay)

    def _tells_route(self, exchange, attempt):
        """Whether the answer begins with a line about its route."""
        told = self._config.show_route and exchange.decision != "META" and "messages" in exchange.body
        return bool(told and not attempt.native and not _wants_plain(exchange.body))

    def _log_response(self, exchange, attempt):
        started = attempt.started_at
        if exchange.stream:
            times = {
                "connect_ms": _between_ms(started, attempt.cancel_token.connected_at),
                "ttft_ms": _between_ms(started, attempt.head_at),
            }
        else:
            times = {
                "duration_ms": _between_ms(started, attempt.ended_at),
                "finish_reason": attempt.finish_reason,
            }
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

    def _passed_through(self, exchange, provider, path, body):
        """A call that is not streamed, answered by one provider as it is, through its door and its breaker. body: a dict."""
        slot, permit = self._let_in(exchange, provider)
        with slot, permit:
            try:
                answer = self._fetched(exchange, provider, path, body)
            except ProxyError as error:
                permit.failed(error, error.retry_after_s)
                raise
            permit.succeeded()
            return answer

    def _fetched(self, exchange, provider, path, body):
        cancel_token = CancelToken()
        exchange.on_cancel(cancel_token.cancel)
        timeouts = provider.timeouts()
        url = provider.url(path, cancel_token)
        body = openai_chat.dumps(body)
        clock = timing.clock_for(provider.name, provider.model, body)
        response = provider.upstream.call(
            cancel_token, "POST", url, body, connect_s=timeouts.connect_s, read_s=timeouts.first_byte_s
        )
        answer = b""
        while more := read_some(response, cancel_token):
            answer += more
        if response.status_code >= 300:
            raise UpstreamStatus(response.status_code, _error_in(answer), provider.name)
        if clock:
            clock.chars_out = len(answer)
            clock.ended()
        exchange.ttft_ms = exchange.ms()
        return Whole(answer)


def _resting(provider):
    return Unavailable(
        f"resting, {provider.breaker.snapshot()['reason']}",
        cooldown_left_s=provider.breaker.cooldown_left_s(),
    )


def _route_told(exchange, chunk):
    """A chunk before the first with content that names, as reasoning, who answers and why. It says nothing that the headers do not."""
    verdict = exchange.verdict
    sure = f" {verdict.confidence:.0%} sure" if verdict and verdict.confidence is not None else ""
    decided = f", decided in {verdict.ms} ms" if verdict else ""
    line = f"{TOLD_BY}{exchange.decision}{sure} -> {exchange.route}, {exchange.provider}{decided}, first word after {exchange.ms()} ms\n\n"
    top = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
    return {
        **top,
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "reasoning_content": line}, "finish_reason": None}
        ],
    }


def _without_routes_told(messages):
    """The messages without the lines about their routes, which some clients hand back with the rest of the reasoning; the list itself if there are none."""
    if not any(_tells_route(message) for message in messages):
        return messages
    return [
        {**message, "reasoning_content": message["reasoning_content"].partition("\n\n")[2]}
        if _tells_route(message)
        else message
        for message in messages
    ]


def _tells_route(message):
    reasoning = message.get("reasoning_content")
    return isinstance(reasoning, str) and reasoning.startswith(TOLD_BY)


def _wants_plain(body):
    """Whether an answer is wanted without reasoning, or a program is going to parse it: it is to follow a format, or a tool must be called."""
    form, choice, switches = (
        body.get("response_format"),
        body.get("tool_choice"),
        body.get("chat_template_kwargs"),
    )
    unthinking = isinstance(switches, dict) and switches.get("enable_thinking") is False
    return (
        unthinking
        or (isinstance(form, dict) and form.get("type") != "text")
        or choice not in (None, "auto", "none")
    )


def _with_subject(error, provider):
    """An error with the provider's name where it says "it": in a chain's report the name stands before, alone nobody would know who."""
    if error.message.startswith("it "):
        error.message = f"provider '{provider.name}' {error.message[3:]}"
    return error


def _housekeeping(marker):
    return Verdict("META", 1.0, {"META": 1.0}, marker, "heuristic")


def _error_in(answer):
    try:
        return openai_chat.error_of(openai_chat.json.loads(answer)) or {}
    except ValueError:
        return {}


def _between_ms(start, end):
    return None if end is None else round((end - start) * 1000)
