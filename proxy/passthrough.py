"""Calls that are not streamed: embeddings and the counting of tokens, answered by one provider, or here."""

from collections.abc import Mapping

from engine.embedder import Embedder
from errors import NotFound, ProxyError, UpstreamStatus
from providers import Provider
from proxy.exchange import Exchange
from proxy.fallback import admit
from proxy.reply import WholeReply, whole_reply
from proxy.request import Request
from routing.key_limits import KeyLimits
from routing.policies import PolicyContext
from routing.router import Router
from settings.decisions import PINNED
from telemetry import call_timing
from telemetry.events import FirstByte, Planned
from upstream.cancellation import CancelToken
from upstream.connection import read_whole
from wire import JsonObject, embeddings, openai_chat
from wire.usage import estimate_tokens

EMBEDDER = "embedder"  # stands where a provider's name would
EMBEDDINGS, COUNT_TOKENS = "/embeddings", "/messages/count_tokens"


class PassThrough:
    """Answers what one provider answers as it is, or the embedded model."""

    def __init__(
        self,
        virtual_model: str,
        router: Router,
        providers: Mapping[str, Provider],
        embedder: Embedder,
        key_limits: KeyLimits,
    ) -> None:
        self._virtual_model = virtual_model
        self._router = router
        self._providers = providers
        self._embedder = embedder
        self._key_limits = key_limits

    def embedding(self, exchange: Exchange, request: Request) -> WholeReply:
        """Embed by a provider, else by the embedded model.

        The provider is the one marked for embeddings, else the one that has the model. The embedded model
        answers under its own name, or none. Raises NotFound when nobody has the model, Forbidden or
        QuotaSpent when the client's key may not use who has it: another one's vectors could not be compared
        with the client's.
        """
        name = self._router.embeddings_provider(request.model)
        provider = self._providers.get(name) if name else None
        if provider is not None and not provider.disabled and provider.capabilities.embeddings:
            self._key_limits.check_provider(provider.name, exchange.key)
            plan = self._router.plan_to(provider.name)
            exchange.notify(Planned(PINNED, plan.route, plan.slow_ms, plan.chain, provider=provider.name))
            cancel_token = CancelToken()
            exchange.on_cancel(cancel_token.cancel)
            provider.prepare(cancel_token)
            body = provider.body(request.body, stream=False)
            return self._forwarded(exchange, provider, EMBEDDINGS, body)
        exchange.notify(Planned(PINNED, None, None))
        if request.model != self._virtual_model and not embeddings.is_embedded(request.model):
            message = (
                f"no provider here serves embeddings for the model '{request.model}'; "
                f"the embedded one is '{embeddings.MODEL}'"
            )
            raise NotFound(message, param="model", code="model_not_found")
        return self._embedded(exchange, request)

    def _embedded(self, exchange: Exchange, request: Request) -> WholeReply:
        wanted = embeddings.read(request.body, may_be_empty=request.api.embeds_empty)
        exchange.notify(Planned(PINNED, None, None, provider=EMBEDDER))
        vectors, tokens = self._embedder.embed(wanted.inputs, exchange.on_cancel)
        exchange.notify(FirstByte(exchange.ms()))
        return WholeReply(embeddings.answer(wanted, embeddings.MODEL, vectors, tokens))

    def count_tokens(self, exchange: Exchange, request: Request) -> WholeReply:
        """Count a request's tokens by the provider that would answer, or estimate them.

        A provider counts where it has this API; a local server's tokenizer is not known here.
        """
        plan = self._router.pin(request.model) or self._router.primary
        plan = self._key_limits(plan, PolicyContext(key=exchange.key))
        callable_ones = (self._providers[name] for name in plan.chain if name not in plan.passed_over)
        provider = next((one for one in callable_ones if not one.disabled), None)
        native = request.api.native
        counts = provider is not None and native is not None and provider.speaks(native.api)
        served_by = provider.name if provider and counts else None
        exchange.notify(Planned(plan.decision, plan.route, plan.slow_ms, plan.chain, provider=served_by))
        if provider is None or native is None or not counts:
            return whole_reply({"input_tokens": estimate_tokens(request.body)})
        body = provider.native_body(native.body, plan.rule)
        body = {name: value for name, value in body.items() if name not in ("stream", "max_tokens")}
        return self._forwarded(exchange, provider, COUNT_TOKENS, body)

    def _forwarded(self, exchange: Exchange, provider: Provider, path: str, body: JsonObject) -> WholeReply:
        """The provider's answer as it is, through its admission queue and its breaker."""
        slot, permit = admit(exchange, provider)
        with slot, permit:
            try:
                answer = self._fetched(exchange, provider, path, openai_chat.dumps(body))
            except ProxyError as error:
                permit.failed(error, error.retry_after_s)
                raise
            permit.succeeded()
        exchange.notify(FirstByte(exchange.ms()))
        return WholeReply(answer)

    @staticmethod
    def _fetched(exchange: Exchange, provider: Provider, path: str, body: bytes) -> bytes:
        cancel_token = CancelToken()
        exchange.on_cancel(cancel_token.cancel)
        timeouts = provider.timeouts()
        url = provider.url(path, cancel_token)
        timing = call_timing.clock_for(provider.name, provider.model, body)
        response = provider.upstream.call(
            cancel_token, "POST", url, body, connect_s=timeouts.connect_s, read_s=timeouts.first_byte_s
        )
        answer = read_whole(response, cancel_token)
        if response.status_code >= 300:
            raise UpstreamStatus(response.status_code, openai_chat.error_in(answer), provider.name)
        if timing:
            timing.chars_out = len(answer)
            timing.ended()
        return answer
