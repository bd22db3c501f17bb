"""The configured backends: what is sent to each, where, and how each is asked whether it is well.

A provider shapes a request (its model name, its params, extra_body) and knows its endpoint; what happens on the wire is `attempt.py`'s
and `upstream.py`'s. The embedded engine is an ordinary OpenAI-compatible server whose address changes when it is restarted
and whose requests are checked first, since some bodies would kill it.
"""

import dataclasses
import time
from typing import ClassVar

from accounting import prices
from engine import guard
from engine.state import EngineDown, EngineState
from errors import BadRequest, ConnectFailed, UpstreamStatus
from upstream.admission import Admission
from upstream.breaker import Breaker, Policy
from upstream.connection import Upstream, read_some
from wire import anthropic, anthropic_stream, openai_chat
from wire import usage as usages

CHAT, MESSAGES = "/chat/completions", "/messages"
HOME_FIRST_BYTE_S, AWAY_FIRST_BYTE_S = (
    120.0,
    60.0,
)  # a home server may be silent through a long prefill; a cloud that is has lost the request
EMBEDDED_CONCURRENT = (
    8  # its tokens per second grow up to about 8 streams (20 alone, 70 with 8, 84 with 16, on two cores)
)
ANTHROPIC_VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 8192  # the Messages API insists on a number; every current model may write as much
MAX_ERROR_BYTES = 65536  # of a provider's error body that is read
ENGINE_START_S = (
    120.0  # how long a request waits for an engine that is starting (a first load from a slow disk)
)


class Provider:
    """One OpenAI-compatible server, with its breaker and its door."""

    classes: ClassVar[dict[str, type["Provider"]]] = {}  # by kind, as each class names it

    def __init_subclass__(cls, *, kind: str, **kwargs):
        super().__init_subclass__(**kwargs)
        Provider.classes[kind] = cls

    def __init__(self, name, settings, policy=None):
        """settings: config.Provider. policy: when its breaker opens, a breaker.Policy; None for the usual."""
        self.name = name
        self.settings = settings
        self.model = settings.model
        self.disabled = settings.disabled
        self.is_local = prices.is_local(settings)
        self.capabilities = settings.capabilities
        self.upstream = Upstream({**self._credentials(), **settings.headers})
        self.breaker = Breaker(name, policy or Policy())
        concurrent = settings.max_concurrent or (EMBEDDED_CONCURRENT if settings.is_embedded else None)
        self.admission = Admission(
            name,
            max_concurrent=concurrent,
            max_queued=settings.max_queued,
            queue_timeout_s=settings.queue_timeout_s,
        )

    @classmethod
    def build(cls, name, settings, policy, engine_dir):
        """A provider of this kind. engine_dir: the folder of the embedded engines' state files."""
        return cls(name, settings, policy)

    def _credentials(self):
        return {"Authorization": f"Bearer {self.settings.api_key}"} if self.settings.api_key else {}

    def url(self, path, cancel_token):
        """The endpoint for an API path such as "/chat/completions". Raises ConnectFailed when there is none just now."""
        return self.settings.base_url.rstrip("/") + path

    def body(self, client_body, rule=None, *, stream=True):
        """What this provider is sent for a client's request: every field the client sent, unless the settings say otherwise.

        rule: the config.ModelRule that led here; it has the last word. stream: always ask for a stream with usage (an upstream notices a hang-up
        only while it streams).
        """
        body = {**client_body, "model": self._model_for(client_body, rule)}
        if stream:
            body["stream"] = True
            body["stream_options"] = {**(client_body.get("stream_options") or {}), "include_usage": True}
        return self._as_wished(body, rule)

    def _as_wished(self, body, rule):
        body = _shaped(body, self.settings.params, self.settings.extra_body)
        return _shaped(body, rule.params, rule.extra_body) if rule else body

    def _model_for(self, client_body, rule):
        """The owner's name for the model; where a rule sends many models here, the client's own."""
        if rule and rule.provider:
            return rule.model or client_body.get("model")
        return self.model

    def timeouts(self, rule=None):
        """The config.Timeouts of a call, `first_byte_s` filled in."""
        timeouts = (rule and rule.timeouts) or self.settings.timeouts
        if timeouts.first_byte_s is None:
            timeouts = dataclasses.replace(
                timeouts, first_byte_s=HOME_FIRST_BYTE_S if self.is_local else AWAY_FIRST_BYTE_S
            )
        return timeouts

    def decoder(self):
        """What turns this provider's stream events into OpenAI's; one for each answer."""
        return openai_chat.Decoder()

    def speaks(self, api):
        """Whether it can be asked in a client's own API (a key of dialects.NATIVE), as well as in chat completions' words."""
        return api == "responses" and self.capabilities.responses

    def native_body(self, body, rule=None):
        """What it is sent for a request in an API of its own: what the client wrote, unless the settings say otherwise. rule: as for `body`."""
        return self._as_wished({**body, "model": self._model_for(body, rule), "stream": True}, rule)

    def cost_usd(self, usage):
        """What a call costs, None where nobody knows. usage: a usages.Usage, or the provider's own object, or None."""
        if self.is_local and usage is not None:
            return 0.0
        return prices.cost_usd(
            self.settings, self.model, usage if isinstance(usage, usages.Usage) else usages.parse_usage(usage)
        )

    def check(self, cancel_token, timeout_s):
        """Ask the server whether it is well. Raises a ProxyError that says what is wrong."""
        self._knock(cancel_token, timeout_s, self.url(self.settings.health_path or "/models", cancel_token))

    def _knock(self, cancel_token, timeout_s, url):
        response = self.upstream.call(cancel_token, "GET", url, connect_s=timeout_s, read_s=timeout_s)
        try:
            if response.status_code >= 400:
                raise UpstreamStatus(response.status_code, {}, self.name)
        finally:
            response.close()


class OpenAIProvider(Provider, kind="openai"):
    """Any OpenAI-compatible server."""


class SearxngProvider(Provider, kind="searxng"):
    """The owner's own search engine, which answers nobody."""


class EmbeddedProvider(Provider, kind="mlx"):
    """The MLX engine child: supervised elsewhere, found through its state file."""

    def __init__(self, name, settings, state_file, policy=None):
        super().__init__(name, settings, policy)
        self._state = EngineState(state_file)

    @classmethod
    def build(cls, name, settings, policy, engine_dir):
        return cls(name, settings, engine_dir / f"{name}.json", policy)

    def url(self, path, cancel_token):
        try:
            engine = self._state.wait_ready(ENGINE_START_S, cancel_token)
        except EngineDown as down:
            raise ConnectFailed(f"the engine is down: {down}") from down
        return engine.base_url + path

    def body(self, client_body, rule=None, *, stream=True):
        return guard.checked(super().body(client_body, rule, stream=stream))

    def check(self, cancel_token, timeout_s):
        """A real one-token answer, since the engine's own /health lies."""
        engine = self._state.read()
        if engine.state != "ready":
            raise ConnectFailed(
                f"the engine is {engine.state}" + (f": {engine.reason}" if engine.reason else "")
            )
        body = openai_chat.dumps(
            {
                "model": "default_model",
                "messages": [{"role": "user", "content": "ok"}],
                "max_tokens": 1,
                "stream": True,
            }
        )
        url = engine.base_url + "/chat/completions"
        response = self.upstream.call(cancel_token, "POST", url, body, connect_s=timeout_s, read_s=timeout_s)
        try:
            if response.status_code >= 400 or not read_some(response, cancel_token):
                raise UpstreamStatus(response.status_code, {}, self.name)
        finally:
            response.close()


class AnthropicProvider(Provider, kind="anthropic"):
    """A server of Anthropic's Messages API behind our OpenAI face."""

    def _credentials(self):
        return {"x-api-key": self.settings.api_key or "", "anthropic-version": ANTHROPIC_VERSION}

    def url(self, path, cancel_token):
        """The endpoint for chat, whichever way it is said, or for one below /messages. Raises BadRequest for what this API has not."""
        if path != CHAT and not path.startswith(MESSAGES):
            raise BadRequest(
                f"provider '{self.name}' speaks the Messages API, which has nothing like {path}",
                param="model",
            )
        return super().url(MESSAGES if path == CHAT else path, cancel_token)

    def speaks(self, api):
        return api == "messages"

    def native_body(self, body, rule=None):
        return anthropic.without_unsigned_thinking(super().native_body(body, rule))

    def body(self, client_body, rule=None, *, stream=True):
        """`extra_body` is merged after the translation, so that the owner writes the API's native fields there. Raises BadRequest for what is no chat."""
        if "messages" not in client_body:
            raise BadRequest(
                f"provider '{self.name}' speaks the Messages API, which has no legacy completions",
                param="model",
            )
        body = _shaped(
            {**client_body, "model": self._model_for(client_body, rule), "stream": stream},
            self.settings.params,
            {},
        )
        native = self.settings.extra_body
        if rule:
            body, native = _shaped(body, rule.params, {}), merged(native, rule.extra_body)
        return merged(anthropic.request_of(body, DEFAULT_MAX_TOKENS), native)

    def decoder(self):
        return anthropic_stream.Decoder(created=int(time.time()))

    def check(self, cancel_token, timeout_s):
        self._knock(
            cancel_token, timeout_s, super().url(self.settings.health_path or "/models", cancel_token)
        )


def build(config, engine_dir, previous=None):
    """All configured providers by name.

    engine_dir: the folder of the engines' state files. previous: the providers of the configuration before; those whose settings are the same are
    kept, with their connections, their breakers and who waits at their door.
    """
    rests = config.breaker
    policy = Policy(rests.failures, rests.first_rest_s, rests.longest_rest_s)
    made = {}
    for name, settings in config.providers.items():
        known = (previous or {}).get(name)
        if known is not None and known.settings == settings:
            made[name] = known
        else:
            made[name] = Provider.classes[settings.kind].build(name, settings, policy, engine_dir)
    return made


def merged(body, extra):
    """`extra` merged deeply into `body`; the owner's word wins over the client's."""
    out = {**body}
    for key, value in extra.items():
        out[key] = (
            merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
        )
    return out


def _shaped(body, params, extra_body):
    """A body with the owner's wishes applied: floors, what is set, what is merged in, and last what is dropped. params: a config.Params."""
    for field, floor in params.min.items():
        if isinstance(body.get(field), (int, float)) and body[field] < floor:
            body = {**body, field: floor}
    body = merged({**body, **params.set}, extra_body)
    return (
        {field: value for field, value in body.items() if field not in params.drop} if params.drop else body
    )
