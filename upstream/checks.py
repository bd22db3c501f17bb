"""How a provider is checked: by a ping, or for a token.

It depends on what a check costs. The embedded engine and an Ollama at home have to produce a token, since
both can listen on their port with a model that is stuck. The others are pinged at their `health_path`, or for
the list of their models: in a cloud each token is paid for.

When to check, and what the outcome means for the chains, is `probes.py`'s and `breaker.py`'s.
"""

import json
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from errors import Cancelled, ConnectFailed, HeadTimeout, UpstreamError, UpstreamStatus
from settings.addresses import is_public
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken
from upstream.connection import read_whole
from upstream.endpoint import CHAT, DeepProbe, Endpoint
from wire import JsonObject

# For a ping. A token has the provider's own `timeouts.first_byte_s`, as a call's would.
CHECK_S = 5.0
MAX_JSON_BYTES = 1 << 20


class Check:
    """Checks one provider, once at a time."""

    def __init__(self, provider: Endpoint) -> None:
        self._provider = provider
        self._always_deep = provider.deep_probe is DeepProbe.ALWAYS
        # None: to be found out from the server.
        self._is_deep: bool | None = None if provider.deep_probe is DeepProbe.IF_OLLAMA else self._always_deep
        self._lock = threading.Lock()
        self._cancel_current: Callable[[], None] | None = None
        self._over = False

    @property
    def is_deep(self) -> bool:
        """Whether it has the provider do what a call would, as far as is known.

        False before an Ollama has been recognised.
        """
        return bool(self._is_deep)

    def run(self, wanted: bool) -> None:
        """Return when the provider is well, and raise the ProxyError that says what is wrong when it is not.

        Raises Cancelled after `cancel()`. wanted: somebody has a reason to know. An Ollama that has unloaded
        its model, which it does after OLLAMA_KEEP_ALIVE, loads it again only then, and not each minute, which
        would keep another model from its place.
        """
        cancel_token = CancelToken()
        self._set_current(cancel_token.cancel)
        # A server that drips its answer, byte by byte, is within every single time limit and would be read
        # for ever.
        timer = threading.Timer(CHECK_S, cancel_token.cancel)
        timer.daemon = True
        timer.start()
        try:
            self._run(wanted, cancel_token)
        except Cancelled:
            if self._over:
                raise
            raise HeadTimeout(f"no answer within {CHECK_S:g} s") from None
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """End the check under way and refuse all others, from any thread."""
        with self._lock:
            self._over = True
            cancel_current = self._cancel_current
        if cancel_current:
            cancel_current()

    def _run(self, wanted: bool, cancel_token: CancelToken) -> None:
        if self._is_deep is None:
            self._is_deep = _is_ollama_at_home(self._provider, cancel_token)
        if self._is_deep and (wanted or self._always_deep or _is_loaded(self._provider, cancel_token)):
            self._generate_token()
        else:
            self._ping(cancel_token)

    def _generate_token(self) -> None:
        body = {"messages": [{"role": "user", "content": "ok"}], "max_tokens": 1}
        attempt = Attempt(self._provider, CHAT, body)
        self._set_current(attempt.cancel)
        try:
            attempt.head()
        except UpstreamStatus as error:
            if error.status == 404:
                raise UpstreamError("does not have its model") from error
            if error.may_go_on:
                raise
            # Else it has read the request and refuses it, as a model for embeddings would.
        finally:
            attempt.cancel()

    def _ping(self, cancel_token: CancelToken) -> None:
        try:
            self._provider.ping(cancel_token, CHECK_S)
        except UpstreamStatus as error:
            has_no_list = error.status in (404, 405) and not self._provider.settings.health_path
            if has_no_list or error.status == 429:
                return  # it is there, and that is all a ping can tell
            if error.may_go_on:
                raise
            # A client's mistake, were it a client's request.
            raise UpstreamError(f"answered {error.status}") from error

    def _set_current(self, cancel: Callable[[], None]) -> None:
        """From here on, `cancel()` ends this."""
        with self._lock:
            self._cancel_current = cancel
            over = self._over
        if over:
            cancel()


def _is_ollama_at_home(provider: Endpoint, cancel_token: CancelToken) -> bool | None:
    """Whether a server is an Ollama at a private address; None when it can't tell just now.

    It is an Ollama when it tells its version (docs.ollama.com/api-reference/get-version).
    """
    if not _is_at_home(urlsplit(provider.settings.base_url).hostname):
        return False
    status, answer = _ollama_get(provider, "/api/version", cancel_token)
    return None if status >= 500 else isinstance(answer.get("version"), str)


def _is_loaded(provider: Endpoint, cancel_token: CancelToken) -> bool:
    """Whether an Ollama has the provider's model in memory, as docs.ollama.com/api/ps has it.

    True where it does not tell.
    """
    _, answer = _ollama_get(provider, "/api/ps", cancel_token)
    if not isinstance(answer.get("models"), list):
        return True
    names = {model.get("model") for model in answer["models"] if isinstance(model, dict)}
    return provider.model in names or f"{provider.model}:latest" in names


def _is_at_home(host: str | None) -> bool:
    """Whether all addresses of a host are private ones. Raises ConnectFailed when it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed("its name could not be resolved") from error
    return not any(is_public(str(address[0])) for *_, address in found)


def _ollama_get(provider: Endpoint, path: str, cancel_token: CancelToken) -> tuple[int, JsonObject]:
    """The status and the JSON object at a path of Ollama's own API; {} where there is no such path."""
    root = provider.settings.base_url.rstrip("/").removesuffix("/v1")
    response = provider.upstream.call(cancel_token, "GET", root + path, connect_s=CHECK_S, read_s=CHECK_S)
    try:
        answer = json.loads(read_whole(response, cancel_token, max_bytes=MAX_JSON_BYTES, truncate=True))
    except ValueError:
        answer = None
    finally:
        response.close()
    return response.status_code, answer if isinstance(answer, dict) and response.status_code == 200 else {}
