"""How a provider is checked: by a ping, or for a token.

It depends on what a check costs. The embedded engine and an Ollama at home have to produce a token, since
both can listen on their port with a model that is stuck. The others are pinged at their `health_path`, or for
the list of their models: in a cloud each token is paid for.

Once it is well, and each time it is well again, it is asked what it can do (`discovery.py`).

When to check, and what the outcome means for the chains, is `probes.py`'s and `breaker.py`'s.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from errors import Cancelled, HeadTimeout, UpstreamError, UpstreamStatus
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken
from upstream.discovery import Discovery
from upstream.endpoint import CHAT, DeepProbe, Endpoint

# For a ping. A token has the provider's own `timeouts.first_byte_s`, as a call's would.
CHECK_S = 5.0


class Check:
    """Checks one provider, once at a time."""

    def __init__(self, provider: Endpoint) -> None:
        self._provider = provider
        self._discovery = provider.discovery
        self._always_deep = provider.deep_probe is DeepProbe.ALWAYS
        # None: to be found out from the server.
        self._is_deep: bool | None = self._always_deep
        if self._discovery and provider.deep_probe is DeepProbe.IF_OLLAMA:
            self._is_deep = None
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
        try:
            with self._limited() as cancel_token:
                self._run(wanted, cancel_token)
            if self._discovery and self._discovery.is_due:
                self._learn(self._discovery)
        except UpstreamError:
            if self._discovery:
                self._discovery.forget()
            raise

    @contextmanager
    def _limited(self) -> Iterator[CancelToken]:
        """A token for calls that end after CHECK_S together, with HeadTimeout.

        A server that drips its answer, byte by byte, is within every single time limit and would be read for
        ever.
        """
        cancel_token = CancelToken()
        self._set_current(cancel_token.cancel)
        timer = threading.Timer(CHECK_S, cancel_token.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield cancel_token
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
        self._provider.prepare(cancel_token)
        if self._is_deep is None and self._discovery:
            self._is_deep = self._discovery.is_ollama(cancel_token)
        if self._is_deep and (wanted or self._always_deep or self._is_loaded(cancel_token)):
            self._generate_token()
        else:
            self._ping(cancel_token)

    def _is_loaded(self, cancel_token: CancelToken) -> bool:
        return self._discovery is None or self._discovery.has_loaded(self._provider.model, cancel_token)

    def _learn(self, discovery: Discovery) -> None:
        """Learn what it can do, which may fail. Raises ModelMissing for a model that it really does not have.

        A server may serve a model that it does not list, so one at home has to refuse it too.
        """
        try:
            with self._limited() as cancel_token:
                discovery.learn(cancel_token)
        except UpstreamError:
            return
        may_ask = self._provider.deep_probe is DeepProbe.IF_OLLAMA and discovery.is_at_home()
        if discovery.missing and may_ask:
            self._generate_token()

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
            self._list_or_ping(cancel_token)
        except UpstreamStatus as error:
            has_no_list = error.status in (404, 405) and not self._provider.settings.health_path
            if has_no_list or error.status == 429:
                return  # it is there, and that is all a ping can tell
            if error.may_go_on:
                raise
            # A client's mistake, were it a client's request.
            raise UpstreamError(f"answered {error.status}") from error

    def _list_or_ping(self, cancel_token: CancelToken) -> None:
        """Where the list of its models is to be learnt as well, one call does both."""
        discovery = self._discovery
        if discovery and discovery.is_due and not self._provider.settings.health_path:
            discovery.survey(cancel_token)
        else:
            self._provider.ping(cancel_token, CHECK_S)

    def _set_current(self, cancel: Callable[[], None]) -> None:
        """From here on, `cancel()` ends this."""
        with self._lock:
            self._cancel_current = cancel
            over = self._over
        if over:
            cancel()
