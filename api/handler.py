"""One request from its body to its response, whatever API it speaks.

It reads the body, hands the request to whoever answers, and turns replies and errors into responses. Every
request is finished exactly once, when its response is closed.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response
from flask import request as http
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from api.authorization import current_key
from api.disconnect import DisconnectWatcher
from api.request_body import read_json
from api.response_headers import response_headers
from errors import BadRequest, Cancelled, MethodNotAllowed, NotFound, ProxyError
from proxy.client_api import ClientApi
from proxy.exchange import Exchange
from proxy.reply import Reply, StreamReply
from proxy.request import Request, accept
from services import Services
from settings.reload import Reloader
from telemetry.logs import fields
from telemetry.summary import Summary
from wire import openai_chat

# Besides 5xx: what the client libraries repeat unless `x-should-retry` says that it is useless.
RETRIED = (408, 409, 429)
UNRECORDED = ("classify", "messages.count_tokens")  # what answers nobody's question leaves no session file
INTERNAL = "something went wrong inside the proxy; its log tells more"

log = logging.getLogger(__name__)

Answer = Callable[[Services, Exchange, Request], Reply]


@dataclass(frozen=True)
class Api:
    """One API that clients speak, as the application takes it in.

    blueprint: makes its endpoints. prefixes: under which they stand. owns: whether a path is one of its own,
    so that a request that fails before it is read is answered in its shape. errors: makes what writes such an
    error.
    """

    blueprint: Callable[["Handler"], Blueprint]
    errors: Callable[[], ClientApi]
    owns: Callable[[str], bool]
    prefixes: tuple[str, ...] = ("/v1", "")


class Handler:
    """Serves requests by the services of the moment."""

    def __init__(
        self, reloader: Reloader[Services], disconnects: DisconnectWatcher, apis: Iterable[Api]
    ) -> None:
        """apis: the first one that owns a path writes its errors; the last one takes what nobody owns."""
        self._reloader = reloader
        self._disconnects = disconnects
        self._apis = tuple(apis)

    @property
    def services(self) -> Services:
        """The services of the moment.

        A request that takes its time takes hold of them once: they may be replaced.
        """
        return self._reloader.parts

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Why a changed configuration was rejected, () where it was not."""
        return self._reloader.mistakes

    def proxied(self, api: ClientApi, answer: Answer) -> Response:
        """Answer the current request. api: what reads it and writes the answer."""
        services = self._reloader.take()
        summary = Summary()
        exchange = Exchange(
            http.remote_addr,
            api.api,
            services.recorders(summary),
            services.probes.trigger,
            key=current_key(),
        )
        socket = http.environ.get("gunicorn.socket")
        watched = self._disconnects.watch(socket, exchange.cancel) if socket else None
        services.metrics.in_flight.inc()
        accepted = False
        try:
            body = api.read(read_json(services.max_body_bytes), http.headers)
            request = accept(exchange, api, body, http.headers, services.config.virtual_model)
            accepted = True
            response = _response(exchange, api, answer(services, exchange, request))
        except ProxyError as error:
            response = error_response(exchange, api, exchange.fail(error))
        except Exception:  # the edge of the request: a bug of ours must not cost the client its envelope
            log.exception("Unexpected error", extra=fields(session=exchange.id))
            response = error_response(
                exchange, api, exchange.fail(ProxyError(INTERNAL, code="internal_error"))
            )
        _add_headers(response, exchange, api, summary)

        @response.call_on_close
        def close() -> None:
            """The response has been sent, or nobody is there to send it to."""
            if watched is not None:
                self._disconnects.unwatch(watched)
            if not exchange.delivered and exchange.failure is None:
                exchange.cancel()
            services.metrics.in_flight.dec()
            keep = accepted or isinstance(exchange.failure, Cancelled)
            exchange.finish(worth_keeping=keep and api.api not in UNRECORDED)
            self._reloader.leave(services)

        return response

    # Requests that no endpoint answers.

    def no_such_endpoint(self, error: HTTPException) -> Response:
        """A wrong path or method, in the API's own shape."""
        if isinstance(error, WerkzeugMethodNotAllowed):
            allowed = ", ".join(error.valid_methods or ())
            message = f"{http.path} does not take {http.method}; it takes {allowed}"
            response = self.refused(MethodNotAllowed(message, code="method_not_allowed"))
            if allowed:
                response.headers["Allow"] = allowed
            return response
        if error.code == 404:
            return self.refused(NotFound(f"there is no {http.path} here", code="unknown_url"))
        ours = BadRequest(error.description or error.name)
        ours.status = error.code or 400
        return self.refused(ours)

    def unexpected(self, error: Exception) -> Response:
        """What a view outside `proxied` raised."""
        if isinstance(error, ProxyError):
            return self.refused(error)
        log.error("Unexpected error at %s", http.path, exc_info=error)
        return self.refused(ProxyError(INTERNAL, code="internal_error"))

    def refused(self, error: ProxyError) -> Response:
        """The response to a request that failed before it was read."""
        api = next((api for api in self._apis if api.owns(http.path)), self._apis[-1]).errors()
        summary = Summary()
        recorders = self.services.recorders(summary)
        exchange = Exchange(http.remote_addr, api.api, recorders, key=current_key())
        response = error_response(exchange, api, exchange.fail(error))
        _add_headers(response, exchange, api, summary)
        response.call_on_close(lambda: exchange.finish(worth_keeping=False))
        return response


def _response(exchange: Exchange, api: ClientApi, reply: Reply) -> Response:
    if isinstance(reply, StreamReply):
        response = Response(reply.chunks, mimetype=api.media_type)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would gather the events
        return response
    exchange.delivered = True
    return Response(reply.body, mimetype="application/json")


def _add_headers(response: Response, exchange: Exchange, api: ClientApi, summary: Summary) -> None:
    response.headers.extend(response_headers(summary, exchange.ms()))
    response.headers.extend(api.headers(exchange.id))


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON value as a response."""
    return Response(openai_chat.dumps(value), status=status, mimetype="application/json")


def error_response(exchange: Exchange, api: ClientApi, error: ProxyError) -> Response:
    """An error in the client's API."""
    response = json_response(api.error(error, exchange.id), error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if not error.worth_retrying and (error.status >= 500 or error.status in RETRIED):
        response.headers["x-should-retry"] = "false"
    return response
