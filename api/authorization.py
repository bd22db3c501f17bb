"""Who may call: every endpoint needs one of the owner's keys, unless it stands on the list of open paths."""

import hmac
from collections.abc import Iterable

from flask import g
from flask import request as http

from errors import Unauthorized
from settings.model import ApiKey

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/metrics", "/api/version"})  # without the prefix /v1
MESSAGE = "the API key is missing or wrong; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"


def authorize(keys: Iterable[ApiKey]) -> None:
    """Check the current request's key, in constant time. keys: none for a server that is open to all.

    Raises Unauthorized. A path or a method that does not exist is let through, so that it is answered as
    such.
    """
    keys = tuple(keys)
    if not keys or http.url_rule is None or http.url_rule.rule.removeprefix("/v1") in OPEN_PATHS:
        return
    offered = _offered()
    matches = [key for key in keys if _is_among(key.key.encode(), offered)]  # every one is compared
    if not matches:
        raise Unauthorized(MESSAGE, code="invalid_api_key")
    g.api_key = matches[0]


def current_key() -> ApiKey | None:
    """The key that the current request was let in with, None where it needed none."""
    key: ApiKey | None = g.get("api_key")
    return key


def _offered() -> list[bytes]:
    """What the request sends as its key. A header's bytes come as latin-1, whatever they mean."""
    scheme, _, bearer = http.headers.get("Authorization", "").partition(" ")
    offered = [bearer.strip()] if scheme.lower() == "bearer" else []
    offered.append(http.headers.get("x-api-key", ""))
    return [given.encode("latin-1") for given in offered]


def _is_among(key: bytes, offered: Iterable[bytes]) -> bool:
    matches = [hmac.compare_digest(key, given) for given in offered]
    return any(matches)
