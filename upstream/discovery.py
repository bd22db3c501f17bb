"""What is found out about one server by asking it: where its API is, which models it has, what one can take.

A server at home need not be told which model it serves, nor how long a request may be: it knows. It is asked
in the background, and on a request's way only where the model is not known yet. What the owner has set is
never replaced by what was learnt.

How a server is asked is `survey.py`'s; when to ask is `checks.py`'s.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from errors import HeadTimeout, ModelMissing, ProxyError, UpstreamError, UpstreamStatus
from settings import model as settings_of
from settings.kinds import Capabilities
from telemetry.logs import fields
from upstream.cancellation import CancelToken
from upstream.connection import Upstream
from upstream.survey import OLLAMA, Server, Surveyor
from wire import model_lists
from wire.model_lists import ListedModel

RELEARN_S = 60.0  # after so long a server at home is asked anew: it may have been started otherwise meanwhile
REPEAT_S = 1.0  # for so long a round's outcome is good enough for those who come next
LEARNT = ("vision", "audio", "tools", "context_length")

log = logging.getLogger(__name__)


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
        self._learnt_at: float | None = None  # None: what the server can do is to be learnt
        self._logged: dict[str, object] = {}  # what the log said of it last
        self._provider = provider
        self._settings = settings
        self._surveyor = Surveyor(provider, settings, upstream)
        self._clock = clock
        self._asking = threading.Lock()
        self._failure: ProxyError | None = None  # of the last round
        self._asked_at: float | None = None  # when it ended

    @property
    def is_due(self) -> bool:
        """Whether it is to be learnt what the server can do, since it may have changed."""
        if self._learnt_at is None:
            return True
        return self._settings.is_home and self._clock() - self._learnt_at >= RELEARN_S

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

        Raises a ProxyError within some seconds where it cannot be found, Cancelled when the caller is.
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
        self._learnt_at = self._asked_at = None
        self._surveyor.forget()

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
                questions = self._surveyor.questions(cancel_token)
                detailed = self._surveyor.detailed(self.server, model, questions)
                self._know(dataclasses.replace(self.server, model=detailed))
            self._learnt_at = self._clock()
            self._report()

    def refused(self, error: UpstreamStatus, model: str, cancel_token: CancelToken) -> ProxyError | None:
        """What a refusal of a call means: the error to raise; None where it is worth repeating.

        model: the name that was sent. It is worth repeating where the server has another model by now
        than the one that was found before.
        """
        blame = {"param": error.param, "code": error.code}
        if error.lacks or not model_lists.blames_model(error.status, blame):
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
        """Whether it is an Ollama at a private address; None when it can't tell just now."""
        questions = self._surveyor.questions(cancel_token)
        return self._surveyor.is_ollama(self.server.base_url, questions)

    def has_loaded(self, model: str, cancel_token: CancelToken) -> bool:
        """Whether an Ollama has a model in memory, True where it does not tell."""
        loaded = self._surveyor.loaded(self.server.base_url, self._surveyor.questions(cancel_token))
        return loaded is None or model in loaded or f"{model}:latest" in loaded

    def is_at_home(self) -> bool:
        """Whether the server's address is a private one. Raises ConnectFailed when its name has none."""
        return self._surveyor.is_at_home()

    # A round of questions. Below, it is under way, one at a time.

    @contextmanager
    def _round(self) -> Iterator[None]:
        if not self._asking.acquire(timeout=self._surveyor.longest_s):
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
            questions = self._surveyor.questions(cancel_token)
            server = self._surveyor.listed(self.server.base_url, questions)
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
            self._learnt_at = None
            of = len(server.models)
            log.info("Model found:", extra=fields(provider=self._provider, model=server.model.id, of=of))

    def _report(self) -> None:
        capabilities: Capabilities = self.capabilities
        learnt = {name: getattr(capabilities, name) for name in LEARNT}
        learnt = {"model": self.model or None, **learnt}
        if learnt != self._logged:
            self._logged = learnt
            log.info("Model learnt:", extra=fields(provider=self._provider, **learnt))

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
