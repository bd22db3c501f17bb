"""What the pipeline needs of an API that clients speak. The APIs themselves are in `api/`, their formats in
`wire/`.

Between the two ends everything is said in chat completions: a client API translates at the client's end, a
provider at the other.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from errors import ProxyError
from proxy.exchange import Exchange
from wire import Headers, JsonObject
from wire.native import Native
from wire.sse import Event


class Relay(Protocol):
    """Writes one stream for the client: which bytes to send for each event of the provider's."""

    @property
    def finished(self) -> bool:
        """Whether every choice that began has ended."""

    def pass_on(self, event: Event, chunk: Any) -> bytes:
        """The bytes for one event; b"" for none. chunk: the event as a chunk, None for a comment."""

    def ending(self) -> bytes:
        """The bytes that a proper end still needs."""


@dataclass(frozen=True)
class AnswerContext:
    """What a client API writes an answer from, besides the answer.

    body: the request, as `read` gave it. model: the name of the model that answers. head_ms: when the first
    content was there, in milliseconds from the request's arrival.
    """

    body: JsonObject
    model: str
    head_ms: int | None = None


class ClientApi(ABC):
    """Interprets one request: reads its body, and writes its answer, stream and errors in the client's API.

    One object serves one request. It knows no Flask, no socket and no configuration.
    """

    api: str  # the API's name in the record
    media_type = "text/event-stream"
    native: Native | None = (
        None  # the request as the client wrote it, where a provider may speak this API as well
    )
    at_home: tuple[str, ...] = ()  # fields that only a server at home understands
    embeds_empty = False  # whether an empty text may be embedded
    route: str | None = None  # the route that the body names beside, or instead of, a model

    @abstractmethod
    def read(self, body: Any, headers: Headers) -> JsonObject:
        """The request as a body of chat completions. Raises BadRequest in the client's words."""

    @abstractmethod
    def relay(self, exchange: Exchange, context: AnswerContext) -> Relay:
        """What writes a stream for the client."""

    @abstractmethod
    def answer(self, completion: JsonObject, exchange: Exchange, context: AnswerContext) -> JsonObject:
        """The whole answer for the client."""

    @abstractmethod
    def error(self, error: ProxyError, session: str) -> JsonObject:
        """An error as a body. session: the request's id."""

    @abstractmethod
    def error_event(self, error: ProxyError, session: str, relay: Any) -> bytes:
        """The bytes by which a stream that failed ends. relay: what has written it so far."""

    def headers(self, session: str) -> dict[str, str]:
        """What this API's clients look for in the headers of any answer."""
        return {}
