"""A request in an API of its own, for a provider that speaks that API: the body goes and the stream comes untouched."""

import dataclasses
from dataclasses import dataclass, field

from errors import BadRequest
from wire import anthropic, anthropic_stream, openai_chat, responses, responses_stream


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
class ProviderRequest:
    """What providers are asked for a request: `chat`, a body of chat completions, or `native`, where there is one and they speak it.

    at_home: fields of `chat` that a dialect made of what its API says, and that only servers which fill in a template themselves have heard of; a
    cloud would refuse the request for them.
    """

    chat: dict
    native: Native | None = None
    at_home: tuple[str, ...] = ()

    def chat_for(self, provider):
        """The body for one provider."""
        if provider.is_local or not any(name in self.chat for name in self.at_home):
            return self.chat
        return {name: value for name, value in self.chat.items() if name not in self.at_home}


def in_chat(body, translate, words_of):
    """(the chat request for a body, None), or (one with its words alone, the BadRequest that says what else there is)
    where chat completions cannot say it all. Raises BadRequest for what is unsound in any API."""
    try:
        return translate(body), None
    except BadRequest as error:
        if error.code not in openai_chat.BEYOND_CHAT:
            raise
        return words_of(body), error


class PassThrough:
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
    """How a provider is asked in an API of its own. path: below its base_url. with_system: (body, text) -> body. decoder, relay: made for each answer."""

    path: str
    with_system: object
    decoder: object
    relay: object


NATIVE = {
    "messages": NativeFormat("/messages", anthropic.with_system, anthropic_stream.NativeDecoder, PassThrough),
    "responses": NativeFormat(
        "/responses", responses.with_system, responses_stream.NativeDecoder, responses_stream.NativeStream
    ),
}
