"""What a call, a check and a probe need of a provider, so that this room imports nothing from above it.

`providers.Provider` is the one implementation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from errors import ProxyError, UpstreamStatus
from settings import model as settings_of
from upstream.cancellation import CancelToken
from upstream.connection import Upstream
from upstream.discovery import Discovery
from wire import JsonObject
from wire.sse import Event
from wire.usage import Usage

CHAT = "/chat/completions"  # the API path of a chat call

# An event of a stream, and what it says as a chunk of chat completions; None for comments and for [DONE].
EventChunk = tuple[Event, JsonObject | None]


class DeepProbe(Enum):
    """Whether a provider may be probed for a token, which is the only proof that its model answers."""

    NEVER = auto()  # it costs money, or there is no model
    IF_OLLAMA = auto()  # only where the server turns out to be an Ollama at a private address
    ALWAYS = auto()


@dataclass(frozen=True)
class CallTimeouts(settings_of.Timeouts):
    """The timeouts of a call, with the one for the head filled in."""

    first_byte_s: float = 60.0


class StreamDecoder(Protocol):
    """Turns a provider's stream events into chat completions' chunks; one for each answer."""

    @property
    def usage(self) -> JsonObject | None:
        """The usage of an answer under way, from formats that report it before the end."""

    def decode(self, event: Event) -> Iterable[EventChunk]:
        """The pairs that one event stands for. Raises ValueError for what is no event of the format."""


class NativeDecoder(StreamDecoder, Protocol):
    """A decoder of an API whose events the client gets untouched."""

    @property
    def answer(self) -> JsonObject | None:
        """The whole answer in that API, once it has been read."""


class Endpoint(Protocol):
    """A configured provider, as those see it who call it."""

    name: str
    settings: settings_of.Provider
    disabled: str | None
    is_local: bool
    heard_at: float  # monotonic, when a call last brought something
    upstream: Upstream
    discovery: Discovery | None

    @property
    def model(self) -> str: ...

    @property
    def deep_probe(self) -> DeepProbe: ...

    def prepare(self, cancel_token: CancelToken) -> None: ...

    def refused(self, error: UpstreamStatus, model: str, cancel_token: CancelToken) -> ProxyError | None: ...

    def url(self, path: str, cancel_token: CancelToken) -> str: ...

    def body(self, client_body: JsonObject, rule: settings_of.ModelRule | None = None) -> JsonObject: ...

    def native_body(self, body: JsonObject, rule: settings_of.ModelRule | None = None) -> JsonObject: ...

    def timeouts(self, rule: settings_of.ModelRule | None = None) -> CallTimeouts: ...

    def decoder(self) -> StreamDecoder: ...

    def speaks(self, api: str) -> bool: ...

    def cost_usd(self, usage: Usage | JsonObject | None) -> float | None: ...

    def ping(self, cancel_token: CancelToken, timeout_s: float) -> None: ...
