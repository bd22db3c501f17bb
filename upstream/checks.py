"""How a provider is asked whether it is well: by a knock, or for a token.

It depends on what asking costs. The embedded engine and an Ollama at home have to produce a token, since both can listen on their port with a model that is
stuck. The others are asked for their `health_path`, or for the list of their models: in a cloud each token is paid for.

When to ask, and what the answer means for the chains, is `probes.py`'s and `breaker.py`'s.
"""

import json
import socket
import threading
from urllib.parse import urlsplit

from errors import Cancelled, ConnectFailed, HeadTimeout, UpstreamError, UpstreamStatus
from settings.addresses import is_public
from upstream.attempt import Attempt
from upstream.connection import CancelToken, read_whole

CHECK_S = 5.0  # for an answer that needs no model; a token has the provider's own `timeouts.first_byte_s`, as a call's would
MAX_JSON_BYTES = 1 << 20


class Check:
    """Asks one provider, one question at a time."""

    def __init__(self, provider):
        self._provider = provider
        self._embedded = provider.settings.is_embedded
        self._asks_for_tokens = True if self._embedded else None  # None: to be found out from the server
        self._lock = threading.Lock()
        self._cut = None
        self._over = False

    @property
    def is_deep(self):
        """Whether it has the provider do what a call would, as far as is known; False before an Ollama has been recognised."""
        return bool(self._asks_for_tokens)

    def ask(self, wanted):
        """Returns when the provider is well, and raises the ProxyError that says what is wrong when it is not; Cancelled after `hang_up()`.

        wanted: somebody has a reason to know. An Ollama that has put its model away, which it does after OLLAMA_KEEP_ALIVE, loads it again only
        then, and not each minute, which would keep another model from its place.
        """
        cancel_token = CancelToken()
        self._may_be_cut_by(cancel_token.cancel)
        # A server that drips its answer, byte by byte, is within every single time limit and would be listened to for ever.
        patience = threading.Timer(CHECK_S, cancel_token.cancel)
        patience.daemon = True
        patience.start()
        try:
            self._ask(wanted, cancel_token)
        except Cancelled:
            if self._over:
                raise
            raise HeadTimeout(f"no answer within {CHECK_S:g} s") from None
        finally:
            patience.cancel()

    def _ask(self, wanted, cancel_token):
        if self._asks_for_tokens is None:
            self._asks_for_tokens = _is_ollama_at_home(self._provider, cancel_token)
        if self._asks_for_tokens and (wanted or self._embedded or _is_loaded(self._provider, cancel_token)):
            self._ask_for_a_token()
        else:
            self._knock(cancel_token)

    def hang_up(self):
        """End the question under way and refuse all others, from any thread."""
        with self._lock:
            self._over = True
            cut = self._cut
        if cut:
            cut()

    def _ask_for_a_token(self):
        attempt = Attempt(
            self._provider,
            "/chat/completions",
            {"messages": [{"role": "user", "content": "ok"}], "max_tokens": 1},
        )
        self._may_be_cut_by(attempt.cancel)
        try:
            attempt.head()
        except UpstreamStatus as error:
            if error.status == 404:
                raise UpstreamError("does not have its model") from error
            if error.may_go_on:
                raise
            # Else it has looked at the request and does not like it, as a model for embeddings would.
        finally:
            attempt.cancel()

    def _knock(self, cancel_token):
        try:
            self._provider.check(cancel_token, CHECK_S)
        except UpstreamStatus as error:
            has_no_list = error.status in (404, 405) and not self._provider.settings.health_path
            if has_no_list or error.status == 429:
                return  # it is there, and that is all a knock can tell
            if error.may_go_on:
                raise
            raise UpstreamError(
                f"answered {error.status}"
            ) from error  # a client's mistake, were it a client's request

    def _may_be_cut_by(self, cut):
        with self._lock:
            self._cut = cut
            over = self._over
        if over:
            cut()


def _is_ollama_at_home(provider, cancel_token):
    """Whether a provider is an Ollama that may be asked for a token; None when it can't tell just now.

    It is one when it tells its version (docs.ollama.com/api-reference/get-version). It may be when it has no public address, its model is not one of
    Ollama's cloud, and the owner has set neither a price nor a `health_path`.
    """
    settings = provider.settings
    is_paid = settings.prices and (settings.prices.input or settings.prices.output)
    if (
        settings.kind != "openai"
        or settings.health_path
        or is_paid
        or settings.model.endswith((":cloud", "-cloud"))
    ):
        return False
    if not _is_at_home(urlsplit(settings.base_url).hostname):
        return False
    status, told = _native(provider, "/api/version", cancel_token)
    return None if status >= 500 else isinstance(told.get("version"), str)


def _is_loaded(provider, cancel_token):
    """Whether an Ollama has the provider's model in memory; True where it does not say (docs.ollama.com/api/ps)."""
    _, told = _native(provider, "/api/ps", cancel_token)
    if not isinstance(told.get("models"), list):
        return True
    names = {model.get("model") for model in told["models"] if isinstance(model, dict)}
    return provider.model in names or f"{provider.model}:latest" in names


def _is_at_home(host):
    """Whether all addresses of a host are private ones. Raises ConnectFailed when it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed("its name could not be resolved") from error
    return not any(is_public(address[0]) for *_, address in found)


def _native(provider, path, cancel_token):
    """What an endpoint of Ollama's own API tells: (status, dict), the dict empty where there is no such endpoint."""
    root = provider.settings.base_url.rstrip("/").removesuffix("/v1")
    response = provider.upstream.call(cancel_token, "GET", root + path, connect_s=CHECK_S, read_s=CHECK_S)
    try:
        told = json.loads(read_whole(response, cancel_token, max_bytes=MAX_JSON_BYTES, truncate=True))
    except ValueError:
        told = None
    finally:
        response.close()
    return response.status_code, told if isinstance(told, dict) and response.status_code == 200 else {}
