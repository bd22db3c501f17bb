"""Asks one server what it tells of itself: whose make it is, which models it has, what one of them can take.

A server elsewhere is asked for nothing but its list of models. What each make answers is
`wire/model_lists.py`'s; what is made of it is `discovery.py`'s.
"""

import dataclasses
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from errors import ConnectFailed, HeadTimeout, UpstreamStatus
from settings import model as settings_of
from settings.addresses import is_public
from settings.base_urls import API_PATH
from upstream.cancellation import CancelToken
from upstream.connection import Upstream, read_whole
from wire import JsonObject, model_lists, openai_chat
from wire.model_lists import ListedModel, Models

SURVEY_S = 4.0  # for one round of questions; a server nearby answers each in some ms
MAX_LIST_BYTES = 8 * 1024 * 1024  # OpenRouter's list has about 1 MB
# Makes of servers; the last two by the name of who owns the models they list.
OLLAMA, LM_STUDIO, LLAMA_CPP = "ollama", "organization_owner", "llamacpp"

_VERSION = re.compile(r"/v[0-9][^/]*/?$")  # with which the path of an API usually ends


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


class Questions:
    """One round of questions, which is over after SURVEY_S."""

    def __init__(self, upstream: Upstream, cancel_token: CancelToken) -> None:
        self._upstream = upstream
        self._cancel_token = cancel_token
        self._deadline = time.monotonic() + SURVEY_S

    def get(self, url: str) -> tuple[int, Any]:
        """(status, JSON), with None for what is none or belongs to an error status. Raises a ProxyError."""
        return self._call("GET", url, None)

    def post(self, url: str, body: JsonObject) -> tuple[int, Any]:
        """The same, with a body."""
        return self._call("POST", url, openai_chat.dumps(body))

    def _call(self, method: str, url: str, payload: bytes | None) -> tuple[int, Any]:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise HeadTimeout(f"no answer within {SURVEY_S:g} s")
        response = self._upstream.call(
            self._cancel_token, method, url, payload, connect_s=left_s, read_s=left_s
        )
        try:
            raw = read_whole(response, self._cancel_token, max_bytes=MAX_LIST_BYTES, deadline=self._deadline)
            return response.status_code, json.loads(raw)
        except (ValueError, RecursionError):
            return response.status_code, None
        finally:
            response.close()


class Surveyor:
    """Asks one provider's server; one round of questions at a time."""

    def __init__(self, provider: str, settings: settings_of.Provider, upstream: Upstream) -> None:
        """provider: its name, for messages."""
        self._provider = provider
        self._settings = settings
        self._upstream = upstream
        self._at_home: bool | None = None
        self._ollama: bool | None = None  # None: not known, or to be asked again

    @property
    def longest_s(self) -> float:
        """How long a round may take."""
        return SURVEY_S

    def questions(self, cancel_token: CancelToken) -> Questions:
        """A new round."""
        return Questions(self._upstream, cancel_token)

    def forget(self) -> None:
        """Who answers next at this address may be another server."""
        self._ollama = None

    def is_at_home(self) -> bool:
        """Whether the server's address is a private one. Raises ConnectFailed when its name has none."""
        if self._at_home is None:
            self._at_home = is_at_home(urlsplit(self._settings.base_url).hostname)
        return self._at_home

    def is_ollama(self, base_url: str, questions: Questions) -> bool | None:
        """Whether it is an Ollama at a private address; None when it can't tell just now.

        It is an Ollama when it tells its version (docs.ollama.com/api-reference/get-version).
        """
        if self._ollama is None:
            if not self.is_at_home():
                return False
            status, answer = questions.get(_root(base_url) + "/api/version")
            self._ollama = None if status >= 500 else model_lists.is_ollama(answer)
        return self._ollama

    def loaded(self, base_url: str, questions: Questions) -> dict[str, int | None] | None:
        """The models that an Ollama has in memory, with their context lengths; None where it does not tell.

        See docs.ollama.com/api/ps.
        """
        return model_lists.ollama_loaded(questions.get(_root(base_url) + "/api/ps")[1])

    def listed(self, base_url: str, questions: Questions) -> Server:
        """The server with the models that it lists. base_url: of its API, as far as that is known."""
        if self.is_ollama(base_url, questions):
            root = _root(base_url)
            models = model_lists.ollama_models(questions.get(f"{root}/api/tags")[1]) or ()
            in_memory = self.loaded(base_url, questions) or {}
            return Server(root + API_PATH, OLLAMA, _with_loaded(models, in_memory))
        base_url, answer = self._openai_list(base_url, questions)
        owner = model_lists.owner_of(answer)
        models = model_lists.openai_models(answer) or ()
        if owner == LM_STUDIO and self.is_at_home():
            detailed = questions.get(_root(base_url) + "/api/v0/models")[1]
            models = model_lists.lmstudio_models(detailed) or models
        return Server(base_url, owner, models)

    def _openai_list(self, known: str, questions: Questions) -> tuple[str, Any]:
        """(the API's base URL, its list of models), None for a server without one.

        Where the path was a guess, the server's root is tried too; where it has no version, /v1 below it.
        """
        refusal: UpstreamStatus | None = None
        for base_url in self._base_urls(known):
            status, answer = questions.get(f"{base_url}/models")
            if model_lists.openai_models(answer) is not None:
                return base_url, answer
            if status >= 400 and status not in (404, 405):
                refusal = refusal or UpstreamStatus(status, {}, self._provider)
        if refusal:
            raise refusal
        return known, None

    def _base_urls(self, known: str) -> list[str]:
        written, repair = self._settings.base_url, self._settings.url_repair
        if repair and repair.guessed:
            return list(dict.fromkeys([known, repair.url, repair.url.removesuffix(API_PATH)]))
        with_version = [] if _VERSION.search(written) else [written + API_PATH]
        return list(dict.fromkeys([known, written, *with_version]))

    def detailed(self, server: Server, model: ListedModel, questions: Questions) -> ListedModel:
        """The model with what the server tells of it alone."""
        root = _root(server.base_url)
        if server.make == OLLAMA:
            _, shown = questions.post(f"{root}/api/show", {"model": model.id})
            # Since its check it may be in memory.
            [model] = _with_loaded((model,), self.loaded(server.base_url, questions) or {})
            return model.completed_by(model_lists.ollama_shown(model.id, shown))
        # A router of llama.cpp would load a model to tell of it.
        if server.make == LLAMA_CPP and model.loaded is not False:
            path = f"/props?model={quote(model.id, safe='')}" if model.loaded else "/props"
            props = model_lists.llamacpp_props(model.id, questions.get(root + path)[1])
            return props.completed_by(model)
        return model


def _root(base_url: str) -> str:
    """Where a server's own API begins, beside the OpenAI API."""
    return base_url.removesuffix(API_PATH)


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
