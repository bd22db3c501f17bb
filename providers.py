"""The configured backends: what is sent to each, where, and how each is probed.

A provider shapes a request (its model name, its params, its extra_body) and knows its endpoint. What happens
on the wire is `upstream/`'s. The embedded engine is an ordinary OpenAI-compatible server whose address
changes when it is restarted, and whose requests are checked first, since some bodies would kill it.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from accounting import prices
from engine import guard
from engine.state import EngineDown, EngineState
from errors import BadRequest, ConfigError, ConnectFailed, ProxyError, UpstreamStatus
from settings import model as settings_of
from settings.kinds import KINDS, Capabilities
from upstream.admission import Admission
from upstream.answer import MAX_ERROR_BYTES
from upstream.breaker import Breaker, Policy
from upstream.cancellation import CancelToken
from upstream.connection import Upstream, read_whole
from upstream.discovery import Discovery
from upstream.endpoint import CHAT, CallTimeouts, DeepProbe, StreamDecoder
from wire import JsonObject, anthropic, anthropic_stream, openai_chat, openai_cloud, refusals
from wire import usage as usages
from wire.model_lists import OLLAMA_CLOUD

MESSAGES, MODELS = "/messages", "/models"
# A home server may be silent through a long prefill; a cloud that is silent has lost the request.
HOME_FIRST_BYTE_S, AWAY_FIRST_BYTE_S = 120.0, 60.0
# A machine at home may have gone to sleep since; connecting anew costs nothing there.
HOME_IDLE_S = 5.0
ANTHROPIC_VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 8192  # the Messages API insists on a number; every current model may write as much
ENGINE_START_S = 120.0  # how long a request waits for an engine that starts (a first load from a slow disk)


class Provider:
    """A configured server, with its connections, its breaker and its admission queue.

    By itself it is a server of the OpenAI API that is never probed for a token. A kind of its own is a
    subclass that names it, as in `class Mine(Provider, kind="mine")`, beside its entry in
    `settings/kinds.py`. It may override

    - `usual_concurrent`, the calls at once where the owner sets no number, and `deep_probe`;
    - `build` and `_credentials`: what it is made of and how it identifies us;
    - `url`, `body`, `native_body`, `speaks` and `decoder`: where a request goes, what is sent, how the answer
      is read;
    - `ping` and `_ping_url`: how it is probed without a token.
    """

    classes: ClassVar[dict[str, type["Provider"]]] = {}  # by kind
    usual_concurrent: ClassVar[int | None] = None  # None: any number

    def __init_subclass__(cls, *, kind: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Provider.classes[kind] = cls

    def __init__(self, name: str, settings: settings_of.Provider, policy: Policy | None = None) -> None:
        """policy: when its breaker opens; None for the usual one."""
        self.name = name
        self.settings = settings
        self.disabled = settings.disabled
        # Every request looks at these, so they are worked out once.
        self.is_local: bool = settings.is_home
        self.is_away = settings.is_away
        self._declared = settings.capabilities
        self.heard_at = -math.inf
        self.search_trouble: str | None = None  # why its last search failed; None where it did not
        self.upstream = Upstream(
            {**self._credentials(), **settings.headers}, HOME_IDLE_S if self.is_local else math.inf
        )
        # What its server tells of itself, for kinds of servers that tell something.
        self.discovery = (
            Discovery(name, settings, self.upstream) if KINDS[settings.kind].lists_models else None
        )
        self.breaker = Breaker(name, policy or Policy())
        self.admission = Admission(
            name,
            max_concurrent=settings.max_concurrent or self.usual_concurrent,
            max_queued=settings.max_queued,
            queue_timeout_s=settings.queue_timeout_s,
        )

    @classmethod
    def build(cls, name: str, settings: settings_of.Provider, policy: Policy, engine_dir: Path) -> Self:
        """A provider of this kind. engine_dir: the folder of the embedded engines' state files."""
        return cls(name, settings, policy)

    def _credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.api_key}"} if self.settings.api_key else {}

    # What it is, as far as it is known.

    @property
    def model(self) -> str:
        """The model it is asked for: the owner's, else the one that was found, "" before that."""
        return self.discovery.model if self.discovery else self.settings.model

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: as the owner has it, completed by what its server tells."""
        return self.discovery.capabilities if self.discovery else self._declared

    def prepare(self, cancel_token: CancelToken) -> None:
        """Find out what has to be known before a call; returns at once where it is.

        Raises a ProxyError within some seconds where the server can't tell, Cancelled when the caller is.
        """
        if self.discovery:
            self.discovery.ensure(cancel_token)

    def refused(self, error: UpstreamStatus, model: str, cancel_token: CancelToken) -> ProxyError | None:
        """What a refusal means: the error to raise; None where the call is worth repeating.

        model: the name that was sent.
        """
        return self.discovery.refused(error, model, cancel_token) if self.discovery else error

    # What it is sent, and where.

    def url(self, path: str, cancel_token: CancelToken) -> str:
        """The endpoint for an API path such as "/chat/completions".

        Raises ConnectFailed when there is none just now.
        """
        base_url = self.discovery.server.base_url if self.discovery else self.settings.base_url
        return base_url.rstrip("/") + path

    def body(
        self, client_body: JsonObject, rule: settings_of.ModelRule | None = None, *, stream: bool = True
    ) -> JsonObject:
        """The body for a client's request: every field the client sent, unless the settings say otherwise.

        rule: the one that led here; it has the last word. stream: always ask for a stream with usage (an
        upstream notices only while it streams that we are gone).
        """
        body = {**client_body, "model": self._model_for(client_body, rule)}
        if stream:
            body["stream"] = True
            body["stream_options"] = {**(client_body.get("stream_options") or {}), "include_usage": True}
        return self._with_settings(body, rule)

    def speaks(self, api: str) -> bool:
        """Whether it has a client's own API (a key of wire.native.NATIVE) besides chat completions."""
        return api == "responses" and self.capabilities.responses

    def native_body(self, body: JsonObject, rule: settings_of.ModelRule | None = None) -> JsonObject:
        """The body for a request in an API of its own: as the client wrote it, with the owner's settings.

        rule: as for `body`.
        """
        return self._with_settings({**body, "model": self._model_for(body, rule), "stream": True}, rule)

    def decoder(self) -> StreamDecoder:
        """What turns this provider's stream events into OpenAI's; one for each answer."""
        return openai_chat.Decoder()

    def _with_settings(self, body: JsonObject, rule: settings_of.ModelRule | None) -> JsonObject:
        body = _shaped(body, self.settings.params, self.settings.extra_body)
        return _shaped(body, rule.params, rule.extra_body) if rule else body

    def _model_for(self, client_body: JsonObject, rule: settings_of.ModelRule | None) -> str | None:
        """The owner's name for the model; where a rule sends many models here, the client's own."""
        if rule and rule.provider:
            return rule.model or client_body.get("model")
        return self.model

    # What a call may take, and what it costs.

    def timeouts(self, rule: settings_of.ModelRule | None = None) -> CallTimeouts:
        """The timeouts of a call. rule: the one that led here; its own timeouts replace the provider's."""
        timeouts = (rule and rule.timeouts) or self.settings.timeouts
        first_byte_s = timeouts.first_byte_s
        if first_byte_s is None:
            first_byte_s = HOME_FIRST_BYTE_S if self.is_local else AWAY_FIRST_BYTE_S
        return CallTimeouts(timeouts.connect_s, first_byte_s, timeouts.idle_s, timeouts.total_s)

    def cost_usd(self, usage: usages.Usage | JsonObject | None) -> float | None:
        """What a call costs, None where nobody knows.

        usage: what it used, also as the provider's own object.
        """
        if self.is_local and usage is not None:
            return 0.0
        used = usage if isinstance(usage, usages.Usage) else usages.parse_usage(usage)
        return prices.cost_usd(self.settings, self.model, used)

    # How it is probed.

    @property
    def deep_probe(self) -> DeepProbe:
        """Whether a probe may have it produce a token."""
        return DeepProbe.NEVER

    def ping(self, cancel_token: CancelToken, timeout_s: float) -> None:
        """Ask the server for something that needs no model. Raises a ProxyError that says what is wrong."""
        url = self._ping_url(cancel_token)
        response = self.upstream.call(cancel_token, "GET", url, connect_s=timeout_s, read_s=timeout_s)
        try:
            if response.status_code >= 400:
                body = read_whole(response, cancel_token, max_bytes=MAX_ERROR_BYTES, truncate=True)
                status = refusals.true_status(response.status_code, openai_chat.error_in(body))
                raise UpstreamStatus(status, {}, self.name)
        finally:
            response.close()

    def _ping_url(self, cancel_token: CancelToken) -> str:
        return self.url(self.settings.health_path or MODELS, cancel_token)


class OpenAIProvider(Provider, kind="openai"):
    """Any OpenAI-compatible server, OpenAI's own among them."""

    def body(
        self, client_body: JsonObject, rule: settings_of.ModelRule | None = None, *, stream: bool = True
    ) -> JsonObject:
        if "messages" in client_body and urlsplit(self.settings.base_url).hostname == openai_cloud.HOST:
            model = self._model_for(client_body, rule)
            client_body = openai_cloud.accepted({**client_body, "model": model})
        return super().body(client_body, rule, stream=stream)

    @property
    def deep_probe(self) -> DeepProbe:
        """An Ollama is, unless its tokens are paid for or the owner has set a `health_path`."""
        settings = self.settings
        is_paid = bool(settings.prices and (settings.prices.input or settings.prices.output))
        if settings.health_path or is_paid or self.model.endswith(OLLAMA_CLOUD):
            return DeepProbe.NEVER
        return DeepProbe.IF_OLLAMA


class SearxngProvider(Provider, kind="searxng"):
    """The owner's own search engine, which answers no chats."""


class EmbeddedProvider(Provider, kind="mlx"):
    """The MLX engine child: supervised elsewhere, found through its state file."""

    # Its tokens per second grow up to about 8 streams (20 alone, 70 with 8, 84 with 16, on two cores).
    usual_concurrent = 8

    def __init__(
        self, name: str, settings: settings_of.Provider, state_file: Path, policy: Policy | None = None
    ) -> None:
        super().__init__(name, settings, policy)
        self._state = EngineState(state_file)

    @classmethod
    def build(cls, name: str, settings: settings_of.Provider, policy: Policy, engine_dir: Path) -> Self:
        return cls(name, settings, engine_dir / f"{name}.json", policy)

    def url(self, path: str, cancel_token: CancelToken) -> str:
        try:
            engine = self._state.wait_ready(ENGINE_START_S, cancel_token)
        except EngineDown as down:
            raise ConnectFailed(f"the engine is down: {down}") from down
        return f"{engine.base_url}{path}"

    def body(
        self, client_body: JsonObject, rule: settings_of.ModelRule | None = None, *, stream: bool = True
    ) -> JsonObject:
        return guard.checked(super().body(client_body, rule, stream=stream))

    @property
    def deep_probe(self) -> DeepProbe:
        """It listens on its port also with a model that is stuck, so only a token proves that it is well."""
        return DeepProbe.ALWAYS


class AnthropicProvider(Provider, kind="anthropic"):
    """A server of Anthropic's Messages API, which our clients need not speak."""

    def _credentials(self) -> dict[str, str]:
        return {"x-api-key": self.settings.api_key or "", "anthropic-version": ANTHROPIC_VERSION}

    def url(self, path: str, cancel_token: CancelToken) -> str:
        """The endpoint for chat, whichever API asks for it, or for one below /messages.

        Raises BadRequest for what this API has not.
        """
        if path != CHAT and not path.startswith(MESSAGES):
            message = f"provider '{self.name}' speaks the Messages API, which has nothing like {path}"
            raise BadRequest(message, param="model")
        return super().url(MESSAGES if path == CHAT else path, cancel_token)

    def speaks(self, api: str) -> bool:
        return api == "messages"

    def native_body(self, body: JsonObject, rule: settings_of.ModelRule | None = None) -> JsonObject:
        return anthropic.without_unsigned_thinking(super().native_body(body, rule))

    def body(
        self, client_body: JsonObject, rule: settings_of.ModelRule | None = None, *, stream: bool = True
    ) -> JsonObject:
        """As a Messages request.

        `extra_body` is merged after the translation, so that the owner writes the API's native fields there.
        Raises BadRequest for what is no chat.
        """
        if "messages" not in client_body:
            message = f"provider '{self.name}' speaks the Messages API, which has no legacy completions"
            raise BadRequest(message, param="model")
        body = {**client_body, "model": self._model_for(client_body, rule), "stream": stream}
        body = _shaped(body, self.settings.params, {})
        native = self.settings.extra_body
        if rule:
            body, native = _shaped(body, rule.params, {}), _merged(native, rule.extra_body)
        return _merged(anthropic.request_of(body, DEFAULT_MAX_TOKENS), native)

    def decoder(self) -> StreamDecoder:
        return anthropic_stream.Decoder(created=int(time.time()))

    def _ping_url(self, cancel_token: CancelToken) -> str:
        return super().url(self.settings.health_path or MODELS, cancel_token)


def build(
    config: settings_of.Config, engine_dir: Path, previous: Mapping[str, Provider] | None = None
) -> dict[str, Provider]:
    """All configured providers by name.

    engine_dir: the folder of the engines' state files. previous: the providers of the configuration before.
    Those whose settings are the same are kept, with their connections, their breakers and who waits in their
    queues.
    Raises ConfigError for a kind that no class here names.
    """
    policy = Policy(
        failures=config.breaker.failures,
        first_cooldown_s=config.breaker.first_rest_s,
        longest_cooldown_s=config.breaker.longest_rest_s,
    )
    built = {}
    for name, settings in config.providers.items():
        known = (previous or {}).get(name)
        if known is not None and known.settings == settings:
            built[name] = known
        else:
            built[name] = _class_for(config, name).build(name, settings, policy, engine_dir)
    return built


def _class_for(config: settings_of.Config, name: str) -> type[Provider]:
    kind = config.providers[name].kind
    found = Provider.classes.get(kind)
    if found is None:
        key = f"providers.{name}.kind"
        raise ConfigError(*config.place(key), key, f"nothing here serves a provider of kind '{kind}'")
    return found


def _merged(body: JsonObject, extra: Mapping[str, Any]) -> JsonObject:
    """`extra` merged deeply into `body`; the owner's value wins over the client's."""
    out = {**body}
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = _merged(out[key], value)
        else:
            out[key] = value
    return out


def _shaped(body: JsonObject, params: settings_of.Params, extra_body: Mapping[str, Any]) -> JsonObject:
    """A body with the owner's settings: floors, then what is set, merged in, and last dropped."""
    for field, floor in params.min.items():
        if isinstance(body.get(field), (int, float)) and body[field] < floor:
            body = {**body, field: floor}
    body = _merged({**body, **params.set}, extra_body)
    return (
        {field: value for field, value in body.items() if field not in params.drop} if params.drop else body
    )
