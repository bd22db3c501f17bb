"""Ollama's API."""

import json
import time
from typing import Any

from flask import Blueprint, Response

from api.authorization import current_key
from api.handler import Api, Handler, json_response
from api.openai import STARTED, answer_chat
from api.request_body import read_json
from errors import NotFound, ProxyError
from proxy.client_api import AnswerContext, ClientApi, Relay
from proxy.exchange import Exchange
from proxy.reply import Reply, whole_reply
from proxy.request import Request
from services import Services
from wire import Headers, JsonObject, embeddings, ollama, ollama_stream


class Ollama(ClientApi):
    """One request of Ollama's chat or generate."""

    media_type = ollama.MEDIA_TYPE
    at_home = ("chat_template_kwargs",)  # Home Assistant says `think: false` with every request

    def __init__(self, api: str) -> None:
        """api: "ollama.chat" or "ollama.generate"."""
        self.api = api
        self.completes = False  # whether it is a prompt without a template, for legacy completions
        self.ready_answer: JsonObject | None = None  # where no model has to answer
        self._model = ""  # as the client wrote it
        self._chats = api == "ollama.chat"

    def read(self, body: Any, headers: Headers) -> JsonObject:
        (ollama.check_chat if self._chats else ollama.check_generate)(body)
        self._model = body["model"]
        if ollama.is_load(body):
            words = ollama.chat_words if self._chats else ollama.generate_words
            self.ready_answer = ollama.load_answer(body, time.time(), words)
            return {"model": ollama.model_name(self._model)}
        self.completes = not self._chats and ollama.is_completion(body)
        if self.completes:
            return ollama.completion_request_of(body)
        return (ollama.chat_request_of if self._chats else ollama.chat_request_of_generate)(body)

    def relay(self, exchange: Exchange, context: AnswerContext) -> Relay:
        lines = ollama_stream.ChatLines if self._chats else ollama_stream.GenerateLines
        return lines(self._model, lambda: ollama_stream.Moment(time.time(), exchange.ms()))

    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        answer_of = ollama.chat_answer_of if self._chats else ollama.generate_answer_of
        return answer_of(completion, self._model, time.time(), ollama.Times(exchange.ms(), context.head_ms))

    def error(self, error: ProxyError, session: str) -> JsonObject:
        return ollama.error_body(error.message)

    def error_event(self, error: ProxyError, session: str, relay: Any) -> bytes:
        return ollama_stream.error_line(error.message)


class OllamaEmbed(Ollama):
    """One request of Ollama's embed, or of the embeddings endpoint that came before it."""

    embeds_empty = True

    def read(self, body: Any, headers: Headers) -> JsonObject:
        ollama.check_embed(body)
        self._model = body["model"]
        if ollama.is_empty(body):
            self.ready_answer = self._answer([], 0)
            return {"model": ollama.model_name(self._model)}
        return ollama.embedding_request_of(body)

    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        vectors, tokens = ollama.vectors_of(completion)
        return self._answer(vectors, exchange.ms(), tokens)

    def _answer(self, vectors: list[Any], ms: int, tokens: int | None = None) -> JsonObject:
        if self.api == "ollama.embed":
            return ollama.embed_answer(vectors, self._model, ms, tokens)
        return ollama.embedding_answer(vectors[0] if vectors else [])


def _answer_chat(services: Services, exchange: Exchange, request: Request) -> Reply:
    api = request.api
    assert isinstance(api, Ollama)
    if api.ready_answer is not None:
        return whole_reply(api.ready_answer)
    if api.completes:
        return services.pipeline.completion(exchange, request)
    return answer_chat(services, exchange, request)


def _answer_embed(services: Services, exchange: Exchange, request: Request) -> Reply:
    api = request.api
    assert isinstance(api, OllamaEmbed)
    if api.ready_answer is not None:
        return whole_reply(api.ready_answer)
    answer = json.loads(services.passthrough.embedding(exchange, request).body)
    return whole_reply(api.answer(answer, exchange, AnswerContext(request.body, request.model)))


def blueprint(handler: Handler) -> Blueprint:
    endpoints = Blueprint("ollama", __name__)

    @endpoints.post("/api/chat")
    def chat() -> Response:
        return handler.proxied(Ollama("ollama.chat"), _answer_chat)

    @endpoints.post("/api/generate")
    def generate() -> Response:
        return handler.proxied(Ollama("ollama.generate"), _answer_chat)

    @endpoints.post("/api/embed")
    def embed() -> Response:
        return handler.proxied(OllamaEmbed("ollama.embed"), _answer_embed)

    @endpoints.post("/api/embeddings")
    def embed_one() -> Response:
        return handler.proxied(OllamaEmbed("ollama.embeddings"), _answer_embed)

    @endpoints.get("/api/version")
    def version() -> Response:
        return json_response(ollama.version())

    @endpoints.get("/api/tags")
    def tags() -> Response:
        return json_response(ollama.tags(handler.services.models(current_key()), STARTED))

    @endpoints.get("/api/ps")
    def running() -> Response:
        # The one that is always there; where the others run is not known.
        return json_response(ollama.ps(handler.services.models(current_key())[:1]))

    @endpoints.post("/api/show")
    def show() -> Response:
        services = handler.services
        name = ollama.model_name(ollama.check_show(read_json(services.max_body_bytes)))
        if embeddings.is_embedded(name):
            tokens = embeddings.CONTEXT_TOKENS
            shown = ollama.show(name, "bert", STARTED, capabilities=("embedding",), context_length=tokens)
            return json_response(shown)
        known = next((entry for entry in services.models(current_key()) if entry[0] == name), None)
        if known is None:
            raise NotFound(f"model '{name}' not found", param="model", code="model_not_found")
        return json_response(ollama.show(name, known[1], STARTED))

    return endpoints


API = Api(
    blueprint,
    errors=lambda: Ollama("unknown"),
    owns=lambda path: path.startswith("/api/"),
    prefixes=("",),
)
