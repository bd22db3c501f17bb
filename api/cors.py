"""Browsers, which ask before they ask: pages of the origins that the owner allows may call."""

from collections.abc import Callable, Iterable

from flask import Response
from flask import request as http
from werkzeug.exceptions import MethodNotAllowed

PREFLIGHT_S = 600  # how long a browser may remember that it may ask


class Cors:
    """Answers preflights, and names the origin that may read an answer."""

    def __init__(self, allowed_origins: Callable[[], Iterable[str]]) -> None:
        """allowed_origins: gives the origins of the moment; "*" is any."""
        self._allowed_origins = allowed_origins

    def preflight(self) -> Response | None:
        """The answer to OPTIONS: what a path takes, and whether a page may call it.

        None for any other method.
        """
        if http.method != "OPTIONS":
            return None
        refused = http.routing_exception
        if refused is not None and not isinstance(refused, MethodNotAllowed):
            return None  # there is no such path, which is answered as usual
        methods = (refused.valid_methods if refused else None) or ()
        response = Response(status=204)
        response.headers["Allow"] = ", ".join(sorted({*methods, "OPTIONS"}))
        if self._allows(http.headers.get("Origin")):
            headers = http.headers.get("Access-Control-Request-Headers")
            response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
            response.headers["Access-Control-Allow-Headers"] = headers or "authorization, content-type"
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
            if http.headers.get("Access-Control-Request-Private-Network") == "true":
                response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    def share(self, response: Response) -> Response:
        """Name the origin that may read this answer, where the owner allows it."""
        origin = http.headers.get("Origin")
        if origin and self._allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "*"
            response.vary.add("Origin")
        return response

    def _allows(self, origin: str | None) -> bool:
        allowed = tuple(self._allowed_origins())
        return bool(origin) and (origin in allowed or "*" in allowed)
