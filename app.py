"""The face: Headstart as clients see it, an OpenAI-compatible API under Flask.

It checks keys and bodies, hands each request to the pipeline, and turns answers and errors into responses with the headers and the envelope the API promises.
Whatever happens, a request's books are settled exactly once, when its response is closed.
"""

import atexit
import hmac
import json
import logging
import math
import os
import time
from pathlib import Path

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

import classifier
import config as settings
import health
import logs
import providers
from enrichment import Enrichment
from errors import BadRequest, Cancelled, MethodNotAllowed, NotFound, ProxyError, TooLarge, Unauthorized
from exchange import Exchange
from logs import fields
from meta import MetaRules
from metrics import Metrics
from pipeline import Pipeline, Stream, Whole
from presence import Presence
from prompts import Prompts
from routing import Router
from session_logger import SessionLogger
from wire import openai_chat

MAX_NESTING = 128  # levels of a request's body; far beyond any tool's schema and well within what Python's own JSON writer takes
DRAIN_S = 10.0  # how long the rest of a refused upload is read, so that the client sees the refusal and not a reset
STARTED = int(time.time())  # `created` of every model

log = logging.getLogger(__name__)


class Headstart:
    """The parts, built once per worker process, after the fork."""

    def __init__(self, config):
        self.config = config
        home = Path(__file__).parent
        self.providers = providers.build(config, Path(os.environ.get("HEADSTART_ENGINES") or home / "engines"))
        self.classifier = classifier.build(config)
        self.meta = MetaRules.load(home / "meta_markers.yaml")
        self.router = Router(config)
        self.metrics = Metrics()
        self.presence = Presence()
        self.sessions = SessionLogger(config.resolve(config.sessions.dir), config.sessions)
        prompts = Prompts(config)
        self.pipeline = Pipeline(
            config,
            providers=self.providers,
            router=self.router,
            classifier=self.classifier,
            meta_rules=self.meta,
            prompts=prompts,
            enrichment=Enrichment(self.providers, prompts),
        )
        self.health = health.Health(config, self.providers, self.classifier)
        atexit.register(self.sessions.close)


def create_app(config=None):
    """The WSGI application. config: a config.Config; None loads the configured file. Raises ConfigError."""
    config = config or settings.load()
    logs.set_up(config)
    parts = Headstart(config)
    app = Flask(__name__, static_folder=None)
    app.extensions["headstart"] = parts  # for gunicorn.conf.py, which ends what is in flight when the worker stops
    app.url_map.strict_slashes = False
    face = Face(parts)
    for prefix in ("/v1", ""):
        add = lambda rule, view, method, prefix=prefix: app.add_url_rule(  # noqa: E731
            prefix + rule, prefix + rule, view, methods=[method], provide_automatic_options=False
        )
        add("/chat/completions", face.chat, "POST")
        add("/completions", face.completions, "POST")
        add("/embeddings", face.embeddings, "POST")
        add("/classify", face.classify, "POST")
        add("/models", face.models, "GET")
        add("/models/<path:name>", face.model, "GET")
        add("/health", face.health, "GET")
        add("/livez", face.livez, "GET")
        add("/metrics", face.metrics, "GET")
    app.register_error_handler(HTTPException, face.no_such_endpoint)
    app.register_error_handler(Exception, face.unexpected)
    return app


class Face:
    """The endpoints."""

    def __init__(self, parts):
        self._parts = parts
        self._keys = [key.encode() for key in parts.config.server.api_keys]  # a header's bytes come as latin-1, whatever they mean
        self._max_body_bytes = parts.config.server.max_body_mb * 1024 * 1024

    # Requests that are proxied.

    def chat(self):
        return self._proxied("chat.completions", openai_chat.check_chat, lambda exchange: self._parts.pipeline.chat(exchange, request.headers))

    def completions(self):
        return self._proxied("completions", lambda body: openai_chat.check_prompt(body, "prompt"), self._parts.pipeline.completion)

    def embeddings(self):
        return self._proxied("embeddings", lambda body: openai_chat.check_prompt(body, "input"), self._parts.pipeline.embedding)

    def _proxied(self, api, check, answer):
        exchange = Exchange(request.remote_addr, api)
        socket = request.environ.get("gunicorn.socket")
        watched = self._parts.presence.watch(socket, exchange.hang_up) if socket else None
        self._parts.metrics.in_flight.inc()
        try:
            body = self._body(check)
            exchange.accepted({**body, "model": body.get("model") or self._parts.config.virtual_model})
            answered = answer(exchange)
            if isinstance(answered, Stream):
                response = Response(answered.chunks, mimetype="text/event-stream")
                response.headers["Cache-Control"] = "no-cache"
                response.headers["X-Accel-Buffering"] = "no"  # nginx would gather the events
            else:
                exchange.delivered = True
                response = Response(answered.body, mimetype="application/json")
        except ProxyError as error:
            exchange.failure = error
            response = _error_response(error)
        except Exception:  # the edge of the request: a bug of ours must not cost the client its envelope
            log.exception("Unexpected error", extra=fields(session=exchange.id))
            exchange.failure = ProxyError("something went wrong inside the proxy; its log tells more", code="internal_error")
            response = _error_response(exchange.failure)
        response.headers.update(_telling(exchange))
        response.call_on_close(lambda: self._close(exchange, watched))
        return response

    def _close(self, exchange, watched):
        """The response has been sent, or nobody is there to send it to."""
        if watched is not None:
            self._parts.presence.forget(watched)
        if not exchange.delivered and exchange.failure is None:
            exchange.hang_up()
        self._parts.metrics.in_flight.dec()
        keep = exchange.body is not None or isinstance(exchange.failure, Cancelled)
        exchange.settle(self._parts.metrics, self._parts.sessions, keep=keep and exchange.api != "classify")

    def _body(self, check):
        """The request's body as a checked dict. Raises Unauthorized, TooLarge, BadRequest."""
        self._authorize()
        raw = self._raw_body() or b"null"
        try:
            body = json.loads(raw, parse_constant=_no_json, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            told = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
            raise BadRequest(f"the request body is not valid JSON{told}", code="invalid_json") from error
        if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _nested_beyond(body, MAX_NESTING):
            raise BadRequest(f"the request body is nested more than {MAX_NESTING} levels deep", code="invalid_json")
        check(body)
        return body

    def _raw_body(self):
        """The request's body. Raises TooLarge, BadRequest for broken chunks, Cancelled when the client has left in the middle of it."""
        try:
            return self._read_body(request.environ["wsgi.input"], request.content_length)
        except OSError as error:
            raise Cancelled("the client left in the middle of its request") from error
        except ParseException as error:
            raise BadRequest("the chunks of the request body are broken", code="invalid_body") from error

    def _read_body(self, stream, length):
        limit = self._max_body_bytes
        if length is None or length <= limit:
            body = stream.read(length if length is not None else limit + 1)
            if length is not None and len(body) < length:
                raise Cancelled("the client left in the middle of its request")
            if len(body) <= limit:
                return body
        deadline = time.monotonic() + DRAIN_S
        while stream.read(1024 * 1024) and time.monotonic() < deadline:
            pass
        raise TooLarge(f"the request body is larger than {limit // (1024 * 1024)} MB", code="request_too_large")

    def _authorize(self):
        """Check the client's key in constant time. Raises Unauthorized."""
        if not self._keys:
            return
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        offered = [bearer.strip()] if scheme.lower() == "bearer" else []
        offered.append(request.headers.get("x-api-key", ""))
        matches = [hmac.compare_digest(key, given.encode("latin-1")) for key in self._keys for given in offered]
        if not any(matches):
            raise Unauthorized("the API key is missing or wrong; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'", code="invalid_api_key")

    # Requests that are answered here.

    def classify(self):
        return self._proxied("classify", openai_chat.check_chat, self._classified)

    def _classified(self, exchange):
        parts = self._parts
        if not parts.pipeline.is_meta(exchange, request.headers):
            parts.pipeline.classify(exchange)
        verdict = exchange.verdict
        exchange.route = parts.router.by_decision(verdict.decision).route
        told = {"confidence": verdict.confidence, "probabilities": verdict.probabilities, "source": verdict.source, "classification_ms": verdict.ms}
        return Whole(openai_chat.dumps({"decision": verdict.decision, "route": exchange.route, **told}))

    def models(self):
        self._authorize()
        return _json_response({"object": "list", "data": [_model(*known) for known in self._parts.router.models()]})

    def model(self, name):
        self._authorize()
        known = next((known for known in self._parts.router.models() if known[0] == name), None)
        if known is None:
            raise NotFound(f"the model '{name}' does not exist", param="model", code="model_not_found")
        return _json_response(_model(*known))

    def health(self):
        report = self._parts.health.report()
        return _json_response(report, 503 if report["status"] == "unhealthy" else 200)

    def livez(self):
        return Response("ok\n", mimetype="text/plain")

    def metrics(self):
        body, content_type = self._parts.metrics.text()
        return Response(body, content_type=content_type)

    # Requests nobody asked for.

    def no_such_endpoint(self, error):
        """A wrong path or method, in the API's own shape."""
        if isinstance(error, WerkzeugMethodNotAllowed):
            allowed = ", ".join(error.valid_methods or ())
            ours = MethodNotAllowed(f"{request.path} does not take {request.method}; it takes {allowed}", code="method_not_allowed")
        elif error.code == 404:
            ours = NotFound(f"there is no {request.path} here", code="unknown_url")
        else:
            ours = BadRequest(error.description or error.name)
            ours.status = error.code or 400
        response = self._refused(ours)
        if isinstance(error, WerkzeugMethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = allowed
        return response

    def unexpected(self, error):
        """What a view outside `_proxied` raised."""
        if isinstance(error, ProxyError):
            return self._refused(error)
        log.error("Unexpected error at %s", request.path, exc_info=error)
        return self._refused(ProxyError("something went wrong inside the proxy; its log tells more", code="internal_error"))

    def _refused(self, error):
        exchange = Exchange(request.remote_addr, "unknown")
        exchange.failure = error
        response = _error_response(error)
        response.headers.update(_telling(exchange))
        response.call_on_close(lambda: exchange.settle(self._parts.metrics, self._parts.sessions, keep=False))
        return response


def _no_json(constant):
    raise ValueError(f"{constant} is no JSON")


def _finite(text):
    """A JSON number with a fraction or an exponent; one beyond all floats would be passed on as `Infinity`, which is no JSON."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _nested_beyond(value, levels):
    """Whether a JSON value holds more than `levels` objects and lists within each other."""
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, (dict, list))]
        if not layer:
            return False
    return True


def _model(name, owner, display):
    return {"id": name, "object": "model", "created": STARTED, "owned_by": owner, **({"name": display} if display else {})}


def _json_response(value, status=200):
    return Response(openai_chat.dumps(value), status=status, mimetype="application/json")


def _error_response(error):
    response = _json_response(openai_chat.error_body(error.message, error.type, error.param, error.code), error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _telling(exchange):
    """The headers that tell what became of a request."""
    times = {"classification": exchange.classification_ms, "enrichment": exchange.enrichment_ms, "inference": exchange.inference_ms}
    told = {
        "X-Session-Id": exchange.id,
        "X-Decision": exchange.decision,
        "X-Route": exchange.route,
        "X-Provider": exchange.provider,
        "X-Speculation": exchange.speculation_outcome,
        "Server-Timing": ", ".join(f"{name};dur={ms}" for name, ms in times.items() if ms is not None),
    }
    return {name: value for name, value in told.items() if value}
