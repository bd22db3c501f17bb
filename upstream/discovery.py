"""What is found out about one server by asking it: where its API is, which models it has, what one can take.

A server at home need not be told which model it serves, nor how long a request may be: it knows. It is asked
in the background, and on a request's way only where the model is not known yet. A server elsewhere is asked
for nothing but its list of models. What the owner has set is never replaced by what was learnt.

What each make of server answers is `wire/model_lists.py`'s; when to ask is `checks.py`'s.
"""

import dataclasses
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from errors import (
    ConnectFailed,
    HeadTimeout,
    ModelMissing,
    ProxyError,
    UpstreamError,
    UpstreamStatus,
)
from settings import model as settings_of
from settings.addresses import is_public
from settings.base_urls import API_PATH
from settings.kinds import Capabilities
from telemetry.logs import fields
from upstream.cancellation import CancelToken
from upstream.connection import Upstream, read_whole
from wire import JsonObject, model_lists, openai_chat
from wire.model_lists import ListedModel, Models

SURVEY_S = 4.0  # for one round of questions; a server nearby answers each in some ms
REPEAT_S = 1.0  # for so long a round's outcome is good enough for those who come next
MAX_LIST_BYTES = 8 * 1024 * 1024  # OpenRouter's list has about 1 MB
LEARNT = ("vision", "audio", "tools", "context_length")
# Makes of servers; the last two by the name of who owns the models they list.
OLLAMA, LM_STUDIO, LLAMA_CPP = "ollama", "organization_owner", "llamacpp"

_VERSION = re.compile(r"/v[0-9][^/]*/?$")  # with which the path of an API usually ends

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """What is known of a server.

    base_url: of its API. make: one of the above, or any other text. models: those it lists, () for none.
    model: the one that is used, with what it can take; None where it is not listed, or not known yet.
    """

    base_url: str
    make: str = ""
    models: Models = ()
    model: ListedModel | None = None


class Discovery:
    """One provider's. Shared by all threads; what is known is replaced as a whole."""

    def __init__(
        self,
        provider: str,
        settings: settings_of.Provider,
        upstream: Upstream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """provider: its name, for messages and the log. clock: monotonic seconds."""
        self.server = Server(settings.base_url)
        self.capabilities = settings.capabilities
        self.is_due = True  # whether it is to be learnt what the server can do, since it may have changed
        self._provider = provider
        self._settings = settings
        self._upstream = upstream
        self._clock = clock
        self._asking = threading.Lock()
        self._failure: ProxyError | None = None  # of the last round
        self._asked_at: float | None = None  # when it ended
        self._at_home: bool | None = None
        self._ollama: bool | None = None  # None: not known, or to be asked again

    @property
    def model(self) -> str:
        """The name of the model to ask for, "" as long as it is not known."""
        return self._settings.model or (self.server.model.id if self.server.model else "")

    @property
    def missing(self) -> ModelMissing | None:
        """The error of a model that the owner has named and the server does not list, None for any other."""
        name, server = self._settings.model, self.server
        if not name or not server.models or server.model:
            return None
        return self._no_such(name)

    def ensure(self, cancel_token: CancelToken) -> None:
        """Return once the model to ask for is known, at once where it is.

        Raises a ProxyError within about SURVEY_S where it cannot be found, Cancelled when the caller is.
        """
        if self.model:
            return
        with self._round():
            if self.model:
                return
            if self._failure and self._is_fresh():
                raise self._failure.with_traceback(None)
            self._survey(cancel_token)

    def forget(self) -> None:
        """Have everything learnt anew: who answers next at this address may be another server."""
        self.is_due, self._ollama, self._asked_at = True, None, None

    def survey(self, cancel_token: CancelToken) -> None:
        """Ask which models there are, unless it was just asked.

        Raises a ProxyError where the server cannot tell; what was known before stays.
        """
        with self._round():
            if not self._is_fresh() or self._failure:
                self._survey(cancel_token)

    def learn(self, cancel_token: CancelToken) -> None:
        """Ask for everything: the models, and what the one that is used can take.

        Raises a ProxyError where the server cannot tell; what was known before stays.
        """
        self.survey(cancel_token)
        with self._round():
            model = self.server.model
            if model is not None:
                self._know(dataclasses.replace(self.server, model=self._detailed(model, cancel_token)))
            self.is_due = False
            self._report()

    def refused(self, error: UpstreamStatus, model: str, cancel_token: CancelToken) -> ProxyError | None:
        """What a refusal of a call means: the error to raise; None where it is worth repeating.

        model: the name that was sent. It is worth repeating where the server has another model by now
        than the one that was found before.
        """
        told = {"param": error.param, "code": error.code}
        if error.lacks or not model_lists.blames_model(error.status, told):
            return error
        try:
            with self._round():
                if self._is_replaced(model):
                    return None
                if not self._is_fresh():
                    self._survey(cancel_token)
        except UpstreamError:
            return error
        if self._is_replaced(model):
            return None
        if not self.server.models or model_lists.find(self.server.models, model):
            return error
        return self._no_such(model, is_clients=model != self.model)

    def is_ollama(self, cancel_token: CancelToken) -> bool | None:
        """Whether it is an Ollama at a private address; None when it can't tell just now.

        It is an Ollama when it tells its version (docs.ollama.com/api-reference/get-version).
        """
        return self._asked_for_ollama(cancel_token, self._deadline())

    def has_loaded(self, model: str, cancel_token: CancelToken) -> bool:
        """Whether an Ollama has a model in memory, True where it does not tell (docs.ollama.com/api/ps)."""
        _, answer = self._ask("/api/ps", cancel_token, self._deadline())
        loaded = model_lists.ollama_loaded(answer)
        return loaded is None or model in loaded or f"{model}:latest" in loaded

    def _loaded(self, cancel_token: CancelToken, deadline: float) -> dict[str, int | None]:
        """The models that an Ollama has in memory, with their context lengths; {} where it does not tell."""
        return model_lists.ollama_loaded(self._ask("/api/ps", cancel_token, deadline)[1]) or {}

    def is_at_home(self) -> bool:
        """Whether the server's address is a private one. Raises ConnectFailed when its name has none."""
        if self._at_home is None:
            self._at_home = is_at_home(urlsplit(self._settings.base_url).hostname)
        return self._at_home

    # A round of questions. Below, it is under way, one at a time.

    @contextmanager
    def _round(self) -> Iterator[None]:
        if not self._asking.acquire(timeout=SURVEY_S):
            raise HeadTimeout("it does not tell its models")
        try:
            yield
        finally:
            self._asking.release()

    def _is_fresh(self) -> bool:
        return self._asked_at is not None and self._clock() - self._asked_at < REPEAT_S

    def _is_replaced(self, model: str) -> bool:
        """Whether this was the model that had been found, and another one has been since."""
        return not self._settings.model and bool(self.model) and self.model != model

    def _survey(self, cancel_token: CancelToken) -> None:
        """Find out which models there are, and which of them is used. Raises where that is not clear."""
        self._failure = None
        try:
            server = self._listed(cancel_token, self._deadline())
            try:
                used = self._used_of(server)
            except UpstreamError:
                self._know(server)
                raise
            self._know(dataclasses.replace(server, model=used))
        except UpstreamError as error:
            self._failure = error
            raise
        finally:
            self._asked_at = self._clock()

    def _listed(self, cancel_token: CancelToken, deadline: float) -> Server:
        base_url = self.server.base_url
        if self._asked_for_ollama(cancel_token, deadline):
            models = model_lists.ollama_models(self._ask("/api/tags", cancel_token, deadline)[1])
            base_url = self._root + API_PATH
            return Server(base_url, OLLAMA, _with_loaded(models or (), self._loaded(cancel_token, deadline)))
        base_url, answer = self._openai_list(cancel_token, deadline)
        owner = model_lists.owner_of(answer)
        models = model_lists.openai_models(answer) or ()
        if owner == LM_STUDIO and self.is_at_home():
            told = self._ask("/api/v0/models", cancel_token, deadline)[1]
            models = model_lists.lmstudio_models(told) or models
        return Server(base_url, owner, models)

    def _asked_for_ollama(self, cancel_token: CancelToken, deadline: float) -> bool | None:
        if self._ollama is None:
            if not self.is_at_home():
                return False
            status, answer = self._ask("/api/version", cancel_token, deadline)
            self._ollama = None if status >= 500 else model_lists.is_ollama(answer)
        return self._ollama

    def _openai_list(self, cancel_token: CancelToken, deadline: float) -> tuple[str, Any]:
        """(the API's base URL, its list of models), None for a server without one.

        Where the path was a guess, the server's root is tried too; where it has no version, /v1 below it.
        """
        refusal: UpstreamStatus | None = None
        for base_url in self._base_urls():
            status, answer = self._call("GET", f"{base_url}/models", None, cancel_token, deadline)
            if model_lists.openai_models(answer) is not None:
                return base_url, answer
            if status >= 400 and status not in (404, 405):
                refusal = refusal or UpstreamStatus(status, {}, self._provider)
        if refusal:
            raise refusal
        return self.server.base_url, None

    def _base_urls(self) -> list[str]:
        base_url, repair = self.server.base_url, self._settings.url_repair
        if repair and repair.guessed:
            return list(dict.fromkeys([base_url, repair.url, repair.url.removesuffix(API_PATH)]))
        written = self._settings.base_url
        return list(
            dict.fromkeys([base_url, written, *([] if _VERSION.search(written) else [written + API_PATH])])
        )

    def _used_of(self, server: Server) -> ListedModel | None:
        """The model that is used. Raises UpstreamError where none is named and none can be taken."""
        name = self._settings.model
        if name:
            return model_lists.find(server.models, name)
        before = self.server.model
        chosen = model_lists.chosen(server.models, before.id if before else None)
        if chosen is None:
            raise UpstreamError(self._no_model(server))
        return chosen

    def _detailed(self, model: ListedModel, cancel_token: CancelToken) -> ListedModel:
        """The model with what the server tells of it alone."""
        deadline, make = self._deadline(), self.server.make
        if make == OLLAMA:
            asked = {"model": model.id}
            _, shown = self._call("POST", f"{self._root}/api/show", asked, cancel_token, deadline)
            # Since its check it may be in memory.
            [model] = _with_loaded((model,), self._loaded(cancel_token, deadline))
            return model.completed_by(model_lists.ollama_shown(model.id, shown))
        # A router of llama.cpp would load a model to tell of it.
        if make == LLAMA_CPP and model.loaded is not False:
            path = f"/props?model={quote(model.id, safe='')}" if model.loaded else "/props"
            props = model_lists.llamacpp_props(model.id, self._ask(path, cancel_token, deadline)[1])
            return props.completed_by(model)
        return model

    # What is known.

    def _know(self, server: Server) -> None:
        before, self.server = self.server, server
        declared = self._settings.capabilities
        learnt = {
            name: getattr(server.model, name)
            for name in LEARNT
            if getattr(declared, name) is None and server.model is not None
        }
        self.capabilities = dataclasses.replace(declared, **learnt)
        if server.base_url != before.base_url:
            log.info("Base URL found:", extra=fields(provider=self._provider, base_url=server.base_url))
        if (
            not self._settings.model
            and server.model
            and (not before.model or before.model.id != server.model.id)
        ):
            self.is_due = True
            of = len(server.models)
            log.info("Model found:", extra=fields(provider=self._provider, model=server.model.id, of=of))

    def _report(self) -> None:
        capabilities: Capabilities = self.capabilities
        told = {name: getattr(capabilities, name) for name in LEARNT}
        log.info("Model learnt:", extra=fields(provider=self._provider, model=self.model or None, **told))

    def _no_such(self, name: str, *, is_clients: bool = False) -> ModelMissing:
        return ModelMissing(self._provider, name, self._names(self.server, name), is_clients=is_clients)

    def _no_model(self, server: Server) -> str:
        """Why none of its models is taken."""
        if server.models:
            return f"none of its models is taken by itself: {self._names(server)}; name one"
        if server.make == OLLAMA:
            return "it has no model yet; `ollama pull` gets one"
        path = urlsplit(self._settings.base_url).path  # clients read it, to whom the address is of no concern
        return f"it lists no model at {path}/models, and none is named"

    @staticmethod
    def _names(server: Server, wanted: str = "") -> str:
        return model_lists.names_of(model_lists.chat_models(server.models) or server.models, wanted)

    # Asking.

    def _deadline(self) -> float:
        return time.monotonic() + SURVEY_S

    @property
    def _root(self) -> str:
        return self.server.base_url.removesuffix(API_PATH)

    def _ask(self, path: str, cancel_token: CancelToken, deadline: float) -> tuple[int, Any]:
        """The status and the JSON at a path of the server's own API, below its root."""
        return self._call("GET", self._root + path, None, cancel_token, deadline)

    def _call(
        self, method: str, url: str, body: JsonObject | None, cancel_token: CancelToken, deadline: float
    ) -> tuple[int, Any]:
        """(status, JSON), with None for what is none or belongs to an error status."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise HeadTimeout(f"no answer within {SURVEY_S:g} s")
        payload = None if body is None else openai_chat.dumps(body)
        response = self._upstream.call(cancel_token, method, url, payload, connect_s=left_s, read_s=left_s)
        try:
            raw = read_whole(response, cancel_token, max_bytes=MAX_LIST_BYTES, deadline=deadline)
            return response.status_code, json.loads(raw)
        except (ValueError, RecursionError):
            return response.status_code, None
        finally:
            response.close()


def is_at_home(host: str | None) -> bool:
    """Whether all addresses of a host are private ones. Raises ConnectFailed when it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed("its name could not be resolved") from error
    return not any(is_public(str(address[0])) for *_, address in found)


def _with_loaded(models: Models, loaded: dict[str, int | None]) -> Models:
    """Ollama's models, with which of them are in memory and with which context length."""
    return tuple(
        dataclasses.replace(model, loaded=model.id in loaded, context_length=loaded.get(model.id))
        for model in models
    )
