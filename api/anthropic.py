"""Anthropic's Messages API."""

from typing import Any

from flask import Blueprint, Response

from api.handler import Api, Handler
from api.openai import answer_chat
from errors import ProxyError
from proxy.client_api import AnswerContext, ClientApi, Relay
from proxy.exchange import Exchange
from wire import Headers, JsonObject, anthropic, anthropic_stream
from wire.native import Native, in_chat

MESSAGES, COUNT_TOKENS = "/messages", "/messages/count_tokens"


class Messages(ClientApi):
    """One request of the Messages API."""

    def __init__(self, api: str = "messages") -> None:
        """api: "messages", or "messages.count_tokens", whose requests need no `max_tokens`."""
        self.api = api
        self._model: str | None = None

    def read(self, body: Any, headers: Headers) -> JsonObject:
        chat, refusal = in_chat(body, self._translated, anthropic.words_of)
        sent = {name: headers[name] for name in anthropic.HEADERS if headers.get(name)}
        self.native = Native("messages", body, sent, refusal)
        self._model = chat.get("model")
        return chat

    def _translated(self, body: Any) -> JsonObject:
        anthropic.check_messages(body, limited=self.api == "messages")
        return anthropic.chat_request_of(body)

    def relay(self, exchange: Exchange, context: AnswerContext) -> Relay:
        return anthropic_stream.EventStream(self._model or context.body["model"], f"msg_{exchange.id}")

    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        return anthropic_stream.answer_of(
            completion, self._model or context.body["model"], f"msg_{exchange.id}"
        )

    def error(self, error: ProxyError, session: str) -> JsonObject:
        return anthropic.error_body(error.message, error.status, session)

    def error_event(self, error: ProxyError, session: str, relay: Any) -> bytes:
        return anthropic_stream.error_event(error.message, error.status, session)

    def headers(self, session: str) -> dict[str, str]:
        return {"request-id": session}


def blueprint(handler: Handler) -> Blueprint:
    endpoints = Blueprint("anthropic", __name__)

    @endpoints.post(MESSAGES)
    def messages() -> Response:
        return handler.proxied(Messages(), answer_chat)

    @endpoints.post(COUNT_TOKENS)
    def count_tokens() -> Response:
        return handler.proxied(
            Messages("messages.count_tokens"),
            lambda services, *call: services.passthrough.count_tokens(*call),
        )

    return endpoints


API = Api(blueprint, errors=Messages, owns=lambda path: path.rstrip("/").endswith((MESSAGES, COUNT_TOKENS)))
