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

import providers
from accounting.budgets import Budget
from accounting.costs import Costs, cloud_of
from accounting.ledger import Ledger, located
from api.dialects import Messages, Ollama, OllamaEmbed, OpenAI, Responses, speaking_at
from api.disconnect import DisconnectWatcher
from api.response_store import ResponseStore
from engine.embedder import Embedder
from errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    MethodNotAllowed,
    NotFound,
    ProxyError,
    TooLarge,
    Unauthorized,
)
from proxy.exchange import Exchange
from proxy.pipeline import Pipeline, Stream, Whole
from proxy.prompts import Prompts
from routing import classifier, markers
from routing.affinity import Affinity, client_fingerprint
from routing.decision import ClassifierFailed
from routing.router import Router
from search.enrichment import Enrichment
from session_logger import SessionLogger
from settings import loader
from settings.reload import Reloader
from telemetry import logs
from telemetry.logs import fields
from telemetry.metrics import Metrics
from upstream import health
from upstream.probes import Probes
from wire import embeddings, ollama, openai_chat

MAX_NESTING = 128  # levels of a request's body; far beyond any tool's schema and well within what Python's own JSON writer takes
DRAIN_S = (
    10.0  # how long the rest of a refused upload is read, so that the client sees the refusal and not a reset
)
STARTED = int(time.time())  # `created` of every model
LOAD_S = 120.0  # how long a new classifier's model may take before a changed configuration is refused
RETRIED = (
    408,
    409,
    429,
)  # besides 5xx: what the client libraries ask again by themselves, unless `x-should-retry` says that it is useless
PREFLIGHT_S = 600  # how long a browser may remember that it may ask
UNKEPT = (
    "classify",
    "messages.count_tokens",
)  # what is no answer to anybody's question leaves no session file
HOME = Path(__file__).parent
MARKERS = HOME / "prompts" / "meta_markers.yaml"

log = logging.getLogger(__name__)


class Headstart:
    """The parts under one configuration, built after the fork."""

    def __init__(self, config, previous=None):
        """previous: the parts under the configuration before; what a change has left as it was is taken over. Raises ConfigError for a faulty marker file."""
        self.config = config
        self.meta = markers.load(MARKERS)
        self.keys = [
            key.encode() for key in config.server.api_keys
        ]  # a header's bytes come as latin-1, whatever they mean
        self.max_body_bytes = config.server.max_body_mb * 1024 * 1024
        self.metrics = previous.metrics if previous else Metrics()
        self.presence = previous.presence if previous else DisconnectWatcher()
        self.conversations = previous.conversations if previous else Affinity()
        self.response_store = previous.response_store if previous else ResponseStore()
        self.embedder = previous.embedder if previous else Embedder()
        self.sessions = (
            previous.sessions
            if previous
            else SessionLogger(config.resolve(config.sessions.dir), config.sessions)
        )
        self.providers = providers.build(
            config,
            Path(os.environ.get("HEADSTART_ENGINES") or HOME / "engines"),
            previous and previous.providers,
        )
        self.classifier = classifier.build(config, previous and previous.classifier)
        same = lambda *sections: (
            previous and all(getattr(config, name) == getattr(previous.config, name) for name in sections)
        )
        self.ledger = (
            previous.ledger if same("ledger") else Ledger(located(config.ledger.url, config.resolve))
        )
        self.costs = Costs(self.ledger, config.timezone, cloud_of(config))
        self.budget = (
            previous.budget
            if same("ledger", "budgets", "timezone")
            else Budget(config.budgets, self.ledger, config.timezone)
        )
        breakers = {name: provider.breaker for name, provider in self.providers.items()}
        known = self.providers  # and not `self`: parts that have served their time should be gone at once, and not when a cycle is found
        self.probes = Probes(
            known, breakers, config.probes.period_s, busy=lambda name: known[name].admission.running > 0
        )
        self.router = Router(config)
        prompts = Prompts(config)
        self.pipeline = Pipeline(
            config,
            providers=self.providers,
            router=self.router,
            classifier=self.classifier,
            meta_rules=self.meta,
            prompts=prompts,
            enrichment=Enrichment(self.providers, prompts),
            probes=self.probes,
            budget=self.budget,
            conversations=self.conversations,
            embedder=self.embedder,
        )
        self.health = health.Health(config, self.providers, self.classifier, self.probes)

    def files(self):
        """The files of which these parts were made: the configuration, its `.env`, the markers, and the prompts, also those that are not there yet."""
        config, beside = self.config, self.config.path.parent
        prompts = {
            config.resolve(name)
            for name in (config.classifier.prompt, *(route.system_prompt for route in config.routes.values()))
            if name
        }
        return {
            config.path,
            beside / ".env",
            MARKERS,
            *prompts,
            *beside.glob("prompts/*.md"),
            *HOME.glob("prompts/*.md"),
        }

    def successor(self, config):
        """The parts under another configuration, ready to take this one's place. Raises ConfigError; then nothing has changed."""
        parts = Headstart(config, self)
        section = "classifier"
        try:
            if parts.classifier.backend is not self.classifier.backend:
                parts.classifier.backend.wait_until_ready(LOAD_S)
            section = "sessions"
            if config.sessions != self.config.sessions:
                self.sessions.move(config.resolve(config.sessions.dir), config.sessions)
            section = "log"
            if config.log != self.config.log:
                logs.set_up(config)
        except (ClassifierFailed, OSError) as error:
            parts.close(self)
            line = config.origins[section].line if section in config.origins else 0
            raise ConfigError(
                config.path.name, line, section, getattr(error, "strerror", None) or str(error)
            ) from error
        return parts

    def start(self):
        self.probes.start()

    def stop(self):
        self.probes.stop()

    def close(self, successor):
        """Let go of what the successor has not taken over; None: of everything."""
        for name in ("sessions", "budget", "ledger"):
            part = getattr(self, name)
            if successor is None or part is not getattr(successor, name):
                part.close()
        if successor and self.classifier.backend is not successor.classifier.backend:
            self.classifier.backend.close()


def create_app(config=None):
    """The WSGI application. config: a config.Config; None loads the configured file. Raises ConfigError."""
    config, mistake = (config, None) if config else loader.load_or_last()
    logs.set_up(config)
    if mistake:
        log.error("Config rejected: %s", mistake)
    reloader = Reloader(Headstart(config))
    reloader.start()
    atexit.register(reloader.close)
    app = Flask(__name__, static_folder=None)
    app.extensions["headstart"] = (
        reloader  # for gunicorn.conf.py, which ends what is in flight when the worker stops, and passes signals on
    )
    app.url_map.strict_slashes = False
    face = Face(reloader)
    for prefix in ("/v1", ""):
        add = lambda rule, view, method, prefix=prefix: app.add_url_rule(
            prefix + rule, f"{method} {prefix}{rule}", view, methods=[method], provide_automatic_options=False
        )
        add("/chat/completions", face.chat, "POST")
        add("/chat", face.agent_chat, "POST")
        add("/completions", face.completions, "POST")
        add("/embeddings", face.embeddings, "POST")
        add("/responses", face.responses, "POST")
        add("/responses/<name>", face.response, "GET")
        add("/responses/<name>", face.forget_response, "DELETE")
        add("/messages", face.messages, "POST")
        add("/messages/count_tokens", face.count_tokens, "POST")
        add("/classify", face.classify, "POST")
        add("/models", face.models, "GET")
        add("/models/<path:name>", face.model, "GET")
        add("/costs", face.costs, "GET")
        add("/health", face.health, "GET")
        add("/livez", face.livez, "GET")
        add("/metrics", face.metrics, "GET")
    for rule, view, method in (
        ("/", face.root, "GET"),
        ("/api/version", face.ollama_version, "GET"),
        ("/api/tags", face.ollama_tags, "GET"),
        ("/api/ps", face.ollama_ps, "GET"),
        ("/api/show", face.ollama_show, "POST"),
        ("/api/chat", face.ollama_chat, "POST"),
        ("/api/generate", face.ollama_generate, "POST"),
        ("/api/embed", face.ollama_embed, "POST"),
        ("/api/embeddings", face.ollama_embeddings, "POST"),
    ):
        app.add_url_rule(rule, rule, view, methods=[method], provide_automatic_options=False)
    app.before_request(face.preflight)
    app.after_request(face.shared_with_browsers)
    app.register_error_handler(HTTPException, face.no_such_endpoint)
    app.register_error_handler(Exception, face.unexpected)
    return app


class Face:
    """The endpoints."""

    def __init__(self, reloader):
        self._reloader = reloader

    @property
    def _parts(self):
        """The parts that serve now. A request that takes its time takes hold of them once, since a new configuration may replace them."""
        return self._reloader.parts

    # Requests that are proxied.

    def chat(self):
        return self._proxied(OpenAI("chat.completions", openai_chat.check_chat), self._chatted)

    def responses(self):
        return self._proxied(Responses(self._parts.response_store, self._owner), self._chatted)

    def messages(self):
        return self._proxied(Messages(), self._chatted)

    def ollama_chat(self):
        return self._proxied(Ollama("ollama.chat"), self._chatted_as_ollama)

    def ollama_generate(self):
        return self._proxied(Ollama("ollama.generate"), self._chatted_as_ollama)

    def ollama_embed(self):
        return self._proxied(OllamaEmbed("ollama.embed"), self._embedded_as_ollama)

    def ollama_embeddings(self):
        return self._proxied(OllamaEmbed("ollama.embeddings"), self._embedded_as_ollama)

    def _chatted_as_ollama(self, parts, exchange):
        if exchange.dialect.told:
            return Whole(openai_chat.dumps(exchange.dialect.told))
        return (
            parts.pipeline.completion(exchange)
            if exchange.dialect.completes
            else self._chatted(parts, exchange)
        )

    def _embedded_as_ollama(self, parts, exchange):
        if exchange.dialect.told:
            return Whole(openai_chat.dumps(exchange.dialect.told))
        answer = json.loads(parts.pipeline.embedding(exchange).body)
        return Whole(openai_chat.dumps(exchange.dialect.answer(answer, exchange)))

    def count_tokens(self):
        return self._proxied(
            Messages("messages.count_tokens"), lambda parts, exchange: parts.pipeline.count_tokens(exchange)
        )

    def _chatted(self, parts, exchange):
        return parts.pipeline.chat(exchange, request.headers)

    def agent_chat(self):
        """What agents of the gateway speak: a route's name as `model_class`, and messages or just a prompt."""

        def answer(parts, exchange):
            exchange.model_class = exchange.body.pop("model_class")
            return parts.pipeline.chat(exchange, request.headers)

        return self._proxied(OpenAI("chat", openai_chat.checked_agent_chat), answer)

    def completions(self):
        check = lambda body: openai_chat.check_prompt(body, "prompt")
        return self._proxied(
            OpenAI("completions", check), lambda parts, exchange: parts.pipeline.completion(exchange)
        )

    def embeddings(self):
        check = lambda body: openai_chat.check_prompt(body, "input")
        return self._proxied(
            OpenAI("embeddings", check), lambda parts, exchange: parts.pipeline.embedding(exchange)
        )

    def _proxied(self, dialect, answer):
        """One request down the road. dialect: what reads it and writes the answer. answer: (parts, exchange) -> a Whole or a Stream."""
        exchange = Exchange(request.remote_addr, dialect)
        socket = request.environ.get("gunicorn.socket")
        parts = self._reloader.take()
        watched = parts.presence.watch(socket, exchange.hang_up) if socket else None
        parts.metrics.in_flight.inc()
        try:
            body = dialect.read(self._body(parts), request.headers)
            exchange.accepted({**body, "model": body.get("model") or parts.config.virtual_model})
            answered = answer(parts, exchange)
            if isinstance(answered, Stream):
                response = Response(answered.chunks, mimetype=dialect.media_type)
                response.headers["Cache-Control"] = "no-cache"
                response.headers["X-Accel-Buffering"] = "no"  # nginx would gather the events
            else:
                exchange.delivered = True
                response = Response(answered.body, mimetype="application/json")
        except ProxyError as error:
            exchange.failure = (
                exchange.failure or error
            )  # when we are stopping, that is the reason and not the hang-up
            response = _error_response(exchange)
        except Exception:  # the edge of the request: a bug of ours must not cost the client its envelope
            log.exception("Unexpected error", extra=fields(session=exchange.id))
            exchange.failure = ProxyError(
                "something went wrong inside the proxy; its log tells more", code="internal_error"
            )
            response = _error_response(exchange)
        response.headers.update(_telling(exchange))
        response.call_on_close(lambda: self._close(parts, exchange, watched))
        return response

    def _close(self, parts, exchange, watched):
        """The response has been sent, or nobody is there to send it to."""
        if watched is not None:
            parts.presence.forget(watched)
        if not exchange.delivered and exchange.failure is None:
            exchange.hang_up()
        parts.metrics.in_flight.dec()
        keep = exchange.body is not None or isinstance(exchange.failure, Cancelled)
        exchange.settle(
            parts.metrics, parts.sessions, parts.ledger, keep=keep and exchange.dialect.api not in UNKEPT
        )
        self._reloader.leave(parts)

    def _body(self, parts):
        """The request's body, as JSON has it. Raises Unauthorized, TooLarge, BadRequest."""
        self._authorize(parts)
        raw = self._raw_body(parts.max_body_bytes) or b"null"
        try:
            body = json.loads(raw, parse_constant=_no_json, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            told = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
            raise BadRequest(f"the request body is not valid JSON{told}", code="invalid_json") from error
        if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _nested_beyond(body, MAX_NESTING):
            raise BadRequest(
                f"the request body is nested more than {MAX_NESTING} levels deep", code="invalid_json"
            )
        return body

    def _raw_body(self, limit):
        """The request's body. Raises TooLarge, BadRequest for broken chunks, Cancelled when the client has left in the middle of it."""
        try:
            return self._read_body(request.environ["wsgi.input"], request.content_length, limit)
        except OSError as error:
            raise Cancelled("the client left in the middle of its request") from error
        except ParseException as error:
            raise BadRequest("the chunks of the request body are broken", code="invalid_body") from error

    def _read_body(self, stream, length, limit):
        if length is None or length <= limit:
            body = stream.read(length if length is not None else limit + 1)
            if length is not None and len(body) < length:
                raise Cancelled("the client left in the middle of its request")
            if len(body) <= limit:
                return body
        deadline = time.monotonic() + DRAIN_S
        while stream.read(1024 * 1024) and time.monotonic() < deadline:
            pass
        raise TooLarge(
            f"the request body is larger than {limit // (1024 * 1024)} MB", code="request_too_large"
        )

    def _authorize(self, parts):
        """Check the client's key in constant time. Raises Unauthorized."""
        if not parts.keys:
            return
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        offered = [bearer.strip()] if scheme.lower() == "bearer" else []
        offered.append(request.headers.get("x-api-key", ""))
        matches = [
            hmac.compare_digest(key, given.encode("latin-1")) for key in parts.keys for given in offered
        ]
        if not any(matches):
            raise Unauthorized(
                "the API key is missing or wrong; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'",
                code="invalid_api_key",
            )

    # Requests that are answered here.

    def classify(self):
        return self._proxied(OpenAI("classify", openai_chat.check_chat), self._classified)

    def _classified(self, parts, exchange):
        if not parts.pipeline.is_meta(exchange, request.headers):
            parts.pipeline.classify(exchange)
        verdict = exchange.verdict
        exchange.route = parts.router.plan_for(verdict.decision).route
        told = {
            "confidence": verdict.confidence,
            "probabilities": verdict.probabilities,
            "source": verdict.source,
            "classification_ms": verdict.ms,
        }
        return Whole(openai_chat.dumps({"decision": verdict.decision, "route": exchange.route, **told}))

    def models(self):
        parts = self._parts
        self._authorize(parts)
        return _json_response({"object": "list", "data": [_model(*known) for known in parts.router.models()]})

    def model(self, name):
        parts = self._parts
        self._authorize(parts)
        known = parts.router.model(name)
        if known is None:
            raise NotFound(f"the model '{name}' does not exist", param="model", code="model_not_found")
        return _json_response(_model(*known))

    def response(self, name):
        """An answer of the Responses API, as long as it is remembered."""
        self._authorize(self._parts)
        kept = self._parts.response_store.response(self._owner, name)
        if kept is None:
            raise NotFound(
                f"the response '{name}' is not known here, or no longer",
                param="response_id",
                code="response_not_found",
            )
        return _json_response(kept)

    def forget_response(self, name):
        self._authorize(self._parts)
        if not self._parts.response_store.drop(self._owner, name):
            raise NotFound(
                f"the response '{name}' is not known here, or no longer",
                param="response_id",
                code="response_not_found",
            )
        return _json_response({"id": name, "object": "response", "deleted": True})

    @property
    def _owner(self):
        return client_fingerprint(request.remote_addr, request.headers)

    def ollama_version(self):
        return _json_response(ollama.version())

    def ollama_tags(self):
        self._authorize(self._parts)
        return _json_response(ollama.tags(self._parts.router.models(), STARTED))

    def ollama_ps(self):
        self._authorize(self._parts)
        return _json_response(
            ollama.ps([next(self._parts.router.models())])
        )  # the one that is always there; where the others run is not known

    def ollama_show(self):
        parts = self._parts
        name = ollama.model_name(ollama.check_show(self._body(parts)))
        if embeddings.is_embedded(name):
            return _json_response(
                ollama.show(
                    name,
                    "bert",
                    STARTED,
                    capabilities=("embedding",),
                    context_length=embeddings.CONTEXT_TOKENS,
                )
            )
        known = parts.router.model(name)
        if known is None:
            raise NotFound(f"model '{name}' not found", param="model", code="model_not_found")
        return _json_response(ollama.show(name, known[1], STARTED))

    def costs(self):
        parts = self._parts
        self._authorize(parts)
        return _json_response(parts.costs.since(request.args.get("since")))

    def health(self):
        report = self._parts.health.report(fresh=request.args.get("fresh") not in (None, "", "0", "false"))
        return _json_response(report, 503 if report["status"] == "unhealthy" else 200)

    def root(self):
        """What people and programs see who try the bare address."""
        return Response("Headstart is running\n", mimetype="text/plain")

    def livez(self):
        return Response("ok\n", mimetype="text/plain")

    def metrics(self):
        body, content_type = self._parts.metrics.text()
        return Response(body, content_type=content_type)

    # Browsers, which ask before they ask.

    def preflight(self):
        """The answer to OPTIONS, None for any other request: what a path takes, and whether pages from elsewhere may ask it."""
        if request.method != "OPTIONS":
            return None
        if request.routing_exception and not isinstance(request.routing_exception, WerkzeugMethodNotAllowed):
            return None  # there is no such path, which is said as usual
        methods = getattr(request.routing_exception, "valid_methods", None) or ()
        response = Response(status=204)
        response.headers["Allow"] = ", ".join(sorted({*methods, "OPTIONS"}))
        asked = request.headers.get("Access-Control-Request-Headers")
        if self._shared_with(request.headers.get("Origin")):
            response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
            response.headers["Access-Control-Allow-Headers"] = asked or "authorization, content-type"
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
            if request.headers.get("Access-Control-Request-Private-Network") == "true":
                response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    def shared_with_browsers(self, response):
        """Name the origin that may read this answer, where the owner allows it."""
        origin = request.headers.get("Origin")
        if self._shared_with(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "*"
            response.vary.add("Origin")
        return response

    def _shared_with(self, origin):
        allowed = self._parts.config.server.cors_origins
        return bool(origin) and (origin in allowed or "*" in allowed)

    # Requests nobody asked for.

    def no_such_endpoint(self, error):
        """A wrong path or method, in the API's own shape."""
        if isinstance(error, WerkzeugMethodNotAllowed):
            allowed = ", ".join(error.valid_methods or ())
            ours = MethodNotAllowed(
                f"{request.path} does not take {request.method}; it takes {allowed}",
                code="method_not_allowed",
            )
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
        return self._refused(
            ProxyError("something went wrong inside the proxy; its log tells more", code="internal_error")
        )

    def _refused(self, error):
        exchange = Exchange(request.remote_addr, speaking_at(request.path))
        exchange.failure = error
        response = _error_response(exchange)
        response.headers.update(_telling(exchange))
        parts = self._parts
        response.call_on_close(
            lambda: exchange.settle(parts.metrics, parts.sessions, parts.ledger, keep=False)
        )
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
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return True


def _model(name, owner, display):
    return {
        "id": name,
        "object": "model",
        "created": STARTED,
        "owned_by": owner,
        **({"name": display} if display else {}),
    }


def _json_response(value, status=200):
    return Response(openai_chat.dumps(value), status=status, mimetype="application/json")


def _error_response(exchange):
    error = exchange.failure
    response = _json_response(exchange.dialect.error(error, exchange.id), error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if not error.worth_retrying and (error.status >= 500 or error.status in RETRIED):
        response.headers["x-should-retry"] = "false"
    return response


def _telling(exchange):
    """The headers that tell what became of a request."""
    times = {
        "classification": exchange.classification_ms,
        "enrichment": exchange.enrichment_ms,
        "inference": exchange.inference_ms,
    }
    told = {
        "X-Session-Id": exchange.id,
        "X-Decision": exchange.decision,
        "X-Route": exchange.route,
        "X-Provider": exchange.provider,
        "X-Speculation": exchange.speculation_outcome,
        "X-Budget": "exhausted" if exchange.budget_exhausted else None,
        "Server-Timing": ", ".join(f"{name};dur={ms}" for name, ms in times.items() if ms is not None),
    }
    return {name: value for name, value in told.items() if value} | exchange.dialect.headers(exchange.id)
