"""The configured backends: what is sent to each, where, and how each is asked whether it is well.

A provider shapes a request (its model name, its params, extra_body) and knows its endpoint; what happens on the wire is `attempt.py`'s
and `upstream.py`'s. The embedded engine is an ordinary OpenAI-compatible server whose address changes when it is restarted
and whose requests are checked first, since some bodies would kill it.
"""

import time

import requests

from engine import guard
from engine.state import EngineDown, EngineState
from errors import ConnectFailed, ProxyError, UpstreamStatus
from upstream import Upstream, read_some
from wire import openai_chat

MAX_ERROR_BYTES = 65536  # of a provider's error body that is read
ENGINE_START_S = 120.0  # how long a request waits for an engine that is starting (a first load from a slow disk)


class Provider:
    """One OpenAI-compatible server."""

    def __init__(self, name, settings):
        self.name = name
        self.settings = settings
        self.model = settings.model
        self.disabled = settings.disabled
        key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self.upstream = Upstream({**key, **settings.headers})

    def url(self, path, line):
        """The endpoint for an API path such as "/chat/completions". Raises ConnectFailed when there is none just now."""
        return self.settings.base_url.rstrip("/") + path

    def body(self, client_body, *, stream=True):
        """What this provider is sent for a client's request: every field the client sent, unless the settings say otherwise.

        stream: always ask for a stream with usage (an upstream notices a hang-up only while it streams).
        """
        body = {**client_body, "model": self.model}
        if stream:
            body["stream"] = True
            body["stream_options"] = {**(client_body.get("stream_options") or {}), "include_usage": True}
        params = self.settings.params
        for field, floor in params.min.items():
            if isinstance(body.get(field), (int, float)) and body[field] < floor:
                body[field] = floor
        body = merged({**body, **params.set}, self.settings.extra_body)
        for field in params.drop:
            body.pop(field, None)
        return body

    def cost_usd(self, usage):
        """What a call's usage costs, None where prices or usage are unknown. usage: as the provider told it, in the chat API's names or the Responses API's."""
        prices = self.settings.prices
        if not prices or not isinstance(usage, dict):
            return None
        read, written = (_tokens(usage, *names) for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")))
        if read is None and written is None:
            return None
        return round(((read or 0) * prices.input + (written or 0) * prices.output) / 1e6, 8)

    def check(self, line, timeout_s):
        """Ask the server whether it is well. Raises a ProxyError that says what is wrong."""
        response = self.upstream.call(line, "GET", self.url(self.settings.health_path or "/models", line), connect_s=timeout_s, read_s=timeout_s)
        try:
            if response.status_code >= 400:
                raise UpstreamStatus(response.status_code, {}, self.name)
        finally:
            response.close()


class EmbeddedProvider(Provider):
    """The MLX engine child: supervised elsewhere, found through its state file."""

    def __init__(self, name, settings, state_file):
        super().__init__(name, settings)
        self._state = EngineState(state_file)

    def url(self, path, line):
        try:
            engine = self._state.wait_ready(ENGINE_START_S, line)
        except EngineDown as down:
            raise ConnectFailed(f"the engine is down: {down}") from down
        return engine.base_url + path

    def body(self, client_body, *, stream=True):
        return guard.checked(super().body(client_body, stream=stream))

    def cost_usd(self, usage):
        return 0.0

    def check(self, line, timeout_s):
        """A real one-token answer, since the engine's own /health lies."""
        engine = self._state.read()
        if engine.state != "ready":
            raise ConnectFailed(f"the engine is {engine.state}" + (f": {engine.reason}" if engine.reason else ""))
        body = openai_chat.dumps({"model": "default_model", "messages": [{"role": "user", "content": "ok"}], "max_tokens": 1, "stream": True})
        url = engine.base_url + "/chat/completions"
        response = self.upstream.call(line, "POST", url, body, connect_s=timeout_s, read_s=timeout_s)
        try:
            if response.status_code >= 400 or not read_some(response, line):
                raise UpstreamStatus(response.status_code, {}, self.name)
        finally:
            response.close()


def build(config, engine_dir):
    """All configured providers by name. engine_dir: the folder of the engines' state files."""
    made = {}
    for name, settings in config.providers.items():
        made[name] = EmbeddedProvider(name, settings, engine_dir / f"{name}.json") if settings.kind == "mlx" else Provider(name, settings)
    return made


def health_of(provider, timeout_s, line):
    """One provider's health as /health shows it: {status, latency_ms, error}. line: by which whoever asks may hang up."""
    if provider.disabled:
        return {"status": "disabled", "latency_ms": None, "error": provider.disabled}
    started = time.monotonic()
    try:
        provider.check(line, timeout_s)
    except (ProxyError, requests.RequestException) as error:
        return {"status": "unhealthy", "latency_ms": ms_since(started), "error": str(error)}
    return {"status": "healthy", "latency_ms": ms_since(started), "error": None}


def ms_since(started):
    """Whole milliseconds of monotonic time since `started`."""
    return round((time.monotonic() - started) * 1000)


def _tokens(usage, *names):
    return next((usage[name] for name in names if isinstance(usage.get(name), (int, float))), None)


def merged(body, extra):
    """`extra` merged deeply into `body`; the owner's word wins over the client's."""
    out = {**body}
    for key, value in extra.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out
