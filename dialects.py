"""The APIs that clients speak. A dialect is one request's interpreter: it reads the client's body into the words of chat completions, in which
everything between the faces and the providers is said, and writes the answer, its stream and every error in the client's own.

How each format says things is `wire/`'s; which of it belongs to which endpoint stands here. No dialect knows Flask, a socket or the configuration.
"""

import dataclasses
from dataclasses import dataclass, field

from errors import BadRequest
from wire import anthropic, anthropic_stream, openai_chat, sse

SSE = "text/event-stream"


@dataclass(frozen=True)
class Native:
    """A request as its client wrote it, for a provider that speaks the client's own API and gets it untouched.

    api: a key of NATIVE. headers: of the client's that belong to the request. refusal: what chat completions cannot say of it, so that
    nobody else can be asked; None where they say it all.
    """

    api: str
    body: dict
    headers: dict = field(default_factory=dict)
    refusal: BadRequest | None = None

    def with_system(self, text):
        """The same request with `text` at the end of its instructions; itself for ""."""
        return dataclasses.replace(self, body=NATIVE[self.api].with_system(self.body, text)) if text else self


@dataclass(frozen=True)
class Asked:
    """What providers are asked for a request: `chat`, a body of chat completions, or `native`, where there is one and they speak it."""

    chat: dict
    native: Native | None = None


class OpenAI:
    """The endpoints of OpenAI whose requests need no translation. check: reads the body."""

    media_type = SSE
    native = None

    def __init__(self, api, check):
        self.api = api
        self._check = check

    def read(self, body, headers):
        """The request in the words of chat completions. Raises BadRequest in the client's words."""
        return self._check(body)

    def relay(self, body):
        """What writes a stream for the client; an openai_chat.Relay or one like it. body: as `read` gave it."""
        return openai_chat.Relay(bool((body.get("stream_options") or {}).get("include_usage")))

    def answer(self, completion):
        """The whole answer for the client, for one of chat completions."""
        return completion

    @staticmethod
    def error(error, session):
        """A ProxyError as a body. session: the request's id."""
        return openai_chat.error_body(error.message, error.type, error.param, error.code)

    def error_event(self, error, session):
        """The bytes by which a stream that failed ends."""
        return sse.event(openai_chat.dumps(self.error(error, session))) + sse.DONE

    @staticmethod
    def headers(session):
        """What this API's clients look for in the headers of any answer."""
        return {"X-Request-Id": session}


class Messages:
    """Anthropic's Messages."""

    media_type = SSE

    def __init__(self, api="messages"):
        """api: "messages", or "messages.count_tokens", whose requests need no `max_tokens`."""
        self.api = api
        self.native = None
        self._model = None

    def read(self, body, headers):
        refusal = None
        try:
            anthropic.check_messages(body, limited=self.api == "messages")
            chat = anthropic.chat_request_of(body)
        except BadRequest as error:
            if error.code not in anthropic.BEYOND_CHAT:
                raise
            refusal, chat = error, anthropic.words_of(body)
        told = {name: headers[name] for name in anthropic.HEADERS if headers.get(name)}
        self.native = Native("messages", body, told, refusal)
        self._model = chat.get("model")
        return chat

    def relay(self, body):
        return anthropic_stream.EventStream(self._model or body["model"])

    def answer(self, completion):
        return anthropic_stream.answer_of(completion, self._model or completion.get("model"))

    @staticmethod
    def error(error, session):
        return anthropic.error_body(error.message, error.status, session)

    def error_event(self, error, session):
        return anthropic_stream.error_event(error.message, error.status, session)

    @staticmethod
    def headers(session):
        return {"request-id": session}


class PassedOn:
    """A stream that goes through as it came; used like openai_chat.Relay."""

    def __init__(self):
        self.finished = False

    def pass_on(self, event, chunk):
        self.finished = self.finished or bool(chunk and openai_chat.first_choice(chunk).get("finish_reason"))
        return event.raw

    def ending(self):
        return b""


@dataclass(frozen=True)
class NativeFormat:
    """How a provider is asked in an API of its own. path: below its base_url. with_system: (body, text) -> body. decoder: made for each answer."""

    path: str
    with_system: object
    decoder: object


NATIVE = {
    "messages": NativeFormat("/messages", anthropic.with_system, anthropic_stream.NativeDecoder),
}


def speaking_at(path):
    """The dialect in which a request that went wrong before it was read is answered, by its path."""
    if path.rstrip("/").endswith(("/messages", "/messages/count_tokens")):
        return Messages()
    return OpenAI("unknown", lambda body: body)
