"""OpenAI's APIs: chat completions, Responses, legacy completions, embeddings, models; and what is ours beside
them.
"""

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response
from flask import request as http

from api.authorization import current_key
from api.handler import Api, Handler, json_response
from api.response_store import ResponseStore
from errors import NotFound, ProxyError
from proxy.client_api import AnswerContext, ClientApi, Relay
from proxy.exchange import Exchange
from proxy.reply import Reply, WholeReply, whole_reply
from proxy.request import Request
from routing.affinity import client_fingerprint
from services import Services
from telemetry.events import Planned
from wire import Headers, JsonObject, openai_chat, responses, responses_stream, sse
from wire.envelope import Envelope
from wire.native import Native, in_chat

STARTED = int(time.time())  # `created` of every model


class OpenAI(ClientApi):
    """The endpoints whose requests need no translation."""

    def __init__(self, api: str, check: Callable[[Any], JsonObject]) -> None:
        """check: reads the body."""
        self.api = api
        self._check = check

    def read(self, body: Any, headers: Headers) -> JsonObject:
        return self._check(body)

    def relay(self, exchange: Exchange, context: AnswerContext) -> Relay:
        include_usage = bool((context.body.get("stream_options") or {}).get("include_usage"))
        return openai_chat.Relay(include_usage, self._envelope(exchange, context))

    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        return self._envelope(exchange, context).mend_answer(completion)

    @staticmethod
    def _envelope(exchange: Exchange, context: AnswerContext) -> Envelope:
        """What stands around an answer's words where its provider says nothing, or something wrong."""
        is_text = "messages" not in context.body
        id = f"{'cmpl' if is_text else 'chatcmpl'}-{exchange.id}"
        return Envelope(id, int(exchange.timestamp.timestamp()), context.model, is_text=is_text)

    def error(self, error: ProxyError, session: str) -> JsonObject:
        return openai_chat.error_body(error.message, error.type, error.param, error.code)

    def error_event(self, error: ProxyError, session: str, relay: Any) -> bytes:
        return sse.event(openai_chat.dumps(self.error(error, session))) + sse.DONE

    def headers(self, session: str) -> dict[str, str]:
        return {"X-Request-Id": session}


class AgentChat(OpenAI):
    """What agents of the gateway speak: a route's name as `model_class`, and messages or just a prompt."""

    def __init__(self) -> None:
        super().__init__("chat", openai_chat.checked_agent_chat)

    def read(self, body: Any, headers: Headers) -> JsonObject:
        checked = super().read(body, headers)
        self.route = checked.pop("model_class")
        return checked


class Responses(OpenAI):
    """The Responses API."""

    def __init__(self, store: ResponseStore, client: str) -> None:
        """client: what tells this client from others."""
        super().__init__("responses", lambda body: body)
        self._store = store
        self._client = client
        self._request: JsonObject = {}  # as the client wrote it, which the answer repeats
        self._resolved: JsonObject = {}

    def read(self, body: Any, headers: Headers) -> JsonObject:
        responses.check_request(body)
        self._request, self._resolved = body, self._store.resolved(self._client, body)
        chat, refusal = in_chat(self._resolved, responses.chat_request_of, responses.words_of)
        self.native = Native("responses", self._resolved, refusal=refusal)
        return chat

    def relay(self, exchange: Exchange, context: AnswerContext) -> Relay:
        return responses_stream.EventStream(*self._head(exchange), self._keep)

    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        response = responses_stream.answer_of(completion, *self._head(exchange))
        self._keep(response)
        return response

    def _keep(self, response: JsonObject) -> None:
        self._store.keep(self._client, self._resolved, response)

    def error_event(self, error: ProxyError, session: str, relay: Any) -> bytes:
        event: bytes = relay.error_event(error.message, error.type, error.param, error.code)
        return event

    def _head(self, exchange: Exchange) -> tuple[JsonObject, str, int]:
        return self._request, f"resp_{exchange.id}", int(exchange.timestamp.timestamp())


def answer_chat(services: Services, exchange: Exchange, request: Request) -> Reply:
    """Down the whole road."""
    return services.pipeline.chat(exchange, request)


def _classified(services: Services, exchange: Exchange, request: Request) -> WholeReply:
    """The decision alone; no provider is called."""
    pipeline = services.pipeline
    verdict = pipeline.housekeeping(exchange, request) or pipeline.classify(exchange, request)
    plan = services.router.plan_for(verdict.decision)
    route = services.key_limits.on_its_routes(plan, exchange.key).route
    exchange.notify(Planned(verdict.decision, route, None))
    return whole_reply(
        {
            "decision": verdict.decision,
            "route": route,
            "confidence": verdict.confidence,
            "probabilities": verdict.probabilities,
            "source": verdict.source,
            "classification_ms": verdict.ms,
        }
    )


def blueprint(handler: Handler) -> Blueprint:
    """The endpoints. What clients of Responses may refer to is kept as long as the application lives."""
    endpoints = Blueprint("openai", __name__)
    store = ResponseStore()

    @endpoints.post("/chat/completions")
    def chat() -> Response:
        return handler.proxied(OpenAI("chat.completions", openai_chat.check_chat), answer_chat)

    @endpoints.post("/chat")
    def agent_chat() -> Response:
        return handler.proxied(AgentChat(), answer_chat)

    @endpoints.post("/responses")
    def create_response() -> Response:
        return handler.proxied(Responses(store, _client()), answer_chat)

    @endpoints.get("/responses/<name>")
    def response(name: str) -> Response:
        """An answer of the Responses API, as long as it is remembered."""
        kept = store.response(_client(), name)
        if kept is None:
            raise _unknown_response(name)
        return json_response(kept)

    @endpoints.delete("/responses/<name>")
    def delete_response(name: str) -> Response:
        if not store.drop(_client(), name):
            raise _unknown_response(name)
        return json_response({"id": name, "object": "response", "deleted": True})

    @endpoints.post("/completions")
    def completions() -> Response:
        api = OpenAI("completions", lambda body: openai_chat.check_prompt(body, "prompt"))
        return handler.proxied(api, lambda services, *call: services.pipeline.completion(*call))

    @endpoints.post("/embeddings")
    def embeddings() -> Response:
        api = OpenAI("embeddings", lambda body: openai_chat.check_prompt(body, "input"))
        return handler.proxied(api, lambda services, *call: services.passthrough.embedding(*call))

    @endpoints.post("/classify")
    def classify() -> Response:
        return handler.proxied(OpenAI("classify", openai_chat.check_chat), _classified)

    @endpoints.get("/models")
    def models() -> Response:
        listed = [_model(*known) for known in handler.services.models(current_key())]
        return json_response({"object": "list", "data": listed})

    @endpoints.get("/models/<path:name>")
    def model(name: str) -> Response:
        models = handler.services.models(current_key())
        known = next((entry for entry in models if entry[0] == name), None)
        if known is None:
            raise NotFound(f"the model '{name}' does not exist", param="model", code="model_not_found")
        return json_response(_model(*known))

    return endpoints


def _client() -> str:
    return client_fingerprint(http.remote_addr, http.headers)


def _unknown_response(name: str) -> NotFound:
    message = f"the response '{name}' is not known here, or no longer"
    return NotFound(message, param="response_id", code="response_not_found")


def _model(name: str, owner: str, display: str | None) -> JsonObject:
    model = {"id": name, "object": "model", "created": STARTED, "owned_by": owner}
    return {**model, "name": display} if display else model


API = Api(blueprint, errors=lambda: OpenAI("unknown", lambda body: body), owns=lambda path: True)
