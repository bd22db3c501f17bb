"""A request in an API of its own, for a provider that speaks that API: body and stream go through untouched.

What each format is like is its own module's; here stands only which there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from errors import BadRequest
from wire import JsonObject, anthropic, anthropic_stream, openai_chat, responses, responses_stream, sse


class StreamRelay(Protocol):
    """What writes a stream for a client, such as openai_chat.Relay."""

    @property
    def finished(self) -> bool:
        """Whether every choice that began has ended."""

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The bytes to send for one event, often none. chunk: None for a comment."""

    def ending(self) -> bytes:
        """What is missing at a proper end."""


class StreamDecoder(Protocol):
    """What reads a provider's stream for a client of the same API, such as anthropic_stream.NativeDecoder."""

    @property
    def usage(self) -> JsonObject | None:
        """The usage so far in chat completions' shape; None before any."""

    @property
    def answer(self) -> JsonObject | None:
        """The whole answer in the client's API, once the stream has ended."""

    def decode(self, event: sse.Event) -> list[tuple[sse.Event, JsonObject | None]]:
        """An event as pairs of what to pass on and the chunk that it stands for. Raises ValueError."""


class Located(Protocol):
    """A provider, as far as it matters here."""

    @property
    def is_local(self) -> bool:
        """Whether it runs at home, and fills in the model's template itself."""


@dataclass(frozen=True)
class Native:
    """A request as its client wrote it, for a provider that speaks the client's own API.

    api: a key of NATIVE. headers: of the client's that belong to the request. refusal: what chat completions
    cannot say of it, so that no other provider can serve it; None where they say it all.
    """

    api: str
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)
    refusal: BadRequest | None = None

    def with_system(self, text: str) -> Native:
        """The same request with `text` at the end of its instructions; itself for ""."""
        return dataclasses.replace(self, body=NATIVE[self.api].with_system(self.body, text)) if text else self


@dataclass(frozen=True)
class ProviderRequest:
    """What a provider gets: `native` where there is one and the provider speaks that API, else `chat`.

    chat: a body of chat completions. at_home: fields of it that come of what the client's API says, and that
    only servers which fill in a template themselves know; a cloud would refuse the request for them.
    """

    chat: JsonObject
    native: Native | None = None
    at_home: tuple[str, ...] = ()

    def chat_for(self, provider: Located) -> JsonObject:
        """The body for one provider."""
        if provider.is_local or not any(name in self.chat for name in self.at_home):
            return self.chat
        return {name: value for name, value in self.chat.items() if name not in self.at_home}


def in_chat(
    body: JsonObject,
    translate: Callable[[JsonObject], JsonObject],
    words_of: Callable[[JsonObject], JsonObject],
) -> tuple[JsonObject, BadRequest | None]:
    """A body as a chat request, and what chat completions cannot say of it.

    The second is None where they say it all, else a BadRequest; the chat request then has the words alone.
    Raises BadRequest for what is unsound in any API.
    """
    try:
        return translate(body), None
    except BadRequest as error:
        if error.code not in openai_chat.BEYOND_CHAT:
            raise
        return words_of(body), error


class PassThrough:
    """A stream that goes through as it came; a StreamRelay."""

    def __init__(self) -> None:
        self.finished = False

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The event as received."""
        self.finished = self.finished or bool(chunk and openai_chat.first_choice(chunk).get("finish_reason"))
        return event.raw

    def ending(self) -> bytes:
        """Nothing: the provider's own end has been passed on."""
        return b""


@dataclass(frozen=True)
class NativeFormat:
    """A provider's own API.

    path: below its base_url. with_system: (body, text) -> body with `text` at the end of its instructions.
    decoder: makes one for each answer, of the time in seconds since 1970. relay: makes one for each answer.
    """

    path: str
    with_system: Callable[[JsonObject, str], JsonObject]
    decoder: Callable[[int], StreamDecoder]
    relay: Callable[[], StreamRelay]


NATIVE = {
    "messages": NativeFormat("/messages", anthropic.with_system, anthropic_stream.NativeDecoder, PassThrough),
    "responses": NativeFormat(
        "/responses", responses.with_system, responses_stream.NativeDecoder, responses_stream.NativeStream
    ),
}
