"""Who may call: every endpoint needs one of the owner's keys, unless it stands on the list of open paths."""

import hmac
from collections.abc import Iterable

from flask import request as http

from errors import Unauthorized

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/metrics", "/api/version"})  # without the prefix /v1
MESSAGE = "the API key is missing or wrong; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"


def authorize(keys: Iterable[bytes]) -> None:
    """Check the current request's key, in constant time. keys: none for a server that is open to all.

    Raises Unauthorized. A path or a method that does not exist is let through, so that it is answered as
    such.
    """
    keys = tuple(keys)
    if not keys or http.url_rule is None or http.url_rule.rule.removeprefix("/v1") in OPEN_PATHS:
        return
    scheme, _, bearer = http.headers.get("Authorization", "").partition(" ")
    offered = [bearer.strip()] if scheme.lower() == "bearer" else []
    offered.append(http.headers.get("x-api-key", ""))
    # A header's bytes come as latin-1, whatever they mean.
    matches = [hmac.compare_digest(key, given.encode("latin-1")) for key in keys for given in offered]
    if not any(matches):
        raise Unauthorized(MESSAGE, code="invalid_api_key")
