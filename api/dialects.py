"""The APIs that clients speak. A dialect is one request's interpreter: it reads the client's body into the words of chat completions, in which
everything between the faces and the providers is said, and writes the answer, its stream and every error in the client's own.

How each format says things is `wire/`'s; which of it belongs to which endpoint stands here. No dialect knows Flask, a socket or the configuration.
"""

import time

from errors import BadRequest
from wire import (
    anthropic,
    anthropic_stream,
    ollama,
    ollama_stream,
    openai_chat,
    responses,
    responses_stream,
    sse,
)
from wire.envelope import Envelope
from wire.native import Native

SSE = "text/event-stream"


class OpenAI:
    """The endpoints of OpenAI whose requests need no translation. check: reads the body."""

    media_type = SSE
    native = None
    at_home = ()
    embeds_empty = False  # whether an empty text may be embedded

    def __init__(self, api, check):
        self.api = api
        self._check = check

    def read(self, body, headers):
        """The request in the words of chat completions. Raises BadRequest in the client's words."""
        return self._check(body)

    def relay(self, exchange):
        """What writes a stream for the client; an openai_chat.Relay or one like it."""
        include_usage = bool((exchange.body.get("stream_options") or {}).get("include_usage"))
        return openai_chat.Relay(include_usage, self._envelope(exchange))

    def answer(self, completion, exchange):
        """The whole answer for the client, for one of chat completions."""
        return self._envelope(exchange).mend_answer(completion)

    @staticmethod
    def _envelope(exchange):
        """What an answer gets around its words where its provider says nothing or something wrong."""
        is_text = "messages" not in exchange.body
        id = f"{'cmpl' if is_text else 'chatcmpl'}-{exchange.id}"
        model = exchange.answering.model or exchange.model or ""
        return Envelope(id, int(exchange.timestamp.timestamp()), model, is_text=is_text)

    @staticmethod
    def error(error, session):
        """A ProxyError as a body. session: the request's id."""
        return openai_chat.error_body(error.message, error.type, error.param, error.code)

    def error_event(self, error, session, relay):
        """The bytes by which a stream that failed ends. relay: what has written it so far."""
        return sse.event(openai_chat.dumps(self.error(error, session))) + sse.DONE

    @staticmethod
    def headers(session):
        """What this API's clients look for in the headers of any answer."""
        return {"X-Request-Id": session}


def _in_chat(body, translate, words_of):
    """(the chat request for a body, None), or (one with its words alone, the BadRequest that says what else there is) where chat completions cannot say it
    all. Raises BadRequest for what is unsound in any API."""
    try:
        return translate(body), None
    except BadRequest as error:
        if error.code not in openai_chat.BEYOND_CHAT:
            raise
        return words_of(body), error


class Responses(OpenAI):
    """OpenAI's Responses."""

    def __init__(self, response_store, owner):
        """response_store: a response_store.ResponseStore. owner: what tells this client from others."""
        self.api = "responses"
        self.native = None
        self._recollection = response_store
        self._owner = owner
        self._asked = None  # as the client wrote it, which the answer repeats

    def read(self, body, headers):
        responses.check_request(body)
        self._asked, body = body, self._recollection.resolved(self._owner, body)
        chat, refusal = _in_chat(body, responses.chat_request_of, responses.words_of)
        self.native = Native("responses", body, refusal=refusal)
        return chat

    def relay(self, exchange):
        return responses_stream.EventStream(*self._named(exchange), self._keep)

    def answer(self, completion, exchange):
        response = responses_stream.answer_of(completion, *self._named(exchange))
        self._keep(response)
        return response

    def _keep(self, response):
        self._recollection.keep(self._owner, self.native.body, response)

    def error_event(self, error, session, relay):
        return relay.error_event(error.message, error.type, error.param, error.code)

    def _named(self, exchange):
        return self._asked, f"resp_{exchange.id}", int(exchange.timestamp.timestamp())


class Messages:
    """Anthropic's Messages."""

    media_type = SSE
    at_home = ()

    def __init__(self, api="messages"):
        """api: "messages", or "messages.count_tokens", whose requests need no `max_tokens`."""
        self.api = api
        self.native = None
        self._model = None

    def read(self, body, headers):
        chat, refusal = _in_chat(body, self._translated, anthropic.words_of)
        told = {name: headers[name] for name in anthropic.HEADERS if headers.get(name)}
        self.native = Native("messages", body, told, refusal)
        self._model = chat.get("model")
        return chat

    def _translated(self, body):
        anthropic.check_messages(body, limited=self.api == "messages")
        return anthropic.chat_request_of(body)

    def relay(self, exchange):
        return anthropic_stream.EventStream(*self._named(exchange))

    def answer(self, completion, exchange):
        return anthropic_stream.answer_of(completion, *self._named(exchange))

    def _named(self, exchange):
        return self._model or exchange.model, f"msg_{exchange.id}"

    @staticmethod
    def error(error, session):
        return anthropic.error_body(error.message, error.status, session)

    def error_event(self, error, session, relay):
        return anthropic_stream.error_event(error.message, error.status, session)

    @staticmethod
    def headers(session):
        return {"request-id": session}


class Ollama:
    """Ollama's chat and generate."""

    media_type = ollama.MEDIA_TYPE
    native = None
    at_home = ("chat_template_kwargs",)  # Home Assistant says `think: false` with every request

    def __init__(self, api):
        """api: "ollama.chat" or "ollama.generate"."""
        self.api = api
        self.completes = False  # whether it is a prompt without a template, for legacy completions
        self.told = (
            None  # the answer, where nobody has to be asked: the request is only that a model be loaded
        )
        self._model = None  # as the client wrote it
        self._chats = api == "ollama.chat"

    def read(self, body, headers):
        (ollama.check_chat if self._chats else ollama.check_generate)(body)
        self._model = body["model"]
        if ollama.is_load(body):
            self.told = ollama.load_answer(
                body, time.time(), ollama.chat_words if self._chats else ollama.generate_words
            )
            return {"model": ollama.model_name(self._model)}
        self.completes = not self._chats and ollama.is_completion(body)
        if self.completes:
            return ollama.completion_request_of(body)
        return (ollama.chat_request_of if self._chats else ollama.chat_request_of_generate)(body)

    def relay(self, exchange):
        lines = ollama_stream.ChatLines if self._chats else ollama_stream.GenerateLines
        return lines(self._model, lambda: ollama_stream.Moment(time.time(), exchange.ms()))

    def answer(self, completion, exchange):
        answer_of = ollama.chat_answer_of if self._chats else ollama.generate_answer_of
        return answer_of(
            completion,
            self._model,
            time.time(),
            ollama.Times(
                exchange.ms(), exchange.answering.head_at and exchange.ms(exchange.answering.head_at)
            ),
        )

    @staticmethod
    def error(error, session):
        return ollama.error_body(error.message)

    def error_event(self, error, session, relay):
        return ollama_stream.error_line(error.message)

    @staticmethod
    def headers(session):
        return {}


class OllamaEmbed(Ollama):
    """Ollama's embed, and the embeddings endpoint that came before it."""

    embeds_empty = True

    def read(self, body, headers):
        ollama.check_embed(body)
        self._model = body["model"]
        if ollama.is_empty(body):
            self.told = (
                ollama.embed_answer([], self._model, 0)
                if self.api == "ollama.embed"
                else ollama.embedding_answer([])
            )
            return {"model": ollama.model_name(self._model)}
        return ollama.embedding_request_of(body)

    def answer(self, completion, exchange):
        vectors, tokens = ollama.vectors_of(completion)
        return (
            ollama.embed_answer(vectors, self._model, exchange.ms(), tokens)
            if self.api == "ollama.embed"
            else ollama.embedding_answer(vectors[0])
        )


def speaking_at(path):
    """The dialect in which a request that went wrong before it was read is answered, by its path."""
    if path.rstrip("/").endswith(("/messages", "/messages/count_tokens")):
        return Messages()
    if path.startswith("/api/"):
        return Ollama("unknown")
    return OpenAI("unknown", lambda body: body)
