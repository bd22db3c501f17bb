"""What operators and programs ask of the server itself: health, liveness, metrics, costs."""

from flask import Blueprint, Response
from flask import request as http

from api.handler import Api, Handler, json_response
from api.openai import OpenAI
from telemetry.version import VERSION


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
        return json_response(handler.services.costs.since(http.args.get("since"), by=http.args.get("by")))

    return endpoints


API = Api(blueprint, errors=lambda: OpenAI("unknown", lambda body: body), owns=lambda path: False)
