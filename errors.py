"""Every way a request can fail, and what to do next.

ProxyError
+- BadRequest 400                         the client's own doing; no other provider is asked
|  +- Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405, TooLarge 413, QuotaSpent 429
+- UpstreamError 502                      a provider failed
|  +- ConnectFailed                       surely not received: go on in the chain
|  +- HeadTimeout 504                     no content in time: go on
|  +- UpstreamStatus                      401, 403, 408, 429 and 5xx go on; other 4xx are passed on unchanged
|  +- StreamBroken                        broken before the head: go on; after it: tell the client
|  +- Unavailable 503                     not called at all: disabled, cooling down, busy or too dear: go on
+- ChainExhausted 503                     nobody could serve; its message lists what was tried
+- Cancelled 499                          cancelled by us; never held against a provider
ConfigError                               stops the start; names file, line and key

This module knows nothing of HTTP libraries: `upstream/connection.py` turns their exceptions into these.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any


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

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        """message: what happened, for the client's eyes. param: the request field to blame, if one is."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class BadRequest(ProxyError):
    status = 400
    type = "invalid_request_error"


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


class UpstreamError(ProxyError):
    """A provider failed. `may_go_on` tells whether the next provider of the chain may be asked."""

    status = 502
    type = "upstream_error"
    may_go_on: bool = True


class ConnectFailed(UpstreamError):
    """The provider could not be reached, so it has surely not seen the request."""


class HeadTimeout(UpstreamError):
    """The provider was reached but sent no content within its time."""

    status = 504


class UpstreamStatus(UpstreamError):
    """The provider answered with an error status.

    status: as the provider sent it. body: its error object in OpenAI's shape, passed back for a 4xx of the
    client's making. retry_after_s: how long it asks not to be called, None where it does not.
    """

    # 401 and 403: a refused key is the owner's mishap, not the client's.
    GO_ON = (401, 403, 408, 429)
    PASSING = (408, 429, 502, 503, 529)

    def __init__(
        self, status: int, body: dict[str, Any], provider: str, retry_after_s: float | None = None
    ) -> None:
        message = body.get("message") or f"provider '{provider}' answered {status}"
        super().__init__(message, body.get("param"), body.get("code"))
        self.status = status
        self.retry_after_s = retry_after_s
        self.worth_retrying = status in self.PASSING
        self.type = body.get("type") or UpstreamError.type
        self.may_go_on = status in self.GO_ON or status >= 500


class Unavailable(UpstreamError):
    """The provider was not called, and why.

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
        cooldown_left_s: float | None = None,
    ) -> None:
        super().__init__(message, param, code)
        if cooldown_left_s is not None and cooldown_left_s < math.inf:
            self.worth_retrying, self.retry_after_s = True, cooldown_left_s


class StreamBroken(UpstreamError):
    """The provider's answer ended before it was complete."""

    worth_retrying = True


class ChainExhausted(ProxyError):
    """No provider of the route could serve. tried: each provider with the error it failed with."""

    status = 503
    type = "service_unavailable"

    def __init__(self, route: str, tried: Sequence[tuple[str, ProxyError]]) -> None:
        reasons = "; ".join(f"{provider}: {error.message}" for provider, error in tried)
        super().__init__(
            f"no provider of route '{route}' could answer ({reasons or 'every provider is disabled'})",
            code="no_provider_available",
        )
        errors = [error for _, error in tried]
        waits_s = [error.retry_after_s for error in errors if error.retry_after_s is not None]
        self.worth_retrying = any(error.worth_retrying for error in errors)
        self.retry_after_s = min(waits_s, default=None)


class Cancelled(ProxyError):
    """We cancelled it ourselves: the client left, or the decision was for another route."""

    status = 499
    type = "cancelled"


class ConfigError(Exception):
    """A setting that cannot be used: `file:line: key: message`."""

    def __init__(self, file: str | Path, line: int | None, key_path: str, message: str) -> None:
        super().__init__(f"{file}:{line}: {key_path}: {message}")
        self.file, self.line, self.key_path, self.message = file, line, key_path, message
