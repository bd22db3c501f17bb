"""Every way a request can fail, and what to do next.

ProxyError
+- BadRequest 400                         the client's own doing; no other provider is asked
|  +- Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405, TooLarge 413, QuotaSpent 429
|  +- Unserved                            this provider cannot do what is asked: go on in the chain
+- UpstreamError 502                      a provider failed
|  +- ConnectFailed                       surely not received: go on in the chain
|  +- HeadTimeout 504                     no content in time: go on
|  +- UpstreamStatus                      401-403, 408, 429, 5xx, and what this provider cannot do, go on;
|  |                                      other 4xx are passed on unchanged
|  +- ModelMissing 404                    the owner's model is not there: go on; the client's: passed on
|  +- StreamBroken                        broken before the head: go on; after it: tell the client
|  +- EmptyAnswer                         an answer with nothing in it: go on
|  +- Unavailable 503                     not called at all: disabled, cooling down, busy or too dear: go on
+- ChainExhausted 503                     nobody could serve; its message lists what was tried
+- Cancelled 499                          cancelled by us; never held against a provider
ConfigError                               stops the start; names file, line and key
+- ConfigErrors                           several of them, all found in one reading

This module knows nothing of HTTP libraries: `upstream/connection.py` turns their exceptions into these.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any


class Reason(StrEnum):
    """Why a provider was passed over, in a word: in the session file, the log line and X-Degraded."""

    DISABLED = "disabled"  # one of its settings is missing
    RESTING = "resting"  # its breaker is open
    FULL = "full"  # no place in its queue
    OVER_BUDGET = "over_budget"
    NOT_ALLOWED = "not_allowed"  # to the client's key, since it costs money
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    FAILED = "failed"  # in any other way
    EMPTY = "empty"  # its answer had nothing in it
    NO_MODEL = "no_model"  # its server does not have the model
    NO_VISION = "no_vision"
    NO_AUDIO = "no_audio"
    NO_TOOLS = "no_tools"
    CONTEXT_TOO_LONG = "context_too_long"
    NO_COMPLETIONS = "no_completions"
    API = "api"  # the request says what only providers of the client's own API understand
    UNSUPPORTED = "unsupported"  # it cannot do something else that is asked


class ProxyError(Exception):
    """A request that cannot be answered. `status` is the HTTP status the client gets.

    worth_retrying: whether the same request may fare better in a moment. Client libraries repeat a 408, 429
    or 5xx by themselves unless they are told that it is useless. retry_after_s: when; None where nobody
    knows.
    """

    status: int = 500
    type: str = "server_error"
    worth_retrying: bool = False
    retry_after_s: float | None = None
    reason: Reason = Reason.FAILED  # why the provider that ended so is passed over
    lacks: bool = False  # the provider is well; it cannot do what this request asks for
    may_go_on: bool = False  # whether the next provider of the chain may be asked

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        """message: what happened, for the client's eyes. param: the request field to blame, if one is."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    @property
    def detail(self) -> str | None:
        """More about the reason, in our own words: a provider's may quote the request. None for nothing."""
        return None


class BadRequest(ProxyError):
    status = 400
    type = "invalid_request_error"
    reason = Reason.API


class Unauthorized(BadRequest):
    status = 401
    type = "authentication_error"


class Forbidden(BadRequest):
    status = 403
    type = "permission_error"


class NotFound(BadRequest):
    status = 404


class MethodNotAllowed(BadRequest):
    status = 405


class TooLarge(BadRequest):
    status = 413


class QuotaSpent(BadRequest):
    """The client's key has spent its money, and nobody answers for nothing; trying again soon is useless."""

    status = 429
    type = "insufficient_quota"


class Unserved(BadRequest):
    """The request is sound, but this provider cannot do what it asks for; the next of the chain may."""

    lacks = True
    may_go_on = True

    def __init__(self, message: str, param: str | None = None, reason: Reason = Reason.UNSUPPORTED) -> None:
        super().__init__(message, param)
        self.reason = reason


class UpstreamError(ProxyError):
    """A provider failed."""

    status = 502
    type = "upstream_error"
    may_go_on = True

    @property
    def in_our_words(self) -> str:
        """What went wrong, without a word of the provider's, which may quote the request."""
        return self.message

    @property
    def detail(self) -> str | None:
        return self.in_our_words


class ConnectFailed(UpstreamError):
    """The provider could not be reached, so it has surely not seen the request."""

    reason = Reason.UNREACHABLE


class HeadTimeout(UpstreamError):
    """The provider was reached but sent no content within its time."""

    status = 504
    reason = Reason.TIMED_OUT


class UpstreamStatus(UpstreamError):
    """The provider answered with an error status.

    status: as the provider sent it. body: its error object in OpenAI's shape, passed back for a 4xx of the
    client's making. retry_after_s: how long it asks not to be called, None where it does not. lacking: what
    it says it cannot do, None where it does not say so.
    """

    # 401 and 403, a refused key, and 402, a credit that is used up, are the owner's mishap, not the client's.
    GO_ON = (401, 402, 403, 408, 429)
    PASSING = (408, 429, 502, 503, 529)

    def __init__(
        self,
        status: int,
        body: dict[str, Any],
        provider: str,
        retry_after_s: float | None = None,
        lacking: Reason | None = None,
    ) -> None:
        message = body.get("message") or f"provider '{provider}' answered {status}"
        super().__init__(message, body.get("param"), body.get("code"))
        self.status = status
        self.retry_after_s = retry_after_s
        self.worth_retrying = status in self.PASSING
        self.type = body.get("type") or UpstreamError.type
        self.lacks = lacking is not None
        self.reason = lacking or self.reason
        self.may_go_on = self.lacks or status in self.GO_ON or status >= 500

    @property
    def in_our_words(self) -> str:
        return f"answered {self.status}"


class ModelMissing(UpstreamError):
    """The provider has no such model."""

    status = 404
    type = "invalid_request_error"
    reason = Reason.NO_MODEL

    def __init__(self, provider: str, model: str, has: str, *, is_clients: bool = False) -> None:
        """has: the models that it has, as one text. is_clients: the client named the model, not the owner."""
        self._in_our_words = f"has no model '{model}'; it has {has or 'none'}"
        super().__init__(f"provider '{provider}' {self._in_our_words}", "model", "model_not_found")
        self.may_go_on = not is_clients

    @property
    def in_our_words(self) -> str:
        return self._in_our_words


class Unavailable(UpstreamError):
    """The provider was not called, and why.

    reason, detail: the same in a word, and what the word leaves out. unreached, silent: nobody was there when
    it was last called, or it did not answer.
    cooldown_left_s: how long it will not be called; None or infinite where that is not just for a time.
    """

    status = 503
    type = "service_unavailable"

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        reason: Reason = Reason.FULL,
        detail: str | None = None,
        unreached: bool = False,
        silent: bool = False,
        cooldown_left_s: float | None = None,
    ) -> None:
        super().__init__(message, param, code)
        self.reason = reason
        self.unreached = unreached
        self.silent = silent
        self._detail = detail
        if cooldown_left_s is not None and cooldown_left_s < math.inf:
            self.worth_retrying, self.retry_after_s = True, cooldown_left_s

    @property
    def detail(self) -> str | None:
        return self._detail


class StreamBroken(UpstreamError):
    """The provider's answer ended before it was complete."""

    worth_retrying = True

    @property
    def in_our_words(self) -> str:
        return "broke off its answer"


class EmptyAnswer(UpstreamError):
    """The provider's answer is complete and has nothing in it: no text, no reasoning, no tool call."""

    reason = Reason.EMPTY
    lacks = True


class ChainExhausted(ProxyError):
    """No provider of the route could serve. tried: each provider with the error it failed with."""

    status = 503
    type = "service_unavailable"

    def __init__(self, route: str, tried: Sequence[tuple[str, ProxyError]]) -> None:
        reasons = "; ".join(f"{provider}: {error.message}" for provider, error in tried)
        repair = next((words for provider, error in tried if (words := _repair(provider, error))), "")
        why = reasons or "every provider is disabled"
        super().__init__(
            f"no provider of route '{route}' could answer ({why}){repair}", code="no_provider_available"
        )
        errors = [error for _, error in tried]
        waits_s = [error.retry_after_s for error in errors if error.retry_after_s is not None]
        self.worth_retrying = any(error.worth_retrying for error in errors)
        self.retry_after_s = min(waits_s, default=None)


def _repair(provider: str, error: ProxyError) -> str:
    """What the owner can do, as the end of a message; "" where the error itself says all."""
    if isinstance(error, ConnectFailed) or (isinstance(error, Unavailable) and error.unreached):
        return f"; start the server of '{provider}' or correct its address, `make health` tells more"
    if isinstance(error, UpstreamStatus) and error.status in (401, 403):
        return f"; correct the key of '{provider}'"
    if isinstance(error, HeadTimeout) or (isinstance(error, Unavailable) and error.silent):
        return f"; see how the server of '{provider}' is, `make health` tells more"
    return ""


class Cancelled(ProxyError):
    """We cancelled it ourselves: the client left, or the decision was for another route."""

    status = 499
    type = "cancelled"


class ConfigError(Exception):
    """A setting that cannot be used: `file:line: key: message`, without the line where it is 0 or None."""

    def __init__(self, file: str | Path, line: int | None, key_path: str, message: str) -> None:
        super().__init__(f"{f'{file}:{line}' if line else file}: {key_path}: {message}")
        self.file, self.line, self.key_path, self.message = file, line, key_path, message

    @property
    def mistakes(self) -> "tuple[ConfigError, ...]":
        """Each mistake by itself: this one."""
        return (self,)


class ConfigErrors(ConfigError):
    """Several settings that cannot be used, a line for each; it is about the first one otherwise."""

    def __init__(self, mistakes: "Sequence[ConfigError]") -> None:
        first = mistakes[0]
        super().__init__(first.file, first.line, first.key_path, first.message)
        self._mistakes = tuple(mistakes)

    @property
    def mistakes(self) -> tuple[ConfigError, ...]:
        """Each mistake by itself, in the order in which they stand in their files."""
        return self._mistakes

    def __str__(self) -> str:
        return "\n".join(map(str, self._mistakes))
