"""What operators and programs ask of the server itself: health, liveness, metrics, costs, settings."""

from flask import Blueprint, Response
from flask import request as http

from api.handler import Api, Handler, json_response
from api.openai import OpenAI
from errors import Unauthorized
from settings.addresses import is_loopback
from settings.report import effective
from telemetry.version import VERSION

ELSEWHERE = "without server.api_keys the configuration is told to this machine alone"


def blueprint(handler: Handler) -> Blueprint:
    endpoints = Blueprint("operations", __name__)

    @endpoints.get("/health")
    def health() -> Response:
        fresh = http.args.get("fresh") not in (None, "", "0", "false")
        report = {**handler.services.health.report(fresh, handler.mistakes), "version": VERSION}
        return json_response(report, 503 if report["status"] == "unhealthy" else 200)

    @endpoints.get("/livez")
    def livez() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @endpoints.get("/metrics")
    def metrics() -> Response:
        body, content_type = handler.services.metrics.text()
        return Response(body, content_type=content_type)

    @endpoints.get("/costs")
    def costs() -> Response:
        report = handler.services.accounts.costs
        return json_response(report.since(http.args.get("since"), by=http.args.get("by")))

    @endpoints.get("/config")
    def config() -> Response:
        if not handler.services.keys and not is_loopback(http.remote_addr or ""):
            raise Unauthorized(ELSEWHERE)
        return json_response(effective(handler.services.config))

    return endpoints


API = Api(blueprint, errors=lambda: OpenAI("unknown", lambda body: body), owns=lambda path: False)
